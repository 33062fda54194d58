# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the processors of all models share, shown on PLLaVA's."""

import io

import numpy as np
import pytest
import torch
from clips import read_number
from PIL import Image
from tiny_pllava import NUM_FRAMES, tiny_processor
from transformers import AutoProcessor

from video_lmms.processing.frame_sampling_pllava import repeat_distinct, uniform_indices
from video_lmms.processing.processing_video_lmm import PromptVideos, spans_before_expansion
from video_lmms.processing.video_errors import VideoSourceError


QUESTION = {"type": "text", "text": "What is it?"}


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def chat(*media):
    return [{"role": "user", "content": [*media, QUESTION]}]


def encode(processor, conversation, **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(conversation, **settings, **options)


def noise(frames=5, height=20, width=30):
    return np.random.default_rng(frames).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)


@pytest.fixture
def frame_files(tmp_path):
    video = noise()
    paths = [str(tmp_path / f"{number}.png") for number in range(len(video))]
    for frame, path in zip(video, paths, strict=True):
        Image.fromarray(frame).save(path)
    return video, paths


def test_a_saved_processor_answers_as_before(processor, tmp_path):
    """A saved tokenizer records a `backend`, which must not reach the video processor's option of that name."""
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert again.tokenizer.init_kwargs["backend"] == "tokenizers"
    inputs = encode(processor, chat({"type": "video", "video": noise()}))
    for name, value in encode(again, chat({"type": "video", "video": noise()})).items():
        assert torch.equal(value, inputs[name]), name


@pytest.mark.parametrize("sample", [False, True])
def test_frames_in_files_make_one_video(processor, frame_files, sample):
    video, paths = frame_files
    options = {"do_sample_frames": sample}
    expected = encode(processor, chat({"type": "video", "video": video}), processor_kwargs=options)
    inputs = encode(processor, chat({"type": "video", "video": paths}), processor_kwargs=options)
    assert inputs["pixel_values_videos"].shape[1] == (NUM_FRAMES if sample else len(video))
    assert torch.equal(inputs["pixel_values_videos"], expected["pixel_values_videos"])
    two = encode(processor, chat(*[{"type": "video", "video": paths}] * 2), processor_kwargs=options)
    assert torch.equal(two["pixel_values_videos"][1:], expected["pixel_values_videos"])


def test_frames_in_memory_make_one_video(processor):
    video = noise()
    expected = encode(processor, chat({"type": "video", "video": video}))["pixel_values_videos"]
    for form in ([Image.fromarray(frame) for frame in video], list(video), torch.from_numpy(video)):
        assert torch.equal(encode(processor, chat({"type": "video", "video": form}))["pixel_values_videos"], expected)


def test_files_and_bytes_in_direct_calls(processor, clip):
    path = clip("h264.mp4")
    text = "USER:<image> What is it? ASSISTANT:"
    expected = processor(text=text, videos=str(path), return_tensors="pt")["pixel_values_videos"]
    data = path.read_bytes()
    for form in (path, data, bytearray(data), io.BytesIO(data), [path], [[io.BytesIO(data)]]):
        assert torch.equal(processor(text=text, videos=form, return_tensors="pt")["pixel_values_videos"], expected)
    with pytest.raises(VideoSourceError, match="none.mp4"):
        processor(text=text, videos=path.with_name("none.mp4"))


def test_videos_go_to_the_prompt_that_names_them(processor):
    videos = [noise(frames) for frames in (3, 4, 5)]
    prompts = ["USER:<image><image> x", "USER: y", "USER:<image> z"]
    groups = processor.group_by_prompt(videos, prompts)
    assert [type(group) for group in groups] == [PromptVideos] * 2
    assert [[len(video) for video in group] for group in groups] == [[3, 4], [5]]
    flat = processor(text=prompts, videos=videos, padding=True, return_tensors="pt")
    nested = processor(text=prompts, videos=[videos[:2], [], videos[2:]], padding=True, return_tensors="pt")
    for name, value in flat.items():
        assert torch.equal(nested[name], value), name
    assert (flat["input_ids"] == processor.video_token_id).sum(-1).tolist() == [
        2 * processor.tokens_per_medium,
        0,
        processor.tokens_per_medium,
    ]


def test_a_batch_of_chats_equals_its_members(processor, clip):
    chats = [
        chat({"type": "video", "path": str(clip("h264.mp4"))}),
        chat({"type": "text", "text": "No video."}),
        chat({"type": "video", "path": str(clip("vp9.webm"))}, {"type": "video", "path": str(clip("one.mp4"))}),
    ]
    batch = encode(processor, chats, processor_kwargs={"padding": True})
    pixels = iter(batch["pixel_values_videos"])
    for row, conversation in enumerate(chats):
        single = encode(processor, conversation)
        kept = batch["input_ids"][row][batch["attention_mask"][row].bool()]
        assert torch.equal(kept, single["input_ids"][0])
        for video in single.get("pixel_values_videos", []):
            assert torch.equal(next(pixels), video)
    assert next(pixels, None) is None


def test_an_animation_repeats_its_distinct_frames(processor, clip):
    """It is sampled at the fixed rate that the original takes for it; too few frames are cycled, not stretched."""
    videos = processor.video_processor
    options = {"num_frames": 40, "do_resize": False, "do_rescale": False, "do_normalize": False}
    output = videos(str(clip("animation.gif")), return_metadata=True, **options)
    (metadata,) = output["video_metadata"]
    expected = repeat_distinct(uniform_indices(30, 40))
    assert metadata.codec == "gif"
    assert metadata.frames_indices == expected
    assert expected[:30] == list(range(29)) + [0]
    shown = [read_number(frame.permute(1, 2, 0).numpy()) for frame in output["pixel_values_videos"][0]]
    assert shown == expected
    # A quarter of a second is 6 frames at 25 per second, whatever the file says.
    early = videos.sample_frames(metadata, end=0.25)
    assert max(early) <= 6


def test_types_tell_images_from_videos(processor):
    """Although both have one placeholder."""
    frame = noise()[0]
    options = {"text": "USER:<image> x", "return_mm_token_type_ids": True}
    for media, kind in (({"images": [frame]}, 1), ({"videos": [noise()]}, 2)):
        for form in (None, "pt", "np"):
            output = processor(**options, **media, return_tensors=form)
            types, ids = np.asarray(output["mm_token_type_ids"]), np.asarray(output["input_ids"])
            assert (types == np.where(ids == processor.image_token_id, kind, 0)).all()


def test_spans_move_back_over_expanded_placeholders():
    text = "ab<v>cd<v>ef"
    expanded = "ab" + "<v>" * 3 + "cd" + "<v>" * 2 + "ef"
    replacements = [{"span": (2, 5), "new_span": (2, 11)}, {"span": (7, 10), "new_span": (13, 19)}]
    empty = (0, 0)  # padding and added special tokens
    visual = [(2, 5), (5, 8), (8, 11)], [(13, 16), (16, 19)]
    spans = [empty, empty, (0, 2), *visual[0], (11, 13), *visual[1], (19, 21), empty]
    back = spans_before_expansion(spans, replacements)
    assert [start for start, _ in back] == sorted(start for start, _ in back)
    for (start, end), (old_start, old_end) in zip(spans, back, strict=True):
        word = expanded[start:end]
        assert text[old_start:old_end] == word or word == "<v>"
    assert back[:3] == [(0, 0), (0, 0), (0, 2)]
    assert back[6] == (5, 7)
    assert back[9:] == [(10, 12), (12, 12)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_answers_are_marked_in_padded_batches(processor, side):
    answers = ("A dog.", "Two cats and a bird.")
    chats = []
    for answer, media in zip(answers, (2, 1), strict=True):
        videos = [{"type": "video", "video": noise()}] * media
        turn = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        chats.append([*chat(*videos), turn, *chat(), turn])
    inputs = processor.apply_chat_template(
        chats,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": side},
    )
    marked = inputs["assistant_masks"].bool()
    assert not (marked & ~inputs["attention_mask"].bool()).any()
    for row, answer in enumerate(answers):
        spoken = processor.tokenizer.decode(inputs["input_ids"][row][marked[row]])
        assert spoken.replace(" ", "") == f"{answer}</s>".replace(" ", "") * 2
