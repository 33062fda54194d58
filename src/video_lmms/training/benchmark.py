# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Times LoRA steps of a model of any size with random weights, on this machine:

    python -m video_lmms.training.benchmark pllava-7b --attention sdpa flash_attention_2 --peak-tflops 989

bfloat16 and gradient checkpointing on a GPU. Prints tokens per second, peak memory, and the share of the device's peak
that the model's own operations make up (those that checkpointing repeats are not counted).
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from video_lmms.training.parts import CONNECTOR, LANGUAGE_MODEL, TOWER, freeze, lora_config


PLAN = {TOWER: "frozen", CONNECTOR: "frozen", LANGUAGE_MODEL: "lora"}
_WARM_UP = 2


@dataclass
class Timing:
    """What was measured.

    Attributes:
        attention: implementation.
        tokens: of a step, visual ones included.
        seconds: of a step, the mean.
        peak_bytes: of device memory; None on a CPU.
        flops: of forward and backward, without what is computed again.
    """

    attention: str
    tokens: int
    seconds: float
    peak_bytes: int | None
    flops: int

    def line(self, peak_tflops: float | None) -> str:
        """One line for the terminal."""
        parts = [f"{self.attention}: {self.tokens / self.seconds:,.0f} tokens/s"]
        if self.peak_bytes is not None:
            parts.append(f"{self.peak_bytes / 2**30:.1f} GiB at the peak")
        parts.append(f"{self.flops / self.seconds / 1e12:.3g} TFLOP/s")
        if peak_tflops is not None:
            parts.append(f"model FLOPs utilisation {self.flops / self.seconds / 1e12 / peak_tflops:.1%}")
        return ", ".join(parts)


def time_steps(
    config: PreTrainedConfig, attention: str, videos: int = 1, frames: int = 16, words: int = 256, steps: int = 5
) -> Timing:
    """Trains a random PLLaVA on random pixels.

    Args:
        config: its configuration; other models take other inputs.
        attention: `attn_implementation` of the language model.
        videos: per step.
        frames: per video.
        words: text tokens per video, all of them learned.
        steps: that are timed.
    """
    on_gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation=attention)
    freeze(model, PLAN)
    model = get_peft_model(model, lora_config(model, PLAN, None)).train()
    batch = random_batch(config, videos, frames, words, device, dtype)
    optimizer = torch.optim.AdamW(weight for weight in model.parameters() if weight.requires_grad)

    def step() -> None:
        model(**batch, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    # Counted before checkpointing, which repeats the forward pass, is on. The counter does not know flash-attn's own
    # kernels, so that with them attention is left out.
    with FlopCounterMode(display=False) as counter:
        step()
    if on_gpu:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.cuda.reset_peak_memory_stats()
    for number in range(_WARM_UP + steps):
        if number == _WARM_UP:
            _wait(on_gpu)
            started = time.perf_counter()
        step()
    _wait(on_gpu)
    seconds = (time.perf_counter() - started) / steps
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    return Timing(attention, batch["input_ids"].numel(), seconds, peak, counter.get_total_flops())


def random_batch(
    config: PreTrainedConfig, videos: int, frames: int, words: int, device: str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Random pixels and words; a PLLaVA's videos take as many tokens as its pooling leaves."""
    time_, height, width = config.pooling_shape
    visual = torch.full((videos, time_ * height * width), config.video_token_id, device=device)
    text = torch.randint(0, config.text_config.vocab_size - 1, (videos, words), device=device)
    text += text >= config.video_token_id
    side = config.vision_config.image_size
    return {
        "input_ids": torch.cat([visual, text], dim=1),
        "labels": torch.cat([torch.full_like(visual, -100), text], dim=1),
        "pixel_values_videos": torch.randn(videos, frames, 3, side, side, device=device, dtype=dtype),
    }


def _wait(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; one line per attention."""
    parser = argparse.ArgumentParser(
        prog="python -m video_lmms.training.benchmark", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", help="a PLLaVA of hub_configs, such as pllava-7b; its weights are not needed")
    parser.add_argument("--attention", nargs="+", default=["sdpa"], help="implementations to compare")
    parser.add_argument("--videos", type=int, default=1, help="per step")
    parser.add_argument("--steps", type=int, default=5, help="that are timed")
    parser.add_argument("--peak-tflops", type=float, help="of the device in bfloat16, 989 for an H100")
    options = parser.parse_args(argv)
    config = AutoConfig.from_pretrained(str(files("video_lmms.hub_configs") / options.model))
    if config.model_type != "pllava":
        parser.error(f"{options.model} is a {config.model_type}; this command knows the inputs of PLLaVA alone.")
    for attention in options.attention:
        timing = time_steps(config, attention, options.videos, steps=options.steps)
        sys.stdout.write(timing.line(options.peak_tflops) + "\n")
        gc.collect()
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
