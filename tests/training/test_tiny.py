"""The command that makes tiny models, and the models it made."""

import json
from functools import cache

import pytest
import torch
from checkout import ROOT

from video_lmms.data.world import draw_long_samples, draw_samples, write_rows
from video_lmms.hub.loading import load
from video_lmms.training.expansion import expand_videos
from video_lmms.training.tiny import (
    BUILDERS,
    LONG_SECONDS,
    CachingCollator,
    build_tokenizer,
    default_recipe,
    evaluate,
    folder_of,
    held_out_rows,
    join,
    main,
)
from video_lmms.training.tiny_videotgb import compare_selection


# Least share of right answers about held-out clips.
REQUIRED = {
    "apollo": {"when": 0.85, "colour": 0.95},
    "longvu": {"colour": 0.95, "needle": 0.85},
    "pllava": {"direction": 0.95, "colour": 0.95, "shape": 0.85, "order": 0.85},
    "video_llama": {"direction": 0.9, "colour": 0.9, "pitch": 0.85, "tone_order": 0.85},
    "videotgb": {"episode_colour": 0.9},
}
# Clips with a needle are minutes long.
SHIPPED = [
    pytest.param(name, kind, marks=[pytest.mark.slow] * (kind == "needle"))
    for name, kinds in REQUIRED.items()
    for kind in kinds
]


@pytest.fixture(scope="module")
def shipped():
    """Loads a shipped tiny model once."""
    return cache(lambda name: load(folder_of(name)))


def record_of(name):
    return json.loads((ROOT / "hub_configs" / folder_of(name) / "provenance.json").read_text())


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", BUILDERS)
def test_the_command_trains_saves_and_measures(name, tmp_path, capsys):
    flags = [name, "--output", str(tmp_path / "tiny"), "--clips", "24", "--steps", "8", "--batch-size", "8"]
    assert main([*flags, "--held-out", "4"]) == 0
    record = json.loads((tmp_path / "tiny" / "provenance.json").read_text())
    assert record["losses"]["last"] < record["losses"]["first"]
    card = (tmp_path / "tiny" / "README.md").read_text()
    printed = capsys.readouterr().out
    for kind in BUILDERS[name].KINDS:
        assert f"held_out {kind}: {record['accuracy']['held_out'][kind]:.1%}" in printed
        assert f"| {kind} | {record['accuracy']['held_out'][kind]:.1%} |" in card
    for group, shares in record["comparison"].items():
        for what, share in shares.items():
            assert f"{group} {what}: {share:.1%}" in printed
            assert f"{share:.1%} {what}" in card
    load(tmp_path / "tiny")


def test_words_survive_the_tokenizer():
    tokenizer = build_tokenizer("pllava")
    ids = tokenizer("USER:<image> Which WAY does the Circle move? ASSISTANT:left</s>")["input_ids"]
    words = "user : <image> which way does the circle move ? assistant : left </s>"
    assert tokenizer.convert_ids_to_tokens(ids) == words.split()
    assert tokenizer.decode(ids[-2:], skip_special_tokens=True) == "left"


@pytest.mark.parametrize("name", BUILDERS)
def test_no_prompt_holds_an_unknown_word(name, tmp_path):
    builder, tokenizer = BUILDERS[name], build_tokenizer(name)
    rows = write_rows(draw_samples(5, 24, builder.KINDS, turns=2), tmp_path)
    processor = builder.build_processor(tokenizer, [0.2] * 3, [0.2] * 3)
    batch = CachingCollator(processor)([row | {"number": number} for number, row in enumerate(rows)])
    assert not (batch["input_ids"] == tokenizer.unk_token_id).any()
    model = builder.build_model(tokenizer)
    assert model(**expand_videos(model, batch)).loss > 0


def test_parts_of_different_size_are_joined():
    media = join([torch.ones(2, 3, 5).half(), torch.ones(1, 4, 5).half()], 0)
    assert (media.dtype, media.shape) == (torch.float32, (3, 4, 5))
    assert media.sum((1, 2)).tolist() == [15, 15, 20]
    assert join([torch.tensor([2]), torch.tensor([1, 3])], 0).tolist() == [2, 1, 3]
    assert join([torch.tensor([[1, 1]]), torch.tensor([[1]])], 9).tolist() == [[1, 1], [1, 9]]


@pytest.mark.parametrize("name", REQUIRED)
def test_shipped_numbers_meet_the_requirement(name):
    record = record_of(name)
    assert record["recipe"] == vars(default_recipe(name))
    assert set(record["accuracy"]["held_out"]) == set(BUILDERS[name].KINDS)
    for kind, needed in REQUIRED[name].items():
        assert record["accuracy"]["held_out"][kind] >= needed
    assert (ROOT / "hub_configs" / folder_of(name) / "model.safetensors").stat().st_size <= 4 * 10**6


@pytest.mark.parametrize(("name", "kind"), SHIPPED)
def test_the_shipped_model_answers_fresh_clips(name, kind, shipped, tmp_path):
    """Forty clips of a seed that neither training nor the card used; two standard errors below the requirement."""
    if kind == "needle":
        samples = draw_long_samples(77, 40, "held_out", LONG_SECONDS)
    else:
        samples = draw_samples(77, 40, (kind,), "held_out")
    rows = write_rows(samples, tmp_path)
    accuracy, needed = evaluate(*shipped(name), rows)[kind], REQUIRED[name][kind]
    assert accuracy >= needed - 2 * (needed * (1 - needed) / 40) ** 0.5


def check_that_choosing_pays(comparison):
    """Frames that the question chose show the answer 1.5 times as often as evenly spaced ones, and give more right
    answers."""
    chosen, uniform = comparison["chosen frames"], comparison["uniform frames"]
    assert chosen["within the answering span"] >= 1.5 * uniform["within the answering span"]
    assert chosen["right"] > uniform["right"]


def test_choosing_frames_pays_as_recorded():
    check_that_choosing_pays(record_of("videotgb")["comparison"])


def test_choosing_frames_pays_on_fresh_clips(shipped, tmp_path):
    rows = write_rows(draw_samples(78, 24, ("episode_colour",), "held_out"), tmp_path)
    comparison = compare_selection(*shipped("videotgb"), rows)
    check_that_choosing_pays(comparison)
    # Four of 32 frames, the answering span is a quarter of the clip on average.
    assert comparison["uniform frames"]["within the answering span"] == pytest.approx(0.25, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", REQUIRED)
def test_the_card_tells_the_truth(name, shipped, tmp_path):
    """The same clips as the command measured give the same numbers."""
    rows = held_out_rows(BUILDERS[name].KINDS, default_recipe(name), tmp_path)
    assert evaluate(*shipped(name), rows) == pytest.approx(record_of(name)["accuracy"]["held_out"], abs=0.01)
