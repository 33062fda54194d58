"""Parity cases: folders that hold an original checkpoint, inputs, and the original code's outputs.

Everything here is driven by a case's `case.json` (`convert`, `runs`, `compare`); nothing depends on a case's name,
its dimensions or its list of tensors, so any folder in the same format can be tested.
"""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from video_lmms.conversion_scripts import (
    convert_apollo,
    convert_longvu,
    convert_pllava,
    convert_video_llama,
    convert_videotgb,
)


CONVERTERS = {
    "apollo": convert_apollo.main,
    "longvu": convert_longvu.main,
    "pllava": convert_pllava.main,
    "video_llama": convert_video_llama.main,
    "videotgb": convert_videotgb.main,
}
# Parts that a converter leaves out unless it is asked for them.
NEEDS = {"imagebind-vision": "--audio-training-tower"}


class Case:
    """One case folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.spec = json.loads((self.folder / "case.json").read_text())
        self.model = self.spec["convert"]["model"]
        self.name = self.folder.name

    @cache  # noqa: B019 (cases live as long as the session)
    def tensors(self, kind):
        return load_file(self.folder / f"{kind}.safetensors")

    @property
    def runs(self):
        return self.spec["runs"]

    def table(self, name):
        return json.loads((self.folder / f"{name}.json").read_text())

    def flags(self, run):
        """The converter's command line for a run: kebab-case options of the run replace those of the case."""
        options = dict(self.spec["convert"]["options"])
        own = run.get("options", {})
        options |= {key: value for key, value in own.items() if "-" in key or key in options}
        flags = []
        for key, value in options.items():
            if value is True:
                flags.append(f"--{key}")
            elif value is not False and value is not None:
                values = value if isinstance(value, list) else [value]
                flags += [f"--{key}", *(self.resolve(part) for part in values)]
        if "needs" in run:
            flags.append(NEEDS[run["needs"]])
        return tuple(flags)

    def resolve(self, value):
        path = self.folder / str(value)
        return str(path) if path.exists() else str(value)

    def generate_options(self, run):
        options = self.spec["convert"]["options"]
        return {key: value for key, value in run.get("options", {}).items() if "-" not in key and key not in options}

    def inputs(self, run, placeholder_id=None):
        """The run's inputs by role, in the layout of the model's contract.

        Placeholders that have a known length are expanded; those that the model expands become `placeholder_id`.
        """
        stored = self.tensors("inputs")
        recorded = run.get("input_files", {})
        inputs = {
            role: self.tensors(recorded.get(role, "inputs").removesuffix(".safetensors"))[name].clone()
            for role, name in run["inputs"].items()
        }
        for role, (start, stop) in run.get("slices", {}).items():
            inputs[role] = inputs[role][start:stop]
        for role, axes in run.get("permute", {}).items():
            inputs[role] = inputs[role].permute(axes).contiguous()
        for role, names in run.get("rows", {}).items():
            inputs[role] = inputs[role][torch.cat([stored[name] for name in names])].float()
        if placeholder_id is not None:
            inputs |= {role: torch.tensor(values) for role, values in run.get("values", {}).items()}
        for role, layout in run.get("layout", {}).items():
            if isinstance(layout, dict) and role in inputs:
                inputs[role] = apply_layout(inputs[role], layout)
        if placeholder_id is not None:
            replace_placeholders(inputs, run["placeholder"]["placeholder_id"], placeholder_id, run.get("pad"))
        elif "placeholder" in run and not run["placeholder"]["stored_expanded"]:
            expand_placeholders(inputs, run["placeholder"])
        return inputs


def apply_layout(tensor, layout):
    if "select" in layout:
        start, stop = (int(part) if part else None for part in layout["select"].strip("[]").split(":"))
        tensor = tensor[start:stop]
    return tensor.reshape(layout["reshape"]) if "reshape" in layout else tensor


def replace_placeholders(inputs, stored_id, placeholder_id, pad):
    """Gives batched text with the model's own placeholder id, attended, and valid ids on padding."""
    ids = torch.atleast_2d(inputs["input_ids"])
    mask = inputs.get("attention_mask", torch.ones_like(ids)).long().masked_fill(ids == stored_id, 1)
    if pad:
        ids = ids.masked_fill(ids == pad["pad_id"], 0)
    inputs |= {"input_ids": ids.masked_fill(ids == stored_id, placeholder_id), "attention_mask": mask}


def expand_placeholders(inputs, placeholder):
    """Repeats each placeholder id, with mask 1 and label -100 on the copies; rows must stay equally long."""
    repeats = torch.where(inputs["input_ids"] == placeholder["placeholder_id"], placeholder["expands_to"], 1)
    is_media = inputs["input_ids"] == placeholder["placeholder_id"]
    fills = {"attention_mask": placeholder["attention_mask_fill"], "labels": placeholder["labels_fill"]}
    for role in ("input_ids", "attention_mask", "labels"):
        if role in inputs:
            values = inputs[role]
            if role in fills:
                values = values.masked_fill(is_media, fills[role])
            rows = [row.repeat_interleave(count) for row, count in zip(values, repeats, strict=True)]
            inputs[role] = torch.stack(rows)


def compare(case, name, actual):
    """Holds `actual` against the stored tensor `name`, by the rule that the case states for it."""
    expected, rule = case.tensors("expected")[name], case.spec["compare"][name]
    actual = stored_part(actual.detach(), rule).reshape(expected.shape)
    if "mask_tensor" in rule or rule.get("mask", "").startswith("rows where "):
        keep = rows_kept(case.tensors("inputs") | case.tensors("expected"), rule)
        actual, expected = actual[keep], expected[keep]
    if rule.get("exact"):
        assert torch.equal(actual.to(expected.dtype), expected), f"{name} differs"
    else:
        torch.testing.assert_close(
            actual.float(),
            expected.float(),
            atol=rule["atol"],
            rtol=rule["rtol"],
            msg=lambda text: f"{name}: {text}",
        )


def rows_kept(tensors, rule):
    """Positions that are compared: where the rule's mask tensor is 1, or is not some number."""
    condition = rule.get("mask_tensor") or rule["mask"].removeprefix("rows where ").split(" ")[0]
    name, differs, number = condition.partition("!=")
    return tensors[name] != int(number) if differs else tensors[name.split("==")[0]] == 1


def stored_part(actual, rule):
    """The positions, columns and strided entries of a sequence that a case stores, to save space."""
    if "positions" in rule:
        actual = actual[..., slice(*rule["positions"]), :]
    if "columns" in rule and actual.dim() > 1:
        actual = actual[..., : rule["columns"]]
    if "select" in rule:
        picked = torch.arange(rule["select"]["start"], actual.shape[rule["select"]["dim"]], rule["select"]["step"])
        actual = actual.index_select(rule["select"]["dim"], picked)
    return actual


def find_cases(folders, model):
    """Cases of a model under any of the folders, however deep."""
    files = sorted({file for folder in folders for file in Path(folder).rglob("case.json")})
    cases = [Case(file.parent) for file in files]
    return [case for case in cases if case.model == model]


def covered(case):
    """Names in `expected.safetensors` that the runs compare."""
    return {name for run in case.runs for name in run["expected"].values()}


def parametrize(metafunc, model, kind=None):
    """Fills the fixtures `case`, `case_run` from the folders given by `--goldens`.

    `kind` picks whole models ("full") or parts of one ("component"); None takes both.
    """
    default = Path(__file__).parents[1] / "goldens" / model
    cases = find_cases(metafunc.config.getoption("goldens") or [default], model)
    cases = [case for case in cases if kind in (None, case.spec.get("kind", "full"))]
    if "case_run" in metafunc.fixturenames:
        values = [pytest.param((case, run), id=f"{case.name}-{run['name']}") for case in cases for run in case.runs]
        metafunc.parametrize("case_run", values)
    elif "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [pytest.param(case, id=case.name) for case in cases])
