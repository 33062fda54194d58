# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The training steps of VideoTGB's frame selector, on tiny models."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from checkout import ROOT
from tiny_videotgb_grounding import tiny_bridge, tiny_grounding_config

from video_lmms.data.collator import VideoChatCollator
from video_lmms.data.motion import crowd_scene, flow_pairs, true_flow
from video_lmms.data.world import EPISODE_FRAMES, draw_samples, write_rows
from video_lmms.errors import VideoLmmError
from video_lmms.hub import load
from video_lmms.modeling.modeling_raft import VideotgbFlowModel
from video_lmms.modeling.modeling_videotgb_grounding import VideotgbGroundingModel
from video_lmms.processing.video_reader import VideoReader
from video_lmms.training import label_videotgb, tiny_videotgb
from video_lmms.training.batches import batches
from video_lmms.training.flow_videotgb import FlowFileError, extract_flow, flow_file, flow_of_video, read_flow
from video_lmms.training.lessons_videotgb import answer, fit, join_lessons, make_lesson
from video_lmms.training.raft import endpoint_error, train_raft
from video_lmms.training.sampler_videotgb import (
    SamplerRecipe,
    SpanSample,
    fixed_frames,
    label_row,
    measure_spans,
    to_flow_frames,
    train_sampler,
)
from video_lmms.training.tiny import build_tokenizer


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rows = write_rows(draw_samples(0, 3, ("episode_colour",)), folder)
    return [row["messages"][0]["content"][0]["video"] for row in rows]


@pytest.fixture(scope="module")
def flow_model():
    return tiny_bridge(num_flow_updates=1, flow_input="pixels").flow_model


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer("pllava")


def test_extracted_flow_is_what_the_model_sees(flow_model, videos, tmp_path):
    files = extract_flow(flow_model, videos, tmp_path, dtype=torch.float32)
    assert list(files) == videos
    flow = read_flow(files[videos[0]])
    assert flow.shape == (32, 2, 64, 64)
    assert torch.equal(flow[-1], flow[-2])
    # In one piece, without the streaming.
    with VideoReader.open(videos[0]) as reader:
        frames = torch.from_numpy(reader.read(range(0, EPISODE_FRAMES, 2))).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        whole = flow_model(frames[:-1], frames[1:])
    torch.testing.assert_close(flow[:-1], whole, atol=1e-3, rtol=1e-3)


def test_a_long_video_is_thinned_out(flow_model, videos):
    whole, kept = flow_of_video(flow_model, videos[0]), flow_of_video(flow_model, videos[0], max_frames=10)
    assert torch.equal(kept, whole[[1, 4, 7, 10, 13, 17, 20, 23, 26, 29]])
    assert len(flow_of_video(flow_model, videos[0], rate=2)) == 64


def test_extraction_goes_on_where_it_was_killed(videos, tmp_path):
    """Killed without warning; files of finished videos stay, nothing half-written has a final name."""
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from tiny_videotgb_grounding import tiny_bridge\n"
        "from video_lmms.training import flow_videotgb\n"
        "import os, signal\n"
        "saved = flow_videotgb.save_file\n"
        "def save(tensors, path, metadata):\n"
        "    saved(tensors, path, metadata)\n"
        "    if len(list(path.parent.glob('*.safetensors'))) == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "flow_videotgb.save_file = save\n"
        "model = tiny_bridge(num_flow_updates=1, flow_input='pixels').flow_model\n"
        f"flow_videotgb.extract_flow(model, {videos!r}, {str(tmp_path)!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -9, killed.stderr
    finished = list(tmp_path.glob("*.safetensors"))
    assert finished == [flow_file(videos[0], tmp_path)]
    assert len(list(tmp_path.glob("*.part"))) == 1
    before = finished[0].stat().st_mtime_ns
    files = extract_flow(tiny_bridge(num_flow_updates=1, flow_input="pixels").flow_model, videos, tmp_path)
    assert finished[0].stat().st_mtime_ns == before
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    assert all(len(read_flow(file)) == 32 for file in files.values())


def test_the_budget_holds(flow_model, videos, tmp_path):
    one = 32 * 2 * 64 * 64 * 2
    with pytest.raises(FlowFileError, match=r"flow of 1 of 3 videos fills the .* Raise max_bytes"):
        extract_flow(flow_model, videos, tmp_path, max_bytes=one + one // 2)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < one + one // 2
    assert len(extract_flow(flow_model, videos, tmp_path, max_bytes=4 * one)) == 3


def test_flow_made_another_way_is_refused(flow_model, videos, tmp_path):
    files = extract_flow(flow_model, videos[:1], tmp_path)
    with pytest.raises(FlowFileError, match=r"made with rate=1.0, not 2"):
        extract_flow(flow_model, videos[:1], tmp_path, rate=2)
    files[videos[0]].write_bytes(b"cut")
    with pytest.raises(FlowFileError, match="Remove it and extract again"):
        read_flow(files[videos[0]])


def test_videos_of_one_name_have_files_of_their_own(tmp_path):
    assert flow_file(tmp_path / "a" / "clip.mp4", "flow") != flow_file(tmp_path / "b" / "clip.mp4", "flow")


def test_a_label_is_where_frames_answer_right():
    answers = ["a dog", "red", "a red circle", "red circle here", "blue"]
    assert label_row(answers, "red circle") == (2, 3)
    assert label_row(["x"] * 5, "red circle") == (0, 4)
    assert to_flow_frames((3, 31), 32, 64) == (6, 63)


def span_samples(seed, count, split="train"):
    """Clips with true flow and true spans."""
    samples = []
    for sample in draw_samples(seed, count, ("episode_colour",), split, turns=2):
        numbers = range(0, EPISODE_FRAMES, 4)
        flow = torch.from_numpy(np.stack([true_flow(sample.scene, number, number + 4) for number in numbers]))
        for question in sample.questions:
            first, end = question.span
            inside = [row for row, number in enumerate(numbers) if first <= number / EPISODE_FRAMES < end]
            samples.append(SpanSample(flow, question.text, (inside[0], inside[-1])))
    return samples


def test_the_sampler_learns_and_its_choice_can_be_fixed(tokenizer):
    torch.manual_seed(0)
    config = tiny_grounding_config(
        vocab_size=len(tokenizer),
        max_position_embeddings=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    grounding, samples = VideotgbGroundingModel(config), span_samples(0, 12)
    frozen = grounding.encoder.rotary_table.clone()
    untrained = measure_spans(grounding.eval(), samples, tokenizer)
    recipe = SamplerRecipe(epochs=30, batch_size=8, learning_rate=3e-3, weight_decay=0.0)
    losses = train_sampler(grounding, samples, tokenizer, recipe)
    assert len(losses) == 30 * len(samples) / 8
    assert np.mean(losses[-10:]) < 0.3 * losses[0]
    trained = measure_spans(grounding, samples, tokenizer)
    assert trained["miou"] > max(0.6, 1.5 * untrained["miou"])
    assert torch.equal(grounding.encoder.rotary_table, frozen)
    assert not grounding.training
    frames = fixed_frames(grounding, samples, tokenizer, num_candidates=16)
    assert frames.shape == (len(samples), 4)
    spans = torch.tensor([sample.span for sample in samples])
    inside = (frames >= spans[:, :1]) & (frames <= spans[:, 1:])
    assert inside.float().mean() > 0.6


def test_flow_may_lie_on_disk(flow_model, videos, tokenizer, tmp_path):
    grounding = VideotgbGroundingModel(tiny_grounding_config(vocab_size=len(tokenizer), max_position_embeddings=48))
    files = extract_flow(flow_model, videos, tmp_path)
    samples = [SpanSample(file, "Which way?", (1, 4)) for file in files.values()]
    assert len(train_sampler(grounding, samples, tokenizer, SamplerRecipe(epochs=2))) == 1


def test_samples_without_a_span_are_refused(tokenizer):
    samples = [SpanSample(torch.zeros(2, 2, 64, 64), "Why?")]
    with pytest.raises(ValueError, match="1 of 1 samples have no span"):
        train_sampler(VideotgbGroundingModel(tiny_grounding_config()), samples, tokenizer)


def test_raft_learns_motion():
    torch.manual_seed(0)
    model = VideotgbFlowModel(tiny_grounding_config(flow_input="pixels"))
    pairs = flow_pairs([crowd_scene(np.random.default_rng(number)) for number in range(24)], step=1)
    before = endpoint_error(model.eval(), pairs)
    losses = train_raft(model, pairs, steps=80, batch_size=8, learning_rate=3e-3)
    after = endpoint_error(model, pairs)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert after["moving"] < 0.9 * before["moving_at_zero"]
    assert after["moving_at_zero"] == before["moving_at_zero"] > 2


@pytest.mark.parametrize("merge", ["mean", "concat"])
def test_lessons_are_the_prompts_that_the_processor_makes(merge, videos, tokenizer):
    """Frames given by hand train and answer like the same frames given to the whole model."""
    tokenizer = build_tokenizer("videotgb")
    processor = tiny_videotgb.build_processor(tokenizer, [0.2] * 3, [0.2] * 3)
    torch.manual_seed(0)
    model = tiny_videotgb.build_model(tokenizer).eval()
    processor.frame_merge = model.config.frame_merge = merge
    question = "What colour is the thing moving left?"
    content = [{"type": "video", "video": videos[0]}, {"type": "text", "text": question}]
    told = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}
    messages = [{"role": "user", "content": content}, told]
    batch = VideoChatCollator(processor)([{"messages": messages}])
    frames = torch.tensor([[3, 9, 9, 20]])
    lesson = make_lesson(processor, batch["pixel_values_videos"][0, frames[0]], question, "red")
    joined = join_lessons([lesson], tokenizer.pad_token_id, "right")
    for name in ("input_ids", "labels", "qformer_input_ids"):
        assert torch.equal(joined[name], batch[name]), name
    with torch.no_grad():
        torch.testing.assert_close(model(**joined).loss, model(**batch, frame_indices=frames).loss)


def test_only_the_named_parts_learn():
    tokenizer = build_tokenizer("videotgb")
    processor = tiny_videotgb.build_processor(tokenizer, [0.2] * 3, [0.2] * 3)
    torch.manual_seed(0)
    model = tiny_videotgb.build_model(tokenizer)
    lessons = tiny_videotgb.single_frames(processor, 8, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = fit(model, lessons, [model.model.qformer, model.model.multi_modal_projector], 6, 8, 3e-3)
    assert losses[-1] < losses[0]
    changed = {
        name.split(".")[1] for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"qformer", "multi_modal_projector", "query_tokens"}
    asked = [tiny_videotgb.make_lesson(processor, lesson.frames, "What colour is it?") for lesson in lessons]
    assert len(answer(model, processor, asked)) == 8


def test_every_sample_comes_before_any_comes_again():
    order = torch.cat(list(batches(7, 3, 7, seed=1)))
    for start in range(0, 21, 7):
        assert sorted(order[start : start + 7].tolist()) == list(range(7))


@pytest.mark.slow
def test_the_steps_are_one_command_that_goes_on_where_it_stopped(tmp_path, capsys, monkeypatch):
    rows = write_rows(draw_samples(0, 3, ("episode_colour",), turns=2), tmp_path / "clips")
    data = tmp_path / "chats.jsonl"
    data.write_text("\n".join(json.dumps({"messages": row["messages"]}) for row in rows))
    flags = ["tiny-videotgb", "--train-data", str(data), "--output", str(tmp_path / "run"), "--words", "2"]
    assert label_videotgb.main([*flags, "--epochs", "2", "--batch-size", "2"]) == 0
    assert "overlap with the labels after" in capsys.readouterr().out
    spans = (tmp_path / "run" / "spans.jsonl").read_text()
    known = [json.loads(line)["span"] for line in spans.splitlines()]
    assert len(known) == 6
    # The shipped model knows colours: where a frame shows the answer it is labelled, and a quarter of them do.
    assert sum(last - first + 1 for first, last in known) < 6 * 32 / 2
    before, after = (
        dict(load(source)[0].named_parameters()) for source in ("tiny-videotgb", tmp_path / "run" / "model")
    )
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert changed == {"grounding"}
    monkeypatch.setattr(label_videotgb, "pseudo_label", None)  # nothing is asked again
    assert label_videotgb.main([*flags, "--epochs", "1"]) == 0
    assert (tmp_path / "run" / "spans.jsonl").read_text() == spans


def test_the_steps_refuse_other_models(tmp_path):
    with pytest.raises(VideoLmmError, match="no decoder-only VideoTGB"):
        label_videotgb.main(["tiny-pllava", "--train-data", "unread", "--output", str(tmp_path)])
