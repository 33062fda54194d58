# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""PLLaVA's shipped configurations against what the originals hold, at full size and without weights."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoProcessor, AutoVideoProcessor, GenerationConfig

from video_lmms.conversion_scripts import convert_pllava
from video_lmms.conversion_scripts.conversion import SourceTensor
from video_lmms.hub.checkpoints_pllava import CHECKPOINTS, build_config
from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration
from video_lmms.processing.chat_templates_pllava import PROMPTS


FOLDERS = ROOT / "hub_configs"
TOKENIZERS = {
    "plain": ROOT / "tests/goldens/pllava/published_sharded/checkpoint",
    "plain_llavanext": ROOT / "tests/goldens/pllava/lora_delta_gqa/checkpoint/model_dir",
}
# Tensors of the original's files, and parameters of the model made from them.
TENSORS = {"pllava-7b": 814, "pllava-13b": 918, "pllava-34b": 1178}
PARAMETERS = {"pllava-7b": 7_050_830_848, "pllava-13b": 13_338_898_432, "pllava-34b": 34_739_480_576}
RANK = 128

each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def original_config(config: PllavaConfig) -> dict:
    """`config.json` as the original code saved it: a LLaVA by its own account, with the whole tower."""
    text, vision = config.text_config, config.vision_config
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers")
    return {
        "architectures": ["PllavaForConditionalGeneration"],
        "model_type": "llava",
        "frame_shape": [24, 24],
        "pooling_shape": [8, 16, 16],
        "image_token_index": config.image_token_id,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "torch_dtype": "bfloat16",
        "text_config": {name: getattr(text, name) for name in sizes}
        | {"vocab_size": text.vocab_size, "max_position_embeddings": 4096, "rms_norm_eps": text.rms_norm_eps}
        | {"rope_theta": text.rope_parameters["rope_theta"], "torch_dtype": "bfloat16", "model_type": "llama"}
        | {"eos_token_id": text.eos_token_id, "pad_token_id": text.pad_token_id, "_name_or_path": "somewhere"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_attention_heads": vision.num_attention_heads,
            "num_hidden_layers": 24,
            "image_size": 336,
            "patch_size": 14,
            "projection_dim": 768,
            "vocab_size": 32000,
        },
    }


def vision_shapes(width: int, inner: int, layers: int, patch: int, patches: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's CLIP tower."""
    tower = "vision_tower.vision_model."
    shapes = {
        f"{tower}embeddings.class_embedding": (width,),
        f"{tower}embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{tower}embeddings.position_embedding.weight": (patches + 1, width),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{tower}{norm}.weight": (width,), f"{tower}{norm}.bias": (width,)}
    linear = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
    for layer in range(layers):
        block = f"{tower}encoder.layers.{layer}."
        for part, shape in linear.items():
            shapes |= {f"{block}{part}.weight": shape, f"{block}{part}.bias": shape[:1]}
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
    return shapes


def language_shapes(text) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's language model, saved while PEFT wrapped it."""
    width, inner = text.hidden_size, text.intermediate_size
    keys = width // text.num_attention_heads * text.num_key_value_heads
    wrapped = "language_model.base_model.model."
    shapes = {
        f"{wrapped}model.embed_tokens.weight": (text.vocab_size, width),
        f"{wrapped}model.norm.weight": (width,),
        f"{wrapped}lm_head.weight": (text.vocab_size, width),
    }
    plain = {
        "self_attn.k_proj": (keys, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    for layer in range(text.num_hidden_layers):
        block = f"{wrapped}model.layers.{layer}."
        shapes |= {f"{block}{part}.weight": shape for part, shape in plain.items()}
        for part, rows in (("q_proj", width), ("v_proj", keys)):
            projection = f"{block}self_attn.{part}."
            shapes[f"{projection}base_layer.weight"] = (rows, width)
            shapes[f"{projection}lora_A.default.weight"] = (RANK, width)
            shapes[f"{projection}lora_B.default.weight"] = (rows, RANK)
    return shapes


def original_tensors(config: PllavaConfig) -> dict[str, SourceTensor]:
    """The whole name list of a published folder; no file stands behind it."""
    width, text_width = config.vision_config.hidden_size, config.text_config.hidden_size
    shapes = vision_shapes(width, config.vision_config.intermediate_size, layers=24, patch=14, patches=24 * 24)
    for layer, columns in (("linear_1", width), ("linear_2", text_width)):
        shapes[f"multi_modal_projector.{layer}.weight"] = (text_width, columns)
        shapes[f"multi_modal_projector.{layer}.bias"] = (text_width,)
    shapes |= language_shapes(config.text_config)
    file = Path("model-00001-of-00001.safetensors")
    return {name: SourceTensor(name, file, shape, "BF16") for name, shape in shapes.items()}


@each_checkpoint
def test_full_size_names_and_shapes_are_the_converter_s(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    tensors = original_tensors(config)
    assert len(tensors) == TENSORS[name]
    recipes, lora, unused = convert_pllava.plan_weights(tensors, config, lora_alpha=4, keep_lora=False)
    with torch.device("meta"):
        model = PllavaForConditionalGeneration(config)
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert {key: tuple(recipe.shape) for key, recipe in recipes.items()} == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert len(lora) == 2 * config.text_config.num_hidden_layers
    assert len(unused) == 16
    assert all(".encoder.layers.23." in key for key in unused)
    used = [source.name for recipe in recipes.values() for source in recipe.sources]
    assert sorted(used + unused) == sorted(tensors)


@each_checkpoint
def test_the_converter_makes_the_committed_configuration(name):
    committed = AutoConfig.from_pretrained(FOLDERS / name)
    converted = convert_pllava.build_config(original_config(committed), [16, 12, 12], tie_word_embeddings=False)
    converted.dtype, converted.architectures = torch.bfloat16, ["PllavaForConditionalGeneration"]
    assert converted.to_json_string() == committed.to_json_string() == build_config(CHECKPOINTS[name]).to_json_string()
    generation = GenerationConfig.from_pretrained(FOLDERS / name)
    assert generation.eos_token_id == committed.text_config.eos_token_id
    assert 0 <= generation.pad_token_id < committed.text_config.vocab_size
    assert committed.image_token_id < committed.text_config.vocab_size


@each_checkpoint
def test_with_a_tokenizer_the_processor_loads(name, tmp_path):
    template = CHECKPOINTS[name].template
    shutil.copytree(FOLDERS / name, tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(TOKENIZERS[template] / file, tmp_path / name / file)
    processor = AutoProcessor.from_pretrained(tmp_path / name)
    assert set(processor.chat_template) == {"default", *PROMPTS}
    content = [{"type": "video"}, {"type": "text", "text": "What?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert (
        prompt
        == {
            "plain": "USER:<image> What? ASSISTANT:",
            "plain_llavanext": "<|im_start|>user\n<image>\n What?<|im_end|>\n<|im_start|>assistant\n",
        }[template]
    )
    assert processor.num_video_tokens() == 2304
    assert AutoVideoProcessor.from_pretrained(FOLDERS / name).num_frames == 16


@each_checkpoint
def test_the_card_says_what_can_be_checked(name):
    card = ModelCard.load(FOLDERS / name / "README.md")
    assert card.data.pipeline_tag == "video-text-to-text"
    assert card.data.base_model == f"ermu2001/{name}"
    assert card.data.license == ("other" if name == "pllava-34b" else "llama2")
    command = re.search(r"^video-lmms convert pllava (.*)$", card.text, re.M)[1]
    arguments = convert_pllava.parse_arguments(shlex.split(command))
    assert (str(arguments.model_dir), str(arguments.output), arguments.lora_alpha) == (name, f"{name}-hf", 4)
    named = re.search(r'chat_template="(\w+)"', card.text)[1]
    assert named in PROMPTS
    assert named.endswith("_llavanext") == CHECKPOINTS[name].template.endswith("_llavanext")
