# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's converter against damaged, foreign and incomplete pieces."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from safetensors.torch import load_file

from video_lmms.conversion_scripts import convert_video_llama
from video_lmms.conversion_scripts.convert_video_llama import convert, main, parse_arguments
from video_lmms.conversion_scripts.video_llama_names import add_delta, joint_bias, resize_positions


GOLDENS = ROOT / "tests" / "goldens" / "video_llama"


def flags_of(name: str, folder: Path) -> list[str]:
    """The command line of a golden case, over a copy of its checkpoint."""
    options = json.loads((GOLDENS / name / "case.json").read_text())["convert"]["options"]
    flags = []
    for option, value in options.items():
        path = folder / str(value).removeprefix("checkpoint/")
        flags += [f"--{option}", str(path) if str(value).startswith("checkpoint/") else str(value)]
    return flags


def with_option(flags: list[str], option: str, value: object) -> list[str]:
    """The flags with one changed, added, or (None) taken away."""
    kept = list(flags)
    if option in kept:
        at = kept.index(option)
        del kept[at : at + 2]
    return kept if value is None else [*kept, option, str(value)]


def value_of(flags: list[str], option: str) -> str:
    return flags[flags.index(option) + 1]


@pytest.fixture
def flags(tmp_path):
    shutil.copytree(GOLDENS / "vicuna_audiovideo" / "checkpoint", tmp_path / "checkpoint")
    return [*flags_of("vicuna_audiovideo", tmp_path / "checkpoint"), "--output", str(tmp_path / "out")]


@pytest.fixture
def delta_flags(tmp_path):
    shutil.copytree(GOLDENS / "vicuna_video8" / "checkpoint", tmp_path / "checkpoint")
    flags = [*flags_of("vicuna_video8", tmp_path / "checkpoint"), "--output", str(tmp_path / "out")]
    flags = with_option(flags, "--llama", tmp_path / "checkpoint" / "llama-7b")
    return with_option(flags, "--vicuna-delta", tmp_path / "checkpoint" / "vicuna-7b-delta-v0")


def edit(file: str | Path, change) -> None:
    """Applies a function to the tensors of a file, in place."""
    content = torch.load(file, weights_only=True)
    table = content.get("model", content) if isinstance(content.get("model"), dict) else content
    change(table)
    torch.save(content, file)


def refused(flags, capfd) -> str:
    """The one line that says why; nothing may be left behind."""
    assert main(flags) == 2
    output = Path(value_of(flags, "--output"))
    assert not output.exists()
    assert not list(output.parent.glob(".*partial*"))
    return capfd.readouterr().err.strip().splitlines()[-1]


MISSING = {
    "--vit": "blocks.1.attn.v_bias",
    "--qformer": "ln_vision.bias",
    "--checkpoint": "video_Qformer.bert.encoder.layer.1.output_query.LayerNorm.bias",
    "--audio-checkpoint": "audio_llama_proj.bias",
    "--imagebind": "modality_trunks.audio.blocks.2.norm_2.bias",
}


@pytest.mark.parametrize("option", MISSING)
def test_a_missing_tensor_is_named(flags, capfd, option):
    edit(value_of(flags, option), lambda table: table.pop(MISSING[option]))
    message = refused(flags, capfd)
    assert "lacks 1 tensors" in message or "has shape" in message


@pytest.mark.parametrize("option", MISSING)
def test_a_foreign_tensor_is_named(flags, capfd, option):
    edit(value_of(flags, option), lambda table: table.update({"stray.weight": torch.zeros(2)}))
    assert f"stray.weight in {Path(value_of(flags, option)).name}" in refused(flags, capfd)


@pytest.mark.parametrize("option", MISSING)
def test_a_misshapen_tensor_is_named(flags, capfd, option):
    name = MISSING[option]
    edit(value_of(flags, option), lambda table: table.update({name: torch.zeros(3, dtype=table[name].dtype)}))
    assert "has shape" in refused(flags, capfd)


@pytest.mark.parametrize("option", MISSING)
def test_damaged_weights_are_named(flags, capfd, option):
    name = MISSING[option]
    edit(value_of(flags, option), lambda table: table[name].fill_(torch.nan))
    assert f"{name} in" in refused(flags, capfd)


def test_files_in_each_others_place(flags, capfd):
    """What the original takes without a word."""
    swapped = with_option(flags, "--checkpoint", value_of(flags, "--qformer"))
    assert "no tensor that --checkpoint should hold" in refused(swapped, capfd)
    swapped = with_option(flags, "--vit", value_of(flags, "--imagebind"))
    assert "no tensor that --vit should hold" in refused(swapped, capfd)


@pytest.mark.parametrize("option", ["--audio-checkpoint", "--imagebind"])
def test_half_an_audio_branch(flags, capfd, option):
    assert "pass both" in refused(with_option(flags, option, None), capfd)


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--vit-patch-size", 7, "has patches of 14"),
    ("--vit-mlp-ratio", 4.0, "the file has"),
    ("--vit-depth", 9, "lacks"),
    ("--vit-num-heads", 7, "divisible|multiple"),
    ("--imagebind-audio-kernel-size", 8, "the file has 16"),
    ("--imagebind-audio-num-blocks", 5, "lacks"),
    ("--imagebind-audio-num-blocks", 2, "no place"),
    ("--imagebind-audio-stride", 16, "has shape"),
])  # fmt: skip
def test_constants_that_contradict_the_files(flags, capfd, option, value, message):
    assert re.search(message, refused(with_option(flags, option, value), capfd))


def test_a_yaml_that_contradicts_the_weights(flags, capfd):
    file = Path(value_of(flags, "--config"))
    file.write_text(file.read_text().replace("max_frame_pos: 32", "max_frame_pos: 64"))
    assert "max_frame_pos: 64, but the weights have 32" in refused(flags, capfd)
    file.write_text("model: [")
    assert "no configuration of the original" in refused(flags, capfd)


def test_a_missing_tokenizer_and_missing_packages(flags, capfd, monkeypatch):
    monkeypatch.setattr(convert_video_llama, "is_installed", lambda package: package != "sentencepiece")
    message = refused(flags, capfd)
    assert "needs sentencepiece" in message
    assert "pip install 'video-lmms[sentencepiece]'" in message
    (Path(value_of(flags, "--llama")) / "tokenizer.model").unlink()
    assert "tokenizer.model does not exist" in refused(flags, capfd)


def test_a_truncated_file(flags, capfd):
    file = Path(value_of(flags, "--checkpoint"))
    file.write_bytes(file.read_bytes()[:2000])
    assert "damaged or no PyTorch file" in refused(flags, capfd)


def test_a_pickle_that_would_run_something(flags, capfd):
    class Harmful:
        def __reduce__(self):
            return (exec, ("raise SystemExit(9)",))

    torch.save({"model": {"a": torch.zeros(1)}, "config": Harmful()}, value_of(flags, "--checkpoint"))
    assert "refused" in refused(flags, capfd)


def test_a_delta_for_another_base(delta_flags, capfd):
    file = Path(value_of(delta_flags, "--vicuna-delta")) / "pytorch_model.bin"
    edit(file, lambda table: table.update({"lm_head.weight": torch.cat([table["lm_head.weight"]] * 2)}))
    assert "made for another base" in refused(delta_flags, capfd)
    edit(file, lambda table: table.pop("model.norm.weight"))
    assert "do not hold the same tensors: model.norm.weight" in refused(delta_flags, capfd)


def test_the_delta_brings_its_own_row():
    base, delta = torch.randn(4, 3).half(), torch.randn(5, 3).half()
    merged = add_delta(2)(base, delta)
    assert torch.equal(merged[:4], base + delta[:4])
    assert torch.equal(merged[4], delta[4])
    assert (merged[5:] == 0).all()
    assert merged.shape == (7, 3)


def test_keys_have_no_bias():
    bias = joint_bias(torch.ones(2), torch.full((2,), 3.0))
    assert bias.tolist() == [1, 1, 0, 0, 3, 3]


def test_another_image_size_resizes_the_positions(flags, tmp_path):
    """As the original does when it loads; the class token's row stays."""
    assert main(with_option(flags, "--image-size", 56)) == 0
    table = torch.load(value_of(flags, "--vit"), weights_only=True)["pos_embed"].float()
    weights = load_file(tmp_path / "out" / "model.safetensors")
    resized = weights["model.vision_tower.embeddings.position_embedding"]
    assert resized.shape[1] == 1 + 16
    assert torch.equal(resized[:, 0], table[:, 0])
    assert torch.equal(resized, resize_positions(4)(table))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vision_config"]["image_size"] == 56


def test_minigpt4_fills_in_what_the_checkpoint_lacks(delta_flags, tmp_path):
    """Checkpoints whose projector was frozen do not hold it; others replace MiniGPT-4's."""
    linear = torch.load(value_of(delta_flags, "--minigpt4"), weights_only=True)["model"]["llama_proj.bias"]
    edit(
        value_of(delta_flags, "--checkpoint"), lambda table: [table.pop(f"llama_proj.{n}") for n in ("weight", "bias")]
    )
    assert main(delta_flags) == 0
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(weights["model.video_qformer.projector.bias"], linear.float())
    pieces = json.loads((tmp_path / "out" / "provenance.json").read_text())["pieces"]
    assert (pieces["minigpt4"]["used"], pieces["minigpt4"]["overridden"]) == (2, [])


def test_a_spare_row_serves_as_placeholder(flags, tmp_path):
    """A table with more rows than the tokenizer has words is not enlarged, and its softmax stays the original's."""
    file = Path(value_of(flags, "--llama")) / "pytorch_model.bin"

    def enlarge(table):
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            table[name] = torch.cat([table[name], table[name][:7]])

    edit(file, enlarge)
    assert main(flags) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    rows = config["text_config"]["vocab_size"]
    assert config["output_vocab_size"] is None
    assert rows == 488
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation["suppress_tokens"] == [config[f"{kind}_token_id"] for kind in ("image", "audio", "video")]
    assert max(generation["suppress_tokens"]) < rows


def test_sharded_output_is_the_same(flags, tmp_path):
    assert main(flags) == 0
    sharded = with_option(with_option(flags, "--output", tmp_path / "sharded"), "--max-shard-size", "300KB")
    assert main(sharded) == 0
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 2
    whole = load_file(tmp_path / "out" / "model.safetensors")
    parts = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert whole.keys() == parts.keys()
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


def test_prompt_style_follows_option_yaml_and_tokenizer(flags, tmp_path):
    def style(*changes):
        changed = with_option(flags, "--output", tmp_path / f"out{len(list(tmp_path.iterdir()))}")
        for option, value in changes:
            changed = with_option(changed, option, value)
        assert main(changed) == 0
        return json.loads((Path(value_of(changed, "--output")) / "processor_config.json").read_text())["prompt_style"]

    assert style() == "vicuna"
    assert style(("--config", None)) == "vicuna"  # by its [PAD]
    assert style(("--prompt-style", "first_release")) == "first_release"
    file = Path(value_of(flags, "--config"))
    file.write_text(file.read_text().replace("pretrain_vicuna", "pretrain_llama_v2"))
    assert style() == "llama_v2"


def test_as_a_function(flags):
    options = vars(parse_arguments(flags))
    assert convert(**options) == options["output"]
    with pytest.raises(TypeError, match="unknown options: vit_width"):
        convert(**options, vit_width=9)
