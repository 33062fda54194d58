# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's processor beside the goldens: budgets, videos read in two passes, sizes in their two orders, refusals."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_longvu import CONTEXT_LENGTH, DINOV2_SIZE, SIGLIP_SIZE, tiny_model, tiny_processor
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def scenes(frames, seed=0, height=36, width=64):
    """A scene that changes every nine frames, with a little noise."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 255, (frames // 9 + 1, height, width, 3))
    noise = random.integers(-9, 9, (frames, height, width, 3))
    return (pictures[np.arange(frames) // 9] + noise).clip(0, 255).astype(np.uint8)


def write_frames(path, frames, fps):
    """The frames as a video file, nearly unchanged."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def chat(*videos, question="What moves?"):
    parts = [{"type": "video", "video": clip} for clip in videos]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def encode(processor, *chats, **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(list(chats), **settings, processor_kwargs={"padding": True, **options})


CHATS = [chat(scenes(5)), chat(scenes(150, seed=1), scenes(61, seed=2)), chat(scenes(330, seed=3), question="Hello")]


# Two passes


def test_two_passes_give_what_one_gives(model, processor):
    """Selection from a stream, and then the frames it names: the same tokens as all frames at once."""
    whole = encode(processor, *CHATS)
    chosen = encode(processor, *CHATS, select_frames=model.select_frames)
    assert whole["num_frames"].tolist() == chosen["num_sampled_frames"].tolist() == [5, 150, 61, 330]
    assert chosen["num_frames"][0] == 5
    assert (chosen["num_frames"][1:] < whole["num_frames"][1:]).all()
    assert len(chosen["pixel_values_videos"]) == chosen["num_frames"].sum()
    expected, actual = model.expand_video_tokens(**whole), model.expand_video_tokens(**chosen)
    torch.testing.assert_close(actual.text, expected.text)
    for name in ("frames", "keep"):
        parts = zip(actual.video_selection, expected.video_selection, strict=True)
        for number, (one, other) in enumerate(parts):
            if name == "keep":
                assert torch.equal(one.keep, other.keep)
            else:
                assert len(one.frames) == len(other.frames), number
    features = zip(*(part.mm_encoder_outputs["video"].pooler_output for part in (actual, expected)), strict=True)
    for one, other in features:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    options = {"max_new_tokens": 4, "do_sample": False}
    assert torch.equal(model.generate(**whole, **options), model.generate(**chosen, **options))


def test_chosen_frames_are_those_of_the_file(model, processor, tmp_path):
    frames = scenes(200, seed=4, height=48, width=48)
    path = write_frames(tmp_path / "clip.mp4", frames, fps=1)
    text = processor.apply_chat_template(chat(str(path)), add_generation_prompt=True)
    inputs = processor(
        text=text,
        videos=[str(path)],
        select_frames=model.select_frames,
        return_metadata=True,
        return_tensors="pt",
    )
    (metadata,) = inputs["video_metadata"]
    kept = metadata.frames_indices
    assert kept == sorted(set(kept))
    assert 0 < len(kept) == inputs["num_frames"].item() < inputs["num_sampled_frames"].item() == 200
    assert metadata.timestamps == pytest.approx(kept)
    whole = processor(text=text, videos=[str(path)], return_tensors="pt")
    assert torch.equal(inputs["pixel_values_videos"], whole["pixel_values_videos"][kept])
    assert torch.equal(inputs["pixel_values_videos_dinov2"], whole["pixel_values_videos_dinov2"][kept])


def test_the_stream_holds_a_window_at_a_time(processor):
    """The model is handed chunks of bounded size, and the frames it drops are never held for SigLIP."""
    seen = []

    def select(chunks, num_frames, prompt_tokens, budget):
        seen.extend([len(chunk) for chunk in chunks])
        assert budget == CONTEXT_LENGTH - 16
        assert prompt_tokens > 10
        return torch.tensor([0, num_frames - 1])

    inputs = encode(processor, chat(scenes(150)), select_frames=select)
    assert (max(seen), sum(seen)) == (64, 150)
    assert inputs["pixel_values_videos"].shape == (2, 3, SIGLIP_SIZE, SIGLIP_SIZE)
    assert inputs["pixel_values_videos_dinov2"].shape == (2, 3, DINOV2_SIZE, DINOV2_SIZE)


@pytest.mark.parametrize("sizes", [[150], [7, 30, 1, 112], [16] * 9 + [6], [149, 1], [1] * 150])
def test_chunks_of_any_size_choose_alike(model, sizes):
    pixels = torch.randn(150, 3, DINOV2_SIZE, DINOV2_SIZE)
    pixels[20:90] = pixels[20]
    expected = model.select_frames([pixels], 150, 30)
    assert 16 < len(expected) < 150
    assert torch.equal(model.select_frames(pixels.split(sizes), 150, 30), expected)


def test_the_option_is_not_saved(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert "select_frames" not in (tmp_path / "processor_config.json").read_text()


# Budgets


def test_budgets_come_from_the_call_or_the_processor(processor):
    default = encode(processor, chat(scenes(3)))
    length = default["input_ids"].shape[1]
    assert default["context_budgets"].tolist() == [CONTEXT_LENGTH - 16]
    assert default["num_prompt_tokens"].tolist() == [length]
    assert default["num_text_tokens"].tolist() == [length - 1]
    other = encode(processor, chat(scenes(3)), context_length=400, reserve=50)
    assert other["context_budgets"].tolist() == [350]


def test_videos_of_a_prompt_share_the_context(processor):
    inputs = encode(processor, chat(scenes(3), scenes(4), scenes(2)))
    text = inputs["input_ids"].shape[1] - 3
    share = (CONTEXT_LENGTH - 16 - text) // 3
    assert inputs["context_budgets"].tolist() == [text + share] * 3
    assert inputs["num_text_tokens"].tolist() == [text] * 3


def test_the_budget_is_kept(model, processor):
    for context_length in (75, 100, 160, 300):
        inputs = encode(processor, chat(scenes(120)), context_length=context_length)
        expansion = model.expand_video_tokens(**inputs)
        assert expansion.text["input_ids"].shape[1] <= context_length - 16


def test_queries_are_what_follows_the_last_video(processor):
    inputs = encode(processor, chat(scenes(2), question="What moves?"), chat(scenes(2), question="Hello"))
    for row, (ids, query, mask) in enumerate(
        zip(inputs["input_ids"], inputs["query_input_ids"], inputs["query_attention_mask"], strict=True)
    ):
        place = int((ids == processor.video_token_id).nonzero()[-1])
        shown = inputs["attention_mask"][row].bool() & (torch.arange(len(ids)) > place)
        assert query[mask.bool()].tolist() == ids[shown].tolist()


def test_a_budget_without_room_is_refused(model, processor):
    with pytest.raises(ValueError, match="`context_length` must exceed `reserve`"):
        encode(processor, chat(scenes(3)), context_length=16)
    with pytest.raises(ValueError, match="leaves no room for its video"):
        model.expand_video_tokens(**encode(processor, chat(scenes(3)), context_length=30))


def test_costs_are_known_before_decoding(model, processor):
    """An upper bound, and exact as long as all frames fit at full resolution."""
    for frames in (1, 3, 6, 100):
        metadata = VideoMetadata(total_num_frames=frames, fps=1.0, width=64, height=36, duration=float(frames))
        expansion = model.expand_video_tokens(**encode(processor, chat(scenes(frames))))
        (tokens,) = expansion.mm_encoder_outputs["video"].pooler_output
        if expansion.video_selection[0].stage == "full" and frames <= 6:
            assert processor.num_video_tokens(metadata) == len(tokens)
        assert processor.num_video_tokens(metadata) >= len(tokens)


# Videos


def test_sizes_have_the_order_of_training(processor, tmp_path):
    """Decoded videos and arrays as (height, width), images and animations as (width, height)."""
    frames = scenes(4)
    video = write_frames(tmp_path / "clip.mp4", frames, fps=1)
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=1000)
    files = []
    for number, picture in enumerate(pictures):
        files.append(str(tmp_path / f"{number}.png"))
        picture.save(files[-1])
    sizes = {
        "file": processor.video_processor([str(video)])["video_sizes"],
        "array": processor.video_processor([frames])["video_sizes"],
        "gif": processor.video_processor([str(tmp_path / "clip.gif")])["video_sizes"],
        "images": processor.video_processor([[files]])["video_sizes"],
        "true": processor.video_processor([str(video)], true_aspect=True)["video_sizes"],
    }
    assert {name: size[0].tolist() for name, size in sizes.items()} == {
        "file": [36, 64],
        "array": [36, 64],
        "gif": [64, 36],
        "images": [64, 36],
        "true": [64, 36],
    }


def test_an_image_in_a_chat_with_videos_is_a_video_of_one_frame(processor):
    picture = Image.fromarray(scenes(1)[0])
    parts = [
        {"type": "video", "video": scenes(3)},
        {"type": "image", "image": picture},
        {"type": "text", "text": "Same?"},
    ]
    inputs = encode(processor, [{"role": "user", "content": parts}])
    assert inputs["num_frames"].tolist() == [3, 1]
    assert inputs["video_sizes"].tolist() == [[36, 64], [64, 36]]
    assert "pixel_values" not in inputs


def test_an_image_alone_is_expanded(model, processor):
    picture = Image.fromarray(scenes(1)[0])
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": "What?"}]
    inputs = encode(processor, [{"role": "user", "content": parts}])
    count = int((inputs["input_ids"] == processor.image_token_id).sum())
    features = model.model.get_image_features(
        inputs["pixel_values"], inputs["pixel_values_dinov2"], inputs["image_sizes"]
    ).pooler_output
    assert count == len(features[0]) == processor.num_image_tokens(64, 36)


def test_rates_other_than_the_processor_s_need_times(processor):
    with pytest.raises(ValueError, match="need the frame rate of the video, and an array has none"):
        processor.video_processor([scenes(4)], fps=2.0)
    own = type(processor.video_processor)(fps=2.0)
    assert own([scenes(4)])["num_frames"].tolist() == [4]


def test_unknown_rules_and_late_starts_are_refused(processor, tmp_path):
    clip = str(write_frames(tmp_path / "clip.mp4", scenes(6), fps=2))
    with pytest.raises(ValueError, match="sampling must be one of one_fps, .*, got 'all'"):
        processor.video_processor([clip], sampling="all")
    with pytest.raises(ValueError, match=r"`start` is 9.* it must be below 3.00 s"):
        processor.video_processor([clip], start=9.0)
    with pytest.raises(ValueError, match="`do_resize` cannot be False"):
        processor.video_processor([clip], do_resize=False)


def test_wrong_numbers_of_media_are_refused(processor):
    with pytest.raises(ValueError, match="got 1 and 2. Each medium needs exactly one"):
        processor(text="<image>\nWhat?", videos=[scenes(2), scenes(2)])
    with pytest.raises(ValueError, match="order in the prompt is unknown"):
        processor(text="<image><image>", videos=[scenes(2)], images=[Image.new("RGB", (8, 8))])


def test_a_saved_processor_says_the_same(processor, tmp_path: Path):
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    expected, actual = encode(processor, CHATS[0]), encode(again, CHATS[0])
    assert expected.keys() == actual.keys()
    for name in expected:
        assert torch.equal(expected[name], actual[name])
