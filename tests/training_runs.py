# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Short runs of the LoRA recipe on random models, for tests that compare runs with each other."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_models import TINY_MODELS

from video_lmms.data.world import draw_samples, write_rows
from video_lmms.hub import bundle
from video_lmms.training.recipes import sft


FOLDER = Path(sft.__file__).parent
ON_A_CPU = {
    "bf16": "false",
    "use_cpu": "true",
    "report_to": "none",
    "dataloader_num_workers": "0",
    "logging_steps": "1",
    "save_strategy": "no",
    "learning_rate": "1e-3",
    "warmup_steps": "0",
}


def write_base(name: str, folder: Path) -> Path:
    """A random model, without dropout of its own."""
    model = TINY_MODELS[name].tiny_model()
    for part in (getattr(model.config, key) for key in model.config.sub_configs):
        for rate in ("dropout_rate", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            if hasattr(part, rate):
                setattr(part, rate, 0.0)
    bundle(model, TINY_MODELS[name].tiny_processor(), folder)
    return folder


def write_chats(folder: Path, count: int = 12, kinds: tuple[str, ...] = ("colour", "shape")) -> Path:
    rows = write_rows(draw_samples(0, count, kinds), folder / "clips")
    file = folder / "chats.jsonl"
    file.write_text("\n".join(json.dumps({"messages": row["messages"]}) for row in rows))
    return file


def words(base: Path, chats: Path, output: Path, **options: object) -> list[str]:
    """What the recipe's script is given: LoRA without dropout."""
    known = ON_A_CPU | {"lora_dropout": "0.0"} | options
    named = {"model_name_or_path": base, "train_data": chats, "output_dir": output} | known
    flags = [word for option, value in named.items() for word in (f"--{option}", str(value))]
    return ["--config", str(FOLDER / "lora.yaml"), *flags]


def losses(output: Path) -> list[float]:
    """One per step, as the trainer logged them."""
    (checkpoint,) = sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-1:]
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]
