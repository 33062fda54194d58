# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Verification: a sound folder passes, and each kind of damage is found and named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_pllava import ORIGINAL

from video_lmms.errors import NotAModelError, UnconvertedCheckpointError
from video_lmms.hub import bundle, load, record_check, replay_check, verify
from video_lmms.hub.checks import synthetic_video
from video_lmms.hub.verification import FAILED, NOTE


def failures(report) -> str:
    return "; ".join(f"{finding.what}: {finding.detail}" for finding in report.findings if finding.status == FAILED)


def notes(report) -> str:
    return "; ".join(finding.detail for finding in report.findings if finding.status == NOTE)


def edit_json(path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_sound_bundle_passes(bundled):
    report = verify(bundled)
    assert report.passed, report.lines()
    checks = ["digests", "auto_map", "code", "code", "code", "weights", "answer"]
    assert [finding.what for finding in report.findings] == checks
    assert "logits equal" in report.findings[-1].detail
    assert report.lines()[-1] == f"{bundled}: verified"
    assert json.loads(json.dumps(report.as_dict()))["passed"] is True


def test_a_plain_folder_passes_with_notes(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    report = verify(tmp_path)
    assert report.passed
    assert "holds no code" in notes(report)
    assert "stores none" in notes(report)


def test_changed_weights_change_the_answer(bundled, edit_weights):
    edit_weights(lambda tensors: tensors["lm_head.weight"].copy_(tensors["lm_head.weight"].flip(0)))
    assert "is stored" in failures(verify(bundled))


def test_slightly_changed_weights_are_noticed_by_the_logits(bundled, edit_weights):
    edit_weights(lambda tensors: tensors["lm_head.weight"].mul_(1.01))
    assert "leading logits are off" in failures(verify(bundled))


def test_rounding_of_another_machine_is_forgiven(bundled):
    model, processor = load(bundled, device="cpu")
    record = json.loads((bundled / "provenance.json").read_text())["check"]
    with torch.no_grad():
        model.lm_head.weight.mul_(1 + 1e-5)
    result = replay_check(model, processor, record | {"logits_digest": "sha256:of another machine"})
    assert result.passed
    assert not result.exact


def test_changed_preprocessing_changes_the_answer(bundled):
    edit_json(bundled / "processor_config.json", lambda content: content.update(pooling_shape=[4, 2, 1]))
    assert "cannot be answered" in failures(verify(bundled))


def test_missing_tensors_are_named(bundled, edit_weights):
    edit_weights(lambda tensors: tensors.pop("lm_head.weight"))
    assert "lm_head.weight" in failures(verify(bundled))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda content: content["auto_map"].pop("AutoModel"), "config.AutoModel"),
        ("config.json", lambda content: content["auto_map"].update(AutoConfig="other.Config"), "config.AutoConfig"),
        ("processor_config.json", lambda content: content.pop("auto_map"), "processor.AutoProcessor"),
        (
            "processor_config.json",
            lambda content: content["video_processor"].pop("auto_map"),
            "video_processor.AutoVideoProcessor",
        ),
    ],
)
def test_incomplete_maps_are_named(bundled, file, change, message):
    edit_json(bundled / file, change)
    assert message in failures(verify(bundled))


@pytest.mark.parametrize("name", ["modeling_pllava.py", "video_reader.py"])
def test_missing_code_is_named(bundled, name):
    (bundled / name).unlink()
    assert name in failures(verify(bundled))


def test_edited_code_is_a_failure_and_stray_code_a_note(bundled):
    path = bundled / "video_plan.py"
    path.write_text(path.read_text() + "\n# patched\n")
    (bundled / "notes.py").write_text("")
    report = verify(bundled)
    assert not report.passed
    assert "digests: changed since they were recorded: video_plan.py" in failures(report)
    assert "code: edited since the bundle was made: video_plan.py" in failures(report)
    assert "differs from video-lmms" in failures(report)
    assert "not used by any Auto class: notes.py" in notes(report)


def test_code_of_another_version_is_not_compared(bundled):
    edit_json(bundled / "provenance.json", lambda content: content["bundle"].update(package="video-lmms 0.0.1"))
    assert "made by video-lmms 0.0.1, not compared" in notes(verify(bundled))


def test_a_broken_record_is_a_finding(bundled):
    (bundled / "provenance.json").write_text("{")
    assert "not valid JSON" in failures(verify(bundled))


@pytest.mark.parametrize("files", [["model.safetensors"], {"model.safetensors": {"size": 1}}])
def test_digests_of_another_form_are_a_finding(bundled, files):
    edit_json(bundled / "provenance.json", lambda content: content.update(files=files))
    assert "no table of sizes and SHA-256 digests" in failures(verify(bundled))


def test_an_incomplete_record_is_a_finding(bundled):
    edit_json(bundled / "provenance.json", lambda content: content["check"].pop("dtype"))
    assert "the stored answer lacks dtype" in failures(verify(bundled))


def test_what_is_no_model_is_an_error(tmp_path):
    with pytest.raises(NotAModelError, match="There is no folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(NotAModelError, match="has no config.json"):
        verify(tmp_path)
    with pytest.raises(UnconvertedCheckpointError):
        verify(ORIGINAL)


def test_the_synthetic_video_never_changes():
    video = synthetic_video(seed=0, frames=12, height=48, width=64)
    assert video.shape == (12, 48, 64, 3)
    assert video.dtype == np.uint8
    assert (int(video.astype(np.int64).sum()), video[3, 10, 20].tolist()) == (13906688, [52, 65, 205])
    assert not np.array_equal(video[0], video[4])
    assert not np.array_equal(video, synthetic_video(seed=1, frames=12, height=48, width=64))


def test_a_record_may_ask_anything(model, processor, tmp_path):
    bundle(model, processor, tmp_path / "own")
    record = record_check(model, processor, tmp_path / "own", question="Which colour?", max_new_tokens=3)
    stored = json.loads((tmp_path / "own" / "provenance.json").read_text())
    assert stored["check"] == record
    assert "bundle" in stored
    assert len(record["generated_ids"]) == 3
    assert verify(tmp_path / "own").passed
