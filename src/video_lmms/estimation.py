# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What an answer costs, before any weight is loaded: tokens, operations, memory.

Nothing here restates a model's arithmetic. The model is built on PyTorch's meta device, where tensors have shapes and
no content, and its own code is run there under three meters: torch's operation counter, a tally of live bytes, and a
stand-in for attention kernels, which never store the score matrix that the meta device would.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMultimodalLM, PreTrainedConfig, PreTrainedModel
from transformers.video_utils import VideoMetadata

from video_lmms.modeling.modeling_video_lmm import CACHE_NAMES

from .estimation_longvu import encode_most
from .estimation_videotgb import encode_chosen


# A longer video is not processed: two short ones, of this many units and twice as many, tell how its inputs grow.
_PROBE_UNITS = 2
# Largest side of the empty frames that stand for the real ones. The processor brings every size to that of the model.
_PROBE_PIXELS = 512

# What `generate` also needs beside the video's tokens: the question and the chat template.
DEFAULT_TEXT_TOKENS = 64
DEFAULT_NEW_TOKENS = 128


@dataclass
class VideoCost:
    """One video.

    Attributes:
        seconds: duration, None where unknown.
        num_frames: frames in the clip.
        sampled_frames: frames the model sees.
        tokens: visual tokens in the prompt; where they depend on what the video shows, at most.
        text_tokens: tokens of text that the prompt spends on the video besides, such as the times of its clips.
    """

    seconds: float | None
    num_frames: int
    sampled_frames: int
    tokens: int
    text_tokens: int


@dataclass
class Estimate:
    """What one prompt costs.

    Attributes:
        parameters: numbers of parameters by part, and their `total`.
        videos: cost of each video.
        text_tokens: assumed length of question and template.
        prompt_tokens: all tokens of the prompt.
        new_tokens: assumed length of the answer.
        flops: floating-point operations (a multiply-add is two) of `vision`, `prefill`, and the whole `answer` after
            its first token.
        memory: bytes of `weights`, `kv_cache` at full length, and the largest live set of activations during `vision`
            and `prefill`; `peak` is their combination.
    """

    parameters: dict[str, int]
    videos: list[VideoCost]
    text_tokens: int
    prompt_tokens: int
    new_tokens: int
    flops: dict[str, int]
    memory: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass
class Meter:
    """Readings of `metered`.

    Attributes:
        flops: floating-point operations.
        peak_bytes: largest number of bytes alive at once, of tensors made while metering.
    """

    flops: int = 0
    peak_bytes: int = 0


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts operations and live bytes of the code inside, which is to run on meta tensors."""
    meter = Meter()
    tally, counter, attention = _LiveBytes(), FlopCounterMode(display=False), _AttentionStandIn()
    with torch.no_grad(), attention, counter, tally:
        yield meter
    meter.flops = counter.get_total_flops() + attention.flops
    meter.peak_bytes = tally.peak


def estimate(
    config: PreTrainedConfig,
    video_processor: Any,
    videos: Sequence[VideoMetadata],
    *,
    dtype: torch.dtype | None = None,
    text_tokens: int = DEFAULT_TEXT_TOKENS,
    new_tokens: int = DEFAULT_NEW_TOKENS,
    num_frames: int | None = None,
) -> Estimate:
    """Cost of one prompt with `videos`.

    Args:
        config: of the model.
        video_processor: of the model; decides which frames are taken.
        videos: metadata of each video; nothing is decoded.
        dtype: of the weights; defaults to the configuration's, else float32.
        text_tokens: tokens of question and template.
        new_tokens: tokens of the answer.
        num_frames: frames per video, in place of the processor's own rule.

    Returns:
        The estimate.
    """
    model = build_on_meta(config, dtype)
    options = {} if num_frames is None else {"num_frames": num_frames}
    options = video_processor.sampling_options(len(videos), **options)
    sampled = [video_processor.sample_frames(video, **options) for video in videos]
    inputs = [probe(video_processor, len(frames), video) for frames, video in zip(sampled, videos, strict=True)]
    encode = ENCODERS.get(config.model_type, encode_video)
    with metered() as vision:
        features = [encode(model, *pair, text_tokens) for pair in zip(inputs, videos, strict=True)]
    costs = [
        VideoCost(
            video.duration,
            video.total_num_frames,
            len(frames),
            len(tokens),
            video_processor.num_text_tokens(video, frames),
        )
        for video, frames, tokens in zip(videos, sampled, features, strict=True)
    ]
    prompt_tokens = text_tokens + sum(cost.tokens + cost.text_tokens for cost in costs)
    prefill, _, first_cache = _generate(model, prompt_tokens, 0)
    # Attention grows with each token; the step in the middle is the mean one.
    _, middle, _ = _generate(model, prompt_tokens, new_tokens // 2)
    _, _, last_cache = _generate(model, prompt_tokens, new_tokens)
    flops = {"vision": vision.flops, "prefill": prefill.flops, "answer": middle.flops * (new_tokens - 1)}
    memory = {
        "weights": sum(tensor.nbytes for tensor in _distinct(model.state_dict(keep_vars=True).values())),
        "kv_cache": last_cache,
        "vision": vision.peak_bytes,
        "prefill": prefill.peak_bytes,
    }
    memory["peak"] = memory["weights"] + max(memory["vision"], memory["prefill"] + last_cache - first_cache)
    return Estimate(count_parameters(model), costs, text_tokens, prompt_tokens, new_tokens, flops, memory)


def build_on_meta(config: PreTrainedConfig, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model of a configuration, without memory for its weights."""
    with torch.device("meta"):
        model = AutoModelForMultimodalLM.from_config(config, dtype=dtype or config.dtype or torch.float32)
    # The operation counter looks for the gradients of what is to be trained.
    return model.eval().requires_grad_(False)


def count_parameters(model: PreTrainedModel) -> dict[str, int]:
    """Parameters of each part of a model, tied ones once, and their total."""
    base = model.base_model
    parts = dict(base.named_children()) | {
        name: child for name, child in model.named_children() if child is not base and name not in base._modules
    }
    counts = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
    return {name: count for name, count in counts.items() if count} | {
        "total": sum(parameter.numel() for parameter in model.parameters())
    }


def encode_video(
    model: PreTrainedModel, inputs: dict[str, MetaInput], video: VideoMetadata, text_tokens: int
) -> torch.Tensor:
    """Features (tokens, dim) of one video on the meta device, through the model's own code.

    Args:
        model: on the meta device.
        inputs: from [`probe`].
        video: what is known of it.
        text_tokens: of the prompt.
    """
    wanted = inspect.signature(model.base_model.get_video_features).parameters
    given = {name: value.build(model.dtype) for name, value in inputs.items() if name in wanted}
    return model.base_model.get_video_features(**given, return_dict=True).pooler_output[0]


# Models that look at what the video shows before they encode it, which `encode_video` cannot follow: model type ->
# function with the same arguments and result, which is what a video costs at most.
ENCODERS: dict[str, Callable[[PreTrainedModel, dict[str, MetaInput], VideoMetadata, int], torch.Tensor]] = {
    "longvu": encode_most,
    "videotgb": encode_chosen,
    "videotgb_t5": encode_chosen,
}
# Those of which the number of tokens is known at most.
TOKENS_DEPEND_ON_CONTENT = ("longvu",)


def probe(video_processor: Any, frames: int, video: VideoMetadata) -> dict[str, MetaInput]:
    """What the video processor would make of a video of which it takes `frames` frames, without making it.

    Sizes and counts grow evenly with the frames, so that two short videos tell those of a long one.
    """
    unit = getattr(video_processor, "frames_per_clip", 1)
    short = _PROBE_UNITS * unit
    if frames <= 2 * short:
        return {name: MetaInput.of(value) for name, value in _process(video_processor, frames, video).items()}
    parts = [_process(video_processor, count, video) for count in (short, 2 * short)]
    steps = Fraction(frames - short, short)
    return {name: MetaInput.extrapolate(value, parts[1][name], steps) for name, value in parts[0].items()}


def _process(video_processor: Any, frames: int, video: VideoMetadata) -> dict[str, torch.Tensor]:
    """Inputs made of empty frames of the video's shape."""
    height, width = video.height or _PROBE_PIXELS, video.width or _PROBE_PIXELS
    scale = min(1, _PROBE_PIXELS / max(height, width))
    shape = frames, max(1, round(height * scale)), max(1, round(width * scale)), 3
    empty = np.broadcast_to(np.zeros((), np.uint8), shape)
    return video_processor([empty], do_sample_frames=False, return_tensors="pt")


@dataclass
class MetaInput:
    """An input of a model whose content is unknown, or a small table of counts.

    Attributes:
        shape: of the tensor.
        is_float: whether it holds floating-point numbers.
        counts: content of a table of whole numbers whose shape does not depend on the video's length, else None.
    """

    shape: tuple[int, ...]
    is_float: bool
    counts: torch.Tensor | None

    @classmethod
    def of(cls, value: torch.Tensor) -> MetaInput:
        is_float = value.is_floating_point()
        return cls(tuple(value.shape), is_float, None if is_float else value)

    @classmethod
    def extrapolate(cls, first: torch.Tensor, second: torch.Tensor, steps: Fraction) -> MetaInput:
        """What lies `steps` times the difference of two inputs beyond the first."""

        def beyond(one: int, two: int) -> int:
            return round(one + (two - one) * steps)

        shape = tuple(map(beyond, first.shape, second.shape))
        is_float = first.is_floating_point()
        if is_float or first.shape != second.shape:
            return cls(shape, is_float, None)
        counts = [beyond(*pair) for pair in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)]
        return cls(shape, is_float, torch.tensor(counts, dtype=first.dtype).reshape(shape))

    def build(self, dtype: torch.dtype) -> torch.Tensor:
        """The tensor: counts on the CPU, anything else on the meta device."""
        if self.counts is not None:
            return self.counts
        return torch.empty(self.shape, dtype=dtype if self.is_float else torch.long, device="meta")


def _generate(model: PreTrainedModel, prompt_tokens: int, answered: int) -> tuple[Meter, Meter, int]:
    """Readings of a pass over the prompt and what is answered, and of one more token after it; bytes of the cache
    between them. An encoder reads the prompt, and its decoder what is answered after a first token that starts it."""
    language_model, head = model.base_model.language_model, model.get_output_embeddings()
    table = model.get_input_embeddings().weight
    encodes = model.config.is_encoder_decoder

    def embeds(tokens: int) -> torch.Tensor:
        return table.new_empty(1, tokens, table.shape[1])

    with metered() as prefill:
        inputs = {"inputs_embeds": embeds(prompt_tokens + (0 if encodes else answered))}
        if encodes:
            inputs["decoder_inputs_embeds"] = embeds(1 + answered)
        outputs = language_model(**inputs, use_cache=True, return_dict=True)
        head(outputs.last_hidden_state[:, -1:])
    name = next(name for name in CACHE_NAMES if name in outputs)
    cache = outputs[name]
    parts = (cache.self_attention_cache, cache.cross_attention_cache) if encodes else (cache,)
    cache_bytes = sum(layer.keys.nbytes + layer.values.nbytes for part in parts for layer in part.layers)
    with metered() as step:
        inputs = {"inputs_embeds": embeds(1), name: cache}
        if encodes:
            states = (outputs.encoder_last_hidden_state,)
            inputs = {"decoder_inputs_embeds": embeds(1), "encoder_outputs": states, name: cache}
        outputs = language_model(**inputs, use_cache=True, return_dict=True)
        head(outputs.last_hidden_state)
    return prefill, step, cache_bytes


class _AttentionStandIn(TorchFunctionMode):
    """Counts scaled dot-product attention and returns an empty result: kernels keep no score matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3]
        # Two products per score: query with key, and weight with value. A causal kernel's savings are not counted,
        # as torch's own counter does not count them.
        scores = query.shape[:-1].numel() * key.shape[-2]
        self.flops += 2 * scores * (query.shape[-1] + value.shape[-1])
        return query.new_empty((*query.shape[:-1], value.shape[-1]))


class _LiveBytes(TorchDispatchMode):
    """Bytes of storages that operations have made and nobody has released."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        # What goes in was there before or is counted already: weights, and views of them.
        self._known.update(_storages((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, storage.nbytes())

    def _release(self, size: int) -> None:
        self.live -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _distinct(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Each tensor once: a tied head is its embedding table."""
    return list({id(tensor): tensor for tensor in tensors}.values())
