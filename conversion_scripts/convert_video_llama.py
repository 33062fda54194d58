# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts a Video-LLaMA checkpoint, which the original keeps in up to eight pieces.

    python conversion_scripts/convert_video_llama.py --llama llama-2-7b-chat-hf --vit eva_vit_g.pth \
        --qformer blip2_pretrained_flant5xxl.pth --checkpoint VL_LLaMA_2_7B_Finetuned.pth \
        --audio-checkpoint AL_LLaMA_2_7B_Finetuned.pth --imagebind imagebind_huge.pth --output video-llama-2-7b

The order in which the original loads them is kept, a later piece replaces what an earlier one gave, and
`provenance.json` says what each file gave. The original accepts any file in any place; here a tensor that is missing,
foreign or misshapen stops the conversion. Vicuna v0 is LLaMA plus `--vicuna-delta`, added shard by shard.

Constants that the files do not tell are options with the published value: head counts, depth, image size.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub.errors import StrictDataclassError
from transformers import AddedToken, GenerationConfig, LlamaConfig, LlamaTokenizer, PreTrainedTokenizerFast

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    ConversionError,
    Plan,
    Recipe,
    SourceTensor,
    check_complete,
    parse_size,
    read_folder,
    read_header,
    read_json,
    run_command,
    write_model,
)
from video_lmms.conversion_scripts.video_llama_names import (
    AUDIO_BRANCH,
    IMAGEBIND_AUDIO,
    IMAGEBIND_VISION,
    LLAMA,
    PROJECTOR,
    QFORMER,
    UNUSED_BRANCH,
    UNUSED_LLAMA,
    UNUSED_MINIGPT4,
    UNUSED_QFORMER,
    VIDEO_BRANCH,
    VIT,
    Piece,
    plan_language_model,
    plan_pieces,
    unused_blocks,
)
from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration
from video_lmms.processing.chat_templates_video_llama import MARKER, PROMPTS
from video_lmms.processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from video_lmms.processing.image_processing_video_llama import VideoLlamaImageProcessor
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.video_processing_video_llama import VideoLlamaVideoProcessor


CONVERTER_VERSION = 1

PLACEHOLDERS = (MARKER, "<AudioHere>", "<VideoHere>")
PROMPT_STYLES = {"vicuna": "vicuna", "llama_v2": "llama_v2"}
# Options that may stay open. Numbers are those of the published models, which the files do not tell.
DEFAULTS: dict[str, Any] = {
    "vicuna_delta": None,
    "minigpt4": None,
    "audio_checkpoint": None,
    "imagebind": None,
    "config": None,
    "audio_training_tower": False,
    "prompt_style": None,
    "num_frames": None,
    "image_size": None,
    "qformer_config": None,
    "vit_num_heads": 16,
    "vit_depth": 39,
    "vit_mlp_ratio": 4.3637,
    "vit_patch_size": 14,
    "imagebind_audio_num_heads": 12,
    "imagebind_audio_num_blocks": 12,
    "imagebind_audio_kernel_size": 16,
    "imagebind_audio_stride": 10,
    "imagebind_audio_num_mel_bins": 128,
    "imagebind_audio_target_length": 204,
    "imagebind_audio_drop_path": 0.1,
    "imagebind_vision_num_heads": 16,
    "imagebind_vision_num_blocks": 32,
    "dtype": "bfloat16",
    "max_shard_size": "5GB",
}
# Of bert-base-uncased, which gives all three Q-Formers their shape.
BERT = {"num_attention_heads": 12, "num_hidden_layers": 12, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
# Layers of the Q-Formers over time; a constant of the original's code.
TEMPORAL_LAYERS = 2
# What the demos answer with.
DECODING = {"do_sample": True, "temperature": 1.0, "top_p": 0.9, "top_k": 50, "max_new_tokens": 300}
# Fields of the language model's config.json that describe the file and not the model.
FOREIGN = ("architectures", "torch_dtype", "dtype", "auto_map", "transformers_version", "_name_or_path")


def read_file(file: Path) -> dict[str, SourceTensor]:
    """All tensors of one file by name."""
    return {tensor.name: tensor for tensor in read_header(file)}


def read_pieces(arguments: argparse.Namespace) -> tuple[list[Piece], Piece, Piece | None]:
    """The bridge's and towers' files in load order, the language model, and its delta.

    Raises:
        ConversionError: a file is missing or damaged, or one half of the audio branch is.
    """
    if (arguments.audio_checkpoint is None) != (arguments.imagebind is None):
        raise ConversionError(
            "The audio branch is two files: pass both --audio-checkpoint and --imagebind, or neither."
        )
    vit = read_file(arguments.vit)
    pieces = [
        Piece("vit", vit, VIT, unused_blocks(arguments.vit_depth)),
        Piece("qformer", read_file(arguments.qformer), QFORMER, UNUSED_QFORMER),
    ]
    if arguments.minigpt4 is not None:
        pieces.append(Piece("minigpt4", read_file(arguments.minigpt4), PROJECTOR, UNUSED_MINIGPT4))
    if arguments.imagebind is not None:
        table, others = IMAGEBIND_AUDIO, "text|depth|thermal|imu"
        if arguments.audio_training_tower:
            table += IMAGEBIND_VISION
        else:
            others += "|vision"
        unused = re.compile(rf"^modality_(?:preprocessors|trunks|heads|postprocessors)\.(?:{others})\.")
        pieces.append(Piece("imagebind", read_file(arguments.imagebind), table, unused))
    pieces.append(Piece("checkpoint", read_file(arguments.checkpoint), VIDEO_BRANCH, UNUSED_BRANCH))
    if arguments.audio_checkpoint is not None:
        pieces.append(Piece("audio-checkpoint", read_file(arguments.audio_checkpoint), AUDIO_BRANCH, UNUSED_BRANCH))
    llama = Piece("llama", read_folder(arguments.llama), LLAMA, UNUSED_LLAMA)
    delta = None
    if arguments.vicuna_delta is not None:
        delta = Piece("vicuna-delta", read_folder(arguments.vicuna_delta), LLAMA, UNUSED_LLAMA)
    return pieces, llama, delta


def read_settings(file: Path | None) -> dict[str, Any]:
    """The `model` section of an original YAML, with `n_frms` from its data section.

    Raises:
        ConversionError: no YAML, or one without a `model` section.
    """
    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings = dict(content["model"])
    except FileNotFoundError as error:
        raise ConversionError(f"{file} does not exist.") from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConversionError(f"{file} is no configuration of the original ({reason}).") from error
    for dataset in (content.get("datasets") or {}).values():
        settings.setdefault("n_frms", dataset.get("vis_processor", {}).get("train", {}).get("n_frms"))
    return {name: value for name, value in settings.items() if value is not None}


class Shapes:
    """Shapes of the source tensors under their target names; what is missing is said by name."""

    def __init__(self, recipes: Mapping[str, Recipe]):
        self.recipes = recipes

    def __call__(self, name: str) -> tuple[int, ...]:
        if name not in self.recipes:
            raise ConversionError(
                f"The checkpoint lacks {name}, which tells the size of a part. Is every file the right one?"
            )
        return self.recipes[name].shape


def vision_fields(shape: Shapes, arguments: argparse.Namespace, image_size: int) -> dict[str, Any]:
    """Fields of the frame encoder's configuration.

    Raises:
        ConversionError: an option contradicts the file.
    """
    width, _, patch, _ = shape("model.vision_tower.embeddings.patch_embedding.weight")
    inner = shape("model.vision_tower.encoder.layers.0.mlp.fc1.weight")[0]
    if patch != arguments.vit_patch_size:
        raise ConversionError(f"--vit-patch-size is {arguments.vit_patch_size}, but the file has patches of {patch}.")
    if inner != int(width * arguments.vit_mlp_ratio):
        raise ConversionError(
            f"--vit-mlp-ratio is {arguments.vit_mlp_ratio}, which makes {int(width * arguments.vit_mlp_ratio)} of a "
            f"width of {width}, but the file has {inner}."
        )
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": arguments.vit_depth,
        "num_attention_heads": arguments.vit_num_heads,
        "image_size": image_size,
        "patch_size": patch,
    }


def qformer_fields(shape: Shapes, prefix: str, bert: Mapping[str, Any], layers: int, frequency: int) -> dict[str, Any]:
    """Fields of a Q-Former's configuration."""
    first = f"{prefix}.transformer.encoder.layer.0"
    hidden, encoder = shape(f"{first}.crossattention.attention.key.weight")
    return {
        "hidden_size": hidden,
        "encoder_hidden_size": encoder,
        "intermediate_size": shape(f"{first}.intermediate_query.dense.weight")[0],
        "num_hidden_layers": layers,
        "cross_attention_frequency": frequency,
        "num_attention_heads": bert["num_attention_heads"],
        "layer_norm_eps": bert["layer_norm_eps"],
        "hidden_act": bert["hidden_act"],
    }


def tower_fields(shape: Shapes, prefix: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields that both of ImageBind's towers share."""
    return {
        "hidden_size": shape(f"{prefix}.embeddings.class_embedding")[-1],
        "intermediate_size": shape(f"{prefix}.layers.0.mlp.fc1.weight")[0],
        "projection_dim": shape(f"{prefix}.head.projection.weight")[0],
    }


def audio_fields(shape: Shapes, arguments: argparse.Namespace, bert: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the whole model's configuration that the audio branch adds.

    Raises:
        ConversionError: an option contradicts the file.
    """
    patch = shape("model.audio_tower.embeddings.patch_embedding.weight")[-1]
    if patch != arguments.imagebind_audio_kernel_size:
        raise ConversionError(
            f"--imagebind-audio-kernel-size is {arguments.imagebind_audio_kernel_size}, but the file has {patch}."
        )
    fields = {
        "audio_config": tower_fields(shape, "model.audio_tower", arguments)
        | {
            "num_hidden_layers": arguments.imagebind_audio_num_blocks,
            "num_attention_heads": arguments.imagebind_audio_num_heads,
            "num_mel_bins": arguments.imagebind_audio_num_mel_bins,
            "num_mel_frames": arguments.imagebind_audio_target_length,
            "patch_size": patch,
            "patch_stride": arguments.imagebind_audio_stride,
            "drop_path_rate": arguments.imagebind_audio_drop_path,
        },
        "audio_qformer_config": qformer_fields(shape, "model.audio_qformer.qformer", bert, TEMPORAL_LAYERS, 1),
        "num_audio_query_tokens": shape("model.audio_qformer.qformer.query_tokens")[1],
        "max_audio_clips": shape("model.audio_qformer.position_embedding.weight")[0],
    }
    if arguments.audio_training_tower:
        stem = shape("model.audio_training_tower.embeddings.patch_embedding.weight")
        positions = shape("model.audio_training_tower.embeddings.position_embedding")[1]
        fields["audio_training_config"] = tower_fields(shape, "model.audio_training_tower", arguments) | {
            "num_hidden_layers": arguments.imagebind_vision_num_blocks,
            "num_attention_heads": arguments.imagebind_vision_num_heads,
            "temporal_patch_size": stem[2],
            "patch_size": stem[-1],
            "image_size": round((positions - 1) ** 0.5) * stem[-1],
        }
    return fields


def build_config(
    recipes: Mapping[str, Recipe],
    arguments: argparse.Namespace,
    settings: Mapping[str, Any],
    image_size: int,
    text_config: LlamaConfig,
) -> VideoLlamaConfig:
    """The new configuration, placeholders and stop sequences aside.

    Raises:
        ConversionError: sizes that files, options and YAML state differently.
    """
    shape = Shapes(recipes)
    bert = dict(BERT)
    if arguments.qformer_config is not None:
        stored = read_json(arguments.qformer_config)
        bert |= {name: stored[name] for name in BERT if name in stored}
    fields: dict[str, Any] = {
        "vision_config": vision_fields(shape, arguments, image_size),
        "qformer_config": qformer_fields(shape, "model.qformer", bert, bert["num_hidden_layers"], 2),
        "video_qformer_config": qformer_fields(shape, "model.video_qformer.qformer", bert, TEMPORAL_LAYERS, 1),
        "num_query_tokens": shape("model.qformer.query_tokens")[1],
        "num_video_query_tokens": shape("model.video_qformer.qformer.query_tokens")[1],
        "max_frames": shape("model.video_qformer.position_embedding.weight")[0],
    }
    if arguments.imagebind is not None:
        fields |= audio_fields(shape, arguments, bert)
    stated = {
        "num_query_token": "num_query_tokens",
        "num_video_query_token": "num_video_query_tokens",
        "num_audio_query_token": "num_audio_query_tokens",
        "max_frame_pos": "max_frames",
    }
    for name, field in stated.items():
        if name in settings and field in fields and settings[name] != fields[field]:
            raise ConversionError(
                f"{arguments.config} says {name}: {settings[name]}, but the weights have {fields[field]}."
            )
    return VideoLlamaConfig(text_config=text_config, tie_word_embeddings=text_config.tie_word_embeddings, **fields)


def build_text_config(folder: Path, vocab_size: int) -> LlamaConfig:
    """The language model's configuration, for a table of `vocab_size` rows.

    Raises:
        ConversionError: another kind of language model.
    """
    stored = read_json(folder / "config.json")
    if stored.get("model_type", "llama") != "llama":
        raise ConversionError(f"{folder / 'config.json'} is of a {stored['model_type']}; Video-LLaMA speaks LLaMA.")
    fields = {name: value for name, value in stored.items() if name not in FOREIGN and not name.startswith("_")}
    fields |= {"vocab_size": vocab_size}
    if fields.get("pad_token_id") is not None and fields["pad_token_id"] < 0:
        fields["pad_token_id"] = None  # early conversions of Vicuna wrote -1 where there is none
    return LlamaConfig(**fields)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer as the original reads it: every piece of text starts with a space of its own ("legacy").

    It is kept as the generic class: Llama's own would lose that when it is loaded again.

    Raises:
        ConversionError: no `tokenizer.model`, or packages that read it are missing.
    """
    if not (folder / "tokenizer.model").is_file():
        raise ConversionError(f"{folder / 'tokenizer.model'} does not exist.")
    missing = [name for name in ("sentencepiece", "google.protobuf") if not is_installed(name)]
    if missing:
        raise ConversionError(
            f"Reading {folder / 'tokenizer.model'} needs {' and '.join(missing)}: "
            "pip install 'video-lmms[sentencepiece]'. The converted model needs neither."
        )
    tokenizer = LlamaTokenizer.from_pretrained(folder, legacy=True)
    pad = tokenizer.pad_token or tokenizer.unk_token
    special = {name: getattr(tokenizer, name) for name in ("bos_token", "eos_token", "unk_token")}
    generic = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=pad,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        **special,
    )
    # The original appends them in this order; the third is ours, so that images and videos may share a prompt.
    generic.add_tokens([AddedToken(token, special=True, normalized=False) for token in PLACEHOLDERS])
    return generic


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def stop_sequences(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Both ways in which `###` may appear in an answer: as a word of its own, and right behind another."""
    alone = tokenizer.encode("###", add_special_tokens=False)
    before = tokenizer.encode(".", add_special_tokens=False)
    behind = tokenizer.encode(".###", add_special_tokens=False)
    sequences = [alone]
    if behind[: len(before)] == before and behind[len(before) :] != alone:
        sequences.append(behind[len(before) :])
    return sequences


def choose_style(arguments: argparse.Namespace, settings: Mapping[str, Any], tokenizer: Any) -> str:
    """Name of the prompt form: the option, else the YAML's `model_type`, else what the language model is.

    Raises:
        ConversionError: the YAML names another.
    """
    if arguments.prompt_style is not None:
        return arguments.prompt_style
    if "model_type" not in settings:
        padded = "[PAD]" in tokenizer.get_vocab()  # Vicuna v0's own token
        return "vicuna" if padded else "llama_v2"
    style = str(settings["model_type"]).removeprefix("pretrain_")
    if style not in PROMPT_STYLES:
        raise ConversionError(
            f"model_type is {settings['model_type']!r} in {arguments.config}; expected pretrain_vicuna or "
            "pretrain_llama_v2. Choose with --prompt-style."
        )
    return style


def build_processor(
    tokenizer: PreTrainedTokenizerFast,
    config: VideoLlamaConfig,
    arguments: argparse.Namespace,
    num_frames: int,
    style: str,
) -> VideoLlamaProcessor:
    """Squares of the encoder's size, CLIP's statistics, ImageBind's spectrograms."""
    side = config.vision_config.image_size
    size = {"height": side, "width": side}
    return VideoLlamaProcessor(
        image_processor=VideoLlamaImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=VideoLlamaVideoProcessor(size=size, num_frames=num_frames),
        feature_extractor=VideoLlamaFeatureExtractor(
            feature_size=arguments.imagebind_audio_num_mel_bins,
            num_mel_frames=arguments.imagebind_audio_target_length,
            num_clips=config.max_audio_clips,
        ),
        prompt_style=style,
        num_video_query_tokens=config.num_video_query_tokens,
        num_audio_query_tokens=config.num_audio_query_tokens,
    )


def build_generation_config(
    folder: Path, tokenizer: PreTrainedTokenizerFast, placeholders: list[int]
) -> GenerationConfig:
    """The demos' decoding; answers end at the tokenizer's end token, and at that of config.json, as in the original.

    Early conversions of Vicuna v0 have other ids in config.json than in the tokenizer; both end an answer here.
    Placeholders are never uttered: the model keeps its own rows out of every softmax, but a spare row of the language
    model's table may serve as one, and assisted decoding proposes words of the prompt.
    """
    stored = read_json(folder / "config.json").get("eos_token_id")
    ends = {tokenizer.eos_token_id, *(stored if isinstance(stored, list) else [stored])} - {None}
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=placeholders,
        **DECODING,
    )


def add_placeholders(config: VideoLlamaConfig, tokenizer: PreTrainedTokenizerFast, rows: int) -> list[int]:
    """Writes the placeholders' ids into the configuration, and how many rows the model had before; returns the ids."""
    ids = tokenizer.convert_tokens_to_ids(list(PLACEHOLDERS))
    config.image_token_id, config.audio_token_id, config.video_token_id = ids
    if config.text_config.vocab_size > rows:
        config.output_vocab_size = rows
    return ids


def convert(llama: Path, vit: Path, qformer: Path, checkpoint: Path, output: Path, **options: Any) -> Path:
    """Converts a checkpoint; see the module's text.

    Args:
        llama: folder of the language model, or of what `vicuna_delta` is added to.
        vit: the frame encoder's file.
        qformer: the Q-Former's file.
        checkpoint: the vision branch's file.
        output: folder to create; must not exist or be empty.
        options: the rest of the command line, whose `--help` explains it; see `DEFAULTS`.

    Returns:
        `output`.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
        TypeError: an option that does not exist.
    """
    unknown = options.keys() - DEFAULTS.keys()
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    pieces = {"llama": llama, "vit": vit, "qformer": qformer, "checkpoint": checkpoint, "output": output}
    arguments = argparse.Namespace(**(DEFAULTS | options | pieces))
    settings = read_settings(arguments.config)
    pieces, llama, delta = read_pieces(arguments)
    folder = arguments.vicuna_delta or arguments.llama
    tokenizer = read_tokenizer(folder)
    table = (delta or llama).tensors.get("model.embed_tokens.weight")
    if table is None:
        raise ConversionError(f"{folder} holds no model.embed_tokens.weight: no LLaMA folder.")
    rows = table.shape[0]
    appended = max(0, len(tokenizer) - rows)
    image_size = arguments.image_size or settings.get("image_size", 224)
    num_frames = arguments.num_frames or settings.get("n_frms", 8)
    recipes = plan_pieces(pieces, image_size // arguments.vit_patch_size)
    try:
        text_config = build_text_config(folder, rows + appended)
        config = build_config(recipes, arguments, settings, image_size, text_config)
        expected = expected_shapes(config)
    except (StrictDataclassError, ValueError) as error:
        reason = " ".join(str(error).split())  # strict configurations explain themselves over several lines
        raise ConversionError(f"These files make no Video-LLaMA: {reason}") from error
    recipes |= plan_language_model(llama, delta, appended, config.tie_word_embeddings)
    style = choose_style(arguments, settings, tokenizer)
    placeholders = add_placeholders(config, tokenizer, rows)
    config.stop_sequences = None if PROMPTS[style].instruct else stop_sequences(tokenizer)
    config.dtype = DTYPES[arguments.dtype]
    config.architectures = [VideoLlamaForConditionalGeneration.__name__]
    check_complete(recipes, expected)
    processor = build_processor(tokenizer, config, arguments, num_frames, style)
    generation_config = build_generation_config(folder, tokenizer, placeholders)
    all_pieces = [*pieces, llama, *([delta] if delta else [])]
    files = sorted({tensor.file for piece in all_pieces for tensor in piece.tensors.values()})
    options = {"num_frames": num_frames, "image_size": image_size, "prompt_style": style, "dtype": arguments.dtype}
    plan = Plan(recipes, DTYPES[arguments.dtype], parse_size(arguments.max_shard_size), files, options)

    facts = {
        "source_tensors": sum(len(piece.tensors) for piece in all_pieces),
        "pieces": {piece.role: piece.report() for piece in all_pieces},
    }
    write_model(
        plan,
        arguments.output,
        (config, generation_config, processor),
        ("convert_video_llama", CONVERTER_VERSION),
        facts,
    )
    for piece in all_pieces:
        sys.stderr.write(
            f"--{piece.role}: {len(piece.used)} tensors used, {len(piece.overridden)} replaced by a later file, "
            f"{len(piece.ignored)} deliberately unused.\n"
        )
    sys.stderr.write(f"{len(recipes)} tensors written to {arguments.output}.\n")
    return arguments.output


def expected_shapes(config: VideoLlamaConfig) -> dict[str, torch.Size]:
    """Names and shapes of the model's tensors, from the model itself."""
    with torch.device("meta"):
        model = VideoLlamaForConditionalGeneration(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight")
    return expected


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="video-lmms convert video_llama",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--llama", type=Path, required=True, help="folder of the language model, or of the delta's base")
    add("--vicuna-delta", type=Path, help="folder of what is added to it; brings tokenizer and config.json")
    add("--vit", type=Path, required=True, help="eva_vit_g.pth")
    add("--qformer", type=Path, required=True, help="blip2_pretrained_flant5xxl.pth")
    add("--minigpt4", type=Path, help="MiniGPT-4's linear layer, for checkpoints without their own")
    add("--checkpoint", type=Path, required=True, help="vision branch: VL_*.pth, finetune-*.pth, pretrain-*.pth")
    add("--audio-checkpoint", type=Path, help="audio branch: AL_*.pth, *_audiobranch.pth")
    add("--imagebind", type=Path, help="imagebind_huge.pth")
    add("--config", type=Path, help="original YAML, for what the options below leave open")
    add("--output", type=Path, required=True, help="folder to create")
    add("--audio-training-tower", action="store_true", help="keep ImageBind's vision tower, to train the audio branch")
    add("--prompt-style", choices=sorted(PROMPTS), help="by default the YAML's, else what the language model is")
    add("--num-frames", type=int, help="frames per video; by default the YAML's n_frms, else 8")
    add("--image-size", type=int, help="of the frame encoder; by default the YAML's, else 224")
    add("--qformer-config", type=Path, help="config.json of another BERT than bert-base-uncased")
    add("--dtype", choices=sorted(DTYPES), help="of the written weights")
    add("--max-shard-size", help="of an output file")
    for name, value in DEFAULTS.items():
        if type(value) in (int, float):
            add(f"--{name.replace('_', '-')}", type=type(value), help="as the original builds it")
    parser.set_defaults(**DEFAULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
