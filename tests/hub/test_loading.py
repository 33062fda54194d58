# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Strict loading: a checkpoint fits to the last tensor, or an error names what does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pllava import BASE, DELTA, ORIGINAL

from video_lmms.conversion_scripts.convert_pllava import convert
from video_lmms.errors import (
    IncompleteCheckpointError,
    NotAModelError,
    UnconvertedCheckpointError,
    VideoLmmError,
)
from video_lmms.hub import load
from video_lmms.hub.loading import load_blueprint
from video_lmms.hub.originals import find_original


QUERY = "model.language_model.layers.1.self_attn.q_proj.weight"


def test_a_bundle_comes_back_as_it_was(model, bundled):
    loaded, processor = load(bundled, device="cpu")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert processor.pooling_shape == model.config.pooling_shape
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_dtype_can_be_chosen(bundled):
    assert load(bundled, device="cpu", dtype=torch.bfloat16)[0].dtype == torch.bfloat16
    assert load(bundled, device="cpu", dtype="float16")[0].dtype == torch.float16


def test_a_missing_tensor_is_named(bundled, edit_weights):
    edit_weights(lambda tensors: tensors.pop(QUERY))
    with pytest.raises(IncompleteCheckpointError, match=f"1 missing .{QUERY}") as caught:
        load(bundled)
    assert caught.value.missing == [QUERY]


def test_a_left_over_tensor_is_named(bundled, edit_weights):
    edit_weights(lambda tensors: tensors.update({"model.stray.weight": torch.zeros(2)}))
    with pytest.raises(IncompleteCheckpointError, match="1 unexpected .model.stray.weight") as caught:
        load(bundled)
    assert caught.value.unexpected == ["model.stray.weight"]


def test_misshapen_tensors_are_all_named(bundled, edit_weights):
    def cut(tensors: dict) -> None:
        for name in (QUERY, "lm_head.weight"):
            tensors[name] = tensors[name][:-1].clone()

    edit_weights(cut)
    with pytest.raises(
        IncompleteCheckpointError, match=r"2 of another shape .*\(447, 64\) instead of \(448, 64\)"
    ) as caught:
        load(bundled)
    assert len(caught.value.mismatched) == 2


def test_a_truncated_file_is_an_error(bundled):
    weights = bundled / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(IncompleteCheckpointError, match="Convert or download the checkpoint again"):
        load(bundled)


def test_a_missing_shard_is_an_error(bundled, model):
    (bundled / "model.safetensors").unlink()
    model.save_pretrained(bundled, max_shard_size="300KB")
    shard = sorted(bundled.glob("model-0*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(IncompleteCheckpointError, match=shard.name):
        load(bundled)


def test_a_folder_that_is_no_model_is_described(tmp_path):
    for number in range(7):
        (tmp_path / f"holiday{number}.jpg").write_bytes(b"")
    with pytest.raises(NotAModelError, match=r"no config\.json\. Found: holiday0\.jpg, .* and 2 more"):
        load(tmp_path)


def test_other_models_broken_configs_and_missing_weights_are_described(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(NotAModelError, match="model of type 'bert'. This package runs: .*pllava"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(NotAModelError, match="not valid JSON"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(NotAModelError, match="holds list, not a configuration"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "pllava"}')
    with pytest.raises(NotAModelError, match="a configuration but no weights"):
        load(tmp_path)


def test_names_that_lead_nowhere_are_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotAModelError, match="Did you mean pllava-7b"):
        load("pllava-7c")
    with pytest.raises(NotAModelError, match="There is no folder /no/such/folder"):
        load("/no/such/folder")
    with pytest.raises(NotAModelError, match="ships as a configuration only"):
        load("pllava-7b")
    with pytest.raises(NotAModelError, match="neither a folder nor a readable Hub repository"):
        load("nobody/nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAModelError, match="is a file"):
        load("file")


def test_a_missing_tokenizer_is_named(bundled):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bundled / name).unlink()
    with pytest.raises(NotAModelError, match="processor or tokenizer"):
        load(bundled)


@pytest.mark.parametrize(
    ("folder", "flags", "what"),
    [
        (ORIGINAL, ["--model-dir", "ORIGINAL"], "is PLLaVA as its original code saves it"),
        (DELTA, ["--model-dir", "BASE_MODEL", "--weights-dir", "ORIGINAL"], "only what PLLaVA's training changes"),
        (BASE, ["--model-dir", "ORIGINAL"], "is LLaVA-NeXT"),
    ],
)
def test_an_original_folder_names_its_conversion(folder, flags, what, tmp_path):
    original = shutil.copytree(folder, tmp_path / "my original")
    with pytest.raises(UnconvertedCheckpointError, match=what) as caught:
        load(original)
    words = [f"'{original}'" if word == "ORIGINAL" else word for word in flags]
    expected = " ".join(["video-lmms convert pllava", *words, "--output", f"'{original}-converted'"])
    assert caught.value.command == expected
    assert expected in str(caught.value)


def test_pllava_keys_betray_an_original_without_architectures(tmp_path):
    config = json.loads((ORIGINAL / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnconvertedCheckpointError):
        load(tmp_path)


def test_an_original_on_the_hub_is_converted_from_there():
    config = json.loads((ORIGINAL / "config.json").read_text())
    original = find_original(config, Path("ermu2001/pllava-7b"))
    assert original.command == (
        "video-lmms convert pllava --model-dir ermu2001/pllava-7b --output pllava-7b-converted"
    )


def test_unknown_devices_are_named(bundled):
    for device in ("abacus", "xla:3"):
        with pytest.raises(VideoLmmError, match=f"there is no device '{device}' here. Present: .*cpu"):
            load(bundled, device=device)


def test_foreign_code_is_not_run_unasked(bundled):
    config = json.loads((bundled / "config.json").read_text())
    config["model_type"] = "unheard_of"
    (bundled / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        NotAModelError, match="brings its own code: read it, then allow it with trust_remote_code=True"
    ):
        load(bundled)


def test_a_kept_adapter_is_loaded_strictly(tmp_path):
    folder = tmp_path / "converted"
    convert(ORIGINAL, folder, keep_lora=True, pooling_shape=(16, 2, 2))
    loaded, _ = load(folder, device="cpu")
    assert sum("lora_A" in name for name in loaded.state_dict()) == 6
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    name = sorted(tensors)[0]
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(IncompleteCheckpointError, match="lora_A"):
        load(folder, device="cpu")


def test_a_blueprint_needs_no_weights():
    config, video_processor = load_blueprint("pllava-34b")
    assert config.text_config.num_hidden_layers == 60
    assert video_processor.num_frames == 16
