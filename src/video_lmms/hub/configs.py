# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The folders in `hub_configs/`: all that a checkpoint's Hub repository holds besides weights, tokenizer and code.

    python -m video_lmms.hub.configs [FOLDER] [--only CHECKPOINT ...]

writes them again, from the models' own classes and from the facts in `checkpoints_<model>.py`. A test compares the
result with what is committed, and others compare the configurations with what the converters make of the originals.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from transformers import GenerationConfig, PreTrainedConfig, ProcessorMixin

from . import (
    checkpoints_apollo,
    checkpoints_longvu,
    checkpoints_pllava,
    checkpoints_video_llama,
    checkpoints_videotgb,
)
from .folders import PROVENANCE, read_json, write_json


class CheckpointModule(Protocol):
    """What a `checkpoints_<model>.py` offers; its own record of a checkpoint is whatever it likes."""

    CHECKPOINTS: Mapping[str, Any]

    def build_config(self, checkpoint: Any) -> PreTrainedConfig:
        """Of the model, `architectures` and `dtype` included."""

    def build_generation_config(self, checkpoint: Any) -> GenerationConfig:
        """How the model answers if nothing else is said."""

    def build_processor(self, checkpoint: Any) -> ProcessorMixin:
        """With a stand-in for the tokenizer."""

    def provenance(self, name: str, checkpoint: Any) -> dict[str, Any]:
        """Where the weights come from, and what of this is known or inferred."""

    def model_card(self, name: str, checkpoint: Any) -> str:
        """The text of `README.md`."""


MODULES: dict[str, CheckpointModule] = {
    "apollo": checkpoints_apollo,
    "longvu": checkpoints_longvu,
    "pllava": checkpoints_pllava,
    "video_llama": checkpoints_video_llama,
    "videotgb": checkpoints_videotgb,
}
# Folder name -> model it is a checkpoint of.
MODEL_OF = {name: model for model, module in MODULES.items() for name in module.CHECKPOINTS}


def write_folder(name: str, folder: Path) -> None:
    """Writes the folder of one checkpoint; `folder` must not exist."""
    module = MODULES[MODEL_OF[name]]
    checkpoint = module.CHECKPOINTS[name]
    folder.mkdir(parents=True)
    module.build_config(checkpoint).save_pretrained(folder)
    module.build_generation_config(checkpoint).save_pretrained(folder)
    for file in (folder / "config.json", folder / "generation_config.json"):
        content = read_json(file)
        del content["transformers_version"]  # the rest is the same for every supported version
        write_json(file, content)
    with tempfile.TemporaryDirectory() as scratch:
        module.build_processor(checkpoint).save_pretrained(scratch)
        for part in ("processor_config.json", "chat_template.jinja"):
            shutil.copyfile(Path(scratch, part), folder / part)
        named = Path(scratch, "additional_chat_templates")
        if named.is_dir():
            shutil.copytree(named, folder / named.name)
    write_json(folder / PROVENANCE, module.provenance(name, checkpoint))
    (folder / "README.md").write_text(module.model_card(name, checkpoint), encoding="utf-8")


def write_all(root: Path, names: Iterable[str] = tuple(MODEL_OF)) -> Iterator[Path]:
    """Writes the folders of all, or of the named, checkpoints anew, and yields each."""
    for name in names:
        shutil.rmtree(root / name, ignore_errors=True)
        write_folder(name, root / name)
        yield root / name


def main(argv: Sequence[str] | None = None) -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(prog="python -m video_lmms.hub.configs", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(str(files("video_lmms.hub_configs"))))
    parser.add_argument("--only", nargs="+", choices=sorted(MODEL_OF), default=tuple(MODEL_OF), metavar="CHECKPOINT")
    arguments = parser.parse_args(argv)
    for _ in write_all(arguments.folder, arguments.only):
        pass


if __name__ == "__main__":
    main()
