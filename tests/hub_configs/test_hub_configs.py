# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The folders of published checkpoints, whatever the model: complete, and what the classes write."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT
from huggingface_hub import ModelCard
from transformers import AutoConfig
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.hub.configs import MODEL_OF, MODULES, main, write_all


FOLDERS = ROOT / "hub_configs"
ALL = sorted(path.parent.name for path in FOLDERS.glob("*/config.json"))

each_checkpoint = pytest.mark.parametrize("name", MODEL_OF)

LANGUAGE = ("language_model", "lm_head")
CONNECTOR = ("tower_projectors", "aggregator", "multi_modal_projector")
BRIDGE = ("multi_modal_projector", "resampler")


class Known(NamedTuple):
    """The size of some parts of some checkpoints, known from papers, original code or published files."""

    checkpoints: str
    parts: tuple[str, ...]
    number: float
    tolerance: float = 0


# Rows of placeholders are ours: see `own_rows`. LLaMA's two sizes are counted with its own 32,000 tokens.
SIZES = (
    Known("(pllava|video-llama-.*|videotgb).*7b.*", LANGUAGE, 6_738_415_616),
    Known("(pllava|video-llama-.*).*13b.*", LANGUAGE, 13_015_864_320),
    Known("pllava-7b", ("multi_modal_projector",), 21.0e6, 5e4),
    Known("pllava-13b", ("multi_modal_projector",), 31.5e6, 5e4),
    Known("pllava-34b", ("multi_modal_projector",), 58.7e6, 5e4),
    Known("apollo-1.5b", BRIDGE, 38_358_528),
    Known("apollo-3b", BRIDGE, 63_727_616),
    Known("apollo-7b", BRIDGE, 177_583_616),
    Known("longvu-qwen2-7b.*", CONNECTOR, 56.05e6, 5e4),
    Known("longvu-llama3-2-3b.*", CONNECTOR, 52.1e6, 5e4),
    # Half as many as the published files have bytes. Both names of Llama's tied table are stored.
    Known("longvu-qwen2-7b.*", (*CONNECTOR, *LANGUAGE), 15.34e9 / 2, 5e6),
    Known("longvu-llama3-2-3b.*", (*CONNECTOR, *LANGUAGE), 7.318e9 / 2, 5e6),
    Known("longvu-llama3-2-1b.*", (*CONNECTOR, *LANGUAGE), 3.089e9 / 2, 5e6),
    Known("(video-llama|videotgb).*", ("vision_tower",), 985_952_256),
    Known("video-llama.*", ("qformer",), 105.2e6, 5e4),
    Known("video-llama.*7b.*", ("video_qformer",), 22.1e6, 5e4),
    Known("video-llama.*13b.*", ("video_qformer",), 22.9e6, 5e4),
    Known("video-llama.*7b.*audio", ("audio_qformer",), 19.7e6 + 3.15e6, 5e4),
    Known("video-llama.*13b.*audio", ("audio_qformer",), 19.7e6 + 3.94e6, 5e4),
    Known("videotgb-7b", ("qformer",), 185_659_392, 768),
    Known("videotgb-flan-t5-xl", ("qformer",), 105_137_664),
    Known("videotgb-7b", ("multi_modal_projector",), 3_149_824),
    Known("videotgb-flan-t5-xl", ("multi_modal_projector",), 1_574_912),
    Known("videotgb-flan-t5-xl", LANGUAGE, 2_849_757_184),
    # Less the positions that BERT has and nobody reads.
    Known("videotgb.*", ("grounding",), 123_932_615 - 512 * 768),
    # The scales of normalisation that is not trained are no parameters here.
    Known("videotgb.*", ("flow_model",), 5_257_536, 2 * 1440),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub_configs")
    assert [folder.name for folder in write_all(root)] == list(MODEL_OF)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_folder_is_a_checkpoint_or_tiny():
    folders = {path.parent.name for path in FOLDERS.glob("*/config.json")}
    assert {name for name in folders if not name.startswith("tiny-")} == set(MODEL_OF)
    assert sum(len(module.CHECKPOINTS) for module in MODULES.values()) == len(MODEL_OF)


@each_checkpoint
def test_the_classes_write_what_is_committed(name, written):
    committed, fresh = contents(FOLDERS / name), contents(written / name)
    assert committed.keys() == fresh.keys()
    different = [file for file in fresh if committed[file] != fresh[file]]
    assert different == [], "run `python -m video_lmms.hub.configs`"


def test_one_folder_can_be_written_alone(tmp_path):
    name = next(iter(MODEL_OF))
    main([str(tmp_path), "--only", name])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@each_checkpoint
def test_the_card_says_what_can_be_checked(name):
    """Header, and a conversion command that the converter takes."""
    card = ModelCard.load(FOLDERS / name / "README.md")
    provenance = json.loads((FOLDERS / name / "provenance.json").read_text(encoding="utf-8"))
    assert AutoConfig.from_pretrained(FOLDERS / name).model_type.startswith(MODEL_OF[name])  # VideoTGB has two forms
    assert {"video", "video-lmms", MODEL_OF[name].replace("_", "-")} <= set(card.data.tags)
    assert card.data.pipeline_tag == "video-text-to-text"
    assert card.data.base_model == provenance["base_model"]
    assert card.data.license == provenance["license"]
    # A command may be continued on the next line.
    text = card.text.replace("\\\n", " ")
    command = re.search(rf"^video-lmms convert {MODEL_OF[name]} (.*)$", text, re.M)[1]
    converter = import_module(f"video_lmms.conversion_scripts.convert_{MODEL_OF[name]}")
    arguments = converter.parse_arguments(shlex.split(command))
    assert f'model="{arguments.output}"' in card.text
    assert f"--model {arguments.output}" in card.text


def verified(name: str) -> dict[str, str]:
    """What the command prints of a folder without its weights."""
    result = CliRunner().invoke(app, ["verify", str(FOLDERS / name), "--no-weights", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0, report
    assert report["passed"]
    return {finding["what"]: finding["detail"] for finding in report["findings"] if finding["status"] == "ok"}


def own_rows(name: str) -> int:
    """Rows of embedding table and head beyond LLaMA's 32,000, which is what papers count it with."""
    text = AutoConfig.from_pretrained(FOLDERS / name).text_config
    return 2 * (text.vocab_size - 32_000) * text.hidden_size


@pytest.mark.parametrize("name", ALL)
def test_every_folder_passes_without_weights_and_tells_the_known_sizes(name):
    printed = verified(name)
    assert {"model", "parts", "videos", "answers"} <= printed.keys()
    parts = {
        part: int(count.replace(",", "")) for part, count in re.findall(r"(\w+) ([\d,]+)(?:, |$)", printed["parts"])
    }
    total = int(re.search(r"([\d,]+) parameters", printed["model"])[1].replace(",", ""))
    assert max(parts.values()) < total <= 1.001 * sum(parts.values())
    known = [size for size in SIZES if re.fullmatch(size.checkpoints, name)]
    assert known or name.startswith("tiny-")
    for size in known:
        rows = own_rows(name) if size.parts == LANGUAGE and "t5" not in name else 0
        found = sum(parts[part] for part in size.parts)
        assert found == pytest.approx(size.number + rows, abs=size.tolerance), size
