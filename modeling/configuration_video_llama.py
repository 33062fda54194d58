# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Video-LLaMA configuration."""

from huggingface_hub.dataclasses import strict
from transformers import Blip2QFormerConfig, Blip2VisionConfig, LlamaConfig
from transformers.configuration_utils import PreTrainedConfig

from .configuration_imagebind_audio import ImageBindAudioConfig, ImageBindVisionConfig


@strict
class VideoLlamaVideoQFormerConfig(Blip2QFormerConfig):
    """The Q-Former that reads the frames of a video: two layers, cross-attention in both."""

    model_type = "video_llama_video_qformer"
    base_config_key = "video_qformer_config"

    num_hidden_layers: int = 2
    cross_attention_frequency: int = 1
    encoder_hidden_size: int = 768


@strict
class VideoLlamaAudioQFormerConfig(VideoLlamaVideoQFormerConfig):
    """The Q-Former that reads the clips of a sound, which are points in ImageBind's space."""

    model_type = "video_llama_audio_qformer"
    base_config_key = "audio_qformer_config"

    encoder_hidden_size: int = 1024


@strict
class VideoLlamaConfig(PreTrainedConfig):
    r"""Configuration of [`VideoLlamaModel`] and [`VideoLlamaForConditionalGeneration`].

    Args:
        vision_config (`dict` or `Blip2VisionConfig`, *optional*):
            The frame encoder. Defaults to EVA ViT-g/14 at 224 pixels, 39 blocks.
        qformer_config (`dict` or `Blip2QFormerConfig`, *optional*):
            The Q-Former that reads one frame. Defaults to BLIP-2's: 12 layers, cross-attention in every second.
        video_qformer_config (`dict` or `VideoLlamaVideoQFormerConfig`, *optional*):
            The Q-Former that reads the frames of a video. Defaults to two layers with cross-attention in both.
        audio_config (`dict` or `ImageBindAudioConfig`, *optional*):
            The sound encoder. None: the model has no audio branch.
        audio_qformer_config (`dict` or `VideoLlamaAudioQFormerConfig`, *optional*):
            The Q-Former that reads the clips of a sound. Defaults to two layers where there is an audio branch.
        audio_training_config (`dict` or `ImageBindVisionConfig`, *optional*):
            The vision tower through which the original trained its audio branch. None: it is not built; answering
            never needs it.
        text_config (`dict` or `LlamaConfig`, *optional*):
            The language model. Defaults to Llama-2-7B-chat with three rows for placeholders.
        image_token_id (`int`, *optional*, defaults to 32000):
            Placeholder of an image in the prompt.
        audio_token_id (`int`, *optional*, defaults to 32001):
            Placeholder of a sound.
        video_token_id (`int`, *optional*, defaults to 32002):
            Placeholder of a video. The original writes all three alike.
        output_vocab_size (`int`, *optional*):
            Number of tokens that the language model can utter: rows behind it were appended for placeholders, and the
            head keeps them out of every softmax. None: all rows.
        stop_sequences (`list[list[int]]`, *optional*):
            Token sequences that end an answer besides the end token, such as both ways to write `###`.
        num_query_tokens (`int`, *optional*, defaults to 32):
            Tokens per frame between the two Q-Formers.
        num_video_query_tokens (`int`, *optional*, defaults to 32):
            Tokens of a video in the prompt, whatever its length.
        num_audio_query_tokens (`int`, *optional*, defaults to 8):
            Tokens of a sound in the prompt.
        max_frames (`int`, *optional*, defaults to 32):
            Rows of the table of frame positions.
        max_audio_clips (`int`, *optional*, defaults to 8):
            Rows of the table of clip positions.
        interpolate_positions (`bool`, *optional*, defaults to `False`):
            Whether more frames or clips than a table has rows stretch it instead of being refused. The published
            weights never saw this.
        vision_post_layer_norm_eps (`float`, *optional*, defaults to 1e-05):
            Of the norm behind the frame encoder, which BLIP-2's class would give that of the blocks.
        vision_chunk_size (`int`, *optional*, defaults to 16):
            Frames per call of the frame encoder; bounds memory, never changes the result. None: all at once.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the input embedding table.
    """

    model_type = "video_llama"
    sub_configs = {
        "vision_config": Blip2VisionConfig,
        "qformer_config": Blip2QFormerConfig,
        "video_qformer_config": VideoLlamaVideoQFormerConfig,
        "audio_config": ImageBindAudioConfig,
        "audio_qformer_config": VideoLlamaAudioQFormerConfig,
        "audio_training_config": ImageBindVisionConfig,
        "text_config": LlamaConfig,
    }
    sub_configs_defaults = {"vision_config": Blip2VisionConfig, "text_config": LlamaConfig}
    keys_to_ignore_at_inference = ["past_key_values"]

    vision_config: dict | PreTrainedConfig | None = None
    qformer_config: dict | PreTrainedConfig | None = None
    video_qformer_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    audio_qformer_config: dict | PreTrainedConfig | None = None
    audio_training_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 32000
    audio_token_id: int = 32001
    video_token_id: int = 32002
    output_vocab_size: int | None = None
    stop_sequences: list[list[int]] | None = None
    num_query_tokens: int = 32
    num_video_query_tokens: int = 32
    num_audio_query_tokens: int = 8
    max_frames: int = 32
    max_audio_clips: int = 8
    interpolate_positions: bool = False
    vision_post_layer_norm_eps: float = 1e-5
    vision_chunk_size: int | None = 16
    initializer_range: float | int = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.audio_config is not None and self.audio_qformer_config is None:
            self.audio_qformer_config = {}
        if self.text_config is None:
            self.text_config = LlamaConfig(vocab_size=32003, max_position_embeddings=4096, rms_norm_eps=1e-5)
        for name in ("vision_config", "qformer_config", "video_qformer_config"):
            if getattr(self, name) is None:
                setattr(self, name, {})
        for name, config_class in self.sub_configs.items():
            if isinstance(getattr(self, name), dict):
                setattr(self, name, config_class(**getattr(self, name)))
        super().__post_init__(**kwargs)

    def validate_widths(self) -> None:
        """Each part must read what the part before it writes.

        Raises:
            ValueError: naming both widths.
        """
        readers = [
            ("qformer_config", self.vision_config.hidden_size, "vision_config.hidden_size"),
            ("video_qformer_config", self.qformer_config.hidden_size, "qformer_config.hidden_size"),
        ]
        towers = [name for name in ("audio_config", "audio_training_config") if getattr(self, name) is not None]
        if towers and self.audio_qformer_config is None:
            raise ValueError(f"{towers[0]} is given without audio_qformer_config, which reads its embeddings.")
        for name in towers:
            readers.append(("audio_qformer_config", getattr(self, name).projection_dim, f"{name}.projection_dim"))
        for reader, width, writer in readers:
            expected = getattr(self, reader).encoder_hidden_size
            if expected != width:
                raise ValueError(f"{reader}.encoder_hidden_size is {expected}, but {writer} is {width}.")


__all__ = ["VideoLlamaAudioQFormerConfig", "VideoLlamaConfig", "VideoLlamaVideoQFormerConfig"]
