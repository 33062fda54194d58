# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The media that a run names, and the frames that a model was shown of them.

A client names a sample and the number of a medium, never a path. Frames are read by this package's own reader, so they
are the pictures that the model got, also of files that no browser plays and of folders of images.
"""

from __future__ import annotations

import mimetypes
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from ..evaluation.prompts import read_span
from ..evaluation.records import SampleRecord
from ..processing.video_errors import VideoError
from ..processing.video_inputs import open_video
from .gallery_samples import GalleryError
from .pictures import MOST_THUMBNAILS, encode_jpeg, read_thumbnails


# What the standard library does not know everywhere, or calls by a name that browsers refuse.
CONTENT_TYPES = {
    ".avi": "video/x-msvideo",
    ".flac": "audio/flac",
    ".flv": "video/x-flv",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/mp4",
    ".ogg": "audio/ogg",
    ".ts": "video/mp2t",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
_KEPT_STRIPS = 64


class MediaFolder:
    """Finds the files that one run names.

    Args:
        folder: the run's; relative paths are looked up from there, from the folders above it (where the run may have
            been started), then from where this program was started.
        root: where the media lie now, when they have moved since: looked up by as many of the last parts of a path as
            exist there.
    """

    def __init__(self, folder: Path, root: Path | None = None):
        self.folder, self.root = folder, root

    def find(self, name: str) -> Path:
        """The file, or the folder of image files.

        Raises:
            GalleryError: it is nowhere, or it is no medium.
        """
        if not name:
            raise GalleryError("The run names no file for this medium.", 404)
        path = next((place for place in self._places(name) if place.exists()), None)
        if path is None:
            moved = f", nor under {self.root}" if self.root else "; if it has moved, give --media-root"
            raise GalleryError(f"There is no {name} any more{moved}.", 404)
        if path.is_file() and content_type(path).partition("/")[0] not in ("video", "audio", "image"):
            raise GalleryError(f"{name} is neither video, audio nor image by its name, so it is not shown.", 415)
        return path

    def _places(self, name: str) -> list[Path]:
        """Where it may be, most likely first; an absolute path is the same from everywhere."""
        above = self.folder.resolve().parents
        places = (
            [Path(name)] if PurePath(name).is_absolute() else [Path(base, name) for base in (self.folder, *above, ".")]
        )
        if self.root is not None:
            parts = [part for part in _parts(name) if part != ".."]
            places += [self.root.joinpath(*parts[first:]) for first in range(len(parts))]
        return places


class Strips:
    """Pictures of sampled frames as JPEG, read once per medium and kept for the last few media.

    Readers are not shared among threads, and a page asks for all pictures of a strip at once: they are read by one
    request while the others wait.
    """

    def __init__(self) -> None:
        self._strips: OrderedDict[tuple[str, int, tuple[int, ...]], dict[int, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def picture(self, path: Path, indices: Sequence[int], index: int) -> bytes:
        """Frame `index` of a clip as JPEG, read together with all of `indices`.

        Raises:
            GalleryError: the frame is not among `indices`, or the clip cannot be read.
        """
        if index not in indices:
            raise GalleryError(f"Frame {index} is not among those that the run names for its strip.", 404)
        key = (str(path), path.stat().st_mtime_ns, tuple(indices))
        with self._lock:
            if key not in self._strips:
                self._strips[key] = read_strip(path, sorted(set(indices)))
                if len(self._strips) > _KEPT_STRIPS:
                    self._strips.popitem(last=False)
            self._strips.move_to_end(key)
            return self._strips[key][index]


def read_strip(path: Path, indices: Sequence[int]) -> dict[int, bytes]:
    """Small JPEG pictures of some frames, which ascend.

    Raises:
        GalleryError: the clip cannot be read, or is shorter than the run says.
    """
    try:
        with open_video(str(path), metadata=None, channels_first=False) as video:
            beyond = [index for index in indices if not 0 <= index < video.metadata.total_num_frames]
            if beyond:
                raise GalleryError(
                    f"The run names frame {beyond[-1]} of {path.name}, which has {video.metadata.total_num_frames} "
                    "frames: this is not the file that the model was shown.",
                    404,
                )
            pictures = read_thumbnails(video, indices)
    except (VideoError, OSError) as error:
        raise GalleryError(str(error), 415) from error
    return {index: encode_jpeg(picture) for index, picture in zip(indices, pictures, strict=True)}


def content_type(path: Path) -> str:
    """The MIME type that a file's name stands for."""
    suffix = path.suffix.lower()
    return CONTENT_TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def is_address(name: str) -> bool:
    """Whether a medium is one on the web, which the page links to and the server does not fetch."""
    return name.startswith(("http://", "https://"))


def describe_media(record: SampleRecord, media: MediaFolder) -> list[dict[str, Any]]:
    """For each medium of a sample: what it is, whether it is there, and what the model looked at when.

    `kind` is "video", "audio", "image", "frames" (a folder), "link" or "missing" (`problem` says why). `frames` are
    the sampled ones, `strip` those of them with pictures; times are seconds in the whole clip.
    """
    described = []
    for number, medium in enumerate(record.get("media") or ()):
        name = str(medium.get("path", ""))
        facts = {"name": PurePath(name).name or name, "path": name, "problem": "", **_span(medium)}
        facts["kind"], facts["problem"] = _kind(name, str(medium.get("type", "video")), media)
        frames = sampled_frames(record, number)
        chosen = _entry(record.get("chosen"), number) or {}
        readable = facts["kind"] in ("video", "frames") or name.lower().endswith((".gif", ".webp"))
        facts |= {"frames": frames, "strip": strip_frames(record, number) if readable else []}
        facts |= _choice(chosen, frames) | {"spans": _spans(record, chosen)}
        described.append(facts)
    return described


def sampled_frames(record: SampleRecord, number: int) -> list[dict[str, Any]]:
    """Index and time (None where the run has none) of each frame that was sampled from a medium."""
    indices = _entry(record.get("frames"), number) or []
    times = _entry(record.get("times"), number) or []
    padded = [*times, *[None] * (len(indices) - len(times))]
    return [{"index": index, "time": time} for index, time in zip(indices, padded[: len(indices)], strict=True)]


def strip_frames(record: SampleRecord, number: int) -> list[int]:
    """Which of a medium's sampled frames get a picture: those the model chose, and others spread evenly."""
    indices = sorted({frame["index"] for frame in sampled_frames(record, number)})
    chosen = _entry(record.get("chosen"), number) or {}
    wanted = spread(sorted({*chosen.get("chosen_frames", ()), *_kept_in_full(chosen)} & set(indices)), MOST_THUMBNAILS)
    others = [index for index in indices if index not in set(wanted)]
    return sorted({*wanted, *spread(others, MOST_THUMBNAILS - len(wanted))})


def spread(items: list[int], most: int) -> list[int]:
    """At most so many of the items, evenly."""
    return items if len(items) <= most else [items[place * len(items) // most] for place in range(most)]


def _kept_in_full(chosen: dict[str, Any]) -> list[int]:
    """Frames that a model which drops what repeats kept with all their tokens."""
    kept = zip(chosen.get("kept_indices", ()), chosen.get("kept_in_full", ()), strict=False)
    return [index for index, in_full in kept if in_full]


def _choice(chosen: dict[str, Any], frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Frames that the model chose, or kept of those it saw, with times; and what else it says of its choice.

    `in_full` is False for frames of which it kept only some tokens.
    """
    time_of = {frame["index"]: frame["time"] for frame in frames}
    indices = list(chosen.get("chosen_frames") or chosen.get("kept_indices") or ())
    full = set(_kept_in_full(chosen)) if "kept_in_full" in chosen else set(indices)
    times = chosen.get("chosen_times") or chosen.get("kept_times") or [time_of.get(index) for index in indices]
    return {
        "chosen": [
            {"index": index, "time": time, "in_full": index in full}
            for index, time in zip(indices, times, strict=False)
        ],
        "facts": {name: value for name, value in chosen.items() if not isinstance(value, (list, dict))},
    }


def _spans(record: SampleRecord, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Parts of the clip on the time line: what the model found; of a question about when, what is expected and what
    was answered. Two draws may find the same span, which is told once."""
    spans = list(chosen.get("spans") or ())
    scores = [*(chosen.get("span_scores") or ()), *[None] * len(spans)]
    told: list[dict[str, Any]] = []
    for (start, end), score in zip(spans, scores, strict=False):
        span = {"kind": "found", "start": start, "end": end, "scores": score}
        told += [] if span in told else [span]
    expected = record.get("expected")
    if isinstance(expected, list) and [type(bound) for bound in expected] in ([float] * 2, [int] * 2):
        answered = read_span(record).parsed
        for kind, bounds in (("expected", expected), ("answered", answered)):
            told += [{"kind": kind, "start": bounds[0], "end": bounds[1], "scores": None}] if bounds else []
    return told


def _kind(name: str, stated: str, media: MediaFolder) -> tuple[str, str]:
    """What a medium is, and what is wrong with it."""
    if is_address(name):
        return "link", ""
    try:
        path = media.find(name)
    except GalleryError as error:
        return "missing", str(error)
    if path.is_dir():
        return "frames", ""
    kind = content_type(path).partition("/")[0]
    return ("audio" if stated == "audio" else kind), ""


def _span(medium: dict[str, Any]) -> dict[str, float | None]:
    return {"start": medium.get("start"), "end": medium.get("end")}


def _entry(entries: Any, number: int) -> Any:
    """The entry of a medium; a single mapping is that of the first."""
    if isinstance(entries, dict):
        entries = [entries]
    return entries[number] if entries and number < len(entries) else None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path that may have been written on another system, without root or drive."""
    path = PureWindowsPath(name) if "\\" in name else PurePath(name)
    return path.parts[1:] if path.anchor else path.parts
