# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo's pixel chains, one per tower, and its image input.

Each frame is padded to a centred square in the tower's mean colour. SigLIP's copy is resized by an antialiased
bicubic filter, InternVideo2's by the bilinear filter that OpenCV applies to 8-bit images, in its fixed-point
arithmetic: the towers were trained on these pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import SiglipImageProcessorPil
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling
from transformers.processing_utils import ImagesKwargs

from .video_processing_video_lmm import resize_frame


# OpenCV's fixed-point weights have 11 bits.
WEIGHT_ONE = 2048


def pad_to_square(frame: np.ndarray, colour: Sequence[int]) -> np.ndarray:
    """(height, width, 3) -> (side, side, 3), the frame in the middle of a plain ground."""
    height, width = frame.shape[:2]
    if height == width:
        return frame
    side = max(height, width)
    square = np.empty((side, side, 3), frame.dtype)
    square[:] = colour
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame
    return square


def mean_colour(mean: Sequence[float] | float) -> tuple[int, ...]:
    """The 8-bit colour of a tower's mean, truncated: 0.5 gives 127. One number stands for all channels."""
    return tuple(int(255 * channel) for channel in np.broadcast_to(mean, 3))


def bilinear_taps(size_in: int, size_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Left neighbour and distance from it, (size_out,) each, of every output position."""
    positions = ((np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5).astype(np.float32)
    left = np.floor(positions).astype(np.int64)
    return left, positions - left.astype(np.float32)


def fixed_point(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the left and the right neighbour."""
    weights = np.float32(1) - distance, distance
    return tuple(np.rint(weight * np.float32(WEIGHT_ONE)).astype(np.int32) for weight in weights)


def resize_bilinear(frame: np.ndarray, size: int) -> np.ndarray:
    """Resizes a square 8-bit frame as OpenCV's linear mode does, bit for bit: two taps per axis, no antialiasing.

    Args:
        frame: (side, side, 3) uint8.
        size: side of the result.
    """
    side = len(frame)
    if side == size:
        return frame
    if side == 2 * size:  # OpenCV averages blocks of four here
        blocks = frame.reshape(size, 2, size, 2, 3).astype(np.int32).sum(axis=(1, 3))
        return ((blocks + 2) >> 2).astype(np.uint8)
    left, distance = bilinear_taps(side, size)
    rows = np.clip(left, 0, side - 1), np.clip(left + 1, 0, side - 1)
    row_weights = fixed_point(distance)
    # Across a row, but not down a column, OpenCV also resets the distance at the border.
    distance = np.where((left < 0) | (left >= side - 1), np.float32(0), distance)
    columns = rows[0], np.clip(rows[0] + 1, 0, side - 1)
    column_weights = fixed_point(distance)
    parts = []
    for row, weight in zip(rows, row_weights, strict=True):
        line = frame[row]
        across = sum(
            line[:, column].astype(np.int32) * part[None, :, None]
            for column, part in zip(columns, column_weights, strict=True)
        )
        parts.append((weight[:, None, None] * (across >> 4)) >> 16)
    return ((parts[0] + parts[1] + 2) >> 2).astype(np.uint8)


@dataclass(frozen=True)
class TwoTowerFrame:
    """The pixel chain of one frame, up to 8-bit images of both towers' sizes.

    Attributes:
        siglip_size: (height, width), or None to leave the padded frame at its size.
        internvideo2_size: side, or None.
        siglip_mean: decides the colour of SigLIP's padding.
        internvideo2_mean: likewise.
        resample: SigLIP's filter.
        backend: `"exact"` resizes with PIL, `"torchvision"` is close to it; concerns SigLIP.
    """

    siglip_size: tuple[int, int] | None
    internvideo2_size: int | None
    siglip_mean: Sequence[float]
    internvideo2_mean: Sequence[float]
    resample: int
    backend: str = "exact"

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(height, width, channels) -> a record with the fields `siglip` and `internvideo2`, (size, size, 3) each.

        One record per frame lets two images travel where the video reader expects one array.

        Raises:
            ValueError: the frame is not 8-bit, or has neither one, three nor four channels.
        """
        frame = rgb(frame)
        siglip = pad_to_square(frame, mean_colour(self.siglip_mean))
        internvideo2 = pad_to_square(frame, mean_colour(self.internvideo2_mean))
        if self.siglip_size is not None:
            siglip = resize_frame(siglip, self.siglip_size, self.resample, self.backend)
        if self.internvideo2_size is not None:
            internvideo2 = resize_bilinear(internvideo2, self.internvideo2_size)
        fields = [("siglip", np.uint8, siglip.shape), ("internvideo2", np.uint8, internvideo2.shape)]
        record = np.empty((), fields)
        record["siglip"], record["internvideo2"] = siglip, internvideo2
        return record


def rgb(frame: np.ndarray) -> np.ndarray:
    """A frame with three 8-bit channels: grey is repeated, transparency dropped."""
    if frame.dtype != np.uint8:
        raise ValueError(f"Apollo's frames must be 8-bit (uint8, 0 to 255), got {frame.dtype}.")
    channels = frame.shape[-1]
    if channels not in (1, 3, 4):
        raise ValueError(f"A frame must have 1, 3 or 4 channels, got {channels}.")
    return np.repeat(frame, 3, axis=-1) if channels == 1 else frame[..., :3]


class ApolloImageProcessorKwargs(ImagesKwargs, total=False):
    """
    internvideo2_size (`int`, *optional*, defaults to 224):
        Side of InternVideo2's images.
    internvideo2_mean (`list[float]`, *optional*):
        Its mean; also the colour of its padding.
    internvideo2_std (`list[float]`, *optional*):
        Its standard deviation.
    """

    internvideo2_size: int
    internvideo2_mean: list[float] | tuple[float, ...]
    internvideo2_std: list[float] | tuple[float, ...]


class ApolloImageProcessor(SiglipImageProcessorPil):
    """Images to `pixel_values` (images, 3, 384, 384) and `pixel_values_internvideo2` (images, 3, 224, 224).

    `size`, `image_mean` and `image_std` are SigLIP's. An image gives the pixels of a frame.
    """

    valid_kwargs = ApolloImageProcessorKwargs
    model_input_names = ["pixel_values", "pixel_values_internvideo2"]
    resample = PILImageResampling.BICUBIC
    size = {"height": 384, "width": 384}
    internvideo2_size = 224
    internvideo2_mean = IMAGENET_DEFAULT_MEAN
    internvideo2_std = IMAGENET_DEFAULT_STD

    def _preprocess(
        self,
        images: list[np.ndarray],
        do_resize: bool,
        size: Any,
        resample: int,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        internvideo2_size: int,
        internvideo2_mean: Sequence[float],
        internvideo2_std: Sequence[float],
        return_tensors: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        transform = TwoTowerFrame(
            siglip_size=(size.height, size.width) if do_resize else None,
            internvideo2_size=internvideo2_size if do_resize else None,
            siglip_mean=image_mean,
            internvideo2_mean=internvideo2_mean,
            resample=resample,
        )
        records = [transform(np.moveaxis(image, 0, -1)) for image in images]
        towers = {
            "pixel_values": ("siglip", image_mean, image_std),
            "pixel_values_internvideo2": ("internvideo2", internvideo2_mean, internvideo2_std),
        }
        data = {}
        for name, (tower, mean, std) in towers.items():
            pixels = [np.moveaxis(record[tower], -1, 0) for record in records]
            if do_rescale:
                pixels = [self.rescale(image, rescale_factor) for image in pixels]
            if do_normalize:
                pixels = [self.normalize(image, mean, std) for image in pixels]
            data[name] = pixels
        return BatchFeature(data, tensor_type=return_tensors)


__all__ = ["ApolloImageProcessor", "TwoTowerFrame", "pad_to_square", "resize_bilinear"]
