# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""TRL's `SFTTrainer` for video: a learning rate per part, and placeholders whose number only the model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback
from trl import SFTTrainer

from video_lmms.data.collator import IGNORED
from video_lmms.training.answers import share_of_right_answers
from video_lmms.training.expansion import expand_videos
from video_lmms.training.parts import parameter_groups


class VideoSFTTrainer(SFTTrainer):
    """[`SFTTrainer`] over rows that `VideoChatCollator` collates.

    Args:
        learning_rates: part -> learning rate, for parts that differ from `args.learning_rate`.
        answer_rows: rows whose first question is answered at every evaluation; the share of right answers is logged
            as `eval_accuracy`.
    """

    def __init__(
        self,
        *args: Any,
        learning_rates: Mapping[str, float] | None = None,
        answer_rows: Sequence[Mapping[str, Any]] = (),
        **kwargs: Any,
    ):
        self.learning_rates = dict(learning_rates or {})
        super().__init__(*args, **kwargs)
        if answer_rows:
            self.add_callback(AccuracyCallback(self, answer_rows))

    @property
    def plain_model(self) -> PreTrainedModel:
        """The model without what training wraps around it."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """As inherited where all parts share a learning rate."""
        model = self.model if model is None else model
        if self.optimizer is None and self.learning_rates:
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            rate = options.pop("lr", self.args.learning_rate)
            decayed = set(self.get_decay_parameter_names(model))
            groups = parameter_groups(model, decayed, self.args.weight_decay, rate, self.learning_rates)
            self.optimizer = optimizer(groups, **options)
            return self.optimizer
        return super().create_optimizer(model)

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As inherited; where a video's tokens depend on its content, the model first makes room for them.

        This happens here and not in the collator because the choice depends on weights that are being trained.
        """
        if self.plain_model.config.is_encoder_decoder:
            return self.compute_seq2seq_loss(model, inputs, *args, **kwargs)
        return super().compute_loss(model, expand_videos(self.plain_model, inputs, model), *args, **kwargs)

    def compute_seq2seq_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The model's own loss: TRL's fused head shifts labels as decoder-only models need it, and so cannot be used.

        Args:
            model: as wrapped for training.
            inputs: of [`VideoSeq2SeqCollator`].
            return_outputs: whether to return the model's outputs beside the loss.
            num_items_in_batch: learned tokens of all accumulated batches and devices; the mean is over them.
        """
        outputs = model(**inputs, use_cache=False)
        learned = inputs["labels"] != IGNORED
        loss = outputs.loss
        if num_items_in_batch is not None:
            loss = loss * learned.sum() / num_items_in_batch
            if self.args.average_tokens_across_devices:
                loss = loss * self.accelerator.num_processes
        right = (outputs.logits.argmax(-1) == inputs["labels"]) & learned
        right, tokens = (
            self.accelerator.gather_for_metrics(torch.stack([right.sum(), learned.sum()])).view(-1, 2).sum(0)
        )
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["mean_token_accuracy"].append((right / tokens).item())
        return (loss, outputs) if return_outputs else loss


class AccuracyCallback(TrainerCallback):
    """Adds the share of rightly answered first questions to what an evaluation logs."""

    def __init__(self, trainer: VideoSFTTrainer, rows: Sequence[Mapping[str, Any]]):
        self.trainer, self.rows = trainer, rows

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        training = model.training
        accuracy = share_of_right_answers(
            model.eval(), trainer.processing_class, self.rows, args.per_device_eval_batch_size
        )
        model.train(training)
        metrics["eval_accuracy"] = accuracy
        trainer.log({"eval_accuracy": accuracy})


__all__ = ["AccuracyCallback", "VideoSFTTrainer"]
