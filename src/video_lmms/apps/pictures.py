# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Small pictures of frames, for pages: read again from the media, scaled while they stream by, and as JPEG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..processing.video_inputs import VideoSource, stream_frames


# Pixels: twice the height at which pages show them, for dense screens.
THUMBNAIL_HEIGHT = 144
# More frames than these get no picture of their own; those that do stand evenly among all.
MOST_THUMBNAILS = 24
_QUALITY = 85


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """A frame (height, width, 3) uint8 at the height of a thumbnail, or as it is where it is no higher."""
    height, width = frame.shape[:2]
    if height <= THUMBNAIL_HEIGHT:
        return frame
    size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, reducing_gap=2))


def read_thumbnails(video: VideoSource, indices: Sequence[int]) -> list[np.ndarray]:
    """Thumbnails of some frames, which ascend, of a video opened with `channels_first=False`.

    Raises:
        VideoError: a frame cannot be read.
    """
    return [frame for frames in stream_frames(video, indices, thumbnail, chunk=8) for frame in frames]


def encode_jpeg(picture: np.ndarray) -> bytes:
    """(height, width, 3) uint8 RGB as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
