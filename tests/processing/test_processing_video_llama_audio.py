# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound through Video-LLaMA's processor: a video's own, a file of its own, none at all, and batches of all of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import tones, write_sound
from transformers import ProcessorMixin
from web import content

from video_lmms.data.collator import VideoChatCollator
from video_lmms.data.scenes import Scene, Thing, write_clip
from video_lmms.data.sounds import Tone
from video_lmms.processing.audio_reader import NoAudioStreamError
from video_lmms.processing.chat_templates_video_llama import HEAR, SEEN_AND_HEARD, chat_template
from video_lmms.processing.video_errors import VideoLimitError, VideoSourceError
from video_lmms.training import tiny_video_llama
from video_lmms.training.tiny import build_tokenizer


THING = Thing("circle", "red", (230, 30, 30), 0.2, ((0.0, 0.3, 0.5), (1.0, 0.7, 0.5)))


@pytest.fixture(scope="module")
def processor():
    return tiny_video_llama.build_processor(build_tokenizer("video_llama"), [0.2] * 3, [0.2] * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def sounding(folder):
    return str(write_clip(Scene((THING,), tones=(Tone("low", 200.0),)), folder / "sounding.mp4"))


@pytest.fixture(scope="module")
def silent(folder):
    return str(write_clip(Scene((THING,)), folder / "silent.mp4"))


@pytest.fixture(scope="module")
def sound(folder):
    return write_sound(folder / "sound.wav", tones(3.0, 44100, channels=2), 44100)


def chat(*parts, question="Is the tone low, medium or high?"):
    content = [{"type": kind, kind: source} for kind, source in parts]
    return [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]


def encode(processor, chats, use_audio_in_video=False, **options):
    return processor.apply_chat_template(
        chats,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
        use_audio_in_video=use_audio_in_video,
        processor_kwargs={"padding": True} | options,
    )


def assert_equal(first, second):
    assert set(first) == set(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_a_video_brings_its_own_sound(processor, sounding):
    alone = encode(processor, chat(("video", sounding)))
    assert "input_features" not in alone
    both = encode(processor, chat(("video", sounding)), use_audio_in_video=True)
    expected = processor.feature_extractor(sounding, return_tensors="pt")["input_features"]
    assert torch.equal(both["input_features"], expected)
    assert torch.equal(both["pixel_values_videos"], alone["pixel_values_videos"])
    ids = both["input_ids"]
    assert (ids == processor.audio_token_id).sum() == processor.num_audio_query_tokens
    assert (ids == processor.video_token_id).sum() == processor.num_video_query_tokens
    assert_equal(both, encode(processor, chat(("audio", sounding), ("video", sounding))))


def test_the_prompt_of_a_video_with_sound_is_the_demos(processor, sounding):
    published = {"chat_template": chat_template("vicuna")}  # the tiny model has a shorter one
    prompt = processor.apply_chat_template(
        chat(("video", sounding)), use_audio_in_video=True, add_generation_prompt=True, **published
    )
    assert prompt.startswith(f"###Human: {HEAR}")
    assert f"{SEEN_AND_HEARD} Is the tone low" in prompt
    assert "sampled at" not in prompt
    assert "sampled at" in processor.apply_chat_template(chat(("video", sounding)), **published)


@pytest.mark.parametrize("form", ["path", "string", "bytes", "file object", "array"])
def test_a_sound_of_its_own(form, processor, sounding, sound):
    forms = {
        "path": sound,
        "string": str(sound),
        "bytes": sound.read_bytes(),
        "file object": io.BytesIO(sound.read_bytes()),
        "array": np.round(tones(3.0, 44100, channels=2) * 2**15) / 2**15,
    }
    options = {"sampling_rate": 44100} if form == "array" else {}
    inputs = encode(processor, chat(("audio", forms[form]), ("video", sounding)), **options)
    expected = processor.feature_extractor(str(sound), return_tensors="pt")["input_features"]
    torch.testing.assert_close(inputs["input_features"], expected, atol=1e-4, rtol=0)
    only = encode(processor, chat(("audio", str(sound))))
    assert torch.equal(only["input_features"], expected)
    assert "pixel_values_videos" not in only


def test_a_batch_of_all_kinds_equals_its_members(processor, sounding, silent, sound):
    chats = [
        chat(("audio", sounding), ("video", sounding)),
        chat(("video", silent)),
        chat(question="Hello?"),
        chat(("audio", str(sound))),
        chat(("audio", str(sound)), ("video", silent)),
    ]
    batch = encode(processor, chats)
    singles = [encode(processor, own) for own in chats]
    for name in ("input_features", "pixel_values_videos"):
        assert torch.equal(batch[name], torch.cat([single[name] for single in singles if name in single]))
    for row, single in enumerate(singles):
        own = batch["input_ids"][row][batch["attention_mask"][row].bool()]
        assert torch.equal(own, single["input_ids"][0])


def test_a_silent_video_is_an_error_unless_silence_is_asked_for(processor, silent, folder):
    with pytest.raises(NoAudioStreamError, match="no audio stream"):
        encode(processor, chat(("video", silent)), use_audio_in_video=True)
    inputs = encode(processor, chat(("video", silent)), use_audio_in_video=True, missing_audio="silence")
    quiet = processor.feature_extractor(np.zeros(16000), return_tensors="pt")["input_features"]
    assert torch.equal(inputs["input_features"], quiet)
    with pytest.raises(VideoSourceError, match="no such file"):
        encode(processor, chat(("audio", str(folder / "absent.wav"))), missing_audio="silence")


def test_the_call_takes_sounds_too(processor, sounding):
    conversation = chat(("audio", sounding), ("video", sounding))
    text = processor.apply_chat_template(conversation, add_generation_prompt=True)
    inputs = processor(text=text, videos=[sounding], audio=sounding, return_tensors="pt")
    assert_equal(inputs, encode(processor, conversation))
    with pytest.raises(ValueError, match="1 <AudioHere> tokens"):
        processor(text=text, videos=[sounding], audio=[sounding, sounding], return_tensors="pt")


@pytest.mark.skipif(
    not hasattr(ProcessorMixin, "_adjust_assistant_masks_indices"),
    reason="this transformers marks no answer that begins between tokens, and no word here owns the space before it",
)
def test_the_collator_trains_on_sound(processor, sounding, silent):
    answer = {"role": "assistant", "content": [{"type": "text", "text": "low"}]}
    rows = [
        {"messages": [*chat(("audio", sounding), ("video", sounding)), answer]},
        {"messages": [*chat(("video", silent)), answer]},
    ]
    batch = VideoChatCollator(processor)(rows)
    assert batch["input_features"].shape[0] == 1
    assert batch["pixel_values_videos"].shape[0] == 2
    for labels in batch["labels"]:
        assert processor.decode(labels[labels != -100]) == "low###"


def test_a_saved_processor_hears_the_same(processor, sounding, tmp_path):
    processor.save_pretrained(tmp_path)
    again = type(processor).from_pretrained(tmp_path)
    conversation = chat(("video", sounding))
    assert_equal(encode(again, conversation, True), encode(processor, conversation, True))


def test_limits_hold_for_sounds_too(processor, sounding, web):
    web.pages["/clip.mp4"] = content(Path(sounding).read_bytes())
    web.names["localhost"] = ["127.0.0.1"]
    private = f"http://localhost:{web.port}/clip.mp4"
    expected = encode(processor, chat(("video", sounding)), use_audio_in_video=True)
    allowed = encode(processor, chat(("video", private)), use_audio_in_video=True, limits={"private_addresses": True})
    assert_equal(allowed, expected)
    assert len(web.asked) == 1  # one download for times, frames and sound
    extractor = processor.feature_extractor
    with pytest.raises(VideoSourceError, match="private_addresses"):
        extractor(private)
    with pytest.raises(VideoLimitError, match="limit of 99 bytes"):
        extractor(private, limits={"private_addresses": True, "download_bytes": 99})
