"""The PLLaVA converter refuses whatever is not a whole, consistent checkpoint, and leaves nothing behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts import conversion
from video_lmms.conversion_scripts.conversion import ConversionError
from video_lmms.conversion_scripts.convert_pllava import convert, main, target_name


GOLDENS = Path(__file__).parents[1] / "goldens" / "pllava"
SIZES = {"num_frames": 16, "pooling_shape": (16, 2, 2)}
LM = "language_model.base_model.model.model.layers.1"
TOWER = "vision_tower.vision_model"


@pytest.fixture
def published(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDENS / "published_sharded" / "checkpoint", tmp_path / "published"))


@pytest.fixture
def delta(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDENS / "lora_delta_gqa" / "checkpoint", tmp_path / "delta"))


def shard_of(folder: Path, name: str) -> Path:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return folder / "model.safetensors"
    return folder / json.loads(index.read_text())["weight_map"][name]


def edit(folder: Path, name: str, change: Callable[[dict], None]) -> None:
    """Rewrites the shard that holds `name`, and the index so that it stays truthful."""
    shard = shard_of(folder, name)
    tensors = load_file(shard)
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, shard, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.exists():
        content = json.loads(index.read_text())
        kept = {key: file for key, file in content["weight_map"].items() if file != shard.name}
        content["weight_map"] = kept | dict.fromkeys(tensors, shard.name)
        index.write_text(json.dumps(content))


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def missing(name):
    return name, lambda folder: edit(folder, name, lambda tensors: tensors.pop(name))


def extra(name, beside=f"{LM}.mlp.up_proj.weight"):
    return name, lambda folder: edit(folder, beside, lambda tensors: tensors.update({name: tensors[beside].clone()}))


def transposed(name):
    return name, lambda folder: edit(folder, name, lambda tensors: tensors.update({name: tensors[name].t()}))


def cast(name, dtype):
    return name, lambda folder: edit(folder, name, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))


def poisoned(name, value):
    def change(tensors):
        tensors[name].view(-1)[0] = value

    return name, lambda folder: edit(folder, name, change)


def truncated(file, keep):
    def cut(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * keep)])

    return file, cut


def cropped(name):
    return name, lambda folder: edit(folder, name, lambda tensors: tensors.update({name: tensors[name][1:]}))


def removed(file):
    return file, lambda folder: (folder / file).unlink()


def configured(match, **changes):
    return match, lambda folder: edit_json(folder / "config.json", **changes)


def text_configured(match, **changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        edit_json(folder / "config.json", text_config=config["text_config"] | changes)

    return match, change


SHARD_1, SHARD_2 = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
DEFECTS = {
    # missing tensors, one of each kind
    "no lm_head": missing("language_model.base_model.model.lm_head.weight"),
    "no embeddings": missing("language_model.base_model.model.model.embed_tokens.weight"),
    "no final norm": missing("language_model.base_model.model.model.norm.weight"),
    "no base weight": missing(f"{LM}.self_attn.q_proj.base_layer.weight"),
    "no lora_A": missing(f"{LM}.self_attn.q_proj.lora_A.default.weight"),
    "no lora_B": missing(f"{LM}.self_attn.v_proj.lora_B.default.weight"),
    "no k_proj": missing(f"{LM}.self_attn.k_proj.weight"),
    "no gate_proj": missing(f"{LM}.mlp.gate_proj.weight"),
    "no input norm": missing(f"{LM}.input_layernorm.weight"),
    "no projector bias": missing("multi_modal_projector.linear_1.bias"),
    "no projector weight": missing("multi_modal_projector.linear_2.weight"),
    "no class embedding": missing(f"{TOWER}.embeddings.class_embedding"),
    "no positions": missing(f"{TOWER}.embeddings.position_embedding.weight"),
    "no patch embedding": missing(f"{TOWER}.embeddings.patch_embedding.weight"),
    "no tower block norm": missing(f"{TOWER}.encoder.layers.1.layer_norm2.weight"),
    "no LoRA in one layer": (
        "layers.1.self_attn.q_proj",
        lambda folder: [
            edit(folder, name, lambda tensors, name=name: tensors.pop(name))
            for name in (f"{LM}.self_attn.q_proj.lora_{matrix}.default.weight" for matrix in "AB")
        ],
    ),
    # tensors that have no place
    "extra layer": extra("language_model.base_model.model.model.layers.99.mlp.up_proj.weight"),
    "extra projector": extra("multi_modal_projector.linear_3.weight"),
    "extra module": extra("adapter.weight"),
    "extra lora": extra(f"{LM}.mlp.down_proj.lora_A.default.weight"),
    "extra bias": extra(f"{LM}.self_attn.k_proj.bias"),
    "same weight twice": extra("language_model.model.layers.1.mlp.up_proj.weight"),
    # wrong shapes
    "lm_head transposed": transposed("language_model.base_model.model.lm_head.weight"),
    "embeddings transposed": transposed("language_model.base_model.model.model.embed_tokens.weight"),
    "up_proj transposed": transposed(f"{LM}.mlp.up_proj.weight"),
    "down_proj transposed": transposed(f"{LM}.mlp.down_proj.weight"),
    "lora_A transposed": transposed(f"{LM}.self_attn.q_proj.lora_A.default.weight"),
    "lora_B transposed": transposed(f"{LM}.self_attn.v_proj.lora_B.default.weight"),
    "projector transposed": transposed("multi_modal_projector.linear_1.weight"),
    "positions transposed": transposed(f"{TOWER}.embeddings.position_embedding.weight"),
    "fc1 transposed": transposed(f"{TOWER}.encoder.layers.0.mlp.fc1.weight"),
    "embeddings cropped": cropped("language_model.base_model.model.model.embed_tokens.weight"),
    "norm cropped": cropped(f"{LM}.input_layernorm.weight"),
    # wrong dtypes and values
    "int weight": cast(f"{LM}.mlp.up_proj.weight", torch.int32),
    "bool weight": cast("multi_modal_projector.linear_2.weight", torch.bool),
    "float64 weight": cast(f"{TOWER}.encoder.layers.0.mlp.fc1.weight", torch.float64),
    "float32 among bfloat16": cast(f"{LM}.mlp.gate_proj.weight", torch.float32),
    "float16 among bfloat16": cast(f"{TOWER}.encoder.layers.1.mlp.fc2.weight", torch.float16),
    "lora in float16": cast(f"{LM}.self_attn.q_proj.lora_A.default.weight", torch.float16),
    "NaN": poisoned(f"{LM}.self_attn.o_proj.weight", float("nan")),
    "infinity": poisoned("multi_modal_projector.linear_1.weight", float("inf")),
    # damaged or absent files
    "shard cut in half": truncated(SHARD_1, 0.5),
    "shard cut at the end": truncated(SHARD_2, 0.999),
    "shard cut in its header": truncated(SHARD_1, 0.001),
    "empty shard": truncated(SHARD_2, 0),
    "no first shard": removed(SHARD_1),
    "no second shard": removed(SHARD_2),
    "index is no JSON": truncated("model.safetensors.index.json", 0.5),
    "no config": removed("config.json"),
    "no preprocessor config": removed("preprocessor_config.json"),
    "config is no JSON": truncated("config.json", 0.3),
    # configuration and tokenizer of another checkpoint
    "more layers": text_configured("language_model.layers.3", num_hidden_layers=4),
    "other width": text_configured("embed_tokens", hidden_size=96, num_attention_heads=4),
    "fewer kv heads": text_configured("k_proj", num_key_value_heads=2),
    "other vocabulary": text_configured("embed_tokens", vocab_size=512),
    "other image id": configured("<image>", image_token_index=399),
    "other grid": configured("frame_shape", frame_shape=[3, 3]),
    "full strategy": configured("full", vision_feature_select_strategy="full"),
    "layer out of range": configured("vision_feature_layer", vision_feature_layer=-9),
}


def test_there_are_enough_defects():
    assert len(DEFECTS) >= 50


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_refused_by_name(defect, published, tmp_path, capsys):
    named, inject = DEFECTS[defect]
    inject(published)
    output = tmp_path / "converted" / "model"
    flags = ["--model-dir", str(published), "--output", str(output), "--pooling-shape", "16", "2", "2"]
    assert main(flags) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    leaf = target_name(named)
    assert named in error or leaf in error, error
    assert error.startswith("error: ")
    assert not output.parent.exists() or not any(output.parent.iterdir())


WRONG_BASES = {
    "delta alone": lambda folder: {"model_dir": folder / "weights_dir"},
    "base without its tower": lambda folder: {
        "model_dir": without(folder / "model_dir", "vision_tower."),
        "weights_dir": folder / "weights_dir",
    },
    "base with fewer layers": lambda folder: {
        "model_dir": without(folder / "model_dir", "language_model.model.layers.2."),
        "weights_dir": folder / "weights_dir",
    },
    "base of another size": lambda folder: {
        "model_dir": GOLDENS / "batch_left_pad" / "checkpoint",
        "weights_dir": folder / "weights_dir",
    },
    "base and delta exchanged": lambda folder: {
        "model_dir": folder / "weights_dir",
        "weights_dir": GOLDENS / "batch_left_pad" / "checkpoint",
    },
}


def without(folder: Path, prefix: str) -> Path:
    """Drops every tensor whose name starts with `prefix` from a folder."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    for name in [name for name in index if name.startswith(prefix)]:
        edit(folder, name, lambda tensors, name=name: tensors.pop(name))
    return folder


@pytest.mark.parametrize("base", WRONG_BASES)
def test_wrong_bases_are_refused(base, delta, tmp_path):
    output = tmp_path / "converted" / "model"
    with pytest.raises(ConversionError):
        convert(output=output, num_frames=6, pooling_shape=(4, 3, 3), **WRONG_BASES[base](delta))
    assert not output.parent.exists() or not any(output.parent.iterdir())


def test_plain_base_is_the_zero_shot_model(delta, tmp_path):
    base = delta / "model_dir"
    convert(base, tmp_path / "model", num_frames=6, pooling_shape=(4, 3, 3), dtype="float16")
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype="auto")
    name = "language_model.model.layers.1.self_attn.q_proj.weight"
    stored = load_file(shard_of(base, name))[name]
    assert torch.equal(model.model.language_model.layers[1].self_attn.q_proj.weight, stored)
    assert "image_newline" in json.loads((tmp_path / "model" / "provenance.json").read_text())["unused_source_tensors"]


def test_published_folder_under_a_delta(published, tmp_path):
    """The combination that silently gave a random language model in the original."""
    delta_dir = tmp_path / "trained"
    delta_dir.mkdir()
    shutil.copy(published / "config.json", delta_dir)
    tensors = load_file(published / SHARD_1) | load_file(published / SHARD_2)
    trained = {key: value * 2 for key, value in tensors.items() if "lora_" in key or "projector" in key}
    save_file(trained, delta_dir / "model.safetensors")
    convert(published, tmp_path / "model", weights_dir=delta_dir, dtype="float32", **SIZES)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model")
    layer = "language_model.base_model.model.model.layers.0.self_attn.q_proj"
    a, b = (trained[f"{layer}.lora_{matrix}.default.weight"].float() for matrix in "AB")
    merged = tensors[f"{layer}.base_layer.weight"].float() + 4 / a.shape[0] * b @ a
    weight = model.model.language_model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(weight, merged, atol=1e-6, rtol=0)


def test_existing_output_is_kept(published, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    with pytest.raises(ConversionError, match="not empty"):
        convert(published, tmp_path / "model", **SIZES)
    assert (tmp_path / "model" / "mine.txt").read_text() == "precious"


def test_interrupted_run_goes_on_where_it_stopped(published, tmp_path, monkeypatch):
    options = {"max_shard_size": "200KB", "dtype": "float32", **SIZES}
    convert(published, tmp_path / "whole", **options)
    saved, real = [], conversion.save_file

    def save_until_interrupted(tensors, file, **kwargs):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(file.name)
        return real(tensors, file, **kwargs)

    monkeypatch.setattr(conversion, "save_file", save_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(published, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()
    again = []
    monkeypatch.setattr(conversion, "save_file", lambda t, f, **kw: again.append(f.name) or real(t, f, **kw))
    convert(published, tmp_path / "model", **options)
    assert again
    assert not set(again) & set(saved)
    for file in sorted((tmp_path / "whole").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "model" / file.relative_to(tmp_path / "whole")).read_bytes()


def test_other_options_do_not_resume(published, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "save_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert(published, tmp_path / "model", dtype="float32", **SIZES)
    convert(published, tmp_path / "model", dtype="bfloat16", **SIZES)
    assert load_file(tmp_path / "model" / "model.safetensors")["lm_head.weight"].dtype == torch.bfloat16


def test_memory_is_one_shard(published, tmp_path, monkeypatch):
    """No more than one output shard is handed to the writer at a time, nor built before it is needed."""
    sizes, real = [], conversion.save_file

    def record(tensors, file, **kwargs):
        sizes.append(sum(tensor.nbytes for tensor in tensors.values()))
        return real(tensors, file, **kwargs)

    monkeypatch.setattr(conversion, "save_file", record)
    convert(published, tmp_path / "model", max_shard_size="150KB", dtype="float32", **SIZES)
    largest = 448 * 64 * 4
    assert len(sizes) > 4
    assert max(sizes) <= max(150_000, largest)


def test_keep_lora_without_lora(delta, tmp_path):
    with pytest.raises(ConversionError, match="--keep-lora"):
        convert(delta / "model_dir", tmp_path / "model", keep_lora=True, pooling_shape=(4, 3, 3))


def test_provenance_counts_every_tensor(published, tmp_path):
    convert(published, tmp_path / "model", **SIZES)
    record = json.loads((tmp_path / "model" / "provenance.json").read_text())
    layers, lora_pairs = 3, 6
    assert record["source_tensors"] == record["target_tensors"] + 2 * lora_pairs + len(record["unused_source_tensors"])
    assert len(record["unused_source_tensors"]) == 16
    assert record["options"]["lora_alpha"] == 4
    assert lora_pairs == 2 * layers
    assert set(record["sources"]) == {f"published/{SHARD_1}", f"published/{SHARD_2}"}


@pytest.mark.parametrize("size", ["5", "GB", "0GB", "-1GB", "5TB", "1.5GB"])
def test_shard_sizes_are_checked(size):
    with pytest.raises(ConversionError, match="max-shard-size"):
        conversion.parse_size(size)
