# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The server in this process: what it answers, what it refuses, and that it opens nothing it should not."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import clips
import pytest
from starlette.testclient import TestClient
from web import Web, content, redirect

from video_lmms.apps.conversation import Conversation
from video_lmms.apps.engine import AnswerOptions, Engine
from video_lmms.apps.media_door import MediaDoor
from video_lmms.apps.server import ServerLimits, build_app
from video_lmms.processing.video_errors import VideoLimits


QUESTION = "What do you see?"
LIMITS = ServerLimits(body_bytes=1 << 20, media=3, new_tokens=64)


@pytest.fixture(scope="module")
def root(tmp_path_factory, clip, picture) -> Path:
    """A folder of media beside a file that is nobody's business."""
    folder = tmp_path_factory.mktemp("served")
    media = folder / "media"
    media.mkdir()
    (media / "clip.mp4").write_bytes(clip.read_bytes())
    (media / "picture.png").write_bytes(picture.read_bytes())
    (media / "text.mp4").write_text("no video")
    (folder / "secret.mp4").write_bytes(clip.read_bytes())
    (media / "link.mp4").symlink_to(folder / "secret.mp4")
    return media


@contextmanager
def serving(folder, root, limits=LIMITS, api_keys=(), **options):
    engine = Engine(str(folder), device="cpu", **options)
    app = build_app({"tiny": engine}, door=MediaDoor([root]), limits=limits, api_keys=api_keys)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.engine = engine
        yield client


@pytest.fixture(scope="module")
def client(tiny_folder, root):
    with serving(tiny_folder("pllava"), root) as opened:
        yield opened


@pytest.fixture
def web(monkeypatch):
    """A miniature internet in the place of the real one."""
    net = Web()
    monkeypatch.setattr(socket, "getaddrinfo", net.lookup)
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: net.connect(sock, address))
    yield net
    monkeypatch.undo()
    net.close()


def message(*urls, question=QUESTION):
    parts = [{"type": f"{kind}_url", f"{kind}_url": {"url": url}} for kind, url in urls]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


def body(*urls, **fields):
    return {"model": "tiny", "max_tokens": 4, "messages": [message(*urls)]} | fields


def ask(client, *urls, **fields):
    return client.post("/v1/chat/completions", json=body(*urls, **fields))


def data_url(path, kind="video/mp4"):
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def text_of(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def events_of(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def expected(client, *videos, options=AnswerOptions(max_new_tokens=4)):  # noqa: B008, it is frozen
    conversation = Conversation()
    conversation.ask(QUESTION, videos=videos)
    return client.engine.answer(conversation, options)


def refusal(response, status, code):
    """The error of a refused request, in OpenAI's form."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code, error
    return error


def test_an_answer_is_the_engines(client, clip):
    response = ask(client, ("video", "clip.mp4"))
    answer = expected(client, clip)
    assert text_of(response) == answer.text
    found = response.json()
    assert (found["object"], found["model"]) == ("chat.completion", "tiny")
    assert found["usage"]["prompt_tokens"] == answer.prompt_tokens
    assert found["usage"]["completion_tokens"] == answer.new_tokens
    assert found["choices"][0]["finish_reason"] == answer.finish_reason
    assert "videos" not in found


def test_a_stream_is_the_same_answer(client, clip):
    events = events_of(ask(client, ("video", "clip.mp4"), stream=True, stream_options={"include_usage": True}))
    *chunks, last = events
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    answer = expected(client, clip)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == answer.text
    assert chunks[-1]["choices"][0]["finish_reason"] == answer.finish_reason
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == answer.prompt_tokens + answer.new_tokens
    plain = events_of(ask(client, ("video", "clip.mp4"), stream=True))
    assert all("usage" not in event for event in plain)


def test_media_come_in_every_permitted_way(client, web, clip, picture, root):
    web.pages["/clip.mp4"] = content(clip.read_bytes())
    expected_text = expected(client, clip).text
    name = root.joinpath("clip.mp4")
    for url in ("clip.mp4", "./clip.mp4", str(name), name.as_uri(), data_url(clip), "http://public.test/clip.mp4"):
        assert text_of(ask(client, ("video", url))) == expected_text
    assert text_of(ask(client, ("image", "picture.png"))) == text_of(
        ask(client, ("image", data_url(picture, "image/png")))
    )
    both = ask(client, ("image", "picture.png"), ("video", "clip.mp4"))
    assert both.json()["usage"]["prompt_tokens"] > ask(client, ("video", "clip.mp4")).json()["usage"]["prompt_tokens"]


def test_downloads_do_not_stay(client, web, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    web.pages["/clip.mp4"] = content(clip.read_bytes())
    web.pages["/text.mp4"] = content(b"no video at all")
    text_of(ask(client, ("video", "http://public.test/clip.mp4")))
    error = refusal(ask(client, ("video", "http://public.test/text.mp4")), 400, "invalid_media")
    assert error["message"].startswith("http://public.test/text.mp4: not a video")
    refusal(ask(client, ("video", "http://public.test/missing.mp4")), 400, "invalid_media")
    assert list(tmp_path.iterdir()) == []


def test_several_turns_encode_once(client, clip):
    client.engine.memory.clear()
    turns = [message(("video", "clip.mp4"))]
    before = client.engine.memory.misses
    for question in ("And then?", "What else?"):
        said = text_of(client.post("/v1/chat/completions", json=body(messages=turns)))
        turns += [{"role": "assistant", "content": said or "Nothing."}, {"role": "user", "content": question}]
    text_of(client.post("/v1/chat/completions", json=body(messages=turns)))
    assert client.engine.memory.misses == before + 1
    assert f'video_lmms_media_encoded_total{{model="tiny"}} {before + 1}' in client.get("/metrics").text


def test_the_model_samples_by_its_own_rule_unless_told(client, clip):
    own = expected(client, clip).videos[0]["frames_indices"]
    assert ask(client, ("video", "clip.mp4"), return_frames=True).json()["videos"][0]["frames_indices"] == own
    for fields in ({"num_frames": 3}, {"chat_template_kwargs": {"num_frames": 3}}):
        (video,) = ask(client, ("video", "clip.mp4"), return_frames=True, **fields).json()["videos"]
        assert len(video["frames_indices"]) == len(video["times"]) == 3 != len(own)
    (event,) = [
        event
        for event in events_of(ask(client, ("video", "clip.mp4"), stream=True, return_frames=True))
        if "videos" in event
    ]
    assert event["videos"][0]["frames_indices"] == own


def test_a_part_of_a_video_can_be_named(client):
    part = {"type": "video_url", "video_url": {"url": "clip.mp4", "start": 1, "end": 2.0}}
    turn = {"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}
    (video,) = client.post("/v1/chat/completions", json=body(messages=[turn], return_frames=True)).json()["videos"]
    assert all(1 <= second <= 2 for second in video["times"])
    part["video_url"]["start"] = 7  # behind the end
    refusal(client.post("/v1/chat/completions", json=body(messages=[turn])), 400, "invalid_request")


def test_sounds_are_heard_where_there_are_ears(tiny_folder, root, tmp_path):
    sound = data_url(clips.make("sound.mp4", tmp_path), "audio/mp4")
    part = {"type": "input_audio", "input_audio": {"data": sound.partition(",")[2], "format": "mp4"}}
    turn = {"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}
    with serving(tiny_folder("video_llama"), root) as opened:
        answer = opened.post("/v1/chat/completions", json=body(messages=[turn]))
        assert text_of(answer) == text_of(opened.post("/v1/chat/completions", json=body(messages=[turn])))
        assert opened.engine.memory.hits == 1


def test_generation_options_act(client):
    def draw(**fields):
        return text_of(ask(client, ("video", "clip.mp4"), max_tokens=24, **fields))

    assert draw(temperature=2, seed=1) == draw(temperature=2, seed=1)
    assert len({draw(temperature=2, seed=seed) for seed in range(6)}) > 1
    assert draw(temperature=2, top_p=0, seed=1) == draw()
    whole = draw(temperature=2, seed=2)
    assert draw(temperature=2, seed=2, stop=whole[3:5]) == whole[: whole.index(whole[3:5])].rstrip()


@pytest.mark.parametrize(
    "url",
    [
        "../secret.mp4",
        "file:///etc/hostname",
        "/etc/hostname",
        "..%2fsecret.mp4",
        "link.mp4",
        "missing.mp4",
        "a\x00b",
        "x" * 9000,
        ".",
        "file://elsewhere/clip.mp4",
        "ftp://public.test/clip.mp4",
        "s3://bucket/clip.mp4",
        "javascript:alert(1)",
        "http://127.0.0.1:9/clip.mp4",
        "http://localhost/clip.mp4",
        "http://10.0.0.1/clip.mp4",
        "http://[::1]/clip.mp4",
        "http://2130706433/clip.mp4",
        "http://user@public.test/clip.mp4",
        "http://public.test/to-private",
        "http://public.test/missing",
        "data:video/mp4;base64,@@@@",
        "data:video/mp4,plain",
        "data:text/html;base64,AAAA",
        "data:video/mp4;base64,",
    ],
)
def test_media_of_others_are_refused(client, web, root, url):
    web.pages["/to-private"] = redirect("http://127.0.0.1:9/secret")
    error = refusal(ask(client, ("video", url)), 400, "invalid_media")
    assert str(root.parent) not in error["message"]
    assert web.strangers == []
    assert not web.listener_was_reached


def test_without_a_root_no_file_is_opened(tiny_folder, clip):
    app = build_app({"tiny": client_engine(tiny_folder)}, limits=LIMITS)
    with TestClient(app) as opened:
        assert "opens no files" in refusal(ask(opened, ("video", str(clip))), 400, "invalid_media")["message"]


def client_engine(tiny_folder):
    return Engine(str(tiny_folder("pllava")), device="cpu")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messages": []}, "invalid_value"),
        ({"messages": "hello"}, "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "invalid_value"),
        ({"messages": [{"role": "user", "content": []}]}, "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": 3}}]}]},
            "invalid_value",
        ),
        ({"messages": [{"role": "user"}]}, "invalid_value"),
        ({"temperature": -1}, "invalid_value"),
        ({"temperature": "hot"}, "invalid_value"),
        ({"temperature": True}, "invalid_value"),
        ({"top_p": 2}, "invalid_value"),
        ({"max_tokens": 0}, "invalid_value"),
        ({"max_tokens": 65}, "invalid_value"),
        ({"max_tokens": 1.5}, "invalid_value"),
        ({"stop": ["a"] * 5}, "invalid_value"),
        ({"stop": [""]}, "invalid_value"),
        ({"num_frames": 0}, "invalid_value"),
        ({"stream": "yes"}, "invalid_value"),
        ({"seed": 10**40}, "invalid_value"),
        ({"n": 2}, "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter"),
        ({"tempereature": 1}, "unknown_parameter"),
        ({"chat_template_kwargs": {"load_audio_from_video": True}}, "invalid_value"),
        ({"template": "poem"}, "invalid_request"),
        ({"use_audio_in_video": True, "messages": [message(("video", "clip.mp4"))]}, "invalid_request"),
        ({"context_length": 99, "messages": [message(("video", "clip.mp4"))]}, "invalid_request"),
        ({"messages": [message(*[("image", "picture.png")] * 4)]}, "too_many_media"),
        ({"messages": [message(("video", "text.mp4"))]}, "invalid_media"),
        ({"messages": [message(("image", "text.mp4"))]}, "invalid_media"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_mistakes_are_named(client, fields, code):
    refusal(ask(client, **fields), 400, code)
    if not fields.get("stream"):  # a stream that never began is refused like anything else
        refusal(ask(client, **({"stream": True} | fields)), 400, code)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff\xfe", b'{"messages": NaN}', b"[" * 100_000, b'{"seed": ' + b"9" * 10_000 + b"}"]
)
def test_malformed_bodies_are_refused(client, data):
    response = client.post("/v1/chat/completions", content=data, headers={"Content-Type": "application/json"})
    assert refusal(response, 400, "invalid_json")


def test_large_bodies_are_refused_while_they_arrive(client):
    def endless():
        for _ in range(1 << 10):
            yield b" " * (1 << 12)

    headers = {"Content-Type": "application/json"}
    for data in (b" " * (LIMITS.body_bytes + 1), endless()):
        response = client.post("/v1/chat/completions", content=data, headers=headers)
        refusal(response, 413, "body_too_large")


def test_forms_of_other_sites_are_refused(client):
    response = client.post("/v1/chat/completions", content=json.dumps(body()), headers={"Content-Type": "text/plain"})
    refusal(response, 415, "invalid_type")


def test_too_large_media_are_refused(tiny_folder, root, clip):
    engine = Engine(str(tiny_folder("pllava")), device="cpu", limits=VideoLimits(seconds=1))
    door = MediaDoor([root], VideoLimits(bytes=clip.stat().st_size - 1, seconds=1))
    with TestClient(build_app({"tiny": engine}, door=door)) as opened:
        refusal(ask(opened, ("video", "clip.mp4")), 413, "invalid_media")
        door.limits = VideoLimits(seconds=1)
        refusal(ask(opened, ("video", "clip.mp4")), 413, "invalid_media")


def test_long_prompts_are_refused_before_anything_is_decoded(tiny_folder, root):
    with serving(tiny_folder("pllava"), root, replace(LIMITS, prompt_tokens=45)) as opened:
        error = refusal(ask(opened, ("video", "clip.mp4")), 400, "context_length_exceeded")
        assert "for media" in error["message"]
        assert opened.engine.memory.misses == 0
        # Without a wish of the client's, the answer is as long as there is room for.
        text = body(messages=[{"role": "user", "content": "Hi."}])
        del text["max_tokens"]
        found = opened.post("/v1/chat/completions", json=text).json()["usage"]
        assert found["total_tokens"] <= 45


def test_long_texts_are_refused_before_they_are_tokenized(tiny_folder, root):
    with serving(tiny_folder("videotgb_t5"), root, replace(LIMITS, characters=1000)) as opened:
        refusal(ask(opened, messages=[message(question="a" * 1001)]), 400, "context_length_exceeded")
        text_of(ask(opened, messages=[message(question="a" * 1000)]))
    with serving(tiny_folder("videotgb_t5"), root) as opened:  # whose positions have no end
        refusal(ask(opened, messages=[message(question="a b " * 20_000)]), 400, "context_length_exceeded")


def test_placeholders_typed_by_a_client_are_refused(client):
    question = client.engine.processor.video_token * 3
    refusal(ask(client, messages=[message(("video", "clip.mp4"), question=question)]), 400, "invalid_request")


def test_unknown_models_and_routes(client):
    refusal(ask(client, model="gpt"), 404, "model_not_found")
    assert text_of(ask(client, model=None)) == text_of(ask(client))
    refusal(client.get("/v1/nothing"), 404, "no_route")
    refusal(client.get("/v1/chat/completions"), 405, "no_route")


def test_models_and_health(client):
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("tiny", "model")
    assert client.get("/health").json() == {"status": "ok", "models": ["tiny"], "waiting": 0}


def test_numbers_are_counted(client):
    def value(name):
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"video_lmms_{name} ")), 0)

    names = ('requests_total{model="tiny",status="200"}', 'new_tokens_total{model="tiny"}')
    before = [value(name) for name in names]
    found = ask(client, ("video", "clip.mp4")).json()["usage"]
    ask(client, ("video", "clip.mp4"), stream=True)
    after = [value(name) for name in names]
    assert after == [before[0] + 2, before[1] + 2 * found["completion_tokens"]]
    assert value('memory_bytes{model="tiny"}') > 0


def test_a_key_is_asked_for(tiny_folder, root):
    with serving(tiny_folder("pllava"), root, api_keys=("first", "second")) as opened:
        for path in ("/v1/models", "/metrics"):
            refusal(opened.get(path), 401, "invalid_api_key")
        refusal(ask(opened), 401, "invalid_api_key")
        for header in ("Bearer wrong", "Basic second", "Bearer", "second"):
            refusal(opened.get("/v1/models", headers={"Authorization": header}), 401, "invalid_api_key")
        assert opened.get("/v1/models", headers={"Authorization": "Bearer second"}).status_code == 200
        assert opened.get("/health").status_code == 200


def test_a_full_queue_turns_requests_away(tiny_folder, root):
    with serving(tiny_folder("pllava"), root, max_waiting=0) as opened:
        conversation = Conversation()
        conversation.ask(QUESTION, videos=[root / "clip.mp4"])
        long = opened.engine.start(conversation, AnswerOptions(max_new_tokens=1_000_000, temperature=1.0))
        response = ask(opened, ("video", "clip.mp4"))
        refusal(response, 429, "busy")
        assert response.headers["retry-after"] == "1"
        long.stop()
        long.wait()
        text_of(ask(opened, ("video", "clip.mp4")))
    with serving(tiny_folder("pllava"), root, replace(LIMITS, requests=0)) as opened:
        refusal(ask(opened), 429, "busy")


def test_our_own_mistakes_are_not_told(tiny_folder, root, monkeypatch):
    with serving(tiny_folder("pllava"), root) as opened:
        monkeypatch.setattr(opened.engine, "plan", lambda *args: 1 / 0)
        error = refusal(ask(opened, ("video", "clip.mp4")), 500, "internal_error")
        assert "division" not in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_its_answer(tiny_folder, root, stream):
    """Spoken to in ASGI itself, because a test client never hangs up."""
    engine = Engine(str(tiny_folder("pllava")), device="cpu")
    engine.model.generation_config.eos_token_id = None  # nothing but leaving ends this answer
    app = build_app(
        {"tiny": engine}, door=MediaDoor([root]), limits=replace(LIMITS, new_tokens=1 << 24, prompt_tokens=1 << 30)
    )
    data = json.dumps(body(("video", "clip.mp4"), max_tokens=1 << 23, stream=stream)).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def visit():
        messages = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            while not engine.memory.misses:  # the answer is being made
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(event):
            """Nobody reads it."""

        await app(scope, receive, send)
        while engine.waiting:
            await asyncio.sleep(0.01)

    asyncio.run(visit())
    engine.close()
