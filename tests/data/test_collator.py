"""Chat rows to batches: what is learned, what is refused."""

import pytest
import torch
from tiny_pllava import tiny_processor

from video_lmms.data.collator import IGNORED, ChatRowError, VideoChatCollator, to_conversation
from video_lmms.data.world import draw_samples, write_rows


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    samples = draw_samples(0, 3, ("direction", "colour"), turns=2)
    return write_rows(samples, tmp_path_factory.mktemp("clips"))


def learned_texts(processor, batch, row):
    keep = batch["labels"][row] != IGNORED
    assert torch.equal(batch["labels"][row][keep], batch["input_ids"][row][keep])
    return processor.tokenizer.decode(batch["labels"][row][keep])


def test_only_answers_are_learned(processor, rows):
    batch = VideoChatCollator(processor)(rows)
    assert len(batch["pixel_values_videos"]) == len(rows)
    for number, row in enumerate(rows):
        answers = [message["content"][0]["text"] for message in row["messages"] if message["role"] == "assistant"]
        assert learned_texts(processor, batch, number).replace(" ", "") == "".join(f"{word}</s>" for word in answers)
    assert (batch["labels"][batch["input_ids"] == processor.video_token_id] == IGNORED).all()
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()


def test_forms_of_a_row_are_equal(processor, rows):
    row = rows[0]
    video = row["messages"][0]["content"][0]["video"]
    bare = [{**row["messages"][0], "content": row["messages"][0]["content"][1:]}, *row["messages"][1:]]
    nulls = [
        {**message, "name": None, "content": [{"video": None, "text": None, **part} for part in message["content"]]}
        for message in row["messages"]
    ]
    collate = VideoChatCollator(processor)
    reference = collate([row])
    stored = {"path": video, "bytes": None}
    for form in ({"messages": bare, "videos": [video]}, {"messages": bare, "video": stored}, {"messages": nulls}):
        batch = collate([form])
        assert all(torch.equal(batch[name], reference[name]) for name in reference)


def test_prompts_are_not_learned(processor, rows):
    messages = rows[0]["messages"]
    batch = VideoChatCollator(processor)([{"prompt": messages[:3], "completion": messages[3:]}])
    answer = messages[3]["content"][0]["text"]
    assert learned_texts(processor, batch, 0).replace(" ", "") == f"{answer}</s>"


def test_cutting_placeholders_is_refused(processor, rows):
    with pytest.raises(ChatRowError, match="would cut visual tokens"):
        VideoChatCollator(processor, max_length=8)(rows)
    longest = VideoChatCollator(processor)(rows)["input_ids"].shape[1]
    assert VideoChatCollator(processor, max_length=longest - 1)(rows)["labels"].shape[1] == longest - 1


def test_nothing_to_learn_is_refused(processor, rows):
    with pytest.raises(ChatRowError, match="Nothing in this batch is learned"):
        VideoChatCollator(processor)([{"messages": rows[0]["messages"][:1]}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, "needs `messages`"),
        ({"prompt": "x", "completion": "y"}, "lists of messages"),
        ({"messages": [{"role": "assistant", "content": "x"}], "videos": ["a.mp4"]}, "no user message"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}], "videos": ["a", "b"]}, "2 videos for 1"),
        ({"messages": [{"role": "user", "content": [{"type": "video", "video": {"x": 1}}]}]}, "neither"),
    ],
)
def test_malformed_rows_are_refused(row, message):
    with pytest.raises(ChatRowError, match=message):
        to_conversation(row)
