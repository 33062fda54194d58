# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The demo's conversations without a browser, and its server as somebody meets it who means no good."""

from __future__ import annotations

import json
import socket
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from checkout import ROOT
from PIL import Image

from video_lmms.apps.demo import EXAMPLES, Page, answer_options, copy_examples, demo, in_a_loop
from video_lmms.apps.demo_chat import Chat, Session
from video_lmms.apps.demo_films import evenly
from video_lmms.apps.demo_models import ModelShelf
from video_lmms.apps.demo_views import clock, cost_html, films_html, mistake_html
from video_lmms.apps.engine import AnswerOptions, Engine
from video_lmms.errors import NotAModelError, VideoLmmError
from video_lmms.hub.sources import has_weights, shipped_models
from video_lmms.processing.video_errors import VideoLimits


CLIPS = {name: str(ROOT / f"hub_configs/tiny-{name}/example.mp4") for name in ("pllava", "apollo", "videotgb")}
SHORT = AnswerOptions(max_new_tokens=8)


@pytest.fixture(scope="module")
def engines():
    """All engines that this module loads, by source."""
    return {}


@pytest.fixture(scope="module")
def load(engines):
    def loaded(source: str) -> Engine:
        engines[source] = Engine(source, device="cpu", max_waiting=2)
        return engines[source]

    return loaded


@pytest.fixture(scope="module")
def chat(load):
    shelf = ModelShelf([], load, keep=3)
    yield Chat(shelf, VideoLimits())
    shelf.close()


def said(chat, session, model, text, files=(), options=SHORT):
    """All updates of an answer."""
    return list(chat.answer(session, model, text, files, options))


class TestChat:
    def test_two_questions_about_a_clip(self, chat):
        session = Session()
        (*pieces, first) = said(chat, session, "tiny-pllava", "Which way does the circle move?", [CLIPS["pllava"]])
        assert first.text == "left"
        assert pieces[-1].text == "left"
        assert all(piece.films is None for piece in pieces)
        second = said(chat, session, "tiny-pllava", "What colour is it?")[-1]
        assert second.text == "red"
        assert "remembered" in second.footnote
        assert "remembered" not in first.footnote
        assert [role for role, _ in session.messages] == ["user", "assistant"] * 2

    def test_frames_that_the_question_chose_are_shown(self, chat):
        session = Session()
        times = {}
        for question, direction in (("left", "green"), ("right", "red")):
            files = [] if times else [CLIPS["videotgb"]]
            update = said(chat, session, "tiny-videotgb", f"Which colour is moving {question}?", files)[-1]
            assert update.text == direction
            (film,) = update.films
            times[question] = [picture.start for picture in film.pictures]
            assert film.looked == [(time, time) for time in times[question]]
            assert len(film.candidates) == 32
        # The example shows a red circle to the right in its first quarter, a green triangle to the left in its third.
        assert all(0 <= time < 8 for time in times["right"])
        assert all(16 <= time < 24 for time in times["left"])
        colours = [picture.pixels.reshape(-1, 3).max(0) for picture in film.pictures]
        assert all(red > 200 and green < 80 for red, green, _ in colours)

    def test_clips_are_shown_with_their_spans(self, chat):
        question = "In which part of the clip does the square appear?"
        update = said(chat, Session(), "tiny-apollo", question, [CLIPS["apollo"]])[-1]
        assert update.text == "middle"
        (film,) = update.films
        assert film.looked == [(picture.start, picture.end) for picture in film.pictures]
        assert [start for start, _ in film.looked] == pytest.approx([0, 1, 2])

    def test_several_media_and_images(self, chat, picture):
        update = said(chat, Session(), "tiny-pllava", "What shape is it?", [CLIPS["pllava"], str(picture)])[-1]
        assert [film.name for film in update.films] == ["example.mp4", "picture.png"]
        assert [film.duration is None for film in update.films] == [False, True]
        assert update.films[1].pictures[0].pixels.shape == (60, 80, 3)

    def test_what_longvu_kept_is_shown(self, load, tiny_folder, clip):
        shelf = ModelShelf([str(tiny_folder("longvu"))], load)
        update = said(Chat(shelf, VideoLimits()), Session(), "longvu", "What is it?", [str(clip)])[-1]
        shelf.close()
        (film,) = update.films
        tokens = [int(picture.remark.split()[0]) for picture in film.pictures]
        assert all(tokens)
        assert f"frames kept, all in full; {sum(tokens)} tokens" in film.summary

    def test_the_cost_is_known_before(self, chat):
        engine, plan, _ = chat.plan(Session(), "tiny-pllava", "What colour is it?", [CLIPS["pllava"]])
        session = Session()
        update = said(chat, session, "tiny-pllava", "What colour is it?", [CLIPS["pllava"]])[-1]
        assert update.footnote.startswith(f"{plan.prompt_tokens} tokens in")
        assert plan.visual_tokens == engine.processor.num_video_tokens()

    def test_a_mistake_calls_the_file_what_the_visitor_calls_it(self, chat, tmp_path):
        wrong = tmp_path / "deep" / "er" / "notes.mp4"
        wrong.parent.mkdir(parents=True)
        wrong.write_text("no video")
        session = Session()
        with pytest.raises(VideoLmmError, match="^notes.mp4: not a video that can be opened") as caught:
            said(chat, session, "tiny-pllava", "What is it?", [str(wrong)])
        assert str(tmp_path)[-20:] not in str(caught.value)
        assert session.messages == []
        assert session.generation is None
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"\x89PNG\r\n")
        with pytest.raises(VideoLmmError, match="^broken.png"):
            said(chat, session, "tiny-pllava", "What is it?", [str(broken)])

    def test_settings_act(self, load, tiny_folder, clip):
        shelf = ModelShelf([str(tiny_folder("pllava"))], load)  # random weights are sure of nothing
        chat = Chat(shelf, VideoLimits())

        def answers(**options):
            return said(chat, Session(), "pllava", "What is it?", [str(clip)], AnswerOptions(**options))[-1]

        short = answers(max_new_tokens=1)
        assert ", 1 out" in short.footnote
        assert "cut at the longest answer" in short.footnote
        drawn = {answers(max_new_tokens=6, temperature=2.0, seed=seed).text for seed in range(5)}
        assert len(drawn) > 1
        assert len({answers(max_new_tokens=6, temperature=2.0, top_p=1e-4, seed=seed).text for seed in range(3)}) == 1
        shelf.close()
        options = answer_options(7.0, 0.5, 0.9, 3.0)
        assert (options.max_new_tokens, options.temperature, options.top_p, options.num_beams) == (7, 0.5, 0.9, 3)

    def test_an_answer_can_be_stopped(self, load, tiny_folder, clip, until_stopped):
        shelf = ModelShelf([str(tiny_folder("pllava"))], load)
        until_stopped(shelf.engine("pllava"), 4)
        session = Session()
        chat = Chat(shelf, VideoLimits())
        updates = chat.answer(session, "pllava", "Tell me.", [str(clip)], AnswerOptions(max_new_tokens=2000))
        next(updates)
        with pytest.raises(VideoLmmError, match="still being answered"):
            next(chat.answer(session, "pllava", "And?", [], SHORT))
        session.stop()
        last = list(updates)[-1]
        shelf.close()
        assert last.footnote.endswith("stopped")
        assert session.messages[-1] == ("assistant", [last.text])
        assert session.generation is None

    def test_what_is_cleared_meanwhile_stays_cleared(self, chat):
        session = Session()
        updates = chat.answer(session, "tiny-pllava", "What colour is it?", [CLIPS["pllava"]], SHORT)
        next(updates)
        session.clear()
        list(updates)
        assert session.messages == []


class TestShelf:
    def test_tiny_models_are_always_there(self, load):
        tiny = {name for name, folder in shipped_models().items() if has_weights(folder)}
        assert set(ModelShelf([], load).names) == tiny
        assert ModelShelf([], load).names[0] == "tiny-pllava"

    def test_a_folder_shows_its_name_only(self, load, tiny_folder):
        shelf = ModelShelf([str(tiny_folder("pllava")), "tiny-apollo", "some/model"], load)
        assert shelf.names[:3] == ["pllava", "tiny-apollo", "some/model"]
        assert shelf.source("pllava") == str(tiny_folder("pllava"))

    @pytest.mark.parametrize("hub_ids", [False, True])
    @pytest.mark.parametrize("name", ["/etc", "../model", "a/../b", "models/mine", "", "a/b/c", "~/x", "C:\\x"])
    def test_no_other_folder_can_be_named(self, load, tmp_path, monkeypatch, name, hub_ids):
        (tmp_path / "models/mine").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(VideoLmmError, match="There is no model of that name here"):
            ModelShelf([], load, hub_ids=hub_ids).source(name)

    def test_hub_ids_are_a_choice(self, load):
        assert ModelShelf([], load, hub_ids=True).source("org/model-7b") == "org/model-7b"
        with pytest.raises(VideoLmmError, match="There is no model of that name here"):
            ModelShelf([], load).source("org/model-7b")

    def test_a_mistake_shows_no_path(self, load, tmp_path):
        (tmp_path / "broken").mkdir()
        with pytest.raises(NotAModelError, match="^broken is not a model") as caught:
            ModelShelf([str(tmp_path / "broken")], load).engine("broken")
        assert str(tmp_path) not in str(caught.value)

    def test_the_one_used_longest_ago_goes(self, tiny_folder):
        class Loaded:
            def __init__(self, source):
                self.source, self.closed = source, False

            def close(self, cancel=True):
                self.closed = True

        shelf = ModelShelf([], Loaded, keep=2)
        first, second = shelf.engine("tiny-pllava"), shelf.engine("tiny-apollo")
        assert shelf.engine("tiny-pllava") is first
        third = shelf.engine("tiny-videotgb")
        assert (first.closed, second.closed, third.closed) == (False, True, False)
        shelf.close()
        assert first.closed
        assert third.closed


@pytest.fixture(scope="module")
def page(chat, tmp_path_factory):
    page = Page(chat, copy_examples(tmp_path_factory.mktemp("uploads")))
    in_a_loop(page.build)
    return page


class TestPage:
    def test_a_question_and_its_answer(self, page):
        session = Session()
        message = {"text": " What colour is it? ", "files": [CLIPS["pllava"]]}
        box, shown, _ = page.ask(message, session)
        assert (box["value"], box["stop_btn"]) == (None, True)
        assert shown == [
            {"role": "user", "content": {"path": CLIPS["pllava"]}},
            {"role": "user", "content": "What colour is it?"},
        ]
        *_, (_, shown, films, cost), (box, *_) = page.answer("tiny-pllava", session, False, 8, 0, 1, 1)
        assert (box["submit_btn"], box["stop_btn"]) == (True, False)
        assert films.count("<img") == 8
        assert "tokens in" in cost
        assert shown[-1] == {"role": "assistant", "content": "red"}

    def test_a_wrong_file_is_named_in_the_page(self, page, tmp_path):
        (tmp_path / "notes.mp4").write_text("no video")
        session, message = Session(), {"text": "What is it?", "files": [str(tmp_path / "notes.mp4")]}
        assert "notes.mp4: not a video" in page.price(message, "tiny-pllava", session, False)
        page.ask(message, session)
        *_, (box, shown, films, cost) = page.answer("tiny-pllava", session, False, 8, 0, 1, 1)
        assert box["value"] == {"text": "What is it?", "files": []}
        assert shown[0]["content"] == "[notes.mp4]"
        assert "notes.mp4: not a video" in shown[-1]["content"]
        assert "notes.mp4: not a video" in cost
        page.ask({"text": "What colour is it?", "files": [CLIPS["pllava"]]}, session)
        *_, (_, shown, _, _), _ = page.answer("tiny-pllava", session, False, 8, 0, 1, 1)
        assert shown[-1]["content"] == "red"

    def test_the_price(self, page):
        message = {"text": "What colour is it?", "files": [CLIPS["pllava"]]}
        assert "128 for 8 frames" in page.price(message, "tiny-pllava", Session(), False)
        assert "There is no model of that name" in page.price(message, "/etc", Session(), False)

    def test_a_question_that_waits_can_be_taken_back(self, page):
        session = Session()
        page.ask({"text": "What colour is it?", "files": []}, session)
        assert page.stop(session)["submit_btn"]
        ((box, *rest),) = page.answer("tiny-pllava", session, False, 8, 0, 1, 1)
        assert box["submit_btn"]
        assert session.messages == []

    def test_sound_is_for_models_with_ears(self, page):
        message = {"text": "Is the tone high?", "files": [CLIPS["pllava"]]}
        assert "tiny-pllava has no audio branch" in page.price(message, "tiny-pllava", Session(), True)

    def test_what_nobody_foresaw(self, page):
        session = Session()
        page.ask({"text": "What colour is it?", "files": []}, session)
        box, _, cost = page.recover(session)
        assert box["submit_btn"]
        assert "could not be answered" in cost
        assert session.asked is None

    def test_every_example_is_answered_rightly(self, page):
        expected = {"tiny-pllava": "left", "tiny-apollo": "middle", "tiny-longvu": "yellow"}
        expected |= {"tiny-video-llama": "right", "tiny-videotgb": "green"}
        for number, name in enumerate(page.clips):
            message, model = page.show_example(Chosen(number))
            assert model == name
            session = Session()
            page.ask(message, session)
            *_, (_, shown, _, _), _ = page.answer(model, session, False, 8, 0, 1, 1)
            assert shown[-1]["content"] == expected[name], name
        assert {"tiny-pllava", "tiny-apollo", "tiny-videotgb"} <= set(page.clips) <= set(EXAMPLES)


class Chosen:
    def __init__(self, index):
        self.index = index


class TestViews:
    def test_nothing_is_taken_for_html(self):
        wicked = "<script>alert(1)</script>.mp4"
        assert "<script" not in mistake_html(wicked)
        assert "<script" not in cost_html([(wicked, 3)], 100)

    def test_costs(self):
        assert "<strong>1,300</strong> of 1,000 tokens" in cost_html([("for text", 1300)], 1000)
        assert "vl-full" in cost_html([("for text", 1300)], 1000)
        assert "vl-full" not in cost_html([("for text", 1000)], 1000)
        assert "at most" in cost_html([("for text", 10)], None, at_most=True)

    def test_times(self):
        assert [clock(seconds) for seconds in (0, 3.24, 59.96, 61, 3723.4)] == [
            "0:00.0",
            "0:03.2",
            "1:00.0",
            "1:01.0",
            "1:02:03.4",
        ]

    def test_few_of_many(self):
        assert evenly(3, 5) == [0, 1, 2]
        assert evenly(101, 5) == [0, 25, 50, 75, 100]

    def test_no_films(self):
        assert "will be shown here" in films_html([])


class Visitor:
    """Somebody who talks to the page's server without its page."""

    def __init__(self, address: str, page: Any):
        self.http = httpx.Client(base_url=f"{address}gradio_api/", timeout=60)
        self.page, self.session = page, uuid.uuid4().hex

    def get(self, path: str) -> httpx.Response:
        request = self.http.build_request("GET", "x")
        request.url = request.url.copy_with(raw_path=b"/gradio_api/" + path.encode())
        return self.http.send(request)

    def upload(self, name: str, content: bytes) -> httpx.Response:
        return self.http.post("upload", files={"files": (name, content)})

    def call(self, function: str, *data: Any, pieces: int | None = None) -> list[dict[str, Any]]:
        """What a function of the page answers, all of it or the first `pieces`."""
        number = next(index for index, fn in self.page.fns.items() if fn.name == function)
        body = {"data": data, "fn_index": number, "session_hash": self.session}
        self.http.post("queue/join", json=body).raise_for_status()
        messages = []
        with self.http.stream("GET", "queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    messages.append(json.loads(line[5:]))
                    told = [message["msg"] for message in messages]
                    if told[-1] == "process_completed" or told.count("process_generating") == pieces:
                        break
        return messages


@pytest.fixture(scope="module")
def served(load, tiny_folder):
    """The demo's page and its address."""
    with demo(["tiny-pllava", str(tiny_folder("pllava"))], load, max_upload_mb=1, loaded_models=2) as opened:
        yield opened.page, opened.launch()


@pytest.fixture
def visitor(served):
    page, address = served
    visitor = Visitor(address, page)
    yield visitor
    visitor.http.close()


def file_part(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


class TestServer:
    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "..%2f..%2f..%2f..%2fetc%2fpasswd",
            "../../../../etc/passwd",
            "%2Fetc%2Fpasswd",
            "file:///etc/passwd",
            str(ROOT / "pyproject.toml"),
            "pyproject.toml",
            str(ROOT / "hub_configs/tiny-pllava/model.safetensors"),
            str(ROOT / "hub_configs/tiny-pllava/example.mp4"),
        ],
    )
    def test_no_file_of_the_server_is_read(self, visitor, path):
        for prefix in ("file=", "file/"):
            response = visitor.get(prefix + path)
            assert response.status_code in (403, 404)
            assert len(response.content) < 1000

    def test_dots_do_not_lead_out_of_the_uploads(self, visitor):
        (uploaded,) = visitor.upload("clip.mp4", b"mine").json()
        assert visitor.get(f"file={uploaded}").content == b"mine"
        for way in ("../../../../../../etc/passwd", "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd"):
            assert visitor.get(f"file={Path(uploaded).parent}/{way}").status_code in (403, 404)

    def test_uploads_stay_in_their_folder(self, visitor):
        (uploaded,) = visitor.upload("../../../evil.mp4", b"x").json()
        assert Path(uploaded).name == "evil.mp4"
        assert Path(uploaded).parent.parent.name.startswith("video-lmms-demo-")
        assert visitor.upload("big.mp4", bytes((1 << 20) + 1)).status_code == 413

    def test_a_question_cannot_name_a_file_of_the_server(self, visitor):
        for path in ("/etc/passwd", CLIPS["pllava"]):
            for function in ("price", "ask"):
                data = [{"text": "What is it?", "files": [file_part(path)]}, "tiny-pllava", None, False]
                last = visitor.call(function, *(data if function == "price" else [data[0], None]))[-1]
                assert not last["success"]
                assert "root:" not in json.dumps(last)

    def test_no_address_is_fetched(self, visitor):
        with socket.create_server(("127.0.0.1", 0)) as bait:
            bait.settimeout(0.2)
            address = f"http://127.0.0.1:{bait.getsockname()[1]}/x.mp4"
            for prefix in ("file=", "proxy=", "file=%20", "FILE="):
                assert visitor.get(prefix + address).status_code in (403, 404)
            for path in (address, "http://example.com/x.mp4", "https://example.com/x.mp4"):
                part = file_part(path) | {"url": path}
                last = visitor.call("price", {"text": "x", "files": [part]}, "tiny-pllava", None, False)[-1]
                assert not last["success"]
                assert "takes files, not addresses" in json.dumps(last)
            with pytest.raises(TimeoutError):
                bait.accept()

    def test_a_visitor_can_ask_and_is_streamed_to(self, visitor):
        content = Path(CLIPS["pllava"]).read_bytes()
        (uploaded,) = visitor.upload("mine.mp4", content).json()
        message = {"text": "What colour is it?", "files": [file_part(uploaded)]}
        assert "128 for 8 frames" in json.dumps(visitor.call("price", message, "tiny-pllava", None, False)[-1])
        assert visitor.call("ask", message, None)[-1]["success"]
        messages = visitor.call("answer", "tiny-pllava", None, False, 8, 0, 1, 1)
        assert [entry["msg"] for entry in messages].count("process_generating") >= 2
        assert messages[-1]["success"]
        assert '"red"' in json.dumps(messages)

    def test_conversations_are_apart(self, served, visitor):
        page, address = served
        stranger = Visitor(address, page)
        visitor.call("ask", {"text": "A secret", "files": []}, None)
        stranger.call("ask", {"text": "Hello", "files": []}, None)
        told = json.dumps(stranger.call("answer", "tiny-pllava", None, False, 2, 0, 1, 1))
        stranger.http.close()
        assert "Hello" in told
        assert "secret" not in told

    def test_who_leaves_is_not_answered_any_more(
        self, visitor, engines, tiny_folder, clip, monkeypatch, until_stopped
    ):
        (uploaded,) = visitor.upload("mine.mp4", clip.read_bytes()).json()
        message = {"text": "Tell me everything.", "files": [file_part(uploaded)]}
        visitor.call("price", message, "pllava", None, False)
        engine, generations = engines[str(tiny_folder("pllava"))], []
        monkeypatch.setattr(engine, "write", engine.write)  # restored at the end
        until_stopped(engine, 4)
        start = engine.start
        monkeypatch.setattr(
            engine, "start", lambda *args, **kwargs: generations.append(start(*args, **kwargs)) or generations[0]
        )
        visitor.call("ask", message, None)
        visitor.call("answer", "pllava", None, False, 2000, 0, 1, 1, pieces=3)
        assert generations[0].wait().finish_reason == "cancelled"

    def test_settings_of_the_server(self, served):
        page, address = served
        config = httpx.get(f"{address}config").json()
        assert config["analytics_enabled"] is False
        assert not page.share
        assert httpx.get(f"{address}docs").status_code == 404
        assert "huggingface.co" not in httpx.get(address).text.split("</head>")[0].replace("hf.co", "")

    def test_uploads_are_removed(self, load):
        with demo([], load) as opened:
            folder = opened.uploads
            assert (folder / "examples/tiny-pllava.mp4").is_file()
            assert folder.stat().st_mode & 0o077 == 0
        assert not folder.exists()


def test_thumbnails_are_small(chat, tmp_path):
    large = tmp_path / "large.jpg"
    Image.new("RGB", (1600, 1200), "teal").save(large)
    update = said(chat, Session(), "tiny-pllava", "What is it?", [str(large)])[-1]
    assert update.films[0].pictures[0].pixels.shape == (144, 192, 3)
