# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Optical flow on disk: one file per video, written whole or not at all, within a budget.

Flow does not depend on questions and is the slowest part of training a frame selector, so it is computed once:

    files = extract_flow(model.flow_model, ["a.mp4", "b.mp4"], "flow/")
    flow = read_flow(files["a.mp4"])            # (frames, 2, 224, 224)

A run that was killed goes on with the first video that has no file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from torchvision.utils import flow_to_image

from video_lmms.conversion_scripts.conversion import progress
from video_lmms.errors import VideoLmmError
from video_lmms.modeling.modeling_raft import VideotgbFlowModel
from video_lmms.processing.video_reader import VideoReader
from video_lmms.training.spans_videotgb import thin_out


FRAMES_PER_READ = 16


class FlowFileError(VideoLmmError):
    """Flow that cannot be written or read."""


def flow_file(video: str | Path, folder: str | Path) -> Path:
    """Where the flow of a video is kept: its name, and a digest of its whole path, since names repeat."""
    video = Path(video)
    digest = hashlib.sha256(str(video.resolve()).encode()).hexdigest()[:12]
    return Path(folder) / f"{video.stem}-{digest}.safetensors"


def stream_frames(reader: VideoReader, numbers: Sequence[int], size: int) -> Iterator[torch.Tensor]:
    """Frames as VideoTGB sees them, a few at a time: (n, 3, size, size) float32, whole numbers from 0 to 255."""
    for _, frames, _ in reader.frames_at(numbers, chunk=FRAMES_PER_READ):
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        yield F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False).trunc()


def stream_flow(model: VideotgbFlowModel, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Flow between consecutive frames of one video that arrive in pieces; one per frame, the last one twice.

    Args:
        model: its configuration says whether it sees pixels or normalised frames.
        pieces: (n, 3, S, S) each, 0 to 255.

    Yields:
        (n, 2, S, S); nothing for a video of one frame.
    """
    mean, std = (
        torch.tensor(values).view(-1, 1, 1) for values in (model.config.pixel_mean, model.config.pixel_deviation)
    )
    previous, repeated = None, []
    for piece in pieces:
        frames = ((piece / 255 - mean) / std).to(model.device)
        frames = frames if previous is None else torch.cat([previous, frames])
        flows = list(model.flow_in_chunks(frames))
        yield from flows[:-1]
        previous, repeated = frames[-1:], flows[-1:]
    yield from repeated


def flow_of_video(
    model: VideotgbFlowModel, video: str | Path, rate: float = 1.0, max_frames: int | None = None
) -> torch.Tensor:
    """All flow of a video that is kept.

    Args:
        model: see [`stream_flow`].
        video: local file.
        rate: frames per second of the video's own clock.
        max_frames: of a longer video, the middles of that many equal parts.

    Returns:
        (frames, 2, S, S) with S the configuration's `flow_size`. Memory holds what is kept and a few frames.
    """
    with VideoReader.open(video) as reader:
        numbers = range(0, len(reader), max(1, int(reader.info.fps / rate)))
        wanted = torch.tensor(thin_out(len(numbers), max_frames or len(numbers)))
        kept, seen = [torch.zeros(0, 2, model.config.flow_size, model.config.flow_size)], 0
        for flow in stream_flow(model, stream_frames(reader, numbers, model.config.flow_size)):
            inside = wanted[(wanted >= seen) & (wanted < seen + len(flow))] - seen
            kept.append(flow[inside.to(flow.device)].cpu())
            seen += len(flow)
    return torch.cat(kept)


def extract_flow(
    model: VideotgbFlowModel,
    videos: Sequence[str | Path],
    folder: str | Path,
    rate: float = 1.0,
    max_frames: int = 64,
    max_bytes: int | None = None,
    dtype: torch.dtype = torch.float16,
) -> dict[str, Path]:
    """Writes the flow of every video that has no file yet.

    Args:
        model: RAFT.
        videos: local files.
        folder: created where needed; `.part` files in it are leftovers of a killed run.
        rate: frames per second; the model's inference takes 1.
        max_frames: flow fields kept per video; the original keeps 64.
        max_bytes: what all files together may take.
        dtype: of the stored flow.

    Returns:
        video -> file.

    Raises:
        FlowFileError: the budget is spent, or `folder` holds flow made with other settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"rate": str(rate), "max_frames": str(max_frames), "dtype": str(dtype)}
    settings |= {name: str(getattr(model.config, name)) for name in ("flow_input", "flow_size", "num_flow_updates")}
    files = {str(video): flow_file(video, folder) for video in videos}
    used = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    for done, (video, file) in enumerate(progress(list(files.items()), "Computing flow")):
        if file.is_file():
            check_settings(file, settings)
            continue
        flow = flow_of_video(model, video, rate, max_frames).to(dtype)
        used += flow.nbytes
        if max_bytes is not None and used > max_bytes:
            raise FlowFileError(
                f"The flow of {done} of {len(files)} videos fills the {max_bytes:,} bytes that {folder} may take; "
                f"{video} needs {flow.nbytes:,} more. Raise max_bytes, or keep fewer frames (max_frames={max_frames})."
            )
        part = file.with_suffix(".part")
        save_file({"flow": flow.contiguous()}, part, metadata=settings)
        os.replace(part, file)
    return files


def check_settings(file: Path, settings: dict[str, str]) -> None:
    """Refuses flow that was made another way, which training would silently mix.

    Raises:
        FlowFileError: naming the setting, or the file if it is damaged.
    """
    with open_flow(file) as opened:
        stored = opened.metadata() or {}
    for name, value in settings.items():
        if stored.get(name) != value:
            raise FlowFileError(
                f"{file} was made with {name}={stored.get(name)}, not {value}. Choose another folder, or remove it."
            )


def open_flow(file: Path) -> safe_open:
    """Raises FlowFileError, naming the file, where it is missing or damaged."""
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise FlowFileError(f"{file} is no flow file ({error}). Remove it and extract again.") from error


def read_flow(file: Path) -> torch.Tensor:
    """(frames, 2, S, S) float32.

    Raises:
        FlowFileError: missing or damaged.
    """
    with open_flow(file) as opened:
        return opened.get_tensor("flow").float()


def draw_flow(flow: torch.Tensor) -> torch.Tensor:
    """Flow as colours: hue for direction, saturation for length relative to the field's longest vector.

    Args:
        flow: (n, 2, H, W).

    Returns:
        (n, H, W, 3) uint8.
    """
    longest = flow.norm(dim=1).amax((1, 2)).view(-1, 1, 1, 1) + 1e-5
    return flow_to_image(flow / longest).permute(0, 2, 3, 1)


__all__ = ["FlowFileError", "draw_flow", "extract_flow", "flow_file", "flow_of_video", "read_flow", "stream_flow"]
