# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Decoded frames to upright RGB arrays, by the conversions that equal decord's bit for bit."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import VideoReformatter

from .video_errors import translate_errors


_TURNING_FILTERS = ((), (("transpose", "cclock"),), (("hflip", None), ("vflip", None)), (("transpose", "clock"),))
_TURNS = {(1, 0): 0, (0, -1): 1, (-1, 0): 2, (0, 1): 3}
_UNIT = 1 << 16


class Orientation(NamedTuple):
    """How a stored picture is brought upright.

    Attributes:
        mirrored: whether left and right are exchanged, before turning.
        turns: counter-clockwise quarter turns, 0 to 3.
        exact: false where the display matrix asks for another angle, and the nearest quarter turn is used.
    """

    mirrored: bool = False
    turns: int = 0
    exact: bool = True


def orientation(frame: av.VideoFrame) -> Orientation:
    """What the frame's display matrix asks for: players turn and mirror by it, and so did decord turn."""
    stored = frame.side_data.get(SideData.DISPLAYMATRIX)
    if stored is None:
        return Orientation()
    # A point (x, y) of the stored picture is shown at (a x + c y, b x + d y), with y downwards, in 16.16 fixed point.
    a, b, _, c, d = (int(value) / _UNIT for value in np.frombuffer(bytes(stored), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    lengthwise = abs(a) >= abs(b)
    direction = (int(np.sign(a)), 0) if lengthwise else (0, int(np.sign(b)))
    return Orientation(mirrored, _TURNS.get(direction, 0), min(abs(a), abs(b)) < 1e-3 * max(abs(a), abs(b), 1e-9))


class Painter:
    """Turns decoded frames into upright RGB arrays."""

    def __init__(self, name: str, rotate: bool) -> None:
        self._name = name
        self._rotate = rotate
        self._orientation: Orientation | None = None
        # Of its own: a frame that converts itself has a converter, with threads, that lives as long as the frame.
        self._converter = VideoReformatter()
        self._graph: av.filter.Graph | None = None
        self._graph_key: tuple | None = None

    def upright_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(width, height) of a frame once it is turned."""
        return (frame.height, frame.width) if self.wanted(frame).turns % 2 else (frame.width, frame.height)

    def wanted(self, frame: av.VideoFrame) -> Orientation:
        """How the clip's frames are turned: as the first one asks for, and not at all unless `rotate`."""
        if self._orientation is None:
            # Once: looking at side data ties a frame into a cycle, and frames would wait for the garbage collector.
            self._orientation = orientation(frame) if self._rotate else Orientation()
        return self._orientation

    def paint(self, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """Converts a frame to a contiguous (height, width, 3) uint8 RGB array; `size` is (width, height), upright."""
        wanted = self.wanted(frame)
        upright = (frame.height, frame.width) if wanted.turns % 2 else (frame.width, frame.height)
        with translate_errors(self._name, "converting a frame to RGB"):
            if size == upright and _converts_plainly(frame):
                picture = self._converter.reformat(frame, format="rgb24").to_ndarray()
                picture = picture[:, ::-1] if wanted.mirrored else picture
                return np.ascontiguousarray(np.rot90(picture, wanted.turns) if wanted.turns else picture)
            layout = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range))
            key = (layout, wanted, size)
            if self._graph_key != key:
                self._graph, self._graph_key = _graph(*key), key
            self._graph.push(frame)
            return self._graph.pull().to_ndarray()


def _converts_plainly(frame: av.VideoFrame) -> bool:
    """Whether the short conversion equals the filter graph's: progressive frames of 8 bits and even size."""
    even = frame.width % 2 == 0 and frame.height % 2 == 0
    return even and not frame.interlaced_frame and all(part.bits <= 8 for part in frame.format.components)


def _graph(layout: tuple[int, int, str, int, int], wanted: Orientation, size: tuple[int, int]) -> av.filter.Graph:
    """A filter graph that turns, then scales: the order in which decord does it, and the result bit for bit."""
    width, height, pixel_format, colorspace, color_range = layout
    # The time base is required and without effect: one frame goes in, one comes out.
    source = (
        f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1000:pixel_aspect=1/1:"
        f"colorspace={colorspace}:range={color_range}"
    )
    mirror = (("hflip", None),) if wanted.mirrored else ()
    scale = ("scale", f"{size[0]}:{size[1]}:flags=bilinear")
    turning = _TURNING_FILTERS[wanted.turns]
    steps = [("buffer", source), *mirror, *turning, scale, ("format", "rgb24"), ("buffersink", None)]
    graph = av.filter.Graph()
    for before, after in pairwise([graph.add(name, settings) for name, settings in steps]):
        before.link_to(after)
    graph.configure()
    return graph


__all__ = ["Orientation", "Painter", "orientation"]
