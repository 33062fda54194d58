# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Bundles: what they hold, that their code is the package's to the byte, that writing them is atomic."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from video_lmms import hub
from video_lmms.errors import BundleError
from video_lmms.hub.code_files import closure, relative_imports
from video_lmms.modeling.modeling_pllava import PllavaModel


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_every_auto_class_is_mapped(bundled):
    config, processor = read(bundled / "config.json"), read(bundled / "processor_config.json")
    head = "modeling_pllava.PllavaForConditionalGeneration"
    assert config["auto_map"] == {
        "AutoConfig": "configuration_pllava.PllavaConfig",
        "AutoModel": "modeling_pllava.PllavaModel",
        "AutoModelForImageTextToText": head,
        "AutoModelForMultimodalLM": head,
        "AutoModelForCausalLM": head,
    }
    assert processor["auto_map"] == {"AutoProcessor": "processing_pllava.PllavaProcessor"}
    video, image = processor["video_processor"], processor["image_processor"]
    assert video["auto_map"] == {"AutoVideoProcessor": "video_processing_pllava.PllavaVideoProcessor"}
    assert image["auto_map"] == {"AutoImageProcessor": "image_processing_pllava.PllavaImageProcessor"}


def test_code_is_copied_to_the_byte(bundled):
    own = {path.name: path for folder in ("modeling", "processing") for path in (ROOT / folder).glob("*.py")}
    copied = sorted(bundled.glob("*.py"))
    assert {"modeling_pllava.py", "modeling_video_lmm.py", "video_reader.py"} <= {path.name for path in copied}
    assert "__init__.py" not in {path.name for path in copied}
    for path in copied:
        assert path.read_bytes() == own[path.name].read_bytes(), path.name


def test_weights_templates_and_generation_settings_are_there(bundled, model, processor):
    stored = load_file(bundled / "model.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(stored[name], tensor), name
    assert (bundled / "chat_template.jinja").read_text() == processor.chat_template["default"]
    named = {path.stem for path in (bundled / "additional_chat_templates").iterdir()}
    assert named == processor.chat_template.keys() - {"default"}
    assert read(bundled / "generation_config.json")["suppress_tokens"] == [400, 401]


def test_card_says_what_the_hub_wants_to_know(bundled):
    card = ModelCard.load(bundled / "README.md")
    assert card.data.pipeline_tag == "video-text-to-text"
    assert card.data.library_name == "transformers"
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == "example/original"
    for usage in ("pipeline(", "AutoModelForImageTextToText", "video-lmms ask"):
        assert usage in card.text


def test_given_card_and_provenance_are_kept(model, processor, tmp_path):
    files = hub.bundle(model, processor, tmp_path / "own", card="# Mine\n", provenance={"recipe": "r.yaml"})
    assert files == sorted(files)
    assert all(path.is_file() for path in files)
    assert (tmp_path / "own" / "README.md").read_text() == "# Mine\n"
    assert read(tmp_path / "own" / "provenance.json")["recipe"] == "r.yaml"


def test_a_folder_becomes_a_bundle_without_loading_it(model, processor, tmp_path, bundled):
    plain, target = tmp_path / "plain", tmp_path / "bundle"
    model.save_pretrained(plain)
    processor.save_pretrained(plain)
    (plain / "provenance.json").write_text('{"source": "somewhere"}')
    (plain / "stale_code.py").write_text("")
    files = hub.bundle_folder(plain, target)
    assert {path.name for path in files} == {path.name for path in bundled.rglob("*") if path.is_file()}
    assert os.path.samefile(plain / "model.safetensors", target / "model.safetensors")
    assert read(target / "provenance.json")["source"] == "somewhere"
    assert read(target / "config.json")["auto_map"] == read(bundled / "config.json")["auto_map"]
    assert "auto_map" not in read(plain / "config.json")


def test_a_folder_can_be_bundled_in_place(model, processor, tmp_path):
    plain = tmp_path / "plain"
    model.save_pretrained(plain)
    processor.save_pretrained(plain)
    with pytest.raises(BundleError, match="is not empty and is no earlier bundle"):
        hub.bundle_folder(plain, plain)
    hub.bundle_folder(plain, plain, overwrite=True)
    assert hub.verify(plain).passed


def test_only_an_earlier_bundle_is_replaced(model, processor, tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "thesis.txt").write_text("ten years")
    with pytest.raises(BundleError, match="is not empty and is no earlier bundle"):
        hub.bundle(model, processor, target)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (target / "thesis.txt").read_text() == "ten years"
    (target / "thesis.txt").unlink()
    for card in ("first", "second"):
        hub.bundle(model, processor, target, card=card)
        assert (target / "README.md").read_text() == card
    with pytest.raises(BundleError, match="is a file; a bundle is a folder"):
        hub.bundle(model, processor, target / "README.md")


def test_nothing_is_left_after_a_failure(model, processor, tmp_path, monkeypatch):
    def fail(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("video_lmms.hub.bundle_writer.model_card", fail)
    with pytest.raises(OSError, match="no space left"):
        hub.bundle(model, processor, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_headless_and_foreign_models_are_refused(model, processor, tmp_path):
    with pytest.raises(BundleError, match=r"a PllavaForConditionalGeneration of this package, got .*PllavaModel"):
        hub.bundle(PllavaModel(model.config), processor, tmp_path / "out")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BundleError, match="model_type 'bert' is none of"):
        hub.bundle_folder(tmp_path, tmp_path / "out")


def test_imports_are_followed_to_the_end(tmp_path):
    (tmp_path / "a.py").write_text("from .b import (\n    x,\n)\n")
    (tmp_path / "b.py").write_text("try:\n    from .c import y\nexcept ImportError:\n    y = None\n")
    (tmp_path / "c.py").write_text("def f():\n    from .a import z\n")
    (tmp_path / "unused.py").write_text("")
    assert list(closure([tmp_path / "a.py"])) == ["a.py", "b.py", "c.py"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from . import helper\n", "only `from .name import thing` can be followed"),
        ("from ..b.helper import x\n", r"found `from \.\.b\.helper import x`"),
        ("from .sub.helper import x\n", "only `from .name import thing` can be followed"),
        ('"""Text.\n\nfrom .old import this\n"""\n', "starts like an import of old"),
        ("def broken(:\n", "not valid Python"),
    ],
)
def test_imports_that_the_loader_cannot_follow_are_refused(tmp_path, code, message):
    source = tmp_path / "modeling_x.py"
    source.write_text(code)
    with pytest.raises(BundleError, match=message):
        relative_imports(source)


def test_missing_and_clashing_files_are_refused(tmp_path):
    for folder in ("modeling", "processing"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "common.py").write_text("")
        (tmp_path / folder / f"{folder}_x.py").write_text("from .common import y\n")
    with pytest.raises(BundleError, match="share a name"):
        closure([tmp_path / "modeling" / "modeling_x.py", tmp_path / "processing" / "processing_x.py"])
    (tmp_path / "modeling" / "common.py").unlink()
    with pytest.raises(BundleError, match=r"imports \.common, but there is no common\.py"):
        closure([tmp_path / "modeling" / "modeling_x.py"])
