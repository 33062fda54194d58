# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Original checkpoints at full size as they are believed to be, without weights: names, shapes, dtypes and settings.

Name lists are those of `tests/hub_configs/`, which were written from the original codes. Files take no space: the
tensors of safetensors are a hole, those of PyTorch's files one number repeated.
"""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import torch
from checkout import ROOT
from transformers import AutoConfig

from video_lmms.hub.sources import shipped_models


Shapes = Mapping[str, tuple[int, ...]]


def facts_of(model: str) -> SimpleNamespace:
    """A module of tests, by its path: `hub_configs` is the name of the folder at the root, too."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "hub_configs" / f"test_hub_configs_{model}.py")))


def write_sparse(file: Path, shapes: Shapes) -> None:
    """A safetensors file at full size that takes no space: a header, and a hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def write_pickle(file: Path, shapes: Shapes, dtype: torch.dtype, key: str | None = None) -> None:
    """A PyTorch file whose tensors have their full shapes and one number each, repeated by a stride of 0."""
    number = torch.zeros(1, dtype=dtype)
    table = {
        name: number.expand(math.prod(shape)).as_strided(shape, [0] * len(shape)) for name, shape in shapes.items()
    }
    torch.save({key: table} if key else table, file)


def write_json(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def plain(tensors: Mapping) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# Shards; end of an answer, padding, image.
PLLAVA = {
    "pllava-7b": (3, {"</s>": 2, "<pad>": 32001, "<image>": 32000}),
    "pllava-13b": (6, {"</s>": 2, "<pad>": 32001, "<image>": 32000}),
    "pllava-34b": (15, {"<|im_end|>": 7, "<unk>": 0, "<image>": 64002}),
}


def pllava(folder: Path, name: str) -> None:
    own, config = facts_of("pllava"), AutoConfig.from_pretrained(shipped_models()[name])
    shards, tokens = PLLAVA[name]
    end, pad, image = tokens.values()
    write_json(folder / "config.json", own.original_config(config))
    write_json(folder / "generation_config.json", {"eos_token_id": end, "pad_token_id": pad})
    added = [{"content": token, "id": number} for token, number in tokens.items() if number in (pad, image)]
    vocabulary = {token: number for token, number in tokens.items() if number == end}
    write_json(folder / "tokenizer.json", {"added_tokens": added, "model": {"vocab": vocabulary}})
    shapes = plain(own.original_tensors(config))
    names = sorted(shapes)
    for shard in range(shards):
        part = {name: shapes[name] for name in names[shard::shards]}
        write_sparse(folder / f"model-{shard + 1:05d}-of-{shards:05d}.safetensors", part)


def apollo(folder: Path, name: str) -> None:
    own, config = facts_of("apollo"), AutoConfig.from_pretrained(shipped_models()[name])
    top = own.write_original(folder, name)
    write_json(folder / "config.json", top | {"model_dtype": "torch.bfloat16"})
    (folder / "llm" / "added_tokens.json").write_bytes(b" " * 605)  # stock Qwen2.5's, nothing added
    places = {"llm.": "llm", "mm_connector.": "mm_connector"}
    for prefix, shapes in own.original_folders(config).items():
        place = places.get(prefix) or f"vision_tower/{prefix.split('.')[1]}"
        write_sparse(folder / place / "model.safetensors", shapes)


def longvu(folder: Path, name: str) -> None:
    own, config = facts_of("longvu"), AutoConfig.from_pretrained(shipped_models()[name])
    tail = {
        "image_aspect_ratio": "pad",
        "mm_vision_tower_aux_token_len_list": [576, 576],
        "vision_tower_aux_token_len_list": [576, 576],
        "start_of_vision_sampler_layers": 0,
        "tokenizer_padding_side": "right",
    }
    write_json(folder / "config.json", own.original_config(config) | tail)
    shapes = plain(own.original_folders(config)["checkpoint"])
    write_pickle(folder / "pytorch_model.bin", shapes, torch.bfloat16)


def video_llama(folder: Path, name: str) -> None:
    """The fine-tuned and pretrained checkpoints with their audio branch."""
    own = facts_of("video_llama")
    shipped = {
        "video-llama-vicuna-7b": "video-llama-vicuna-7b-audio",
        **{f"video-llama-2-{size}-finetuned": f"video-llama-2-{size}-audio" for size in ("7b", "13b")},
        **{f"video-llama-2-{size}-pretrained": f"video-llama-2-{size}-pretrained-audio" for size in ("7b", "13b")},
    }[name]
    checkpoint = own.CHECKPOINTS[shipped]
    text = AutoConfig.from_pretrained(shipped_models()[shipped]).text_config
    files = {
        "vit": ("eva_vit_g.pth", torch.float16, None),
        "qformer": ("blip2_pretrained_flant5xxl.pth", torch.float32, "model"),
        "imagebind": ("imagebind_huge.pth", torch.float32, None),
        "checkpoint": (checkpoint.vision, torch.float32, "model"),
        "audio-checkpoint": (checkpoint.audio, torch.float32, "model"),
    }
    for role, shapes in own.original_shapes(checkpoint, text).items():
        file, dtype, key = files[role]
        write_pickle(folder / file, shapes, dtype, key)
    rows = checkpoint.family.known_tokens
    llama = "vicuna-7b-v0" if "vicuna" in name else f"llama-2-{name.split('-')[3]}-chat-hf"
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps")
    write_json(folder / llama / "config.json", {key: getattr(text, key) for key in keys} | {"vocab_size": rows})
    write_sparse(folder / llama / "model.safetensors", own.llama_shapes(text, rows))


def videotgb(folder: Path, name: str) -> None:
    own = facts_of("videotgb")
    shapes = {prefix + key: shape for prefix, part in own.original_parts(name).items() for key, shape in part.items()}
    vision = {"hidden_size": 1408, "layer_norm_eps": 1e-6}
    if name == "videotgb-7b":
        file, base = folder / "LSTP-7B.ckpt", folder / "instructblip-vicuna-7b"
        text = {"vocab_size": 32001, "rms_norm_eps": 1e-6, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1}
        added = [{"content": "[PAD]", "id": 32000}]
        write_json(base / "tokenizer.json", {"added_tokens": added, "model": {"vocab": {"</s>": 2}}})
        write_json(base / "tokenizer_config.json", {"truncation_side": "left"})
    else:
        file, base = folder / "LSTP-FlanT5xl.ckpt", folder / "blip2-flan-t5-xl"
        text = {"d_model": 2048, "vocab_size": 32128}
    write_json(base / "config.json", {"vision_config": vision, "text_config": text})
    write_pickle(file, shapes, torch.float32, "state_dict")


WRITERS = {"apollo": apollo, "longvu": longvu, "pllava": pllava, "video_llama": video_llama, "videotgb": videotgb}
# A file of one number per tensor is smaller than the published one, and is told to be.
SMALLER = {"videotgb-7b": ["bytes of LSTP-7B.ckpt"]}
