# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Apollo configuration: two vision towers, a resampler, a Qwen2 language model."""

from huggingface_hub.dataclasses import strict
from transformers import Qwen2Config, SiglipVisionConfig
from transformers.configuration_utils import PreTrainedConfig


TOWERS = ("siglip", "internvideo2")


def build(value: dict | PreTrainedConfig | None, config_class: type, **defaults: object) -> PreTrainedConfig:
    """A sub-configuration from what was passed: an instance, its fields, or nothing (then `defaults`)."""
    if value is None:
        return config_class(**defaults)
    return config_class(**value) if isinstance(value, dict) else value


@strict
class InternVideo2VisionConfig(PreTrainedConfig):
    r"""Configuration of [`InternVideo2VisionModel`], by default the stage-2 1B/14 encoder as Apollo uses it.

    The model has no final norm: its output is that of its last block. Apollo reads the original's last-but-one block,
    so 39 of the 40 blocks are built.

    Args:
        num_frames (`int`, *optional*, defaults to 4):
            Frames per clip that the position table knows; other clip lengths are brought to it.
        tubelet_size (`int`, *optional*, defaults to 1):
            Frames per patch.
        rms_norm_eps (`float`, *optional*, defaults to 1e-06):
            Of every norm, those of queries and keys included.
        qkv_bias (`bool`, *optional*, defaults to `False`):
            Whether queries, keys and values have a bias.
        use_qk_norm (`bool`, *optional*, defaults to `True`):
            Whether queries and keys are normalised over all channels before they are split into heads.
        layer_scale_init_value (`float`, *optional*, defaults to 1e-05):
            Initial factor of every residual branch.
    """

    model_type = "internvideo2_vision"

    hidden_size: int = 1408
    intermediate_size: int = 6144
    num_hidden_layers: int = 39
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 14
    num_frames: int = 4
    tubelet_size: int = 1
    hidden_act: str = "gelu"
    rms_norm_eps: float = 1e-6
    qkv_bias: bool = False
    use_qk_norm: bool = True
    layer_scale_init_value: float = 1e-5
    initializer_range: float = 0.02

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along (time, row, column)."""
        side = self.image_size // self.patch_size
        return self.num_frames // self.tubelet_size, side, side

    def validate_sizes(self) -> None:
        """Sizes that the sin-cos position table and the heads can be cut into.

        Raises:
            ValueError: naming the offending value.
        """
        if self.hidden_size % 16 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of 16 and of num_attention_heads ({self.num_attention_heads}), got "
                f"{self.hidden_size}."
            )
        if self.num_frames % self.tubelet_size:
            raise ValueError(
                f"num_frames must be a multiple of tubelet_size ({self.tubelet_size}), got {self.num_frames}."
            )


@strict
class ApolloVisionConfig(PreTrainedConfig):
    r"""Configuration of [`ApolloVisionModel`]: two towers whose features share one grid.

    Args:
        siglip_config (`dict` or `SiglipVisionConfig`, *optional*):
            The frame encoder, cut at the layer whose output is used and without head. Defaults to SO400M/14 at 384
            pixels, 26 blocks.
        internvideo2_config (`dict` or `InternVideo2VisionConfig`, *optional*):
            The clip encoder.
        towers (`list[str]`, *optional*, defaults to `["siglip", "internvideo2"]`):
            Order of the towers, hence of their channels in the fused features.
    """

    model_type = "apollo_vision"
    base_config_key = "vision_config"
    sub_configs = {"siglip_config": SiglipVisionConfig, "internvideo2_config": InternVideo2VisionConfig}
    sub_configs_defaults = {"siglip_config": SiglipVisionConfig, "internvideo2_config": InternVideo2VisionConfig}

    siglip_config: dict | PreTrainedConfig | None = None
    internvideo2_config: dict | PreTrainedConfig | None = None
    towers: list[str] | tuple[str, ...] = TOWERS
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.siglip_config = build(
            self.siglip_config,
            SiglipVisionConfig,
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=26,
            num_attention_heads=16,
            image_size=384,
            patch_size=14,
            vision_use_head=False,
        )
        self.internvideo2_config = build(self.internvideo2_config, InternVideo2VisionConfig)
        self.towers = list(self.towers)
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """Channels of the fused features."""
        return self.siglip_config.hidden_size + self.internvideo2_config.hidden_size

    @property
    def siglip_side(self) -> int:
        """Rows, and columns, of SigLIP's patches."""
        return self.siglip_config.image_size // self.siglip_config.patch_size

    @property
    def grid(self) -> tuple[int, int, int]:
        """Common grid (time, row, column): InternVideo2's in time, the finer of both in space."""
        time, side, _ = self.internvideo2_config.grid
        side = max(side, self.siglip_side)
        return time, side, side

    def validate_towers(self) -> None:
        """Each tower once.

        Raises:
            ValueError: naming the offending value.
        """
        if sorted(self.towers) != sorted(TOWERS):
            raise ValueError(
                f"towers must name {' and '.join(TOWERS)}, each once and in any order; got {self.towers}."
            )


@strict
class ApolloResamplerConfig(PreTrainedConfig):
    r"""Configuration of [`ApolloResampler`].

    Args:
        hidden_size (`int`, *optional*, defaults to 3584):
            Width of the language model.
        num_latents (`int`, *optional*, defaults to 128):
            Visual tokens of one clip.
        head_dim (`int`, *optional*, defaults to 96):
            Width of a head; independent of `hidden_size`.
        layer_norm_eps (`float`, *optional*, defaults to 1e-05):
            The original's norms use this value, whatever its configuration says.
    """

    model_type = "apollo_resampler"
    base_config_key = "resampler_config"

    hidden_size: int = 3584
    intermediate_size: int = 14336
    num_latents: int = 128
    num_hidden_layers: int = 1
    num_attention_heads: int = 16
    num_key_value_heads: int = 4
    head_dim: int = 96
    hidden_act: str = "silu"
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def validate_heads(self) -> None:
        """Query heads share key-value heads evenly.

        Raises:
            ValueError: naming both numbers.
        """
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of num_key_value_heads "
                f"({self.num_key_value_heads})."
            )


@strict
class ApolloConfig(PreTrainedConfig):
    r"""Configuration of [`ApolloModel`] and [`ApolloForConditionalGeneration`]; defaults are those of Apollo-7B.

    Args:
        vision_config (`dict` or `ApolloVisionConfig`, *optional*):
            The two towers.
        resampler_config (`dict` or `ApolloResamplerConfig`, *optional*):
            The Perceiver that reduces a clip to `num_latents` tokens.
        text_config (`dict` or `Qwen2Config`, *optional*):
            The language model. Defaults to the shape of Qwen2.5-7B-Instruct.
        image_token_id (`int`, *optional*, defaults to 151666):
            Placeholder of an image in the prompt; a row of the embedding table that the tokenizer leaves free.
        video_token_id (`int`, *optional*, defaults to 151665):
            Placeholder of a video, likewise.
        projector_num_layers (`int`, *optional*, defaults to 1):
            Linear layers between towers and resampler.
        projector_hidden_act (`str`, *optional*, defaults to `"gelu"`):
            Activation between them (exact GELU).
        vision_chunk_size (`int`, *optional*, defaults to 25):
            Clips per call of the towers; bounds memory, never changes the result. None: all at once.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the input embedding table (1.5B and 3B: yes, 7B: no).
    """

    model_type = "apollo"
    sub_configs = {
        "vision_config": ApolloVisionConfig,
        "resampler_config": ApolloResamplerConfig,
        "text_config": Qwen2Config,
    }
    sub_configs_defaults = sub_configs
    keys_to_ignore_at_inference = ["cache", "past_key_values", "image_outputs", "video_outputs"]

    vision_config: dict | PreTrainedConfig | None = None
    resampler_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 151666
    video_token_id: int = 151665
    projector_num_layers: int = 1
    projector_hidden_act: str = "gelu"
    vision_chunk_size: int | None = 25
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        self.vision_config = build(self.vision_config, ApolloVisionConfig)
        self.text_config = build(
            self.text_config,
            Qwen2Config,
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            rope_parameters={"rope_theta": 1e6, "rope_type": "default"},
        )
        width = self.text_config.hidden_size
        self.resampler_config = build(
            self.resampler_config, ApolloResamplerConfig, hidden_size=width, intermediate_size=4 * width
        )
        super().__post_init__(**kwargs)

    def validate_widths(self) -> None:
        """The resampler works at the width of the language model.

        Raises:
            ValueError: naming both widths.
        """
        if self.resampler_config.hidden_size != self.text_config.hidden_size:
            raise ValueError(
                f"resampler_config.hidden_size ({self.resampler_config.hidden_size}) must equal that of the language "
                f"model ({self.text_config.hidden_size})."
            )


__all__ = ["ApolloConfig", "ApolloResamplerConfig", "ApolloVisionConfig", "InternVideo2VisionConfig"]
