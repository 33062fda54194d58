# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the helper that downloads sample media: it makes media of the same kind here."""

import tempfile
from functools import cache
from pathlib import Path

from clips import encode
from PIL import Image
from sounds import tones, write_sound


@cache
def media_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="peer-suite-media-")


def url_to_local_path(url: str) -> str:
    """A local file like the one behind `url`: a picture, a clip of 11 frames at 30 per second, or a sound."""
    path = Path(media_folder().name) / url.rsplit("/", 1)[-1]
    if not path.exists():
        if path.suffix in (".jpg", ".png"):
            Image.effect_mandelbrot((64, 48), (-2, -1, 1, 1), 10).convert("RGB").save(path)
        elif path.suffix == ".mp4":
            encode(path, "libx264", frames=11, size=(320, 240))
        elif path.suffix == ".wav":
            write_sound(path, tones(1.0, 16000), 16000)
        elif path.suffix == ".mp3":
            write_sound(path, tones(1.0, 16000), 16000, codec="libmp3lame")
    return str(path)
