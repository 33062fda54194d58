# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches without padding, and of rows of about one length: the same training, with less spent on padding."""

import json

import pytest
import torch
from tiny_models import TINY_MODELS
from training_runs import words, write_base

from video_lmms.data.collator import IGNORED, RowCollator, collator_for
from video_lmms.data.lengths import row_lengths
from video_lmms.data.world import draw_long_samples, draw_samples, write_rows
from video_lmms.errors import VideoLmmError
from video_lmms.processing.video_errors import VideoError
from video_lmms.training.arguments import refuse_packing
from video_lmms.training.recipes import sft


pytestmark = [
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
APART = ("longvu", "videotgb_t5")
JOINABLE = [name for name in TINY_MODELS if name not in APART]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """One, two and three turns about short clips."""
    folder, kinds = tmp_path_factory.mktemp("clips"), ("colour", "shape")
    return [write_rows(draw_samples(turns, 1, kinds, turns=turns), folder / str(turns))[0] for turns in (1, 2, 3)]


def loss_and_gradients(model, batch):
    model.zero_grad()
    loss = model(**batch, use_cache=False).loss
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("name", JOINABLE)
def test_rows_joined_without_padding_train_alike(name, rows):
    model, processor = TINY_MODELS[name].tiny_model(), TINY_MODELS[name].tiny_processor()
    padded, joined = (collator_for(model, processor, padding_free=free)(rows) for free in (False, True))
    assert joined["input_ids"].shape == joined["position_ids"].shape == (1, int(padded["attention_mask"].sum()))
    assert joined["input_ids"].shape[1] < padded["input_ids"].numel()
    assert (joined["position_ids"] == 0).sum() == len(rows)
    assert (joined["labels"] != IGNORED).sum() == (padded["labels"] != IGNORED).sum()
    (loss, gradients), (wanted_loss, wanted) = (loss_and_gradients(model, batch) for batch in (joined, padded))
    assert loss == pytest.approx(wanted_loss, abs=1e-5)
    assert gradients.keys() == wanted.keys()
    for weight, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[weight], atol=1e-5, rtol=1e-4, msg=weight)


@pytest.mark.parametrize("name", APART)
def test_models_that_need_their_rows_apart_say_so(name):
    with pytest.raises(VideoLmmError, match="Leave it out"):
        collator_for(TINY_MODELS[name].tiny_model(), TINY_MODELS[name].tiny_processor(), padding_free=True)


def test_packing_is_refused():
    arguments = sft.SFTConfig(output_dir="unused", use_cpu=True, bf16=False, packing=True, max_length=64)
    with pytest.raises(VideoLmmError, match="padding_free=true"):
        refuse_packing(arguments)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_lengths_are_told_without_decoding(name, rows, monkeypatch):
    processor = TINY_MODELS[name].tiny_processor()
    lengths = row_lengths(rows, processor)
    for row, length in zip(rows, lengths, strict=True):
        texts = [part["text"] for message in row["messages"] for part in message["content"] if part["type"] == "text"]
        words = processor.tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"]
        visual = length - len(words)
        if name in JOINABLE:
            batch = collator_for(TINY_MODELS[name].tiny_model(), processor)([row])
            assert visual == (batch["input_ids"] == processor.video_token_id).sum()
        assert visual > 0


def test_a_row_that_is_left_out_has_the_length_of_its_words(rows, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    processor = TINY_MODELS["apollo"].tiny_processor()
    content = [{"type": "video", "video": str(broken)}, {"type": "text", "text": "Why?"}]
    lost = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "So."}]}
    with pytest.raises(VideoError):
        row_lengths([lost], processor)
    assert row_lengths([lost], processor, skip_unreadable=True) == [
        len(processor.tokenizer("Why? So.", add_special_tokens=False)["input_ids"])
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_of_one_length_meet(tmp_path, monkeypatch):
    """Apollo's videos cost by their length; half of them last four times as long as the others."""
    short, long = (draw_long_samples(0, 1, seconds=(seconds, seconds + 1)) for seconds in (6, 30))
    rows = 32 * write_rows(short + long, tmp_path / "clips")
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"messages": row["messages"]}) for row in rows))
    base = write_base("apollo", tmp_path / "base")
    masks, collate = [], RowCollator.__call__

    def recorded(collator, items):
        batch = collate(collator, items)
        masks.append(batch["attention_mask"])
        return batch

    monkeypatch.setattr(RowCollator, "__call__", recorded)
    padding = {}
    for strategy in ("random", "group_by_length"):
        masks.clear()
        options = {"train_sampling_strategy": strategy, "num_train_epochs": 1, "gradient_accumulation_steps": 1}
        options |= {"per_device_train_batch_size": 2, "logging_steps": 32, "connector": "frozen"}
        sft.main(words(base, tmp_path / "chats.jsonl", tmp_path / strategy, **options))
        padding[strategy] = sum(int((mask == 0).sum()) for mask in masks)
    assert padding["group_by_length"] < padding["random"] / 2
