# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Publishing and what comes back: against a Hub on loopback, for every model that converts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from checkout import run
from hub.originals import ORIGINALS
from huggingface_hub import ModelCard

from video_lmms.errors import LicenceError, NotAModelError, PublishError
from video_lmms.hub.cards import completed_card
from video_lmms.hub.checks import synthetic_video
from video_lmms.hub.licences import APACHE_2, TABLE, terms_of
from video_lmms.hub.publishing import check_rights, publish
from video_lmms.registration import ARCHITECTURES


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def published(hub, worker, converted) -> dict[str, tuple[str, str]]:
    """Model -> repository and revision."""
    found = {}
    for model, folder in converted.items():
        repo_id = f"me/{model.replace('_', '-')}"
        result = worker("publish", folder, "--repo-id", repo_id, "--json", "--i-have-the-rights")
        assert result["code"] == 0, result["err"]
        found[model] = (repo_id, json.loads(result["out"])["revision"])
    return found


def test_every_file_arrives_and_the_folder_stays_as_it_was(hub, published, converted):
    for model, (repo_id, revision) in published.items():
        files = hub.files(repo_id, revision)
        assert hub.repositories[repo_id].commits[-1][0] == revision
        assert {"config.json", "model.safetensors", "README.md", "provenance.json", "tokenizer_config.json"} <= set(
            files
        )
        assert files["model.safetensors"] == (converted[model] / "model.safetensors").read_bytes()
        assert set(json.loads(files["config.json"])["auto_map"]) >= {
            "AutoConfig",
            "AutoModel",
            "AutoModelForMultimodalLM",
        }
        assert "auto_map" not in read(converted[model] / "config.json")
        assert not list(converted[model].parent.glob(".*"))


def test_a_stranger_gets_the_stored_answers(hub, published, converted, tmp_path):
    """In a process without the package, by id and revision, through every class that matters."""
    records = {model: read(converted[model] / "provenance.json")["check"] for model in published}
    (record,) = {json.dumps([record["video"], record["question"]]) for record in records.values()}
    video, question = json.loads(record)
    np.save(tmp_path / "video.npy", synthetic_video(**video))
    script = Path(__file__).with_name("hub_stranger.py")
    repositories = [f"{repo_id}@{revision}" for repo_id, revision in published.values()]
    result = run(
        *(sys.executable, script, tmp_path / "video.npy", question, *repositories),
        cwd=tmp_path,
        **hub.environment(tmp_path / "home"),
    )
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["imported"] == []
    for model, (repo_id, _) in published.items():
        answer = report["answers"][repo_id]
        assert answer["ids"] == records[model]["generated_ids"]
        assert all(name.startswith("transformers_modules:") for name in answer["classes"])


def test_verify_takes_an_id(worker, published):
    for repo_id, revision in published.values():
        result = worker("verify", repo_id, "--revision", revision, "--json")
        report = json.loads(result["out"])
        assert result["code"] == 0, report
        assert {"digests", "auto_map", "code", "weights", "answer"} == {found["what"] for found in report["findings"]}
        assert all(found["status"] == "ok" for found in report["findings"]), report


def test_verify_without_weights_downloads_none(hub, worker, published):
    repo_id, revision = published["pllava"]
    before = len(hub.requests)
    code = f"""
import os, huggingface_hub.constants as constants
constants.HF_HUB_CACHE = os.getcwd() + "/empty"
from video_lmms.hub import verify
import huggingface_hub._snapshot_download as download
report = verify({repo_id!r}, weights=False, revision={revision!r})
assert report.passed, report.lines()
"""
    assert worker(code=code)["code"] == 0
    fetched = [path for method, path in hub.requests[before:] if method == "GET" and "/resolve/" in path]
    assert not [path for path in fetched if path.endswith(".safetensors")]


def test_the_card_says_what_people_ask(hub, published, converted):
    for model, (repo_id, _) in published.items():
        text = hub.files(repo_id)["README.md"].decode()
        card = ModelCard(text)
        terms = terms_of(read(converted[model] / "config.json"), read(converted[model] / "provenance.json"))
        assert card.data.pipeline_tag == "video-text-to-text"
        assert card.data.library_name == "transformers"
        assert card.data.license == terms.header["license"]
        assert f'model="{repo_id}"' in text
        for word in (
            "AutoModelForImageTextToText",
            "video-lmms ask",
            terms.name,
            "Apache-2.0",
            "## Provenance",
            "sha256",
        ):
            assert word in text, word


def test_evaluation_results_reach_the_card():
    results = {"results": [{"task": "open-ended QA", "dataset": "MSVD", "metric": "accuracy", "value": 76.6}]}
    card = ModelCard(completed_card(None, "me/x", ARCHITECTURES["pllava"], {}, APACHE_2, results))
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("MSVD", "accuracy", 76.6)
    assert "| open-ended QA | MSVD | accuracy | 76.6 |" in card.text
    with pytest.raises(PublishError, match="a result lacks metric, value"):
        completed_card(None, "me/x", ARCHITECTURES["pllava"], {}, APACHE_2, {"results": [{"task": 1, "dataset": 2}]})


def test_a_card_of_ones_own_is_kept(bundled, hub, worker):
    own = "---\nbase_model: somebody/else\ntags: [mine]\n---\n# Mine\n\nWords of my own.\n"
    (bundled / "README.md").write_text(own)
    result = worker("publish", bundled, "--repo-id", "me/own-card")
    assert result["code"] == 0, result["err"]
    card = ModelCard(hub.files("me/own-card")["README.md"].decode())
    assert card.data.base_model == "somebody/else"
    assert card.data.tags == ["mine"]
    assert card.data.license == "apache-2.0"
    assert "Words of my own." in card.text
    assert "pipeline(" in card.text


def test_a_dry_run_lists_everything_and_sends_nothing(hub, worker, bundled):
    before = len(hub.requests)
    result = worker("publish", bundled, "--repo-id", "me/dry", "--dry-run")
    assert result["code"] == 0
    rows = dict(line.split(None, 1)[::-1] for line in result["out"].splitlines()[:-2])
    assert int(rows["model.safetensors"].replace(",", "")) == (bundled / "model.safetensors").stat().st_size
    assert {"README.md", "config.json", "modeling_pllava.py"} <= set(rows)
    total = sum(int(size.replace(",", "")) for size in rows.values())
    assert f"{total:,}  bytes in {len(rows)} files, for me/dry" in result["out"]
    assert len(hub.requests) == before
    assert "me/dry" not in hub.repositories


def test_a_new_version_replaces_the_old_in_one_commit(hub, worker, bundled):
    repo_id = "me/versions"
    (bundled / "old_notes.txt").write_text("old")
    first = json.loads(worker("publish", bundled, "--repo-id", repo_id, "--json")["out"])["revision"]
    (bundled / "old_notes.txt").unlink()
    second = json.loads(worker("publish", bundled, "--repo-id", repo_id, "--json")["out"])["revision"]
    assert [revision for revision, _ in hub.repositories[repo_id].commits[1:]] == [first, second]
    assert "old_notes.txt" in hub.files(repo_id, first)
    assert "old_notes.txt" not in hub.files(repo_id, second)


def test_an_interrupted_upload_goes_on_where_it_stopped(hub, worker, bundled):
    repo_id = "me/interrupted"
    size = 150_000
    for number in range(4):
        (bundled / f"extra-{number}.bin").write_bytes(bytes([number]) * (size + number))
    start = len(hub.uploaded)
    hub.refuse_upload_after = start + 2
    try:
        result = worker("publish", bundled, "--repo-id", repo_id)
    finally:
        hub.refuse_upload_after = None
    assert result["code"] == 2
    assert "Start again: what has arrived is not sent a second time" in result["err"]
    assert len(hub.repositories[repo_id].commits) == 1  # the empty one that makes it
    assert len(hub.uploaded) == start + 2
    assert worker("publish", bundled, "--repo-id", repo_id)["code"] == 0
    assert len(set(hub.uploaded[start:])) == len(hub.uploaded[start:])  # nothing twice
    assert len(hub.repositories[repo_id].commits) == 2
    assert hub.files(repo_id)["extra-3.bin"] == bytes([3]) * (size + 3)


def test_weights_that_may_not_be_published_are_refused(bundled):
    facts = read(bundled / "provenance.json")
    config = {"model_type": "videotgb", "text_config": {"model_type": "llama", "vocab_size": 32001}}
    converted = {"converter": {"name": "convert_videotgb", "version": 1}}
    with pytest.raises(LicenceError, match="LLaMA licence .* may not be passed on.*--i-have-the-rights"):
        check_rights(config, converted, have_the_rights=False)
    assert check_rights(config, converted, have_the_rights=True).name.startswith("LLaMA")
    facts.pop("license")
    (bundled / "provenance.json").write_text(json.dumps(facts))
    with pytest.raises(LicenceError, match="Nobody states the terms"):
        publish(bundled, "me/x", dry_run=True)
    assert publish(bundled, "me/x", dry_run=True, have_the_rights=True).licence == "not stated"


def test_every_row_of_licences_can_be_reached():
    """Of two rows for a model the first must leave something to the second."""
    examples = [
        {"model_type": "pllava", "text_config": {"vocab_size": 64064}},
        {"model_type": "pllava", "text_config": {"vocab_size": 32064}},
        {"model_type": "apollo", "text_config": {"hidden_size": 2048}},
        {"model_type": "apollo", "text_config": {"hidden_size": 1536}},
        {"model_type": "longvu", "text_config": {"model_type": "llama"}},
        {"model_type": "longvu", "text_config": {"model_type": "qwen2"}},
        {"model_type": "video_llama", "output_vocab_size": 32000, "audio_config": {"hidden_size": 768}},
        {"model_type": "video_llama", "output_vocab_size": 32000, "audio_config": None},
        {"model_type": "video_llama", "output_vocab_size": 32001},
        {"model_type": "videotgb", "text_config": {"model_type": "t5"}},
        {"model_type": "videotgb", "text_config": {"model_type": "llama"}},
        {"model_type": "videotgb_t5", "text_config": {}},
    ]
    for row, config in zip(TABLE, examples, strict=True):
        assert terms_of(config, {"converter": {}}) == row.licence
        assert terms_of(config, {"license": "apache-2.0"}) == APACHE_2
        assert terms_of(config, {}) is None


def test_what_cannot_be_published_is_described(bundled, tmp_path):
    with pytest.raises(PublishError, match="no repository id"):
        publish(bundled, "me/..bad..name")
    with pytest.raises(PublishError, match="names no owner"):
        publish(bundled, "name")
    with pytest.raises(NotAModelError, match="There is no folder"):
        publish(tmp_path / "nowhere", "me/x")
    with pytest.raises(NotAModelError, match="Convert it once: video-lmms convert pllava"):
        publish(ORIGINALS["pllava"].folder / "checkpoint", "me/x")
