# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Records what decord makes of the corpus. By hand, where decord is installed: `python tests/decord_frames.py`.

The clips are those on which decord is right and the two conversions to RGB can agree: 8 bits, even size, progressive.
A clip is known by its packets, since another version of an encoder writes other ones.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import av
import clips
import numpy as np


FRAMES_FILE = Path(__file__).parent / "processing" / "decord_frames.json"
HASHED = [
    "h264.mp4",
    "h264_b.mp4",
    "h264_b.mkv",
    "h264_b.flv",
    "uneven.mkv",
    "uneven.mp4",
    "uneven_b.mkv",
    "uneven_b.mp4",
    "gaps.mp4",
    "vp9.webm",
    "sound.mp4",
    "mpeg4.avi",
    "hevc.mp4",
    "hevc_open.mkv",
    "h264_open.mp4",
    "h264_444.mp4",
    "full_range.mp4",
    "one.mp4",
    "mjpeg.avi",
    "lossless.mkv",
    "late.mkv",
    "late.mp4",
    "fragmented.mp4",
    "wide.mp4",
    "small.mp4",
]
SIZES = ((112, 84), (224, 224))


def packets_hash(path: Path) -> str:
    """SHA-256 of the video packets of a clip."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


def frames_hash(frames: np.ndarray) -> str:
    """SHA-256 of shape and pixels."""
    return hashlib.sha256(str(frames.shape).encode() + np.ascontiguousarray(frames).tobytes()).hexdigest()


def record(path: Path) -> dict:
    """What decord shows of one clip, after a check that it shows the right frames."""
    import decord

    reader = decord.VideoReader(str(path))
    frames = np.stack([frame.asnumpy() for frame in reader])
    numbers = [clips.read_number(frame) for frame in frames]
    if numbers != clips.decoded_numbers(path):
        raise SystemExit(f"decord shows other frames of {path.name}: {numbers}")
    resized = {}
    for width, height in SIZES:
        small = decord.VideoReader(str(path), width=width, height=height)
        every = np.stack([frame.asnumpy() for frame in small])[::10]
        resized[f"{width}x{height}"] = frames_hash(every)
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
    return {"codec": codec, "packets": packets_hash(path), "frames": frames_hash(frames), "resized": resized}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: record(clips.make(name, Path(folder))) for name in HASHED}
    libraries = {name: list(version) for name, version in av.library_versions.items()}
    FRAMES_FILE.write_text(json.dumps({"libraries": libraries, "clips": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(rows)} clips", file=sys.stderr)


if __name__ == "__main__":
    main()
