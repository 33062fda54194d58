# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The Apollo converter refuses whatever is not a whole, consistent checkpoint, and leaves nothing behind."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts import conversion
from video_lmms.conversion_scripts.conversion import ConversionError
from video_lmms.conversion_scripts.convert_apollo import convert, main, target_name


GOLDENS = Path(__file__).parents[1] / "goldens" / "apollo"
LLM, CONNECTOR = "llm", "mm_connector"
SIGLIP, INTERNVIDEO2 = "vision_tower/siglip-so400m-patch14-384", "vision_tower/internvideo2"
PREFIXES = {
    LLM: "llm.",
    CONNECTOR: "mm_connector.",
    SIGLIP: "vision_tower.siglip-so400m-patch14-384.vision_tower.",
    INTERNVIDEO2: "vision_tower.internvideo2.vision_tower.",
}


@pytest.fixture
def untied(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDENS / "untied_upsample_image" / "checkpoint", tmp_path / "untied"))


@pytest.fixture
def tied(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDENS / "tied_two_videos" / "checkpoint", tmp_path / "tied"))


def edit(folder: Path, part: str, change: Callable[[dict], None]) -> None:
    file = folder / part / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, file, metadata={"format": "pt"})


def whole_state_dict(folder: Path) -> dict[str, torch.Tensor]:
    """As saved from the whole original model, with the head that it never calls."""
    tensors = {prefix + key: value for part, prefix in PREFIXES.items() for key, value in weights_of(folder, part)}
    return tensors | {"lm_head.weight": torch.zeros(3, 4)}


def weights_of(folder: Path, part: str) -> list[tuple[str, torch.Tensor]]:
    return list(load_file(folder / part / "model.safetensors").items())


def changed(part: str, name: str, change: Callable[[dict], None]):
    return name, lambda folder: edit(folder, part, change)


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


def truncated(file, keep):
    def cut(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * keep)])

    return Path(file).name, cut


def removed(file):
    return Path(file).name, lambda folder: (folder / file).unlink()


def configured(match, file, **changes):
    def change(folder):
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return match, change


def without(match, file, name):
    def change(folder):
        path = folder / file
        content = json.loads(path.read_text())
        del content[name]
        path.write_text(json.dumps(content))

    return match, change


LAYER = "model.layers.1"
BLOCK, FRAME_LAYER = "blocks.1", "vision_model.encoder.layers.1"
RESAMPLER = "resampler.layers.0"
DEFECTS = {
    # missing tensors, one of each kind
    "no lm_head": missing(LLM, "lm_head.weight"),
    "no embeddings": missing(LLM, "model.embed_tokens.weight"),
    "no q bias": missing(LLM, f"{LAYER}.self_attn.q_proj.bias"),
    "no final norm": missing(LLM, "model.norm.weight"),
    "no projector": missing(CONNECTOR, "proj.0.weight"),
    "no latents": missing(CONNECTOR, "resampler.latents"),
    "no wheight": missing(CONNECTOR, "resampler.norm.wheight"),
    "no context norm": missing(CONNECTOR, f"{RESAMPLER}.input_context_norm.norm.bias"),
    "no resampler key": missing(CONNECTOR, f"{RESAMPLER}.self_attn.k_proj.weight"),
    "no class token": missing(INTERNVIDEO2, "cls_token"),
    "no positions": missing(INTERNVIDEO2, "pos_embed"),
    "no patch embedding": missing(INTERNVIDEO2, "patch_embed.proj.weight"),
    "no LayerScale": missing(INTERNVIDEO2, f"{BLOCK}.ls1.gamma"),
    "no second LayerScale": missing(INTERNVIDEO2, f"{BLOCK}.ls2.gamma"),
    "no q norm": missing(INTERNVIDEO2, f"{BLOCK}.attn.q_norm.weight"),
    "no qkv": missing(INTERNVIDEO2, f"{BLOCK}.attn.qkv.weight"),
    "no frame positions": missing(SIGLIP, "vision_model.embeddings.position_embedding.weight"),
    "no frame fc2": missing(SIGLIP, f"{FRAME_LAYER}.mlp.fc2.weight"),
    # tensors that have no place
    "extra language layer": extra(LLM, "model.layers.99.mlp.up_proj.weight", f"{LAYER}.mlp.up_proj.weight"),
    "extra k bias": extra(CONNECTOR, f"{RESAMPLER}.self_attn.k_proj.bias", "proj.0.bias"),
    "extra projector": extra(CONNECTOR, "proj.2.weight", "proj.0.weight"),
    "extra resampler layer": extra(
        CONNECTOR, "resampler.layers.1.mlp.up_proj.weight", f"{RESAMPLER}.mlp.up_proj.weight"
    ),
    "extra block": extra(INTERNVIDEO2, "blocks.99.norm1.weight", f"{BLOCK}.norm1.weight"),
    "extra qkv bias": extra(INTERNVIDEO2, f"{BLOCK}.attn.qkv.bias", f"{BLOCK}.attn.proj.bias"),
    "extra frame layer": extra(
        SIGLIP, "vision_model.encoder.layers.99.layer_norm1.weight", f"{FRAME_LAYER}.layer_norm1.weight"
    ),
    "LayerScale under both names": extra(INTERNVIDEO2, f"{BLOCK}.ls1.weight", f"{BLOCK}.ls1.gamma"),
    "unknown module": extra(CONNECTOR, "gate.weight", "proj.0.weight"),
    # wrong shapes
    "lm_head transposed": transposed(LLM, "lm_head.weight"),
    "up_proj transposed": transposed(LLM, f"{LAYER}.mlp.up_proj.weight"),
    "projector transposed": transposed(CONNECTOR, "proj.0.weight"),
    "latents transposed": transposed(CONNECTOR, "resampler.latents"),
    "qkv transposed": transposed(INTERNVIDEO2, f"{BLOCK}.attn.qkv.weight"),
    "fc1 transposed": transposed(INTERNVIDEO2, f"{BLOCK}.mlp.fc1.weight"),
    "embeddings cropped": cropped(LLM, "model.embed_tokens.weight"),
    "LayerScale cropped": cropped(INTERNVIDEO2, f"{BLOCK}.ls2.gamma"),
    "frame positions cropped": cropped(SIGLIP, "vision_model.embeddings.position_embedding.weight"),
    # wrong dtypes and values
    "int weight": cast(LLM, f"{LAYER}.mlp.up_proj.weight", torch.int32),
    "float64 weight": cast(SIGLIP, f"{FRAME_LAYER}.mlp.fc1.weight", torch.float64),
    "bfloat16 among float32": cast(INTERNVIDEO2, f"{BLOCK}.attn.proj.weight", torch.bfloat16),
    "float16 among float32": cast(CONNECTOR, f"{RESAMPLER}.mlp.down_proj.weight", torch.float16),
    "NaN": poisoned(CONNECTOR, "resampler.latents", float("nan")),
    "infinity": poisoned(INTERNVIDEO2, f"{BLOCK}.ls1.gamma", float("inf")),
    # damaged or absent files
    "llm cut in half": truncated(f"{LLM}/model.safetensors", 0.5),
    "connector cut at the end": truncated(f"{CONNECTOR}/model.safetensors", 0.999),
    "tower cut in its header": truncated(f"{INTERNVIDEO2}/model.safetensors", 0.001),
    "empty tower": truncated(f"{SIGLIP}/model.safetensors", 0),
    "no llm weights": removed(f"{LLM}/model.safetensors"),
    "no connector weights": removed(f"{CONNECTOR}/model.safetensors"),
    "no config": removed("config.json"),
    "no tower config": removed(f"{INTERNVIDEO2}/config.json"),
    "no list of towers": removed("vision_tower/config.json"),
    "no vocabulary": removed(f"{LLM}/vocab.json"),
    "no preprocessor config": removed(f"{SIGLIP}/preprocessor_config.json"),
    "config is no JSON": truncated("config.json", 0.3),
    # configuration of another checkpoint
    "more layers": configured("language_model.layers.", f"{LLM}/config.json", num_hidden_layers=4),
    "fewer kv heads": configured("k_proj", f"{LLM}/config.json", num_key_value_heads=2),
    "smaller vocabulary": configured("vocab_size", f"{LLM}/config.json", vocab_size=300),
    "larger vocabulary": configured("lm_head.weight", f"{LLM}/config.json", vocab_size=512),
    "deeper tower": configured("internvideo2.layers.", f"{INTERNVIDEO2}/config.json", depth=9),
    "other frames": configured("token_output_shape", f"{INTERNVIDEO2}/config.json", num_frames=8),
    "odd width": configured("hidden_size", f"{INTERNVIDEO2}/config.json", d_model=20),
    "other resampler": configured("resampler_type", f"{CONNECTOR}/config.json", resampler_type="qformer"),
    "other projector": configured("projector_type", f"{CONNECTOR}/config.json", projector_type="linear"),
    "two projector layers": configured(
        "multi_modal_projector.2", f"{CONNECTOR}/config.json", projector_type="mlp2x_gelu"
    ),
    "other text width": configured("hidden_size", f"{CONNECTOR}/config.json", text_hidden_size=64),
    "more latents": configured("resampler.latents", f"{CONNECTOR}/config.json", num_output_tokens=9),
    "no number of latents": without("num_output_tokens", f"{CONNECTOR}/config.json", "num_output_tokens"),
    "unknown tower": configured("dinov2", "vision_tower/config.json", vision_towers=["internvideo2", "dinov2"]),
    "one tower": configured("siglip", "vision_tower/config.json", vision_towers=["internvideo2"]),
    "layer out of range": configured("mm_vision_select_layer", "config.json", mm_vision_select_layer=-9),
    "layer from the front": configured("mm_vision_select_layer", "config.json", mm_vision_select_layer=2),
    "class token": configured("mm_vision_select_feature", "config.json", mm_vision_select_feature="cls_patch"),
    "start tokens": configured("use_mm_start_end", "config.json", use_mm_start_end=True),
    "other pixels": configured(
        "preprocessor_config.json", f"{SIGLIP}/preprocessor_config.json", size={"height": 8, "width": 8}
    ),
    "a real crop": configured("crop", f"{INTERNVIDEO2}/preprocessor_config.json", CenterCrop={"size": [8, 8]}),
}


def test_there_are_enough_defects():
    assert len(DEFECTS) >= 50


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_refused_by_name(defect, untied, tmp_path, capsys):
    named, inject = DEFECTS[defect]
    inject(untied)
    output = tmp_path / "converted" / "model"
    assert main(["--checkpoint", str(untied), "--output", str(output), "--dtype", "float32"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    targets = {target_name(prefix + named) for prefix in PREFIXES.values()}
    assert any(name in error for name in (named, *targets)), error
    assert error.startswith("error: ")
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_a_tied_head_may_be_stored_or_not(tied, tmp_path):
    convert(tied, tmp_path / "stored", dtype="float32")
    edit(tied, LLM, lambda tensors: tensors.pop("lm_head.weight"))
    convert(tied, tmp_path / "absent", dtype="float32")
    names = [load_file(tmp_path / name / "model.safetensors").keys() for name in ("stored", "absent")]
    assert names[0] == names[1]
    assert "lm_head.weight" not in names[0]
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "absent")
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def test_both_names_of_layer_scale(untied, tmp_path):
    convert(untied, tmp_path / "gamma", dtype="float32")

    def rename(tensors):
        for name in [name for name in tensors if name.endswith(".gamma")]:
            tensors[name.replace(".gamma", ".weight")] = tensors.pop(name)

    edit(untied, INTERNVIDEO2, rename)
    convert(untied, tmp_path / "weight", dtype="float32")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("gamma", "weight"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sum("layer_scale" in name for name in first) == 6


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_state_dict_of_the_whole_model(untied, tmp_path, suffix):
    convert(untied, tmp_path / "tree", dtype="float32")
    file = tmp_path / f"finetuned{suffix}"
    tensors = whole_state_dict(untied)
    if suffix == ".bin":
        torch.save(tensors, file)
    else:
        save_file(tensors, file)
    for part in PREFIXES:
        (untied / part / "model.safetensors").unlink()
    convert(untied, tmp_path / "whole", weights=file, dtype="float32")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("tree", "whole"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_sharded_sources_and_outputs(untied, tmp_path):
    """The 7B model's `llm/` comes in shards; output shards hold the same tensors."""
    convert(untied, tmp_path / "whole", dtype="float32")
    tensors = load_file(untied / LLM / "model.safetensors")
    names, index = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, untied / LLM / file)
        index |= dict.fromkeys(part, file)
    (untied / LLM / "model.safetensors").unlink()
    (untied / LLM / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    convert(untied, tmp_path / "sharded", dtype="float32", max_shard_size="50KB")
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 4
    written = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)


def test_memory_is_one_shard(untied, tmp_path, monkeypatch):
    sizes, real = [], conversion.save_file

    def record(tensors, file, **kwargs):
        sizes.append(sum(tensor.nbytes for tensor in tensors.values()))
        return real(tensors, file, **kwargs)

    monkeypatch.setattr(conversion, "save_file", record)
    convert(untied, tmp_path / "model", max_shard_size="60KB", dtype="float32")
    assert len(sizes) > 4
    assert max(sizes) <= 60_000


def test_interrupted_run_goes_on_where_it_stopped(untied, tmp_path, monkeypatch):
    options = {"max_shard_size": "60KB", "dtype": "float32"}
    convert(untied, tmp_path / "whole", **options)
    saved, real = [], conversion.save_file

    def save_until_interrupted(tensors, file, **kwargs):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(file.name)
        return real(tensors, file, **kwargs)

    monkeypatch.setattr(conversion, "save_file", save_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(untied, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()
    again = []
    monkeypatch.setattr(conversion, "save_file", lambda t, f, **kw: again.append(f.name) or real(t, f, **kw))
    convert(untied, tmp_path / "model", **options)
    assert again
    assert not set(again) & set(saved)
    for file in sorted((tmp_path / "whole").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "model" / file.relative_to(tmp_path / "whole")).read_bytes()


def test_order_of_the_towers(untied, tmp_path):
    """Exchanged towers, with the projector's columns exchanged alike, are the same model."""
    convert(untied, tmp_path / "one", dtype="float32")
    file = untied / "vision_tower" / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"vision_towers": content["vision_towers"][::-1]}))
    width = json.loads((untied / SIGLIP / "config.json").read_text())["hidden_size"]

    def roll(tensors):
        tensors["proj.0.weight"] = tensors["proj.0.weight"].roll(-width, dims=1)

    edit(untied, CONNECTOR, roll)
    convert(untied, tmp_path / "other", dtype="float32")
    models = [AutoModelForImageTextToText.from_pretrained(tmp_path / name) for name in ("one", "other")]
    assert models[0].config.vision_config.towers == models[1].config.vision_config.towers[::-1]
    vision = models[0].config.vision_config
    frames = torch.randn(2, 4, 3, *[vision.siglip_config.image_size] * 2)
    clips = torch.randn(2, 4, 3, *[vision.internvideo2_config.image_size] * 2)
    with torch.no_grad():
        first, second = (model.get_video_features(frames, clips).last_hidden_state for model in models)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_a_full_tokenizer_gives_qwens_own_placeholders(untied, tmp_path):
    """Without free rows in the embedding table no token is added, and the table keeps its size."""
    rows = 322

    def shrink(tensors):
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors[name][:rows]

    edit(untied, LLM, shrink)
    configured("", f"{LLM}/config.json", vocab_size=rows)[1](untied)
    convert(untied, tmp_path / "model", dtype="float32")
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    assert (processor.image_token, processor.video_token) == ("<|image_pad|>", "<|video_pad|>")
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Why?"}]}]
    assert "<|video_pad|>\n\nWhy?" in processor.apply_chat_template(chat)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert max(config["image_token_id"], config["video_token_id"]) < rows == config["text_config"]["vocab_size"]


def test_caller_options_reach_the_processor(tied, tmp_path):
    convert(tied, tmp_path / "model", frames_per_clip=8, clip_sampling_ratio=0.5)
    video_processor = AutoProcessor.from_pretrained(tmp_path / "model").video_processor
    assert (video_processor.frames_per_clip, video_processor.clip_sampling_ratio) == (8, 0.5)
    assert (video_processor.clip_duration, video_processor.context_length) == (2, 16384)


def test_the_context_is_the_language_model_s_where_the_top_does_not_say(tied, tmp_path):
    without("", "config.json", "model_max_length")[1](tied)
    configured("", f"{LLM}/config.json", model_max_length=8192)[1](tied)
    convert(tied, tmp_path / "model")
    assert AutoProcessor.from_pretrained(tmp_path / "model").video_processor.context_length == 8192


def test_generation_config_is_kept(tied, tmp_path):
    convert(tied, tmp_path / "model")
    stored = json.loads((tied / LLM / "generation_config.json").read_text())
    written = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    stored.pop("transformers_version")
    assert stored.items() <= written.items()


def test_provenance_counts_every_tensor(untied, tmp_path):
    convert(untied, tmp_path / "model")
    record = json.loads((tmp_path / "model" / "provenance.json").read_text())
    assert record["source_tensors"] == record["target_tensors"] + len(record["unused_source_tensors"])
    assert {name.split("/")[0] for name in record["sources"]} == {Path(part).name for part in PREFIXES}
    used = [name for name in record["unused_source_tensors"] if re.search(r"\.(?:llm|mm_connector)\.", name)]
    assert not used


def test_existing_output_is_kept(tied, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    with pytest.raises(ConversionError, match="not empty"):
        convert(tied, tmp_path / "model")
    assert (tmp_path / "model" / "mine.txt").read_text() == "precious"
