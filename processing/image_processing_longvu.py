# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU's image input: what a video frame goes through, and the size in its true order."""

from typing import Any

import numpy as np
from transformers import SiglipImageProcessorPil
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.processing_utils import ImagesKwargs

from .video_processing_longvu import fit_tower


class LongvuImageProcessorKwargs(ImagesKwargs, total=False):
    """
    size_dinov2 (`dict`, *optional*):
        Height and width of DINOv2's pixels.
    image_mean_dinov2 (`list[float]`, *optional*):
        Mean of DINOv2's normalisation; its 8-bit value fills DINOv2's padding.
    image_std_dinov2 (`list[float]`, *optional*):
        Standard deviation of DINOv2's normalisation.
    """

    size_dinov2: dict[str, int] | None
    image_mean_dinov2: list[float] | tuple[float, ...] | None
    image_std_dinov2: list[float] | tuple[float, ...] | None


class LongvuImageProcessor(SiglipImageProcessorPil):
    """Images to `pixel_values` and `pixel_values_dinov2` (images, 3, height, width), `image_sizes` (images, 2).

    Sizes are (width, height), as the model's crop reads them.
    """

    valid_kwargs = LongvuImageProcessorKwargs
    model_input_names = ["pixel_values", "pixel_values_dinov2", "image_sizes"]
    size = {"height": 384, "width": 384}
    size_dinov2 = {"height": 378, "width": 378}
    image_mean_dinov2 = IMAGENET_DEFAULT_MEAN
    image_std_dinov2 = IMAGENET_DEFAULT_STD

    def _preprocess(
        self,
        images: list[np.ndarray],
        size: Any,
        size_dinov2: dict[str, int],
        image_mean: Any,
        image_std: Any,
        image_mean_dinov2: Any,
        image_std_dinov2: Any,
        resample: int,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        return_tensors: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        towers = {
            "pixel_values": ((size.height, size.width), image_mean, image_std),
            "pixel_values_dinov2": (
                (size_dinov2["height"], size_dinov2["width"]),
                image_mean_dinov2,
                image_std_dinov2,
            ),
        }
        frames = [three_channels(image.transpose(1, 2, 0)) for image in images]
        data: dict[str, list] = {"image_sizes": [[frame.shape[1], frame.shape[0]] for frame in frames]}
        for name, (target, mean, std) in towers.items():
            data[name] = []
            for frame in frames:
                pixels = fit_tower(frame, target, mean, resample, backend="exact").transpose(2, 0, 1)
                if do_rescale:
                    pixels = self.rescale(pixels, rescale_factor)
                if do_normalize:
                    pixels = self.normalize(pixels, mean, std)
                data[name].append(pixels)
        return BatchFeature(data, tensor_type=return_tensors)


def three_channels(image: np.ndarray) -> np.ndarray:
    """(height, width, channels) as the towers see it: grey is repeated, transparency dropped."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else np.ascontiguousarray(image[..., :3])


__all__ = ["LongvuImageProcessor"]
