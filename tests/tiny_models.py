# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The random tiny models that tests share, by `model_type`: modules with `tiny_model()` and `tiny_processor()`."""

from __future__ import annotations

from pathlib import Path

import tiny_apollo
import tiny_longvu
import tiny_pllava
import tiny_video_llama
import tiny_videotgb
import tiny_videotgb_t5


TINY_MODELS = {
    "apollo": tiny_apollo,
    "longvu": tiny_longvu,
    "pllava": tiny_pllava,
    "video_llama": tiny_video_llama,
    "videotgb": tiny_videotgb,
    "videotgb_t5": tiny_videotgb_t5,
}


def save_plainly(name: str, folder: Path) -> None:
    """Writes a random tiny model and its processor to a folder, without the code that a bundle has."""
    TINY_MODELS[name].tiny_model().save_pretrained(folder)
    TINY_MODELS[name].tiny_processor().save_pretrained(folder)
