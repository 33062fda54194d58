# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's shipped configurations against what the originals hold, at full size and without weights."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from tiny_video_llama import tiny_tokenizer
from transformers import AutoConfig, AutoProcessor

from video_lmms.conversion_scripts import convert_video_llama as script
from video_lmms.conversion_scripts import video_llama_names as names
from video_lmms.conversion_scripts.conversion import SourceTensor
from video_lmms.hub.checkpoints_video_llama import CHECKPOINTS, VICUNA_V0, build_config
from video_lmms.hub.licences import terms_of
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration


FOLDERS = ROOT / "hub_configs"
# In millions, as the original's pieces add up.
PIECES = {"vit": 985.9 + 25.3, "qformer": 105.2, "checkpoint": {4096: 22.1, 5120: 22.9}}

Shapes = dict[str, tuple[int, ...]]
each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)


def with_bias(shapes: Shapes, name: str, *shape: int) -> None:
    shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def vit_shapes(width: int = 1408, inner: int = 6144, blocks: int = 40) -> Shapes:
    """EVA ViT-g, whose last block nobody builds."""
    shapes: Shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 257, width)}
    with_bias(shapes, "patch_embed.proj", width, 3, 14, 14)
    for number in range(blocks):
        block = f"blocks.{number}."
        for norm in ("norm1", "norm2"):
            with_bias(shapes, block + norm, width)
        shapes |= {f"{block}attn.qkv.weight": (3 * width, width)}
        shapes |= {f"{block}attn.{part}_bias": (width,) for part in "qv"}
        with_bias(shapes, f"{block}attn.proj", width, width)
        with_bias(shapes, f"{block}mlp.fc1", inner, width)
        with_bias(shapes, f"{block}mlp.fc2", width, inner)
    return shapes


def bert_shapes(name: str, layers: int, frequency: int, encoder: int, width: int = 768) -> Shapes:
    shapes: Shapes = {f"{name}.bert.embeddings.position_ids": (1, 512)}
    with_bias(shapes, f"{name}.bert.embeddings.LayerNorm", width)
    for number in range(layers):
        layer = f"{name}.bert.encoder.layer.{number}."
        kinds = {"attention": width} | ({"crossattention": encoder} if number % frequency == 0 else {})
        for kind, source in kinds.items():
            for part, columns in (("query", width), ("key", source), ("value", source)):
                with_bias(shapes, f"{layer}{kind}.self.{part}", width, columns)
            with_bias(shapes, f"{layer}{kind}.output.dense", width, width)
            with_bias(shapes, f"{layer}{kind}.output.LayerNorm", width)
        with_bias(shapes, f"{layer}intermediate_query.dense", 3072, width)
        with_bias(shapes, f"{layer}output_query.dense", width, 3072)
        with_bias(shapes, f"{layer}output_query.LayerNorm", width)
    return shapes


def imagebind_shapes(width: int = 768, blocks: int = 12) -> Shapes:
    """The audio tower, and one tensor for each of the five that are not built."""
    front, trunk = "modality_preprocessors.audio.", "modality_trunks.audio.blocks."
    shapes: Shapes = {
        f"{front}cls_token": (1, 1, width),
        f"{front}rgbt_stem.proj.weight": (width, 1, 16, 16),
        f"{front}pos_embedding_helper.pos_embed": (1, 229, width),
        "modality_heads.audio.2.weight": (1024, width),
        "modality_postprocessors.audio.1.log_logit_scale": (),
    }
    with_bias(shapes, f"{front}rgbt_stem.norm_layer", width)
    with_bias(shapes, "modality_heads.audio.0", width)
    for number in range(blocks):
        block = f"{trunk}{number}."
        shapes |= {f"{block}attn.in_proj_weight": (3 * width, width), f"{block}attn.in_proj_bias": (3 * width,)}
        shapes |= {f"{block}attn.bias_{part}": (1, 1, width) for part in "kv"}
        with_bias(shapes, f"{block}attn.out_proj", width, width)
        for norm in ("norm_1", "norm_2"):
            with_bias(shapes, block + norm, width)
        with_bias(shapes, f"{block}mlp.fc1", 4 * width, width)
        with_bias(shapes, f"{block}mlp.fc2", width, 4 * width)
    for other in ("vision", "text", "depth", "thermal", "imu"):
        shapes[f"modality_preprocessors.{other}.cls_token"] = (1, 1, 8)
    return shapes


def llama_shapes(text, rows: int) -> Shapes:
    width, inner = text.hidden_size, text.intermediate_size
    shapes: Shapes = dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (rows, width))
    shapes["model.norm.weight"] = (width,)
    for number in range(text.num_hidden_layers):
        layer = f"model.layers.{number}."
        shapes |= {f"{layer}self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        shapes |= {f"{layer}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes[f"{layer}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{layer}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
        shapes[f"{layer}self_attn.rotary_emb.inv_freq"] = (64,)
    return shapes


def original_shapes(checkpoint, text) -> dict[str, Shapes]:
    """Role -> name list of the file."""
    width = text.hidden_size
    qformer = {"query_tokens": (1, 32, 768)} | bert_shapes("Qformer", 12, 2, 1408)
    with_bias(qformer, "ln_vision", 1408)
    with_bias(qformer, "t5_proj", 4096, 768)
    vision = {"video_query_tokens": (1, 32, 768), "video_frame_position_embedding.weight": (32, 768)}
    vision |= bert_shapes("video_Qformer", 2, 1, 768)
    with_bias(vision, "llama_proj", width, 768)
    files = {"vit": vit_shapes(), "qformer": qformer}
    if checkpoint.audio is not None:
        files["imagebind"] = imagebind_shapes()
    files["checkpoint"] = vision
    if checkpoint.audio is not None:
        audio = {"audio_query_tokens": (1, 8, 768), "audio_position_embedding.weight": (8, 1024)}
        audio |= bert_shapes("audio_Qformer", 2, 1, 1024)
        with_bias(audio, "audio_llama_proj", width, 768)
        files["audio-checkpoint"] = audio
    return files


def tensors_of(role: str, shapes: Shapes) -> dict[str, SourceTensor]:
    """No file stands behind them."""
    file = Path(f"{role}.pth")
    return {name: SourceTensor(name, file, shape, "F16") for name, shape in shapes.items()}


def pieces_of(checkpoint, text) -> list[names.Piece]:
    unused = r"^modality_\w+\.(?:text|depth|thermal|imu|vision)\."
    rules = {
        "vit": (names.VIT, names.unused_blocks(39)),
        "qformer": (names.QFORMER, names.UNUSED_QFORMER),
        "imagebind": (names.IMAGEBIND_AUDIO, names.re.compile(unused)),
        "checkpoint": (names.VIDEO_BRANCH, names.UNUSED_BRANCH),
        "audio-checkpoint": (names.AUDIO_BRANCH, names.UNUSED_BRANCH),
    }
    shapes = original_shapes(checkpoint, text)
    return [names.Piece(role, tensors_of(role, shapes[role]), *rules[role]) for role in shapes]


def llama_pieces(checkpoint, text) -> list[names.Piece]:
    """The language model; or Vicuna's base, one row shorter, with its delta."""
    known = checkpoint.family.known_tokens
    roles = {"llama": 32000, "vicuna-delta": known} if checkpoint.family is VICUNA_V0 else {"llama": known}
    return [
        names.Piece(role, tensors_of(role, llama_shapes(text, rows)), names.LLAMA, names.UNUSED_LLAMA)
        for role, rows in roles.items()
    ]


@each_checkpoint
def test_the_converter_makes_the_committed_configuration(name):
    """From name lists of full size alone, with the published defaults: every tensor in its shape, and every value."""
    checkpoint, committed = CHECKPOINTS[name], AutoConfig.from_pretrained(FOLDERS / name)
    pieces, llama = pieces_of(checkpoint, committed.text_config), llama_pieces(checkpoint, committed.text_config)
    recipes = names.plan_pieces(pieces, grid=16)
    arguments = Namespace(**script.DEFAULTS | {"imagebind": "given" if checkpoint.audio else None})
    text = type(committed.text_config).from_dict(committed.text_config.to_dict())
    config = script.build_config(recipes, arguments, {}, 224, text)
    appended = len(script.PLACEHOLDERS)
    recipes |= names.plan_language_model(llama[0], llama[1] if len(llama) > 1 else None, appended, False)
    ours = {field: tuple(recipe.shape) for field, recipe in recipes.items()}
    with torch.device("meta"):
        model = VideoLlamaForConditionalGeneration(committed)
    assert ours == {field: tuple(tensor.shape) for field, tensor in model.state_dict().items()}
    # What the files do not tell comes from the tokenizer, which is not at hand.
    stated = committed.to_dict()
    for field in ("image_token_id", "audio_token_id", "video_token_id", "output_vocab_size", "stop_sequences"):
        setattr(config, field, stated[field])
    config.dtype, config.architectures = torch.bfloat16, [VideoLlamaForConditionalGeneration.__name__]
    assert config.to_json_string() == committed.to_json_string() == build_config(checkpoint).to_json_string()
    assert committed.output_vocab_size == checkpoint.family.known_tokens
    assert committed.text_config.vocab_size == checkpoint.family.known_tokens + appended


@each_checkpoint
def test_the_name_lists_have_the_published_sizes(name):
    config = AutoConfig.from_pretrained(FOLDERS / name)
    shapes = original_shapes(CHECKPOINTS[name], config.text_config)

    def millions(role):
        counted = {field: shape for field, shape in shapes[role].items() if not field.endswith("position_ids")}
        return sum(torch.Size(shape).numel() for shape in counted.values()) / 1e6

    assert millions("vit") == pytest.approx(PIECES["vit"], abs=0.1)
    own = millions("qformer") - (4096 * 768 + 4096 + 2 * 1408) / 1e6
    assert own == pytest.approx(PIECES["qformer"], abs=0.1)
    assert millions("checkpoint") == pytest.approx(PIECES["checkpoint"][config.text_config.hidden_size], abs=0.05)


@each_checkpoint
def test_unused_names_are_few_and_known(name):
    checkpoint, config = CHECKPOINTS[name], AutoConfig.from_pretrained(FOLDERS / name)
    pieces = pieces_of(checkpoint, config.text_config)
    names.plan_pieces(pieces, grid=16)
    for piece in pieces:
        assert len(piece.used) + len(piece.ignored) == len(piece.tensors)
        for left_out in piece.ignored:
            assert left_out.startswith(("blocks.39.", "t5_proj.", "modality_")) or left_out.endswith("position_ids")


@each_checkpoint
def test_terms_follow_the_language_model(name):
    config = AutoConfig.from_pretrained(FOLDERS / name).to_dict()
    terms = terms_of(config, {"converter": {"name": "convert_video_llama"}})
    assert terms.name == CHECKPOINTS[name].terms.name
    assert ("CC BY-NC-SA" in terms.name) is (name.endswith("-audio") and "vicuna" not in name)


@each_checkpoint
def test_with_a_tokenizer_the_processor_loads(name, tmp_path):
    """The golden tokenizer is a small one; placeholders and template do not depend on the words."""
    shutil.copytree(FOLDERS / name, tmp_path / name)
    tiny_tokenizer().save_pretrained(tmp_path / name)
    processor = AutoProcessor.from_pretrained(tmp_path / name)
    content = [{"type": "video"}, {"type": "text", "text": "When?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    vicuna = CHECKPOINTS[name].family is VICUNA_V0
    assert prompt.endswith("When?###Assistant:" if vicuna else "When? [/INST]")
    assert processor.num_video_tokens() == 32
    assert processor.image_processor.size["height"] == processor.video_processor.size["width"] == 224
