# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LoRA on a language model in 4 bits, on the CPU, for which bitsandbytes has kernels too."""

import json

import pytest
import torch
from training_runs import FOLDER, losses, write_chats

from video_lmms.hub import load
from video_lmms.training.parts import LANGUAGE_MODEL, part_of
from video_lmms.training.recipes import sft
from video_lmms.training.results import RECORD, load_trained, merge


bitsandbytes = pytest.importorskip("bitsandbytes", reason="QLoRA needs bitsandbytes, which is not installed")

pytestmark = [
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
# Shipped, for the kernels want widths that are multiples of 64.
BASE = "tiny-pllava"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_recipe_learns_over_four_bits_and_merges_into_the_whole_base(tmp_path, monkeypatch):
    packed = []
    original = sft.load_for_training

    def watched(arguments):
        model, processor = original(arguments)
        layers = model.named_modules()
        packed.extend(name for name, layer in layers if isinstance(layer, bitsandbytes.nn.Linear4bit))
        return model, processor

    monkeypatch.setattr(sft, "load_for_training", watched)
    options = {
        "model_name_or_path": BASE,
        "train_data": write_chats(tmp_path, 16, ("when",)),
        "output_dir": tmp_path / "run",
        "use_cpu": "true",
        "report_to": "none",
        "dataloader_num_workers": "0",
        "max_steps": "6",
        "save_steps": "6",
        "logging_steps": "1",
        "per_device_train_batch_size": "8",
        "gradient_accumulation_steps": "1",
        "learning_rate": "5e-3",
        "lr_scheduler_type": "constant",
    }
    flags = [word for option, value in options.items() for word in (f"--{option}", str(value))]
    sft.main(["--config", str(FOLDER / "qlora.yaml"), *flags])
    whole, _ = load(BASE, device="cpu")
    linears = {name for name, layer in whole.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert set(packed) == {name for name in linears if part_of(name) == LANGUAGE_MODEL} - {"lm_head"}
    first, *_, last = losses(tmp_path / "run")
    assert last < 0.7 * first
    final = tmp_path / "run" / "final"
    assert len(json.loads((final / RECORD).read_text())["packed_weights"]) == len(packed)
    merge(final, tmp_path / "merged")
    merged, adapted = load(tmp_path / "merged", device="cpu", dtype="float32")[0], load_trained(final, "float32")[0]
    inputs = {"input_ids": torch.arange(5, 25)[None]}
    with torch.no_grad():
        difference = (merged(**inputs).logits - adapted(**inputs).logits).abs().max()
        learned = (whole.float()(**inputs).logits - adapted(**inputs).logits).abs().max()
    assert difference < 0.05 * learned  # the merged weights are stored in bfloat16, as the base's are
