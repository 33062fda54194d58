# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The five under one budget: what they cost, what a variant lacks, and the one command that compares them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.evaluation.side_by_side import (
    CONTENDERS,
    KINDS,
    TOKENS,
    Budget,
    BudgetError,
    build,
    compare_models,
    keep_to_budget,
    table,
)


SAMPLES = draw_samples(0, 12, KINDS)


@pytest.fixture(scope="module")
def built():
    """name -> (model, processor), untrained."""
    known: dict = {}

    def get(name: str):
        if name not in known:
            known[name] = build(CONTENDERS[name], 0, [sample.scene for sample in SAMPLES])
        return known[name]

    return get


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(SAMPLES, tmp_path_factory.mktemp("clips"))


def inputs_of(processor, row):
    return processor.apply_chat_template(
        [row["messages"][:1]], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


@pytest.mark.parametrize("name", CONTENDERS)
@torch.no_grad()
def test_every_contender_spends_about_the_same(name, built, rows):
    model, processor = built(name)
    spent = []
    for row in rows:
        inputs = inputs_of(processor, row)
        if hasattr(model, "expand_video_tokens"):
            spent.append(model.expand_video_tokens(**inputs).video_selection[0].num_tokens)
        else:
            spent.append(int((inputs["input_ids"] == model.config.video_token_id).sum()))
    budget = TOKENS / 4 if name == "pllava-both-pooled" else TOKENS
    assert 0.75 * budget <= np.mean(spent) <= 1.2 * budget
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[0] == 1


@pytest.mark.parametrize("name", [name for name, contender in CONTENDERS.items() if contender.of])
def test_a_variant_begins_where_its_model_begins(name, built):
    variant, whole = built(name)[0].state_dict(), built(CONTENDERS[name].of)[0].state_dict()
    assert variant.keys() == whole.keys()
    different = [key for key, value in whole.items() if not torch.equal(value, variant[key])]
    assert different in ([], ["model.video_qformer.position_embedding.weight"])


def test_variants_lack_what_their_papers_argue_for(built, rows):
    dated, undated = (
        built(name)[1].tokenizer.decode(inputs_of(built(name)[1], rows[0])["input_ids"][0])
        for name in ("apollo", "apollo-undated")
    )
    assert "0.0-0.8seconds:" in dated
    assert "seconds" not in undated
    assert dated.count("<|video_token|>") == undated.count("<|video_token|>")
    positions = built("video_llama-no-positions")[0].model.video_qformer.position_embedding.weight
    assert not positions.any()
    assert not positions.requires_grad
    assert built("pllava")[0].config.pooling_shape == [8, 2, 2]
    assert built("pllava-time-pooled")[0].config.pooling_shape == [2, 4, 4]


def test_longvus_room_is_everyones():
    batch = {"num_text_tokens": torch.tensor([20, 30]), "input_ids": torch.ones(2, 3)}
    assert keep_to_budget(batch)["context_budgets"].tolist() == [20 + TOKENS, 30 + TOKENS]


def test_the_table_tells_all():
    row = {"label": "A", "accuracy": dict.fromkeys(KINDS, 50.0), "all": {"value": 50.0, "error": 2.5}, "tokens": 32.0}
    row |= {"seconds": 0.25, "peak_bytes": 2**30, "training_seconds": 60.0}
    claim = {"claim": "A against B", "with": 50.0, "without": 25.0, "difference": 25.0, "error": 4.0, "p": 0.001}
    claim["by_type"] = {"colour": 0.0, "order": 50.0}
    chosen = {"claim": "chosen against even", "with": 90.0, "without": 50.0, "difference": 40.0, "clips": 10}
    budget = {"clips": 1, "turns": 2, "steps": 3, "batch_size": 4, "held_out": 5}
    lines = table({"budget": budget, "models": {"a": row}, "claims": [claim, chosen]}).splitlines()
    assert (
        lines[2]
        == "| model | colour | direction | order | when | all | tokens | seconds a question | peak memory | training |"
    )
    assert lines[4] == "| A | 50 | 50 | 50 | 50 | 50.0 ± 2.5 | 32 | 0.25 | 1024 MiB | 60 s |"
    assert lines[-2:] == [
        "| A against B | 50.0 | 25.0 | +25.0 ± 4.0 | 0.001 | colour +0, order +50 |",
        "| chosen against even | 90.0 | 50.0 | +40.0 | (10 clips) |  |",
    ]


def test_the_readme_shows_what_was_measured():
    """The record is what the command wrote with its defaults, for all contenders."""
    found = json.loads(Path(__file__).with_name("side_by_side.json").read_text(encoding="utf-8"))
    assert found["budget"] == asdict(Budget())
    assert list(found["models"]) == list(CONTENDERS)
    assert table(found) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_mistakes_are_named(tmp_path):
    with pytest.raises(BudgetError, match="There is no contender 'llava'. Contenders: pllava, "):
        compare_models(tmp_path, Budget(), ["llava"])
    (tmp_path / "budget.json").write_text('{"steps": 1}', encoding="utf-8")
    with pytest.raises(BudgetError, match="another budget"):
        compare_models(tmp_path, Budget(), [])


# The libraries' own: an option that was renamed between transformers and TRL.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.slow
def test_one_command_trains_answers_and_compares(tmp_path):
    words = ["bench", "models", "--output", str(tmp_path), "--only", "pllava,pllava-time-pooled,videotgb"]
    words += ["--clips", "24", "--steps", "10", "--batch-size", "4", "--held-out", "3", "--selection-clips", "2"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "| PLLaVA, time pooled |" in result.stdout
    found = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert set(found["models"]) == {"pllava", "pllava-time-pooled", "videotgb"}
    for row in found["models"].values():
        assert set(row["accuracy"]) == set(KINDS)
        assert row["tokens"] == TOKENS
        assert row["peak_bytes"] > 2**27
        assert row["seconds"] > 0
    assert [row["claim"].split(" against ")[0] for row in found["claims"]] == [
        "PLLaVA",
        "LongVU's reduction",
        "VideoTGB's chosen frames",
    ]
    # What is done is not done again.
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.glob("models/*/model.safetensors")}
    again = CliRunner().invoke(app, [*words[:-1], "0", "--json"], catch_exceptions=False)
    assert json.loads(again.stdout.splitlines()[-1])["models"] == found["models"]
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
