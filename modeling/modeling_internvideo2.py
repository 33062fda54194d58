# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""InternVideo2's video encoder (stage 2, 1B/14), as far as features of its patches need it.

Paper: "InternVideo2: Scaling Foundation Models for Multimodal Video Understanding", arXiv 2403.15377. Original code:
https://github.com/OpenGVLab/InternVideo (Apache-2.0; weights too). Written from the description of the graph.

A plain vision transformer over all patches of a clip at once: joint space-time attention, queries and keys normalised
over all channels, a learned factor on every residual branch (LayerScale), no final norm. Left out, because a language
model reads patch features only: the pooling head, the heads of the training losses, the tables of the image mode and
stochastic depth. Attention goes through the library's interface instead of the original's fp32 softmax.
"""

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm, eager_attention_forward
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_apollo import InternVideo2VisionConfig


def fit_frames(frames: torch.Tensor, count: int) -> torch.Tensor:
    """Brings clips to `count` frames by evenly spaced choice: (clips, frames, ...) -> (clips, count, ...).

    Equal to the original where it works (multiples of `count` are strided, a single frame is repeated); every other
    length drops or repeats single frames instead of failing.
    """
    length = frames.shape[1]
    if length == count:
        return frames
    return frames[:, torch.arange(count, device=frames.device) * length // count]


def sinusoid(positions: torch.Tensor, dim: int) -> torch.Tensor:
    """(n,) positions -> (n, dim): dim / 2 sines, then as many cosines, of falling frequency."""
    frequencies = 10000 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = positions.double().unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()


def sinusoidal_positions(grid: tuple[int, int, int], dim: int) -> torch.Tensor:
    """Initial position table (1, 1 + patches, dim): zeros for the class token, then patches in order (t, row, column).

    A quarter of the channels encodes time; the rest, in equal parts, column and row.
    """
    time, row, column = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    axes = (time, dim // 4), (column, dim * 3 // 8), (row, dim * 3 // 8)
    table = torch.cat([sinusoid(axis.flatten(), width) for axis, width in axes], dim=-1)
    return torch.cat([torch.zeros(1, dim), table]).unsqueeze(0)


class InternVideo2Embeddings(nn.Module):
    """Patches, class token and the learned position table."""

    def __init__(self, config: InternVideo2VisionConfig):
        super().__init__()
        self.config = config
        kernel = (config.tubelet_size, config.patch_size, config.patch_size)
        self.patch_embedding = nn.Conv3d(config.num_channels, config.hidden_size, kernel, stride=kernel)
        patches = torch.Size(config.grid).numel()
        self.class_embedding = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.position_embedding = nn.Parameter(torch.empty(1, 1 + patches, config.hidden_size))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(clips, frames, channels, H, W) -> (clips, 1 + patches, dim)."""
        size = self.config.image_size
        if tuple(pixel_values.shape[-2:]) != (size, size):
            raise ValueError(f"InternVideo2 expects frames of {size} x {size}, got {tuple(pixel_values.shape[-2:])}.")
        frames = fit_frames(pixel_values, self.config.num_frames).to(self.patch_embedding.weight.dtype)
        patches = self.patch_embedding(frames.transpose(1, 2)).flatten(2).transpose(1, 2)
        classes = self.class_embedding.expand(len(patches), -1, -1)
        return torch.cat([classes, patches], dim=1) + self.position_embedding


class InternVideo2Attention(nn.Module):
    """Joint space-time attention without a mask."""

    def __init__(self, config: InternVideo2VisionConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.num_key_value_groups = 1
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        # CODEPATH: Apollo's published encoder normalises; encoders without these norms set the flag to False.
        if config.use_qk_norm:
            self.q_norm = Qwen2RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
            self.k_norm = Qwen2RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        else:
            self.q_norm, self.k_norm = nn.Identity(), nn.Identity()
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(clips, tokens, dim) -> the same, and the attention weights where the implementation gives them."""
        query, key, value = self.qkv(hidden_states).chunk(3, dim=-1)
        query, key = self.q_norm(query), self.k_norm(key)
        heads = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in (query, key, value)]
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, weights = attention(
            self, *heads, None, dropout=0.0, scaling=self.scaling, is_causal=self.is_causal, **kwargs
        )
        return self.proj(output.flatten(2)), weights


class InternVideo2MLP(nn.Module):
    def __init__(self, config: InternVideo2VisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))


class InternVideo2LayerScale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states * self.weight


class InternVideo2Layer(GradientCheckpointingLayer):
    def __init__(self, config: InternVideo2VisionConfig):
        super().__init__()
        self.norm1 = Qwen2RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.attn = InternVideo2Attention(config)
        self.layer_scale1 = InternVideo2LayerScale(config.hidden_size)
        self.norm2 = Qwen2RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = InternVideo2MLP(config)
        self.layer_scale2 = InternVideo2LayerScale(config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        attended, _ = self.attn(self.norm1(hidden_states), **kwargs)
        hidden_states = hidden_states + self.layer_scale1(attended)
        return hidden_states + self.layer_scale2(self.mlp(self.norm2(hidden_states)))


# trf-ignore: TRF001, the configuration is that of a tower and named like SigLIP's.
class InternVideo2PreTrainedModel(PreTrainedModel):
    """Base of the InternVideo2 classes: configuration, loading, initialisation."""

    config: InternVideo2VisionConfig
    config_class = InternVideo2VisionConfig
    base_model_prefix = "internvideo2"
    main_input_name = "pixel_values"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["InternVideo2Embeddings", "InternVideo2Layer"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": InternVideo2Layer, "attentions": InternVideo2Attention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, InternVideo2LayerScale):
            init.constant_(module.weight, self.config.layer_scale_init_value)
        elif isinstance(module, InternVideo2Embeddings):
            init.normal_(module.class_embedding, std=self.config.initializer_range)
            init.copy_(module.position_embedding, sinusoidal_positions(self.config.grid, self.config.hidden_size))


class InternVideo2VisionModel(InternVideo2PreTrainedModel):
    """Clips to patch features."""

    def __init__(self, config: InternVideo2VisionConfig):
        super().__init__(config)
        self.embeddings = InternVideo2Embeddings(config)
        self.layers = nn.ModuleList([InternVideo2Layer(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Encodes clips.

        Args:
            pixel_values: (clips, frames, 3, H, W), normalised; any number of frames, see [`fit_frames`].

        Returns:
            `last_hidden_state` (clips, 1 + patches, dim): class token, then patches in order (t, row, column), after
            the last block and without a norm.

        Raises:
            ValueError: frames of another size than the configuration's.
        """
        hidden_states = self.embeddings(pixel_values)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states)


__all__ = ["InternVideo2PreTrainedModel", "InternVideo2VisionModel", "fit_frames"]
