# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts an Apollo checkpoint of the original release.

The published folder holds four sets of weights and their configurations: `llm/`, `mm_connector/` and one folder per
tower in `vision_tower/`. The original's code files are not needed. The state dict of the whole original model, as
fine-tuning scripts save it, replaces all four with `--weights`.

    python conversion_scripts/convert_apollo.py --checkpoint Apollo-1_5B-t32 --output apollo-1.5b-hf
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import GenerationConfig, Qwen2Config, Qwen2Tokenizer, SiglipVisionConfig

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
    read_header,
    read_json,
    run_command,
    tell_counts,
    write_model,
)
from video_lmms.modeling.configuration_apollo import ApolloConfig
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


CONVERTER_VERSION = 1

SIGLIP = r"^vision_tower\.[^.]*siglip[^.]*\.vision_tower\.vision_model\."
INTERNVIDEO2 = r"^vision_tower\.[^.]*internvideo2[^.]*\.vision_tower\."
# Name in the whole original model -> name in the new one; every matching line applies, from top to bottom.
NAMES = (
    (r"^llm\.model\.", "model.language_model."),
    (r"^llm\.lm_head\.", "lm_head."),
    (r"^mm_connector\.proj\.", "model.multi_modal_projector."),
    (r"^mm_connector\.resampler\.", "model.resampler."),
    (r"\.wheight$", ".scale"),
    (SIGLIP, "model.vision_tower.siglip."),
    (INTERNVIDEO2 + r"patch_embed\.proj\.", "model.vision_tower.internvideo2.embeddings.patch_embedding."),
    (INTERNVIDEO2 + r"cls_token$", "model.vision_tower.internvideo2.embeddings.class_embedding"),
    (INTERNVIDEO2 + r"pos_embed$", "model.vision_tower.internvideo2.embeddings.position_embedding"),
    # LayerScale is stored as `gamma`, or as `weight` by files that an old library renamed.
    (INTERNVIDEO2 + r"blocks\.(\d+)\.ls(\d)\.(?:gamma|weight)$", r"layers.\1.layer_scale\2.weight"),
    (INTERNVIDEO2 + r"blocks\.", "layers."),
    (r"^layers\.", "model.vision_tower.internvideo2.layers."),
)
# The original model's own head is never called; the towers' last norms and training heads are not part of the graph.
UNUSED = re.compile(
    rf"^lm_head\.weight$|{SIGLIP}(?:post_layernorm|head)\.|{SIGLIP}embeddings\.position_ids$"
    rf"|{INTERNVIDEO2}(?:clip_\w+|final_clip_decoder|img_pos_embed)\b"
)
VISION_LAYER = re.compile(r"^model\.vision_tower\.(siglip|internvideo2)\.(?:encoder\.)?layers\.(\d+)\.")

# What the graph below takes for granted; other values were never published.
REQUIRED = {
    "mm_vision_select_feature": "patch",
    "image_aspect_ratio": "square",
    "interpolate_mode": "linear",
    "use_mm_start_end": False,
    "use_mm_patch_token": False,
}
# Where the configuration does not say otherwise, both towers are read one block before their last.
SELECT_LAYER = -2
# Fields of the language model's config.json that describe the file, or its tokenizer, and not the model.
FOREIGN = ("architectures", "torch_dtype", "dtype", "auto_map", "transformers_version", "_name_or_path")
FOREIGN += ("model_max_length", "tokenizer_model_max_length", "tokenizer_padding_side")


def tower_kind(folder: str) -> str:
    """`siglip` or `internvideo2`, by the name of a tower's folder.

    Raises:
        ConversionError: neither.
    """
    for kind in ("siglip", "internvideo2"):
        if kind in folder:
            return kind
    raise ConversionError(f"vision_towers names {folder!r}; Apollo's towers are SigLIP and InternVideo2.")


def read_tree(checkpoint: Path, towers: Sequence[str], weights: Path | None) -> dict[str, SourceTensor]:
    """All tensors, under the names they have in the whole original model.

    Raises:
        ConversionError: missing or damaged files, or one name in two places.
    """
    if weights is not None:
        return read_folder(weights) if weights.is_dir() else {tensor.name: tensor for tensor in read_header(weights)}
    folders = {"llm.": checkpoint / "llm", "mm_connector.": checkpoint / "mm_connector"}
    folders |= {f"vision_tower.{name}.vision_tower.": checkpoint / "vision_tower" / name for name in towers}
    return {
        prefix + name: tensor for prefix, folder in folders.items() for name, tensor in read_folder(folder).items()
    }


def target_name(source: str) -> str:
    """Name in the new model of a tensor of the whole original model."""
    for pattern, replacement in NAMES:
        source = re.sub(pattern, replacement, source)
    return source


def selected_depth(layers: int, layer: int) -> int:
    """Blocks that the selected hidden state needs: 26 of SigLIP's 27 for the published layer -2.

    Raises:
        ConversionError: not a layer counted from the end.
    """
    if not -layers <= layer < 0:
        raise ConversionError(f"mm_vision_select_layer is {layer}; it must be from -1 to -{layers}.")
    return layers + 1 + layer


def internvideo2_fields(stored: Mapping, layer: int, tensors: Mapping[str, SourceTensor]) -> dict:
    """Fields of the clip encoder's configuration. The file leaves depth and MLP width to the original's class."""
    widths = {tensor.shape[0] for name, tensor in tensors.items() if re.search(r"\.blocks\.0\.mlp\.fc1\.bias$", name)}
    return {
        "hidden_size": stored["d_model"],
        "intermediate_size": widths.pop() if widths else int(stored["d_model"] * stored.get("mlp_ratio", 48 / 11)),
        "num_hidden_layers": selected_depth(stored.get("depth", 40), layer),
        "num_attention_heads": stored["num_heads"],
        "image_size": stored["img_size"],
        "patch_size": stored["patch_size"],
        "num_frames": stored["num_frames"],
        "tubelet_size": stored["tubelet_size"],
        "qkv_bias": stored["qkv_bias"],
        "use_qk_norm": stored.get("qk_normalization", True),
        "layer_scale_init_value": stored.get("init_values", 1e-5),
    }


def resampler_fields(connector: Mapping) -> dict:
    """Fields of the resampler's configuration.

    Raises:
        ConversionError: another kind of connector.
    """
    if connector["resampler_type"] != "perciver":
        raise ConversionError(f"resampler_type is {connector['resampler_type']!r}; Apollo's is 'perciver'.")
    return {
        "hidden_size": connector["text_hidden_size"],
        "intermediate_size": connector["ff_multi"] * connector["text_hidden_size"],
        "num_latents": connector["num_output_tokens"],
        "num_hidden_layers": connector["resampler_depth"],
        "num_attention_heads": connector["resampler_n_heads"],
        "num_key_value_heads": connector["num_key_value_heads"],
        "head_dim": connector["resampler_head_dim"],
        "hidden_act": connector["hidden_act"],
    }


def projector_layers(kind: str) -> int:
    """Linear layers of `mlp1x_gelu`, `mlp2x_gelu`, ...

    Raises:
        ConversionError: another name.
    """
    found = re.fullmatch(r"mlp(\d+)x_gelu", kind)
    if not found:
        raise ConversionError(f"projector_type is {kind!r}; expected 'mlp1x_gelu' or the like.")
    return int(found[1])


def build_config(checkpoint: Path, original: Mapping, tensors: Mapping[str, SourceTensor]) -> ApolloConfig:
    """The new configuration, placeholder ids aside, from the original's seven files.

    Raises:
        ConversionError: a file or field is missing, or the files contradict each other.
    """
    hybrid = read_json(checkpoint / "vision_tower" / "config.json")
    folders = {tower_kind(name): checkpoint / "vision_tower" / name for name in hybrid["vision_towers"]}
    siglip = read_json(folders["siglip"] / "config.json")
    internvideo2 = read_json(folders["internvideo2"] / "config.json")
    connector = read_json(checkpoint / "mm_connector" / "config.json")
    text = read_json(checkpoint / "llm" / "config.json")
    layer = original.get("mm_vision_select_layer", SELECT_LAYER)
    known = SiglipVisionConfig().to_dict()
    frame_fields = {name: value for name, value in siglip.items() if name in known and name not in FOREIGN}
    frame_fields["num_hidden_layers"] = selected_depth(siglip["num_hidden_layers"], layer)
    text_config = Qwen2Config(**{name: value for name, value in text.items() if name not in FOREIGN})
    config = ApolloConfig(
        vision_config={
            "siglip_config": frame_fields | {"vision_use_head": False},
            "internvideo2_config": internvideo2_fields(internvideo2, layer, tensors),
            "towers": list(map(tower_kind, hybrid["vision_towers"])),
        },
        resampler_config=resampler_fields(connector),
        text_config=text_config,
        projector_num_layers=projector_layers(connector["projector_type"]),
        vision_chunk_size=original.get("encode_batch_size", 25),
        tie_word_embeddings=text_config.tie_word_embeddings,
    )
    if list(hybrid["token_output_shape"]) != list(config.vision_config.grid):
        raise ConversionError(
            f"token_output_shape is {hybrid['token_output_shape']}, but the towers give {config.vision_config.grid}."
        )
    return config


def check_settings(original: Mapping) -> None:
    """Refuses settings that change the graph.

    Raises:
        ConversionError: naming the setting.
    """
    for name, value in REQUIRED.items():
        if original.get(name, value) != value:
            raise ConversionError(f"{name} is {original[name]!r}; only {value!r} is supported.")


def is_unused(name: str, config: ApolloConfig, skipped_layers: int) -> bool:
    """Whether the model deliberately leaves a tensor of the whole original model out.

    Args:
        name: in the whole original model.
        config: of the new model.
        skipped_layers: blocks of each original tower above the selected one.
    """
    target = target_name(name)
    layer = VISION_LAYER.match(target)
    if layer:
        built = getattr(config.vision_config, f"{layer[1]}_config").num_hidden_layers
        return built <= int(layer[2]) < built + skipped_layers
    tied_head = config.tie_word_embeddings and target == "lm_head.weight"
    return tied_head or UNUSED.search(name) is not None


def dtype_group(name: str) -> str:
    """Tensors that were saved together: language model, connector, each tower."""
    return ".".join(name.split(".")[:2]) if name.startswith("vision_tower.") else name.split(".")[0]


def plan_weights(
    tensors: Mapping[str, SourceTensor], config: ApolloConfig, skipped_layers: int
) -> tuple[dict[str, Recipe], list[str]]:
    """Checks the whole checkpoint and plans every tensor; arguments are those of [`is_unused`].

    Returns:
        target name -> recipe, and names of the deliberately unused tensors.

    Raises:
        ConversionError: a tensor is missing, unknown, misshapen, doubled or of an unusable dtype.
    """
    groups: dict[str, list[SourceTensor]] = {}
    recipes, unused = {}, []
    for name, tensor in tensors.items():
        groups.setdefault(dtype_group(name), []).append(tensor)
        target = target_name(name)
        if is_unused(name, config, skipped_layers):
            unused.append(name)
        elif target in recipes:
            raise ConversionError(f"{name} and {recipes[target].sources[0].name} are the same weight.")
        else:
            recipes[target] = Recipe((tensor,))
    for group, members in groups.items():
        check_dtypes(members, lambda _, group=group: group)
    with torch.device("meta"):
        model = ApolloForConditionalGeneration(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight")
    check_complete(recipes, expected)
    return recipes, sorted(unused)


def build_tokenizer(folder: Path, vocab_size: int) -> tuple[Qwen2Tokenizer, str, str]:
    """The tokenizer with a placeholder for images and one for videos.

    The original cuts prompts at `<|image_token|>` and `<|video_token|>`, which are no tokens there. They become
    tokens in rows of the embedding table that the tokenizer leaves free; where it leaves none, Qwen's own unused
    placeholders serve.

    Returns:
        tokenizer, image placeholder, video placeholder.

    Raises:
        ConversionError: files are missing, or there is no room for placeholders.
    """
    for file in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        if not (folder / file).is_file():
            raise ConversionError(f"{folder / file} does not exist.")
    tokenizer = Qwen2Tokenizer.from_pretrained(folder, padding_side="left")
    image_token, video_token = "<|image_token|>", "<|video_token|>"
    if len(tokenizer) + 2 > vocab_size:
        image_token, video_token = "<|image_pad|>", "<|video_pad|>"
        if not {image_token, video_token} <= tokenizer.get_vocab().keys():
            raise ConversionError(
                f"The tokenizer fills all {vocab_size} rows of the embedding table and has neither {image_token} nor "
                f"{video_token}: no token is left to mark media."
            )
    tokenizer.add_tokens([video_token, image_token], special_tokens=True)
    last = max(tokenizer.get_vocab().values())
    if last >= vocab_size:
        raise ConversionError(f"The tokenizer has token id {last}, but vocab_size is {vocab_size}.")
    return tokenizer, image_token, video_token


def pixel_options(checkpoint: Path, config: ApolloConfig) -> dict:
    """Options that image and video processor share, from the towers' `preprocessor_config.json`.

    Raises:
        ConversionError: a missing file, or a chain of steps that Apollo's towers do not have.
    """
    hybrid = read_json(checkpoint / "vision_tower" / "config.json")
    stored = {
        tower_kind(name): read_json(checkpoint / "vision_tower" / name / "preprocessor_config.json")
        for name in hybrid["vision_towers"]
    }
    siglip, internvideo2 = stored["siglip"], stored["internvideo2"]
    side = internvideo2["Resize"]["size"]
    sides = {"siglip": siglip["size"]["height"], "internvideo2": side}
    for tower, found in sides.items():
        expected = getattr(config.vision_config, f"{tower}_config").image_size
        if found != expected:
            raise ConversionError(
                f"preprocessor_config.json of {tower} resizes to {found}, but config.json asks for {expected}."
            )
    chain = internvideo2["Resize"].get("interpolation", "bilinear"), internvideo2["CenterCrop"]["size"]
    if chain != ("bilinear", [side, side]):
        raise ConversionError(
            f"preprocessor_config.json of internvideo2 asks for {chain[0]} resizing and a crop of {chain[1]}; "
            f"expected bilinear and {[side, side]}."
        )
    return {name: siglip[name] for name in ("size", "resample", "image_mean", "image_std")} | {
        "internvideo2_size": side,
        "internvideo2_mean": internvideo2["Normalize"]["mean"],
        "internvideo2_std": internvideo2["Normalize"]["std"],
    }


def build_processor(
    checkpoint: Path, original: Mapping, config: ApolloConfig, frames_per_clip: int, clip_sampling_ratio: float
) -> ApolloProcessor:
    """Tokenizer and pixel statistics as stored, clips as the caller says."""
    tokenizer, image_token, video_token = build_tokenizer(checkpoint / "llm", config.text_config.vocab_size)
    pixels, language = pixel_options(checkpoint, config), read_json(checkpoint / "llm" / "config.json")
    video_processor = ApolloVideoProcessor(
        clip_duration=original["clip_duration"],
        frames_per_clip=frames_per_clip,
        clip_sampling_ratio=clip_sampling_ratio,
        tokens_per_clip=config.resampler_config.num_latents,
        context_length=original.get("model_max_length") or language["model_max_length"],
        **pixels,
    )
    return ApolloProcessor(
        image_processor=ApolloImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=video_processor,
        image_token=image_token,
        video_token=video_token,
    )


def build_generation_config(checkpoint: Path, config: ApolloConfig) -> GenerationConfig:
    """As stored: its sampling values and repetition penalty belong to the published model."""
    if (checkpoint / "llm" / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(checkpoint / "llm")
    text = config.text_config
    return GenerationConfig(bos_token_id=text.bos_token_id, eos_token_id=text.eos_token_id)


def convert(
    checkpoint: Path,
    output: Path,
    weights: Path | None = None,
    frames_per_clip: int = 4,
    clip_sampling_ratio: float = 0.65,
    dtype: str = "bfloat16",
    max_shard_size: str = "5GB",
) -> Path:
    """Converts a checkpoint; see the module's text for its layout.

    Args:
        checkpoint: published folder.
        output: folder to create; must not exist or be empty.
        weights: state dict of the whole original model (a file, or a folder of shards) instead of the folder's own.
        frames_per_clip: stored nowhere; the original takes it from its caller.
        clip_sampling_ratio: share of the context that a video may take; likewise.
        dtype: of the written weights.
        max_shard_size: of an output file, such as "5GB".

    Returns:
        `output`.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
    """
    original = read_json(checkpoint / "config.json")
    check_settings(original)
    try:
        towers = read_json(checkpoint / "vision_tower" / "config.json")["vision_towers"]
        tensors = read_tree(checkpoint, towers, weights)
        config = build_config(checkpoint, original, tensors)
        processor = build_processor(checkpoint, original, config, frames_per_clip, clip_sampling_ratio)
    except KeyError as error:
        raise ConversionError(f"A configuration file of {checkpoint} lacks {error}.") from error
    except (StrictDataclassError, ValueError) as error:
        reason = " ".join(str(error).split())  # strict configurations explain themselves over several lines
        raise ConversionError(f"The configuration files of {checkpoint} make no Apollo: {reason}") from error
    config.image_token_id, config.video_token_id = processor.image_token_id, processor.video_token_id
    config.dtype = DTYPES[dtype]
    config.architectures = [ApolloForConditionalGeneration.__name__]
    skipped_layers = -1 - original.get("mm_vision_select_layer", SELECT_LAYER)
    recipes, unused = plan_weights(tensors, config, skipped_layers)
    generation_config = build_generation_config(checkpoint, config)
    options = {"frames_per_clip": frames_per_clip, "clip_sampling_ratio": clip_sampling_ratio, "dtype": dtype}
    files = sorted({tensor.file for tensor in tensors.values()})
    plan = Plan(recipes, DTYPES[dtype], parse_size(max_shard_size), files, options)

    facts = {"source_tensors": len(tensors), "unused_source_tensors": unused}
    write_model(plan, output, (config, generation_config, processor), ("convert_apollo", CONVERTER_VERSION), facts)
    tell_counts(len(tensors), plan, unused)
    return output


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="video-lmms convert apollo",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="published folder")
    parser.add_argument("--weights", type=Path, help="state dict of the whole original model, instead")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--frames-per-clip", type=int, default=4, help="frames sampled from a clip (stored nowhere)")
    parser.add_argument(
        "--clip-sampling-ratio", type=float, default=0.65, help="share of the context for video (stored nowhere)"
    )
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16", help="of the written weights")
    parser.add_argument("--max-shard-size", default="5GB", help="of an output file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
