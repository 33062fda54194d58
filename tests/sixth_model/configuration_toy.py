# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Toy configuration: step 1 of the checklist."""

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class ToyConfig(PreTrainedConfig):
    r"""Configuration of [`ToyModel`] and [`ToyForConditionalGeneration`].

    Args:
        text_config (`dict` or `LlamaConfig`, *optional*):
            The language model.
        image_size (`int`, *optional*, defaults to 16):
            Side of a frame in pixels.
        patch_size (`int`, *optional*, defaults to 8):
            Side of a patch; a video costs as many tokens as a frame has patches.
        vision_hidden_size (`int`, *optional*, defaults to 16):
            Width of the tower.
        video_token_id (`int`, *optional*, defaults to 3):
            Placeholder of a video in the prompt.
    """

    model_type = "toy"
    sub_configs = {"text_config": LlamaConfig}
    sub_configs_defaults = {"text_config": LlamaConfig}

    text_config: dict | PreTrainedConfig | None = None
    image_size: int = 16
    patch_size: int = 8
    vision_hidden_size: int = 16
    video_token_id: int = 3
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.text_config is None:
            self.text_config = LlamaConfig()
        elif isinstance(self.text_config, dict):
            self.text_config = LlamaConfig(**self.text_config)
        super().__post_init__(**kwargs)


__all__ = ["ToyConfig"]
