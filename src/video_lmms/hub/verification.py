# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Verifying a model: its files are those recorded, it loads completely, and it still gives its stored answer."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoVideoProcessor, GenerationConfig

from .. import __version__
from ..conversion_scripts.weight_files import sha256
from ..errors import BundleError, NotAModelError, VideoLmmError
from ..estimation import count_parameters
from ..registration import ARCHITECTURES, Architecture
from .bundle_writer import absent_parts, architecture_of, auto_maps, code_files
from .checks import ANSWERED, ASKED, record_check, replay_check
from .code_audit import audit
from .code_files import closure
from .folders import PROVENANCE, read_json
from .loading import first_line, load, parse_dtype
from .sources import check_is_model, read_config, resolve


OK, NOTE, FAILED = "ok", "note", "FAILED"


@dataclass
class Finding:
    """One verified fact.

    Attributes:
        what: which part was looked at.
        status: `ok`, `note` (nothing wrong, worth knowing) or `FAILED`.
        detail: one line for the reader.
    """

    what: str
    status: str
    detail: str


@dataclass
class Report:
    """All findings about one folder."""

    directory: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(finding.status != FAILED for finding in self.findings)

    def add(self, what: str, status: str, detail: str) -> None:
        self.findings.append(Finding(what, status, detail))

    def lines(self) -> list[str]:
        """One line per finding, aligned, and the verdict."""
        rows = [f"{finding.status:6} {finding.what:8} {finding.detail}" for finding in self.findings]
        return [*rows, f"{self.directory}: {'verified' if self.passed else 'NOT verified'}"]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"directory": self.directory, "passed": self.passed, "findings": list(map(asdict, self.findings))}


def verify(
    source: str | os.PathLike,
    *,
    device: str | None = None,
    weights: bool = True,
    record: bool = False,
    revision: str | None = None,
) -> Report:
    """Verifies a model.

    Args:
        source: a converted, trained or downloaded folder, a Hub id, or the name of a configuration that ships with
            the package. Code that it brings is read, never run.
        device: where to replay the stored answer; defaults to the first accelerator.
        weights: look at the weights; without them the model is only built, and its names and sizes are counted.
        record: where no answer is stored, ask the model and store one.
        revision: of a Hub repository.

    Returns:
        What was found. Faults of the model are findings, not exceptions.

    Raises:
        NotAModelError: `source` leads to no model.
        UnconvertedCheckpointError: it has to be converted first; the message names the command.
    """
    folder = _folder(os.fspath(source), weights, revision)
    report = Report(str(source))
    try:
        provenance = read_json(folder / PROVENANCE)
    except BundleError as exc:
        report.add("record", FAILED, str(exc))
        provenance = {}
    _check_digests(report, folder, provenance.get("files"), weights)
    _audit(report, folder, provenance.get("bundle", {}))
    if not weights:
        _build(report, folder)
        return report
    answer = provenance.get("check")
    lacking = [] if answer is None else [key for key in (*ASKED, *ANSWERED) if key not in answer]
    if lacking:
        report.add("record", FAILED, f"the stored answer lacks {', '.join(lacking)}; record it again")
    _replay(report, folder, None if lacking else answer, device, record)
    return report


def _folder(source: str, weights: bool, revision: str | None) -> Path:
    """Where the files lie; a Hub repository is downloaded.

    Raises:
        NotAModelError: there are none, or they are no model.
    """
    if not Path(source).exists():
        source = resolve(source)
    if not Path(source).exists():
        unwanted = None if weights else ["*.safetensors", "*.bin", "*.pth", "*.ckpt"]
        try:
            source = snapshot_download(source, revision=revision, ignore_patterns=unwanted)
        except (HfHubHTTPError, OSError) as exc:
            raise NotAModelError(
                f"{source} is neither a folder nor a readable Hub repository: {first_line(exc)}"
            ) from exc
    folder = Path(source)
    config = read_config(folder) if folder.is_dir() else {}
    check_is_model(source, set(ARCHITECTURES), config, weights=weights)
    return folder


def _check_digests(report: Report, folder: Path, recorded: dict[str, dict] | None, weights: bool) -> None:
    """Every recorded file has to be there, unchanged."""
    if recorded is None:
        report.add("digests", NOTE, f"{PROVENANCE} records none")
        return
    if not isinstance(recorded, dict) or not all({"size", "sha256"} <= set(file) for file in recorded.values()):
        report.add("digests", FAILED, f"`files` of {PROVENANCE} is no table of sizes and SHA-256 digests")
        return
    looked_at = {name: file for name, file in recorded.items() if weights or not name.endswith(".safetensors")}
    absent = [name for name in looked_at if not (folder / name).is_file()]
    changed = [
        name
        for name, file in looked_at.items()
        if name not in absent
        and ((folder / name).stat().st_size != file["size"] or sha256(folder / name) != file["sha256"])
    ]
    for what, names in (("missing", absent), ("changed since they were recorded", changed)):
        if names:
            report.add("digests", FAILED, f"{what}: {', '.join(sorted(names))}")
    if not absent and not changed:
        size = sum(file["size"] for file in looked_at.values())
        report.add("digests", OK, f"{len(looked_at)} files, {size:,} bytes, as recorded")


def _build(report: Report, folder: Path) -> None:
    """Builds the model without weights, and all else that a folder without them can give."""
    try:
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForMultimodalLM.from_config(config)
        counts = count_parameters(model)
        total = counts.pop("total")
        report.add("model", OK, f"{len(model.state_dict())} tensors, {total:,} parameters, built without weights")
        report.add("parts", OK, ", ".join(f"{name} {count:,}" for name, count in counts.items()))
        videos = AutoVideoProcessor.from_pretrained(folder)
        report.add("videos", OK, f"{type(videos).__name__} reads its configuration")
        if (folder / "generation_config.json").is_file():
            GenerationConfig.from_pretrained(folder)
            report.add("answers", OK, "generation_config.json is readable")
    except (OSError, ValueError, TypeError, RuntimeError) as exc:
        report.add("model", FAILED, f"cannot be built: {first_line(exc)}")


def _replay(report: Report, folder: Path, answer: dict[str, Any] | None, device: str | None, record: bool) -> None:
    dtype = None if answer is None else parse_dtype(answer["dtype"])
    try:
        model, processor = load(folder, device=device, dtype=dtype)
    except NotAModelError:
        raise
    except VideoLmmError as exc:
        report.add("weights", FAILED, str(exc))
        return
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tensors = len(model.state_dict())
    report.add(
        "weights", OK, f"{tensors} tensors, {parameters:,} parameters: none missing, left over or of another shape"
    )
    try:
        if answer is not None:
            result = replay_check(model, processor, answer)
            report.add("answer", OK if result.passed else FAILED, result.detail)
        elif record:
            stored = record_check(model, processor, folder)
            report.add("answer", OK, f"stored: {stored['answer']!r}")
        else:
            report.add("answer", NOTE, f"{PROVENANCE} stores none; `video-lmms verify DIR --record` asks for one")
    except (ValueError, RuntimeError) as exc:  # processor and model disagree, about placeholders for instance
        report.add("answer", FAILED, f"the stored question cannot be answered: {first_line(exc)}")


def _audit(report: Report, folder: Path, bundled: dict[str, Any]) -> None:
    config = read_json(folder / "config.json")
    if not config:
        return  # loading says what the folder is instead
    sources = sorted(path.name for path in folder.glob("*.py"))
    if not sources and "auto_map" not in config:
        report.add(
            "bundle", NOTE, "holds no code: it loads where video-lmms is installed; `hub.bundle_folder` adds it"
        )
        return
    try:
        architecture = architecture_of(config.get("model_type"), folder)
        _audit_maps(report, folder, config, architecture)
        _audit_code(report, folder, sources, bundled, architecture)
    except BundleError as exc:
        report.add("bundle", FAILED, str(exc))


def _audit_maps(report: Report, folder: Path, config: dict[str, Any], architecture: Architecture) -> None:
    processor = read_json(folder / "processor_config.json")
    stored = {"config": config, "processor": processor} | {
        part: processor.get(part, {}) for part in ("video_processor", "image_processor", "feature_extractor")
    }
    wanted = {part: table for part, table in auto_maps(architecture).items() if part not in absent_parts(processor)}
    wrong = [
        f"{part}.{auto_class}"
        for part, table in wanted.items()
        for auto_class, reference in table.items()
        if stored[part].get("auto_map", {}).get(auto_class) != reference
    ]
    if wrong:
        raise BundleError(f"auto_map entries are missing or point elsewhere: {', '.join(wrong)}")
    report.add("auto_map", OK, f"{sum(map(len, wanted.values()))} Auto classes find their code in the folder")


def _audit_code(
    report: Report, folder: Path, sources: list[str], bundled: dict[str, Any], architecture: Architecture
) -> None:
    roots = {
        folder / f"{reference.split('.')[0]}.py"
        for table in auto_maps(architecture).values()
        for reference in table.values()
    }
    absent = sorted(root.name for root in roots if not root.is_file())
    if absent:
        raise BundleError(f"auto_map names files that are not there: {', '.join(absent)}")
    needed = closure(roots)
    report.add("code", OK, f"{len(needed)} files, every relative import is answered in the folder")
    left_over = sorted(set(sources) - set(needed))
    if left_over:
        report.add("code", NOTE, f"not used by any Auto class: {', '.join(left_over)}")
    faults = [fault for name in sources for fault in audit(folder / name)]
    if faults:
        report.add("code", FAILED, "; ".join(faults))
    else:
        report.add("code", OK, "importing it opens no connection, starts no process and executes no text")
    recorded = bundled.get("code", {})
    edited = sorted(name for name, value in recorded.items() if name in needed and sha256(needed[name]) != value)
    if edited:
        report.add("code", FAILED, f"edited since the bundle was made: {', '.join(edited)}")
    if bundled.get("package") != f"video-lmms {__version__}":
        report.add("code", NOTE, f"made by {bundled.get('package', 'an unknown version')}, not compared with this one")
        return
    own = code_files(architecture)
    different = sorted(
        name
        for name in needed.keys() | own.keys()
        if name not in needed or name not in own or sha256(needed[name]) != sha256(own[name])
    )
    if different:
        report.add("code", FAILED, f"differs from video-lmms {__version__}: {', '.join(different)}")
    else:
        report.add("code", OK, f"equal to video-lmms {__version__}, file by file")
