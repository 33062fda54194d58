# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""PLLaVA configuration."""

from huggingface_hub.dataclasses import strict
from transformers import CLIPVisionConfig, LlamaConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class PllavaConfig(PreTrainedConfig):
    r"""Configuration of [`PllavaModel`] and [`PllavaForConditionalGeneration`].

    The original selects CLIP's last-but-one hidden state. Here the tower is built exactly that deep
    (`vision_config.num_hidden_layers` is 23 for ViT-L/14), so its last hidden state is the selected one and no block
    is run in vain; conversion does the arithmetic.

    Args:
        vision_config (`dict` or `CLIPVisionConfig`, *optional*):
            The frame encoder, cut at the layer whose output is used. Defaults to ViT-L/14 at 336 pixels, 23 blocks.
        text_config (`dict` or `LlamaConfig`, *optional*):
            The language model. Defaults to the shape of Vicuna-7B v1.5.
        image_token_id (`int`, *optional*, defaults to 32000):
            Placeholder of an image in the prompt.
        video_token_id (`int`, *optional*, defaults to 32000):
            Placeholder of a video. The original has one placeholder, `<image>`, for both.
        pooling_shape (`list[int]`, *optional*, defaults to `[16, 12, 12]`):
            Visual tokens of one medium along (time, height, width).
        projector_hidden_act (`str`, *optional*, defaults to `"gelu"`):
            Activation between the two linear layers of the projector (exact GELU).
        vision_chunk_size (`int`, *optional*, defaults to 16):
            Frames per call of the vision tower; bounds memory, never changes the result. None: all at once.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the input embedding table.
    """

    model_type = "pllava"
    sub_configs = {"vision_config": CLIPVisionConfig, "text_config": LlamaConfig}
    sub_configs_defaults = {"vision_config": CLIPVisionConfig, "text_config": LlamaConfig}
    keys_to_ignore_at_inference = ["cache", "past_key_values", "image_outputs", "video_outputs"]

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 32000
    video_token_id: int = 32000
    pooling_shape: list[int] | tuple[int, ...] = (16, 12, 12)
    projector_hidden_act: str = "gelu"
    vision_chunk_size: int | None = 16
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.vision_config is None:
            self.vision_config = CLIPVisionConfig(
                hidden_size=1024,
                intermediate_size=4096,
                num_attention_heads=16,
                num_hidden_layers=23,
                image_size=336,
                patch_size=14,
                projection_dim=768,
            )
        elif isinstance(self.vision_config, dict):
            self.vision_config = CLIPVisionConfig(**self.vision_config)
        if self.text_config is None:
            self.text_config = LlamaConfig(vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5)
        elif isinstance(self.text_config, dict):
            self.text_config = LlamaConfig(**self.text_config)
        self.pooling_shape = list(self.pooling_shape)
        super().__post_init__(**kwargs)

    def validate_pooling_shape(self) -> None:
        """Three positive sizes.

        Raises:
            ValueError: naming the offending value.
        """
        if len(self.pooling_shape) != 3 or min(self.pooling_shape) < 1:
            raise ValueError(
                f"pooling_shape must be three positive sizes (time, height, width), got {self.pooling_shape}. The "
                "published checkpoints use [16, 12, 12]."
            )


__all__ = ["PllavaConfig"]
