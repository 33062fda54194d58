# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms ask`: answers on stdout, everything else on stderr, and mistakes named in one line."""

from __future__ import annotations

import json

import clips
import pytest
import tiny_videotgb
import tiny_videotgb_t5
from checkout import ROOT
from tiny_pllava import ORIGINAL

from video_lmms.hub import load


QUESTION = "What do you see?"


@pytest.fixture(scope="module")
def expected(folder, clip):
    model, processor = load(folder, device="cpu")
    parts = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[clip], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def mistake(result) -> str:
    """The message of a refused call: exit code 2, nothing on stdout, one line on stderr."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_answer_is_the_models(command, folder, clip, expected):
    result = command("ask", clip, QUESTION, "--model", folder, "--max-new-tokens", 5)
    assert result.exit_code == 0
    assert result.stdout == expected + "\n"
    assert result.stderr.splitlines()[0].startswith("reading: 6 frames in ")
    assert result.stderr.splitlines()[1].startswith("encoding: 6 frames in ")


def test_streaming_prints_the_same(command, folder, clip, expected):
    result = command("ask", clip, QUESTION, "--model", folder, "--max-new-tokens", 5, "--stream")
    assert result.stdout.strip() == expected


def test_json_tells_what_was_seen_and_what_it_cost(command, folder, clip, expected):
    result = command("ask", clip, clip, QUESTION, "--model", folder, "--max-new-tokens", 5, "--json")
    answer = json.loads(result.stdout)
    assert answer["model"] == str(folder)
    assert answer["question"] == QUESTION
    assert answer["new_tokens"] == 5
    assert set(answer["seconds"]) == {"load", "read", "first_token", "other_tokens"}
    assert len(answer["videos"]) == 2
    video = answer["videos"][0]
    assert (video["path"], video["num_frames"], video["duration"]) == (str(clip), 90, pytest.approx(3))
    assert video["times"] == pytest.approx([index / 30 for index in video["frames_indices"]], abs=1e-3)
    alone = json.loads(command("ask", clip, QUESTION, "--model", folder, "--max-new-tokens", 5, "--json").stdout)
    assert alone["answer"] == expected
    assert alone["prompt_tokens"] < answer["prompt_tokens"]


def test_frames_dtype_device_and_prompt_can_be_chosen(command, folder, clip):
    options = ("--num-frames", 3, "--dtype", "bfloat16", "--device", "cpu", "--template", "eval_vcgbench")
    result = command("ask", clip, QUESTION, "--model", folder, "--max-new-tokens", 2, "--json", *options)
    answer = json.loads(result.stdout)
    assert len(answer["videos"][0]["frames_indices"]) == 3
    plain = json.loads(command("ask", clip, QUESTION, "--model", folder, "--max-new-tokens", 2, "--json").stdout)
    assert answer["prompt_tokens"] > plain["prompt_tokens"] + 50


def test_a_missing_file_suggests_its_neighbours(command, clip):
    assert f"Did you mean {clip}?" in mistake(command("ask", clip.with_name("h264.mp3"), QUESTION))
    assert "no such file" in mistake(command("ask", clip.parent / "zebra", QUESTION))
    assert "there is no folder" in mistake(command("ask", clip.parent / "nowhere" / "a.mp4", QUESTION))


def test_a_folder_is_no_video(command, clip, tmp_path):
    assert f"for example {clip}" in mistake(command("ask", clip.parent, QUESTION))
    assert "holds no video files" in mistake(command("ask", tmp_path, QUESTION))


def test_a_missing_question_is_named(command, clip):
    assert "the last argument has to be the question" in mistake(command("ask", clip))
    assert "the last argument has to be the question" in mistake(command("ask", clip, clip))
    assert "the last argument has to be the question" in mistake(command("ask", clip, "other.mp4"))
    assert "the last argument has to be the question" in mistake(command("ask", "http://example.com/a.mp4"))
    assert "the question is empty" in mistake(command("ask", clip, " "))
    assert "give at least one video" in mistake(command("ask", QUESTION))


def test_json_and_stream_exclude_each_other(command, clip):
    assert "exclude each other" in mistake(command("ask", clip, QUESTION, "--json", "--stream"))


@pytest.mark.parametrize("name", ["text.mp4", "empty.mp4", "audio.m4a"])
def test_an_unreadable_video_is_described(command, folder, tmp_path, name):
    path = clips.make(name, tmp_path)
    assert name in mistake(command("ask", path, QUESTION, "--model", folder))


def test_what_is_no_model_is_described(command, clip, tmp_path):
    assert "has no config.json" in mistake(command("ask", clip, QUESTION, "--model", tmp_path))
    assert "Did you mean pllava-7b" in mistake(command("ask", clip, QUESTION, "--model", "pllava-7"))
    assert "ships as a configuration only" in mistake(command("ask", clip, QUESTION, "--model", "pllava-7b"))


def test_an_original_folder_names_its_conversion(command, clip):
    message = mistake(command("ask", clip, QUESTION, "--model", ORIGINAL))
    assert f"video-lmms convert pllava --model-dir {ORIGINAL} --output {ORIGINAL}-converted" in message


def test_unknown_prompts_and_dtypes_are_named(command, folder, clip):
    base = ("ask", clip, QUESTION, "--model", folder)
    assert "eval_mvbench" in mistake(command(*base, "--template", "poem"))
    assert "Use float32, bfloat16 or float16" in mistake(command(*base, "--dtype", "int8"))


@pytest.mark.parametrize("tiny", [tiny_videotgb, tiny_videotgb_t5], ids=["decoder", "encoder-decoder"])
def test_json_tells_which_frames_the_question_chose(command, clip, tiny, tmp_path):
    model, processor = tiny.tiny_model(), tiny.tiny_processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    result = command("ask", clip, QUESTION, "--model", tmp_path, "--max-new-tokens", 3, "--json")
    answer = json.loads(result.stdout)
    (video,) = answer["videos"]
    assert answer["new_tokens"] == 3
    assert video["frames_indices"] == [0, 30, 60]
    assert len(video["chosen_frames"]) == tiny_videotgb.NUM_FRAMES
    assert set(video["chosen_frames"]) <= set(video["frames_indices"])
    assert video["chosen_times"] == [round(index / 30, 3) for index in video["chosen_frames"]]
    assert video["grounded"]
    assert all(second in video["times"] for span in video["spans"] for second in span)
    assert all(0 < score < 1 for pair in video["span_scores"] for score in pair)
    # What is printed is what the model itself chooses.
    parts = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[clip], return_tensors="pt")
    media = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    choice = model.get_video_features(**media).frame_choice
    described = processor.describe_choice(choice, 0, video["frames_indices"], video["times"], tiny_videotgb.CANDIDATES)
    assert described.items() <= video.items()


def test_clips_are_counted_in_frames(command):
    """Each of the three clips of Apollo's example goes through the towers with its four frames, two videos alike."""
    clip = ROOT / "hub_configs/tiny-apollo/example.mp4"
    result = command("ask", clip, clip, "When does the square appear?", "--model", "tiny-apollo", "--json")
    assert [line.split(" in ")[0] for line in result.stderr.splitlines()[:2]] == [
        "reading: 24 frames",
        "encoding: 24 frames",
    ]
    answer = json.loads(result.stdout)
    assert [len(video["frames_indices"]) for video in answer["videos"]] == [12, 12]
