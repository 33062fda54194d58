# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""After `import video_lmms`, transformers' own Auto classes and pipelines know every model, in every form of video."""

from __future__ import annotations

import socket

import clips
import pytest
import torch
import transformers
from tiny_models import TINY_MODELS, save_plainly
from transformers import pipeline
from web import Web, content

from video_lmms.hub.checks import given_length
from video_lmms.processing.video_reader import VideoReader
from video_lmms.registration import ARCHITECTURES, register


NEW_TOKENS = 6
QUESTION = "What do you see?"
AUTO_CLASSES = {
    "AutoConfig": "config",
    "AutoModel": "model",
    "AutoModelForImageTextToText": "generation_model",
    "AutoModelForMultimodalLM": "generation_model",
    "AutoProcessor": "processor",
    "AutoVideoProcessor": "video_processor",
    "AutoImageProcessor": "image_processor",
}
TASKS = ("image-text-to-text", "any-to-any")


@pytest.fixture(scope="module", params=TINY_MODELS)
def model_type(request):
    return request.param


@pytest.fixture(scope="module")
def folder(model_type, tmp_path_factory):
    """A plain saved folder: no code, no auto_map."""
    target = tmp_path_factory.mktemp("models") / model_type
    save_plainly(model_type, target)
    return target


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """At the frame rate that is assumed of arrays, which carry none, so that both have the same times."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    clips.encode(path, "libx264", rate=24, options=clips.X264)
    return path


@pytest.fixture(scope="module")
def frames(clip):
    """All frames of the clip, (frames, height, width, 3) uint8."""
    with VideoReader.open(clip) as reader:
        return reader.read(range(len(reader)))


@pytest.fixture
def address(clip, monkeypatch):
    """The clip behind http, on a miniature internet."""
    internet = Web()
    internet.pages["/clip.mp4"] = content(clip.read_bytes())
    monkeypatch.setattr(socket, "getaddrinfo", internet.lookup)
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: internet.connect(sock, address))
    yield "http://public.test/clip.mp4"
    monkeypatch.undo()
    internet.close()


@pytest.fixture(scope="module")
def directly(folder):
    """Answers without any pipeline: to a chat, or to a prompt with its video."""
    model = transformers.AutoModelForMultimodalLM.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)

    def answer(question: list[dict] | str, video: object = None) -> str:
        if isinstance(question, str):
            inputs = processor(text=question, videos=[video], return_tensors="pt")
        else:
            settings = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
            inputs = processor.apply_chat_template(question, **settings)
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        return processor.decode(ids[0, given_length(model, inputs) :], skip_special_tokens=True)

    return answer


@pytest.fixture(scope="module")
def expected(directly, clip):
    return directly(chat({"path": str(clip)}))


@pytest.fixture(scope="module")
def expected_of_array(directly, frames, expected, model_type):
    answer = directly(chat({"video": frames}))
    # Video-LLaMA's frames are resized by the decoder, and its prompt says when they were taken: arrays know neither.
    # LongVU takes frames by the second, and every frame of an array, whose rate it does not know.
    assert model_type in ("longvu", "video_llama") or answer == expected
    return answer


@pytest.fixture(scope="module", params=TASKS)
def pipe(request, folder):
    return pipeline(request.param, model=str(folder), device="cpu")


def chat(video: dict) -> list[dict]:
    return [{"role": "user", "content": [{"type": "video", **video}, {"type": "text", "text": QUESTION}]}]


def ask(pipe, **inputs) -> list:
    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    return pipe(**inputs, return_full_text=False, generate_kwargs=settings)


@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
def test_auto_classes_give_our_classes(folder, model_type, auto_class):
    loaded = getattr(transformers, auto_class).from_pretrained(folder)
    assert type(loaded) is getattr(ARCHITECTURES[model_type], AUTO_CLASSES[auto_class])


def test_registering_again_changes_nothing(folder, model_type):
    register()
    assert type(transformers.AutoConfig.from_pretrained(folder)) is ARCHITECTURES[model_type].config


def test_saved_folders_hold_no_code(folder):
    assert not list(folder.glob("*.py"))
    assert "auto_map" not in (folder / "config.json").read_text()


@pytest.mark.parametrize("key", ["path", "url", "video"])
def test_pipelines_answer_chats_about_a_file(pipe, clip, expected, key):
    assert ask(pipe, text=chat({key: str(clip)}))[0]["generated_text"] == expected


def test_pipelines_answer_chats_about_a_url(pipe, address, expected):
    assert ask(pipe, text=chat({"url": address}))[0]["generated_text"] == expected


def test_pipelines_answer_chats_about_an_array(pipe, frames, expected_of_array):
    assert ask(pipe, text=chat({"video": frames}))[0]["generated_text"] == expected_of_array


def test_pipelines_answer_plain_prompts(pipe, directly, clip, frames):
    prompt = pipe.processor.apply_chat_template(chat({}), add_generation_prompt=True)
    for video in (str(clip), frames):
        answer = ask(pipe, text=prompt, videos=video)[0]["generated_text"]
        assert answer.removeprefix(prompt) == directly(prompt, video)


def test_pipelines_answer_several_chats(pipe, clip, frames, expected, expected_of_array):
    answers = ask(pipe, text=[chat({"path": str(clip)}), chat({"video": frames})])
    assert [answer[0]["generated_text"] for answer in answers] == [expected, expected_of_array]
