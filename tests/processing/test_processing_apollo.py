# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Apollo's processor: clips and their cost, dates, chats, pixels, options."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

from video_lmms.conversion_scripts.convert_apollo import convert
from video_lmms.data.scenes import write_clip
from video_lmms.data.world import draw_samples
from video_lmms.processing.chat_templates_apollo import number_in_words, timestamp, video_preamble
from video_lmms.processing.frame_sampling_apollo import ClipPlan, clip_indices, count_clips
from video_lmms.processing.image_processing_apollo import pad_to_square, resize_bilinear
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor
from video_lmms.processing.video_reader import VideoReader


ORIGINAL = Path(__file__).parents[1] / "goldens" / "apollo" / "tied_two_videos" / "checkpoint"
PUBLISHED = ClipPlan(2, 4, 128, 16384, 0.65)
TOWERS = ("pixel_values_videos", "pixel_values_videos_internvideo2")


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return AutoProcessor.from_pretrained(convert(ORIGINAL, tmp_path_factory.mktemp("apollo") / "model"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    (sample,) = draw_samples(0, 1, ("direction",))
    return write_clip(sample.scene, tmp_path_factory.mktemp("clip") / "clip.mp4")


def frames(count, seed=0, size=(12, 16)):
    return np.random.default_rng(seed).integers(0, 255, (count, *size, 3), dtype=np.uint8)


def ask(*media):
    return [{"role": "user", "content": [*media, {"type": "text", "text": "What is it?"}]}]


def encode(processor, chat, **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(chat, **settings, processor_kwargs=options)


def test_every_video_has_sensible_clips():
    """From one frame to two hours, at every usual rate and clip length: no crash, whole clips, rising times."""
    for rate in (0.2, 0.5, 1, 2, 9.7, 15, 24, 29.97, 60, 240):
        for seconds in (0.01, 0.5, 1.9, 2, 3, 10, 166, 167, 600, 7200):
            total = max(1, int(rate * seconds))
            for per_clip in range(1, 10):
                plan = PUBLISHED._replace(frames_per_clip=per_clip)
                count = count_clips(total, rate, plan)
                assert 1 <= count <= 84
                clips = clip_indices(total, rate, count, plan)
                assert len(clips) == count
                assert all(len(clip) >= per_clip for clip in clips)
                assert all(0 <= index < total for clip in clips for index in clip)
                assert all(clip == sorted(clip) for clip in clips)
                assert [clip[0] for clip in clips] == sorted(clip[0] for clip in clips)


def test_predicted_tokens_are_the_produced_ones(processor):
    for total in (1, 2, 7, 48, 49, 100, 333):
        for rate in (1.0, 12.5, 24.0):
            metadata = VideoMetadata(total_num_frames=total, fps=rate)
            inputs = encode(processor, ask({"type": "video", "video": frames(total)}), video_metadata=[metadata])
            ids = inputs["input_ids"][0].tolist()
            clips = inputs["num_clips"].item()
            assert ids.count(processor.video_token_id) == processor.num_video_tokens(metadata)
            assert all(len(inputs[name]) == clips for name in TOWERS)
            sampled = clips * processor.video_processor.frames_per_clip
            sizes = processor._get_num_multimodal_tokens(video_sizes=[(sampled, 12, 16)], image_sizes=[(3, 4)])
            assert sizes.num_video_tokens == [ids.count(processor.video_token_id)]
            assert sizes.num_image_tokens == [processor.tokens_per_clip]


def test_videos_of_a_prompt_share_the_context(processor):
    """Two long videos get half of the share each; a prompt with one gets all of it, also in a batch."""
    long = VideoMetadata(total_num_frames=20_000, fps=1.0)
    video = np.zeros((20_000, 2, 2, 3), np.uint8)
    one, two = encode_texts(processor, [1, 2], [video] * 3, [long] * 3)["num_clips"].split([1, 2])
    whole = processor.num_video_tokens(long) // processor.tokens_per_clip
    half = processor.num_video_tokens(long, num_videos=2) // processor.tokens_per_clip
    assert one.tolist() == [whole]
    assert two.tolist() == [half, half]
    assert 2 * half * processor.tokens_per_clip <= 0.65 * 16384 + 2 * processor.tokens_per_clip


def encode_texts(processor, counts, videos, metadata):
    texts = [processor.video_token * count + "x" for count in counts]
    small = {"size": {"height": 2, "width": 2}, "internvideo2_size": 2}
    return processor(
        text=texts, videos=videos, video_metadata=metadata, padding=True, return_tensors="pt", videos_kwargs=small
    )


def test_media_keep_their_places(processor):
    chat = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "First"},
                {"type": "image", "image": Image.fromarray(frames(1)[0])},
                {"type": "video", "video": frames(8)},
                {"type": "text", "text": "then"},
                {"type": "text", "text": " last"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        {"role": "user", "content": "Sure?"},
    ]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    assert prompt == (
        "<|im_start|>system\n\nBe brief.<|im_end|>\n<|im_start|>user\nFirst\n\n<|image_token|>\n\n<|video_token|>\n\n"
        "then last<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    inputs = encode(processor, chat)
    ids = inputs["input_ids"][0].tolist()
    assert ids.count(processor.image_token_id) == processor.tokens_per_clip
    assert ids.index(processor.image_token_id) < ids.index(processor.video_token_id)
    assert len(inputs["pixel_values"]) == len(inputs["pixel_values_internvideo2"]) == 1


def test_an_answer_can_be_begun(processor):
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because"}]
    prompt = processor.apply_chat_template(chat, continue_final_message=True)
    assert prompt.endswith("<|im_start|>assistant\nBecause")


def test_a_file_gives_the_frames_that_the_plan_names(processor, clip):
    """Streamed through the reader, twice resized; equal to the same frames as an array."""
    with VideoReader.open(clip) as reader:
        total, rate = len(reader), float(reader.info.fps)
        plan = PUBLISHED._replace(tokens_per_clip=processor.tokens_per_clip)
        clips = clip_indices(total, rate, count_clips(total, rate, plan), plan)
        sampled = reader.read([index for clip in clips for index in clip])
    from_file = encode(processor, ask({"type": "video", "video": clip}))
    assert from_file["num_clips"].tolist() == [len(clips)]
    array = processor.video_processor([sampled], do_sample_frames=False, return_tensors="pt")
    for name in TOWERS:
        assert torch.equal(from_file[name], array[name])
    times = [(part[0] / rate, part[-1] / rate) for part in clips]
    tokens = processor.video_token * processor.tokens_per_clip
    preamble = video_preamble(times, total / rate, 2, tokens)
    assert preamble in processor.tokenizer.decode(from_file["input_ids"][0])


def test_array_without_rate_is_taken_for_24(processor):
    inputs = processor.video_processor([frames(96)], return_tensors="pt")
    assert inputs["num_clips"].tolist() == [2]


@pytest.mark.parametrize(
    ("options", "clips"),
    [
        ({}, 5),
        ({"num_frames": 32}, 8),
        ({"num_frames": 1}, 1),
        ({"num_frames": 10**6}, 84),
        ({"fps": 1.0}, 2),
        ({"fps": 4.0}, 10),
        ({"start": 4.0}, 3),
        ({"end": 3.9}, 2),
        ({"start": 4.0, "end": 5.9}, 1),
        ({"frames_per_clip": 8}, 5),
        ({"clip_duration": 5}, 2),
        ({"clip_sampling_ratio": 0.015}, 2),
    ],
)
def test_options_of_a_call(options, clips):
    processor = ApolloVideoProcessor(size={"height": 4, "width": 4}, internvideo2_size=4)
    metadata = VideoMetadata(total_num_frames=240, fps=24.0)
    inputs = processor([frames(240)], video_metadata=[metadata], return_metadata=True, return_tensors="pt", **options)
    per_clip = options.get("frames_per_clip", 4)
    assert inputs["num_clips"].tolist() == [clips]
    for name in TOWERS:
        assert inputs[name].shape == (clips, per_clip, 3, 4, 4)
    indices = inputs["video_metadata"][0].frames_indices
    assert len(indices) == clips * per_clip
    assert options.get("start", 0) * 24 <= min(indices)
    assert max(indices) <= options.get("end", 10) * 24


def test_a_clip_length_of_the_call_is_printed(processor):
    metadata = [VideoMetadata(total_num_frames=240, fps=24.0)]
    inputs = encode(processor, ask({"type": "video", "video": frames(240)}), video_metadata=metadata, clip_duration=5)
    assert "series of two, 5 second clips from a 0:00:10 [H:MM:SS]" in processor.tokenizer.decode(
        inputs["input_ids"][0]
    )


def test_every_frame_as_it_is():
    processor = ApolloVideoProcessor(size={"height": 4, "width": 4}, internvideo2_size=4)
    video = frames(6)
    inputs = processor([video], do_sample_frames=False, return_metadata=True, return_tensors="pt")
    assert inputs["num_clips"].tolist() == [2]
    assert inputs["video_metadata"][0].frames_indices == [0, 1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize("name", ["fps", "start", "end"])
def test_times_need_a_rate(name):
    with pytest.raises(ValueError, match="need the frame rate"):
        ApolloVideoProcessor()([frames(8)], **{name: 1.0})


def test_an_empty_span_is_refused():
    metadata = [VideoMetadata(total_num_frames=48, fps=24.0)]
    with pytest.raises(ValueError, match="start=3.0 s and end=None s: .* lasts 2.00 s"):
        ApolloVideoProcessor()([frames(48)], video_metadata=metadata, start=3.0)


def test_frames_must_be_8_bit():
    with pytest.raises(ValueError, match="8-bit"):
        ApolloVideoProcessor()([frames(4).astype(np.float32)])


def test_grey_and_transparent_frames_become_rgb():
    processor = ApolloVideoProcessor(size={"height": 4, "width": 4}, internvideo2_size=4)
    colour = frames(4)
    grey = processor([colour[..., :1]], input_data_format="channels_last", return_tensors="pt")
    repeated = processor([np.repeat(colour[..., :1], 3, axis=-1)], return_tensors="pt")
    alpha = np.concatenate([colour, colour[..., :1]], axis=-1)
    transparent = processor([alpha], input_data_format="channels_last", return_tensors="pt")
    plain = processor([colour], return_tensors="pt")
    for name in TOWERS:
        assert torch.equal(grey[name], repeated[name])
        assert torch.equal(transparent[name], plain[name])


def test_an_image_gives_the_pixels_of_a_frame(processor):
    still = frames(1, size=(30, 41))
    as_image = processor.image_processor(images=[Image.fromarray(still[0])], return_tensors="pt")
    as_video = processor.video_processor([still], do_sample_frames=False, return_tensors="pt")
    torch.testing.assert_close(as_image["pixel_values"], as_video[TOWERS[0]][0, :1], atol=1e-6, rtol=0)
    torch.testing.assert_close(as_image["pixel_values_internvideo2"], as_video[TOWERS[1]][0, :1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", [5, 12, 13, 24, 25, 50, 333])
def test_fixed_point_bilinear_is_close_to_the_float_one(side):
    frame = frames(1, side, (side, side))[0]
    tensor = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, size=(12, 12), mode="bilinear", align_corners=False)
    actual = torch.from_numpy(resize_bilinear(frame, 12)).permute(2, 0, 1)[None].float()
    assert (actual - expected).abs().max() <= 1


def test_padding_is_centred():
    frame = frames(1, size=(5, 8))[0]
    square = pad_to_square(frame, (1, 2, 3))
    assert square.shape == (8, 8, 3)
    assert (square[1:6] == frame).all()
    assert (square[[0, 6, 7]] == (1, 2, 3)).all()


def test_numbers_and_times_as_text():
    words = {
        0: "zero",
        1: "one",
        13: "thirteen",
        20: "twenty",
        21: "twenty-one",
        100: "one hundred",
        105: "one hundred and five",
        999: "nine hundred and ninety-nine",
        1000: "one thousand",
        1001: "one thousand and one",
        1234: "one thousand, two hundred and thirty-four",
        21_100: "twenty-one thousand, one hundred",
    }
    assert {number: number_in_words(number) for number in words} == words
    for number in (-1, 10**6):
        with pytest.raises(ValueError, match="0 to 999,999"):
            number_in_words(number)
    assert timestamp(0.15, 0.45) == "0.2-0.4 seconds: "
    assert timestamp(3599.96, 7200) == "3600.0-7200.0 seconds: "
    assert "from a 1 day, 1:00:00 [H" in video_preamble([(0, 1)], timedelta(hours=25).total_seconds(), 2, "")


def test_saved_and_loaded_is_the_same(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    chat = ask({"type": "video", "video": frames(60)})
    first, second = encode(processor, chat), encode(loaded, chat)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_cut_prompts_are_refused(processor):
    with pytest.raises(ValueError, match="Mismatch"):
        encode(processor, ask({"type": "video", "video": frames(96)}), truncation=True, max_length=60)
