# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Converts a VideoTGB checkpoint (called LSTP by its code) of the original release.

One file holds every weight: a flat table, or what Lightning writes, with the table under `state_dict`. The folder of
the image model it was trained from gives configuration and tokenizers, and weights where the file lacks some; whether
it is InstructBLIP (Vicuna) or BLIP-2 (Flan-T5) decides the form.

    python conversion_scripts/convert_videotgb.py --checkpoint LSTP-7B.ckpt --base instructblip-vicuna-7b \
        --sampler-tokenizer bert-base-uncased --output videotgb-7b-hf

The bridge alone, as its training begins: `--sampler sampler.pth --raft raft-sintel.pth` without a checkpoint.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from video_lmms.conversion_scripts.conversion import (
    DTYPES,
    ConversionError,
    Plan,
    Recipe,
    SourceTensor,
    check_complete,
    check_dtypes,
    merge_lora,
    parse_size,
    read_folder,
    read_header,
    read_json,
    run_command,
    write_model,
)
from video_lmms.conversion_scripts.videotgb_forms import (
    Form,
    append_rows,
    build_config,
    build_generation_config,
    build_processor,
    find_form,
    same_table,
)
from video_lmms.conversion_scripts.videotgb_grounding_names import (
    FLOW_PREFIX,
    GROUNDING_PREFIX,
    flow_target,
    grounding_target,
)
from video_lmms.conversion_scripts.videotgb_lora import LORA, check_lora, write_adapter
from video_lmms.conversion_scripts.videotgb_pieces import convert_pieces, read_piece
from video_lmms.errors import shorten
from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.configuration_videotgb_t5 import VideotgbT5Config


CONVERTER_VERSION = 1

MODEL_PREFIX = "model."
# PEFT's wrapping of the language model, and of the layers it adapts.
WRAPPED = (("language_model.base_model.model.", "language_model."), (".base_layer.", "."))
# Never read by the original, or computed anew.
UNUSED = re.compile(r"^model\.temporal_projection\.|\.position_ids$|\.rotary_emb\.inv_freq$")
# Stored by early Flan-T5 files; T5's cross attention has no relative positions.
UNUSED_T5 = re.compile(r"\.EncDecAttention\.relative_attention_bias\.weight$")


def target_name(source: str, form: Form) -> str | None:
    """Name in the new model of an original tensor, LoRA matrices aside; None for what is deliberately unused."""
    if source.startswith(GROUNDING_PREFIX):
        target = grounding_target(source.removeprefix(GROUNDING_PREFIX))
        return None if target is None else f"model.grounding.{target}"
    if source.startswith(FLOW_PREFIX):
        target = flow_target(source.removeprefix(FLOW_PREFIX))
        return None if target is None else f"model.flow_model.{target}"
    if UNUSED.search(source) or (form.name == "t5" and UNUSED_T5.search(source)):
        return None
    name = source.removeprefix(MODEL_PREFIX)
    for wrapped, plain in WRAPPED:
        name = name.replace(wrapped, plain)
    for pattern, replacement in form.names:
        name = re.sub(pattern, replacement, name)
    return name


def read_sources(
    checkpoint: Path, base: Path, sampler: Path | None, raft: Path | None
) -> tuple[dict[str, SourceTensor], list[str]]:
    """All tensors under their names in a whole original checkpoint.

    The checkpoint wins over the base's own weights and over the pieces, which only fill gaps.

    Returns:
        tensors, and the names of those that do not come from the checkpoint.

    Raises:
        ConversionError: a file is missing or damaged.
    """
    tensors = {tensor.name: tensor for tensor in read_header(checkpoint)}
    own = {undressed(name) for name in tensors}
    others: dict[str, SourceTensor] = {}
    if any(base.glob("*.safetensors")) or any(base.glob("pytorch_model*.bin")):
        others |= {MODEL_PREFIX + name.removeprefix(MODEL_PREFIX): part for name, part in read_folder(base).items()}
    for file, prefix in ((sampler, GROUNDING_PREFIX), (raft, FLOW_PREFIX)):
        if file is not None:
            others |= {prefix + name: part for name, part in read_piece(file)[0].items()}
    filled = {name: part for name, part in others.items() if undressed(name) not in own}
    return tensors | filled, sorted(filled)


def undressed(name: str) -> str:
    """An original name without PEFT's wrapping."""
    for wrapped, plain in WRAPPED:
        name = name.replace(wrapped, plain)
    return name


def dtype_group(name: str) -> str:
    """Tensors that were saved together."""
    if LORA.match(name):
        return "LoRA"
    return ".".join(name.split(".")[:2]) if name.startswith(MODEL_PREFIX) else name.split(".")[0]


def plan_weights(
    tensors: Mapping[str, SourceTensor],
    form: Form,
    config: VideotgbConfig | VideotgbT5Config,
    lora_alpha: float,
    keep_lora: bool,
) -> tuple[dict[str, Recipe], dict[str, dict[str, SourceTensor]], list[str]]:
    """Checks the whole checkpoint and plans every tensor.

    Returns:
        target name -> recipe, LoRA pairs by module, names of the deliberately unused tensors.

    Raises:
        ConversionError: a tensor is missing, unknown, doubled, misshapen or of an unusable dtype.
    """
    weights: dict[str, SourceTensor] = {}
    copies: dict[str, list[SourceTensor]] = {}
    lora: dict[str, dict[str, SourceTensor]] = {}
    unused = []
    for name, tensor in tensors.items():
        found = LORA.match(name)
        target = target_name(found["module"] if found else name, form)
        if target is None:
            unused.append(name)
        elif found:
            lora.setdefault(target, {})[found["matrix"]] = tensor
        elif target in form.copies:
            copies.setdefault(form.copies[target], []).append(tensor)
        elif target in weights:
            raise ConversionError(f"{name} and {weights[target].name} are the same weight.")
        else:
            weights[target] = tensor
    groups: dict[str, list[SourceTensor]] = {}
    for tensor in [*weights.values(), *(matrix for pair in lora.values() for matrix in pair.values())]:
        groups.setdefault(dtype_group(tensor.name), []).append(tensor)
    for group, members in groups.items():
        check_dtypes(members, lambda _, group=group: group)
    check_lora(weights, lora)
    recipes = {name: Recipe((tensor,)) for name, tensor in weights.items()}
    if not keep_lora:
        for module, pair in lora.items():
            weight = weights[f"{module}.weight"]
            recipes[f"{module}.weight"] = Recipe((weight, pair["A"], pair["B"]), merge_lora(lora_alpha))
    for target, others in copies.items():
        if target not in weights:
            raise ConversionError(f"{others[0].name} is there, but not the table that it repeats.")
        recipes[target] = Recipe((weights[target], *others), same_table)
    appended = config.text_config.vocab_size - weights[form.embedding].shape[0] if form.embedding in weights else 0
    if appended:
        for target in (form.embedding, "lm_head.weight"):
            if target in recipes:
                recipes[target] = append_rows(recipes[target], appended, target == form.embedding)
    with torch.device("meta"):
        model = form.model_class(config)
    expected = {name: part.shape for name, part in model.state_dict().items() if name not in form.copies}
    expected = {name: shape for name, shape in expected.items() if not name.endswith(".num_batches_tracked")}
    check_complete(recipes, expected)
    return recipes, lora, sorted(unused)


def convert_checkpoint(
    checkpoint: Path,
    base: Path,
    sampler_tokenizer: Path,
    output: Path,
    sampler: Path | None = None,
    raft: Path | None = None,
    grounding_mode: str | None = None,
    frame_merge: str = "mean",
    num_frames: int = 4,
    lora_alpha: float = 32,
    keep_lora: bool = False,
    dtype: str = "float32",
    max_shard_size: str = "5GB",
) -> Path:
    """Converts a checkpoint; see the module's text for its layout.

    Args:
        checkpoint: the trained weights, `.ckpt` or any other file of tensors.
        base: folder of the image model: configuration, tokenizers, and weights where the checkpoint lacks some.
        sampler_tokenizer: folder of the bridge's tokenizer (bert-base-uncased).
        output: folder to create; must not exist or be empty.
        sampler: the bridge's own file, for checkpoints without it.
        raft: RAFT's own file, likewise.
        grounding_mode: "multi_modal" or "fusion"; by default what the published code runs in this form.
        frame_merge: "mean" or "concat".
        num_frames: frames to choose; stored nowhere.
        lora_alpha: LoRA strength; stored nowhere, 32 in all published runs.
        keep_lora: keep LoRA as a PEFT adapter instead of merging it in float32.
        dtype: of the written weights.
        max_shard_size: of an output file, such as "5GB".

    Returns:
        `output`.

    Raises:
        ConversionError: the source is incomplete, damaged or inconsistent; nothing is left behind.
    """
    original = read_json(base / "config.json")
    form = find_form(original, base)
    tensors, filled = read_sources(checkpoint, base, sampler, raft)
    choices = {"mode": grounding_mode, "frame_merge": frame_merge, "num_frames": num_frames}
    try:
        processor = build_processor(form, base, sampler_tokenizer, original, frame_merge, num_frames)
        config = build_config(form, original, tensors, processor, **choices)
    except KeyError as error:
        raise ConversionError(f"A configuration file of {base} lacks {error}.") from error
    except (StrictDataclassError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())  # strict configurations explain themselves over several lines
        raise ConversionError(f"The files of {base} make no VideoTGB: {reason}") from error
    config.dtype = DTYPES[dtype]
    config.architectures = [form.model_class.__name__]
    recipes, lora, unused = plan_weights(tensors, form, config, lora_alpha, keep_lora)
    if keep_lora and not lora:
        raise ConversionError("--keep-lora was given, but the checkpoint holds no LoRA matrices.")
    generation_config = build_generation_config(form, config, processor)
    options = choices | {"lora_alpha": lora_alpha if lora else None, "keep_lora": keep_lora, "dtype": dtype}
    files = sorted({tensor.file for tensor in tensors.values()})
    plan = Plan(recipes, DTYPES[dtype], parse_size(max_shard_size), files, options)

    def write_lora(folder: Path) -> None:
        if keep_lora:
            write_adapter(lora, lora_alpha, DTYPES[dtype], folder, form.task_type)

    facts = {
        "source_tensors": len(tensors),
        "lora_modules": sorted(lora),
        "tensors_from_base": filled,
        "unused_source_tensors": unused,
    }
    write_model(
        plan,
        output,
        (config, generation_config, processor),
        ("convert_videotgb", CONVERTER_VERSION),
        facts,
        write_lora,
    )
    sys.stderr.write(
        f"{len(tensors)} tensors read ({len(filled)} of them not from the checkpoint, {len(lora)} LoRA pairs), "
        f"{len(recipes)} written to {output}; {len(unused)} deliberately unused"
        f"{': ' + shorten(unused) if unused else ''}.\n"
    )
    return output


def convert(checkpoint: Path | None = None, base: Path | None = None, **options) -> Path:
    """Converts a whole checkpoint, or without one the bridge's two files; see [`convert_checkpoint`].

    Raises:
        ConversionError: arguments that belong to neither, or a source that is refused.
    """
    if checkpoint is None:
        missing = [name for name in ("sampler", "raft") if options.get(name) is None]
        if base is not None or missing:
            raise ConversionError("Give --checkpoint and --base, or --sampler and --raft for the bridge alone.")
        names = ("sampler", "raft", "sampler_tokenizer", "output", "dtype", "max_shard_size")
        return convert_pieces(
            **{name: options[name] for name in names}, grounding_mode=options["grounding_mode"] or "multi_modal"
        )
    if base is None:
        raise ConversionError("--checkpoint needs --base: the folder of the image model it was trained from.")
    return convert_checkpoint(checkpoint, base, **options)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="video-lmms convert videotgb", description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="file of all weights, flat or as Lightning writes it")
    parser.add_argument("--base", type=Path, help="folder of InstructBLIP or BLIP-2: configuration, tokenizers")
    parser.add_argument("--sampler-tokenizer", type=Path, required=True, help="folder of bert-base-uncased")
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--sampler", type=Path, help="the bridge's own file")
    parser.add_argument("--raft", type=Path, help="RAFT's own file")
    parser.add_argument("--grounding-mode", choices=("multi_modal", "fusion"), help="default: as the form was run")
    parser.add_argument("--frame-merge", choices=("mean", "concat"), default="mean", help="default: mean")
    parser.add_argument("--num-frames", type=int, default=4, help="frames to choose (default 4; stored nowhere)")
    parser.add_argument("--lora-alpha", type=float, default=32, help="LoRA strength (default 32; stored nowhere)")
    parser.add_argument("--keep-lora", action="store_true", help="keep LoRA as a PEFT adapter")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="of the weights (default float32)")
    parser.add_argument("--max-shard-size", default="5GB", help="of an output file (default 5GB)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; 0 on success, 2 with one line on stderr where the source is refused."""
    return run_command(convert, parse_arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
