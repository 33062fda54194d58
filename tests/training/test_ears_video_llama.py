# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training Video-LLaMA's ears on frames: the visual branch's batch with fewer, other placeholders."""

import pytest
from tiny_video_llama import AUDIO_TOKENS, VIDEO_TOKENS, tiny_processor

from video_lmms.data.collator import ChatRowError, VideoChatCollator
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.training.ears_video_llama import FramesForEars


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [write_rows(draw_samples(turns, 1, ("colour",), turns=turns), folder / str(turns))[0] for turns in (1, 2)]


def test_ears_get_the_same_text_and_frames(rows):
    collate = VideoChatCollator(tiny_processor())
    processor, seen, heard = collate.processor, collate(rows), FramesForEars(collate)(rows)
    assert heard["audio_pixel_values"].equal(seen["pixel_values_videos"])
    assert not {"pixel_values_videos", "frame_mask"} & heard.keys()
    names = ("input_ids", "labels", "attention_mask")
    placeholders = (processor.video_token_id, processor.audio_token_id)
    for row in range(len(rows)):
        words, others = (
            [
                (token, label)
                for token, label, shown in zip(*(batch[name][row].tolist() for name in names), strict=True)
                if shown and token not in placeholders
            ]
            for batch in (seen, heard)
        )
        assert words == others
        assert (seen["input_ids"][row] == processor.video_token_id).sum() == VIDEO_TOKENS
        assert (heard["input_ids"][row] == processor.audio_token_id).sum() == AUDIO_TOKENS
    assert not (heard["input_ids"] == processor.video_token_id).any()


def test_images_and_videos_do_not_mix(rows, tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    content = [{"type": "image", "image": str(tmp_path / "red.png")}, {"type": "text", "text": "What colour?"}]
    told = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}
    picture = {"messages": [{"role": "user", "content": content}, told]}
    collate = FramesForEars(VideoChatCollator(tiny_processor()))
    assert collate([picture])["audio_pixel_values"].dim() == 5
    with pytest.raises(ChatRowError, match="either images or videos"):
        collate([picture, rows[0]])
