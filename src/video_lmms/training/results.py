# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves behind: a folder that loads, proof that it is the trained model, and its record.

`training.json` names the base by id and by a fingerprint of its weights, so that an adapter is never laid over
another model by mistake; the model card says on what and how it was trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
import trl
from huggingface_hub import ModelCard, ModelCardData
from peft import PeftModel, get_peft_model
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel, ProcessorMixin
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils.quantization_config import QuantizationConfigMixin

from video_lmms.errors import VideoLmmError
from video_lmms.hub.bundle_writer import bundle
from video_lmms.hub.folders import read_json, write_json
from video_lmms.hub.loading import load
from video_lmms.training.expansion import expand_videos
from video_lmms.training.fingerprints import fingerprint, packed_weights
from video_lmms.training.trainer import VideoSFTTrainer


RECORD = "training.json"
# Logits of the model in memory and of the one read back: equal but for the kernels' rounding.
_TOLERANCE = 1e-4


class ReloadError(VideoLmmError):
    """What was saved is not what was trained."""


def last_checkpoint(output_dir: str) -> str | None:
    """The newest complete checkpoint of an interrupted run, None for a new one.

    The trainer writes its state last: a checkpoint without it, or with half of it, is one that a run died over.
    """
    steps = {}
    for state in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}"):
        try:
            read_json(state)
        except VideoLmmError:
            continue
        steps[int(state.parent.name.rpartition("-")[2])] = str(state.parent)
    return steps[max(steps)] if steps else None


def save_result(
    trainer: VideoSFTTrainer, base: str, rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, float]
) -> Path:
    """Saves an adapter, or the whole model as a bundle, and reads it back.

    Args:
        trainer: after training.
        base: what the model was loaded from.
        rows: trained on; the first is used for the comparison.
        metrics: of the last evaluation, for card and record.

    Returns:
        The folder, `final` below the trainer's output folder.

    Raises:
        ReloadError: the saved model gives other logits than the one in memory.
    """
    folder = Path(trainer.args.output_dir) / "final"
    model = whole_model(trainer, base)
    if model is not None:
        model.eval()
        probe = trainer.data_collator.collate([rows[0]])
        if isinstance(model, PeftModel):
            model.save_pretrained(folder)
            trainer.processing_class.save_pretrained(folder)
        else:
            bundle(model, trainer.processing_class, folder, overwrite=True)
        write_json(folder / RECORD, record(trainer, model, base, len(rows), metrics))
        card(folder, base, metrics).save(folder / "README.md")
        check_reload(model, folder, probe)
    trainer.accelerator.wait_for_everyone()
    return folder


def whole_model(trainer: VideoSFTTrainer, base: str) -> PreTrainedModel | PeftModel | None:
    """The trained model in one piece, in the main process; None in all others.

    What FSDP2 or ZeRO-3 spread over the processes is gathered, one weight at a time, into a fresh copy on the CPU.

    Args:
        trainer: after training; all processes must call this.
        base: what the model was loaded from.
    """
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    if isinstance(model, FSDPModule):
        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    elif trainer.is_deepspeed_enabled:
        state = accelerator.get_state_dict(trainer.model)
    else:
        return model if accelerator.is_main_process else None
    if not accelerator.is_main_process:
        return None
    copy, _ = load(base, device="cpu", dtype=plain_model(model).dtype)
    if isinstance(model, PeftModel):
        copy = get_peft_model(copy, model.active_peft_config)
    copy.load_state_dict(state)
    return copy


def plain_model(model: torch.nn.Module) -> PreTrainedModel:
    """The model below an adapter, or as it is."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def record(
    trainer: VideoSFTTrainer, model: torch.nn.Module, base: str, rows: int, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """What the run was: base, data, options that differ from the defaults, versions, results."""
    defaults = {field.name: field.default for field in fields(trainer.args)}
    options = {name: value for name, value in trainer.args.to_dict().items() if value != defaults.get(name)}
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    packed = packed_weights(plain_model(model))
    return {
        "base": base,
        "base_fingerprint": fingerprint(plain_model(model), packed),
        "packed_weights": packed,
        "rows": rows,
        "steps": trainer.state.global_step,
        "last_loss": losses[-1] if losses else None,
        "metrics": dict(metrics),
        "learning_rates": trainer.learning_rates,
        "options": json.loads(json.dumps(options, default=str)),
        "versions": {module.__name__: module.__version__ for module in (torch, transformers, trl, peft)},
    }


def card(folder: Path, base: str, metrics: Mapping[str, float]) -> ModelCard:
    """A model card from the record."""
    known = read_json(folder / RECORD)
    header = ModelCardData(
        base_model=base,
        library_name="peft" if (folder / "adapter_config.json").is_file() else "transformers",
        pipeline_tag="video-text-to-text",
        tags=["video", "video-lmms"],
    )
    results = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items()) or "| (no evaluation) | |"
    text = f"""---
{header.to_yaml()}
---
# {folder.parent.name}

{base}, fine-tuned with video-lmms on {known["rows"]} chats in {known["steps"]} steps. `{RECORD}` holds every option
of the run and the versions it ran with.

| metric | value |
| --- | --- |
{results}
"""
    return ModelCard(text)


def check_reload(model: torch.nn.Module, folder: Path, batch: Mapping[str, torch.Tensor]) -> None:
    """Loads `folder` as a user would and compares logits on `batch` with those of the model in memory.

    Raises:
        ReloadError: they differ.
    """
    plain = plain_model(model)
    quantization = getattr(plain.config, "quantization_config", None)
    stored, _ = load_trained(folder, plain.dtype, quantization)
    if quantization is None:  # else it stands where it was packed
        stored.to(plain.device)
    dtypes = {name: weight.dtype for name, weight in model.named_parameters()}
    for name, weight in stored.named_parameters():  # PEFT reads in float32 what QLoRA trains in bfloat16
        weight.data = weight.data.to(dtypes[name])
    in_memory, read_back = (_logits(candidate, batch) for candidate in (model, stored))
    distance = (in_memory - read_back).abs().max().item()
    if not distance <= _TOLERANCE * max(1.0, in_memory.abs().max().item()):
        raise ReloadError(
            f"The model read back from {folder} gives logits that differ by {distance:.3g} from those of the trained "
            f"one (allowed: {_TOLERANCE:g} of the largest). The folder is kept; do not publish it."
        )


def load_trained(
    folder: Path, dtype: torch.dtype | str = "auto", quantization: QuantizationConfigMixin | None = None
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """An adapter on its base, or a whole model, with its processor.

    Args:
        folder: `final` of a run.
        dtype: of the model.
        quantization: of the base; None loads it whole, however the adapter was trained.

    Raises:
        ReloadError: the adapter was trained on another base than the one found.
    """
    if not (folder / "adapter_config.json").is_file():
        return load(folder, device="cpu", dtype=dtype)
    known = read_json(folder / RECORD)
    options = {"device": "cpu"} if quantization is None else {"device": None, "quantization_config": quantization}
    base, processor = load(known["base"], dtype=dtype, **options)
    found = fingerprint(base, known["packed_weights"])
    if found != known["base_fingerprint"]:
        raise ReloadError(
            f"{folder} was trained on {known['base']} with the fingerprint {known['base_fingerprint'][:12]}, but what "
            f"is there now has {found[:12]}. Put the base back that it was trained on."
        )
    return PeftModel.from_pretrained(base, folder).eval(), processor


def merge(adapter: Path, output: Path, overwrite: bool = False) -> list[Path]:
    """Folds an adapter into its base and writes the result as a bundle.

    Args:
        adapter: folder with `adapter_config.json`.
        output: folder to write.
        overwrite: replace what is there.

    Returns:
        The files written.

    Raises:
        VideoLmmError: `adapter` holds no adapter, or the base is another one.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise VideoLmmError(f"{adapter} holds no adapter: there is no adapter_config.json. Name the folder of one.")
    model, processor = load_trained(adapter, dtype="float32")
    dtype = load(read_json(adapter / RECORD)["base"], device="cpu")[0].dtype
    merged = model.merge_and_unload().to(dtype)  # added up in float32, stored as the base is
    return bundle(merged, processor, output, overwrite=overwrite)


@torch.no_grad()
def _logits(model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    plain = plain_model(model)
    # An encoder-decoder makes from labels what its decoder reads.
    left_out = () if plain.config.is_encoder_decoder else ("labels",)
    inputs = {
        name: value.to(plain.device, plain.dtype if value.is_floating_point() else None)
        for name, value in batch.items()
        if name not in left_out
    }
    inputs = expand_videos(plain, inputs)
    # The trainer's fused head has replaced `forward`; asked like this it answers with logits as ever.
    return model(**inputs).logits.float()


__all__ = ["RECORD", "ReloadError", "last_checkpoint", "load_trained", "merge", "save_result"]
