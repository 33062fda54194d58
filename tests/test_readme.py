# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""README.md is run: its Python, its commands, its claims."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from checkout import ROOT, copy_checkout, run
from packaging.requirements import Requirement
from transformers import AutoConfig, AutoFeatureExtractor, AutoVideoProcessor
from transformers.video_utils import VideoMetadata
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.conversion_scripts import convert_apollo, convert_pllava
from video_lmms.hub.licences import TABLE
from video_lmms.processing.video_processing_pllava import harmonise_sizes
from video_lmms.registration import ARCHITECTURES


try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same under another name
    import tomli as tomllib


README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY = ROOT / "hub_configs/tiny-pllava"
# Small, and in the layout of the checkpoint that the README downloads.
ORIGINAL = ROOT / "tests/goldens/pllava/published_sharded/checkpoint"
ANSWER = re.search(r"The answer is `(\w+)`", README)[1]
HIDE_THE_PACKAGE = "import sys\nsys.modules['video_lmms'] = None\n"


class Block(NamedTuple):
    """A fenced block: the HTML comment before it, the word after its fence, its lines."""

    mark: str
    language: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"(?:<!-- ([\w-]+) -->\n)?```(\w+)\n(.*?)```", README, re.S)]


def marked(mark: str) -> str:
    (block,) = [block for block in BLOCKS if block.mark == mark]
    return block.text


def ask_words() -> list[str]:
    """`video-lmms ask ...` of the first command."""
    words = shlex.split(marked("ask-command").splitlines()[-1])
    return words[words.index(".venv/bin/video-lmms") + 1 :]


@pytest.fixture
def reader(tmp_path, monkeypatch) -> Path:
    """The folder of a reader who has a checkout and a clip of their own."""
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    shutil.copyfile(TINY / "example.mp4", tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_are_marked_as_ci_expects():
    assert "sed -n '/<!-- test-command -->/,/^```$/p' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert marked("test-command").endswith(".venv/bin/python -m pytest -n 2\n")
    assert ask_words()[0] == "ask"
    assert (ROOT / ask_words()[1]).is_file()


def test_the_first_command_answers():
    command = Path(sys.executable).with_name("video-lmms")
    assert json.loads(run(command, *ask_words(), "--json", cwd=ROOT).stdout)["answer"] == ANSWER


def test_the_python_runs_and_answers_alike(reader, capsys):
    for block in BLOCKS:
        if block.language != "python" or block.mark == "with-a-server":  # `tests/apps/test_serve.py` runs that
            continue
        if block.mark == "without-the-package":
            shown = run(sys.executable, "-c", HIDE_THE_PACKAGE + block.text, cwd=reader).stdout
        else:
            exec(compile(block.text, "README.md", "exec"), {"__name__": "__main__"})
            shown = capsys.readouterr().out
        if "print(" in block.text:
            assert ANSWER in re.findall(r"\w+", shown.strip().splitlines()[-1]), block.text


# The libraries' own: an option that was renamed between transformers and TRL.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_the_commands_run_in_order(reader):
    for block in BLOCKS:
        if block.language != "bash" or block.mark:
            continue
        for line in block.text.splitlines():
            program, *words = shlex.split(line)
            if program == "hf":
                assert words[:2] == ["download", f"ermu2001/{words[-1]}"]
                (reader / words[-1]).symlink_to(ORIGINAL)
                continue
            assert program == "video-lmms"
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
            # The original that stands in for the published one has random weights, and may answer with tokens that
            # are not text: what such an answer prints is its progress.
            assert result.output.strip() or words[0] == "convert"


def test_every_option_named_exists(capsys):
    commands = typer.main.get_command(app).commands.values()
    known = {
        option
        for command in commands
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for script in (convert_apollo, convert_pllava):
        with pytest.raises(SystemExit):
            script.parse_arguments(["--help"])
    known |= set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    named = set(re.findall(r"`(--[\w-]+)`", README))
    assert len(named) > 5
    assert named <= known


def test_the_versions_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in README
    required = {requirement.name: requirement for requirement in map(Requirement, project["dependencies"])}
    for name in ("transformers", "torch"):
        (lowest,) = [part.version for part in required[name].specifier if part.operator == ">="]
        assert f"{name} {lowest} or newer" in README
    assert "<6" in str(required["transformers"].specifier)
    assert "(below 6)" in README


def test_the_licences_are_those_that_publishing_knows():
    """Every row of its table is one of the README's, with the licence, its address and what it allows."""
    text = README.partition("## Licences")[2].partition("## Citation")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    shown = {(name.lower().replace("-", "_"), language_model): rest for name, language_model, *rest in rows}
    assert len(shown) == len(rows)
    known = {(row.model_type.removesuffix("_t5"), row.language_model): row.licence for row in TABLE}
    assert shown.keys() == known.keys()
    for key, licence in known.items():
        allowed = "nobody: `--i-have-the-rights` is asked for" if licence.forbids else licence.duty or "anybody"
        assert shown[key] == [f"[{licence.name}]({licence.link})", allowed]


def test_the_table_says_which_models_are_here():
    rows = dict(re.findall(r"^\| \[([\w-]+)\]\(.*\| (yes|in progress|not yet) \|$", README, re.M))
    states = {name.lower().replace("-", "_"): state for name, state in rows.items()}
    assert len(states) == 5
    # VideoTGB has two forms in one row.
    here = {name.removesuffix("_t5") for name in ARCHITECTURES}
    assert {name for name, state in states.items() if state != "not yet"} == here
    for name, state in states.items():
        if state == "yes":
            assert (ROOT / f"tests/parity/test_parity_{name}.py").is_file()
            assert list((ROOT / f"tests/goldens/{name}").glob("*/case.json"))


def test_the_numbers_on_pllava_follow_from_its_configuration():
    folder = ROOT / "hub_configs/pllava-7b"
    config, videos = AutoConfig.from_pretrained(folder), AutoVideoProcessor.from_pretrained(folder)
    claim = f"{videos.num_frames} frames however long the video is, spends {math.prod(config.pooling_shape)} tokens"
    claim += f" on them out of a context of {config.text_config.max_position_embeddings}"
    assert claim in " ".join(README.split())
    short, long = harmonise_sizes([(720, 1280)], videos.size["shortest_edge"])
    kept = videos.crop_size["width"] / (long * videos.size["shortest_edge"] / short)
    assert (1 - kept) / 2 == pytest.approx(1 / 5, abs=0.03)


def test_the_numbers_on_apollo_follow_from_its_configuration():
    videos = AutoVideoProcessor.from_pretrained(ROOT / "hub_configs/apollo-7b")

    def clips_of(seconds):
        return videos.num_clips(VideoMetadata(total_num_frames=30 * seconds, fps=30.0))

    claim = r"of up to (\d+) seconds whole; over a longer one it spreads (\d+) clips of (\d+) seconds, (\d+) tokens "
    found = re.search(claim + r"out of a context of (\d+)", " ".join(README.split()))
    whole, most, duration, tokens, context = map(int, found.groups())
    assert (clips_of(whole), clips_of(whole + 2), clips_of(7200)) == (whole / duration, most, most)
    assert (duration, context) == (videos.clip_duration, videos.context_length)
    assert tokens == most * videos.tokens_per_clip


def test_the_numbers_on_videotgb_follow_from_its_configuration():
    """Prose and configuration: one must not change without the other."""
    folder = ROOT / "hub_configs/videotgb-7b"
    config, video_processor = AutoConfig.from_pretrained(folder), AutoVideoProcessor.from_pretrained(folder)
    text = " ".join(README.split())
    candidates, tokens = video_processor.num_candidate_frames, config.num_query_tokens
    assert f"chooses {config.num_frames} of {candidates} candidates among them and spends {tokens} tokens" in text
    assert f"more than {config.grounding_config.max_flow_frames} such frames" in text
    assert (video_processor.fps, config.frame_merge) == (1, "mean")


def test_the_numbers_on_longvu_follow_from_its_configuration():
    folder = ROOT / "hub_configs/longvu-qwen2-7b"
    config, videos = AutoConfig.from_pretrained(folder), AutoVideoProcessor.from_pretrained(folder)
    assert videos.sample_frames(VideoMetadata(total_num_frames=300, fps=30.0)) == list(range(0, 300, 30))
    frames = (config.context_length - config.reserve) // config.lowres_token**2
    room = config.context_length - config.reserve
    text = " ".join(README.split())
    assert f"From {frames} frames on it drops" in text
    assert f"keeps {config.max_frames} at most" in text
    assert f"the {room} tokens that its context of {config.context_length} leaves" in text


def test_the_numbers_on_video_llama_follow_from_its_configuration():
    folder = ROOT / "hub_configs/video-llama-2-7b-audio"
    config, videos = AutoConfig.from_pretrained(folder), AutoVideoProcessor.from_pretrained(folder)
    sounds = AutoFeatureExtractor.from_pretrained(folder)
    text = " ".join(README.split())
    claim = f"{videos.num_frames} frames however long the video is, squeezed into squares of {videos.size['height']} "
    assert claim + f"pixels, spends {config.num_video_query_tokens} tokens on them" in text
    claim = f"hear {sounds.num_clips} pieces of {sounds.clip_seconds:g} seconds, spread over the clip, as "
    assert claim + f"{config.num_audio_query_tokens} tokens" in text


@pytest.mark.parametrize("name", ["apollo", "longvu", "video-llama"])
def test_the_tiny_models_answer_as_told(name, reader):
    (line,) = re.findall(rf"^video-lmms (ask .*--model tiny-{name})$", README, re.M)
    answer = CliRunner().invoke(app, shlex.split(line))
    assert f"answers `{answer.stdout.strip()}`" in README


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_first_command_on_a_fresh_machine(tmp_path):
    copy = copy_checkout(tmp_path / "clone", "goldens")
    shown = run("bash", "-c", marked("ask-command"), cwd=copy).stdout
    assert shown.strip().splitlines()[-1] == ANSWER


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_second_command_on_a_fresh_machine(tmp_path):
    """Up to the point where it would run this test again: the tests are collected and not run."""
    copy = copy_checkout(tmp_path / "clone")
    shown = run("bash", "-c", marked("test-command"), cwd=copy, PYTEST_ADDOPTS="--collect-only -q").stdout
    assert "tests/test_readme.py::test_the_python_runs_and_answers_alike" in shown
