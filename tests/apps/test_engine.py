# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The engine answers as the model alone does, remembers media by content, and keeps people apart."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager

import clips
import pytest
import torch

from video_lmms.apps.conversation import Conversation
from video_lmms.apps.engine import AnswerOptions, BusyError, ClosedError, Engine, ReadingOptions
from video_lmms.errors import VideoLmmError
from video_lmms.processing.video_errors import VideoError


QUESTION = "What do you see?"
SHORT = AnswerOptions(max_new_tokens=4)


def asked(question=QUESTION, videos=(), images=()):
    conversation = Conversation()
    conversation.ask(question, videos=videos, images=images)
    return conversation


def expanded(model, inputs):
    if hasattr(model, "expand_video_tokens") and "pixel_values_videos" in inputs:
        expansion = model.expand_video_tokens(**inputs)
        return {**expansion.text, "mm_encoder_outputs": expansion.mm_encoder_outputs}
    return dict(inputs)


def plain_inputs(engine, videos):
    """What the processor and the model alone make of a question."""
    parts = [{"type": "video", "path": str(video)} for video in videos] + [{"type": "text", "text": QUESTION}]
    prompt = engine.processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = engine.processor(text=prompt, videos=[str(video) for video in videos], return_tensors="pt")
    return expanded(engine.model, inputs)


@torch.no_grad()
def logits(model, inputs):
    if model.config.is_encoder_decoder:
        inputs = inputs | {"decoder_input_ids": torch.tensor([[model.config.decoder_start_token_id]])}
    elif "video_cache" in inputs:  # `generate` encodes, forward takes the cache itself
        inputs = dict(inputs)
    return model(**inputs).logits


@torch.no_grad()
def engine_inputs(engine, conversation, reading=None):
    plan = engine.plan(conversation, reading)
    return engine.looker.choose(plan, engine.looker.look(plan))[0]


@contextmanager
def counted_towers(model):
    """Counts calls of the vision tower."""
    calls = []
    hook = model.base_model.vision_tower.register_forward_hook(lambda *args: calls.append(1))
    try:
        yield calls
    finally:
        hook.remove()


@pytest.mark.parametrize("number", [1, 2])
def test_the_model_is_given_what_its_processor_makes(engine, clip, other_clip, number):
    videos = [clip, other_clip][:number]
    expected = plain_inputs(engine, videos)
    engine.memory.clear()
    for _ in range(2):  # fresh, and remembered
        found = engine_inputs(engine, asked(videos=videos))
        assert torch.equal(found["input_ids"], expected["input_ids"])
        torch.testing.assert_close(logits(engine.model, found), logits(engine.model, expected), rtol=1e-4, atol=1e-4)


def test_the_plan_knows_the_prompt_without_decoding(engine, clip, monkeypatch):
    conversation = asked(videos=[clip])
    with counted_towers(engine.model) as calls:
        plan = engine.plan(conversation)
    assert not calls
    answer = engine.answer(conversation, SHORT)
    if plan.at_most:
        assert plan.text_tokens < answer.prompt_tokens <= plan.prompt_tokens
    else:
        assert plan.prompt_tokens == answer.prompt_tokens
    (planned,), (seen,) = plan.videos, answer.videos
    assert (planned["path"], planned["num_frames"], planned["duration"]) == (str(clip), 90, pytest.approx(3))
    assert set(seen["frames_indices"]) <= set(planned["frames_indices"])
    assert seen["times"] == pytest.approx([index / 30 for index in seen["frames_indices"]], abs=1e-3)


def test_a_second_question_runs_no_tower(engine, clip, tmp_path):
    copied = shutil.copy(clip, tmp_path / "renamed.mp4")
    conversation = asked(videos=[clip])
    first = engine.answer(conversation, SHORT)
    conversation.answer(first.text or "Nothing.")
    conversation.ask("And then?")
    with counted_towers(engine.model) as calls:
        second = engine.answer(conversation, SHORT)
        third = engine.answer(asked(videos=[copied]), SHORT)
    assert second.remembered == third.remembered == 1
    if not hasattr(engine.processor, "describe_choice"):  # there, another question may choose other frames
        assert not calls
    assert third.text == first.text
    assert second.prompt_tokens > first.prompt_tokens or engine.model.config.is_encoder_decoder


def test_pieces_are_the_answer(engine, clip):
    generation = engine.start(asked(videos=[clip]), AnswerOptions(max_new_tokens=12))
    pieces = list(generation)
    assert "".join(pieces) == generation.answer.text
    assert generation.answer.new_tokens <= 12
    assert generation.answer.finish_reason in ("stop", "length")


def test_images_and_videos_mix(engine, clip, picture):
    conversation = asked(images=[picture])
    alone = engine.answer(conversation, SHORT)
    conversation.answer("A set.")
    conversation.ask("And here?", videos=[clip])
    answer = engine.answer(conversation, SHORT)
    assert answer.prompt_tokens > alone.prompt_tokens
    again = engine.answer(conversation, SHORT)
    assert again.text == answer.text
    assert again.remembered >= 1


def test_text_alone_is_answered(engine):
    answer = engine.answer(asked(), SHORT)
    assert answer.videos == []
    assert answer.new_tokens > 0


def test_frames_can_be_chosen(pllava, clip):
    options = ReadingOptions(num_frames=3)
    assert len(pllava.plan(asked(videos=[clip]), options).videos[0]["frames_indices"]) == 3
    assert len(pllava.answer(asked(videos=[clip]), SHORT, options).videos[0]["frames_indices"]) == 3
    assert len(pllava.answer(asked(videos=[clip]), SHORT).videos[0]["frames_indices"]) > 3


def test_a_part_of_a_video_can_be_named(pllava, clip):
    part = {"type": "video", "path": str(clip), "start": 1.0, "end": 2.0}
    content = [part, {"type": "text", "text": QUESTION}]
    (video,) = pllava.answer(Conversation.of([{"role": "user", "content": content}]), SHORT).videos
    assert all(1 <= second <= 2 for second in video["times"])


def test_sampling_is_obeyed_and_repeatable(pllava, clip):
    def draw(**options):
        return pllava.answer(asked(videos=[clip]), AnswerOptions(max_new_tokens=16, **options)).text

    assert draw(temperature=2.0, seed=1) == draw(temperature=2.0, seed=1)
    assert len({draw(temperature=2.0, seed=seed) for seed in range(6)}) > 1
    assert draw(temperature=2.0, top_k=1, seed=3) == draw()
    assert draw(temperature=2.0, top_p=1e-6, seed=3) == draw()
    state = torch.get_rng_state()
    draw(temperature=1.0, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_beams_are_followed(pllava, clip):
    inputs = plain_inputs(pllava, [clip])
    ids = pllava.model.generate(**inputs, max_new_tokens=6, num_beams=4, do_sample=False)
    expected = pllava.processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    generation = pllava.start(asked(videos=[clip]), AnswerOptions(max_new_tokens=6, num_beams=4))
    assert "".join(generation) == generation.answer.text == expected


def test_kept_frames_are_named(engine, clip):
    (facts,) = engine.answer(asked(videos=[clip]), SHORT).videos
    assert ("kept_frames" in facts) == hasattr(engine.model, "expand_video_tokens")
    if "kept_frames" in facts:
        times = dict(zip(facts["frames_indices"], facts["times"], strict=True))
        assert facts["kept_times"] == [times[index] for index in facts["kept_indices"]]
        assert len(facts["kept_in_full"]) == len(facts["kept_indices"]) == facts["kept_frames"] > 0
        assert sum(facts["kept_in_full"]) == facts["full_resolution_frames"]
        assert sum(facts["kept_tokens"]) == facts["visual_tokens"]


def test_penalties_change_what_is_said(pllava, clip):
    """A token that was used is not used again when that costs more than any score."""
    options = AnswerOptions(max_new_tokens=10, presence_penalty=1e6)
    seen: list[list[int]] = []
    original = pllava._finish_reason
    pllava._finish_reason = lambda streamer, *rest: seen.append(streamer.tokens) or original(streamer, *rest)
    try:
        pllava.answer(asked(videos=[clip]), options)
    finally:
        del pllava._finish_reason
    assert len(set(seen[0])) == len(seen[0])


def test_stop_strings_end_the_answer(pllava, clip):
    whole = pllava.answer(asked(videos=[clip]), AnswerOptions(max_new_tokens=24, temperature=3.0, seed=2)).text
    assert len(whole) > 8
    stop = whole[4:7]
    options = AnswerOptions(max_new_tokens=24, temperature=3.0, seed=2, stop=(stop,))
    generation = pllava.start(asked(videos=[clip]), options)
    assert "".join(generation) == whole[: whole.index(stop)].rstrip()
    assert generation.answer.finish_reason == "stop"


def test_an_answer_can_be_ended(pllava, clip):
    generation = pllava.start(asked(videos=[clip]), AnswerOptions(max_new_tokens=100_000, temperature=1.0))
    pieces = iter(generation)
    next(pieces)
    generation.stop()
    assert generation.answer.finish_reason in ("cancelled", "stop")
    assert generation.answer.new_tokens < 100_000
    assert pllava.waiting == 0


def test_too_many_are_turned_away(tiny_folder, clip):
    with Engine(str(tiny_folder("pllava")), device="cpu", max_waiting=1) as engine:
        release = threading.Event()
        engine._worker.submit(release.wait)
        waiting = [engine.start(asked(videos=[clip]), SHORT) for _ in range(2)]
        with pytest.raises(BusyError, match="at most 1 may wait"):
            engine.start(asked(videos=[clip]), SHORT)
        waiting[1].stop()
        release.set()
        assert waiting[0].answer.new_tokens
        assert waiting[1].answer.finish_reason == "cancelled"
        assert engine.answer(asked(videos=[clip]), SHORT).text == waiting[0].answer.text
    with pytest.raises(ClosedError, match="shut down"):
        engine.start(asked(videos=[clip]), SHORT)


def test_answers_of_many_are_not_mixed_up(pllava, clip, other_clip):
    videos = {str(path): pllava.answer(asked(videos=[path]), SHORT) for path in (clip, other_clip)}
    found: list[tuple[str, object]] = []

    def talk(path):
        for _ in range(4):
            generation = pllava.start(asked(videos=[path]), SHORT)
            assert "".join(generation) == generation.answer.text
            found.append((path, generation.answer))

    threads = [threading.Thread(target=talk, args=(path,)) for path in list(videos) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    for path, answer in found:
        assert answer.videos[0]["path"] == path
        assert (answer.text, answer.videos) == (videos[path].text, videos[path].videos)


def test_memory_is_bounded(tiny_folder, clip, other_clip):
    with Engine(str(tiny_folder("pllava")), device="cpu") as engine:
        engine.answer(asked(videos=[clip]), SHORT)
        size = engine.memory.used
        engine.memory.max_bytes = size + size // 2
        engine.answer(asked(videos=[other_clip]), SHORT)
        assert len(engine.memory) == 1
        assert engine.answer(asked(videos=[other_clip]), SHORT).remembered == 1
        assert engine.answer(asked(videos=[clip]), SHORT).remembered == 0
        engine.memory.max_bytes = 0
        assert engine.answer(asked(videos=[clip]), SHORT).new_tokens
        assert len(engine.memory) == 0


def test_mistakes_are_named(pllava, clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError, match="no such file"):
        asked(videos=[tmp_path / "missing.mp4"])
    with pytest.raises(VideoError, match="plain text"):
        pllava.plan(asked(videos=[text]))
    with pytest.raises(VideoError, match="not an image"):
        pllava.plan(asked(images=[text]))
    with pytest.raises(VideoLmmError, match="has no audio branch"):
        pllava.plan(asked(videos=[clip]), ReadingOptions(audio=True))
    with pytest.raises(VideoLmmError, match="has no prompt 'poem'"):
        pllava.plan(asked(videos=[clip]), ReadingOptions(template="poem"))
    with pytest.raises(VideoLmmError, match="same number of tokens"):
        pllava.plan(asked(videos=[clip]), ReadingOptions(context_length=100))
    with pytest.raises(ValueError, match="A part of a message"):
        Conversation.of([{"role": "user", "content": [{"type": "video"}]}])


def test_placeholders_typed_by_a_user_are_refused(engine, clip):
    for token in {engine.processor.image_token, engine.processor.video_token}:
        for videos in ([], [clip]):
            with pytest.raises(VideoLmmError, match="stands for a medium"):
                engine.plan(asked(f"What is {token} and {token}?", videos=videos))


def test_bytes_are_media_too(pllava, clip, picture):
    by_path = pllava.answer(asked(videos=[clip]), SHORT)
    by_bytes = pllava.answer(asked(videos=[clip.read_bytes()]), SHORT)
    assert by_bytes.remembered == 1
    assert by_bytes.text == by_path.text
    assert pllava.answer(asked(images=[picture.read_bytes()]), SHORT).new_tokens


def test_sound_is_heard_where_there_are_ears(tiny_folder, tmp_path):
    clip = str(clips.make("sound.mp4", tmp_path))
    with Engine(str(tiny_folder("video_llama")), device="cpu") as engine:
        parts = [{"type": "audio"}, {"type": "video", "path": clip}, {"type": "text", "text": QUESTION}]
        prompt = engine.processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        expected = engine.processor(text=prompt, videos=[clip], audio=[clip], return_tensors="pt")
        for _ in range(2):  # fresh, and remembered
            found = engine_inputs(engine, asked(videos=[clip]), ReadingOptions(audio=True))
            assert torch.equal(found["input_ids"], expected["input_ids"])
            assert set(found["mm_encoder_outputs"]) == {"video", "audio"}
            torch.testing.assert_close(
                logits(engine.model, found), logits(engine.model, expected), rtol=1e-4, atol=1e-4
            )
        assert engine.memory.hits == 2
        content = [{"type": "audio", "path": clip}, {"type": "text", "text": QUESTION}]
        assert engine.answer(Conversation.of([{"role": "user", "content": content}]), SHORT).new_tokens
