# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts a LongVU checkpoint of the original repository.

The published folder holds the language model and the connector; both towers are repositories of their own
(google/siglip-so400m-patch14-384, facebook/dinov2-giant), which the original fetched by itself.

    python conversion_scripts/convert_longvu.py --checkpoint LongVU_Qwen2_7B --siglip siglip-so400m-patch14-384 \\
        --dinov2 dinov2-giant --output longvu-qwen2-7b
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn import functional as F
from transformers import Dinov2Config, GenerationConfig, PreTrainedTokenizerFast, SiglipVisionConfig

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    ConversionError,
    Plan,
    Recipe,
    SourceTensor,
    check_complete,
    check_dtypes,
    parse_size,
    read_folder,
    read_json,
    run_command,
    tell_counts,
    write_model,
)
from video_lmms.modeling.configuration_longvu import TEXT_CONFIGS, LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration
from video_lmms.processing.chat_templates_longvu import TEMPLATES
from video_lmms.processing.image_processing_longvu import LongvuImageProcessor
from video_lmms.processing.processing_longvu import LongvuProcessor
from video_lmms.processing.video_processing_longvu import LongvuVideoProcessor


CONVERTER_VERSION = 1
IMAGE_TOKEN = "<image>"
# Rows of a table are added in such steps, which tensor parallelism divides.
ROW_STEP = 64

# Original name -> name in the model, by source folder. DINOv2 keeps the names of its own repository on disk: every
# release of transformers reads those, and newer ones rename and split them while loading.
LAYER = r"^model\.vision_sampler_0\.layers\.(\d+)\."
NAMES = {
    "checkpoint": (
        (r"^model\.mm_projector\.0\.", "model.multi_modal_projector.linear_1."),
        (r"^model\.mm_projector\.2\.", "model.multi_modal_projector.linear_2."),
        (r"^model\.mm_projector_aux_(\d)\.0\.", r"model.tower_projectors.\1.linear_1."),
        (r"^model\.mm_projector_aux_(\d)\.2\.", r"model.tower_projectors.\1.linear_2."),
        (r"^model\.mm_projector_aux_(\d)\.3\.", r"model.tower_projectors.\1.norm."),
        (r"^model\.vision_query$", "model.aggregator.query"),
        (LAYER + r"proj_context\.", r"model.aggregator.layers.\1.context_proj."),
        (LAYER + r"proj_in\.", r"model.aggregator.layers.\1.in_proj."),
        (LAYER + r"proj_out\.", r"model.aggregator.layers.\1.mlp."),
        (LAYER + r"pos_embed_(\d)$", r"model.aggregator.layers.\1.window_position.\2"),
        (LAYER + r"cross_attn\.q_proj\.0\.", r"model.aggregator.layers.\1.q_norm."),
        (LAYER + r"cross_attn\.q_proj\.1\.", r"model.aggregator.layers.\1.q_proj."),
        (LAYER + r"cross_attn\.([kv])_proj_(\d)\.0\.", r"model.aggregator.layers.\1.\2_norms.\3."),
        (LAYER + r"cross_attn\.([kv])_proj_(\d)\.1\.", r"model.aggregator.layers.\1.\2_projs.\3."),
        (LAYER + r"cross_attn\.o_proj\.", r"model.aggregator.layers.\1.o_proj."),
        (LAYER + r"norm\.", r"model.aggregator.layers.\1.norm."),
        (r"^model\.(embed_tokens|layers|norm)\.", r"model.language_model.\1."),
    ),
    "siglip": ((r"^vision_model\.", "model.vision_tower."),),
    "dinov2": ((r"^(dinov2\.)?", "model.dinov2_tower."),),
}
# SigLIP's text half and what follows its last block; DINOv2's mask of pre-training; buffers of old files.
UNUSED = {
    "checkpoint": re.compile(r"\.rotary_emb\.inv_freq$"),
    "siglip": re.compile(r"^text_model\.|^logit_|^vision_model\.(post_layernorm|head)\.|\.position_ids$"),
    "dinov2": re.compile(r"^(dinov2\.)?embeddings\.mask_token$"),
}
# Names that newer transformers give to DINOv2's tensors -> names on disk; `up_proj` is the other half of `weights_in`.
DINOV2_DISK_NAMES = (
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.(gate|up)_proj\.", ".mlp.weights_in."),
    (r"\.mlp\.down_proj\.", ".mlp.weights_out."),
)
# What the converted model assumes of config.json -> the values of every published checkpoint.
ASSUMED = {
    "mm_projector_type": "sva",
    "connector_only": True,
    "num_query_group": 1,
    "frame_pos": False,
    "mm_use_im_start_end": False,
}
TEXT_TYPES = {"cambrian_qwen": "qwen2", "cambrian_llama": "llama"}
FAMILIES = {"qwen2": "qwen", "llama": "llama3"}


def rename(name: str, table: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def target_name(source: str, folder: str = "checkpoint") -> str:
    """Name of an original tensor in the written files.

    Args:
        source: its name.
        folder: "checkpoint", "siglip" or "dinov2".
    """
    return rename(source, NAMES[folder])


def check_assumptions(original: Mapping, file: Path) -> None:
    """The configuration must not ask for what no published checkpoint uses.

    Raises:
        ConversionError: naming the key, or the language model that is not known.
    """
    if original.get("model_type") not in TEXT_TYPES:
        raise ConversionError(
            f"{file} has model_type {original.get('model_type')!r}; LongVU's are {' and '.join(TEXT_TYPES)}."
        )
    for key, value in ASSUMED.items():
        if original.get(key, value) != value:
            raise ConversionError(f"{key} is {original[key]!r} in {file}; LongVU's checkpoints have {value!r}.")
    for key in ("image_token_len", "hidden_size", "vocab_size"):
        if key not in original:
            raise ConversionError(f"{file} has no {key}: this is no LongVU checkpoint.")
    if original.get("query_num_list", [original["image_token_len"]]) != [original["image_token_len"]]:
        raise ConversionError(
            f"query_num_list is {original['query_num_list']}, but image_token_len is {original['image_token_len']}: "
            "both must name the same number in a list of one and alone. Edit config.json."
        )


def check_stage(tensors: Mapping[str, SourceTensor], image_token_len: int, grid_tokens: int) -> None:
    """Models with windows of one patch have no positions inside them; all others have.

    Raises:
        ConversionError: config.json belongs to the other stage of training.
    """
    found = sorted(name for name in tensors if "pos_embed_" in name)
    if image_token_len < grid_tokens and not found:
        raise ConversionError(
            f"config.json says image_token_len {image_token_len}, but there is no "
            f"model.vision_sampler_0.layers.0.pos_embed_0: this is an image-stage checkpoint. Set image_token_len to "
            f"{grid_tokens} and query_num_list to [{grid_tokens}] in config.json."
        )
    if image_token_len == grid_tokens and found:
        raise ConversionError(
            f"config.json says image_token_len {image_token_len}, but the weights hold {found[0]}: this is a "
            "video-stage checkpoint. Set image_token_len to 144 and query_num_list to [144] in config.json."
        )


def build_text_config(original: Mapping, tokenizer_length: int) -> dict:
    """The language model's part of config.json; the table gets rows for the placeholder if it has none to spare."""
    model_type = TEXT_TYPES[original["model_type"]]
    known = TEXT_CONFIGS[model_type]().to_dict().keys() | {"rope_theta", "rope_scaling"}
    ignored = {"architectures", "dtype", "torch_dtype", "model_type", "transformers_version", "use_cache"}
    text = {key: value for key, value in original.items() if key in known - ignored}
    if model_type == "qwen2":
        text["rope_scaling"] = None  # the original forces it
    if text["vocab_size"] <= tokenizer_length:
        text["vocab_size"] = -(-(tokenizer_length + 1) // ROW_STEP) * ROW_STEP
    return {**text, "model_type": model_type}


def build_config(
    original: Mapping, siglip: Mapping, dinov2: Mapping, dinov2_image_size: int, tokenizer_length: int
) -> LongvuConfig:
    """The new configuration from the three original ones.

    Args:
        original: of the checkpoint.
        siglip: of the SigLIP repository, with a `vision_config` or being one.
        dinov2: of the DINOv2 repository.
        dinov2_image_size: pixels that DINOv2 sees; the position table is resized to it.
        tokenizer_length: ids in use; the next one becomes the placeholder.

    Raises:
        ConversionError: sizes that contradict each other.
    """
    vision = siglip.get("vision_config", siglip)
    vision = {key: value for key, value in vision.items() if key in SiglipVisionConfig().to_dict()}
    tower = {key: value for key, value in dinov2.items() if key in Dinov2Config().to_dict()}
    for values in (vision, tower):
        for key in ("architectures", "dtype", "torch_dtype", "transformers_version"):
            values.pop(key, None)
    tower["image_size"] = dinov2_image_size
    own = ("connector_depth", "vision_hidden_size", "image_token_len", "lowres_token", "highres")
    values = {key: original[key] for key in (*own, "dino_threshold", "drop_threshold") if key in original}
    # Where config.json is silent, the original's code has these values.
    values = {"highres": False} | values
    try:
        return LongvuConfig(
            vision_config=vision,
            dinov2_config=tower,
            text_config=build_text_config(original, tokenizer_length),
            image_token_id=tokenizer_length,
            video_token_id=tokenizer_length,
            context_length=original.get("tokenizer_model_max_length", 8192),
            reserve=original.get("inference_max_length", 16),
            tie_word_embeddings=bool(original.get("tie_word_embeddings", False)),
            **values,
        )
    except (ValueError, StrictDataclassError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConversionError(f"config.json does not describe a LongVU model: {reason}") from error


def resize_positions(side: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The builder of DINOv2's position table for a side x side grid, class token first.

    The tenth of a patch decides where the old table is read; it is what the published weights were trained with, and
    newer transformers read elsewhere.
    """

    def build(table: torch.Tensor) -> torch.Tensor:
        old = round((table.shape[1] - 1) ** 0.5)
        grid = table[:, 1:].float().transpose(1, 2).unflatten(2, (old, old))
        scale = (side + 0.1) / old
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1)

    return build


def add_rows(rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The builder of a table with more rows: the mean of the old ones, which favours no token."""

    def build(table: torch.Tensor) -> torch.Tensor:
        mean = table.float().mean(0, keepdim=True).to(table.dtype)
        return torch.cat([table, mean.expand(rows - len(table), -1)])

    return build


def make_recipe(name: str, tensor: SourceTensor, config: LongvuConfig) -> Recipe:
    """The recipe of the tensor that is written as `name`."""
    if name == "model.dinov2_tower.embeddings.position_embeddings":
        side = config.dinov2_config.image_size // config.dinov2_config.patch_size
        if tensor.shape[1] != side * side + 1:
            return Recipe((tensor,), resize_positions(side), (1, side * side + 1, tensor.shape[2]))
    if name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        rows = config.text_config.vocab_size
        if tensor.shape[0] < rows:
            return Recipe((tensor,), add_rows(rows), (rows, tensor.shape[1]))
    return Recipe((tensor,))


def expected_shapes(config: LongvuConfig) -> dict[str, tuple[int, ...]]:
    """Names on disk and shapes of the model's tensors, without allocating any."""
    with torch.device("meta"):
        model = LongvuForConditionalGeneration(config)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if name.startswith("model.dinov2_tower."):
            name = rename(name, DINOV2_DISK_NAMES)
            if name in shapes:  # the two halves lie one behind the other
                shape = (shapes[name][0] + shape[0], *shape[1:])
        shapes[name] = shape
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    return shapes


def plan_weights(
    folders: Mapping[str, Mapping[str, SourceTensor]], config: LongvuConfig, original_rows: int
) -> tuple[dict[str, Recipe], list[str]]:
    """Checks all three folders and plans every tensor.

    Args:
        folders: tensors of "checkpoint", "siglip" and "dinov2".
        config: of the new model.
        original_rows: of the embedding table, by config.json.

    Returns:
        name on disk -> recipe, and names of the deliberately unused tensors.

    Raises:
        ConversionError: a tensor is missing, unknown, misshapen or of an unusable dtype.
    """
    recipes: dict[str, Recipe] = {}
    unused: list[str] = []
    for folder, tensors in folders.items():
        check_dtypes(tensors.values(), lambda name, folder=folder: folder)
        for name, tensor in tensors.items():
            target = target_name(name, folder)
            if UNUSED[folder].search(name) or (config.tie_word_embeddings and target == "lm_head.weight"):
                unused.append(name)
                continue
            if target in recipes:
                raise ConversionError(f"{name} and {recipes[target].sources[0].name} are the same weight.")
            recipes[target] = make_recipe(target, tensor, config)
    for name, tensor in folders["checkpoint"].items():
        if name in ("model.embed_tokens.weight", "lm_head.weight") and tensor.shape[0] != original_rows:
            raise ConversionError(
                f"{name} has {tensor.shape[0]} rows, but config.json says vocab_size {original_rows}."
            )
    check_stage(folders["checkpoint"], config.image_token_len, config.grid_size**2)
    check_complete(recipes, expected_shapes(config))
    return recipes, sorted(unused)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The stored tokenizer, padding on the left, without the placeholder.

    Raises:
        ConversionError: there is none, or it knows `<image>` as a token already.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConversionError(f"{folder / 'tokenizer.json'} does not exist.")
    # Read as the generic backend: the model's own class would rebuild the pre-tokeniser and may give other ids.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    if IMAGE_TOKEN in tokenizer.get_vocab():
        raise ConversionError(f"{folder / 'tokenizer.json'} has a token {IMAGE_TOKEN}: it was converted already.")
    return tokenizer


def build_processor(
    tokenizer: PreTrainedTokenizerFast, config: LongvuConfig, siglip_size: int, dinov2_size: int
) -> LongvuProcessor:
    """The tokenizer with its placeholder, pixels of both towers, the family's template.

    Raises:
        ConversionError: the placeholder does not get the id behind the tokenizer's.
    """
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]}, replace_extra_special_tokens=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if image_id != config.image_token_id:
        raise ConversionError(
            f"{IMAGE_TOKEN} gets id {image_id}, not {config.image_token_id}: tokenizer.json has gaps."
        )
    pixels = {
        "size": {"height": siglip_size, "width": siglip_size},
        "size_dinov2": {"height": dinov2_size, "width": dinov2_size},
    }
    shared = ("context_length", "reserve", "image_token_len", "lowres_token", "highres", "image_full_resolution")
    return LongvuProcessor(
        image_processor=LongvuImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=LongvuVideoProcessor(**pixels),
        chat_template=TEMPLATES[FAMILIES[config.text_config.model_type]],
        **{name: getattr(config, name) for name in shared},
    )


def build_generation_config(original: Mapping, config: LongvuConfig, processor: LongvuProcessor) -> GenerationConfig:
    """Stop ids as stored; greedy, as in the original's benchmarks. Rows behind the tokenizer are never chosen."""
    return GenerationConfig(
        bos_token_id=original.get("bos_token_id"),
        eos_token_id=original.get("eos_token_id"),
        pad_token_id=processor.tokenizer.pad_token_id,
        suppress_tokens=list(range(config.image_token_id, config.text_config.vocab_size)),
    )


def convert(
    checkpoint: Path,
    siglip: Path,
    dinov2: Path,
    output: Path,
    dinov2_image_size: int = 378,
    dtype: str = "bfloat16",
    max_shard_size: str = "5GB",
) -> Path:
    """Converts a checkpoint.

    Args:
        checkpoint: published folder.
        siglip: folder of google/siglip-so400m-patch14-384.
        dinov2: folder of facebook/dinov2-giant.
        output: folder to create; must not exist or be empty.
        dinov2_image_size: pixels that DINOv2 sees; stored nowhere, 378 in all published runs.
        dtype: of the written weights.
        max_shard_size: of an output file, such as "5GB".

    Returns:
        `output`.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
    """
    original = read_json(checkpoint / "config.json")
    check_assumptions(original, checkpoint / "config.json")
    tokenizer = load_tokenizer(checkpoint)
    towers = read_json(siglip / "config.json"), read_json(dinov2 / "config.json")
    folders = {"checkpoint": read_folder(checkpoint), "siglip": read_folder(siglip), "dinov2": read_folder(dinov2)}
    config = build_config(original, *towers, dinov2_image_size, len(tokenizer))
    config.dtype = DTYPES[dtype]
    config.architectures = [LongvuForConditionalGeneration.__name__]
    recipes, unused = plan_weights(folders, config, original["vocab_size"])
    processor = build_processor(tokenizer, config, config.vision_config.image_size, dinov2_image_size)
    config.text_config.pad_token_id = processor.tokenizer.pad_token_id
    generation_config = build_generation_config(original, config, processor)
    tensors = [tensor for folder in folders.values() for tensor in folder.values()]
    options = {"dinov2_image_size": dinov2_image_size, "dtype": dtype}
    files = sorted({tensor.file for tensor in tensors})
    plan = Plan(recipes, DTYPES[dtype], parse_size(max_shard_size), files, options)

    facts = {"source_tensors": len(tensors), "unused_source_tensors": unused}
    write_model(plan, output, (config, generation_config, processor), ("convert_longvu", CONVERTER_VERSION), facts)
    tell_counts(len(tensors), plan, unused)
    return output


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="video-lmms convert longvu",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="published folder")
    parser.add_argument("--siglip", type=Path, required=True, help="folder of google/siglip-so400m-patch14-384")
    parser.add_argument("--dinov2", type=Path, required=True, help="folder of facebook/dinov2-giant")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--dinov2-image-size", type=int, default=378, help="pixels DINOv2 sees (stored nowhere)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16", help="of the written weights")
    parser.add_argument("--max-shard-size", default="5GB", help="of an output file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
