# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""LongVU configuration."""

from math import isqrt

from huggingface_hub.dataclasses import strict
from transformers import Dinov2Config, LlamaConfig, Qwen2Config, SiglipVisionConfig
from transformers.configuration_utils import PreTrainedConfig


TEXT_CONFIGS = {"qwen2": Qwen2Config, "llama": LlamaConfig}


@strict
class LongvuConfig(PreTrainedConfig):
    r"""Configuration of [`LongvuModel`] and [`LongvuForConditionalGeneration`].

    Args:
        vision_config (`dict` or `SiglipVisionConfig`, *optional*):
            The tower whose features the language model reads. Defaults to SigLIP so400m/14 at 384 pixels.
        dinov2_config (`dict` or `Dinov2Config`, *optional*):
            The tower that also decides which frames are kept. Defaults to DINOv2 giant at 378 pixels;
            `image_size` is the size of the pixels it sees, so that its position table needs no resize at run time.
        text_config (`dict`, `Qwen2Config` or `LlamaConfig`, *optional*):
            The language model; a dict says which one by its `model_type`. Defaults to the shape of Qwen2-7B.
        image_token_id (`int`, *optional*, defaults to 151646):
            Placeholder of an image in the prompt.
        video_token_id (`int`, *optional*, defaults to 151646):
            Placeholder of a video. The original has one placeholder, `<image>`, for both.
        grid_size (`int`, *optional*, defaults to 24):
            Side of the grid that both towers' maps are brought to.
        vision_hidden_size (`int`, *optional*, defaults to 1024):
            Width of the aggregator.
        connector_depth (`int`, *optional*, defaults to 3):
            Layers of the aggregator.
        aggregator_heads (`int`, *optional*, defaults to 16):
            Attention heads of the aggregator.
        image_token_len (`int`, *optional*, defaults to 144):
            Tokens of a frame at full resolution before cropping and newlines: 144 in video models, 576 in
            image models.
        lowres_token (`int`, *optional*, defaults to 8):
            Side of a frame's grid at low resolution.
        highres (`bool`, *optional*, defaults to `True`):
            Whether low resolution is used at all: by frames that the question does not ask for, and by images.
        image_full_resolution (`bool`, *optional*, defaults to `False`):
            Whether images keep `image_token_len` tokens although `highres` is set. The original reduces them.
        dino_threshold (`float`, *optional*, defaults to 0.83):
            A frame is dropped if its mean similarity to the frames of its window reaches this.
        drop_threshold (`float`, *optional*, defaults to 0.7):
            A token is dropped if its similarity to the same place in the first frame of its group reaches this.
        selection_window (`int`, *optional*, defaults to 16):
            Frames whose similarity is compared.
        group_size (`int`, *optional*, defaults to 8):
            Frames that share their first frame's tokens.
        max_frames (`int`, *optional*, defaults to 400):
            Frames at most after selection.
        context_length (`int`, *optional*, defaults to 8192):
            Tokens that prompt, video and answer may fill together; the processor may ask for another number.
        reserve (`int`, *optional*, defaults to 16):
            Tokens of it that are left for the answer.
        vision_chunk_size (`int`, *optional*, defaults to 64):
            Frames per call of the towers; bounds memory, never changes the result.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the input embedding table.
    """

    model_type = "longvu"
    sub_configs = {"vision_config": SiglipVisionConfig, "dinov2_config": Dinov2Config, "text_config": Qwen2Config}
    sub_configs_defaults = sub_configs
    keys_to_ignore_at_inference = ["cache", "past_key_values", "image_outputs", "video_outputs"]

    vision_config: dict | PreTrainedConfig | None = None
    dinov2_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 151646
    video_token_id: int = 151646
    grid_size: int = 24
    vision_hidden_size: int = 1024
    connector_depth: int = 3
    aggregator_heads: int = 16
    image_token_len: int = 144
    lowres_token: int = 8
    highres: bool = True
    image_full_resolution: bool = False
    dino_threshold: float | int = 0.83
    drop_threshold: float | int = 0.7
    selection_window: int = 16
    group_size: int = 8
    max_frames: int = 400
    context_length: int = 8192
    reserve: int = 16
    vision_chunk_size: int = 64
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.vision_config is None:
            self.vision_config = {
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "image_size": 384,
                "patch_size": 14,
            }
        if isinstance(self.vision_config, dict):
            # The pooling head is never read.
            self.vision_config = SiglipVisionConfig(**{**self.vision_config, "vision_use_head": False})
        if self.dinov2_config is None:
            self.dinov2_config = {
                "hidden_size": 1536,
                "num_hidden_layers": 40,
                "num_attention_heads": 24,
                "image_size": 378,
                "patch_size": 14,
                "use_swiglu_ffn": True,
            }
        if isinstance(self.dinov2_config, dict):
            self.dinov2_config = Dinov2Config(**{**self.dinov2_config, "use_mask_token": False})
        if self.text_config is None:
            self.text_config = Qwen2Config(
                vocab_size=152064,
                hidden_size=3584,
                intermediate_size=18944,
                num_hidden_layers=28,
                num_attention_heads=28,
                num_key_value_heads=4,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            )
        elif isinstance(self.text_config, dict):
            self.text_config = self.build_text_config(self.text_config)
        super().__post_init__(**kwargs)

    @staticmethod
    def build_text_config(values: dict) -> PreTrainedConfig:
        """The configuration of the language model that `model_type` names.

        Raises:
            ValueError: neither Qwen2 nor Llama.
        """
        model_type = values.get("model_type", "qwen2")
        if model_type not in TEXT_CONFIGS:
            raise ValueError(f"text_config.model_type must be one of {', '.join(TEXT_CONFIGS)}, got {model_type!r}.")
        return TEXT_CONFIGS[model_type](**values)

    @property
    def token_side(self) -> int:
        """Side of a frame's grid at full resolution."""
        return isqrt(self.image_token_len)

    def validate_grids(self) -> None:
        """The full-resolution grid divides the common one, and the low-resolution grid is smaller.

        Raises:
            ValueError: naming the offending value.
        """
        side = self.token_side
        if side < 1 or side * side != self.image_token_len or self.grid_size % side:
            raise ValueError(
                f"image_token_len must be the square of a divisor of grid_size = {self.grid_size}, got "
                f"{self.image_token_len}. Published models use 144 (video) and 576 (image)."
            )
        if not 1 <= self.lowres_token < side:
            raise ValueError(f"lowres_token must lie between 1 and {side - 1}, got {self.lowres_token}.")

    def validate_budget(self) -> None:
        """Thresholds and the token budget make sense.

        Raises:
            ValueError: naming the offending value.
        """
        if self.dino_threshold <= 0:
            raise ValueError(
                f"dino_threshold must be positive, got {self.dino_threshold}: at or below 0 no frame would be left."
            )
        if not 0 <= self.reserve < self.context_length:
            raise ValueError(
                f"reserve must lie between 0 and context_length = {self.context_length}, got {self.reserve}."
            )
        for name in ("selection_window", "group_size", "max_frames", "vision_chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")


__all__ = ["LongvuConfig"]
