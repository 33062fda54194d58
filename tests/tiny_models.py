# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The random tiny models that tests share, by `model_type`: modules with `tiny_model()` and `tiny_processor()`."""

from __future__ import annotations

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
