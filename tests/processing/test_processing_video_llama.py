# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's processor: markers, sentences on frames, sounds, ragged batches, templates, sampling."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from sounds import tones, write_sound
from tiny_video_llama import AUDIO_TOKENS, GOLDENS, VIDEO_TOKENS, tiny_processor
from transformers.video_utils import VideoMetadata

from video_lmms.processing.audio_reader import NoAudioStreamError
from video_lmms.processing.chat_templates_video_llama import DEMO_SYSTEM, LLAMA_SYSTEM, PROMPTS
from video_lmms.processing.frame_sampling_video_llama import (
    headtail_indices,
    original_uniform_indices,
    uniform_indices,
)
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.video_errors import VideoError


CLIP = GOLDENS / "vicuna_video8" / "clip.mp4"
IMAGE = Image.fromarray(np.full((30, 40, 3), 200, np.uint8))


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def llama():
    return tiny_processor("llama_v2")


def ask(*media, question="What is it?"):
    return [{"role": "user", "content": [*media, {"type": "text", "text": question}]}]


def moving(frames, seed=0):
    return {"type": "video", "video": np.random.default_rng(seed).integers(0, 255, (frames, 9, 12, 3), np.uint8)}


def encode(processor, chat, *args, processor_kwargs=None, **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(chat, **settings, **options, processor_kwargs=processor_kwargs)


def counts(processor, inputs):
    """Placeholders of images, videos and sounds in the first row."""
    ids = inputs["input_ids"][0].tolist()
    return [ids.count(getattr(processor, f"{kind}_token_id")) for kind in ("image", "video", "audio")]


def test_every_medium_gets_its_own_placeholders(processor):
    chat = ask(
        {"type": "image", "image": IMAGE},
        moving(9),
        {"type": "audio", "audio": np.zeros(16000, np.float32)},
        {"type": "video", "path": str(CLIP)},
    )
    inputs = encode(processor, chat)
    assert counts(processor, inputs) == [VIDEO_TOKENS, 2 * VIDEO_TOKENS, AUDIO_TOKENS]
    assert inputs["pixel_values"].shape[0] == 1
    assert inputs["pixel_values_videos"].shape[:2] == (2, 8)
    assert inputs["input_features"].shape == (1, 8, 1, 128, 204)
    # Whatever order the kinds are tokenised in, the runs stand where the chat has them.
    ids = [token for token in inputs["input_ids"][0].tolist() if token >= processor.image_token_id]
    kinds = [ids[0]] + [new for old, new in zip(ids, ids[1:], strict=False) if old != new]
    order = [processor.image_token_id, processor.video_token_id, processor.audio_token_id, processor.video_token_id]
    assert kinds == order


def test_the_prompt_reads_as_the_originals(processor):
    chat = ask({"type": "image"}, {"type": "video"}, {"type": "audio"}, {"type": "video"})
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    assert prompt.count("<ImageHere>") == 4
    assert "<VideoHere>" not in prompt
    assert "<AudioHere>" not in prompt


@pytest.mark.parametrize(("given", "prompt", "expected"), [
    (["image"], "<Image><ImageHere></Image> a", "<Image><ImageHere></Image> a"),
    (["video"], "<Video><ImageHere></Video> a", "<Video><VideoHere></Video> a"),
    (["video"], "<ImageHere> a", "<VideoHere> a"),
    (["image"], "<ImageHere> a", "<ImageHere> a"),
    (["audio"], "<ImageHere> a", "<AudioHere> a"),
    (["video", "audio"], "<ImageHere> <Video><ImageHere></Video>", "<AudioHere> <Video><VideoHere></Video>"),
    (["video"], "<Vision><ImageHere></Vision>", "<Vision><VideoHere></Vision>"),
    (["image"], "<Vision><ImageHere></Vision>", "<Vision><ImageHere></Vision>"),
    (["image", "video", "audio"], "<ImageHere> <VideoHere> <AudioHere>", "<ImageHere> <VideoHere> <AudioHere>"),
    (["image", "video"], "<VideoHere> <Image><ImageHere></Image>", "<VideoHere> <Image><ImageHere></Image>"),
])  # fmt: skip
def test_markers_are_told_apart(processor, given, prompt, expected):
    assert processor.tell_markers_apart(prompt, given) == expected
    assert len(expected) == len(prompt)  # so that offsets into the prompt stay true


def test_an_ambiguous_marker_is_refused(processor):
    with pytest.raises(ValueError, match="may be an image or a video.*<VideoHere>"):
        processor(text="<Vision><ImageHere></Vision>", images=IMAGE, videos=[moving(3)["video"]])


def test_the_sentence_follows_the_sampling(processor):
    part = {"type": "video", "path": str(CLIP)}
    prompt = processor.apply_chat_template(ask(part), add_generation_prompt=True)
    assert "The video contains 8 frames sampled at 0.0, " in prompt
    prompt = processor.apply_chat_template(ask(part), processor_kwargs={"num_frames": 3})
    assert "The video contains 3 frames sampled at 0.0, " in prompt
    inputs = encode(processor, ask(part), processor_kwargs={"num_frames": 3})
    assert inputs["pixel_values_videos"].shape[1] == 3
    assert "contains 3 frames" in processor.decode(inputs["input_ids"][0])
    trimmed = part | {"start": 1.0, "end": 2.0}
    prompt = processor.apply_chat_template(ask(trimmed), processor_kwargs={"num_frames": 2})
    assert "The video contains 2 frames sampled at 1.0, 1.5 seconds. " in prompt
    prompt = processor.apply_chat_template(ask(part), processor_kwargs={"do_sample_frames": False})
    assert "The video contains 37 frames sampled at 0.0, 0.1, " in prompt
    # The same clip as bytes, in memory, and with a sentence of the caller's.
    same = processor.apply_chat_template(ask({"type": "video", "video": CLIP.read_bytes()}))
    assert same == processor.apply_chat_template(ask(part))
    assert "contains" not in processor.apply_chat_template(ask(moving(5)))
    assert "x: A clip. " in processor.apply_chat_template(ask(part | {"timestamps": "x: A clip. "}))
    assert "contains" not in processor.apply_chat_template(ask(part), chat_template="first_release")


def test_system_texts(processor, llama):
    video, sound = {"type": "video"}, {"type": "audio"}
    expected = [
        (processor, ask(video), f"{DEMO_SYSTEM}###Human: <Video>"),
        (processor, ask(), "###Human: What"),
        (processor, ask(sound, video), "###Human: Close your eyes"),
        (llama, ask(video), f"[INST] <<SYS>>\n{DEMO_SYSTEM}\n<</SYS>>\n\n<Video>"),
        (llama, ask(), f"[INST] <<SYS>>\n{LLAMA_SYSTEM}\n<</SYS>>\n\nWhat"),
        (llama, ask(sound, video), "[INST] <<SYS>>\n\n<</SYS>>\n\nClose your eyes"),
    ]
    for one, chat, start in expected:
        assert one.apply_chat_template(chat).startswith(start)
        own = [{"role": "system", "content": "Be brief."}, *chat]
        assert "Be brief." in one.apply_chat_template(own)
        assert DEMO_SYSTEM not in one.apply_chat_template(own)


def test_several_media_of_one_turn(processor, llama):
    """Vicuna has a turn per upload, as the demo; Llama 2 has one instruction."""
    chat = ask({"type": "image"}, {"type": "image"})
    assert processor.apply_chat_template(chat).endswith(
        "###Human: <Image><ImageHere></Image> ###Human: <Image><ImageHere></Image>  What is it?###"
    )
    assert llama.apply_chat_template(chat).endswith(
        "<Image><ImageHere></Image>  <Image><ImageHere></Image>  What is it? [/INST]"
    )
    alone = [{"role": "user", "content": [{"type": "image"}]}, *ask(question="What?")]
    assert processor.apply_chat_template(alone).endswith("Human: <Image><ImageHere></Image>  What?###")


def test_turns_with_media_in_the_middle(llama):
    chat = [
        *ask({"type": "image"}, question="What?"),
        {"role": "assistant", "content": "A dog."},
        *ask({"type": "video"}, question="And here?"),
    ]
    prompt = llama.apply_chat_template(chat, add_generation_prompt=True)
    assert prompt.endswith("What? [/INST] A dog. </s><s>[INST] <Video><ImageHere></Video>  And here? [/INST]")


@pytest.mark.parametrize("style", ["vicuna", "llama_v2"])
def test_only_answers_are_marked(processor, llama, style):
    one = {"vicuna": processor, "llama_v2": llama}[style]
    chat = [*ask({"type": "video", "path": str(CLIP)}), {"role": "assistant", "content": "A dog."}]
    chat += [*ask(question="Where?"), {"role": "assistant", "content": "Here."}]
    inputs = one.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_tensors="pt", return_assistant_tokens_mask=True
    )
    marked = inputs["input_ids"][inputs["assistant_masks"].bool()]
    end = "###" if style == "vicuna" else "</s>"
    assert one.tokenizer.decode(marked).replace(" ", "") == f"Adog.{end}Here.{end}"


def test_a_clip_brings_its_own_sound(processor, tmp_path):
    """As the sound before it, read from the same file; without one there is an error that names the remedy."""
    with pytest.raises(NoAudioStreamError, match="missing_audio=.silence."):
        encode(processor, ask({"type": "video", "path": str(CLIP)}), use_audio_in_video=True)
    inputs = encode(
        processor,
        ask({"type": "video", "path": str(CLIP)}),
        use_audio_in_video=True,
        processor_kwargs={"missing_audio": "silence"},
    )
    assert counts(processor, inputs) == [0, VIDEO_TOKENS, AUDIO_TOKENS]
    silence = processor.feature_extractor([np.zeros(32000, np.float32)], return_tensors="pt")["input_features"]
    torch.testing.assert_close(inputs["input_features"], silence)
    prompt = processor.apply_chat_template(ask({"type": "video", "path": str(CLIP)}), use_audio_in_video=True)
    assert "Close your ears, open your eyes" in prompt
    assert "The video contains" not in prompt


def test_a_clip_with_sound_is_heard(processor, tmp_path):
    clip = write_sound(tmp_path / "clip.mp4", tones(1.5, 16000), 16000, codec="aac", video_frames=12)
    inputs = encode(processor, ask({"type": "video", "path": str(clip)}), use_audio_in_video=True)
    heard = processor.feature_extractor(str(clip), return_tensors="pt")["input_features"]
    assert torch.equal(inputs["input_features"], heard)
    assert inputs["pixel_values_videos"].shape[:2] == (1, 8)


def test_a_sound_file_is_read(processor, tmp_path):
    file = write_sound(tmp_path / "tone.wav", tones(1.5, 16000), 16000)
    inputs = encode(processor, ask({"type": "audio", "path": str(file)}))
    assert counts(processor, inputs) == [0, 0, AUDIO_TOKENS]
    again = processor(text="<ImageHere> What?", audio=str(file), return_tensors="pt")
    assert torch.equal(again["input_features"], inputs["input_features"])


def test_ragged_videos_are_padded_and_masked(processor):
    chats = [ask(moving(8)), ask(), ask(moving(3, 1), moving(5, 2))]
    inputs = encode(processor, chats, processor_kwargs={"padding": True})
    assert inputs["pixel_values_videos"].shape[:2] == (3, 8)
    assert inputs["frame_mask"].sum(-1).tolist() == [8, 3, 5]
    for row, (frames, seed) in enumerate(((8, 0), (3, 1), (5, 2))):
        (alone,) = processor.video_processor([moving(frames, seed)["video"]])["pixel_values_videos"]
        assert torch.equal(inputs["pixel_values_videos"][row, :frames], alone)
        assert (inputs["pixel_values_videos"][row, frames:] == 0).all()
    assert inputs["frame_mask"][1].tolist() == [1] * 3 + [0] * 5
    same = processor.video_processor([moving(5)["video"], moving(5, 1)["video"]], return_tensors="pt")
    assert "frame_mask" not in same


def test_counts_are_checked(processor):
    """By transformers' newer releases, and on older ones by ours."""
    wrong = (
        {"text": "<ImageHere> <ImageHere>", "videos": [moving(3)["video"]]},
        {"text": "<Image><ImageHere></Image>"},
        {"text": "What?", "images": IMAGE},
        {"text": "<ImageHere>", "audio": [np.zeros(9, np.float32)] * 2},
    )
    for inputs in wrong:
        with pytest.raises(ValueError, match=r"<(Image|Video|Audio)Here> tokens"):
            processor(**inputs)
    with pytest.raises(ValueError, match="at least one input"):
        processor()


def test_tokens_are_known_beforehand(processor):
    assert processor.num_video_tokens(VideoMetadata(total_num_frames=9000)) == VIDEO_TOKENS
    known = processor._get_num_multimodal_tokens([(9, 9)], [(4, 9, 9)], [16000, 5])
    assert (known.num_image_tokens, known.num_video_tokens) == ([VIDEO_TOKENS], [VIDEO_TOKENS])
    assert known.num_audio_tokens == [AUDIO_TOKENS] * 2


def test_uniform_sampling_is_the_formula():
    for total in range(1, 300):
        for count in (1, 3, 7, 8, 20, 32):
            taken = uniform_indices(total, count)
            n = min(total, count)
            assert taken == [k * total // n for k in range(n)]
            assert all(0 <= index < total for index in taken)
        # The number that every published model uses is free of the original's rounding errors.
        assert original_uniform_indices(total, 8) == uniform_indices(total, 8)
    assert original_uniform_indices(17, 7) == [0, 2, 4, 7, 9, 12, 14, 17]  # the last is not there
    assert uniform_indices(17, 7) == [0, 2, 4, 7, 9, 12, 14]


def test_other_ways_to_sample(processor):
    videos, clip = processor.video_processor, VideoMetadata(total_num_frames=61, fps=10.0)
    assert len(videos.sample_frames(clip, num_frames=7)) == 7
    assert len(videos.sample_frames(clip, num_frames=7, sampling="original_uniform")) == 8
    random.seed(5)
    drawn = videos.sample_frames(clip, sampling="headtail")
    assert drawn == headtail_indices(61, 8, random.Random(5))
    assert sum(index < 30 for index in drawn) == 4
    assert len(videos.sample_frames(clip, fps=2)) == 12
    assert videos.sample_frames(clip, start=2.0, end=3.0, num_frames=2) == [20, 25]
    for options in ({"start": 9.0}, {"start": 3.0, "end": 2.0}):
        with pytest.raises(ValueError, match=r"choose a span between 0 and 6.10 s"):
            videos.sample_frames(clip, **options)
    with pytest.raises(ValueError, match="frame rate"):
        videos.sample_frames(VideoMetadata(total_num_frames=9), fps=3)


def test_backends(processor):
    """The exact one resizes while decoding; another one afterwards, close but not equal."""
    exact = processor.video_processor([str(CLIP)], return_tensors="pt")["pixel_values_videos"]
    other = processor.video_processor([str(CLIP)], return_tensors="pt", backend="torchvision")["pixel_values_videos"]
    assert exact.shape == other.shape
    assert 0 < (exact - other).abs().mean() < 0.3
    whole = processor.video_processor([str(CLIP)], do_resize=False)["pixel_values_videos"][0]
    assert whole.shape[-2:] == (48, 64)


def test_unreadable_videos_are_named(processor, tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    with pytest.raises(VideoError, match=r"notes\.mp4"):
        processor.apply_chat_template(ask({"type": "video", "path": str(tmp_path / "notes.mp4")}))


@pytest.mark.parametrize("name", PROMPTS)
def test_named_templates_render_one_marker(processor, name):
    text = processor.apply_chat_template(ask({"type": "video"}), chat_template=name, add_generation_prompt=True)
    assert text.count("<ImageHere>") == 1
    assert text.endswith("[/INST]" if PROMPTS[name].instruct else "###Assistant:")


def test_answers_end_before_the_stop(processor, llama):
    ids = processor.tokenizer(["A dog.###", "A dog"], add_special_tokens=False)["input_ids"]
    assert [processor.post_process_image_text_to_text([row])[0] for row in ids] == ["A dog.", "A dog"]
    assert processor.batch_decode(ids, skip_special_tokens=True) == ["A dog.", "A dog"]
    assert processor.decode(ids[0], skip_special_tokens=True) == "A dog."
    assert processor.decode(ids[0]) == "A dog.###"
    assert (processor.stop_string, llama.stop_string) == ("###", "</s>")


def test_saving_keeps_everything(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = VideoLlamaProcessor.from_pretrained(tmp_path)
    assert again.chat_template == processor.chat_template
    for part in ("video_processor", "image_processor", "feature_extractor"):
        assert getattr(again, part).to_dict() == getattr(processor, part).to_dict()
    assert (again.prompt_style, again.num_video_query_tokens) == ("vicuna", VIDEO_TOKENS)
    text = "###Human: <Video><ImageHere></Video>  x###Assistant: y###"
    assert again.tokenizer(text)["input_ids"] == processor.tokenizer(text)["input_ids"]
