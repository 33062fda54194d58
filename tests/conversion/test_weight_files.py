# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights written tensor by tensor are what safetensors itself writes and reads, and their digest is the file's."""

from __future__ import annotations

import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from video_lmms.conversion_scripts.weight_files import LazyTensors, save_file, sha256


def lazy(tensors: dict[str, torch.Tensor], dtype: torch.dtype, **made: torch.Tensor) -> LazyTensors:
    """Tensors that announce their shapes; `made` are given in place of those of the same name."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return LazyTensors(shapes, dtype, (tensors | made).__getitem__)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_file_is_what_safetensors_reads(dtype, tmp_path):
    torch.manual_seed(0)
    shapes = {"large": (3, 700, 701), "matrix": (5, 7), "vector": (9,), "scalar": (), "empty": (0, 4)}
    tensors = {name: torch.randn(shape).to(dtype) for name, shape in shapes.items()}
    tensors["turned"] = torch.randn(4, 6).to(dtype).T
    file = tmp_path / "model.safetensors"
    digest = save_file(lazy(tensors, dtype), file, metadata={"format": "pt"})
    assert digest == sha256(file)
    found = load_file(file)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata() == {"format": "pt"}


@pytest.mark.parametrize("wrong", [torch.zeros(7, 5), torch.zeros(5, 7, dtype=torch.float16)], ids=["shape", "dtype"])
def test_a_tensor_that_is_not_as_announced_is_named(wrong, tmp_path):
    tensors = {"first": torch.zeros(3), "second": torch.zeros(5, 7), "third": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"second is torch\.float\d\d .*, announced as torch\.float32 \(5, 7\)"):
        save_file(lazy(tensors, torch.float32, second=wrong), tmp_path / "file", metadata={})


def test_tensors_are_made_in_order_and_not_kept(tmp_path):
    alive, most, order = 0, 0, []

    def make(name: str) -> torch.Tensor:
        nonlocal alive, most
        tensor = torch.zeros(1000)
        alive += 1
        most = max(most, alive)
        order.append(name)
        weakref.finalize(tensor, freed)
        return tensor

    def freed() -> None:
        nonlocal alive
        alive -= 1

    names = [f"tensor {number}" for number in range(20)]
    save_file(LazyTensors(dict.fromkeys(names, (1000,)), torch.float32, make), tmp_path / "file", metadata={})
    assert order == names
    # One is written, one is ready or being made; the next may begin before the written one is let go.
    assert most <= 3


def test_what_fails_while_a_tensor_is_made_reaches_the_caller(tmp_path):
    def make(name: str) -> torch.Tensor:
        if name == "c":
            raise OSError("the disk is gone")
        return torch.zeros(3)

    with pytest.raises(OSError, match="the disk is gone"):
        save_file(LazyTensors(dict.fromkeys("abcd", (3,)), torch.float32, make), tmp_path / "file", metadata={})
