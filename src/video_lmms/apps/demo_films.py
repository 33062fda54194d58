# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What an answer rests on, as pictures: read again from the media, small, and only those that are shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..processing.video_errors import VideoLimits
from ..processing.video_inputs import open_video, unwrapped
from .conversation import KnownVideo, Medium
from .demo_views import Film, Picture
from .engine import Answer, Engine, Plan
from .pictures import MOST_THUMBNAILS, read_thumbnails, thumbnail


# Thumbnails that are kept for the next turn, which mostly shows the same ones.
_KEPT_THUMBNAILS = 512


class Thumbnails:
    """Small pictures of media, by content and frame.

    Args:
        limits: what media may be.
    """

    def __init__(self, limits: VideoLimits):
        self.limits = limits
        self._kept: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def of_video(self, medium: Medium, indices: Sequence[int]) -> list[np.ndarray]:
        """(height, width, 3) uint8 of each frame.

        Raises:
            VideoError: the video cannot be read.
        """
        missing = sorted({index for index in indices if (medium.digest, index) not in self._kept})
        if missing:
            for index, picture in zip(missing, self._read(medium, missing), strict=True):
                self._kept[medium.digest, index] = picture
        pictures = [self._kept[medium.digest, index] for index in indices]
        while len(self._kept) > _KEPT_THUMBNAILS:
            self._kept.popitem(last=False)
        return pictures

    def of_image(self, medium: Medium) -> np.ndarray:
        """(height, width, 3) uint8."""
        return thumbnail(np.asarray(medium.picture(self.limits).convert("RGB")))

    def _read(self, medium: Medium, indices: list[int]) -> list[np.ndarray]:
        payload = unwrapped(KnownVideo.of(medium))
        with open_video(payload, None, channels_first=False, limits=self.limits) as source:
            return read_thumbnails(source, indices)


def films_of(engine: Engine, plan: Plan, answer: Answer, thumbnails: Thumbnails) -> list[Film]:
    """One film per medium of a prompt, in order; images after videos.

    Args:
        engine: that answered.
        plan: of the answer.
        answer: whose facts say what was looked at.
        thumbnails: where pictures come from.

    Raises:
        VideoError: a medium cannot be read any more.
    """
    films = []
    for medium, facts in zip(plan.media["video"], answer.videos, strict=True):
        if medium.kind == "image":
            films.append(image_film(medium, thumbnails))
        else:
            films.append(video_film(medium, facts, engine.processor.video_processor, thumbnails))
    return films + [image_film(medium, thumbnails) for medium in plan.media["image"]]


def image_film(medium: Medium, thumbnails: Thumbnails) -> Film:
    """An image: the whole of it."""
    return Film(medium.name, None, "The whole image.", [Picture(thumbnails.of_image(medium), 0.0)])


def video_film(medium: Medium, facts: dict[str, Any], video_processor: Any, thumbnails: Thumbnails) -> Film:
    """A video: the frames the question chose, the frames that were kept, the clips, or simply the frames."""
    indices, times = facts["frames_indices"], facts["times"]
    if "chosen_frames" in facts:
        pairs = sorted(set(zip(facts["chosen_frames"], facts["chosen_times"], strict=True)))
        summary = describe_choice(facts, len(pairs))
        return frames_film(medium, facts, pairs, summary, thumbnails, candidates=times)
    if "kept_indices" in facts:
        kept = zip(facts["kept_indices"], facts["kept_times"], facts["kept_tokens"], strict=True)
        read = [(index, time, tokens) for index, time, tokens in kept if tokens]
        remarks = ["1 token" if tokens == 1 else f"{tokens} tokens" for *_, tokens in read]
        pairs = [(index, time) for index, time, _ in read]
        return frames_film(medium, facts, pairs, describe_kept(facts, len(pairs)), thumbnails, times, remarks)
    if hasattr(video_processor, "frames_per_clip"):
        return clips_film(medium, facts, video_processor.frames_per_clip, thumbnails)
    pairs = sorted(set(zip(indices, times, strict=True)))
    summary = f"{len(pairs)} frames, spread over {facts['num_frames']:,}."
    return frames_film(medium, facts, pairs, summary, thumbnails)


def describe_choice(facts: dict[str, Any], distinct: int) -> str:
    """One sentence on frames that were chosen."""
    if not facts["grounded"]:
        return f"{distinct} frames, evenly: the clip is too short or too long for the question to choose."
    among = len(facts["times"])
    return f"The question chose {distinct} frames, by the optical flow between {among}."


def describe_kept(facts: dict[str, Any], read: int) -> str:
    """One sentence on frames that were kept, `read` of which have tokens left."""
    kept, sampled, full = facts["kept_frames"], facts["sampled_frames"], facts["full_resolution_frames"]
    sizes = "all in full" if full == kept else f"{full} in full" if full else "all made small"
    left = "" if read == kept else f" in {read} frames that differ from those before"
    return f"{kept} of {sampled} frames kept, {sizes}; {facts['visual_tokens']:,} tokens{left}."


def frames_film(
    medium: Medium,
    facts: dict[str, Any],
    pairs: Sequence[tuple[int, float]],
    summary: str,
    thumbnails: Thumbnails,
    candidates: Sequence[float] = (),
    remarks: Sequence[str] = (),
) -> Film:
    """A film of single frames, as pairs of their number and their second."""
    shown = evenly(len(pairs), MOST_THUMBNAILS)
    pixels = thumbnails.of_video(medium, [pairs[place][0] for place in shown])
    remarks = remarks or [""] * len(pairs)
    pictures = [
        Picture(frame, pairs[place][1], remark=remarks[place]) for frame, place in zip(pixels, shown, strict=True)
    ]
    if len(shown) < len(pairs):
        summary += f" {len(shown)} are shown."
    looked = [(time, time) for _, time in pairs]
    return Film(medium.name, facts["duration"], summary, pictures, looked, list(candidates))


def clips_film(medium: Medium, facts: dict[str, Any], frames_per_clip: int, thumbnails: Thumbnails) -> Film:
    """A film of clips, each shown by the frame in its middle."""
    indices, times = facts["frames_indices"], facts["times"]
    starts = range(0, len(indices), frames_per_clip)
    clips = [(times[start], times[start + frames_per_clip - 1]) for start in starts]
    shown = evenly(len(clips), MOST_THUMBNAILS)
    middles = [indices[starts[place] + frames_per_clip // 2] for place in shown]
    pixels = thumbnails.of_video(medium, middles)
    pictures = [Picture(frame, *clips[place]) for frame, place in zip(pixels, shown, strict=True)]
    noun = "clip" if len(clips) == 1 else "clips"
    summary = f"{len(clips)} {noun} of {frames_per_clip} frames."
    if len(shown) < len(clips):
        summary += f" {len(shown)} are shown."
    return Film(medium.name, facts["duration"], summary, pictures, clips)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]
