# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How near an answer comes to what the machine can do: its time beside the least that its operations take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from ..apps.conversation import Conversation
from ..apps.engine import AnswerOptions, Engine
from ..estimation import estimate
from ..processing.video_inputs import FileVideo
from ..processing.video_reader import VideoReader


QUESTION = "What happens in the video?"
# Sides of the square matrices whose product tells the speed of a device: large enough to keep it busy.
_SIDES = {"cpu": 1024}
_ACCELERATOR_SIDE = 8192
_PRODUCTS = 5


@dataclass
class Phase:
    """One part of an answer.

    Attributes:
        name: "vision", "prefill" or "answer" (all tokens but the first).
        flops: floating-point operations, a multiply-add being two.
        seconds: that it took, the median of all rounds.
        floor: seconds that its operations take at the speed of matrix products.
    """

    name: str
    flops: int
    seconds: float
    floor: float


@dataclass
class Throughput:
    """What was measured.

    Attributes:
        device: of the model.
        dtype: of its weights.
        attention: implementation of the language model's attention.
        peak: floating-point operations per second of matrix products here.
        phases: in the order of an answer.
    """

    device: str
    dtype: str
    attention: str
    peak: float
    phases: list[Phase]


def measure(
    source: str,
    video: str,
    *,
    new_tokens: int,
    rounds: int,
    device: str | None = None,
    dtype: str | None = None,
    attn_implementation: str | None = None,
) -> Throughput:
    """Measures one question about one video.

    Args:
        source: of the model.
        video: path.
        new_tokens: length of the answer, whatever the model would say.
        rounds: times that each phase is run, after one that does not count.
        device: see `hub.load`.
        dtype: name of a dtype.
        attn_implementation: see `hub.load`.

    Raises:
        VideoLmmError: the model cannot be loaded.
        VideoError: the video cannot be decoded.
    """
    with Engine(source, device=device, dtype=dtype, attn_implementation=attn_implementation) as engine:
        model = engine.model
        model.generation_config.eos_token_id = None
        conversation = Conversation()
        conversation.ask(QUESTION, videos=[video])
        plan = engine.plan(conversation)
        peak = peak_flops(model.device, model.dtype)
        with VideoReader.open(video) as reader:
            metadata = FileVideo(reader).metadata
        cost = estimate(
            model.config,
            engine.processor.video_processor,
            [metadata],
            dtype=model.dtype,
            text_tokens=plan.text_tokens,
            new_tokens=new_tokens,
        )
        seconds = {"vision": vision_seconds(engine, plan, rounds)}
        answers = [engine.write(plan, AnswerOptions(max_new_tokens=new_tokens)) for _ in range(rounds + 1)][1:]
        seconds["prefill"] = median(answer.seconds["first_token"] for answer in answers)
        seconds["answer"] = median(answer.seconds["other_tokens"] for answer in answers)
        phases = [Phase(name, cost.flops[name], seconds[name], cost.flops[name] / peak) for name in seconds]
        attention = model.config.text_config._attn_implementation
        return Throughput(str(model.device), str(model.dtype).removeprefix("torch."), attention, peak, phases)


@torch.inference_mode()
def vision_seconds(engine: Engine, plan: object, rounds: int) -> float:
    """Seconds in which a decoded video is encoded."""
    looker, (medium,) = engine.looker, plan.media["video"]
    budget = looker.budget(plan, 0)
    inputs = looker.read(medium, plan.options, budget)
    times = [timed(lambda: looker.encode(dict(inputs), budget), engine.model.device) for _ in range(rounds + 1)]
    return median(times[1:])


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the fastest of some products of large matrices."""
    side = _SIDES.get(device.type, _ACCELERATOR_SIDE)
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    times = [timed(lambda: left @ right, device) for _ in range(_PRODUCTS + 1)]
    return 2 * side**3 / min(times[1:])


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until a device has done what it was given."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - begin


def synchronize(device: torch.device) -> None:
    """Waits for an accelerator."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


__all__ = ["Phase", "Throughput", "measure", "peak_flops"]
