# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Recognising checkpoints in the layout of their original code, and the command that converts each.

A recogniser sees the content of `config.json` and where the checkpoint lies: a folder, a file, or a Hub id, which is
judged by its name and configuration alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from ..conversion_scripts.checkpoint_files import PICKLES, ConversionError, open_pickle


# The repositories that LongVU's and VideoTGB's code fetched by itself.
SIGLIP, DINOV2 = "google/siglip-so400m-patch14-384", "facebook/dinov2-giant"
INSTRUCTBLIP, BLIP2, BERT = (
    "Salesforce/instructblip-vicuna-7b",
    "Salesforce/blip2-flan-t5-xl",
    "google-bert/bert-base-uncased",
)


class Wanted(str):
    """A value of an option that only the user knows; shown in capitals."""


class Original(NamedTuple):
    """A recognised original checkpoint.

    Attributes:
        what: a noun phrase for the message.
        model: name of the converter.
        options: of the converter -> folder, file or Hub id; those that have to be filled in are `Wanted`.
        name: of the converted folder beside it.
    """

    what: str
    model: str
    options: dict[str, str | Path]
    name: Path

    @property
    def command(self) -> str:
        """The command that converts it; words in capitals are the user's to fill in."""
        words = ["video-lmms", "convert", self.model]
        for option, value in (self.options | {"output": self.name}).items():
            words += [f"--{option.replace('_', '-')}", shlex.quote(str(value))]
        return " ".join(words)

    @property
    def missing(self) -> list[str]:
        """Options that have to be filled in."""
        return [option for option, value in self.options.items() if isinstance(value, Wanted)]


def find_original(config: dict[str, Any], source: Path) -> Original | None:
    """Recognises an original checkpoint.

    Args:
        config: content of its `config.json`, empty if it has none.
        source: its folder, its one file, or its Hub id.

    Returns:
        What was recognised, or None.
    """
    for recognise in _RECOGNISERS:
        original = recognise(config, source)
        if original is not None:
            return original
    return None


def _converted(source: Path) -> Path:
    """Where the command writes: beside a folder or file, in the current folder for a Hub id."""
    name = f"{source.stem if source.is_file() else source.name}-converted"
    return source.with_name(name) if source.exists() else Path(name)


def _pllava(config: dict[str, Any], source: Path) -> Original | None:
    own = "PllavaForConditionalGeneration" in (config.get("architectures") or ())
    # PLLaVA's own code declares `llava`; these keys tell it from a real LLaVA.
    if config.get("model_type") == "llava" and (own or {"pooling_shape", "frame_shape"} & config.keys()):
        if _is_pllava_delta(source):
            what = "holds only what PLLaVA's training changes (projector and LoRA), to be laid over its base model"
            options = {"model_dir": Wanted("BASE_MODEL"), "weights_dir": source}
            return Original(what, "pllava", options, _converted(source))
        what = "is PLLaVA as its original code saves it"
        return Original(what, "pllava", {"model_dir": source}, _converted(source))
    if config.get("model_type") == "llava_next":
        what = "is LLaVA-NeXT, the image model that PLLaVA starts from"
        return Original(what, "pllava", {"model_dir": source}, _converted(source))
    return None


def _is_pllava_delta(folder: Path) -> bool:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return False
    with safe_open(weights, framework="pt") as tensors:
        names = list(tensors.keys())
    return all("lora_" in name or "multi_modal_projector" in name for name in names)


def _apollo(config: dict[str, Any], source: Path) -> Original | None:
    # The released code has our `model_type`; only its configuration nests those of its parts.
    if config.get("model_type") == "apollo" and "llm_cfg" in config:
        return Original("is Apollo as it was released", "apollo", {"checkpoint": source}, _converted(source))
    return None


def _longvu(config: dict[str, Any], source: Path) -> Original | None:
    if config.get("model_type") in ("cambrian_qwen", "cambrian_llama"):
        options = {"checkpoint": source, "siglip": SIGLIP, "dinov2": DINOV2}
        return Original("is LongVU as its original code saves it", "longvu", options, _converted(source))
    return None


def _video_llama(config: dict[str, Any], source: Path) -> Original | None:
    what = "is Video-LLaMA as its original code saves it"
    if source.parts and source.parts[0] == "DAMO-NLP-SG" and source.name.startswith("Video-LLaMA") and not config:
        return Original(what, "video_llama", _video_llama_on_the_hub(source), _converted(source))
    if config and config.get("model_type") != "llama":
        return None
    tables = dict(_tables(source))
    (sight, sound) = (
        next((file for file, names in tables.items() if key in names), None)
        for key in ("video_query_tokens", "audio_query_tokens")
    )
    if sight is None:
        return None
    folder = sight.parent
    options = _video_llama_parts(folder)
    options["checkpoint"] = sight
    imagebind = folder / "imagebind_huge.pth"
    if sound is None:
        sound = next((file for file in sorted(folder.glob("*.pth")) if _is_sound(file)), None)
    if sound is not None and imagebind.is_file():
        options |= {"audio_checkpoint": sound, "imagebind": imagebind}
    return Original(what, "video_llama", options, _converted(source))


def _video_llama_parts(folder: Path) -> dict[str, str | Path]:
    """The frozen parts, where they lie beside the checkpoint."""
    language_models = sorted(file.parent for file in folder.glob("*/config.json") if '"llama"' in file.read_text())
    deltas = [path for path in language_models if "delta" in path.name]
    merged = [path for path in language_models if path not in deltas and "vicuna" in path.name] or [
        path for path in language_models if path not in deltas
    ]
    parts: dict[str, str | Path] = {"llama": merged[0] if merged else Wanted("LLAMA_FOLDER")}
    for option, name in (("vit", "eva_vit_g.pth"), ("qformer", "blip2_pretrained_flant5xxl.pth")):
        parts[option] = folder / name if (folder / name).is_file() else Wanted(name.upper())
    linear = sorted(folder.glob("pretrained_minigpt4*.pth"))
    return parts | ({"minigpt4": linear[0]} if linear else {})


def _video_llama_on_the_hub(source: Path) -> dict[str, str | Path]:
    """Of `Video-LLaMA-2-{7,13}B-{Pretrained,Finetuned}`, whose file names follow from the repository's."""
    options: dict[str, str | Path] = {"llama": Wanted("LLAMA_FOLDER")}
    checkpoint: str | Path = Wanted("CHECKPOINT")
    pieces = source.name.split("-")
    if len(pieces) == 5:
        size, stage = pieces[3], pieces[4]
        options["llama"] = f"{source}/llama-2-{size.lower()}-chat-hf"
        checkpoint = f"{source}/VL_LLaMA_2_{size}_{stage}.pth"
    # LAVIS' storage has them, not the Hub.
    options |= {"vit": Wanted("EVA_VIT_G.PTH"), "qformer": Wanted("BLIP2_PRETRAINED_FLANT5XXL.PTH")}
    return options | {"checkpoint": checkpoint}


def _is_sound(file: Path) -> bool:
    return "audio_query_tokens" in dict(_tables(file)).get(file, ())


def _videotgb(config: dict[str, Any], source: Path) -> Original | None:
    what = "is VideoTGB (LSTP) as its original code saves it"
    if source.parts and source.parts[0] == "ColorfulAI" and not config:
        options = {"checkpoint": f"{source}/LSTP-7B.ckpt", "base": INSTRUCTBLIP, "sampler_tokenizer": BERT}
        return Original(what, "videotgb", options, _converted(source))
    if config:
        return None
    for file, names in _tables(source):
        if any(name.startswith("temporal_encoder.") for name in names):
            flan = any(name.startswith("model.language_model.decoder.") for name in names)
            options = {"checkpoint": file, "base": BLIP2 if flan else INSTRUCTBLIP, "sampler_tokenizer": BERT}
            return Original(what, "videotgb", options, _converted(source))
    return None


def _tables(source: Path) -> Iterator[tuple[Path, set[str]]]:
    """PyTorch files of a folder, or the one file, and the names of their tensors."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    for file in files:
        if file.suffix in PICKLES and file.is_file():
            try:
                yield file, set(open_pickle(file))
            except ConversionError:  # not weights, or damaged: the converter says so, when asked for it
                continue


_RECOGNISERS: tuple[Callable[[dict[str, Any], Path], Original | None], ...] = (
    _pllava,
    _apollo,
    _longvu,
    _video_llama,
    _videotgb,
)
