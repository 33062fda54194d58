# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Makes all five models known to lmms-eval, through the entry point `lmms_eval.models`:

    lmms-eval --model video_lmms --model_args pretrained=FOLDER_OR_ID --tasks mvbench --batch_size 1

Needs `pip install "video-lmms[eval]"`.
"""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """What lmms-eval's registry asks an entry point for."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="video_lmms",
        chat_class_path="video_lmms.evaluation.lmms_eval_model.VideoLmm",
        aliases=("video-lmms",),
    )
