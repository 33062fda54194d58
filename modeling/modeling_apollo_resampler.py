# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo's Perceiver resampler: learned queries read the patches of a clip.

Idefics2's Perceiver (Apache-2.0) in layout, with norms of its own: a LayerNorm times one more learned vector. The
original's extra vector is called `wheight`; here it is `scale`.
"""

from math import sqrt

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward

from .configuration_apollo import ApolloResamplerConfig


class ApolloScaledNorm(nn.Module):
    """LayerNorm, then a factor per channel."""

    def __init__(self, config: ApolloResamplerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.scale = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.norm(hidden_states) * self.scale


class ApolloResamplerAttention(nn.Module):
    """Latents attend to the context and to themselves, with fewer key-value heads than query heads."""

    def __init__(self, config: ApolloResamplerConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.is_causal = False
        width = config.num_attention_heads * config.head_dim
        key_value_width = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_value_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_value_width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)

    def forward(self, latents: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """latents (clips, latents, dim) and context (clips, patches, dim) -> (clips, latents, dim)."""
        source = torch.cat([context, latents], dim=1)
        projected = self.q_proj(latents), self.k_proj(source), self.v_proj(source)
        heads = [part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in projected]
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, _ = attention(self, *heads, None, dropout=0.0, scaling=self.scaling, is_causal=self.is_causal)
        return self.o_proj(output.flatten(2))


class ApolloResamplerMLP(nn.Module):
    def __init__(self, config: ApolloResamplerConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


class ApolloResamplerLayer(GradientCheckpointingLayer):
    def __init__(self, config: ApolloResamplerConfig):
        super().__init__()
        self.input_latents_norm = ApolloScaledNorm(config)
        self.input_context_norm = ApolloScaledNorm(config)
        self.self_attn = ApolloResamplerAttention(config)
        self.post_attention_layernorm = ApolloScaledNorm(config)
        self.mlp = ApolloResamplerMLP(config)

    def forward(self, latents: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        attended = self.self_attn(self.input_latents_norm(latents), self.input_context_norm(context))
        latents = latents + attended
        return latents + self.mlp(self.post_attention_layernorm(latents))


class ApolloResampler(PreTrainedModel):
    """Patches of a clip to `num_latents` tokens."""

    config: ApolloResamplerConfig
    config_class = ApolloResamplerConfig
    supports_gradient_checkpointing = True
    _no_split_modules = ["ApolloResamplerLayer"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: ApolloResamplerConfig):
        super().__init__(config)
        self.latents = nn.Parameter(torch.empty(config.num_latents, config.hidden_size))
        self.layers = nn.ModuleList([ApolloResamplerLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = ApolloScaledNorm(config)
        self.post_init()

    @classmethod
    def is_custom_code(cls) -> bool:
        """False, as in [`VideoLmmPreTrainedModel`]: the MLP owns no parameter itself, but has a scheme of its own."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The authors' scheme for a new connector: wide latents, He for attention, less for the MLP's way out."""
        super()._init_weights(module)
        if isinstance(module, ApolloScaledNorm):
            init.normal_(module.scale, mean=1.0, std=self.config.initializer_range)
        elif isinstance(module, ApolloResamplerMLP):
            for linear, gain in ((module.gate_proj, 0.4), (module.up_proj, 0.4), (module.down_proj, 0.2)):
                init.normal_(linear.weight, std=sqrt(gain / linear.in_features))
        elif isinstance(module, nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, ApolloResampler):
            init.trunc_normal_(module.latents, mean=0.5, std=0.1)

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """(clips, patches, dim) -> (clips, latents, dim). Every layer reads the same context."""
        latents = self.latents.expand(len(context), -1, -1)
        for layer in self.layers:
            latents = layer(latents, context)
        return self.norm(latents)


__all__ = ["ApolloResampler"]
