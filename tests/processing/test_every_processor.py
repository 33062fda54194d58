# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user may hand in as a video, through the processor of every model."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import TINY_MODELS
from transformers.video_utils import VideoMetadata
from web import content

from video_lmms.data.collator import VideoChatCollator, VideoSeq2SeqCollator
from video_lmms.processing.video_errors import VideoLimitError, VideoSourceError


QUESTION = {"type": "text", "text": "What happens?"}
URL = "http://public.test/clip.mp4"


@pytest.fixture(scope="module", params=TINY_MODELS)
def model_type(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def processor(model_type):
    return TINY_MODELS[model_type].tiny_processor()


@pytest.fixture
def encode(processor) -> Callable:
    """Everything that the model gets of a chat of one turn with these parts, and with these options of the call."""

    def encoded(*parts, processor_kwargs=None, **options):
        settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
        options |= settings | ({"processor_kwargs": processor_kwargs} if processor_kwargs else {})
        return processor.apply_chat_template([{"role": "user", "content": [*parts, QUESTION]}], **options)

    return encoded


def video(source, **trimming) -> dict:
    return {"type": "video", "video": source, **trimming}


def assert_equal(first, second, but: tuple[str, ...] = ()) -> None:
    assert first.keys() == second.keys()
    for name in first.keys() - set(but):
        assert torch.equal(first[name], second[name]), name


def picture(number: int, height: int = 36, width: int = 48) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def frames() -> np.ndarray:
    return np.stack([picture(number) for number in range(9)])


def indices_of(processor, source, **options) -> list[int]:
    """Frames that are taken of a video of 90 frames in 3 seconds."""
    (metadata,) = processor.video_processor(source, return_metadata=True, **options)["video_metadata"]
    return metadata.frames_indices


def test_every_form_of_a_file_is_the_same_video(encode, clip, web):
    path = clip("h264.mp4")
    data = path.read_bytes()
    web.pages["/clip.mp4"] = content(data)
    with fsspec.open("memory://bucket/every.mp4", "wb") as stored:
        stored.write(data)
    expected = encode(video(str(path)))
    with path.open("rb") as opened:
        for form in (path, data, bytearray(data), io.BytesIO(data), opened, URL, "memory://bucket/every.mp4"):
            assert_equal(encode(video(form)), expected)
    assert web.asked == [("public.test", "/clip.mp4")]
    for key in ("path", "url"):
        assert_equal(encode({"type": "video", key: str(path)}), expected)


def test_every_form_of_frames_is_the_same_video(encode, frames, tmp_path):
    names = [str(tmp_path / f"{number:03d}.png") for number in range(len(frames))]
    pictures = [Image.fromarray(frame) for frame in frames]
    for name, image in zip(names, pictures, strict=True):
        image.save(name)
    expected = encode(video(frames))
    # LongVU was trained on sizes of image files in the other order.
    for form in (torch.from_numpy(frames), pictures, list(frames), list(torch.from_numpy(frames))):
        assert_equal(encode(video(form)), expected)
    for form in (names, [Path(name) for name in names], str(tmp_path), tmp_path):
        assert_equal(encode(video(form)), expected, but=("video_sizes",))


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animations_are_videos(encode, frames, tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=400)
    inputs = encode(video(str(path)))
    assert inputs["pixel_values_videos"].isfinite().all()
    assert inputs["pixel_values_videos"].flatten(0, -4).std(0).max() > 0  # several frames
    with path.open("rb") as opened:
        for form in (path, path.read_bytes(), opened):
            assert_equal(encode(video(form)), inputs)


def test_a_part_is_trimmed_for_itself(encode, processor, clip):
    """`start` and `end` of a video part are that video's alone, and those of a call are all videos'."""
    path = clip("h264.mp4")
    whole = indices_of(processor, path)
    assert whole[0] < 30
    assert whole[-1] >= 60
    trimmed = encode(video(path, start=1.0, end=2.0))
    assert_equal(encode(video(path), processor_kwargs={"start": 1.0, "end": 2.0}), trimmed)
    indices = indices_of(processor, path, start=1.0, end=2.0)
    assert indices
    assert all(30 <= index <= 60 for index in indices), indices
    two = encode(video(path, start=1.0, end=2.0), video(path))
    rows = len(trimmed["pixel_values_videos"])
    assert torch.equal(two["pixel_values_videos"][:rows], trimmed["pixel_values_videos"])
    assert torch.equal(two["pixel_values_videos"][rows:], encode(video(path))["pixel_values_videos"])


@pytest.mark.parametrize("trimming", [{"start": 2.0}, {"end": 1.0}])
def test_one_end_may_stay_open(processor, clip, trimming):
    indices = indices_of(processor, clip("h264.mp4"), **trimming)
    assert indices
    assert all(index >= 60 if "start" in trimming else index <= 30 for index in indices), indices


def test_trimming_behind_the_end_is_explained(processor, clip):
    with pytest.raises(ValueError, match="start"):
        processor.video_processor(clip("h264.mp4"), start=10.0, end=11.0)


def test_arrays_are_trimmed_by_the_rate_that_is_told(processor, frames):
    metadata = [VideoMetadata(total_num_frames=9, fps=3.0, duration=3.0)]
    indices = indices_of(processor, frames, video_metadata=metadata, start=1.0, end=2.0)
    assert indices
    assert set(indices) <= {3, 4, 5, 6}
    with pytest.raises(ValueError, match="frame rate"):
        processor.video_processor(frames, start=1.0, end=2.0)


def test_videos_and_images_mix(model_type, encode, processor, clip, frames):
    image = {"type": "image", "image": Image.fromarray(picture(99))}
    parts = [video(str(clip("h264.mp4"))), image, video(frames), image, video(clip("vp9.webm").read_bytes())]
    inputs = encode(*parts)
    ids = inputs["input_ids"]
    if model_type == "longvu":  # an image among videos is a video of one frame, which the model expands
        assert (ids == processor.video_token_id).sum() == inputs["num_frames"].numel() == len(parts)
        return
    alone = [encode(part)["input_ids"] for part in parts]
    for token in {processor.video_token_id, processor.image_token_id}:
        assert (ids == token).sum() == sum((single == token).sum() for single in alone) > 0, token


def test_limits_are_an_option_of_every_call(encode, processor, clip, web):
    path = clip("h264.mp4")
    web.pages["/clip.mp4"] = content(path.read_bytes())
    with pytest.raises(VideoLimitError, match="seconds"):
        encode(video(str(path)), processor_kwargs={"limits": {"seconds": 2}})
    with pytest.raises(VideoLimitError, match="larger than the limit of 99 bytes"):
        encode(video(URL), processor_kwargs={"limits": {"download_bytes": 99}})
    web.names["localhost"] = ["127.0.0.1"]
    with pytest.raises(VideoSourceError, match="private_addresses"):
        encode(video(f"http://localhost:{web.port}/clip.mp4"))
    private = f"http://localhost:{web.port}/clip.mp4"
    allowed = encode(video(private), processor_kwargs={"limits": {"private_addresses": True}})
    assert_equal(allowed, encode(video(str(path))))


def test_the_collator_trims_too(model_type, processor, clip):
    path = str(clip("h264.mp4"))
    collate = (VideoSeq2SeqCollator if model_type == "videotgb_t5" else VideoChatCollator)(processor)

    def row(**trimming):
        answer = {"role": "assistant", "content": [{"type": "text", "text": "It moves."}]}
        return {"messages": [{"role": "user", "content": [video(path, **trimming), QUESTION]}, answer]}

    batch, trimmed, whole = (
        collate([row(start=1.0, end=2.0), row()]),
        collate([row(start=1.0, end=2.0)]),
        collate([row()]),
    )
    rows = len(trimmed["pixel_values_videos"])
    assert torch.equal(batch["pixel_values_videos"][:rows], trimmed["pixel_values_videos"])
    assert torch.equal(batch["pixel_values_videos"][rows:], whole["pixel_values_videos"])
    # What a table with null entries gives for a part that is not trimmed.
    assert_equal(collate([row(start=None, end=None)]), whole)
