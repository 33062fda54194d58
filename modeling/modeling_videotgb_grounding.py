# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""VideoTGB's grounding bridge: motion and question decide which frames the language model sees.

Paper: "Efficient Temporal Extrapolation of Multimodal Large Language Models with Temporal Grounding Bridge", arXiv
2402.16050. Original code: https://github.com/bigai-nlco/VideoTGB (called LSTP there). Encoder weights begin from
bert-base-uncased (Apache-2.0), flow weights are RAFT's (BSD-3-Clause).

The idea on one screen: optical flow between the frames of a clip becomes one vector per frame
([`VideotgbFlowEmbeddings`]); a BERT-like encoder with rotary positions lets these vectors read the question
([`VideotgbFusionEncoder`]); a head gives every frame a start and an end score; the spans with the best scores tell
which of the candidate frames are taken ([`choose_frames`]). No feature of the bridge reaches the language model.

Deviations from the original (results equal up to rounding unless a switch is named):
- deterministic: the original adds Gumbel noise to the scores; pass `gumbel_noise` or a `generator` for that;
- batches: positions behind the end of a clip never win, and every clip gets a choice of its own (the original
  grounds the first of a batch and shows black frames for the rest);
- a clip of one frame, or of more frames than the flow stream has positions for, is not grounded and says so; the
  original gets there by catching any exception, and divides by zero for one frame in its BLIP-2 form;
- new rotary tables hold sines and cosines (`rotary_init`): the original's initialisation fills them with noise;
- question embeddings have no position table (the original stores one and never reads it).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_videotgb_grounding import VideotgbGroundingConfig
from .modeling_raft import VideotgbFlowModel
from .modeling_videotgb_frame_choice import FrameChoice, can_ground, choose_frames


@dataclass
class VideotgbGroundingOutput(ModelOutput):
    """What the span encoder makes of clips and questions.

    Attributes:
        span_logits: (clips, L, 2), start and end score of every flow frame.
        last_hidden_state: (clips, L + 2, dim), first and last mark included.
    """

    span_logits: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None


def rotary_table(positions: int, dim: int) -> torch.Tensor:
    """(positions, dim): dim / 2 sines, then as many cosines, of falling frequency."""
    frequencies = 10000 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.arange(positions, dtype=torch.float64).unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()


def rotate(heads: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Turns neighbouring channels (clips, heads, length, head dim) by the angle of their position.

    `table` (at least length, head dim) holds [sines | cosines]; row t is for position t.
    """
    sine, cosine = (half.repeat_interleave(2, dim=-1) for half in table[: heads.shape[2]].chunk(2, dim=-1))
    turned = torch.stack([-heads[..., 1::2], heads[..., ::2]], dim=-1).flatten(-2)
    return heads * cosine + turned * sine


class VideotgbTextEmbeddings(nn.Module):
    """The question as keys and values: words without positions and without self attention."""

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__()
        self.word_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embedding = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(clips, words) -> (clips, words, dim)."""
        words = self.word_embedding(input_ids) + self.token_type_embedding.weight[0]
        return self.dropout(self.layer_norm(words))


class VideotgbFlowEmbeddings(nn.Module):
    """A flow field becomes one vector; a clip becomes [first mark, its vectors, last mark] with learned positions."""

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__()
        self.config = config
        dim, patch = config.hidden_size, config.flow_patch_size
        self.patch_embedding = nn.Conv2d(2, dim, kernel_size=patch, stride=patch)
        self.patch_mix = nn.Linear((config.flow_size // patch) ** 2, 1)
        self.bos = nn.Parameter(torch.empty(dim))
        self.eos = nn.Parameter(torch.empty(dim))
        self.position_embedding = nn.Embedding(config.max_position_embeddings, dim)
        self.layer_norm = nn.LayerNorm(dim, eps=config.flow_layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def embed(self, flow: torch.Tensor) -> torch.Tensor:
        """(n, 2, S, S) -> (n, dim); an affine map of each flow field.

        Raises:
            ValueError: fields of another size than the configuration's.
        """
        size = self.config.flow_size
        if tuple(flow.shape[-2:]) != (size, size):
            raise ValueError(f"The bridge reads flow of {size} x {size} pixels, got {tuple(flow.shape[-2:])}.")
        patches = self.patch_embedding(flow.to(self.patch_mix.weight.dtype)).flatten(2)
        return self.patch_mix(patches).squeeze(-1)

    def forward(self, flow_features: torch.Tensor, flow_attention_mask: torch.Tensor) -> torch.Tensor:
        """(clips, L, dim) and (clips, L), ones then zeros -> (clips, L + 2, dim), the last mark behind the ones."""
        clips, length, dim = flow_features.shape
        if length > self.config.max_flow_frames:
            raise ValueError(
                f"A clip has {length} flow frames, but the bridge has positions for {self.config.max_flow_frames}."
            )
        stream = torch.cat(
            [self.bos.expand(clips, 1, dim), flow_features, flow_features.new_zeros(clips, 1, dim)], dim=1
        )
        places = torch.arange(length + 2, device=stream.device)
        is_last = places == 1 + flow_attention_mask.long().sum(-1, keepdim=True)
        stream = torch.where(is_last.unsqueeze(-1), self.eos, stream) + self.position_embedding.weight[: length + 2]
        return self.dropout(self.layer_norm(stream))


class VideotgbGroundingAttention(nn.Module):
    """Post-norm attention whose queries and keys carry their positions by rotation."""

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.attention_dropout = config.attention_probs_dropout_prob
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,
        source: torch.Tensor,
        mask: torch.Tensor,
        query_table: torch.Tensor,
        key_table: torch.Tensor,
    ) -> torch.Tensor:
        """hidden_states (clips, Q, dim) reads source (clips, K, dim) where mask (clips, K) is 1."""
        query, key, value = (
            projection(states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection, states in ((self.query, hidden_states), (self.key, source), (self.value, source))
        )
        attended = F.scaled_dot_product_attention(
            rotate(query, query_table),
            rotate(key, key_table),
            value,
            attn_mask=mask.bool()[:, None, None, :],
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        attended = self.dense(attended.transpose(1, 2).flatten(2))
        return self.layer_norm(hidden_states + self.dropout(attended))


class VideotgbGroundingFeedForward(nn.Module):
    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__()
        self.dense_in = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation_fn = ACT2FN[config.hidden_act]
        self.dense_out = nn.Linear(config.intermediate_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        changed = self.dense_out(self.activation_fn(self.dense_in(hidden_states)))
        return self.layer_norm(hidden_states + self.dropout(changed))


class VideotgbFusionLayer(GradientCheckpointingLayer):
    """The clip reads itself, then (in the later layers) the question."""

    def __init__(self, config: VideotgbGroundingConfig, reads_question: bool):
        super().__init__()
        self.self_attention = VideotgbGroundingAttention(config)
        self.cross_attention = VideotgbGroundingAttention(config) if reads_question else None
        self.feed_forward = VideotgbGroundingFeedForward(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        mask: torch.Tensor,
        question: torch.Tensor,
        question_mask: torch.Tensor,
        tables: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        table, cross_table = tables
        hidden_states = self.self_attention(hidden_states, hidden_states, mask, table, table)
        if self.cross_attention is not None:
            hidden_states = self.cross_attention(hidden_states, question, question_mask, table, cross_table)
        return self.feed_forward(hidden_states)


class VideotgbFusionEncoder(nn.Module):
    """The stack, with its two rotary tables: stored, never trained, never computed anew after loading."""

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__()
        self.config = config
        size = config.max_position_embeddings, config.head_dim
        self.rotary_table = nn.Parameter(torch.empty(size), requires_grad=False)
        self.cross_rotary_table = nn.Parameter(torch.empty(size), requires_grad=False)
        self.layers = nn.ModuleList(
            VideotgbFusionLayer(config, number >= config.fusion_layer) for number in range(config.num_hidden_layers)
        )

    def forward(
        self, hidden_states: torch.Tensor, mask: torch.Tensor, question: torch.Tensor, question_mask: torch.Tensor
    ) -> torch.Tensor:
        """The flow stream (clips, L + 2, dim) after it has read the question (clips, words, dim)."""
        limit = self.config.max_position_embeddings
        if question.shape[1] > limit:
            raise ValueError(f"The question has {question.shape[1]} tokens, but the bridge has positions for {limit}.")
        # CODEPATH: the BLIP-2 form runs the layers with cross attention alone, the InstructBLIP form all.
        first = self.config.fusion_layer if self.config.mode == "fusion" else 0
        for layer in self.layers[first:]:
            tables = self.rotary_table, self.cross_rotary_table
            hidden_states = layer(hidden_states, mask, question, question_mask, tables)
        return hidden_states


class VideotgbGroundingPreTrainedModel(PreTrainedModel):
    """Base of the bridge's classes: configuration, loading, initialisation."""

    config: VideotgbGroundingConfig
    config_class = VideotgbGroundingConfig
    base_model_prefix = "grounding_bridge"
    main_input_name = "flow_features"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    # Sequences are short: attention is PyTorch's own, whatever implementation the language model is given.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, VideotgbFlowEmbeddings):
            for parameter in (module.bos, module.eos, module.patch_embedding.weight):
                init.trunc_normal_(parameter, std=self.config.initializer_range)
        elif isinstance(module, VideotgbFusionEncoder):
            for table in (module.rotary_table, module.cross_rotary_table):
                # CODEPATH: noise is what all published checkpoints hold, and what the original begins training from.
                if self.config.rotary_init == "noise":
                    init.normal_(table, std=self.config.initializer_range)
                else:
                    init.copy_(table, rotary_table(*table.shape))


class VideotgbGroundingModel(VideotgbGroundingPreTrainedModel):
    """From flow and question to start and end scores of every flow frame."""

    _no_split_modules = ["VideotgbFusionLayer"]

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__(config)
        self.text_embeddings = VideotgbTextEmbeddings(config)
        self.flow_embeddings = VideotgbFlowEmbeddings(config)
        self.encoder = VideotgbFusionEncoder(config)
        self.span_head = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.text_embeddings.word_embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_embeddings.word_embedding = value

    def encode_flow(self, chunks: Iterable[torch.Tensor]) -> torch.Tensor:
        """One vector per flow frame of a clip, whatever the question: all of the flow that needs to be kept.

        Args:
            chunks: (n, 2, S, S) each, in order; consumed one at a time.

        Returns:
            (T, dim).
        """
        features, scales = [self.span_head.weight.new_zeros(0, self.config.hidden_size)], []
        for flow in chunks:
            features.append(self.flow_embeddings.embed(flow))
            scales.append(motion_scale(flow))
        features = torch.cat(features)
        # CODEPATH: the original divides in training and does not at inference.
        if self.config.normalize_flow and scales:
            # The map is affine: dividing the flow is dividing the distance to what a still frame becomes.
            size = self.config.flow_size
            still = self.flow_embeddings.embed(features.new_zeros(1, 2, size, size))
            features = still + (features - still) / torch.stack(scales).amax().to(features.dtype)
        return features

    def forward(
        self,
        flow_features: torch.Tensor,
        flow_attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> VideotgbGroundingOutput:
        """Scores of clips under their questions.

        Args:
            flow_features: (clips, L, dim), see `encode_flow`.
            flow_attention_mask: (clips, L), ones then zeros; all ones by default.
            input_ids: (clips, words), one question per clip.
            attention_mask: (clips, words).

        Raises:
            ValueError: more flow frames or words than positions.
        """
        if flow_attention_mask is None:
            flow_attention_mask = torch.ones(flow_features.shape[:2], dtype=torch.long, device=flow_features.device)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        stream = self.flow_embeddings(flow_features, flow_attention_mask)
        # Both marks and the frames: the ones move two to the right.
        stream_mask = F.pad(flow_attention_mask, (2, 0), value=1)
        hidden_states = self.encoder(stream, stream_mask, self.text_embeddings(input_ids), attention_mask)
        return VideotgbGroundingOutput(
            span_logits=self.span_head(hidden_states[:, 1:-1]), last_hidden_state=hidden_states
        )

    def score_clips(
        self,
        flow_features: list[torch.Tensor],
        num_flow_frames: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores of clips of any lengths; zeros for clips that cannot be grounded.

        Args:
            flow_features: (T, dim) per clip.
            num_flow_frames: (clips,), frames T of each.
            input_ids: (clips, words), one question per clip; `attention_mask` likewise.

        Returns:
            (clips, longest T, 2).
        """
        logits = self.span_head.weight.new_zeros(len(flow_features), int(num_flow_frames.max()), 2)
        rows = can_ground(num_flow_frames, self.config).nonzero().flatten().tolist()
        if not rows:
            return logits
        padded = nn.utils.rnn.pad_sequence([flow_features[row] for row in rows], batch_first=True)
        places = torch.arange(padded.shape[1], device=padded.device)
        mask = (places < num_flow_frames[rows].to(places.device).unsqueeze(-1)).long()
        scores = self(padded, mask, input_ids[rows], None if attention_mask is None else attention_mask[rows])
        scores = F.pad(scores.span_logits, (0, 0, 0, logits.shape[1] - padded.shape[1]))
        return logits.index_copy(0, torch.tensor(rows, device=logits.device), scores)


def motion_scale(flow: torch.Tensor) -> torch.Tensor:
    """What `normalize_flow` divides a clip (n, 2, H, W) by: its longest vector, plus a little."""
    return flow.float().norm(dim=1).amax() + 1e-5


def span_loss(
    span_logits: torch.Tensor,
    start_positions: torch.Tensor,
    end_positions: torch.Tensor,
    flow_attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross entropy of start and end.

    Args:
        span_logits: (clips, L, 2).
        start_positions: (clips,), flow frame; L or more: not learned from. `end_positions` likewise.
        flow_attention_mask: (clips, L); leaves padding out of the softmax. The original does not.
    """
    length = span_logits.shape[1]
    if flow_attention_mask is not None:
        span_logits = span_logits.masked_fill(flow_attention_mask.unsqueeze(-1) == 0, -torch.inf)
    losses = [
        F.cross_entropy(logits.float(), positions.clamp(0, length), ignore_index=length)
        for logits, positions in zip(span_logits.unbind(-1), (start_positions, end_positions), strict=True)
    ]
    return torch.stack(losses).mean()


class VideotgbGroundingBridge(VideotgbGroundingPreTrainedModel):
    """Flow and grounding without a language model: which frames of a clip does a question need?"""

    def __init__(self, config: VideotgbGroundingConfig):
        super().__init__(config)
        self.grounding = VideotgbGroundingModel._from_config(config)
        self.flow_model = VideotgbFlowModel._from_config(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.grounding.get_input_embeddings()

    def encode_clips(self, flow_pixel_values: torch.Tensor, num_flow_frames: torch.Tensor) -> list[torch.Tensor]:
        """What is kept of the flow of each clip: (T, dim) per clip, whatever the question."""
        clips = flow_pixel_values.split(num_flow_frames.tolist())
        return [self.grounding.encode_flow(self.flow_model.flow_in_chunks(clip)) for clip in clips]

    def forward(
        self,
        flow_pixel_values: torch.Tensor,
        num_flow_frames: torch.Tensor,
        sampler_input_ids: torch.Tensor,
        sampler_attention_mask: torch.Tensor | None = None,
        num_candidates: int = 32,
        num_frames: int = 4,
        gumbel_noise: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> FrameChoice:
        """Chooses frames.

        Args:
            flow_pixel_values: (frames of all clips, 3, S, S), normalised.
            num_flow_frames: (clips,), frames of each.
            sampler_input_ids: (clips, words), one question per clip; `sampler_attention_mask` likewise.

        The rest is passed to [`choose_frames`].
        """
        features = self.encode_clips(flow_pixel_values, num_flow_frames)
        logits = self.grounding.score_clips(features, num_flow_frames, sampler_input_ids, sampler_attention_mask)
        return choose_frames(logits, num_flow_frames, num_candidates, num_frames, self.config, gumbel_noise, generator)


__all__ = [
    "VideotgbGroundingBridge",
    "VideotgbGroundingModel",
    "VideotgbGroundingOutput",
    "VideotgbGroundingPreTrainedModel",
    "motion_scale",
    "span_loss",
]
