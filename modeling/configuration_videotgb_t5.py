# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB configuration, encoder-decoder form (BLIP-2 with Flan-T5)."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import Blip2QFormerConfig, Blip2VisionConfig, T5Config
from transformers.configuration_utils import PreTrainedConfig

from .configuration_videotgb import VISION_DEFAULTS, build_sub_config, check_frames
from .configuration_videotgb_grounding import VideotgbGroundingConfig


# Flan-T5-xl.
TEXT_DEFAULTS = {
    "d_model": 2048,
    "d_kv": 64,
    "d_ff": 5120,
    "num_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}
# What the published BLIP-2 variant was run with; the classes' defaults are InstructBLIP's.
GROUNDING_DEFAULTS = {"mode": "fusion", "span_mapping": "last_frame"}


@strict
class VideotgbT5Config(PreTrainedConfig):
    r"""Configuration of [`VideotgbT5Model`] and [`VideotgbT5ForConditionalGeneration`].

    `decoder_start_token_id`, `pad_token_id` and `eos_token_id` are those of `text_config`.

    Args:
        vision_config (`dict` or `Blip2VisionConfig`, *optional*):
            The frame encoder. Defaults to EVA ViT-g/14 at 224 pixels.
        qformer_config (`dict` or `Blip2QFormerConfig`, *optional*):
            BLIP-2's Q-Former, which sees the frame alone.
        grounding_config (`dict` or `VideotgbGroundingConfig`, *optional*):
            The bridge that lets the question choose the frames, optical flow included.
        text_config (`dict` or `T5Config`, *optional*):
            The language model. Defaults to the shape of Flan-T5-xl.
        image_token_id (`int`, *optional*, defaults to 32100):
            Placeholder of an image in the prompt; the first row of the table that the tokenizer leaves free.
        video_token_id (`int`, *optional*, defaults to 32101):
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
            Whether the output head shares the input embedding table, which then also scales what enters it.
    """

    model_type = "videotgb_t5"
    sub_configs = {
        "vision_config": Blip2VisionConfig,
        "qformer_config": Blip2QFormerConfig,
        "grounding_config": VideotgbGroundingConfig,
        "text_config": T5Config,
    }
    sub_configs_defaults = sub_configs
    keys_to_ignore_at_inference = ["cache", "past_key_values", "image_outputs", "video_outputs"]

    vision_config: dict | PreTrainedConfig | None = None
    qformer_config: dict | PreTrainedConfig | None = None
    grounding_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 32100
    video_token_id: int = 32101
    num_query_tokens: int = 32
    num_frames: int = 4
    frame_merge: Literal["mean", "concat"] = "mean"
    num_output_tokens: int | None = None
    vision_chunk_size: int | None = 16
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False
    is_encoder_decoder: bool = True

    def __post_init__(self, **kwargs):
        self.vision_config = build_sub_config(self.vision_config, Blip2VisionConfig, VISION_DEFAULTS)
        self.qformer_config = build_sub_config(self.qformer_config, Blip2QFormerConfig, {})
        self.grounding_config = build_sub_config(self.grounding_config, VideotgbGroundingConfig, GROUNDING_DEFAULTS)
        self.text_config = build_sub_config(self.text_config, T5Config, TEXT_DEFAULTS)
        for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id"):
            kwargs.setdefault(name, getattr(self.text_config, name))
        super().__post_init__(**kwargs)

    def validate_frames(self) -> None:
        """Counts make sense.

        Raises:
            ValueError: naming the offending value.
        """
        check_frames(self.num_frames, self.num_query_tokens, self.vision_chunk_size)


__all__ = ["VideotgbT5Config"]
