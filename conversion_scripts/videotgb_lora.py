# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LoRA in VideoTGB's checkpoints: matrices of PEFT beside the weights that they change."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from video_lmms.conversion_scripts.conversion import ConversionError, SourceTensor, any_layer, write_json


LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<matrix>[AB])(?:\.default)?\.weight$")


def check_lora(weights: Mapping[str, SourceTensor], lora: Mapping[str, Mapping[str, SourceTensor]]) -> None:
    """Every pair must be whole and fit a weight, and every layer must have the pairs that any layer has.

    Args:
        weights: by target name.
        lora: target module -> {"A": matrix (rank, in), "B": matrix (out, rank)}.

    Raises:
        ConversionError: naming the tensor.
    """
    for module, pair in lora.items():
        if len(pair) != 2:
            (have, present), absent = next(iter(pair.items())), "B" if "A" in pair else "A"
            partner = present.name.replace(f".lora_{have}.", f".lora_{absent}.")
            raise ConversionError(f"{partner} is missing, the partner of {present.name}.")
        if pair["A"].shape[0] != pair["B"].shape[1]:
            raise ConversionError(
                f"{pair['A'].name} has rank {pair['A'].shape[0]}, but {pair['B'].name} rank {pair['B'].shape[1]}."
            )
        weight = weights.get(f"{module}.weight")
        shape = (pair["B"].shape[0], pair["A"].shape[1])
        if weight is None or weight.shape != shape:
            found = "is missing" if weight is None else f"has shape {weight.shape}"
            raise ConversionError(
                f"{pair['A'].name} and its partner change a weight of shape {shape}, but {module}.weight {found}: "
                "another base?"
            )
    adapted = {any_layer(module) for module in lora}
    for name in weights:
        module = name.removesuffix(".weight")
        if any_layer(module) in adapted and module not in lora:
            raise ConversionError(f"The LoRA matrices of {module} are missing; other layers have theirs.")


def write_adapter(
    lora: Mapping[str, Mapping[str, SourceTensor]], alpha: float, dtype: torch.dtype, folder: Path, task_type: str
) -> None:
    """Writes the LoRA matrices as a PEFT adapter beside the weights; `from_pretrained` then loads both."""
    matrices = {
        f"base_model.model.{module}.lora_{matrix}.weight": tensor.load().to(dtype).contiguous()
        for module, pair in lora.items()
        for matrix, tensor in pair.items()
    }
    save_file(matrices, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    leaves = sorted({module.rsplit(".", 1)[1] for module in lora})
    config = {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": None,
        "r": next(iter(lora.values()))["A"].shape[0],
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": rf".*language_model\..*\.({'|'.join(leaves)})",
    }
    write_json(folder / "adapter_config.json", config)


__all__ = ["LORA", "check_lora", "write_adapter"]
