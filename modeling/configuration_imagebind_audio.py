# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Configurations of the two ImageBind towers that Video-LLaMA's audio branch knows: audio, and vision for training."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig


def check_heads(hidden_size: int, num_attention_heads: int) -> None:
    """Raises ValueError, naming both numbers, where the width cannot be cut into heads."""
    if hidden_size % num_attention_heads:
        raise ValueError(
            f"hidden_size ({hidden_size}) must be a multiple of num_attention_heads ({num_attention_heads})."
        )


@strict
class ImageBindAudioConfig(PreTrainedConfig):
    r"""Configuration of [`ImageBindAudioModel`], by default the audio tower of ImageBind-Huge.

    Args:
        num_mel_bins (`int`, *optional*, defaults to 128):
            Rows of a spectrogram.
        num_mel_frames (`int`, *optional*, defaults to 204):
            Columns of a spectrogram.
        patch_size (`int`, *optional*, defaults to 16):
            Side of a patch, in rows and columns alike.
        patch_stride (`int`, *optional*, defaults to 10):
            Distance between patches, which overlap.
        layer_norm_eps (`float`, *optional*, defaults to 1e-06):
            Of the norms in the blocks and the head.
        patch_norm_eps (`float`, *optional*, defaults to 1e-05):
            Of the norm over the patches.
        add_bias_kv (`bool`, *optional*, defaults to `True`):
            Whether every block attends to one learned key and value besides the tokens.
        projection_dim (`int`, *optional*, defaults to 1024):
            Width of the embedding space that all of ImageBind's towers share.
        logit_scale_init_value (`float`, *optional*, defaults to 20.0):
            Length of the embeddings. The model holds its logarithm.
        max_logit_scale (`float`, *optional*, defaults to 100.0):
            Largest length of the embeddings.
        drop_path_rate (`float`, *optional*, defaults to 0.1):
            Share of samples whose last residual branch is skipped in training; rises evenly from 0 in the first.
    """

    model_type = "imagebind_audio"
    base_config_key = "audio_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_mel_bins: int = 128
    num_mel_frames: int = 204
    patch_size: int = 16
    patch_stride: int = 10
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    patch_norm_eps: float = 1e-5
    add_bias_kv: bool = True
    projection_dim: int = 1024
    logit_scale_init_value: float = 20.0
    max_logit_scale: float = 100.0
    drop_path_rate: float = 0.1
    initializer_range: float = 0.02

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along (mel row, time)."""
        return tuple(
            (size - self.patch_size) // self.patch_stride + 1 for size in (self.num_mel_bins, self.num_mel_frames)
        )

    def validate_sizes(self) -> None:
        """A spectrogram holds a patch at least, and heads share the width evenly.

        Raises:
            ValueError: naming the offending values.
        """
        check_heads(self.hidden_size, self.num_attention_heads)
        if min(self.num_mel_bins, self.num_mel_frames) < self.patch_size:
            raise ValueError(
                f"A spectrogram of num_mel_bins x num_mel_frames ({self.num_mel_bins} x {self.num_mel_frames}) must "
                f"hold at least one patch of {self.patch_size} x {self.patch_size} (patch_size)."
            )


@strict
class ImageBindVisionConfig(PreTrainedConfig):
    r"""Configuration of [`ImageBindVisionModel`], by default the vision tower of ImageBind-Huge.

    Args:
        temporal_patch_size (`int`, *optional*, defaults to 2):
            Frames of a patch; a single frame is repeated as often.
        layer_norm_eps (`float`, *optional*, defaults to 1e-06):
            Of all norms.
        add_bias_kv (`bool`, *optional*, defaults to `False`):
            Whether every block attends to one learned key and value besides the tokens.
        projection_dim (`int`, *optional*, defaults to 1024):
            Width of the embedding space that all of ImageBind's towers share.
        drop_path_rate (`float`, *optional*, defaults to 0.0):
            Share of samples whose last residual branch is skipped in training; rises evenly from 0 in the first.
    """

    model_type = "imagebind_vision"
    base_config_key = "audio_training_config"

    hidden_size: int = 1280
    intermediate_size: int = 5120
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 14
    temporal_patch_size: int = 2
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    add_bias_kv: bool = False
    projection_dim: int = 1024
    drop_path_rate: float = 0.0
    initializer_range: float = 0.02

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along (row, column)."""
        return (self.image_size // self.patch_size,) * 2

    def validate_sizes(self) -> None:
        """Heads share the width evenly.

        Raises:
            ValueError: naming the offending values.
        """
        check_heads(self.hidden_size, self.num_attention_heads)


__all__ = ["ImageBindAudioConfig", "ImageBindVisionConfig"]
