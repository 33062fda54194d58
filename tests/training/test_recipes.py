# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Recipes: every file is valid, trains what it says and nothing else, and what it saves is what it trained."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from tiny_pllava import NUM_FRAMES, tiny_model, tiny_processor
from transformers import CLIPVisionModel
from trl import ModelConfig, SFTConfig, TrlParser
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.cli.train import shipped_recipes
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.hub import bundle, load
from video_lmms.training import recipes
from video_lmms.training.arguments import VideoArguments
from video_lmms.training.parts import PARTS, PartsError, freeze, lora_config, part_of
from video_lmms.training.recipes import sft
from video_lmms.training.results import RECORD, ReloadError, load_trained


pytestmark = [
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]

FOLDER = Path(recipes.__file__).parent
RECIPES = shipped_recipes()
ON_A_CPU = [
    "bf16=false",
    "use_cpu=true",
    "report_to=none",
    "dataloader_num_workers=0",
    "gradient_accumulation_steps=1",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A random PLLaVA as a folder."""
    folder = tmp_path_factory.mktemp("models") / "base"
    bundle(tiny_model(), tiny_processor(), folder)
    return folder


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    """Six chats about clips of the synthetic world."""
    folder = tmp_path_factory.mktemp("chats")
    rows = write_rows(draw_samples(0, 6, ("colour",)), folder / "clips")
    lines = [json.dumps({"messages": row["messages"]}) for row in rows]
    (folder / "chats.jsonl").write_text("\n".join(lines))
    return folder / "chats.jsonl"


def train(recipe, base, chats, output, *settings, steps=2):
    words = [f"model_name_or_path={base}", f"train_data={chats}", f"output_dir={output}", f"max_steps={steps}"]
    options = ["per_device_train_batch_size=2", "logging_steps=1", "save_steps=1", *ON_A_CPU, *settings]
    result = CliRunner().invoke(app, ["train", recipe, *words, *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def changed_parts(before, after):
    """Parts with a weight that differs between two models."""
    weights = dict(after.named_parameters())
    return {part_of(name) for name, weight in before.named_parameters() if not torch.equal(weight, weights[name])}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid(name, tmp_path):
    words = ["--config", str(RECIPES[name]), "--bf16", "false", "--use_cpu", "true", "--report_to", "none"]
    parser = TrlParser((VideoArguments, SFTConfig, ModelConfig))
    video, args, model = parser.parse_args_and_config([*words, "--output_dir", str(tmp_path)])
    random = tiny_model()
    freeze(random, video.plan)
    trained = {part_of(key) for key, weight in random.named_parameters() if weight.requires_grad}
    assert trained == {part for part, mode in video.plan.items() if mode == "full"}
    if "lora" in video.plan.values():
        assert lora_config(random, video.plan, model.lora_target_modules, r=model.lora_r).r == model.lora_r
    assert args.learning_rate > 0


@pytest.mark.parametrize("path", sorted((FOLDER / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_accelerate_configuration_is_valid(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= config.num_machines


def test_the_script_states_what_it_needs():
    header = re.search(r"# /// script\n(.*?)# ///", Path(sft.__file__).read_text(), re.S).group(1)
    assert '"video-lmms[train]"' in header


@pytest.mark.timeout(600)
def test_lora_trains_what_it_says_and_is_what_it_saves(base, chats, tmp_path):
    result = train("lora", base, chats, tmp_path / "run", f"eval_data={chats}", "eval_strategy=no")
    assert result.exit_code == 0, result.output
    final = tmp_path / "run" / "final"
    record = json.loads((final / RECORD).read_text())
    assert (record["rows"], record["steps"]) == (6, 2)
    assert 0 <= record["metrics"]["eval_accuracy"] <= 1
    assert str(base) in (final / "README.md").read_text()
    merged = CliRunner().invoke(app, ["merge", str(final), "--output", str(tmp_path / "merged")])
    assert merged.exit_code == 0, merged.output
    whole, (adapted, _) = load(tmp_path / "merged", device="cpu")[0], load_trained(final, dtype="float32")
    assert changed_parts(load(base, device="cpu")[0], whole) == {"connector", "language_model"}
    inputs = {"input_ids": torch.arange(5, 25)[None]}
    with torch.no_grad():
        torch.testing.assert_close(whole(**inputs).logits, adapted(**inputs).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.timeout(600)
def test_an_adapter_refuses_another_base(base, chats, tmp_path):
    copy = tmp_path / "base"
    shutil.copytree(base, copy)
    train("lora", copy, chats, tmp_path / "run", "connector=frozen", steps=1)
    model, processor = load(copy, device="cpu")
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    bundle(model, processor, copy, overwrite=True)
    with pytest.raises(ReloadError, match="was trained on"):
        load_trained(tmp_path / "run" / "final")


@pytest.mark.timeout(600)
def test_a_second_epoch_runs_no_tower(base, chats, tmp_path, monkeypatch):
    """With the feature cache; the losses are those without it."""
    rows, compute = [], CLIPVisionModel.forward

    def counting(tower, pixel_values, **kwargs):
        rows.append(len(pixel_values))
        return compute(tower, pixel_values, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", counting)
    losses, encoded = {}, {}
    for name, flags in (("without", ()), ("with", (f"feature_cache={tmp_path / 'features'}",))):
        rows.clear()
        result = train("connector", base, chats, tmp_path / name, "num_train_epochs=2", *flags, steps=-1)
        assert result.exit_code == 0, result.output
        state = tmp_path / name / "checkpoint-6" / "trainer_state.json"
        losses[name] = [entry["loss"] for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]
        encoded[name] = sum(rows)
    assert losses["with"] == pytest.approx(losses["without"], abs=1e-6)
    probes = 2 * NUM_FRAMES  # of the comparison after training
    assert encoded == {"without": 2 * 6 * NUM_FRAMES + probes, "with": 6 * NUM_FRAMES + probes}


@pytest.mark.timeout(600)
def test_a_part_has_its_own_learning_rate(base, chats, tmp_path):
    """At a rate of zero a part stays as it was, while another learns."""
    train("full", base, chats, tmp_path / "run", "connector_lr=0.0", "learning_rate=1e-3")
    trained = load(tmp_path / "run" / "final", device="cpu")[0]
    assert changed_parts(load(base, device="cpu")[0], trained) == {"language_model"}


@pytest.mark.timeout(600)
def test_an_interrupted_run_continues_where_it_was(base, chats, tmp_path):
    """The losses of a run that was stopped after two of four steps equal those of one that was not."""
    flags = ("lr_scheduler_type=constant", "learning_rate=1e-3", "warmup_steps=0")
    train("connector", base, chats, tmp_path / "whole", *flags, steps=4)
    train("connector", base, chats, tmp_path / "parts", *flags, steps=2)
    train("connector", base, chats, tmp_path / "parts", *flags, steps=4)
    states = [tmp_path / name / "checkpoint-4" / "trainer_state.json" for name in ("whole", "parts")]
    whole, parts = (
        [entry["loss"] for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]
        for state in states
    )
    assert len(whole) == 4
    assert parts == pytest.approx(whole, abs=1e-6)


def test_a_child_stays_frozen_in_a_part_that_learns():
    model = tiny_model()
    freeze(model, dict.fromkeys(PARTS, "full"), ["multi_modal_projector"])
    trained = {part_of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"vision_tower", "language_model"}
    with pytest.raises(PartsError, match="no child resampler"):
        freeze(model, dict.fromkeys(PARTS, "full"), ["resampler"])


def test_impossible_plans_are_refused():
    model = tiny_model()
    with pytest.raises(PartsError, match="frozen, lora, full"):
        freeze(model, dict.fromkeys(PARTS, "half"))
    with pytest.raises(PartsError, match="nothing would be trained"):
        freeze(model, dict.fromkeys(PARTS, "frozen"))
    with pytest.raises(PartsError, match="linear_1, linear_2"):
        lora_config(model, dict(zip(PARTS, ("frozen", "lora", "frozen"), strict=True)), ["q_proj"])


def test_mistakes_are_named(tmp_path):
    unknown = CliRunner().invoke(app, ["train", "lore"])
    assert unknown.exit_code == 2
    assert "Did you mean lora?" in unknown.output
    no_value = CliRunner().invoke(app, ["train", "lora", "learning_rate"])
    assert "KEY=VALUE" in no_value.output
    nothing = CliRunner().invoke(app, ["merge", str(tmp_path), "--output", str(tmp_path / "out")])
    assert nothing.exit_code == 2
    assert "adapter_config.json" in nothing.output
