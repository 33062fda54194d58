# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The sound of the synthetic world: real tracks in real files, and answers that are what the samples hold."""

import re

import numpy as np
import pytest

from video_lmms.data.questions import AUDIBLE_TYPES, ask, sound_vocabulary, vocabulary
from video_lmms.data.scenes import Scene, write_clip
from video_lmms.data.sounds import PITCHES, SAMPLING_RATE, Tone, pick_tone, render_sound
from video_lmms.data.world import draw_samples, to_messages, write_rows
from video_lmms.processing.audio_reader import AudioReader


def loudest_hertz(sound, sampling_rate):
    spectrum = np.abs(np.fft.rfft(sound))
    return np.fft.rfftfreq(len(sound), 1 / sampling_rate)[spectrum.argmax()]


def word_for(hertz):
    return next(word for word, (lowest, highest) in PITCHES.items() if lowest - 2 <= hertz <= highest + 2)


def heard(path):
    with AudioReader.open(path) as reader:
        (sound,) = reader.read([(0, reader.num_samples)])
        assert reader.sampling_rate == SAMPLING_RATE
    return sound


@pytest.mark.parametrize("sample", draw_samples(1, 12, AUDIBLE_TYPES), ids=lambda sample: sample.questions[0].kind)
def test_answers_are_what_the_file_holds(sample, tmp_path):
    scene, question = sample.scene, sample.questions[0]
    (sound,) = heard(write_clip(scene, tmp_path / "clip.mp4"))
    seconds = scene.num_frames / scene.fps
    # AAC comes in blocks of 1024 samples.
    assert 0 <= len(sound) - seconds * SAMPLING_RATE < 1024
    words = []
    for tone in scene.tones:
        begin, end = (round(time * seconds * SAMPLING_RATE) for time in (tone.starts, tone.ends))
        words.append(word_for(loudest_hertz(sound[begin:end], SAMPLING_RATE)))
    last = re.search(r"\b(second|last)\b", question.text)
    assert question.answer == words[-1 if last else 0]


def test_silence_surrounds_a_tone():
    tone = Tone("medium", 700.0, starts=0.25, ends=0.75, level=0.4, overtones=(0.2,))
    sound = render_sound([tone], seconds=2.0)
    assert sound.dtype == np.float32
    assert len(sound) == 2 * SAMPLING_RATE
    quarter = len(sound) // 4
    assert not sound[:quarter].any()
    assert not sound[-quarter + 1 :].any()
    assert 0.3 < np.abs(sound).max() <= 0.4 * 1.2
    assert not render_sound([], seconds=1.0).any()


def test_tones_have_the_pitch_of_their_name():
    rng = np.random.default_rng(0)
    for pitch, (lowest, highest) in PITCHES.items():
        for _ in range(20):
            tone = pick_tone(rng, pitch, 0.0, 1.0)
            assert lowest <= tone.hertz <= highest
            assert np.abs(render_sound([tone], 1.0)).max() <= 1.0
            assert word_for(loudest_hertz(render_sound([tone], 1.0), SAMPLING_RATE)) == pitch


def test_a_scene_with_sound_can_be_asked_about_what_is_seen():
    for sample in draw_samples(0, 8, ("direction", "pitch", "tone_order"), turns=2):
        kinds = {question.kind for question in sample.questions}
        assert bool(sample.scene.tones) == bool(kinds & set(AUDIBLE_TYPES))
    asked = [sample.questions for sample in draw_samples(0, 30, ("direction", "pitch"), turns=2)]
    assert any({question.kind for question in questions} == {"direction", "pitch"} for questions in asked)


def test_a_conversation_names_the_sound_before_the_video(tmp_path):
    silent, sounding = draw_samples(3, 1, ("direction",)) + draw_samples(3, 1, ("pitch",))
    assert [part["type"] for part in to_messages(silent, "a.mp4")[0]["content"]] == ["video", "text"]
    parts = to_messages(sounding, "a.mp4")[0]["content"]
    assert [part["type"] for part in parts] == ["audio", "video", "text"]
    assert parts[0]["audio"] == parts[1]["video"] == "a.mp4"
    (row,) = write_rows([sounding], tmp_path)
    assert heard(row["messages"][0]["content"][0]["audio"]).any()


def test_the_files_depend_on_the_scene_alone(tmp_path):
    (sample,) = draw_samples(0, 1, ("tone_order",))
    first, again = (write_clip(sample.scene, tmp_path / name).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert first == again


def test_the_vocabularies_hold_every_word():
    words = set(vocabulary()) | set(sound_vocabulary())
    for sample in draw_samples(9, 60, AUDIBLE_TYPES):
        question = sample.questions[0]
        assert set(re.findall(r"\w+|[^\w\s]", f"{question.text} {question.answer}".lower())) <= words


def test_impossible_tones_and_questions_are_refused():
    with pytest.raises(ValueError, match="shrill"):
        Tone("shrill", 9000.0)
    with pytest.raises(ValueError, match="starts before it ends"):
        Tone("low", 200.0, starts=0.6, ends=0.5)
    with pytest.raises(ValueError, match="within full scale"):
        Tone("low", 200.0, level=0.9, overtones=(0.5,))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="a scene with one tone"):
        ask(Scene(()), "pitch", rng)
    with pytest.raises(ValueError, match="two tones of different pitch"):
        ask(Scene((), tones=(Tone("low", 200.0), Tone("high", 3000.0))), "tone_order", rng)
