# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The VideoTGB converter refuses whatever is not a whole, consistent checkpoint, and leaves nothing behind."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts.checkpoint_files import open_pickle
from video_lmms.conversion_scripts.conversion import ConversionError
from video_lmms.conversion_scripts.convert_videotgb import convert, main


GOLDENS = Path(__file__).parents[1] / "goldens" / "videotgb"
VICUNA = GOLDENS / "instructblip_vicuna_eval" / "checkpoint" / "ckpts"
FLAN_T5 = GOLDENS / "blip2_flant5_eval" / "checkpoint"
LIGHTNING = FLAN_T5 / "logs/ivinstruct/train/runs/2024-02-08/checkpoints/epoch_001.ckpt"
PIECES = GOLDENS / "grounding_pieces" / "checkpoint" / "ckpts"
LLAMA_Q = "model.language_model.model.layers.{}.self_attn.q_proj.weight"
RANK = 3


def weights_of(form):
    file = VICUNA / "LSTP-Chat" / "LSTP-7B.ckpt" if form == "vicuna" else LIGHTNING
    return {name: tensor.clone() for name, tensor in open_pickle(file).items()}


@pytest.fixture(scope="module")
def vicuna():
    return weights_of("vicuna")


@pytest.fixture(scope="module")
def flan_t5():
    return weights_of("t5")


@pytest.fixture
def source(tmp_path):
    """Converter options of the Vicuna case, with a copy of its base."""
    base = shutil.copytree(VICUNA / "instructblip-vicuna-7b", tmp_path / "instructblip-vicuna-7b")
    return {
        "checkpoint": tmp_path / "weights.pt",
        "base": Path(base),
        "sampler_tokenizer": VICUNA / "bert-base-uncased",
        "output": tmp_path / "out",
    }


def given(source, tensors):
    torch.save(tensors, source["checkpoint"])
    return source


def t5_source(source):
    base = FLAN_T5 / "ckpts"
    return source | {"base": base / "blip2-flan-t5-xl", "sampler_tokenizer": base / "bert-base-uncased"}


def refused(source, message):
    with pytest.raises(ConversionError, match=message) as caught:
        convert(**source)
    assert not source["output"].exists()
    assert not list(source["output"].parent.glob(".*partial*"))
    return str(caught.value)


def changed(tensors, name, value):
    assert name in tensors
    return {**tensors, name: value(tensors[name])}


def without(tensors, *names):
    assert set(names) <= tensors.keys()
    return {name: tensor for name, tensor in tensors.items() if name not in names}


IMPORTANT = (
    "model.query_tokens",
    "model.vision_model.encoder.layers.1.self_attn.qkv.bias",
    "model.qformer.encoder.layer.0.crossattention.attention.key.weight",
    "model.language_projection.bias",
    "model.language_model.lm_head.weight",
    "temporal_encoder.encoder.c_embed_positions.weight",
    "temporal_encoder.temporal_embeddings.fc.bias",
    "temporal_encoder.mrc_head.weight",
    "of_extractor.cnet.norm1.running_var",
    "of_extractor.update_block.mask.2.weight",
)


@pytest.mark.parametrize("name", IMPORTANT)
def test_a_missing_tensor_is_named(source, vicuna, name):
    refused(given(source, without(vicuna, name)), "lacks")


@pytest.mark.parametrize("name", IMPORTANT)
def test_a_misshapen_tensor_is_named(source, vicuna, name):
    tensors = changed(vicuna, name, lambda tensor: torch.cat([tensor, tensor], dim=-1))
    refused(given(source, tensors), re.escape(name) + "|rotary tables")


@pytest.mark.parametrize(
    "name", ["model.vision_model.head.weight", "temporal_encoder.pooler.weight", "of_extractor.fnet.conv9.weight"]
)
def test_an_unknown_tensor_is_named(source, vicuna, name):
    refused(given(source, {**vicuna, name: torch.zeros(2, 2)}), re.escape(name))


def test_damaged_values_and_dtypes_are_named(source, vicuna):
    name = "model.language_projection.weight"
    refused(given(source, changed(vicuna, name, lambda tensor: tensor * torch.nan)), f"{name} .* holds NaN")
    refused(given(source, changed(vicuna, LLAMA_Q.format(0), torch.Tensor.half)), "stored as F16")
    refused(given(source, changed(vicuna, name, torch.Tensor.long)), f"{name} .* is stored as")


def test_the_tables_of_t5_must_be_one(source, flan_t5):
    name = "model.language_model.decoder.embed_tokens.weight"
    refused(given(t5_source(source), changed(flan_t5, name, lambda tensor: tensor + 1)), "embedding tables .* differ")
    refused(given(t5_source(source), without(flan_t5, "model.language_model.shared.weight")), "not the table")


def test_bases_must_fit(source, vicuna):
    given(source, vicuna)
    config = json.loads((source["base"] / "config.json").read_text())
    for content, message in (
        ({**config, "model_type": "llava"}, "'llava' over 'llama'"),
        (
            {**config, "vision_config": {**config["vision_config"], "image_size": 196}},
            "must be equal|config.json asks",
        ),
        ({name: value for name, value in config.items() if name != "qformer_config"}, "lacks 'qformer_config'"),
    ):
        (source["base"] / "config.json").write_text(json.dumps(content))
        refused(source, message)
    (source["base"] / "config.json").write_text(json.dumps(config))
    (source["base"] / "tokenizer.json").unlink()
    refused(source, "tokenizer.json does not exist")


def test_a_truncated_file_is_refused(source, vicuna):
    given(source, vicuna)
    content = source["checkpoint"].read_bytes()
    source["checkpoint"].write_bytes(content[: len(content) // 2])
    refused(source, "damaged")


def test_neither_whole_nor_pieces(tmp_path, capsys):
    common = ["--sampler-tokenizer", str(VICUNA / "bert-base-uncased"), "--output", str(tmp_path / "out")]
    assert main(common) == 2
    assert "--checkpoint and --base" in capsys.readouterr().err
    assert main([*common, "--checkpoint", "x.ckpt"]) == 2
    assert "--base" in capsys.readouterr().err


def with_lora(tensors, form):
    """The same as PEFT saves it while training, with matrices that change something."""
    prefix = "model.language_model."
    wrapped, names = {}, []
    leaves = ("q_proj", "v_proj") if form == "vicuna" else ("q", "v")
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            wrapped[name] = tensor
            continue
        inner = name.removeprefix(prefix)
        wrapped[f"{prefix}base_model.model.{inner}"] = tensor
        module = inner.removesuffix(".weight")
        if module.rsplit(".", 1)[-1] in leaves:
            names.append(name)
            matrices = torch.randn(RANK, tensor.shape[1]), torch.randn(tensor.shape[0], RANK)
            for matrix, value in zip("AB", matrices, strict=True):
                wrapped[f"{prefix}base_model.model.{module}.lora_{matrix}.default.weight"] = value * 0.1
    return wrapped, names


@pytest.mark.parametrize("form", ["vicuna", "t5"])
def test_lora_is_folded_or_kept(source, vicuna, flan_t5, form):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    plain = vicuna if form == "vicuna" else flan_t5
    source = source if form == "vicuna" else t5_source(source)
    tensors, names = with_lora(plain, form)
    given(source, tensors)
    folded = convert(**source, lora_alpha=6)
    kept = convert(**(source | {"output": source["output"].with_name("kept")}), lora_alpha=6, keep_lora=True)
    stored, beside = (load_file(folder / "model.safetensors") for folder in (folded, kept))
    assert names
    for name in names:
        inner = name.removeprefix("model.language_model.").removeprefix("model.")
        target = f"model.language_model.{inner}"
        path = name.removeprefix("model.language_model.").removesuffix(".weight")
        module = f"model.language_model.base_model.model.{path}"
        a, b = (tensors[f"{module}.lora_{matrix}.default.weight"] for matrix in "AB")
        torch.testing.assert_close(stored[target], plain[name] + 6 / RANK * b @ a)
        assert torch.equal(beside[target], plain[name])
    assert json.loads((kept / "adapter_config.json").read_text())["r"] == RANK
    assert len(json.loads((folded / "provenance.json").read_text())["lora_modules"]) == len(names)
    one, other = (AutoModelForImageTextToText.from_pretrained(folder).eval() for folder in (folded, kept))
    ids = torch.tensor([[2, 5, 6, 7]])
    extra = {"decoder_input_ids": ids[:, :1]} if form == "t5" else {}
    with torch.no_grad():
        torch.testing.assert_close(one(ids, **extra).logits, other(ids, **extra).logits, atol=1e-4, rtol=1e-4)


def test_lora_defects_are_named(source, vicuna):
    tensors, _ = with_lora(vicuna, "vicuna")
    first = next(name for name in tensors if ".lora_A." in name)
    refused(given(source, without(tensors, first)), "is missing, the partner")
    pair = first, first.replace("lora_A", "lora_B")
    refused(given(source, without(tensors, *pair)), "LoRA matrices of .* are missing")
    refused(given(source, changed(tensors, first, lambda tensor: tensor[:-1])), "has rank 2")
    refused(given(source, vicuna) | {"keep_lora": True}, "holds no LoRA")


def test_the_base_and_the_pieces_fill_gaps(source, vicuna):
    """A checkpoint of trained parts alone lies over its base; the bridge may come from its own files."""
    outside = ("model.vision_model.", "model.language_model.")
    base = {name.removeprefix("model."): part for name, part in vicuna.items() if name.startswith(outside)}
    save_file({name: tensor.contiguous() for name, tensor in base.items()}, source["base"] / "model.safetensors")
    own = {name: part for name, part in vicuna.items() if not name.startswith(outside)}
    whole = convert(**given(source | {"output": source["output"].with_name("whole")}, vicuna))
    overlaid = convert(**given(source, own))
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, overlaid))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    provenance = json.loads((overlaid / "provenance.json").read_text())
    assert provenance["tensors_from_base"] == sorted(f"model.{name}" for name in base)
    bridge = {name: part for name, part in own.items() if not name.startswith(("temporal_encoder.", "of_extractor."))}
    pieces = {"sampler": PIECES / "sampler" / "sampler.pth", "raft": PIECES / "raft" / "raft-sintel.pth"}
    joined = convert(**given(source | {"output": source["output"].with_name("joined")}, bridge), **pieces)
    flow = load_file(joined / "model.safetensors")["model.flow_model.feature_encoder.conv.weight"]
    assert torch.equal(flow, open_pickle(pieces["raft"])["module.fnet.conv2.weight"])


def test_options_reach_the_model(source, vicuna):
    folder = convert(**given(source, vicuna), grounding_mode="fusion", frame_merge="concat", num_frames=6)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert model.config.grounding_config.mode == "fusion"
    assert (model.config.frame_merge, model.config.num_frames) == ("concat", 6)
    assert processor.num_video_tokens() == 6 * 32
    assert model.generation_config.eos_token_id == 2
    assert model.config.video_token_id == processor.video_token_id


def test_shards_change_nothing(source, vicuna):
    one = convert(**given(source, vicuna))
    many = convert(**(source | {"output": source["output"].with_name("many")}), max_shard_size="1MB")
    assert len(list(many.glob("*.safetensors"))) > 3
    whole = load_file(one / "model.safetensors")
    parts = {name: tensor for file in many.glob("*.safetensors") for name, tensor in load_file(file).items()}
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
