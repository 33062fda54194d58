# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches in the originals' training text: their recorded token ids and labels, through processor and collator."""

import json
import shutil

import pytest
import torch
from checkout import ROOT
from tiny_models import TINY_MODELS

from video_lmms.data.annotations import format_of
from video_lmms.data.collator import IGNORED, ChatRowError, VideoChatCollator
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.errors import VideoLmmError
from video_lmms.training.ears_video_llama import FramesForEars
from video_lmms.training.expansion import expand_videos
from video_lmms.training.original_text import (
    WRITERS,
    Conversation,
    OriginalTextCollator,
    to_original,
    write_longvu,
    write_pllava,
)


GOLDENS = ROOT / "tests" / "goldens"


def table(model, case, name):
    return json.loads((GOLDENS / model / case / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(draw_samples(0, 2, ("colour", "shape"), turns=2), tmp_path_factory.mktemp("clips"))


def collator(name, **options):
    return OriginalTextCollator(TINY_MODELS[name].tiny_model(), TINY_MODELS[name].tiny_processor(), **options)


@pytest.mark.parametrize("name", WRITERS)
def test_media_stay_and_answers_are_learned(name, rows):
    original, usual = collator(name), VideoChatCollator(TINY_MODELS[name].tiny_processor())
    batch, known = original(rows), usual(rows)
    processor, model = original.processor, TINY_MODELS[name].tiny_model()
    assert batch.keys() == known.keys()
    assert all(torch.equal(batch[key], known[key]) for key in batch if "pixel" in key)
    counts = [(these["input_ids"] == processor.video_token_id).sum(-1).tolist() for these in (batch, known)]
    assert counts[0] == counts[1]
    assert (batch["labels"][batch["input_ids"] == processor.video_token_id] == IGNORED).all()
    for row, ids, labels in zip(rows, batch["input_ids"], batch["labels"], strict=True):
        learned = processor.tokenizer.decode(ids[labels != IGNORED]).replace(" ", "")
        for message in row["messages"][1::2]:
            assert message["content"][0]["text"] in learned
        assert (labels[labels != IGNORED] == ids[labels != IGNORED]).all()
    assert not torch.equal(batch["labels"], known["labels"])
    assert model(**expand_videos(model, batch)).loss > 0


def test_video_llama_is_recorded(tmp_path):
    """The recorded conversation about the recorded clip, from its annotation file."""
    case = "vicuna_video8"
    groups = table("video_llama", case, "prompts")["training_text"]
    group = next(group for group in groups if group["model_type"] == "vicuna" and "q" in group["rows"][0]["source"][0])
    row = next(row for row in group["rows"] if "q" in row["source"][0])
    shutil.copy(GOLDENS / "video_llama" / case / "clip.mp4", tmp_path / "clip.mp4")
    item = {"video": "clip.mp4", "QA": row["source"]}
    chat = format_of(item).convert(item, tmp_path)
    processor = TINY_MODELS["video_llama"].tiny_processor()
    processor.num_video_query_tokens = group["num_media_tokens"]
    made = OriginalTextCollator(TINY_MODELS["video_llama"].tiny_model(), processor)
    batch = made([chat])
    marker = processor.tokenizer.convert_tokens_to_ids("<ImageHere>")
    ids = batch["input_ids"][0].masked_fill(batch["input_ids"][0] == processor.video_token_id, marker)
    assert row["video_message"] in processor.tokenizer.decode(ids)
    assert ids.tolist() == row["input_ids"]
    assert batch["labels"][0].tolist() == row["labels"]
    heard = FramesForEars(made)([chat])
    assert (heard["input_ids"] == processor.audio_token_id).sum() == processor.num_audio_query_tokens


def test_longvu_is_recorded():
    """Every recorded sample, with `<image>` left in place by the collator's writer."""
    processor, tested = TINY_MODELS["longvu"].tiny_processor(), 0
    for sample in table("longvu", "qwen2_video_144_8", "train_tokens")["samples"]:
        turns = sample["conversations"]
        texts = [turn["value"].replace("<video>", "").replace("<image>", "").strip() for turn in turns]
        if [turn["from"] for turn in turns] != ["human", "gpt"] * (len(turns) // 2):
            continue
        kind = sample["kind"] if sample["kind"] in ("video", "image") else None
        row = Conversation(list(zip(texts[::2], texts[1::2], strict=True)), kind, {})
        ids, labels, marker = write_longvu(row, processor, 1, {})
        assert [-200 if token == marker else token for token in ids] == sample["input_ids"]
        assert labels == sample["labels"]
        tested += 1
    assert tested > 0


def test_pllava_is_recorded(rows):
    """The recorded texts begin with an instruction; the rest of them is what the writer writes."""
    processor = TINY_MODELS["pllava"].tiny_processor()
    row = to_original(rows[0])
    ids, labels, marker = write_pllava(row, processor, 1, {})
    question, answer = row.turns[0]
    first = processor.tokenizer.decode(ids[: ids.index(processor.tokenizer.eos_token_id) + 1])
    assert first.replace(" ", "") == f"<s>USER:<image>\n{question}</s>".replace(" ", "")
    assert ids.count(marker) == 1
    assert labels[ids.index(marker)] == IGNORED


def test_captions_of_video_llama_are_cleaned(rows):
    video = rows[0]["messages"][0]["content"][0]
    told = {"role": "assistant", "content": [{"type": "text", "text": "A RED ball; it moves!"}]}
    made = collator("video_llama")
    batch = made([{"messages": [{"role": "user", "content": [video]}, told]}])
    learned = batch["input_ids"][0][batch["labels"][0] != IGNORED]
    assert made.processor.tokenizer.decode(learned).strip() == "a red ball it moves"
    assert (batch["input_ids"] == made.processor.video_token_id).sum() == made.processor.num_video_query_tokens


def test_what_has_no_original_text_is_refused(rows):
    with pytest.raises(VideoLmmError, match="apollo has no training text of its own"):
        collator("apollo")
    video, answer = rows[0]["messages"][0]["content"][0], rows[0]["messages"][1]
    two = [{"role": "user", "content": [video, video, {"type": "text", "text": "Which?"}]}, answer]
    with pytest.raises(ChatRowError, match="has 2 media"):
        collator("pllava")([{"messages": two}])
    with pytest.raises(ChatRowError, match="take turns"):
        collator("pllava")([{"messages": [{"role": "system", "content": "Look."}, *rows[0]["messages"]]}])
