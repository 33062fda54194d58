# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The video reader beside others: the same frames of the same clips, one reader after the other, round after round.

Machines differ and are busy, so what is reported are ratios within a round, and of those the median.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import av
import numpy as np

from ..processing.video_reader import VideoReader


OURS = "video-lmms"
FPS = 30

Read = Callable[[str, list[int]], np.ndarray]


@dataclass(frozen=True)
class ClipKind:
    """How a clip of the comparison is encoded."""

    file: str
    codec: str
    gop: int
    options: dict[str, str]


CLIPS = {
    "h264, GOP 30": ClipKind("gop30.mp4", "libx264", 30, {"preset": "veryfast", "x264-params": "scenecut=0"}),
    "h264, GOP 250": ClipKind("gop250.mp4", "libx264", 250, {"preset": "veryfast", "x264-params": "scenecut=0"}),
    "vp9 webm": ClipKind("vp9.webm", "libvpx-vp9", 128, {"deadline": "realtime", "cpu-used": "8", "b": "1M"}),
}


def write_clip(path: Path, kind: ClipKind, frames: int, size: tuple[int, int]) -> None:
    """Encodes a camera that wanders over a picture of soft blobs, with grain: moving, and neither flat nor noise."""
    rng = np.random.default_rng(0)
    width, height = size
    coarse = rng.integers(0, 256, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
    scene = av.VideoFrame.from_ndarray(coarse, format="rgb24")
    scene = scene.reformat(2 * width, 2 * height, "rgb24", interpolation="BICUBIC").to_ndarray()
    grain = rng.integers(-6, 7, scene.shape, dtype=np.int16)
    scene = np.clip(scene + grain, 0, 255).astype(np.uint8)
    unfinished = path.with_suffix(f".unfinished{path.suffix}")
    with av.open(str(unfinished), "w") as container:
        stream = container.add_stream(kind.codec, rate=FPS, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = kind.gop
        for number in range(frames):
            left = int((1 + np.sin(number / 90)) * width / 2)
            top = int((1 + np.cos(number / 70)) * height / 2)
            picture = np.ascontiguousarray(scene[top : top + height, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    unfinished.replace(path)


def samplings(frames: int) -> dict[str, list[int]]:
    """Name -> frame numbers: 8, 16 and 128 evenly spread frames, and one per second."""
    even = {f"{count} frames": np.linspace(0, frames - 1, count).astype(int).tolist() for count in (8, 16, 128)}
    return even | {"1 fps": list(range(0, frames, FPS))}


def read_ours(path: str, numbers: list[int]) -> np.ndarray:
    with VideoReader.open(path) as reader:
        return reader.read(numbers)


def read_decord(path: str, numbers: list[int]) -> np.ndarray:
    import decord

    return decord.VideoReader(path).get_batch(numbers).asnumpy()


def read_opencv_seeking(path: str, numbers: list[int]) -> np.ndarray:
    import cv2

    capture, frames = cv2.VideoCapture(path), []
    for number in numbers:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def read_opencv_passing(path: str, numbers: list[int]) -> np.ndarray:
    import cv2

    capture, frames, wanted = cv2.VideoCapture(path), [], set(numbers)
    for number in range(numbers[-1] + 1):
        capture.grab()
        if number in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def read_torchcodec(path: str, numbers: list[int]) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    return VideoDecoder(path, dimension_order="NHWC").get_frames_at(numbers).data.numpy()


def read_transformers(path: str, numbers: list[int]) -> np.ndarray:
    from transformers.video_utils import load_video

    return load_video(path, backend="pyav", sample_indices_fn=lambda metadata, **_: np.array(numbers))[0]


PEERS: dict[str, tuple[str, Read]] = {
    "decord": ("decord", read_decord),
    "opencv, seeking": ("cv2", read_opencv_seeking),
    "opencv, passing": ("cv2", read_opencv_passing),
    "torchcodec": ("torchcodec", read_torchcodec),
    "transformers pyav": ("transformers", read_transformers),
}


@dataclass
class Comparison:
    """One reader against ours on one clip and sampling.

    Attributes:
        clip, sampling, peer: which.
        wall, cpu: median of the peer's time over ours, round by round; None where the peer does not read the clip.
        seconds, our_seconds: median wall time of the peer and of ours.
        difference: mean absolute difference of the frames, in grey levels.
        problem: why there are no numbers.
    """

    clip: str
    sampling: str
    peer: str
    wall: float | None = None
    cpu: float | None = None
    seconds: float | None = None
    our_seconds: float | None = None
    difference: float | None = None
    problem: str | None = None


def timed(read: Read, path: str, numbers: list[int]) -> tuple[float, float, np.ndarray]:
    """Wall seconds, CPU seconds and the frames of one read, from opening to closing."""
    wall, cpu = time.perf_counter(), time.process_time()
    frames = read(path, numbers)
    return time.perf_counter() - wall, time.process_time() - cpu, frames


def usable_peers(path: str, peers: Sequence[str]) -> tuple[dict[str, Read], dict[str, str]]:
    """Readers that read a clip, and why the others do not."""
    usable, problems = {}, {}
    for name in peers:
        module, read = PEERS[name]
        if find_spec(module) is None:
            problems[name] = "not installed"
            continue
        try:
            read(path, [0, 1])
        except Exception as exc:  # whatever a stranger raises is what is to be told
            problems[name] = told(exc)
        else:
            usable[name] = read
    return usable, problems


def compare(
    clips: dict[str, Path], frames: int, rounds: int, peers: Sequence[str] = tuple(PEERS)
) -> Iterator[Comparison]:
    """Times all readers on all clips and samplings.

    Args:
        clips: name -> file.
        frames: number of frames of each.
        rounds: times each is read; readers take turns, and their order rotates.
        peers: names of `PEERS`.

    Yields:
        One comparison per clip, sampling and peer.
    """
    for clip, path in clips.items():
        usable, problems = usable_peers(str(path), peers)
        for sampling, numbers in samplings(frames).items():
            yield from compare_once(clip, str(path), sampling, numbers, {OURS: read_ours} | usable, rounds)
            for name, problem in problems.items():
                yield Comparison(clip, sampling, name, problem=problem)


def compare_once(
    clip: str, path: str, sampling: str, numbers: list[int], readers: dict[str, Read], rounds: int
) -> Iterator[Comparison]:
    """All readers on one sampling of one clip. A reader that fails on it is told so and left out from then on."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    difference: dict[str, float] = {}
    failed: dict[str, str] = {}
    for turn in range(rounds):
        order = list(readers)
        order = order[turn % len(order) :] + order[: turn % len(order)]
        shown: dict[str, np.ndarray] = {}
        for name in (name for name in order if name not in failed):
            try:
                wall, cpu, pictures = timed(readers[name], path, numbers)
            except Exception as exc:  # whatever a stranger raises is what is to be told
                failed[name] = f"failed in round {turn + 1}: {told(exc)}"
                continue
            times[name].append((wall, cpu))
            if turn == 0:
                shown[name] = pictures[:: max(1, len(numbers) // 8)].astype(np.int16)
        for name in shown.keys() - {OURS}:
            difference[name] = float(np.abs(shown[name] - shown[OURS]).mean())
    for name in readers.keys() - {OURS} - failed.keys():
        yield judged(clip, sampling, name, times[name], times[OURS], difference[name])
    for name, problem in failed.items():
        yield Comparison(clip, sampling, name, problem=problem)


def told(exc: Exception) -> str:
    """Kind and first line of an exception."""
    lines = str(exc).strip().splitlines() or [""]
    return f"{type(exc).__name__}: {lines[0][:100]}"


def judged(
    clip: str,
    sampling: str,
    peer: str,
    theirs: list[tuple[float, float]],
    ours: list[tuple[float, float]],
    difference: float,
) -> Comparison:
    """Medians over the rounds."""
    wall, cpu = ([their[part] / our[part] for their, our in zip(theirs, ours, strict=True)] for part in (0, 1))
    seconds, our_seconds = (median(times[0] for times in rounds) for rounds in (theirs, ours))
    return Comparison(clip, sampling, peer, median(wall), median(cpu), seconds, our_seconds, difference)
