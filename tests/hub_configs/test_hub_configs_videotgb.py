# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's shipped configurations against what the originals hold, at full size and without weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from transformers import AutoConfig

from video_lmms.conversion_scripts.checkpoint_files import SourceTensor
from video_lmms.conversion_scripts.convert_videotgb import plan_weights
from video_lmms.conversion_scripts.videotgb_forms import FLAN_T5, VICUNA
from video_lmms.conversion_scripts.videotgb_grounding_names import grounding_config_from_shapes
from video_lmms.hub.checkpoints_videotgb import CHECKPOINTS


FOLDERS = ROOT / "hub_configs"
GOLDENS = {"videotgb-7b": "instructblip_vicuna_eval", "videotgb-flan-t5-xl": "blip2_flant5_eval"}
# Of the original modules, as counted with the original code; InstructBLIP's Q-Former has a row more on the Hub.
VISION, RAFT, QUERIES, BRIDGE = 985_952_256, 5_257_536, 24_576, 123_932_615
QFORMER = {"videotgb-7b": 185_659_392 + 768, "videotgb-flan-t5-xl": 105_137_664}
PROJECTION = {"videotgb-7b": 3_149_824, "videotgb-flan-t5-xl": 1_574_912}
LANGUAGE = {"videotgb-7b": 6_738_423_808, "videotgb-flan-t5-xl": 2_849_757_184}
# Numbers of LSTP-7B.ckpt, four bytes each; RAFT's repeated norms and the positions nobody reads included.
PUBLISHED_BYTES = 32_182_891_823

each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def linear(shapes, name, rows, columns, bias=True):
    shapes[f"{name}.weight"] = (rows, columns)
    if bias:
        shapes[f"{name}.bias"] = (rows,)


def norm(shapes, name, width):
    shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def vision_shapes(width=1408, inner=6144, layers=39):
    shapes = {
        "embeddings.class_embedding": (1, 1, width),
        "embeddings.position_embedding": (1, 257, width),
        "embeddings.patch_embedding.weight": (width, 3, 14, 14),
        "embeddings.patch_embedding.bias": (width,),
    }
    for layer in range(layers):
        block = f"encoder.layers.{layer}."
        linear(shapes, f"{block}self_attn.qkv", 3 * width, width)
        linear(shapes, f"{block}self_attn.projection", width, width)
        linear(shapes, f"{block}mlp.fc1", inner, width)
        linear(shapes, f"{block}mlp.fc2", width, inner)
        for number in (1, 2):
            norm(shapes, f"{block}layer_norm{number}", width)
    norm(shapes, "post_layernorm", width)
    return shapes


def attention(shapes, name, width, source, inner="attention"):
    for part, columns in (("query", width), ("key", source), ("value", source)):
        linear(shapes, f"{name}.{inner}.{part}", width, columns)
    linear(shapes, f"{name}.output.dense", width, width)
    norm(shapes, f"{name}.output.LayerNorm", width)


def qformer_shapes(reads_text, width=768, inner=3072, layers=12):
    shapes = {}
    if reads_text:
        shapes |= {"embeddings.word_embeddings.weight": (30523, width)}
        shapes |= {"embeddings.position_embeddings.weight": (512, width)}
        norm(shapes, "embeddings.layernorm", width)
    else:
        norm(shapes, "layernorm", width)
    for layer in range(layers):
        block = f"encoder.layer.{layer}."
        attention(shapes, f"{block}attention", width, width)
        if layer % 2 == 0:
            attention(shapes, f"{block}crossattention", width, 1408)
        for suffix in ("", "_query") if reads_text else ("_query",):
            linear(shapes, f"{block}intermediate{suffix}.dense", inner, width)
            linear(shapes, f"{block}output{suffix}.dense", width, inner)
            norm(shapes, f"{block}output{suffix}.LayerNorm", width)
    return shapes


def bridge_shapes(width=768, inner=3072, layers=12):
    shapes = {
        "embeddings.word_embeddings.weight": (30522, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.position_embeddings.weight": (512, width),
        "temporal_embeddings.bos": (width,),
        "temporal_embeddings.eos": (width,),
        "temporal_embeddings.projection.weight": (width, 2, 16, 16),
        "temporal_embeddings.projection.bias": (width,),
        "temporal_embeddings.frame_pos_embed.weight": (512, width),
        "encoder.embed_positions.weight": (512, 64),
        "encoder.c_embed_positions.weight": (512, 64),
    }
    norm(shapes, "embeddings.LayerNorm", width)
    norm(shapes, "temporal_embeddings.ln", width)
    linear(shapes, "temporal_embeddings.fc", 1, 196)
    linear(shapes, "mrc_head", 2, width)
    for layer in range(layers):
        block = f"encoder.layer.{layer}."
        attention(shapes, f"{block}attention", width, width, "self")
        if layer >= 6:
            attention(shapes, f"{block}crossattention", width, width, "self")
        linear(shapes, f"{block}intermediate.dense", inner, width)
        linear(shapes, f"{block}output.dense", width, inner)
        norm(shapes, f"{block}output.LayerNorm", width)
    return shapes


def flow_shapes(name):
    """RAFT has one size, that of the golden cases."""
    stored = json.loads((ROOT / "tests/goldens/videotgb" / GOLDENS[name] / "case.json").read_text())["state_dict"]
    prefix = "of_extractor."
    return {key.removeprefix(prefix): tuple(shape) for key, (shape, _) in stored.items() if key.startswith(prefix)}


def vicuna_shapes(width=4096, inner=11008, layers=32, vocabulary=32001):
    shapes = {"model.norm.weight": (width,)}
    shapes |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (vocabulary, width))
    for layer in range(layers):
        block = f"model.layers.{layer}."
        for part in ("q", "k", "v", "o"):
            shapes[f"{block}self_attn.{part}_proj.weight"] = (width, width)
        shapes |= {f"{block}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{block}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
    return shapes


def t5_shapes(width=2048, inner=5120, layers=24, vocabulary=32128, heads=32):
    tables = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    shapes = dict.fromkeys(tables, (vocabulary, width))
    for stack, attentions in (("encoder", ("SelfAttention",)), ("decoder", ("SelfAttention", "EncDecAttention"))):
        shapes[f"{stack}.final_layer_norm.weight"] = (width,)
        shapes[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, heads)
        for layer in range(layers):
            block = f"{stack}.block.{layer}.layer."
            for number, kind in enumerate(attentions):
                shapes |= {f"{block}{number}.{kind}.{part}.weight": (width, width) for part in ("q", "k", "v", "o")}
                shapes[f"{block}{number}.layer_norm.weight"] = (width,)
            feed = f"{block}{len(attentions)}."
            shapes |= {f"{feed}DenseReluDense.wi_{part}.weight": (inner, width) for part in (0, 1)}
            shapes |= {f"{feed}DenseReluDense.wo.weight": (width, inner), f"{feed}layer_norm.weight": (width,)}
    return shapes


def numbers(shapes):
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def original_parts(name):
    is_t5 = CHECKPOINTS[name].is_t5
    width = 2048 if is_t5 else 4096
    parts = {
        "model.vision_model.": vision_shapes(),
        "model.qformer.": qformer_shapes(reads_text=not is_t5),
        "model.": {"query_tokens": (1, 32, 768)},
        "model.language_model.": t5_shapes() if is_t5 else vicuna_shapes(),
        "temporal_encoder.": bridge_shapes(),
        "of_extractor.": flow_shapes(name),
    }
    for part in ("language_projection", "temporal_projection"):
        linear(parts["model."], part, width, 768)
    return parts


@each_checkpoint
def test_the_name_list_has_the_published_size(name):
    parts = original_parts(name)
    assert numbers(parts["model.vision_model."]) == VISION
    assert numbers(parts["model.qformer."]) == QFORMER[name]
    assert numbers(parts["model."]) == QUERIES + 2 * PROJECTION[name]
    # The two rotary tables count here, and T5's three names for one table count once.
    assert numbers(parts["temporal_encoder."]) == BRIDGE
    language = dict(parts["model.language_model."])
    for copy in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        language.pop(copy, None)
    assert numbers(language) == LANGUAGE[name]
    flow = {key: shape for key, shape in parts["of_extractor."].items() if not is_buffer(key)}
    assert numbers(flow) == RAFT
    if name == "videotgb-7b":
        assert 0 < PUBLISHED_BYTES - 4 * sum(numbers(part) for part in [*list(parts.values())[:5], flow]) < 10**6


def is_buffer(key):
    return re.search(r"norm3|running_|num_batches", key) is not None


@each_checkpoint
def test_the_converter_takes_the_whole_name_list(name):
    """Every name has its place at full size, and no parameter is left without."""
    config, form = AutoConfig.from_pretrained(FOLDERS / name), FLAN_T5 if CHECKPOINTS[name].is_t5 else VICUNA
    shapes = {prefix + key: shape for prefix, part in original_parts(name).items() for key, shape in part.items()}
    tensors = {key: SourceTensor(key, Path("weights.ckpt"), shape, "F32") for key, shape in shapes.items()}
    recipes, lora, unused = plan_weights(tensors, form, config, 32, keep_lora=False)
    assert not lora
    assert {key for key in unused if not is_buffer(key)} == {
        "model.temporal_projection.weight",
        "model.temporal_projection.bias",
        "temporal_encoder.embeddings.position_embeddings.weight",
    }
    placeholders = 2 * 2 * 4096 if form is VICUNA else 0
    written = sum(torch.Size(recipe.shape).numel() for key, recipe in recipes.items() if "running_" not in key)
    expected = VISION + QFORMER[name] + QUERIES + PROJECTION[name] + LANGUAGE[name] + BRIDGE - 512 * 768 + RAFT
    assert written == expected + placeholders


@each_checkpoint
def test_the_bridge_has_the_published_sizes(name):
    found = grounding_config_from_shapes(bridge_shapes())
    grounding = AutoConfig.from_pretrained(FOLDERS / name).grounding_config
    assert {key: getattr(grounding, key) for key in found} == found
    wanted = ("fusion", "last_frame") if CHECKPOINTS[name].is_t5 else ("multi_modal", "length")
    assert (grounding.mode, grounding.span_mapping) == wanted
