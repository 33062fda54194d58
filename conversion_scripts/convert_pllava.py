# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts a PLLaVA checkpoint of the original repository.

Three layouts:
- a published folder (ermu2001/pllava-7b, -13b, -34b): full weights saved through PEFT. `--model-dir` alone;
- a folder the original trainer wrote (LoRA and projector only) over its base. `--model-dir BASE --weights-dir DELTA`;
- a plain LLaVA-NeXT folder, which gives the zero-shot model. `--model-dir` alone.

The LoRA strength is stored nowhere: training used alpha 32, every published number uses alpha 4 (the default here).

    python conversion_scripts/convert_pllava.py --model-dir pllava-7b --output pllava-7b-hf
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, GenerationConfig, LlamaConfig, PreTrainedTokenizerFast

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    ConversionError,
    Plan,
    Recipe,
    SourceTensor,
    any_layer,
    check_complete,
    check_dtypes,
    merge_lora,
    parse_size,
    read_folder,
    read_json,
    run_command,
    tell_counts,
    write_json,
    write_model,
)
from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration
from video_lmms.processing.chat_templates_pllava import chat_templates
from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


CONVERTER_VERSION = 1

# Original name -> name in the model. PEFT's wrapping of the language model is undone first.
PEFT_PREFIX = "language_model.base_model.model."
NAMES = (
    (r"^vision_tower\.vision_model\.", "model.vision_tower."),
    (r"^multi_modal_projector\.", "model.multi_modal_projector."),
    (r"^language_model\.model\.", "model.language_model."),
    (r"^language_model\.lm_head\.", "lm_head."),
)
LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<matrix>[AB])\.default\.weight$")
# The base model's token at line ends of image tiles, and buffers that old files carry; PLLaVA reads none of them.
UNUSED = re.compile(r"^image_newline$|\.position_ids$|\.rotary_emb\.inv_freq$")
VISION_LAYER = re.compile(r"^model\.vision_tower\.encoder\.layers\.(\d+)\.")


def target_name(source: str) -> str:
    """Name of an original tensor in the model, LoRA matrices aside."""
    name = source.removeprefix(PEFT_PREFIX)
    if name != source:
        name = "language_model." + name.replace(".base_layer.", ".")
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def is_unused(name: str, depth: int) -> bool:
    """Whether the model deliberately leaves this tensor out: a block above the last used one, or `UNUSED`.

    Args:
        name: a target name.
        depth: blocks of the built tower.
    """
    layer = VISION_LAYER.match(name)
    return bool(UNUSED.search(name)) or (layer is not None and int(layer[1]) >= depth)


def vision_depth(config: Mapping) -> int:
    """Blocks that the selected hidden state needs: 23 of 24 for the published layer -2.

    Raises:
        ConversionError: the class token is asked for, which the original refuses too.
    """
    if config.get("vision_feature_select_strategy", "default") != "default":
        raise ConversionError(
            f"vision_feature_select_strategy is {config['vision_feature_select_strategy']!r}; PLLaVA knows 'default'."
        )
    layers = config["vision_config"].get("num_hidden_layers", 24)
    layer = config.get("vision_feature_layer", -2)
    depth = layer if layer >= 0 else layers + 1 + layer
    if not 1 <= depth <= layers:
        raise ConversionError(f"vision_feature_layer is {layer}, but the tower has {layers} blocks.")
    return depth


def build_config(original: Mapping, pooling_shape: Sequence[int], tie_word_embeddings: bool) -> PllavaConfig:
    """The new configuration from an original or LLaVA-NeXT `config.json`."""
    known = CLIPVisionConfig().to_dict()
    vision = {name: value for name, value in original["vision_config"].items() if name in known}
    vision["num_hidden_layers"] = vision_depth(original)
    text = {name: value for name, value in original["text_config"].items() if name not in ("architectures", "dtype")}
    text = {name: value for name, value in text.items() if not name.startswith(("_", "torch_"))}
    text["tie_word_embeddings"] = tie_word_embeddings
    grid = vision["image_size"] // vision["patch_size"]
    if list(original.get("frame_shape", [grid, grid])) != [grid, grid]:
        raise ConversionError(
            f"frame_shape is {original['frame_shape']}, but the tower gives a grid of {grid} x {grid} patches."
        )
    return PllavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text),
        image_token_id=original["image_token_index"],
        video_token_id=original["image_token_index"],
        pooling_shape=list(pooling_shape),
        projector_hidden_act=original.get("projector_hidden_act", "gelu"),
        tie_word_embeddings=tie_word_embeddings,
    )


def split_lora(
    tensors: Mapping[str, SourceTensor],
) -> tuple[dict[str, SourceTensor], dict[str, dict[str, SourceTensor]]]:
    """Separates LoRA matrices from weights; both under target names.

    Returns:
        weights, and module -> {"A": matrix (rank, in), "B": matrix (out, rank)}.

    Raises:
        ConversionError: two tensors with one target, a matrix without its partner, or ranks that differ.
    """
    weights: dict[str, SourceTensor] = {}
    lora: dict[str, dict[str, SourceTensor]] = {}
    for name, tensor in tensors.items():
        found = LORA.match(name)
        target = target_name(name)
        if found:
            lora.setdefault(target_name(found["module"]), {})[found["matrix"]] = tensor
        elif target in weights:
            raise ConversionError(f"{name} and {weights[target].name} are the same weight.")
        else:
            weights[target] = tensor
    for pair in lora.values():
        if len(pair) != 2:
            (have, present), absent = next(iter(pair.items())), "B" if "A" in pair else "A"
            partner = present.name.replace(f".lora_{have}.", f".lora_{absent}.")
            raise ConversionError(f"{partner} is missing, the partner of {present.name}.")
        if pair["A"].shape[0] != pair["B"].shape[1]:
            raise ConversionError(
                f"{pair['A'].name} has rank {pair['A'].shape[0]}, but {pair['B'].name} rank {pair['B'].shape[1]}."
            )
    return weights, lora


def check_lora(weights: Mapping[str, SourceTensor], lora: Mapping[str, Mapping[str, SourceTensor]]) -> None:
    """Every LoRA pair must fit a weight, and every layer must have the pairs that any layer has.

    Raises:
        ConversionError: naming the tensor; typically a delta over the wrong base.
    """
    for module, pair in lora.items():
        weight = weights.get(f"{module}.weight")
        if weight is None:
            raise ConversionError(f"{module}.weight is missing, though {pair['A'].name} changes it: wrong base?")
        shape = (pair["B"].shape[0], pair["A"].shape[1])
        if shape != weight.shape:
            raise ConversionError(
                f"{pair['A'].name} and its partner change a weight of shape {shape}, but {weight.name} has "
                f"{weight.shape}: is this the right --model-dir?"
            )
    adapted = {any_layer(module) for module in lora}
    for name in weights:
        module = name.removesuffix(".weight")
        if any_layer(module) in adapted and module not in lora:
            raise ConversionError(f"The LoRA matrices of {module} are missing; other layers have theirs.")


def combine(model: Mapping[str, SourceTensor], delta: Mapping[str, SourceTensor]) -> dict[str, SourceTensor]:
    """Tensors of both folders by original name; the delta wins, whatever wrapping each was saved under."""
    replaced = {target_name(name) for name in delta}
    return {name: tensor for name, tensor in model.items() if target_name(name) not in replaced} | dict(delta)


def dtype_group(name: str) -> str:
    """Tensors that were saved together: tower, projector, language model, LoRA."""
    return "LoRA" if LORA.match(name) else target_name(name).removeprefix("model.").split(".")[0]


def plan_weights(
    tensors: Mapping[str, SourceTensor], config: PllavaConfig, lora_alpha: float, keep_lora: bool
) -> tuple[dict[str, Recipe], dict[str, dict[str, SourceTensor]], list[str]]:
    """Checks the whole checkpoint and plans every tensor.

    Returns:
        target name -> recipe, LoRA pairs by module, names of the deliberately unused tensors.

    Raises:
        ConversionError: a tensor is missing, unknown, misshapen or of an unusable dtype.
    """
    check_dtypes(tensors.values(), dtype_group)
    weights, lora = split_lora(tensors)
    check_lora(weights, lora)
    depth = config.vision_config.num_hidden_layers
    unused = sorted(tensor.name for name, tensor in weights.items() if is_unused(name, depth))
    if config.tie_word_embeddings:
        unused += [tensor.name for name, tensor in weights.items() if name == "lm_head.weight"]
    recipes = {}
    for name, tensor in weights.items():
        if tensor.name in unused:
            continue
        pair = lora.get(name.removesuffix(".weight"))
        if pair is None or keep_lora:
            recipes[name] = Recipe((tensor,))
        else:
            recipes[name] = Recipe((tensor, pair["A"], pair["B"]), merge_lora(lora_alpha))
    with torch.device("meta"):
        model = PllavaForConditionalGeneration(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight")
    check_complete(recipes, expected)
    return recipes, lora, unused


def write_adapter(
    lora: Mapping[str, Mapping[str, SourceTensor]], alpha: float, dtype: torch.dtype, folder: Path
) -> None:
    """Writes the LoRA matrices as a PEFT adapter beside the weights; `from_pretrained` then loads both."""
    matrices = {
        f"base_model.model.{module}.lora_{matrix}.weight": tensor.load().to(dtype)
        for module, pair in lora.items()
        for matrix, tensor in pair.items()
    }
    save_file(matrices, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    leaves = sorted({module.rsplit(".", 1)[1] for module in lora})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": next(iter(lora.values()))["A"].shape[0],
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": rf".*language_model\..*\.({'|'.join(leaves)})",
    }
    write_json(folder / "adapter_config.json", config)


def build_processor(folder: Path, original: Mapping, config: PllavaConfig, num_frames: int) -> PllavaProcessor:
    """Tokenizer as stored, CLIP statistics as stored, PLLaVA's templates.

    Raises:
        ConversionError: the tokenizer and config.json disagree on `<image>`.
    """
    # Read as the generic backend: the Llama class would rebuild the pre-tokeniser and give other ids.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    if image_id != config.image_token_id or image_id == tokenizer.unk_token_id:
        raise ConversionError(
            f"{folder / 'tokenizer.json'} gives <image> the id {image_id}, but image_token_index is "
            f"{config.image_token_id}: the tokenizer belongs to another checkpoint."
        )
    stored = read_json(folder / "preprocessor_config.json")
    pixels = {name: stored[name] for name in ("image_mean", "image_std", "resample", "size", "crop_size")}
    family = "plain_llavanext" if "<|im_start|>" in tokenizer.get_vocab() else "plain"
    return PllavaProcessor(
        image_processor=PllavaImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=PllavaVideoProcessor(num_frames=num_frames, **pixels),
        chat_template=chat_templates(family),
        pooling_shape=config.pooling_shape,
    )


def build_generation_config(folder: Path, original: Mapping, processor: PllavaProcessor) -> GenerationConfig:
    """Stop and padding ids; decoding stays greedy, as in every benchmark of the original."""
    stored = folder / "generation_config.json"
    ids = read_json(stored) if stored.is_file() else original["text_config"]
    tokenizer = processor.tokenizer
    return GenerationConfig(
        bos_token_id=ids.get("bos_token_id", tokenizer.bos_token_id),
        eos_token_id=ids.get("eos_token_id", tokenizer.eos_token_id),
        pad_token_id=ids.get("pad_token_id", tokenizer.pad_token_id),
    )


def convert(
    model_dir: Path,
    output: Path,
    weights_dir: Path | None = None,
    lora_alpha: float = 4,
    keep_lora: bool = False,
    num_frames: int = 16,
    pooling_shape: Sequence[int] = (16, 12, 12),
    dtype: str = "bfloat16",
    max_shard_size: str = "5GB",
) -> Path:
    """Converts a checkpoint; see the module's text for the layouts.

    Args:
        model_dir: published folder, or LLaVA-NeXT base.
        output: folder to create; must not exist or be empty.
        weights_dir: what the original trainer wrote, over the base.
        lora_alpha: LoRA strength; stored nowhere, 4 in all published runs, 32 in training.
        keep_lora: keep LoRA as a PEFT adapter instead of merging it in float32.
        num_frames: frames per video; the original takes it from its caller and never from config.json.
        pooling_shape: visual tokens along (time, height, width); likewise.
        dtype: of the written weights.
        max_shard_size: of an output file, such as "5GB".

    Returns:
        `output`.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
    """
    original = read_json((weights_dir or model_dir) / "config.json")
    for key in ("vision_config", "text_config", "image_token_index"):
        if key not in original:
            raise ConversionError(f"{(weights_dir or model_dir) / 'config.json'} has no {key}: no LLaVA-like folder.")
    tensors = combine(read_folder(model_dir), read_folder(weights_dir) if weights_dir else {})
    tied = bool(original.get("tie_word_embeddings", original["text_config"].get("tie_word_embeddings", False)))
    config = build_config(original, pooling_shape, tied)
    config.dtype = DTYPES[dtype]
    config.architectures = [PllavaForConditionalGeneration.__name__]
    recipes, lora, unused = plan_weights(tensors, config, lora_alpha, keep_lora)
    if keep_lora and not lora:
        raise ConversionError("--keep-lora was given, but the checkpoint holds no LoRA matrices.")
    processor = build_processor(model_dir, original, config, num_frames)
    generation_config = build_generation_config(model_dir, original, processor)
    options = {"lora_alpha": lora_alpha if lora else None, "keep_lora": keep_lora, "dtype": dtype}
    options |= {"num_frames": num_frames, "pooling_shape": list(pooling_shape)}
    files = sorted({tensor.file for tensor in tensors.values()})
    plan = Plan(recipes, DTYPES[dtype], parse_size(max_shard_size), files, options)

    def write_lora(folder: Path) -> None:
        if keep_lora:
            write_adapter(lora, lora_alpha, DTYPES[dtype], folder)

    facts = {"source_tensors": len(tensors), "unused_source_tensors": unused}
    write_model(
        plan, output, (config, generation_config, processor), ("convert_pllava", CONVERTER_VERSION), facts, write_lora
    )
    tell_counts(len(tensors), plan, unused)
    return output


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="video-lmms convert pllava",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="published folder, or LLaVA-NeXT base")
    parser.add_argument("--weights-dir", type=Path, help="what the original trainer wrote over the base")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--lora-alpha", type=float, default=4, help="LoRA strength (stored nowhere)")
    parser.add_argument("--keep-lora", action="store_true", help="keep LoRA as a PEFT adapter")
    parser.add_argument("--num-frames", type=int, default=16, help="frames per video")
    parser.add_argument("--pooling-shape", type=int, nargs=3, default=[16, 12, 12], help="tokens along t, h, w")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16", help="of the written weights")
    parser.add_argument("--max-shard-size", default="5GB", help="of an output file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
