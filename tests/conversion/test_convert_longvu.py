# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The LongVU converter refuses whatever is not a whole, consistent checkpoint, and leaves nothing behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts.conversion import ConversionError
from video_lmms.conversion_scripts.convert_longvu import convert, main, target_name


GOLDENS = Path(__file__).parents[1] / "goldens" / "longvu"
LLM = "checkpoint"
SIGLIP = "vision_towers/google/siglip-so400m-patch14-384"
DINOV2 = "vision_towers/facebook/dinov2-giant"
FOLDERS = {LLM: "checkpoint", SIGLIP: "siglip", DINOV2: "dinov2"}


def copy_case(name: str, target: Path) -> Path:
    for part in FOLDERS:
        shutil.copytree(GOLDENS / name / part, target / part)
    return target


def dinov2_size(case: str) -> int:
    """Pixels that DINOv2 saw in the original's run."""
    return json.loads((GOLDENS / case / "case.json").read_text())["convert"]["options"]["dinov2-image-size"]


@pytest.fixture
def untied(tmp_path) -> Path:
    return copy_case("qwen2_video_144_8", tmp_path / "untied")


@pytest.fixture
def tied(tmp_path) -> Path:
    return copy_case("llama3_video_tied", tmp_path / "tied")


def convert_case(folder: Path, output: Path, size: int, **options) -> dict[str, torch.Tensor]:
    convert(folder / LLM, folder / SIGLIP, folder / DINOV2, output, size, **({"dtype": "float32"} | options))
    return {name: tensor for file in sorted(output.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def edit(folder: Path, part: str, change: Callable[[dict], None]) -> None:
    pickle = folder / part / "pytorch_model.bin"
    if pickle.is_file():
        tensors = torch.load(pickle, weights_only=True)
        change(tensors)
        torch.save(tensors, pickle)
        return
    file = folder / part / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, file, metadata={"format": "pt"})


def changed(part: str, name: str, change: Callable[[dict], None]):
    return (name, target_name(name, FOLDERS[part])), lambda folder: edit(folder, part, change)


def missing(part, name):
    return changed(part, name, lambda tensors: tensors.pop(name))


def extra(part, name, beside):
    return changed(part, name, lambda tensors: tensors.update({name: tensors[beside].clone()}))


def transposed(part, name):
    return changed(part, name, lambda tensors: tensors.update({name: tensors[name].t()}))


def cropped(part, name):
    return changed(part, name, lambda tensors: tensors.update({name: tensors[name][1:]}))


def cast(part, name, dtype):
    return changed(part, name, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))


def poisoned(part, name, value):
    return changed(part, name, lambda tensors: tensors[name].view(-1)[0].fill_(value))


def truncated(part, file, keep):
    def cut(folder):
        content = (folder / part / file).read_bytes()
        (folder / part / file).write_bytes(content[: int(len(content) * keep)])

    return (file,), cut


def removed(part, file, match):
    return (match,), lambda folder: (folder / part / file).unlink()


def configured(match, part, **changes):
    def change(folder):
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return (match,), change


def without(match, part, name):
    def change(folder):
        path = folder / part / "config.json"
        content = json.loads(path.read_text())
        del content[name]
        path.write_text(json.dumps(content))

    return (match,), change


def vision(match, **changes):
    """Another `vision_config` inside SigLIP's configuration."""

    def change(folder):
        path = folder / SIGLIP / "config.json"
        content = json.loads(path.read_text())
        content["vision_config"] |= changes
        path.write_text(json.dumps(content))

    return (match,), change


def replaced(part, by, match):
    """One folder holds what belongs into another."""

    def change(folder):
        shutil.rmtree(folder / part)
        shutil.copytree(folder / by, folder / part)

    return (match,), change


LAYER, SAMPLER = "model.layers.1", "model.vision_sampler_0.layers.1"
BLOCK, FRAME_LAYER = "encoder.layer.1", "vision_model.encoder.layers.1"
FRAME_POSITIONS = "vision_model.embeddings.position_embedding.weight"
DEFECTS = {
    # missing tensors, one of each kind
    "no lm_head": missing(LLM, "lm_head.weight"),
    "no embeddings": missing(LLM, "model.embed_tokens.weight"),
    "no q bias": missing(LLM, f"{LAYER}.self_attn.q_proj.bias"),
    "no final norm": missing(LLM, "model.norm.weight"),
    "no query": missing(LLM, "model.vision_query"),
    "no newline": missing(LLM, "model.image_newline"),
    "no projector": missing(LLM, "model.mm_projector.2.weight"),
    "no SigLIP projector": missing(LLM, "model.mm_projector_aux_0.0.weight"),
    "no DINOv2 projector's norm": missing(LLM, "model.mm_projector_aux_1.3.bias"),
    "no window positions": missing(LLM, f"{SAMPLER}.pos_embed_1"),
    "no context": missing(LLM, f"{SAMPLER}.proj_context.weight"),
    "no key of the second tower": missing(LLM, f"{SAMPLER}.cross_attn.k_proj_1.1.weight"),
    "no value's norm": missing(LLM, f"{SAMPLER}.cross_attn.v_proj_0.0.weight"),
    "no aggregator MLP": missing(LLM, f"{SAMPLER}.proj_out.linear_2.weight"),
    "no patch embedding": missing(SIGLIP, "vision_model.embeddings.patch_embedding.weight"),
    "no frame positions": missing(SIGLIP, FRAME_POSITIONS),
    "no frame fc2": missing(SIGLIP, f"{FRAME_LAYER}.mlp.fc2.weight"),
    "no class token": missing(DINOV2, "embeddings.cls_token"),
    "no position table": missing(DINOV2, "embeddings.position_embeddings"),
    "no LayerScale": missing(DINOV2, f"{BLOCK}.layer_scale1.lambda1"),
    "no gate": missing(DINOV2, f"{BLOCK}.mlp.weights_in.weight"),
    "no DINOv2 query": missing(DINOV2, f"{BLOCK}.attention.attention.query.weight"),
    # tensors that have no place
    "extra language layer": extra(LLM, "model.layers.99.mlp.up_proj.weight", f"{LAYER}.mlp.up_proj.weight"),
    "extra o bias": extra(LLM, f"{LAYER}.self_attn.o_proj.bias", "model.norm.weight"),
    "extra projector": extra(LLM, "model.mm_projector.4.weight", "model.mm_projector.2.weight"),
    "third tower": extra(LLM, "model.mm_projector_aux_2.0.weight", "model.mm_projector_aux_1.0.weight"),
    "extra aggregator layer": extra(
        LLM, "model.vision_sampler_0.layers.9.proj_context.weight", f"{SAMPLER}.proj_context.weight"
    ),
    "second aggregator": extra(
        LLM, "model.vision_sampler_1.layers.0.proj_context.weight", f"{SAMPLER}.proj_context.weight"
    ),
    "samplers between the layers": extra(LLM, "model.vision_sampler_layers.0.gate", "model.norm.weight"),
    "extra frame layer": extra(
        SIGLIP, "vision_model.encoder.layers.99.layer_norm1.weight", f"{FRAME_LAYER}.layer_norm1.weight"
    ),
    "extra block": extra(DINOV2, "encoder.layer.99.norm1.weight", f"{BLOCK}.norm1.weight"),
    "a plain MLP besides": extra(DINOV2, f"{BLOCK}.mlp.fc1.weight", f"{BLOCK}.mlp.weights_out.weight"),
    # wrong shapes
    "head transposed": transposed(LLM, "lm_head.weight"),
    "up_proj transposed": transposed(LLM, f"{LAYER}.mlp.up_proj.weight"),
    "in_proj transposed": transposed(LLM, f"{SAMPLER}.proj_in.weight"),
    "positions transposed": transposed(LLM, f"{SAMPLER}.pos_embed_0"),
    "query transposed": transposed(LLM, "model.vision_query"),
    "fc1 transposed": transposed(SIGLIP, f"{FRAME_LAYER}.mlp.fc1.weight"),
    "weights_in transposed": transposed(DINOV2, f"{BLOCK}.mlp.weights_in.weight"),
    "embeddings cropped": cropped(LLM, "model.embed_tokens.weight"),
    "newline cropped": cropped(LLM, "model.image_newline"),
    "LayerScale cropped": cropped(DINOV2, f"{BLOCK}.layer_scale2.lambda1"),
    "frame positions cropped": cropped(SIGLIP, FRAME_POSITIONS),
    # wrong dtypes and values
    "int weight": cast(LLM, f"{LAYER}.mlp.up_proj.weight", torch.int32),
    "float64 weight": cast(SIGLIP, f"{FRAME_LAYER}.mlp.fc1.weight", torch.float64),
    "bfloat16 among float32": cast(DINOV2, f"{BLOCK}.mlp.weights_out.weight", torch.bfloat16),
    "float32 among bfloat16": cast(LLM, "model.mm_projector.0.weight", torch.float32),
    "NaN": poisoned(LLM, "model.vision_query", float("nan")),
    "infinity": poisoned(DINOV2, f"{BLOCK}.layer_scale1.lambda1", float("inf")),
    # damaged or absent files, exchanged folders
    "weights cut in half": truncated(LLM, "pytorch_model.bin", 0.5),
    "no weights in the file": truncated(LLM, "pytorch_model.bin", 0),
    "SigLIP cut at the end": truncated(SIGLIP, "model.safetensors", 0.999),
    "DINOv2 cut in its header": truncated(DINOV2, "model.safetensors", 0.001),
    "config is no JSON": truncated(LLM, "config.json", 0.3),
    "no weights": removed(LLM, "pytorch_model.bin", "checkpoint"),
    "no SigLIP weights": removed(SIGLIP, "model.safetensors", "siglip-so400m-patch14-384"),
    "no config": removed(LLM, "config.json", "config.json"),
    "no DINOv2 config": removed(DINOV2, "config.json", "config.json"),
    "no tokenizer": removed(LLM, "tokenizer.json", "tokenizer.json"),
    "SigLIP in DINOv2's place": replaced(DINOV2, SIGLIP, "dinov2_tower"),
    "DINOv2 in SigLIP's place": replaced(SIGLIP, DINOV2, "vision_tower"),
    # configuration of another checkpoint
    "another model": configured("llava_qwen", LLM, model_type="llava_qwen"),
    "more layers": configured("language_model.layers.", LLM, num_hidden_layers=4),
    "fewer kv heads": configured("k_proj", LLM, num_key_value_heads=1),
    "smaller vocabulary": configured("vocab_size", LLM, vocab_size=310),
    "image stage": configured("pos_embed_0", LLM, image_token_len=576, query_num_list=[576]),
    "two numbers of tokens": configured("query_num_list", LLM, query_num_list=[576]),
    "no square": configured("image_token_len", LLM, image_token_len=140, query_num_list=[140]),
    "no number of tokens": without("image_token_len", LLM, "image_token_len"),
    "low resolution is no lower": configured("lowres_token", LLM, lowres_token=12),
    "deeper aggregator": configured("aggregator.layers.", LLM, connector_depth=4),
    "other width": configured("vision_query", LLM, vision_hidden_size=32),
    "other projector": configured("mm_projector_type", LLM, mm_projector_type="mlp2x_gelu"),
    "two query groups": configured("num_query_group", LLM, num_query_group=2),
    "connector between layers": configured("connector_only", LLM, connector_only=False),
    "frame positions in use": configured("frame_pos", LLM, frame_pos=True),
    "start tokens": configured("mm_use_im_start_end", LLM, mm_use_im_start_end=True),
    "threshold that keeps nothing": configured("dino_threshold", LLM, dino_threshold=-0.5),
    "deeper SigLIP": vision("vision_tower.encoder.layers.", num_hidden_layers=3),
    "larger SigLIP": vision("position_embedding", image_size=64),
    "other DINOv2 patches": configured("patch_embeddings", DINOV2, patch_size=3),
    "plain MLP": configured("mlp.fc", DINOV2, use_swiglu_ffn=False),
}


def test_there_are_enough_defects():
    assert len(DEFECTS) >= 50


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_refused_by_name(defect, untied, tmp_path, capsys):
    names, inject = DEFECTS[defect]
    inject(untied)
    output = tmp_path / "converted" / "model"
    sources = ["--checkpoint", str(untied / LLM), "--siglip", str(untied / SIGLIP), "--dinov2", str(untied / DINOV2)]
    size = str(dinov2_size("qwen2_video_144_8"))
    assert main([*sources, "--output", str(output), "--dinov2-image-size", size, "--dtype", "float32"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert any(name in error for name in names), error
    assert error.startswith("error: ")
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_the_undamaged_checkpoint_is_converted(untied, tmp_path):
    """Otherwise the refusals above would say nothing."""
    written = convert_case(untied, tmp_path / "model", dinov2_size("qwen2_video_144_8"))
    record = json.loads((tmp_path / "model" / "provenance.json").read_text())
    assert len(written) == record["target_tensors"]
    assert record["source_tensors"] == record["target_tensors"] + len(record["unused_source_tensors"])


def test_a_tied_head_may_be_stored_or_not(tied, tmp_path):
    size = dinov2_size("llama3_video_tied")
    stored = convert_case(tied, tmp_path / "stored", size)
    edit(tied, LLM, lambda tensors: tensors.pop("lm_head.weight", None))
    absent = convert_case(tied, tmp_path / "absent", size)
    assert stored.keys() == absent.keys()
    assert "lm_head.weight" not in stored
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "absent")
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_shards_hold_the_same(untied, tmp_path):
    size = dinov2_size("qwen2_video_144_8")
    whole = convert_case(untied, tmp_path / "whole", size)
    shards = convert_case(untied, tmp_path / "shards", size, max_shard_size="200KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 4
    assert whole.keys() == shards.keys()
    assert all(torch.equal(whole[name], shards[name]) for name in whole)


def test_existing_output_is_kept(tied, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    with pytest.raises(ConversionError, match="not empty"):
        convert_case(tied, tmp_path / "model", dinov2_size("llama3_video_tied"))
    assert (tmp_path / "model" / "mine.txt").read_text() == "precious"
