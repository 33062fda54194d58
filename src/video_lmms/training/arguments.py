# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a recipe says beside TRL's `SFTConfig` (optimiser, steps, logging) and `ModelConfig` (model, LoRA, 4-bit)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from video_lmms.errors import VideoLmmError
from video_lmms.training.parts import CONNECTOR, LANGUAGE_MODEL, TOWER


if TYPE_CHECKING:
    from trl import SFTConfig


@dataclass
class VideoArguments:
    """Data, and what training does to each part of the model.

    Attributes:
        train_data: annotation files, saved data sets or ids of the Hub; see `video_lmms.data.rows`.
        eval_data: the same for evaluation; its first questions are also answered, and the share of right answers is
            logged as `eval_accuracy`.
        media_root: where relative media paths begin.
        skip_missing_media: leave out rows whose files are missing instead of refusing them.
        skip_unreadable: leave out videos that cannot be decoded, each with a warning, instead of stopping.
        vision_tower: what is trained of the towers: frozen, lora or full.
        connector: the same for all between towers and language model.
        language_model: the same for the language model and its head.
        frozen_modules: children of the model (`qformer`, for example) that stay frozen whatever their part does.
        feature_cache: folder in which features of frozen towers are kept, so that a second epoch runs no tower.
        feature_cache_gb: how large it may grow.
        vision_tower_lr: learning rate of the towers where it differs.
        connector_lr: of the connector.
        language_model_lr: of the language model.
        num_frames: frames per video, in place of the model's own rule.
        original_text: train on the original's own text and labels, where they differ from those of asking.
        audio_from_frames: train Video-LLaMA's ears as the original did, on what ImageBind sees.
    """

    train_data: list[str] = field(default_factory=list, metadata={"help": "Annotation files or data sets."})
    eval_data: list[str] = field(default_factory=list, metadata={"help": "The same, for evaluation."})
    media_root: str = field(default="", metadata={"help": "Where relative media paths begin."})
    skip_missing_media: bool = field(default=False, metadata={"help": "Leave out rows whose files are missing."})
    skip_unreadable: bool = field(default=False, metadata={"help": "Leave out videos that cannot be decoded."})
    vision_tower: str = field(default="frozen", metadata={"help": "Towers: frozen, lora or full."})
    connector: str = field(default="full", metadata={"help": "Projector and its like: frozen, lora or full."})
    language_model: str = field(default="lora", metadata={"help": "Language model: frozen, lora or full."})
    frozen_modules: list[str] = field(default_factory=list, metadata={"help": "Children that stay frozen."})
    feature_cache: str | None = field(default=None, metadata={"help": "Folder for features of frozen towers."})
    feature_cache_gb: float = field(default=100.0, metadata={"help": "How large the folder may grow."})
    vision_tower_lr: float | None = field(default=None, metadata={"help": "Learning rate of the towers."})
    connector_lr: float | None = field(default=None, metadata={"help": "Learning rate of the connector."})
    language_model_lr: float | None = field(default=None, metadata={"help": "Learning rate of the language model."})
    num_frames: int | None = field(default=None, metadata={"help": "Frames per video."})
    original_text: bool = field(default=False, metadata={"help": "Train on the original's own text and labels."})
    audio_from_frames: bool = field(default=False, metadata={"help": "Let Video-LLaMA's ears learn from frames."})

    @property
    def plan(self) -> dict[str, str]:
        """Part -> frozen, lora or full."""
        return {TOWER: self.vision_tower, CONNECTOR: self.connector, LANGUAGE_MODEL: self.language_model}

    @property
    def learning_rates(self) -> dict[str, float]:
        """Part -> learning rate, of parts that have their own."""
        rates = {
            TOWER: self.vision_tower_lr,
            CONNECTOR: self.connector_lr,
            LANGUAGE_MODEL: self.language_model_lr,
        }
        return {part: rate for part, rate in rates.items() if rate is not None}


def refuse_packing(args: SFTConfig) -> bool:
    """Whether rows are joined without padding, in place of TRL's own way, which knows nothing of media.

    Args:
        args: its `padding_free` is cleared.

    Raises:
        VideoLmmError: `packing` is set.
    """
    if args.packing:
        raise VideoLmmError(
            "packing cuts text into pieces of one length, which would part videos from their questions. "
            "padding_free=true joins the rows of a batch whole and without padding."
        )
    padding_free, args.padding_free = args.padding_free, False
    return padding_free


__all__ = ["VideoArguments", "refuse_packing"]
