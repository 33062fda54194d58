# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU before any question is asked: towers, choice of frames by similarity, aggregation; all of it streamed.

After https://github.com/Vision-CAIR/LongVU (Apache-2.0). Maps are held for kept frames only, and for at most
`config.max_frames` of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs

from .modeling_longvu_compression import (
    add_newlines,
    cap_frames,
    crop_box,
    find_distinct,
    lowres_size,
    resize_grid,
    window_mask,
)
from .modeling_video_lmm import encode_in_chunks


@dataclass
class VideoCache:
    """What a video gives before any question is asked; `get_video_cache` makes it, forward takes it for the pixels.

    Attributes:
        outputs: `last_hidden_state` (frames, cells, dim) are the aggregated grids.
        frames: (frames,) their positions among the given frames.
        distinct: (frames,) whether the selection by similarity keeps them.
        num_frames: of the video, dropped ones included.
        size: of a frame, in the order the crop reads it.
    """

    outputs: BaseModelOutputWithPooling
    frames: torch.Tensor
    distinct: torch.Tensor
    num_frames: int
    size: tuple[int, int]


class FrameScan(NamedTuple):
    """DINOv2's view of a video: kept positions, whether each is distinct, and their maps if few enough to hold."""

    frames: torch.Tensor
    distinct: torch.Tensor
    maps: torch.Tensor | None


class Budget(NamedTuple):
    """Tokens one video may take: `selection` decides on frames and stage, `tokens` is the limit."""

    selection: int
    tokens: int


def regroup(chunks: Iterable[torch.Tensor], window: int) -> Iterator[torch.Tensor]:
    """The same frames in whole windows, as many at once as a chunk completes; the last may be shorter."""
    rest = None
    for chunk in chunks:
        frames = chunk if rest is None else torch.cat([rest, chunk])
        whole = len(frames) // window * window
        if whole:
            yield frames[:whole]
        rest = frames[whole:] if whole < len(frames) else None
    if rest is not None:
        yield rest


def split_rows(output: ModelOutput, counts: list[int]) -> list[ModelOutput]:
    """The inverse of `concatenate`: every tensor of a model output cut into parts of `counts` rows."""

    def split(value: torch.Tensor | tuple) -> list:
        if isinstance(value, torch.Tensor):
            return list(value.split(counts))
        return list(zip(*map(split, value), strict=True))

    fields = {name: split(value) for name, value in output.items()}
    return [type(output)(**{name: parts[row] for name, parts in fields.items()}) for row in range(len(counts))]


class LongvuFrameEncoding:
    """The part of [`LongvuModel`] that turns pixels into one small grid per kept frame."""

    def encode_dinov2(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(frames, 3, H, W) -> DINOv2's maps on the common grid, (frames, grid * grid, dim)."""
        patches = self.dinov2_tower(pixel_values).last_hidden_state[:, 1:]  # the class token is not used
        return resize_grid(patches, self.config.grid_size)

    def encode_frames(
        self,
        pixel_values: torch.Tensor,
        pixel_values_dinov2: torch.Tensor,
        mask: torch.Tensor,
        maps: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Frames through towers and aggregator, in chunks.

        Args:
            pixel_values: (all frames, 3, H, W) for SigLIP.
            pixel_values_dinov2: (all frames, 3, H, W) for DINOv2.
            mask: (frames, cells, window), see `window_mask`.
            maps: (frames, grid * grid, dim) of DINOv2 if known already.
            places: (frames,) which of all frames to encode; None: all.

        Returns:
            `last_hidden_state` (frames, cells, dim), the aggregated grids.
        """
        if places is None:
            places = torch.arange(len(pixel_values), device=pixel_values.device)

        def encode(index: torch.Tensor) -> BaseModelOutputWithPooling:
            outputs = self.vision_tower(pixel_values[places[index]], return_dict=True, **kwargs)
            siglip = resize_grid(outputs.last_hidden_state, self.config.grid_size)
            dinov2 = self.encode_dinov2(pixel_values_dinov2[places[index]]) if maps is None else maps[index]
            projected = [
                projector(part) for projector, part in zip(self.tower_projectors, (siglip, dinov2), strict=True)
            ]
            outputs.last_hidden_state = self.aggregator(projected, mask[index])
            return outputs

        order = torch.arange(len(places), device=pixel_values.device)
        return encode_in_chunks(encode, order, self.config.vision_chunk_size)

    def frame_tokens(self, grids: torch.Tensor, size: tuple[int, int], lowres: bool) -> torch.Tensor:
        """Tokens of frames of one size at one resolution.

        Args:
            grids: (frames, cells, dim) from the aggregator.
            size: of the picture, in the order the crop reads it.
            lowres: on the low-resolution grid.

        Returns:
            (frames, tokens, text dim), cropped, each row ended by the newline.
        """
        side = self.config.token_side
        if lowres:
            size, side = lowres_size(size, side, self.config.lowres_token), self.config.lowres_token
        tokens = self.multi_modal_projector(resize_grid(grids, side))
        return add_newlines(tokens, crop_box(size, side), self.image_newline)

    def frame_capacity(self, budget: Budget) -> int:
        """From this many frames on, a video is thinned."""
        # CODEPATH: what was trained on videos sees most frames at low resolution; `-img`, on images, sees all in full.
        per_frame = self.config.lowres_token**2 if self.config.highres else self.config.image_token_len
        return max(1, budget.selection // per_frame)

    def stream_dinov2(self, pixel_values: torch.Tensor, pieces: list[int]) -> Iterator[torch.Tensor]:
        """DINOv2's maps piece by piece; short pieces share a call of the tower.

        Args:
            pixel_values: (frames, 3, H, W).
            pieces: frames per piece, one behind the other.
        """
        first = 0
        while pieces:
            taken, frames = 0, 0
            while taken < len(pieces) and (not taken or frames + pieces[taken] <= self.config.vision_chunk_size):
                frames += pieces[taken]
                taken += 1
            yield from self.encode_dinov2(pixel_values[first : first + frames]).split(pieces[:taken])
            first, pieces = first + frames, pieces[taken:]

    def scan_frames(self, stream: Iterable[torch.Tensor], keep_all: bool) -> FrameScan:
        """Looks at a video's maps from DINOv2 as they come, and holds those of distinct frames.

        Args:
            stream: (frames, grid * grid, dim) each; whole windows except for the last.
            keep_all: nothing is dropped.
        """
        flags, held, count, window = [], [], 0, self.config.selection_window
        for maps in stream:
            distinct = find_distinct(maps, self.config.dino_threshold, window)
            flags.append(distinct)
            held.append(maps if keep_all else maps[distinct])
            count += len(held[-1])
            # CODEPATH: a cap on the frames of any video, not a fork: 400 in all published checkpoints.
            if count > self.config.max_frames:
                held = [maps[:0]]  # too many to hold: those that the cap leaves are encoded again
        distinct = torch.cat(flags)
        frames = torch.arange(len(distinct), device=distinct.device) if keep_all else self.thin(distinct)
        # CODEPATH: the same cap.
        return FrameScan(frames, distinct[frames], torch.cat(held) if count <= self.config.max_frames else None)

    def thin(self, distinct: torch.Tensor) -> torch.Tensor:
        """Positions of the distinct frames of a whole video, `config.max_frames` at most."""
        positions = distinct.nonzero().squeeze(1)
        return cap_frames(positions, self.config.max_frames, len(distinct), self.config.selection_window)

    @torch.no_grad()
    def select_frames(
        self,
        chunks: Iterable[torch.Tensor],
        num_frames: int,
        num_prompt_tokens: int = 0,
        context_budget: int | None = None,
    ) -> torch.Tensor:
        """Which frames of a long video are kept, from a stream of DINOv2's pixels alone.

        Neither the clip nor its pixels need to fit in memory: decode once for this, and a second time only the frames
        it names, with `num_sampled_frames` to say so. The processor does both if it is given this method.

        Args:
            chunks: (frames, 3, H, W) each, of any number of frames, on any device.
            num_frames: in all chunks.
            num_prompt_tokens: of the prompt, placeholders included.
            context_budget: tokens that prompt and video may fill; by default the configuration's.

        Returns:
            (kept frames,) positions, ascending.
        """
        selection = (context_budget or self.config.context_length - self.config.reserve) - num_prompt_tokens
        pieces = regroup(chunks, self.config.selection_window)
        stream = (self.encode_dinov2(piece.to(self.device, self.dtype)) for piece in pieces)
        return self.scan_frames(stream, num_frames < self.frame_capacity(Budget(selection, 0))).frames

    def get_video_cache(
        self,
        pixel_values_videos: torch.Tensor,
        pixel_values_videos_dinov2: torch.Tensor,
        num_frames: torch.Tensor,
        video_sizes: torch.Tensor,
        num_prompt_tokens: torch.Tensor | None = None,
        context_budgets: torch.Tensor | None = None,
        num_sampled_frames: torch.Tensor | None = None,
        selected_frames: list[torch.Tensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> list[VideoCache]:
        """All of a video that does not depend on the question; a second question starts from here.

        Arguments as for [`get_video_features`]. The prompt's length matters to clips near the limit only: a frame that
        was dropped for a long prompt stays dropped, while one that was kept may be dropped later.

        Args:
            num_sampled_frames: (videos,) frames before [`select_frames`] chose those given; by default nobody chose.
            selected_frames: positions among each video's frames to use instead of choosing.
        """
        counts, sizes = num_frames.tolist(), [tuple(size) for size in video_sizes.tolist()]
        sampled = counts if num_sampled_frames is None else num_sampled_frames.tolist()
        if selected_frames is None:
            budgets = self.budgets(len(counts), num_prompt_tokens, None, context_budgets)
            scans = self.scan_videos(pixel_values_videos_dinov2, counts, sampled, budgets)
        else:
            scans = [FrameScan(frames, torch.ones_like(frames, dtype=torch.bool), None) for frames in selected_frames]
        kept, device = [len(scan.frames) for scan in scans], pixel_values_videos.device
        starts = torch.tensor([0, *counts[:-1]]).cumsum(0).tolist()
        places = torch.cat([start + scan.frames.to(device) for start, scan in zip(starts, scans, strict=True)])
        masks = [window_mask(size, self.config.grid_size, self.config.token_side, device) for size in sizes]
        mask = torch.stack(masks).repeat_interleave(torch.tensor(kept, device=device), dim=0)
        held = [scan.maps for scan in scans]
        maps = None if any(part is None for part in held) else torch.cat(held)
        outputs = self.encode_frames(pixel_values_videos, pixel_values_videos_dinov2, mask, maps, places, **kwargs)
        return [
            VideoCache(part, scan.frames, scan.distinct, count, size)
            for part, scan, count, size in zip(split_rows(outputs, kept), scans, sampled, sizes, strict=True)
        ]

    def scan_videos(
        self, pixel_values: torch.Tensor, counts: list[int], sampled: list[int], budgets: list[Budget]
    ) -> list[FrameScan]:
        """[`scan_frames`] of videos of `counts` frames, chosen of `sampled`, that lie one behind the other."""
        window = self.config.selection_window
        chunk = max(1, self.config.vision_chunk_size // window) * window
        pieces = [[min(chunk, count - first) for first in range(0, count, chunk)] for count in counts]
        stream = self.stream_dinov2(pixel_values, sum(pieces, []))
        return [
            self.scan_frames(islice(stream, len(own)), keep_all=count < max(before, self.frame_capacity(budget)))
            for own, count, before, budget in zip(pieces, counts, sampled, budgets, strict=True)
        ]

    def budgets(
        self,
        videos: int,
        num_prompt_tokens: torch.Tensor | None,
        num_text_tokens: torch.Tensor | None,
        context_budgets: torch.Tensor | None,
    ) -> list[Budget]:
        """One per video; counts that are not given are 0, as for a video alone.

        Raises:
            ValueError: a prompt leaves no room for its video.
        """
        total = self.config.context_length - self.config.reserve
        prompt, text, context = (
            [default] * videos if counts is None else counts.tolist()
            for counts, default in ((num_prompt_tokens, 0), (num_text_tokens, 0), (context_budgets, total))
        )
        budgets = [
            Budget(limit - n_in, limit - n_txt) for limit, n_in, n_txt in zip(context, prompt, text, strict=True)
        ]
        for budget, limit in zip(budgets, context, strict=True):
            if budget.tokens < 1:
                raise ValueError(
                    f"The prompt has {limit - budget.tokens} text tokens, which leaves no room for its video: prompt "
                    f"and video may fill {limit}. Shorten the prompt, or raise the processor's `context_length`."
                )
        return budgets


__all__ = ["Budget", "FrameScan", "LongvuFrameEncoding", "VideoCache"]
