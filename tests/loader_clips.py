# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A dataset of clips that workers of a DataLoader open for themselves, importable in a spawned process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import clips
from torch.utils.data import Dataset

from video_lmms.processing.video_reader import VideoReader


class NumberedClips(Dataset):
    """Entry `i` is what the frames `wanted` of clip `i` show, and with how many decoder threads they were read.

    Args:
        paths: the clips.
        wanted: frame numbers.
    """

    def __init__(self, paths: Sequence[Path], wanted: Sequence[int]):
        self.paths, self.wanted = list(paths), list(wanted)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[list[int], int]:
        with VideoReader.open(self.paths[place]) as reader:
            shown = [clips.read_number(frame) for frame in reader.read(self.wanted)]
            return shown, reader._decoder.threads
