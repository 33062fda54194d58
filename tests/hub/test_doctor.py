# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The doctor: a folder as believed gives no difference, every fact that differs is told, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from hub.believed import SMALLER, WRITERS
from safetensors.torch import save_file

from video_lmms.errors import NotAModelError
from video_lmms.hub.facts import ABSENT, LOOKUPS, diagnose, tables


CHECKPOINTS = [(model, name) for model, checkpoints in tables().items() for name in checkpoints]


@pytest.fixture
def believed(tmp_path) -> Path:
    """pllava-7b as it is believed to be, at full size."""
    WRITERS["pllava"](tmp_path, "pllava-7b")
    return tmp_path


@pytest.mark.parametrize(("model", "name"), CHECKPOINTS)
def test_every_checkpoint_as_believed_is_recognised_and_nothing_differs(model, name, tmp_path):
    WRITERS[model](tmp_path, name)
    diagnosis = diagnose(tmp_path)
    assert diagnosis.checkpoint == name
    assert [opinion.fact for opinion in diagnosis.differing] == SMALLER.get(name, []), diagnosis.lines()
    assert len(diagnosis.opinions) == len(tables()[model][name])
    assert diagnosis.lines()[-1].startswith(f"{tmp_path} as {name}: ")


@pytest.mark.parametrize(
    ("file", "keys", "value", "told"),
    [
        ("config.json", ["text_config", "rms_norm_eps"], 1e-6, "text_config.rms_norm_eps in config.json: found 1e-06"),
        ("generation_config.json", ["pad_token_id"], 0, "pad_token_id in generation_config.json: found 0"),
        ("tokenizer.json", ["added_tokens", 1, "id"], 32003, "token <image> in the folder: found 32003"),
    ],
)
def test_a_difference_is_told_and_no_other(believed, file, keys, value, told):
    content = json.loads((believed / file).read_text())
    target = content
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    (believed / file).write_text(json.dumps(content))
    diagnosis = diagnose(believed)
    assert len(diagnosis.differing) == 1
    assert told in diagnosis.lines()[0]


@pytest.mark.parametrize(
    ("model", "name", "file"),
    [
        ("apollo", "apollo-3b", "mm_connector/model.safetensors"),
        ("longvu", "longvu-llama3-2-1b", "pytorch_model.bin"),
        ("video_llama", "video-llama-2-7b-finetuned", "eva_vit_g.pth"),
        ("videotgb", "videotgb-flan-t5-xl", "LSTP-FlanT5xl.ckpt"),
    ],
)
def test_other_weights_are_told(model, name, file, tmp_path):
    """Numbers of eight bytes, of another shape, under other names."""
    WRITERS[model](tmp_path, name)
    if file.endswith(".safetensors"):
        save_file({"other": torch.zeros(3, dtype=torch.float64)}, tmp_path / file)
    else:
        torch.save({"other": torch.zeros(3, dtype=torch.float64)}, tmp_path / file)
    differing = diagnose(tmp_path, name).differing
    assert len(differing) >= 2
    place = Path(file).parent.name or "the folder"
    assert all(opinion.fact.startswith(("dtype of", "shape of", "number of", "elements of")) for opinion in differing)
    assert all(file in opinion.fact or place in opinion.fact for opinion in differing)


def test_missing_and_damaged_files_are_told(believed):
    (believed / "tokenizer.json").unlink()
    found = {opinion.fact: opinion.found for opinion in diagnose(believed).differing}
    assert found == {f"token {token} in the folder": ABSENT for token in ("<image>", "</s>", "<pad>")}
    (believed / "model-00002-of-00003.safetensors").write_bytes(b"")
    lines = diagnose(believed, "pllava-7b").lines()
    assert any("model-00002-of-00003.safetensors is damaged" in line for line in lines)


def test_the_command(believed, worker):
    result = worker("doctor", believed)
    assert result["code"] == 0, result["err"]
    assert "as pllava-7b: " in result["out"]
    result = worker("doctor", believed, "--checkpoint", "pllava-13b", "--json")
    assert result["code"] == 1
    assert json.loads(result["out"])["checkpoint"] == "pllava-13b"


def test_what_cannot_be_examined_is_explained(tmp_path):
    with pytest.raises(NotAModelError, match="There is no folder"):
        diagnose(tmp_path / "nowhere")
    with pytest.raises(NotAModelError, match="no facts on 'x'. Known: .*pllava-7b"):
        diagnose(tmp_path, "x")


FACTS = [
    pytest.param(fact, id=f"{checkpoint}-{number}")
    for model in tables().values()
    for checkpoint, facts in model.items()
    for number, fact in enumerate(facts)
]


def test_every_model_has_facts():
    assert {model: len(checkpoints) for model, checkpoints in tables().items()} == {
        "apollo": 3,
        "longvu": 6,
        "pllava": 3,
        "video_llama": 5,
        "videotgb": 2,
    }
    assert len(FACTS) > 500
    for model in tables().values():
        for facts in model.values():
            assert any(fact.sure == "inferred" for fact in facts)
            assert len({str(fact) for fact in facts}) == len(facts)
            for fact in facts:
                assert fact.kind in LOOKUPS
                re.compile(fact.name)
