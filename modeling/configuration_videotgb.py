# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB configuration, decoder-only form (InstructBLIP with Vicuna)."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import Blip2VisionConfig, InstructBlipQFormerConfig, LlamaConfig
from transformers.configuration_utils import PreTrainedConfig

from .configuration_videotgb_grounding import VideotgbGroundingConfig


# EVA ViT-g/14 as Salesforce's checkpoints say it; other sizes are the classes' own defaults.
VISION_DEFAULTS = {"hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16}


def build_sub_config(value: dict | PreTrainedConfig | None, config_class: type, defaults: dict) -> PreTrainedConfig:
    """A sub-configuration from what a configuration file or a caller gives for it."""
    if value is None:
        return config_class(**defaults)
    return config_class(**value) if isinstance(value, dict) else value


def check_frames(num_frames: int, num_query_tokens: int, vision_chunk_size: int | None) -> None:
    """Counts that must be positive.

    Raises:
        ValueError: naming the offending value.
    """
    counts = {"num_frames": num_frames, "num_query_tokens": num_query_tokens, "vision_chunk_size": vision_chunk_size}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")


@strict
class VideotgbConfig(PreTrainedConfig):
    r"""Configuration of [`VideotgbModel`] and [`VideotgbForConditionalGeneration`].

    Args:
        vision_config (`dict` or `Blip2VisionConfig`, *optional*):
            The frame encoder. Defaults to EVA ViT-g/14 at 224 pixels.
        qformer_config (`dict` or `InstructBlipQFormerConfig`, *optional*):
            InstructBLIP's Q-Former, which reads the prompt beside the frame.
        grounding_config (`dict` or `VideotgbGroundingConfig`, *optional*):
            The bridge that lets the question choose the frames, optical flow included.
        text_config (`dict` or `LlamaConfig`, *optional*):
            The language model. Defaults to the shape of Vicuna-7B v1.1 with two rows for placeholders.
        image_token_id (`int`, *optional*, defaults to 32001):
            Placeholder of an image in the prompt.
        video_token_id (`int`, *optional*, defaults to 32002):
            Placeholder of a video.
        num_query_tokens (`int`, *optional*, defaults to 32):
            Visual tokens of a frame.
        num_frames (`int`, *optional*, defaults to 4):
            Frames chosen from a video; any number works with `frame_merge="mean"`.
        frame_merge (`str`, *optional*, defaults to `"mean"`):
            `"mean"` averages the frames' tokens, so that a video costs `num_query_tokens`; `"concat"` puts the frames
            one after the other.
        num_output_tokens (`int`, *optional*):
            Token ids from this one on are never predicted: placeholders that conversion appended to the vocabulary.
        vision_chunk_size (`int`, *optional*, defaults to 16):
            Frames per call of the vision tower; bounds memory, never changes the result. None: all at once.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the input embedding table.
    """

    model_type = "videotgb"
    sub_configs = {
        "vision_config": Blip2VisionConfig,
        "qformer_config": InstructBlipQFormerConfig,
        "grounding_config": VideotgbGroundingConfig,
        "text_config": LlamaConfig,
    }
    sub_configs_defaults = sub_configs
    keys_to_ignore_at_inference = ["cache", "past_key_values", "image_outputs", "video_outputs"]

    vision_config: dict | PreTrainedConfig | None = None
    qformer_config: dict | PreTrainedConfig | None = None
    grounding_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 32001
    video_token_id: int = 32002
    num_query_tokens: int = 32
    num_frames: int = 4
    frame_merge: Literal["mean", "concat"] = "mean"
    num_output_tokens: int | None = None
    vision_chunk_size: int | None = 16
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        self.vision_config = build_sub_config(self.vision_config, Blip2VisionConfig, VISION_DEFAULTS)
        self.qformer_config = build_sub_config(self.qformer_config, InstructBlipQFormerConfig, {})
        self.grounding_config = build_sub_config(self.grounding_config, VideotgbGroundingConfig, {})
        self.text_config = build_sub_config(self.text_config, LlamaConfig, {"vocab_size": 32003})
        super().__post_init__(**kwargs)

    def validate_frames(self) -> None:
        """Counts make sense.

        Raises:
            ValueError: naming the offending value.
        """
        check_frames(self.num_frames, self.num_query_tokens, self.vision_chunk_size)


__all__ = ["VISION_DEFAULTS", "VideotgbConfig", "build_sub_config", "check_frames"]
