# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Originals: recognised everywhere, converted from the Hub, loaded in one call, safe to open."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hub.originals import ORIGINALS, Slot, pickle_name, read_pickle, slots, sources, words
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoModelForMultimodalLM, LlavaConfig

import video_lmms
from video_lmms.conversion_scripts.checkpoint_files import ConversionError, open_pickle
from video_lmms.errors import NotAModelError, UnconvertedCheckpointError
from video_lmms.hub import load
from video_lmms.hub.converting import as_words, convert, script_of
from video_lmms.hub.downloads import SOURCES, Part, choose
from video_lmms.hub.originals import find_original
from video_lmms.registration import ARCHITECTURES


each_model = pytest.mark.parametrize("model", ORIGINALS)
# Option -> (repository, path in it) that the tests give the original's pieces on the Hub.
PLACE = "somebody/{model}-{option}"


def main_source(model: str) -> Path:
    """The folder or file that a user would take for the model."""
    found = sources(model)
    return found.get("checkpoint", found.get("model_dir"))


def extra_options(model: str) -> dict:
    """All options of the case that are no sources."""
    options = ORIGINALS[model].spec["convert"]["options"]
    named = {option.replace("-", "_"): value for option, value in options.items()}
    folder = ORIGINALS[model].folder
    values = {option: value for option, value in named.items() if option not in SOURCES[model]}
    return {
        option: str(folder / value) if isinstance(value, str) and (folder / value).exists() else value
        for option, value in values.items()
    }


@each_model
def test_from_pretrained_names_the_command(model):
    source = main_source(model)
    folder = source if source.is_dir() else source.parent
    for load_class in (
        AutoConfig,
        AutoModelForImageTextToText,
        AutoModelForMultimodalLM,
        ARCHITECTURES[model].config,
        ARCHITECTURES[model].generation_model,
    ):
        with pytest.raises(UnconvertedCheckpointError) as caught:
            load_class.from_pretrained(folder)
        assert caught.value.command.startswith(f"video-lmms convert {model} ")
        assert str(folder) in caught.value.command
        assert caught.value.command in str(caught.value)
    with pytest.raises(UnconvertedCheckpointError):
        load(source)


@each_model
def test_the_command_is_one_that_the_converter_takes(model):
    source = main_source(model)
    config = source / "config.json"
    original = find_original(json.loads(config.read_text()) if config.is_file() else {}, source)
    arguments = script_of(model).parse_arguments(original.command.split()[3:])
    for option, value in original.options.items():
        assert str(getattr(arguments, option)) == str(value)


@pytest.mark.parametrize(
    ("repo_id", "start"),
    [
        ("DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned", "video-lmms convert video_llama --llama DAMO-NLP-SG/"),
        ("DAMO-NLP-SG/Video-LLaMA-Series", "video-lmms convert video_llama --llama LLAMA_FOLDER"),
        ("ColorfulAI/LSTP-Chat", "video-lmms convert videotgb --checkpoint ColorfulAI/LSTP-Chat/LSTP-7B.ckpt"),
    ],
)
def test_originals_without_a_configuration_are_known_by_id(repo_id, start):
    for attempt in (AutoConfig.from_pretrained, load):
        with pytest.raises(UnconvertedCheckpointError) as caught:
            attempt(repo_id)
        assert caught.value.command.startswith(start)


def test_other_models_load_as_ever(tmp_path):
    LlavaConfig().save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is LlavaConfig
    (tmp_path / "config.json").unlink()
    with pytest.raises((OSError, ValueError), match="config.json"):
        AutoConfig.from_pretrained(tmp_path)


@each_model
def test_load_original_converts_once(model, tmp_path, monkeypatch):
    given = sources(model)
    source = main_source(model)
    options = extra_options(model) | {option: str(path) for option, path in given.items()}
    loaded, processor = video_lmms.load_original(source, cache_dir=tmp_path, device="cpu", **options)
    assert type(loaded) is ARCHITECTURES[loaded.config.model_type].generation_model
    (folder,) = tmp_path.iterdir()

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(script_of(model), "convert", refuse)
    again, _ = video_lmms.load_original(source, cache_dir=tmp_path, device="cpu", **options)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(AssertionError, match="converted again"):  # other options are another conversion
        video_lmms.load_original(source, cache_dir=tmp_path, **options | {"dtype": "float16"})


def test_load_original_says_what_is_missing(tmp_path):
    with pytest.raises(NotAModelError, match="no original checkpoint that is known here"):
        video_lmms.load_original(tmp_path)
    delta = ORIGINALS["pllava"].folder.parent / "lora_delta_gqa" / "checkpoint" / "weights_dir"
    with pytest.raises(NotAModelError, match="Name the rest of it: model_dir=..."):
        video_lmms.load_original(delta)
    with pytest.raises(NotAModelError, match="it is converted as pllava, not as apollo"):
        video_lmms.load_original(main_source("pllava"), model="apollo")


@pytest.fixture(scope="module")
def mirrored(hub, tmp_path_factory) -> dict[str, dict[str, str]]:
    """Every source of every model on the Hub, beside files that no converter needs."""
    places: dict[str, dict[str, str]] = {}
    for model in ORIGINALS:
        for option, path in sources(model).items():
            folder = tmp_path_factory.mktemp("mirror")
            if path.is_dir():
                shutil.copytree(path, folder, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, folder / path.name)
            for name in ("README.md", "modeling_foreign.py", "demo.gif", "flax_model.msgpack", "model.onnx"):
                (folder / name).write_bytes(b"nobody needs this")
            (folder / "training").mkdir()
            (folder / "training" / "optimizer.bin").write_bytes(b"nor this")
            repo_id = PLACE.format(model=model, option=option)
            hub.add(repo_id, folder)
            places.setdefault(model, {})[option] = repo_id if path.is_dir() else f"{repo_id}/{path.name}"
    return places


@each_model
def test_conversion_from_the_hub(model, hub, worker, mirrored, tmp_path):
    before = len(hub.requests)
    replaced = words(model, tmp_path / "from-hub", **mirrored[model])
    result = worker(*replaced, "--no-store-answer")
    assert result["code"] == 0, result["err"]
    fetched = {
        path.split("/", 5)[-1] for method, path in hub.requests[before:] if method == "GET" and "/resolve/" in path
    }
    assert fetched
    assert not [name for name in fetched if Path(name).suffix in (".py", ".gif", ".msgpack", ".onnx", ".md")]
    assert "training/optimizer.bin" not in fetched
    worker(*words(model, tmp_path / "local"), "--no-store-answer")
    assert weights(tmp_path / "from-hub") == weights(tmp_path / "local")
    manifest = json.loads((tmp_path / "from-hub" / "provenance.json").read_text())
    assert set(manifest["origin"]) == set(mirrored[model])
    for option, origin in manifest["origin"].items():
        assert origin.startswith(mirrored[model][option])
        assert len(origin.split("@")[1]) == 40
    # What is there already is not fetched again.
    before = len(hub.requests)
    assert worker(*words(model, tmp_path / "again", **mirrored[model]), "--no-store-answer")["code"] == 0
    assert not [path for method, path in hub.requests[before:] if method == "GET" and "/resolve/" in path]


def weights(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def test_ids_that_lead_nowhere_are_explained(worker, tmp_path):
    result = worker("convert", "pllava", "--model-dir", "nobody/nothing", "--output", tmp_path / "out")
    assert result["code"] == 2
    assert "There is no nobody/nothing here, and the Hub has no readable repository" in result["err"]
    assert list(tmp_path.iterdir()) == []


def test_of_weights_that_are_there_twice_one_set_is_chosen():
    names = ["config.json", "vocab.json", "merges.txt", "pytorch_model.bin", "model.safetensors", "x/config.json"]
    names += ["model.safetensors-deprecated", "pytorch_model.bin.index.json", "modeling.py", "tokenizer.model"]
    small = ["config.json", "merges.txt", "tokenizer.model", "vocab.json"]
    assert choose(names, "", Part()) == sorted([*small, "model.safetensors"])
    assert choose(names, "", Part(weights=False)) == small
    assert "x/config.json" in choose(names, "", Part(deep=True))
    assert choose(names, "x", Part()) == ["x/config.json"]
    assert choose(names, "pytorch_model.bin", None) == ["pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert choose([*names, *shards], "", Part()) == sorted([*small, *shards])


def test_quantising_is_left_to_loading(worker, tmp_path):
    result = worker(*words("pllava", tmp_path / "out"), "--quantize", "int8")
    assert result["code"] == 2
    assert "quantization_config" in result["err"]


# --- files that want to do more than hold tensors ---


class Command:
    """Unpickles to a call."""

    def __init__(self, function: object, *arguments: object):
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def attacks(mark: Path) -> dict[str, object]:
    return {
        "os.system": Command(os.system, f"touch {mark}"),
        "subprocess": Command(subprocess.check_call, ["touch", str(mark)]),
        "exec": Command(exec, f"open({str(mark)!r}, 'w')"),
        "eval": Command(eval, f"open({str(mark)!r}, 'w')"),
        "open": Command(open, str(mark), "w"),
        "import": Command(__import__, "antigravity"),
        "getattr": Command(getattr, "text", "upper"),
        "torch.load": Command(torch.load, str(mark)),
        "partial": Command(pickle.loads, b"cos\nsystem\n(S'touch x'\ntR."),
    }


SLOTS = list(slots())
each_slot = pytest.mark.parametrize(
    "slot", SLOTS, ids=[f"{slot.model}-{slot.option}-{slot.file.as_posix()}" for slot in SLOTS]
)


def test_every_option_that_takes_weights_has_a_slot():
    assert {(slot.model, slot.option) for slot in SLOTS} == {
        *(("apollo", option) for option in ("checkpoint", "weights")),
        *(("longvu", option) for option in ("checkpoint", "siglip", "dinov2")),
        *(("pllava", option) for option in ("model_dir", "weights_dir")),
        *(("video_llama", option) for option in ("llama", "vicuna_delta", "vit", "qformer", "minigpt4")),
        *(("video_llama", option) for option in ("checkpoint", "audio_checkpoint", "imagebind")),
        *(("videotgb", option) for option in ("checkpoint", "sampler", "raft")),
    }
    assert len(SLOTS) >= 22  # PLLaVA's shards and Apollo's folders are several


@pytest.mark.parametrize("model", ["apollo", "longvu", "pllava"])
def test_pickles_give_what_safetensors_give(model, tmp_path):
    """All slots of a model at once in PyTorch's own format."""
    given = {}
    for slot in (slot for slot in SLOTS if slot.model == model and slot.option in sources(model)):
        folder = tmp_path / slot.option
        folder.mkdir(exist_ok=True)
        if slot.option not in given:
            given[slot.option] = slot.copied(folder)[0]
        for stored in given[slot.option].rglob("*.safetensors"):
            torch.save(load_file(stored), pickle_name(stored))
            stored.unlink()
    for index in tmp_path.rglob("*.index.json"):
        index.unlink()
    assert not list(tmp_path.rglob("*.safetensors"))
    convert(model, words(model, tmp_path / "pickles", **given)[2:], store_answer=False)
    convert(model, words(model, tmp_path / "as-it-is")[2:], store_answer=False)
    ours, wanted = (load_file(tmp_path / folder / "model.safetensors") for folder in ("pickles", "as-it-is"))
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def refused(slot: Slot, given: Path, output: Path) -> str:
    """The message of a conversion that has to fail, and leaves nothing."""
    with pytest.raises(ConversionError) as caught:
        convert(slot.model, words(slot.model, output, slot.case, **{slot.option: given})[2:])
    assert not list(output.parent.glob(f"*{output.name}*"))
    return str(caught.value)


@each_slot
@pytest.mark.parametrize("attack", attacks(Path()))
def test_a_malicious_file_in_any_slot_runs_nothing_and_is_named(slot, attack, tmp_path):
    mark = tmp_path / "executed"
    given, bad = slot.pickled(tmp_path)
    table = read_pickle(bad) | {"an.extra.weight": attacks(mark)[attack]}
    torch.save(table if bad.suffix == ".bin" else {"model": table}, bad)
    assert f"{bad} holds " in refused(slot, given, tmp_path / "out")
    assert not mark.exists()


@each_slot
@pytest.mark.parametrize("keep", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("form", ["as stored", "pickled"])
def test_a_cut_file_in_any_slot_is_named(slot, form, keep, tmp_path):
    given, bad = slot.pickled(tmp_path) if form == "pickled" else slot.copied(tmp_path)
    content = bad.read_bytes()
    bad.write_bytes(content[: int(keep * len(content))])
    assert str(bad) in refused(slot, given, tmp_path / "out")


@pytest.mark.parametrize("attack", ["os.system", "exec", "subprocess"])
def test_a_malicious_setting_beside_the_weights_runs_nothing(attack, tmp_path):
    mark = tmp_path / "executed"
    file = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "hyper_parameters": attacks(mark)[attack]}, file)
    with pytest.raises(ConversionError, match="x.ckpt holds more than tensors, and is refused"):
        open_pickle(file)
    assert not mark.exists()


class Settings:
    """Of a library that is not there when the file is read."""

    def __init__(self, **values: object):
        self.values = values

    def __setstate__(self, state: dict) -> None:
        raise AssertionError("a stand-in takes this class's place")


def test_unknown_settings_beside_the_weights_are_passed_over(tmp_path):
    file = tmp_path / "lightning.ckpt"
    state = OrderedDict(w=torch.arange(3.0))
    torch.save({"epoch": 1, "state_dict": state, "hyper_parameters": {"net": Settings(depth=3)}}, file)
    assert torch.equal(open_pickle(file)["w"], torch.arange(3.0))


def test_files_of_before_the_archive_format_are_read(tmp_path):
    file = tmp_path / "old.pth"
    torch.save({"model": {"w": torch.arange(4.0)}}, file, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(file)
    assert torch.equal(open_pickle(file)["w"], torch.arange(4.0))


@pytest.mark.parametrize("damage", [0, 10, 0.3, 0.9, 0.999])
def test_cut_files_are_named(damage, tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"model": {f"w{i}": torch.randn(50, 50) for i in range(9)}}, whole)
    content = whole.read_bytes()
    file = tmp_path / "cut.pth"
    file.write_bytes(content[: damage if isinstance(damage, int) else int(damage * len(content))])
    with pytest.raises(ConversionError, match=r"cut\.pth is damaged|cut\.pth holds"):
        open_pickle(file)


def test_options_become_the_command_line_again():
    options = {"model_dir": Path("a"), "keep_lora": True, "weights_dir": None, "pooling_shape": [16, 2, 2], "x": False}
    assert as_words(options) == ["--model-dir", "a", "--keep-lora", "--pooling-shape", "16", "2", "2"]
