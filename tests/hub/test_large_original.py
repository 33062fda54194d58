# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""An original of 6 GB converts in the memory of its largest tensors, and about as fast as its files are copied."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT, run
from safetensors import safe_open
from safetensors.torch import save_file

from video_lmms.conversion_scripts.weight_files import sha256


GOLDEN = ROOT / "tests" / "goldens" / "pllava" / "published_sharded" / "checkpoint"
BYTES, LAYERS, WIDTH, SHARDS = 6_000_000_000, 32, 2048, 3
ROUNDS = 2
MEMORY = 2.5e9

# One way to make a folder, alone in a process; prints its time and its peak memory. Beforehand, all ways load the same
# libraries by a tiny conversion, and leave the memory of files in the same state by writing and removing one.
MEASURE = """
import hashlib, json, shutil, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from video_lmms.conversion_scripts import conversion, weight_files
from video_lmms.conversion_scripts.convert_pllava import convert
from video_lmms.evaluation.memory import peak_memory
way, tiny, source, target = sys.argv[1], *map(Path, sys.argv[2:])
def copy(source, target, **options):
    target.mkdir()
    for file in source.glob("*.safetensors"):
        shutil.copyfile(file, target / file.name)
class NoDigest:
    def __init__(self, data=b""):
        pass
    def update(self, data):
        pass
    def hexdigest(self):
        return "0" * 64
if way == "convert without digests":
    hashlib.sha256 = NoDigest
    conversion.sha256 = weight_files.sha256 = lambda file: "0" * 64
shutil.rmtree(convert(tiny, target))
with target.open("wb") as stream:
    for file in source.glob("*.safetensors"):
        stream.writelines(bytes(2**20) for _ in range(file.stat().st_size // 2**20))
target.unlink()
start = time.perf_counter()
(copy if way == "copy" else convert)(source, target, max_shard_size="1GB")
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak_memory()}))
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


def measure(way: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds and peak memory of making `target`."""
    shutil.rmtree(target, ignore_errors=True)
    result = run(sys.executable, "-c", MEASURE, way, GOLDEN, source, target, cwd=source.parent, OMP_NUM_THREADS="1")
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_gigabytes_convert_in_little_memory(original, tmp_path, record_property, capsys):
    size = sum(file.stat().st_size for file in original.glob("*.safetensors"))
    assert size > 0.95 * BYTES
    target = tmp_path / "target"
    ways = ("copy", "convert without digests", "convert")
    rounds = [{way: measure(way, original, target) for way in ways} for _ in range(ROUNDS)]
    shards = sorted(target.glob("model-0*.safetensors"))
    assert len(shards) >= 5
    assert all(file.stat().st_size <= 1e9 + 1e5 for file in shards)
    files = json.loads((target / "provenance.json").read_text())["files"]
    assert files[shards[0].name]["sha256"] == sha256(shards[0])
    peak = max(found["convert"]["peak"] for found in rounds)
    assert peak < MEMORY
    seconds = {way: sum(found[way]["seconds"] for found in rounds) for way in ways}
    ratios = {way: seconds["copy"] / seconds[way] for way in ways[1:]}
    record_property("speed against a copy", ratios)
    with capsys.disabled():
        print(f"\n{size / 1e9:.2f} GB: peak {peak / 1e9:.2f} GB; seconds of {ROUNDS} rounds:")
        for way in ways:
            times = ", ".join(f"{found[way]['seconds']:.1f}" for found in rounds)
            print(f"  {way}: {times}" + (f" ({ratios[way]:.2f} times the speed of a copy)" if way in ratios else ""))
