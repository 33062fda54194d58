# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Apollo's shipped configurations against what the originals hold, at full size and without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from transformers import AutoConfig, AutoProcessor, AutoVideoProcessor, GenerationConfig
from transformers.video_utils import VideoMetadata

from video_lmms.conversion_scripts import convert_apollo
from video_lmms.conversion_scripts.conversion import SourceTensor
from video_lmms.hub.checkpoints_apollo import CHECKPOINTS, build_config, build_generation_config
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration


FOLDERS = ROOT / "hub_configs"
TOKENIZER = ROOT / "tests/goldens/apollo/untied_upsample_image/checkpoint/llm"
SIGLIP, INTERNVIDEO2 = "siglip-so400m-patch14-384", "internvideo2"
# Bytes of the originals' files, two per number: towers and connectors as published, InternVideo2's to the last number.
SIGLIP_NUMBERS, INTERNVIDEO2_NUMBERS = 428_225_600, 1_049_117_056
CONNECTOR_NUMBERS = {"apollo-1.5b": 38_358_528, "apollo-3b": 63_727_616, "apollo-7b": 177_583_616}
# In GB: one file with both tables, unknown, and four shards.
LANGUAGE_GIGABYTES = {"apollo-1.5b": 3.55, "apollo-7b": 4.88 + 4.93 + 4.33 + 1.09}
PARAMETERS = {"apollo-1.5b": 2_966_794_144, "apollo-3b": 4_534_387_616, "apollo-7b": 9_177_921_440}

each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def with_bias(shapes: dict[str, tuple[int, ...]], name: str, *shape: int) -> None:
    shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def siglip_shapes(width: int = 1152, inner: int = 4304, layers: int = 27) -> dict[str, tuple[int, ...]]:
    """The vision half of google/siglip-so400m-patch14-384."""
    shapes: dict[str, tuple[int, ...]] = {"vision_model.embeddings.position_embedding.weight": (27 * 27, width)}
    with_bias(shapes, "vision_model.embeddings.patch_embedding", width, 3, 14, 14)
    for layer in range(layers):
        block = f"vision_model.encoder.layers.{layer}."
        for part in ("q", "k", "v", "out"):
            with_bias(shapes, f"{block}self_attn.{part}_proj", width, width)
        for norm in ("layer_norm1", "layer_norm2"):
            with_bias(shapes, block + norm, width)
        with_bias(shapes, f"{block}mlp.fc1", inner, width)
        with_bias(shapes, f"{block}mlp.fc2", width, inner)
    head = "vision_model.head."
    shapes |= {f"{head}probe": (1, 1, width), f"{head}attention.in_proj_weight": (3 * width, width)}
    shapes |= {f"{head}attention.in_proj_bias": (3 * width,)}
    with_bias(shapes, f"{head}attention.out_proj", width, width)
    with_bias(shapes, f"{head}mlp.fc1", inner, width)
    with_bias(shapes, f"{head}mlp.fc2", width, inner)
    for norm in ("vision_model.post_layernorm", f"{head}layernorm"):
        with_bias(shapes, norm, width)
    return shapes


def internvideo2_shapes(width: int = 1408, inner: int = 6144, layers: int = 40) -> dict[str, tuple[int, ...]]:
    """InternVideo2 stage 2, with the heads of its training."""
    patches, image_patches, teacher, embed = 4 * 16 * 16, 16 * 16, 3200, 768
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width)}
    for prefix in ("", "clip_"):
        shapes |= {
            f"{prefix}pos_embed": (1, 1 + patches, width),
            f"{prefix}img_pos_embed": (1, 1 + image_patches, width),
        }
    with_bias(shapes, "patch_embed.proj", width, 3, 1, 14, 14)
    for layer in range(layers):
        block = f"blocks.{layer}."
        for part in (
            "norm1.weight",
            "norm2.weight",
            "attn.q_norm.weight",
            "attn.k_norm.weight",
            "ls1.gamma",
            "ls2.gamma",
        ):
            shapes[block + part] = (width,)
        shapes[f"{block}attn.qkv.weight"] = (3 * width, width)
        with_bias(shapes, f"{block}attn.proj", width, width)
        with_bias(shapes, f"{block}mlp.fc1", inner, width)
        with_bias(shapes, f"{block}mlp.fc2", width, inner)
    for part in ("q", "k", "v"):
        with_bias(shapes, f"clip_projector.norm1_{part}", width)
        shapes[f"clip_projector.cross_attn.{part}.weight"] = (width, width)
        shapes[f"clip_projector.cross_attn.{part}_bias"] = (width,)
    with_bias(shapes, "clip_projector.cross_attn.proj", embed, width)
    for decoder, rows, columns in [(f"clip_decoder.{n}", teacher, width) for n in range(6)] + [
        ("final_clip_decoder", embed, embed)
    ]:
        with_bias(shapes, f"{decoder}.head", rows, columns)
        with_bias(shapes, f"{decoder}.norm", rows)
    return shapes


def connector_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Projector and resampler."""
    shapes: dict[str, tuple[int, ...]] = {"resampler.latents": (128, width)}
    with_bias(shapes, "proj.0", width, 1152 + 1408)
    layer = "resampler.layers.0."
    for norm in (
        "resampler.norm",
        *(f"{layer}{part}" for part in ("input_latents_norm", "input_context_norm", "post_attention_layernorm")),
    ):
        with_bias(shapes, f"{norm}.norm", width)
        shapes[f"{norm}.wheight"] = (width,)
    for part, rows, columns in (("q", 1536, width), ("k", 384, width), ("v", 384, width), ("o", width, 1536)):
        shapes[f"{layer}self_attn.{part}_proj.weight"] = (rows, columns)
    for part in ("gate", "up"):
        shapes[f"{layer}mlp.{part}_proj.weight"] = (4 * width, width)
    return shapes | {f"{layer}mlp.down_proj.weight": (width, 4 * width)}


def language_shapes(text) -> dict[str, tuple[int, ...]]:
    """Qwen2.5; the head is stored even where it is tied."""
    width, inner = text.hidden_size, text.intermediate_size
    keys = width // text.num_attention_heads * text.num_key_value_heads
    shapes: dict[str, tuple[int, ...]] = {"model.norm.weight": (width,)}
    shapes |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (text.vocab_size, width))
    for layer in range(text.num_hidden_layers):
        block = f"model.layers.{layer}."
        for part, rows in (("q", width), ("k", keys), ("v", keys)):
            with_bias(shapes, f"{block}self_attn.{part}_proj", rows, width)
        shapes[f"{block}self_attn.o_proj.weight"] = (width, width)
        shapes |= {f"{block}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{block}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
    return shapes


def numbers(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def original_folders(config) -> dict[str, dict[str, tuple[int, ...]]]:
    """Prefix in the whole original model -> name list of the folder."""
    return {
        "llm.": language_shapes(config.text_config),
        "mm_connector.": connector_shapes(config.text_config.hidden_size),
        f"vision_tower.{SIGLIP}.vision_tower.": siglip_shapes(),
        f"vision_tower.{INTERNVIDEO2}.vision_tower.": internvideo2_shapes(),
    }


def original_tensors(config) -> dict[str, SourceTensor]:
    """The whole name list; no file stands behind it."""
    file = Path("model.safetensors")
    return {
        prefix + name: SourceTensor(prefix + name, file, shape, "BF16")
        for prefix, shapes in original_folders(config).items()
        for name, shape in shapes.items()
    }


def write_original(root: Path, name: str) -> dict:
    """The configuration files of a published folder; answers with the top-level one."""
    checkpoint, config = CHECKPOINTS[name], build_config(CHECKPOINTS[name])
    width = config.text_config.hidden_size
    top = {
        "architectures": ["ApolloForCausalLM"],
        "model_type": "apollo",
        "clip_duration": 2,
        "encode_batch_size": 25,
        "image_aspect_ratio": "square",
        "interpolate_mode": "linear",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "model_max_length": 16384,
        "use_mm_start_end": False,
        "use_mm_patch_token": False,
    }
    files = {
        "config.json": top,
        "llm/config.json": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "max_position_embeddings": 32768,
            "model_max_length": 16384,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "tie_word_embeddings": checkpoint.tied,
            "tokenizer_model_max_length": 16384,
            "tokenizer_padding_side": "right",
            "torch_dtype": "bfloat16",
            "transformers_version": "4.44.0",
            "use_cache": True,
            "use_sliding_window": False,
            **checkpoint.text,
        },
        "llm/generation_config.json": {
            "bos_token_id": 151643,
            "pad_token_id": 151643,
            "do_sample": True,
            "eos_token_id": [151645, 151643],
            "repetition_penalty": checkpoint.repetition_penalty,
            "temperature": 0.7,
            "top_p": 0.8,
            "top_k": 20,
            "transformers_version": "4.37.0",
        },
        "mm_connector/config.json": {
            "attention_dropout": 0.0,
            "ff_multi": 4,
            "hidden_act": "silu",
            "model_type": "mm_connector",
            "num_key_value_heads": 4,
            "num_output_tokens": 128,
            "num_patches": 24,
            "projector_type": "mlp1x_gelu",
            "resampler_depth": 1,
            "resampler_head_dim": 96,
            "resampler_n_heads": 16,
            "resampler_type": "perciver",
            "rms_norm_eps": 1e-6,
            "text_hidden_size": width,
            "token_input_shape": [4, 27, 27],
            "vision_hidden_size": 2560,
        },
        "vision_tower/config.json": {
            "model_type": "hybrid_vision_tower",
            "token_output_shape": [4, 27, 27],
            "vision_towers": [SIGLIP, INTERNVIDEO2],
        },
        f"vision_tower/{SIGLIP}/config.json": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "image_size": 384,
            "intermediate_size": 4304,
            "num_attention_heads": 16,
            "num_hidden_layers": 27,
            "patch_size": 14,
        },
        f"vision_tower/{SIGLIP}/preprocessor_config.json": {
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "resample": 3,
            "size": {"height": 384, "width": 384},
        },
        f"vision_tower/{INTERNVIDEO2}/config.json": {
            "model_type": "internvideo2",
            "d_model": 1408,
            "num_heads": 16,
            "img_size": 224,
            "patch_size": 14,
            "num_frames": 4,
            "tubelet_size": 1,
            "qkv_bias": False,
            "init_values": 1e-5,
            "qk_normalization": True,
            "hidden_size": 768,
            "num_hidden_layers": 12,
        },
        f"vision_tower/{INTERNVIDEO2}/preprocessor_config.json": {
            "Resize": {"size": 224, "interpolation": "bilinear"},
            "CenterCrop": {"size": [224, 224]},
            "Normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        },
    }
    for file, content in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return top


@each_checkpoint
def test_the_name_lists_have_the_published_sizes(name):
    folders = list(original_folders(build_config(CHECKPOINTS[name])).values())
    language, connector, siglip, internvideo2 = map(numbers, folders)
    assert (siglip, internvideo2) == (SIGLIP_NUMBERS, INTERNVIDEO2_NUMBERS)
    assert connector == CONNECTOR_NUMBERS[name]
    if name in LANGUAGE_GIGABYTES:
        assert 2 * language / 1e9 == pytest.approx(LANGUAGE_GIGABYTES[name], abs=0.01)


@each_checkpoint
def test_full_size_names_and_shapes_are_the_converter_s(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    tensors = original_tensors(config)
    recipes, unused = convert_apollo.plan_weights(tensors, config, skipped_layers=1)
    with torch.device("meta"):
        model = ApolloForConditionalGeneration(config)
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del expected["lm_head.weight"]
    assert {key: tuple(recipe.shape) for key, recipe in recipes.items()} == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    used = [source.name for recipe in recipes.values() for source in recipe.sources]
    assert sorted(used + unused) == sorted(tensors)
    heads = {"head", "clip_projector", "clip_decoder", "final_clip_decoder"}
    for key in unused:
        last_layer = "encoder.layers.26." in key or "blocks.39." in key
        assert (
            last_layer
            or heads & set(key.split("."))
            or key.endswith(("pos_embed", "post_layernorm.weight"))
            or (key in ("llm.lm_head.weight", f"vision_tower.{SIGLIP}.vision_tower.vision_model.post_layernorm.bias"))
        )


@each_checkpoint
def test_the_converter_makes_the_committed_configuration(name, tmp_path):
    original = write_original(tmp_path, name)
    committed = AutoConfig.from_pretrained(FOLDERS / name)
    converted = convert_apollo.build_config(tmp_path, original, original_tensors(committed))
    converted.dtype, converted.architectures = torch.bfloat16, ["ApolloForConditionalGeneration"]
    built = build_config(CHECKPOINTS[name])
    assert converted.to_json_string() == committed.to_json_string() == built.to_json_string()
    generation = convert_apollo.build_generation_config(tmp_path, converted)
    stored = GenerationConfig.from_pretrained(FOLDERS / name)
    assert (
        generation.to_diff_dict() == stored.to_diff_dict() == build_generation_config(CHECKPOINTS[name]).to_diff_dict()
    )
    pixels = convert_apollo.pixel_options(tmp_path, converted)
    shipped = AutoVideoProcessor.from_pretrained(FOLDERS / name)
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in pixels.items()} == {
        key: dict(value) if key == "size" else list(value) if isinstance(value, (list, tuple)) else value
        for key, value in ((key, getattr(shipped, key)) for key in pixels)
    }


@each_checkpoint
def test_with_a_tokenizer_the_processor_loads(name, tmp_path):
    """The golden tokenizer is a small one; placeholders and template do not depend on the words."""
    shutil.copytree(FOLDERS / name, tmp_path / name)
    tokenizer, *_ = convert_apollo.build_tokenizer(TOKENIZER, 10_000)
    tokenizer.save_pretrained(tmp_path / name)
    processor = AutoProcessor.from_pretrained(tmp_path / name)
    content = [{"type": "video"}, {"type": "text", "text": "When?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt == (
        "<|im_start|>system\n\nYou are a helpful vision-language assistant.<|im_end|>\n"
        "<|im_start|>user\n<|video_token|>\n\nWhen?<|im_end|>\n<|im_start|>assistant\n"
    )
    for seconds, clips in ((1, 1), (60, 30), (166, 83), (3600, 84)):
        assert processor.num_video_tokens(VideoMetadata(total_num_frames=30 * seconds, fps=30.0)) == 128 * clips


@each_checkpoint
def test_placeholders_are_rows_that_qwen_s_tokenizer_leaves_free(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    qwen_tokens = 151_665
    assert (config.video_token_id, config.image_token_id) == (qwen_tokens, qwen_tokens + 1)
    assert config.image_token_id < config.text_config.vocab_size
