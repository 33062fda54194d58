# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the tests of distributed training start in several processes: one of the functions below, by its name.

accelerate launch ... distributed_training.py recipes JOBS.json
python -m torch.distributed.run --nproc_per_node 2 distributed_training.py shards FOLDER NAME...
python -m torch.distributed.run --nproc_per_node 2 distributed_training.py gather FOLDER BASE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from peft import get_peft_model
from safetensors.torch import save_file
from tiny_models import TINY_MODELS
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from video_lmms.data.collator import IGNORED, collator_for
from video_lmms.data.rows import read_rows
from video_lmms.hub import load
from video_lmms.training.expansion import expand_videos
from video_lmms.training.parts import PARTS, freeze, lora_config
from video_lmms.training.recipes import sft
from video_lmms.training.results import plain_model, whole_model


STEPS, LEARNING_RATE = 3, 1e-2
PROBE = torch.arange(5, 25)[None]


def recipes(jobs: str) -> None:
    """Runs the recipe's script with each list of words in a file."""
    for words in json.loads(Path(jobs).read_text()):
        sft.main(words)


def shards(folder: str, *names: str) -> None:
    """Trains each model sharded over all processes; rank 0 writes `NAME.json` with what it saw."""
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for name in names:
        rows = read_rows([Path(folder) / "chats.jsonl"])
        model = sharded(TINY_MODELS[name].tiny_model(), mesh)
        seen = {"losses": train(model, name, rows, dist.get_rank(), dist.get_world_size()), **census(model)}
        if dist.get_rank() == 0:
            (Path(folder) / f"{name}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def gather(folder: str, base: str) -> None:
    """Shards a model with a random adapter, gathers it and saves the adapter."""
    dist.init_process_group("gloo")
    mesh, plan = (
        init_device_mesh("cpu", (dist.get_world_size(),)),
        dict(zip(PARTS, ("frozen", "full", "lora"), strict=True)),
    )
    model, _ = load(base, device="cpu")
    freeze(model, plan)
    torch.manual_seed(1)
    adapted = get_peft_model(model, lora_config(model, plan, ["q_proj"], init_lora_weights=False)).eval()
    with torch.no_grad():
        expected = adapted(input_ids=PROBE).logits
    accelerator = SimpleNamespace(is_main_process=dist.get_rank() == 0, unwrap_model=lambda model: model)
    trainer = SimpleNamespace(accelerator=accelerator, model=sharded(adapted, mesh), is_deepspeed_enabled=False)
    whole = whole_model(trainer, base)
    if (whole is not None) != (dist.get_rank() == 0):
        raise RuntimeError("the model is for rank 0 alone")
    if whole is not None:
        whole.save_pretrained(Path(folder) / "adapter")
        save_file({"logits": expected}, Path(folder) / "expected.safetensors")
    dist.destroy_process_group()


def sharded(model: torch.nn.Module, mesh: object) -> torch.nn.Module:
    """FSDP2 as the accelerate configuration asks for it: layers that the model says not to split, then the rest."""
    layers = set(plain_model(model)._no_split_modules)
    for module in reversed(list(model.modules())):  # what is inside comes first
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def census(model: torch.nn.Module) -> dict[str, int]:
    """How many parameters there are, how many of them are DTensors, and how many elements this process holds."""
    parameters = list(model.parameters())
    spread = [parameter for parameter in parameters if isinstance(parameter, DTensor)]
    return {
        "parameters": len(parameters),
        "dtensors": len(spread),
        "gradients": sum(isinstance(parameter.grad, DTensor) for parameter in spread),
        "elements": sum(parameter.numel() for parameter in parameters),
        "held": sum(parameter.to_local().numel() for parameter in spread),
    }


def train(model: torch.nn.Module, name: str, rows: list[dict], rank: int, world: int) -> list[float]:
    """A few steps of plain SGD on all rows at once, each process with its own share of them."""
    collate = collator_for(model, TINY_MODELS[name].tiny_processor())
    batches = [collate(rows[other::world]) for other in range(world)]
    counted = [(batch["labels"] != IGNORED).sum() for batch in batches]
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(STEPS):
        # Gradients are averaged over the processes, and the mean is over the tokens of all of them.
        loss = model(**expand_videos(model, batches[rank], model)).loss * counted[rank] / sum(counted)
        optimizer.zero_grad()
        (loss * world).backward()
        optimizer.step()
        whole = loss.detach().clone()
        if world > 1:
            dist.all_reduce(whole)
        losses.append(whole.item())
    return losses


if __name__ == "__main__":
    {"gather": gather, "recipes": recipes, "shards": shards}[sys.argv[1]](*sys.argv[2:])
