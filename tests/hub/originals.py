# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""One small original checkpoint per model, and the words that convert it: taken from the parity cases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from checkout import ROOT
from parity.cases import Case, find_cases
from safetensors.torch import load_file

from video_lmms.conversion_scripts.checkpoint_files import PICKLES, open_pickle
from video_lmms.hub.downloads import SOURCES


GOLDENS = ROOT / "tests" / "goldens"


def is_whole(case: Case) -> bool:
    """Whether a case converts to a model that answers, and not to parts alone."""
    return bool({"model-dir", "checkpoint"} & case.spec["convert"]["options"].keys())


ORIGINALS: dict[str, Case] = {
    model: [case for case in find_cases([GOLDENS], model) if is_whole(case)][0]
    for model in SOURCES
    if any(is_whole(case) for case in find_cases([GOLDENS], model))
}


def words(model: str, output: Path, case: Case | None = None, **replaced: str | Path) -> list[str]:
    """The command line of a conversion; `replaced` takes the place of options, None leaves one out."""
    case = case or ORIGINALS[model]
    flags = list(case.flags({}))
    for option, value in replaced.items():
        flag = f"--{option.replace('_', '-')}"
        if flag in flags:
            position = flags.index(flag)
            flags[position : position + 2] = [] if value is None else [flag, str(value)]
        elif value is not None:
            flags += [flag, str(value)]
    return ["convert", model, *flags, "--output", str(output)]


def sources(model: str) -> dict[str, Path]:
    """Option of the converter, in Python's spelling -> the folder or file that the case gives it."""
    options = ORIGINALS[model].spec["convert"]["options"]
    found = {option: options.get(option.replace("_", "-")) for option in SOURCES[model]}
    return {option: ORIGINALS[model].folder / value for option, value in found.items() if value is not None}


class Slot(NamedTuple):
    """A file of weights that a converter reads.

    Attributes:
        model: the converter.
        option: of the converter, in Python's spelling, that leads to the file.
        root: the folder or file that the option is given.
        file: the weights, relative to `root`; empty where `root` is the file.
        case: the rest of the checkpoint.
    """

    model: str
    option: str
    root: Path
    file: Path
    case: Case

    def copied(self, folder: Path) -> tuple[Path, Path]:
        """A copy of all that the option is given, and in it the file."""
        target = folder / self.root.name
        if self.root.is_file():
            shutil.copyfile(self.root, target)
        else:
            shutil.copytree(self.root, target)
        return target, target / self.file

    def pickled(self, folder: Path) -> tuple[Path, Path]:
        """A copy in which PyTorch's own format holds what safetensors do; the file's name follows."""
        target, file = self.copied(folder)
        if file.suffix != ".safetensors":
            return target, file
        for index in file.parent.glob("*.index.json"):
            index.unlink()
        for stored in file.parent.glob("*.safetensors"):
            torch.save(load_file(stored), pickle_name(stored))
            stored.unlink()
        return target, pickle_name(file)


def pickle_name(file: Path) -> Path:
    """What transformers called a file of safetensors before there were any."""
    return file.with_name(f"pytorch_{file.name}").with_suffix(".bin")


# Options that no case gives -> where a file of the same kind lies. Its content is refused before it is understood.
BORROWED = {("apollo", "weights"): ("checkpoint", "llm"), ("video_llama", "vicuna_delta"): ("llama", "")}


def slots() -> Iterator[Slot]:
    """Every file of weights that any converter reads, once per option and file."""
    for model, options in SOURCES.items():
        cases = find_cases([GOLDENS], model)
        for option, part in options.items():
            if part is not None and not part.weights:
                continue
            given, below = BORROWED.get((model, option), (option, ""))
            case = next(case for case in cases if given.replace("_", "-") in case.spec["convert"]["options"])
            root = case.folder / case.spec["convert"]["options"][given.replace("_", "-")] / below
            if root.suffix in (".yaml", ".json"):
                continue
            files = [root] if root.is_file() else sorted(root.rglob("*") if part.deep else root.iterdir())
            for file in files:
                if file.suffix in (".safetensors", *PICKLES):
                    yield Slot(model, option, root, file.relative_to(root), case)


def read_pickle(file: Path) -> dict[str, torch.Tensor]:
    """Copies of its tensors."""
    return {name: tensor.clone() for name, tensor in open_pickle(file).items()}
