# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The demo as a visitor meets it: in Chromium, with the tiny models."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from checkout import ROOT

from video_lmms.apps.demo import demo
from video_lmms.apps.engine import Engine


pytestmark = pytest.mark.slow

PATIENCE = 60_000  # milliseconds; nothing takes as long


@pytest.fixture(scope="module")
def engines():
    """All engines that the page loaded, by the last part of their source."""
    return {}


@pytest.fixture(scope="module")
def address(engines, tiny_folder, until_stopped):
    def load(source: str) -> Engine:
        engine = engines[Path(source).name] = Engine(source, device="cpu")
        return (
            until_stopped(engine, 4) if Path(source).name == "pllava" else engine
        )  # that one is random, and talks on

    with demo(["tiny-pllava", str(tiny_folder("pllava"))], load, loaded_models=4) as opened:
        yield opened.launch()


@pytest.fixture
def page(browser, address):
    """The page, opened, with the addresses it asked for anything."""
    page = browser.new_page(viewport={"width": 1360, "height": 860})
    page.set_default_timeout(PATIENCE)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#vl-box textarea")
    yield page
    strangers = [url for url in page.asked if not url.startswith((address, "data:", "blob:"))]
    assert strangers == []
    page.close()


def choose(page, model: str) -> None:
    page.locator("#vl-model input").click()
    page.get_by_role("option", name=model, exact=True).click()


def attach(page, *files: Path | str) -> None:
    page.locator("#vl-box input[type=file]").set_input_files([str(file) for file in files])
    page.wait_for_function(
        "count => document.querySelectorAll('#vl-box .thumbnail-item').length >= count", arg=len(files)
    )


def ask(page, question: str) -> str:
    """The answer, once it is complete."""
    box, answers = page.locator("#vl-box textarea"), page.locator("#vl-chat .bot.message")
    before = answers.count()
    box.fill(question)
    box.press("Enter")
    page.wait_for_function(
        """before => document.querySelectorAll('#vl-chat .bot.message').length > before
                     && document.querySelector('#vl-box .submit-button')""",
        arg=before,
    )
    return answers.last.inner_text().strip()


@contextmanager
def tower_calls(engine):
    """Counts what the vision tower and the optical flow are run for."""
    calls = []
    base = engine.model.base_model
    towers = [base.vision_tower, *(module for name, module in base.named_modules() if name.endswith("raft"))]
    with ExitStack() as stack:
        for tower in towers:
            hook = tower.register_forward_hook(lambda module, *args: calls.append(type(module).__name__))
            stack.callback(hook.remove)
        yield calls


def test_two_questions_about_an_uploaded_clip(page, engines, tmp_path):
    clip = shutil.copy(ROOT / "hub_configs/tiny-pllava/example.mp4", tmp_path / "my clip.mp4")
    attach(page, clip)
    page.locator("#vl-box textarea").fill("What colour is it?")
    page.wait_for_function("document.querySelector('#vl-cost').innerText.includes('128 for 8 frames')")
    with tower_calls(engines["tiny-pllava"]) as calls:
        assert ask(page, "What colour is it?") == "red"
        assert len(calls) > 0
        calls.clear()
        assert ask(page, "Which way does the circle move?") == "left"
        assert calls == []
    page.wait_for_function("document.querySelector('#vl-cost').innerText.includes('remembered')")
    films = page.locator("#vl-films")
    assert "my clip.mp4" in films.inner_text()
    assert films.locator("img").count() == 8
    assert films.locator(".vl-did").count() == 8


def test_the_frames_that_each_question_chose(page, engines):
    choose(page, "tiny-videotgb")
    attach(page, ROOT / "hub_configs/tiny-videotgb/example.mp4")
    times = {}
    for direction, colour in (("left", "green"), ("right", "red")):
        assert ask(page, f"Which colour is moving {direction}?") == colour
        pictures = page.locator("#vl-films .vl-picture span")
        page.wait_for_function("document.querySelectorAll('#vl-films .vl-picture').length == 4")
        times[direction] = [seconds(text) for text in pictures.all_inner_texts()]
    assert all(16 <= time < 24 for time in times["left"])
    assert all(0 <= time < 8 for time in times["right"])
    assert page.locator("#vl-films .vl-could").count() == 32


def seconds(text: str) -> float:
    minutes, rest = text.split(":")
    return 60 * int(minutes) + float(rest)


def test_an_example_brings_its_model(page):
    page.get_by_text("In which part of the clip does the square appear?").click()
    page.wait_for_function("document.querySelector('#vl-model input').value == 'tiny-apollo'")
    page.wait_for_selector("#vl-box .thumbnail-item")
    assert ask(page, page.locator("#vl-box textarea").input_value()) == "middle"
    assert "clips of 4 frames" in page.locator("#vl-films").inner_text()


def test_a_wrong_file_is_told_in_the_page(page, tmp_path):
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("These are notes.")
    attach(page, wrong)
    page.wait_for_selector("#vl-cost .vl-mistake")
    assert "notes.mp4: not a video that can be opened" in page.locator("#vl-cost").inner_text()
    shown = ask(page, "What is it?")
    assert "This could not be answered" in shown
    assert "notes.mp4: not a video that can be opened" in shown
    assert "Traceback" not in page.content()
    assert page.locator("#vl-box textarea").input_value() == "What is it?"
    attach(page, ROOT / "hub_configs/tiny-pllava/example.mp4")
    assert ask(page, "What colour is it?") == "red"


def test_a_kind_of_file_that_is_never_right(page, tmp_path):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("These are notes.")
    page.locator("#vl-box input[type=file]").set_input_files(str(wrong))
    page.wait_for_selector("text=/file type/i")


def test_an_answer_streams_and_stops(page, clip):
    choose(page, "pllava")
    page.locator("#vl-settings button").first.click()
    length = page.locator("#vl-settings input[type=number]").first
    length.fill("2048")
    length.press("Tab")
    attach(page, clip)
    page.locator("#vl-box textarea").fill("Tell me everything.")
    page.locator("#vl-box textarea").press("Enter")
    # What can be read now is the beginning: the engine waits to be stopped.
    page.wait_for_function("document.querySelector('#vl-chat .bot.message')?.innerText.trim().length > 0")
    page.locator("#vl-box .stop-button").click()
    page.wait_for_function("document.querySelector('#vl-cost').innerText.includes('stopped')")
    page.wait_for_selector("#vl-box .submit-button")
    tokens = page.locator("#vl-cost").inner_text().split(" out")[0].split(", ")[-1]
    assert 0 < int(tokens.replace(",", "")) < 2048


def test_clearing_forgets(page):
    attach(page, ROOT / "hub_configs/tiny-pllava/example.mp4")
    assert ask(page, "What colour is it?") == "red"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("text=Ask a video")
    page.locator("#vl-box textarea").fill("What colour is it?")
    page.wait_for_function("document.querySelector('#vl-cost').innerText.includes('for text')")
    assert "frames" not in page.locator("#vl-cost").inner_text()


def test_too_many_are_turned_away_and_who_waits_can_go(browser, tiny_folder):
    held = threading.Event()

    def load(source: str) -> Engine:
        engine = Engine(source, device="cpu")
        write = engine.write

        def write_later(plan, options, *, show=None, stop=None):
            while not (held.wait(0.05) or stop.is_set()):
                pass
            return write(plan, options, show=show, stop=stop)

        engine.write = write_later
        return engine

    with ExitStack() as stack:
        opened = stack.enter_context(demo([str(tiny_folder("pllava"))], load, max_waiting=1))
        stack.callback(held.set)
        address = opened.launch()
        first, second, third = (stack.enter_context(browser.new_page()) for _ in range(3))
        for page in (first, second, third):
            page.goto(address)
            page.locator("#vl-box textarea").fill("What is it?")
            page.wait_for_function("document.querySelector('#vl-cost').innerText.includes('for text')")
            page.locator("#vl-box textarea").press("Enter")
            page.wait_for_selector("#vl-chat .user.message")
            if page is first:
                page.wait_for_selector("#vl-chat .bot")
            if page is second:
                page.wait_for_selector("text=/queue/i")
        third.wait_for_selector("#vl-cost .vl-mistake")
        assert "Too many may be waiting" in third.locator("#vl-cost").inner_text()
        third.wait_for_selector("#vl-box .submit-button")
        second.locator("#vl-box .stop-button").click()
        second.wait_for_selector("#vl-box .submit-button")
        held.set()
        first.wait_for_selector("#vl-box .submit-button")
        assert "tokens in" in first.locator("#vl-cost").inner_text()
        assert second.locator("#vl-chat .bot.message").count() == 0
