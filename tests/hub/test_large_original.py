# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""An original of 6 GB converts in the memory of its largest tensor, and about as fast as its files are copied."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from checkout import ROOT, run
from safetensors import safe_open
from safetensors.torch import save_file


GOLDEN = ROOT / "tests" / "goldens" / "pllava" / "published_sharded" / "checkpoint"
BYTES, LAYERS, WIDTH, SHARDS = 6_000_000_000, 32, 2048, 3
MEMORY = 2.5e9

# Runs the conversion alone; prints its peak memory, its time, and how much of that went into digests.
MEASURE = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from video_lmms.conversion_scripts import conversion, weight_files
from video_lmms.conversion_scripts.convert_pllava import convert
from video_lmms.evaluation.memory import peak_memory
hashing, real = [], weight_files.sha256
def timed(file):
    start = time.perf_counter()
    try:
        return real(file)
    finally:
        hashing.append(time.perf_counter() - start)
conversion.sha256 = weight_files.sha256 = timed
start = time.perf_counter()
convert(Path(sys.argv[1]), Path(sys.argv[2]), max_shard_size="1GB")
seconds = time.perf_counter() - start
print(json.dumps({"peak": peak_memory(), "seconds": seconds, "hashing": sum(hashing)}))
"""


def shapes() -> dict[str, tuple[int, ...]]:
    """Names of a published pllava-7b at half its width, wide enough inside to fill 6 GB."""
    golden = {}
    for file in GOLDEN.glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            golden |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    config = json.loads((GOLDEN / "config.json").read_text())["text_config"]
    layer = "language_model.base_model.model.model.layers."
    kept = {name: shape for name, shape in golden.items() if layer not in name}
    first = {name: shape for name, shape in golden.items() if f"{layer}0." in name}
    groups = config["num_key_value_heads"] * WIDTH // config["num_attention_heads"]
    inner = inner_width()
    sizes = {
        config["hidden_size"]: WIDTH,
        config["intermediate_size"]: inner,
        config["num_key_value_heads"] * config["hidden_size"] // config["num_attention_heads"]: groups,
    }
    sizes[config["hidden_size"]] = WIDTH

    def widen(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if "lora_A" in name:
            return (shape[0], WIDTH)
        if "lora_B" in name:
            return (sizes[shape[0]], shape[1])
        if name.startswith("multi_modal_projector.linear_1.weight"):
            return (WIDTH, shape[1])
        if "language_model" in name or name.startswith("multi_modal_projector"):
            return tuple(sizes.get(size, size) for size in shape)
        return shape

    result = {name: widen(name, shape) for name, shape in kept.items()}
    for number in range(LAYERS):
        result |= {
            name.replace(f"{layer}0.", f"{layer}{number}."): widen(name, shape) for name, shape in first.items()
        }
    return result


def inner_width() -> int:
    """Of the feed-forward blocks, so that all tensors together have the wanted size."""
    attention = 4 * WIDTH * WIDTH * LAYERS
    return (BYTES // 2 - attention) // (3 * WIDTH * LAYERS) // 64 * 64


@pytest.fixture
def original(tmp_path) -> Path:
    folder = tmp_path / "original"
    shutil.copytree(GOLDEN, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {
        "hidden_size": WIDTH,
        "intermediate_size": inner_width(),
        "num_hidden_layers": LAYERS,
    }
    (folder / "config.json").write_text(json.dumps(config))
    names = shapes()
    order = sorted(names)
    weight_map = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = order[shard * len(order) // SHARDS : (shard + 1) * len(order) // SHARDS]
        save_file({name: torch.randn(names[name]).bfloat16() for name in part}, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def copy_seconds(folder: Path, target: Path) -> float:
    """Of the weight files, through this process, as a copy of them is made."""
    target.mkdir()
    start = time.perf_counter()
    for file in folder.glob("*.safetensors"):
        shutil.copyfile(file, target / file.name)
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_gigabytes_convert_in_little_memory(original, tmp_path, record_property, capsys):
    size = sum(file.stat().st_size for file in original.glob("*.safetensors"))
    assert size > 0.95 * BYTES
    before = copy_seconds(original, tmp_path / "copy")
    result = run(sys.executable, "-c", MEASURE, original, tmp_path / "converted", cwd=tmp_path, OMP_NUM_THREADS="1")
    found = json.loads(result.stdout.splitlines()[-1])
    after = copy_seconds(original, tmp_path / "copy")
    shards = sorted((tmp_path / "converted").glob("model-0*.safetensors"))
    assert len(shards) >= 5
    assert all(file.stat().st_size <= 1e9 + 1e5 for file in shards)
    assert found["peak"] < MEMORY
    ratio = (before + after) / 2 / (found["seconds"] - found["hashing"])
    record_property("speed against a copy", ratio)
    with capsys.disabled():
        print(
            f"\n{size / 1e9:.2f} GB: peak {found['peak'] / 1e9:.2f} GB, {found['seconds']:.0f} s of which "
            f"{found['hashing']:.0f} s digests, copies {before:.0f} s and {after:.0f} s: {ratio:.2f} times their speed"
        )
