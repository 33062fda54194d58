# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A short name for the weights of a model, the same before and after an adapter is laid over them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
from transformers import PreTrainedModel


# Evenly spread values of each weight: enough to tell models apart, little enough for 34 billion parameters.
_SAMPLES = 64
_WRAPPERS = (".base_layer.", ".original_module.")


@torch.no_grad()
def fingerprint(model: PreTrainedModel, left_out: Collection[str] = ()) -> str:
    """SHA-256 over names, shapes and a sample of the values of all weights that training leaves as they were.

    Args:
        model: plain, or with PEFT's layers inside, whose own weights do not count. Values are read as bfloat16, so
            that the dtype a model is loaded in does not matter.
        left_out: names of weights that do not count, such as those of [`packed_weights`].
    """
    digest = hashlib.sha256()
    for name, weight in sorted(_plain_weights(model)):
        if name in left_out:
            continue
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        step = max(1, weight.numel() // _SAMPLES)
        sample = weight.reshape(-1)[::step][:_SAMPLES].contiguous().to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def packed_weights(model: PreTrainedModel) -> list[str]:
    """Names of the weights that quantisation holds as integers, which the model loaded whole has as numbers."""
    return sorted(name for name, weight in _plain_weights(model) if not weight.is_floating_point())


def _plain_weights(model: PreTrainedModel) -> list[tuple[str, torch.Tensor]]:
    weights = []
    for name, weight in model.named_parameters():
        if ".lora_" in name or ".modules_to_save." in name:
            continue
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, ".")
        weights.append((name, weight.detach()))
    return weights


__all__ = ["fingerprint", "packed_weights"]
