# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's own augmentation of training frames: one random crop for all frames of a clip.

The original casts what bicubic interpolation gives to 8 bits without clamping, so that overshoot wraps around: a white
edge gets black specks. Here it is clamped; `wrap=True` brings the specks back.
"""

import torch
from torchvision.transforms.v2 import RandomResizedCrop


SCALE = (0.5, 1.0)
RATIO = (3 / 4, 4 / 3)

# Top, left, height, width.
Box = tuple[int, int, int, int]


def random_box(height: int, width: int) -> Box:
    """A box for one clip, by torch's generator."""
    crop = RandomResizedCrop((height, width), scale=SCALE, ratio=RATIO)
    params = crop.make_params([torch.empty(3, height, width)])
    return params["top"], params["left"], params["height"], params["width"]


def crop_and_resize(frames: torch.Tensor, box: Box, size: int) -> torch.Tensor:
    """Cuts a box out of every frame and brings it to a square, bicubic without antialiasing.

    Args:
        frames: (frames, 3, H, W), 0 to 255.
        box: top, left, height, width.
        size: side of the result.

    Returns:
        (frames, 3, size, size) float32, which may leave 0 to 255.
    """
    top, left, height, width = box
    cut = frames[..., top : top + height, left : left + width].float()
    return torch.nn.functional.interpolate(cut, size=(size, size), mode="bicubic", align_corners=False)


def to_bytes(frames: torch.Tensor, wrap: bool = False) -> torch.Tensor:
    """Frames as uint8, rounded towards zero.

    Args:
        frames: float, from [`crop_and_resize`].
        wrap: whether values outside 0 to 255 wrap around, as in the original, instead of being clamped.
    """
    whole = frames.trunc()
    return (whole.remainder(256) if wrap else whole.clamp(0, 255)).to(torch.uint8)
