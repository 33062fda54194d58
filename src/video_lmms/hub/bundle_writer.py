# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Self-contained model folders: weights, processor, and the source code that runs them, copied verbatim.

Whoever has transformers can load such a folder with `trust_remote_code=True`; whoever has this package needs not even
that, because registered classes win over the ones in the folder.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedModel, ProcessorMixin

from .. import __version__
from ..conversion_scripts.weight_files import file_digests, sha256
from ..errors import BundleError
from ..registration import ARCHITECTURES, Architecture
from .cards import model_card
from .code_files import class_reference, closure, source_file
from .folders import PROVENANCE, read_json, staged, write_json


def bundle(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    directory: str | os.PathLike,
    *,
    card: str | None = None,
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes a model and its processor as a folder that runs without this package.

    Args:
        model: a `...ForConditionalGeneration` of this collection, with merged adapters.
        processor: its processor.
        directory: the folder to write; it appears only when complete.
        card: text of `README.md`; by default a card with usage examples is made.
        provenance: where the weights come from; written to `provenance.json`. The key `license` goes into the card.
        overwrite: replace a folder that is not an earlier bundle.

    Returns:
        The files written, sorted.

    Raises:
        BundleError: the model is not of this collection, or the folder cannot be replaced.
    """
    directory = Path(directory)
    architecture = architecture_of(model.config.model_type)
    if not isinstance(model, architecture.generation_model):
        raise BundleError(
            f"A bundle holds a {architecture.generation_model.__name__} of this package, got "
            f"{type(model).__module__}.{type(model).__name__}. Load it with `video_lmms.hub.load`, and merge PEFT "
            "adapters with `merge_and_unload()` first."
        )
    with staged(directory, overwrite) as stage:
        # Under the names of published files: towers keep them over releases of transformers, while classes rename.
        model.save_pretrained(stage)
        processor.save_pretrained(stage)
        _complete(stage, architecture, directory.name, card, provenance)
    return written_files(directory)


def bundle_folder(
    source: str | os.PathLike,
    directory: str | os.PathLike,
    *,
    card: str | None = None,
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Makes a bundle of a converted or saved folder without loading its weights.

    Weight files are hard-linked where the file system allows it, so that a large checkpoint takes no second space.

    Args:
        source: a folder with `config.json`, `processor_config.json` and weights in native names.
        directory: the folder to write; it appears only when complete. It may be `source` itself with `overwrite`.
        card: text of `README.md`; by default that of `source`, or one with usage examples.
        provenance: added to the `provenance.json` of `source`.
        overwrite: replace a folder that is not an earlier bundle.

    Returns:
        The files written, sorted.

    Raises:
        BundleError: the source is no model of this collection, or the folder cannot be replaced.
    """
    source, directory = Path(source), Path(directory)
    config = read_json(source / "config.json")
    architecture = architecture_of(config.get("model_type"), source)
    with staged(directory, overwrite) as stage:
        for path in sorted(source.iterdir()):
            if path.suffix != ".py" and path.name != "__pycache__" and not path.name.startswith("."):
                _carry(path, stage / path.name)
        _complete(stage, architecture, directory.name, card, provenance)
    return written_files(directory)


def architecture_of(model_type: str | None, source: Path | None = None) -> Architecture:
    """The classes of a model type.

    Raises:
        BundleError: the type is not one of this collection.
    """
    if model_type not in ARCHITECTURES:
        where = f"{source}: " if source else ""
        raise BundleError(f"{where}model_type {model_type!r} is none of {', '.join(sorted(ARCHITECTURES))}.")
    return ARCHITECTURES[model_type]


def code_classes(architecture: Architecture) -> list[type]:
    """The classes whose source a bundle has to hold: all but those that transformers itself brings."""
    return [cls for cls in architecture if cls is not None and not cls.__module__.startswith("transformers.")]


def code_files(architecture: Architecture) -> dict[str, Path]:
    """File name -> source of everything a bundle of this architecture runs."""
    return closure({source_file(cls) for cls in code_classes(architecture)})


def auto_maps(architecture: Architecture) -> dict[str, dict[str, str]]:
    """The `auto_map` tables: of the configuration file, the processor and each of its parts."""
    generation = class_reference(architecture.generation_model)
    text_class = "AutoModelForSeq2SeqLM" if architecture.config.is_encoder_decoder else "AutoModelForCausalLM"
    maps = {
        "config": {
            "AutoConfig": class_reference(architecture.config),
            "AutoModel": class_reference(architecture.model),
            "AutoModelForImageTextToText": generation,
            "AutoModelForMultimodalLM": generation,
            text_class: generation,
        },
        "processor": {"AutoProcessor": class_reference(architecture.processor)},
        "video_processor": {"AutoVideoProcessor": class_reference(architecture.video_processor)},
    }
    if architecture.image_processor in code_classes(architecture):
        maps["image_processor"] = {"AutoImageProcessor": class_reference(architecture.image_processor)}
    if architecture.feature_extractor in code_classes(architecture):
        maps["feature_extractor"] = {"AutoFeatureExtractor": class_reference(architecture.feature_extractor)}
    return maps


def absent_parts(processor: dict[str, Any]) -> set[str]:
    """Parts that a processor may do without and this one does: checkpoints that cannot hear extract no sound."""
    return {"feature_extractor"} - processor.keys()


def written_files(directory: Path) -> list[Path]:
    """All files of a folder, sorted."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _carry(source: Path, target: Path) -> None:
    source = source.resolve()  # snapshots of the Hub cache are symbolic links
    if source.is_dir():
        shutil.copytree(source, target)
        return
    if source.suffix == ".safetensors":
        try:
            os.link(source, target)
            return
        except OSError:  # another file system
            pass
    shutil.copy2(source, target)


def _complete(
    stage: Path, architecture: Architecture, name: str, card: str | None, provenance: dict[str, Any] | None
) -> None:
    """Adds all that a saved folder lacks: code, auto_map tables, card, provenance."""
    files = code_files(architecture)
    for file_name, source in files.items():
        shutil.copyfile(source, stage / file_name)
    _write_auto_maps(stage, architecture)
    facts = read_json(stage / PROVENANCE) | (provenance or {})
    facts["bundle"] = {
        "package": f"video-lmms {__version__}",
        "transformers": transformers.__version__,
        "code": {file_name: sha256(stage / file_name) for file_name in files},
    }
    # Weights keep the digest of whoever made them, so that a change on the way is noticed.
    known = {name: file["sha256"] for name, file in facts.get("files", {}).items() if name.endswith(".safetensors")}
    facts["files"] = file_digests(stage, known)
    write_json(stage / PROVENANCE, facts)
    readme = stage / "README.md"
    if card is not None or not readme.is_file():
        readme.write_text(card or model_card(name, architecture, facts), encoding="utf-8")


def _write_auto_maps(stage: Path, architecture: Architecture) -> None:
    maps = auto_maps(architecture)
    config = read_json(stage / "config.json")
    config["architectures"] = [architecture.generation_model.__name__]
    config["auto_map"] = maps["config"]
    write_json(stage / "config.json", config)
    path = stage / "processor_config.json"
    processor = read_json(path)
    for part in maps.keys() - {"config", "processor", *absent_parts(processor)}:
        if part not in processor:
            raise BundleError(f"{path.name} has no entry {part!r}; save the processor with `save_pretrained`.")
        processor[part]["auto_map"] = maps[part]
    processor["processor_class"] = architecture.processor.__name__
    processor["auto_map"] = maps["processor"]
    write_json(path, processor)
