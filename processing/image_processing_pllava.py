# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA's image input: an image is treated as a video of one frame."""

from typing import Any

import numpy as np
from transformers import CLIPImageProcessorPil
from transformers.feature_extraction_utils import BatchFeature

from .video_processing_pllava import harmonise_sizes, pllava_frame


class PllavaImageProcessor(CLIPImageProcessorPil):
    """Images to `pixel_values` (images, 3, 336, 336) through the same two bicubic passes as video frames.

    Images never influence each other: each is planned alone.
    """

    size = {"shortest_edge": 336}
    crop_size = {"height": 336, "width": 336}

    def _preprocess(
        self,
        images: list[np.ndarray],
        do_resize: bool,
        size: Any,
        resample: int,
        do_center_crop: bool,
        crop_size: Any,
        **kwargs: Any,
    ) -> BatchFeature:
        if do_resize and do_center_crop:
            crop = (crop_size.height, crop_size.width)
            images = [self.resize_and_crop(image, size.shortest_edge, crop, resample) for image in images]
            do_resize = do_center_crop = False
        return super()._preprocess(
            images,
            do_resize=do_resize,
            size=size,
            resample=resample,
            do_center_crop=do_center_crop,
            crop_size=crop_size,
            **kwargs,
        )

    @staticmethod
    def resize_and_crop(image: np.ndarray, size: int, crop: tuple[int, int], resample: int) -> np.ndarray:
        """(channels, height, width) in and out."""
        frame = np.ascontiguousarray(image.transpose(1, 2, 0))
        short, long = harmonise_sizes([frame.shape[:2]], size)
        frame = pllava_frame(frame, short, long, size, crop, resample, backend="exact")
        return frame.transpose(2, 0, 1)


__all__ = ["PllavaImageProcessor"]
