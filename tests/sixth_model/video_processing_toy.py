# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Toy's video input: evenly spaced frames, squeezed to a square. Step 3 of the checklist."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling
from transformers.video_utils import VideoMetadata

from .video_inputs import FrameTransform
from .video_processing_video_lmm import VideoLmmVideoProcessor, resize_frame


class ToyVideoProcessor(VideoLmmVideoProcessor):
    """Videos to `pixel_values_videos` (videos, frames, 3, 16, 16)."""

    resample = PILImageResampling.BILINEAR
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"height": 16, "width": 16}
    do_resize = True
    num_frames = 4

    def sample_frames(self, metadata: VideoMetadata, num_frames: int | None = None, **kwargs: Any) -> list[int]:
        """Indices from the first to the last frame."""
        return (
            np.linspace(0, metadata.total_num_frames - 1, num_frames or self.num_frames).round().astype(int).tolist()
        )

    def frame_transforms(
        self, sizes: Sequence[tuple[int, int]], *, size: Any, resample: int, backend: str, **options: Any
    ) -> list[FrameTransform]:
        """One resize."""
        target = (size.height, size.width)
        return [partial(resize_frame, size=target, resample=resample, backend=backend)] * len(sizes)


__all__ = ["ToyVideoProcessor"]
