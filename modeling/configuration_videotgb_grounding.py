# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Configuration of VideoTGB's grounding bridge: optical flow, span encoder and frame choice."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig


CHOICES = {
    "mode": ("multi_modal", "fusion"),
    "span_mapping": ("length", "last_frame"),
    "flow_input": ("normalized", "pixels"),
    "rotary_init": ("sinusoidal", "noise"),
}


@strict
class VideotgbGroundingConfig(PreTrainedConfig):
    r"""Configuration of [`VideotgbGroundingModel`] and [`VideotgbFlowModel`].

    The defaults are the published sizes: a BERT-base encoder and RAFT-large.

    Args:
        vocab_size (`int`, *optional*, defaults to 30522):
            Of the question's tokenizer (BERT's).
        type_vocab_size (`int`, *optional*, defaults to 2):
            Rows of the token type table; questions use row 0.
        max_position_embeddings (`int`, *optional*, defaults to 512):
            Positions of the flow stream (two of them are its first and last mark) and of the rotary tables. Clips
            with more flow frames are not grounded.
        fusion_layer (`int`, *optional*, defaults to 6):
            First layer with cross attention to the question.
        mode (`str`, *optional*, defaults to `"multi_modal"`):
            `"multi_modal"` runs all layers, `"fusion"` only those from `fusion_layer` on.
        rotary_init (`str`, *optional*, defaults to `"sinusoidal"`):
            What new rotary tables hold. `"noise"` is what the original's own initialisation leaves in them. Tables
            are never trained and always loaded from a checkpoint.
        layer_norm_eps (`float`, *optional*, defaults to 1e-12):
            Of the encoder and the question embedding.
        flow_size (`int`, *optional*, defaults to 224):
            Side of the square flow field in pixels.
        flow_patch_size (`int`, *optional*, defaults to 16):
            Side of its patches.
        flow_layer_norm_eps (`float`, *optional*, defaults to 1e-5):
            Of the flow embedding.
        num_draws (`int`, *optional*, defaults to 2):
            Spans drawn per video; their union is what frames are taken from.
        gumbel_temperature (`float`, *optional*, defaults to 0.5):
            Divides logits plus noise before the largest is taken.
        span_mapping (`str`, *optional*, defaults to `"length"`):
            From flow frame s of T to candidate frame of N: `"length"` is s / T * N (the InstructBLIP form),
            `"last_frame"` is s * (N - 1) / (T - 1) (the BLIP-2 form); cut to whole numbers.
        flow_input (`str`, *optional*, defaults to `"normalized"`):
            What RAFT sees: frames normalised by mean and standard deviation, as at the original's inference, or
            `"pixels"` from 0 to 255, as in its training and as RAFT was made for.
        normalize_flow (`bool`, *optional*, defaults to `False`):
            Whether the flow of a clip is divided by its largest magnitude (plus 1e-5), as in the original's training.
        flow_chunk_size (`int`, *optional*, defaults to 8):
            Frame pairs per call of RAFT; bounds memory.
        num_flow_updates (`int`, *optional*, defaults to 20):
            Iterations of RAFT.
        pixel_mean (`list[float]`, *optional*):
            Per channel; with `pixel_deviation` what frames are normalised by, in [0, 1]. CLIP's by default.
        raft_encoder_widths (`list[int]`, *optional*, defaults to `[64, 64, 96, 128, 256]`):
            Channels of stem, three stages and output of the feature network; the context network has the same, and
            `raft_hidden_size + raft_context_size` at its output.
        raft_corr_levels (`int`, *optional*, defaults to 4):
            Levels of the correlation pyramid. A frame side must be at least `8 * 2 ** raft_corr_levels` pixels.
        raft_corr_radius (`int`, *optional*, defaults to 4):
            Reach of the window that is looked up at every level.
        raft_corr_widths (`list[int]`, *optional*, defaults to `[256, 192]`):
            Channels of the two convolutions over the looked-up correlation.
        raft_flow_widths (`list[int]`, *optional*, defaults to `[128, 64]`):
            Channels of the two convolutions over the current flow.
        raft_motion_size (`int`, *optional*, defaults to 128):
            Channels that both give together.
        raft_head_size (`int`, *optional*, defaults to 256):
            Channels inside the flow head and the upsampling head.
    """

    model_type = "videotgb_grounding"
    base_config_key = "grounding_config"

    vocab_size: int = 30522
    type_vocab_size: int = 2
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    fusion_layer: int = 6
    mode: str = "multi_modal"
    rotary_init: str = "sinusoidal"
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    pad_token_id: int | None = 0
    flow_size: int = 224
    flow_patch_size: int = 16
    flow_layer_norm_eps: float = 1e-5
    num_draws: int = 2
    gumbel_temperature: float | int = 0.5
    span_mapping: str = "length"
    flow_input: str = "normalized"
    normalize_flow: bool = False
    flow_chunk_size: int = 8
    num_flow_updates: int = 20
    pixel_mean: list[float] | tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    pixel_deviation: list[float] | tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    raft_encoder_widths: list[int] | tuple[int, ...] = (64, 64, 96, 128, 256)
    raft_hidden_size: int = 128
    raft_context_size: int = 128
    raft_corr_levels: int = 4
    raft_corr_radius: int = 4
    raft_corr_widths: list[int] | tuple[int, ...] = (256, 192)
    raft_flow_widths: list[int] | tuple[int, ...] = (128, 64)
    raft_motion_size: int = 128
    raft_head_size: int = 256

    def __post_init__(self, **kwargs):
        for name in ("pixel_mean", "pixel_deviation", "raft_encoder_widths", "raft_corr_widths", "raft_flow_widths"):
            setattr(self, name, list(getattr(self, name)))
        super().__post_init__(**kwargs)

    @property
    def head_dim(self) -> int:
        """Width of one attention head, and of the rotary tables."""
        return self.hidden_size // self.num_attention_heads

    @property
    def max_flow_frames(self) -> int:
        """Longest clip the flow stream has positions for."""
        return self.max_position_embeddings - 2

    def validate_choices(self) -> None:
        """Fields with a fixed set of values.

        Raises:
            ValueError: naming field, value and set.
        """
        for name, accepted in CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {getattr(self, name)!r}.")

    def validate_sizes(self) -> None:
        """Sizes that heads, layers and patches can be cut into.

        Raises:
            ValueError: naming the offending value.
        """
        if self.hidden_size % self.num_attention_heads or self.head_dim % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} must split into {self.num_attention_heads} heads of even width."
            )
        if not 0 <= self.fusion_layer < self.num_hidden_layers:
            raise ValueError(
                f"fusion_layer must lie in [0, {self.num_hidden_layers}), got {self.fusion_layer}: at least the last "
                "layer reads the question."
            )
        if self.flow_size % self.flow_patch_size:
            raise ValueError(f"flow_size {self.flow_size} is no multiple of flow_patch_size {self.flow_patch_size}.")
        if self.gumbel_temperature <= 0:
            raise ValueError(f"gumbel_temperature must be positive, got {self.gumbel_temperature}.")
        widths = self.raft_encoder_widths
        if len(widths) != 5 or widths[0] != widths[1]:
            raise ValueError(f"raft_encoder_widths must be five sizes, the first two equal; got {widths}.")


__all__ = ["VideotgbGroundingConfig"]
