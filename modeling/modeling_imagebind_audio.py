# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""ImageBind's audio tower, and the vision tower that can stand in for it when an audio branch is trained.

Paper: "ImageBind: One Embedding Space To Bind Them All", arXiv 2305.05665. Original code:
https://github.com/facebookresearch/ImageBind (CC-BY-NC-SA 4.0; weights too). Written from a description of the graph.

Both towers are plain pre-norm vision transformers whose class token, normalised and projected, is a point on a sphere
that all towers share. The audio tower cuts a spectrogram into overlapping patches, lets every block attend to one more
learned key and value, and stretches its embeddings to length 20. Because the space is shared, Video-LLaMA trains its
audio branch on frames, through the vision tower, and hears with the audio tower afterwards.

Left out: the towers of text, depth, thermal images and motion. Deviation: a spectrogram or frame of another size than
the configuration's is refused; the original stretches its position table without a word.
"""

from math import log

import torch
from torch import nn
from torch.nn.functional import normalize
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.dinov2.modeling_dinov2 import Dinov2DropPath
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_imagebind_audio import ImageBindAudioConfig, ImageBindVisionConfig


ImageBindConfig = ImageBindAudioConfig | ImageBindVisionConfig


class ImageBindEmbeddings(nn.Module):
    """Class token and learned position table; what becomes a patch is the tower's own."""

    def __init__(self, config: ImageBindConfig):
        super().__init__()
        self.config = config
        patches = torch.Size(config.grid).numel()
        self.class_embedding = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.position_embedding = nn.Parameter(torch.empty(1, 1 + patches, config.hidden_size))

    def add_class_and_positions(self, patches: torch.Tensor) -> torch.Tensor:
        """(n, patches, dim) -> (n, 1 + patches, dim)."""
        classes = self.class_embedding.expand(len(patches), -1, -1)
        return torch.cat([classes, patches], dim=1) + self.position_embedding


class ImageBindAudioEmbeddings(ImageBindEmbeddings):
    """Overlapping patches of a spectrogram."""

    def __init__(self, config: ImageBindAudioConfig):
        super().__init__(config)
        self.patch_embedding = nn.Conv2d(
            1, config.hidden_size, config.patch_size, stride=config.patch_stride, bias=False
        )
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.patch_norm_eps)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        """(clips, 1, mel bins, mel frames) -> (clips, 1 + patches, dim); patches in order (mel row, time)."""
        expected = (1, self.config.num_mel_bins, self.config.num_mel_frames)
        if tuple(input_features.shape[1:]) != expected:
            raise ValueError(
                f"ImageBind's audio tower expects (clips, {', '.join(map(str, expected))}) spectrograms, got "
                f"{tuple(input_features.shape)}. The feature extractor makes them."
            )
        patches = self.patch_embedding(input_features.to(self.patch_embedding.weight.dtype))
        return self.add_class_and_positions(self.layernorm(patches.flatten(2).transpose(1, 2)))


class ImageBindVisionEmbeddings(ImageBindEmbeddings):
    """Patches of a still frame that lasts as long as a patch does."""

    def __init__(self, config: ImageBindVisionConfig):
        super().__init__(config)
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.patch_embedding = nn.Conv3d(config.num_channels, config.hidden_size, kernel, stride=kernel, bias=False)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(frames, channels, H, W) -> (frames, 1 + patches, dim); patches in order (row, column)."""
        size = self.config.image_size
        if tuple(pixel_values.shape[-2:]) != (size, size):
            raise ValueError(
                f"ImageBind's vision tower expects frames of {size} x {size}, got {tuple(pixel_values.shape[-2:])}."
            )
        still = pixel_values.to(self.patch_embedding.weight.dtype).unsqueeze(2)
        still = still.expand(-1, -1, self.config.temporal_patch_size, -1, -1)
        return self.layernorm(self.add_class_and_positions(self.patch_embedding(still).flatten(2).transpose(1, 2)))


class ImageBindAttention(nn.Module):
    """Attention over all tokens and, where the configuration says so, one learned key and value."""

    def __init__(self, config: ImageBindConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.num_key_value_groups = 1
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)
        # CODEPATH: imagebind_huge's audio tower has the extra key and value, its vision tower has not.
        if config.add_bias_kv:
            self.bias_key = nn.Parameter(torch.empty(1, 1, config.hidden_size))
            self.bias_value = nn.Parameter(torch.empty(1, 1, config.hidden_size))

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(n, tokens, dim) -> the same, and the attention weights where the implementation gives them."""
        query, key, value = self.qkv(hidden_states).chunk(3, dim=-1)
        # CODEPATH: imagebind_huge's audio tower has the extra key and value, its vision tower has not.
        if self.config.add_bias_kv:
            key = torch.cat([key, self.bias_key.expand(len(key), -1, -1)], dim=1)
            value = torch.cat([value, self.bias_value.expand(len(value), -1, -1)], dim=1)
        heads = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in (query, key, value)]
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, weights = attention(
            self, *heads, None, dropout=0.0, scaling=self.scaling, is_causal=self.is_causal, **kwargs
        )
        return self.proj(output.flatten(2)), weights


class ImageBindMLP(nn.Module):
    def __init__(self, config: ImageBindConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))


class ImageBindLayer(GradientCheckpointingLayer):
    """Pre-norm block; in training both branches are skipped at random, more often the deeper the block."""

    def __init__(self, config: ImageBindConfig, layer_idx: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = ImageBindAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = ImageBindMLP(config)
        self.drop_path = Dinov2DropPath(config.drop_path_rate * layer_idx / max(1, config.num_hidden_layers - 1))

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        attended, _ = self.attn(self.norm1(hidden_states), **kwargs)
        hidden_states = hidden_states + self.drop_path(attended)
        return hidden_states + self.drop_path(self.mlp(self.norm2(hidden_states)))


class ImageBindHead(nn.Module):
    """From the class token to a point on the unit sphere of the shared space."""

    def __init__(self, config: ImageBindConfig):
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(n, tokens, dim) -> (n, projection_dim)."""
        return normalize(self.projection(self.layernorm(hidden_states[:, 0])), dim=-1)


class ImageBindPreTrainedModel(PreTrainedModel):
    """Base of the ImageBind classes: loading, initialisation."""

    config: ImageBindAudioConfig
    base_model_prefix = "imagebind"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["ImageBindAudioEmbeddings", "ImageBindVisionEmbeddings", "ImageBindLayer"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": ImageBindLayer, "attentions": ImageBindAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ImageBindEmbeddings):
            init.normal_(module.class_embedding, std=self.config.initializer_range)
            init.normal_(module.position_embedding, std=self.config.initializer_range)
        elif isinstance(module, ImageBindAttention) and module.config.add_bias_kv:
            init.normal_(module.bias_key, std=self.config.initializer_range)
            init.normal_(module.bias_value, std=self.config.initializer_range)
        elif isinstance(module, ImageBindAudioModel):
            init.constant_(module.log_logit_scale, log(module.config.logit_scale_init_value))


class ImageBindAudioModel(ImageBindPreTrainedModel):
    """Spectrograms to embeddings."""

    def __init__(self, config: ImageBindAudioConfig):
        super().__init__(config)
        self.embeddings = ImageBindAudioEmbeddings(config)
        self.layers = nn.ModuleList([ImageBindLayer(config, index) for index in range(config.num_hidden_layers)])
        self.head = ImageBindHead(config)
        self.log_logit_scale = nn.Buffer(torch.tensor(log(config.logit_scale_init_value)))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, input_features: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Encodes clips of sound.

        Args:
            input_features: (clips, 1, mel bins, mel frames), normalised log-mel spectrograms.

        Returns:
            `last_hidden_state` (clips, 1 + patches, dim): class token, then patches in order (mel row, time), after
            the last block; `pooler_output` (clips, projection_dim): embeddings of length `exp(log_logit_scale)`.

        Raises:
            ValueError: spectrograms of another size than the configuration's.
        """
        hidden_states = self.embeddings(input_features)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        length = self.log_logit_scale.float().exp().clamp(max=self.config.max_logit_scale)
        embeddings = self.head(hidden_states)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states, pooler_output=embeddings * length.to(embeddings.dtype)
        )


class ImageBindVisionModel(ImageBindPreTrainedModel):
    """Frames to embeddings of the same space, of length 1."""

    config: ImageBindVisionConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: ImageBindVisionConfig):
        super().__init__(config)
        self.embeddings = ImageBindVisionEmbeddings(config)
        self.layers = nn.ModuleList([ImageBindLayer(config, index) for index in range(config.num_hidden_layers)])
        self.head = ImageBindHead(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple | BaseModelOutputWithPooling:
        """Encodes frames, each by itself.

        Args:
            pixel_values: (frames, 3, H, W), normalised.

        Returns:
            `last_hidden_state` (frames, 1 + patches, dim): class token, then patches in order (row, column), after the
            last block; `pooler_output` (frames, projection_dim): embeddings of length 1.

        Raises:
            ValueError: frames of another size than the configuration's.
        """
        hidden_states = self.embeddings(pixel_values)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states, pooler_output=self.head(hidden_states))


__all__ = ["ImageBindAudioModel", "ImageBindPreTrainedModel", "ImageBindVisionModel"]
