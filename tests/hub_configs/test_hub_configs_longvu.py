# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's shipped configurations against what the originals hold, at full size and without weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from transformers import AutoConfig, AutoProcessor, AutoVideoProcessor, GenerationConfig

from video_lmms.conversion_scripts import convert_longvu
from video_lmms.conversion_scripts.conversion import SourceTensor
from video_lmms.hub.checkpoints_longvu import CHECKPOINTS, build_config
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration


FOLDERS = ROOT / "hub_configs"
TOKENIZERS = {
    "qwen": ROOT / "tests/goldens/longvu/qwen2_video_144_8/checkpoint",
    "llama3": ROOT / "tests/goldens/longvu/llama3_video_tied/checkpoint",
}
TOKENIZER_LENGTH = {"qwen": 151646, "llama3": 128256}
ORIGINAL_ROWS = {"qwen": 152064, "llama3": 128256}
# Tensors of the original's file and its bytes in bfloat16 as published; parameters of the model made from it.
TENSORS = {"7b": 423, "3b": 339, "1b": 231}
GIGABYTES = {"7b": 15.34, "3b": 7.318, "1b": 3.089}
PARAMETERS = {"7b": 9_220_122_224, "3b": 4_813_518_448, "1b": 2_830_222_960}
# Only windows of several patches have positions: two towers in three layers, (4, 1024) each.
WINDOW_TENSORS, WINDOW_PARAMETERS = 6, 6 * 4 * 1024
CONNECTOR = {"7b": 56.05e6, "3b": 52.1e6}

each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def size_of(name: str) -> str:
    return next(size for size in TENSORS if f"-{size}" in name)


def is_qwen(config) -> bool:
    return config.text_config.model_type == "qwen2"


def original_config(config) -> dict:
    """`config.json` as the original code saved it."""
    text = config.text_config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    names += ("max_position_embeddings", "rms_norm_eps", "hidden_act", "attention_dropout", "initializer_range")
    names += ("bos_token_id", "eos_token_id")
    rope = dict(text.rope_parameters)
    own = {"rope_theta": rope.pop("rope_theta"), "rope_scaling": None if is_qwen(config) else rope}
    own |= {"vocab_size": ORIGINAL_ROWS["qwen" if is_qwen(config) else "llama3"]}
    if is_qwen(config):
        own |= {"use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 28}
    else:
        own |= {"attention_bias": False, "mlp_bias": False, "pretraining_tp": 1, "head_dim": text.head_dim}
    return {
        "architectures": ["Cambrian"],
        "model_type": "cambrian_qwen" if is_qwen(config) else "cambrian_llama",
        "connector_depth": 3,
        "connector_only": True,
        "dino_threshold": 0.83,
        "drop_threshold": config.drop_threshold,
        "frame_pos": False,
        "highres": config.highres,
        "image_token_len": config.image_token_len,
        "lowres_token": 8,
        "mm_projector_type": "sva",
        "mm_use_im_start_end": False,
        "num_query_group": 1,
        "query_num_list": [config.image_token_len],
        "tie_word_embeddings": not is_qwen(config),
        "tokenizer_model_max_length": 8192,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.44.2",
        "use_cache": False,
        "vision_hidden_size": 1024,
        **{key: getattr(text, key) for key in names},
        **own,
    }


SIGLIP_CONFIG = {
    "architectures": ["SiglipModel"],
    "model_type": "siglip",
    "text_config": {"hidden_size": 1152, "model_type": "siglip_text_model"},
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 384,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
}
DINOV2_CONFIG = {
    "architectures": ["Dinov2Model"],
    "attention_probs_dropout_prob": 0.0,
    "drop_path_rate": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 1536,
    "image_size": 518,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-06,
    "layerscale_value": 1.0,
    "mlp_ratio": 4,
    "model_type": "dinov2",
    "num_attention_heads": 24,
    "num_channels": 3,
    "num_hidden_layers": 40,
    "patch_size": 14,
    "qkv_bias": True,
    "torch_dtype": "float32",
    "use_swiglu_ffn": True,
}


def with_bias(shapes: dict[str, tuple[int, ...]], name: str, *shape: int) -> None:
    shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def siglip_shapes(width: int, inner: int, layers: int, text: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one half of google/siglip-so400m-patch14-384."""
    half = "text_model." if text else "vision_model."
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        block = f"{half}encoder.layers.{layer}."
        for part in ("q", "k", "v", "out"):
            with_bias(shapes, f"{block}self_attn.{part}_proj", width, width)
        for norm in ("layer_norm1", "layer_norm2"):
            with_bias(shapes, block + norm, width)
        with_bias(shapes, f"{block}mlp.fc1", inner, width)
        with_bias(shapes, f"{block}mlp.fc2", width, inner)
    if text:
        shapes |= {f"{half}embeddings.token_embedding.weight": (32000, width)}
        shapes |= {f"{half}embeddings.position_embedding.weight": (64, width)}
        with_bias(shapes, f"{half}final_layer_norm", width)
        with_bias(shapes, f"{half}head", width, width)
        return shapes
    with_bias(shapes, f"{half}embeddings.patch_embedding", width, 3, 14, 14)
    shapes |= {f"{half}embeddings.position_embedding.weight": (729, width)}
    shapes |= {f"{half}head.probe": (1, 1, width), f"{half}head.attention.in_proj_weight": (3 * width, width)}
    shapes |= {f"{half}head.attention.in_proj_bias": (3 * width,)}
    with_bias(shapes, f"{half}head.attention.out_proj", width, width)
    with_bias(shapes, f"{half}head.mlp.fc1", inner, width)
    with_bias(shapes, f"{half}head.mlp.fc2", width, inner)
    for norm in ("post_layernorm", "head.layernorm"):
        with_bias(shapes, half + norm, width)
    return shapes


def dinov2_shapes(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of facebook/dinov2-giant."""
    inner = (int(width * 4 * 2 / 3) + 7) // 8 * 8
    shapes = {"embeddings.cls_token": (1, 1, width), "embeddings.mask_token": (1, width)}
    shapes |= {"embeddings.position_embeddings": (1, 37 * 37 + 1, width)}
    with_bias(shapes, "embeddings.patch_embeddings.projection", width, 3, 14, 14)
    with_bias(shapes, "layernorm", width)
    for layer in range(layers):
        block = f"encoder.layer.{layer}."
        for part in ("attention.query", "attention.key", "attention.value", "output.dense"):
            with_bias(shapes, f"{block}attention.{part}", width, width)
        for number in (1, 2):
            with_bias(shapes, f"{block}norm{number}", width)
            shapes[f"{block}layer_scale{number}.lambda1"] = (width,)
        with_bias(shapes, f"{block}mlp.weights_in", 2 * inner, width)
        with_bias(shapes, f"{block}mlp.weights_out", width, inner)
    return shapes


def connector_shapes(config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's connector."""
    dim, text = 1024, config.text_config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"model.vision_query": (1, dim), "model.image_newline": (text,)}
    with_bias(shapes, "model.mm_projector.0", text, dim)
    with_bias(shapes, "model.mm_projector.2", text, text)
    for number, width in enumerate((1152, 1536)):
        with_bias(shapes, f"model.mm_projector_aux_{number}.0", dim, width)
        with_bias(shapes, f"model.mm_projector_aux_{number}.2", dim, dim)
        with_bias(shapes, f"model.mm_projector_aux_{number}.3", dim)
    reach = 24 // config.token_side
    for layer in range(3):
        block = f"model.vision_sampler_0.layers.{layer}."
        shapes[f"{block}proj_context.weight"] = shapes[f"{block}cross_attn.o_proj.weight"] = (dim, dim)
        shapes[f"{block}proj_in.weight"] = (dim, 2 * dim)
        for part in ("q_proj", "k_proj_0", "k_proj_1", "v_proj_0", "v_proj_1"):
            with_bias(shapes, f"{block}cross_attn.{part}.0", dim)
            shapes[f"{block}cross_attn.{part}.1.weight"] = (dim, dim)
        with_bias(shapes, f"{block}norm", dim)
        shapes |= {f"{block}proj_out.linear_{number}.weight": (dim, dim) for number in (1, 2)}
        if reach > 1:
            shapes |= {f"{block}pos_embed_{tower}": (reach * reach, dim) for tower in (0, 1)}
    return shapes


def language_shapes(config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's language model; the head is stored even where it is tied."""
    text, rows = config.text_config, ORIGINAL_ROWS["qwen" if is_qwen(config) else "llama3"]
    width, inner = text.hidden_size, text.intermediate_size
    keys = width // text.num_attention_heads * text.num_key_value_heads
    shapes: dict[str, tuple[int, ...]] = {"model.norm.weight": (width,)}
    shapes |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (rows, width))
    for layer in range(text.num_hidden_layers):
        block = f"model.layers.{layer}."
        for part, size in (("q", width), ("k", keys), ("v", keys)):
            shapes[f"{block}self_attn.{part}_proj.weight"] = (size, width)
            if is_qwen(config):
                shapes[f"{block}self_attn.{part}_proj.bias"] = (size,)
        shapes[f"{block}self_attn.o_proj.weight"] = (width, width)
        shapes |= {f"{block}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{block}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
    return shapes


def as_tensors(shapes: dict[str, tuple[int, ...]], dtype: str) -> dict[str, SourceTensor]:
    return {name: SourceTensor(name, Path("weights.safetensors"), shape, dtype) for name, shape in shapes.items()}


def original_folders(config) -> dict[str, dict[str, SourceTensor]]:
    """The whole name lists of the three published folders; no file stands behind them."""
    siglip = siglip_shapes(1152, 4304, 27, text=True) | siglip_shapes(1152, 4304, 27, text=False)
    return {
        "checkpoint": as_tensors(connector_shapes(config) | language_shapes(config), "BF16"),
        "siglip": as_tensors(siglip | {"logit_scale": (1,), "logit_bias": (1,)}, "F32"),
        "dinov2": as_tensors(dinov2_shapes(1536, 40), "F32"),
    }


@each_checkpoint
def test_full_size_names_and_shapes_are_the_converter_s(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    folders, family = original_folders(config), "qwen" if is_qwen(config) else "llama3"
    recipes, unused = convert_longvu.plan_weights(folders, config, ORIGINAL_ROWS[family])
    with torch.device("meta"):
        model = LongvuForConditionalGeneration(config)
    positions = WINDOW_PARAMETERS if config.image_token_len == 144 else 0
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[size_of(name)] + positions
    assert (
        sum(torch.Size(recipe.shape).numel() for recipe in recipes.values()) == PARAMETERS[size_of(name)] + positions
    )
    if not is_qwen(config):  # the new rows of the placeholder
        assert recipes["model.language_model.embed_tokens.weight"].shape[0] == 128320
    written = {key: tuple(recipe.shape) for key, recipe in recipes.items()}
    assert written == convert_longvu.expected_shapes(config)
    used = [source.name for recipe in recipes.values() for source in recipe.sources]
    assert sorted(used + unused) == sorted(key for tensors in folders.values() for key in tensors)
    vision_head = {key for key in unused if key.startswith("vision_model.")}
    assert len(vision_head) == 13
    assert {key.split(".")[0] for key in unused} <= {
        "text_model",
        "vision_model",
        "logit_scale",
        "logit_bias",
        "embeddings",
        "lm_head",
    }
    assert ("lm_head.weight" in unused) is not is_qwen(config)


@each_checkpoint
def test_the_original_s_file_has_the_published_size(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    tensors = original_folders(config)["checkpoint"]
    windows = WINDOW_TENSORS if config.image_token_len == 144 else 0
    assert len(tensors) == TENSORS[size_of(name)] + windows
    sizes = {key: torch.Size(tensor.shape).numel() for key, tensor in tensors.items()}
    assert 2 * sum(sizes.values()) / 1e9 == pytest.approx(GIGABYTES[size_of(name)], rel=5e-4)
    if size_of(name) in CONNECTOR:
        connector = sum(sizes[key] for key in connector_shapes(config))
        assert connector == pytest.approx(CONNECTOR[size_of(name)], rel=1e-3)


@each_checkpoint
def test_the_converter_makes_the_committed_configuration(name):
    committed = AutoConfig.from_pretrained(FOLDERS / name)
    family = "qwen" if is_qwen(committed) else "llama3"
    converted = convert_longvu.build_config(
        original_config(committed), SIGLIP_CONFIG, DINOV2_CONFIG, 378, TOKENIZER_LENGTH[family]
    )
    converted.dtype, converted.architectures = torch.bfloat16, ["LongvuForConditionalGeneration"]
    generation = GenerationConfig.from_pretrained(FOLDERS / name)
    converted.text_config.pad_token_id = generation.pad_token_id
    assert converted.to_json_string() == committed.to_json_string() == build_config(CHECKPOINTS[name]).to_json_string()
    assert generation.eos_token_id == committed.text_config.eos_token_id
    assert generation.do_sample is not True
    assert generation.suppress_tokens == list(range(committed.video_token_id, committed.text_config.vocab_size))
    assert 0 <= generation.pad_token_id < committed.text_config.vocab_size


@each_checkpoint
def test_with_a_tokenizer_the_processor_loads(name, tmp_path):
    template = CHECKPOINTS[name].family.template
    shutil.copytree(FOLDERS / name, tmp_path / name)
    tokenizer = convert_longvu.load_tokenizer(TOKENIZERS[template])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tmp_path / "tokenizer" / file, tmp_path / name / file)
    processor = AutoProcessor.from_pretrained(tmp_path / name)
    config = AutoConfig.from_pretrained(FOLDERS / name)
    for setting in ("context_length", "reserve", "image_token_len", "lowres_token", "highres"):
        assert getattr(processor, setting) == getattr(config, setting)
    content = [{"type": "video"}, {"type": "text", "text": "What?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    expected = {
        "qwen": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat?"
        "<|im_end|>\n<|im_start|>assistant\n",
        "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant."
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    }
    assert prompt == expected[template]
    videos = AutoVideoProcessor.from_pretrained(FOLDERS / name)
    assert (dict(videos.size), videos.size_dinov2) == (
        {"height": 384, "width": 384},
        {"height": 378, "width": 378},
    )


def test_licences_are_those_of_the_language_models():
    for checkpoint in CHECKPOINTS.values():
        expected = "apache-2.0" if "Qwen" in checkpoint.initialised_from else "llama3.2"
        assert checkpoint.family.terms.header == {"license": expected}
