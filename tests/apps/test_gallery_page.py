# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The gallery as people use it, in headless Chromium: clip, time line, comparison, filters, keys, addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.gallery_runs import COUNT, OTHER_TASK, TASK, is_right, write_runs

from video_lmms.apps.gallery import create_gallery
from video_lmms.evaluation.records import SAMPLES, JsonLines, read_samples, write_object


pytestmark = pytest.mark.slow

A_RIGHT, B_RIGHT = ({number for number in range(COUNT) if is_right(name, number)} for name in ("A", "B"))

# Of a text, with that of what it stands on: (L1 + 0.05) / (L2 + 0.05), WCAG 2.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const pixel = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    const leftOut = ".unseen, :disabled, noscript, option, .skip";
    if (!text || !element.checkVisibility() || element.closest(leftOut)) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const ground = light(pixel(["white", ...grounds]));
    const ink = light(pixel(["white", ...grounds, getComputedStyle(element).color]));
    found.push([(Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05), text]);
  }
  return found;
}"""

# Controls and pictures of which a screen reader has nothing to say.
NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, summary, [role=slider], img")]
  .filter((e) => e.checkVisibility())
  .filter((e) => !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
  .map((e) => e.outerHTML)"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def page(browser, serve) -> Iterator[Any]:
    """A page on which nothing goes wrong, and which asks nobody but the server for anything.

    It is closed before the servers (`serve`) are.
    """
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: "127.0.0.1" not in request.url and wrong.append(request.url))
    page.wrong = wrong
    yield page
    context.close()
    assert [message for message in wrong if not message.startswith("data:")] == []


@pytest.fixture
def one(serve, runs) -> str:
    return serve(create_gallery(runs[:1]))


@pytest.fixture
def two(serve, runs) -> str:
    return serve(create_gallery(runs))


def visit(page: Any, address: str) -> None:
    """Goes there and waits for a sample to be shown."""
    page.goto(address)
    page.wait_for_selector("#detail h2")


def wait_for_list(page: Any, expected: set[int]) -> None:
    page.wait_for_function(
        "ids => JSON.stringify([...document.querySelectorAll('#list a')].map(a => +a.dataset.id)) === ids",
        arg=json.dumps(sorted(expected), separators=(",", ":")),
    )


def wait_for_sample(page: Any, number: int) -> None:
    page.wait_for_function(
        "id => document.querySelector('#list [aria-current]')?.dataset.id === id", arg=f"{number:02d}"
    )


def now(page: Any) -> float:
    return page.evaluate("document.querySelector('video').currentTime")


def wait_for_time(page: Any, seconds: float) -> None:
    page.wait_for_function("t => Math.abs(document.querySelector('video').currentTime - t) < 0.02", arg=seconds)


def test_the_clip_plays(page, one):
    visit(page, f"{one}/?of={TASK}&id=03")
    page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    assert page.evaluate("document.querySelector('video').videoWidth") == 64
    assert "tiny" in page.get_attribute("video", "class")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.5")
    assert not page.evaluate("document.querySelector('video').paused")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")


def test_only_the_part_in_question_plays(page, one):
    """From its start to its end, where it stops; then the viewer may go on."""
    visit(page, f"{one}/?of={TASK}&id=01")
    wait_for_time(page, 0.5)
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("() => document.querySelector('video').paused")
    assert 1.5 <= now(page) < page.evaluate("document.querySelector('video').duration")
    assert page.locator(".lane .outside").count() == 2


def test_the_time_line_shows_sampled_and_chosen_frames_where_they_are(page, one, runs):
    record = read_samples(runs[0])[0]
    visit(page, f"{one}/?of={TASK}&id=00")
    duration = page.wait_for_function("() => document.querySelector('video').duration").json_value()
    page.wait_for_function("d => +document.querySelector('.track').ariaValueMax === d", arg=round(duration, 3))
    lane = page.locator(".lane").bounding_box()
    ticks = [box.bounding_box() for box in page.locator(".lane .tick").all()]
    middles = [(box["x"] + box["width"] / 2 - lane["x"]) / lane["width"] * duration for box in ticks]
    assert middles == pytest.approx(record["times"][0], abs=duration / 200)
    chosen = record["chosen"][0]
    marked = [box.get_attribute("title") for box in page.locator(".lane .tick.chosen").all()]
    assert [title.split(",")[0] for title in marked] == [f"frame {index}" for index in chosen["chosen_frames"]]
    span = page.locator(".lane .span").bounding_box()
    assert (span["x"] - lane["x"]) / lane["width"] * duration == pytest.approx(chosen["spans"][0][0], abs=0.02)
    assert "chosen by the model" in page.inner_text(".legend")


def test_the_time_line_and_the_pictures_seek(page, one, runs):
    record = read_samples(runs[0])[3]
    times = record["times"][0]
    visit(page, f"{one}/?of={TASK}&id=03")
    page.wait_for_function("() => document.querySelector('video').readyState >= 1")
    duration = page.evaluate("document.querySelector('video').duration")
    box = page.locator(".track").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_for_time(page, duration / 2)
    page.keyboard.press("ArrowRight")
    following = min(time for time in times if time > duration / 2 + 0.01)
    wait_for_time(page, following)
    page.keyboard.press("ArrowLeft")
    wait_for_time(page, max(time for time in times if time < following))
    page.keyboard.press("End")
    wait_for_time(page, times[-1])
    page.keyboard.press("Home")
    wait_for_time(page, times[0])
    chosen = record["chosen"][0]
    first = page.locator(".strip button.chosen").first
    first.click()
    wait_for_time(page, chosen["chosen_times"][0])
    page.wait_for_function(
        "() => [...document.querySelectorAll('.strip button.chosen img')].every((image) => image.naturalWidth)"
    )
    assert f"Frame {chosen['chosen_frames'][0]} at" in first.get_attribute("title")
    assert page.get_attribute(".track", "aria-valuetext").endswith(f"of {duration:g} s")


def test_two_runs_are_shown_side_by_side(page, two, runs):
    records = [read_samples(run)[3] for run in runs]
    visit(page, f"{two}/?of={TASK}&id=03")
    assert page.locator("video").count() == 1
    assert page.locator(".lane").count() == 2
    for run, record in enumerate(records):
        assert page.locator(f".lane[data-run='{run}'] .tick").count() == len(record["frames"][0])
        card = page.locator(f".card[data-run='{run}']")
        assert card.locator(".said").inner_text() == record["answer"]
        verdict = "correct" if is_right("AB"[run], 3) else "wrong"
        assert card.locator("h3 .mark").get_attribute("data-verdict") == verdict
    assert page.inner_text(".expected dd") == records[0]["expected"]
    assert page.inner_text(".choices .right").startswith(records[0]["expected"])
    cards = [card.bounding_box() for card in page.locator(".card").all()]
    assert cards[0]["x"] != cards[1]["x"] or cards[0]["y"] != cards[1]["y"]


def test_the_comparison_is_filtered(page, two):
    visit(page, two)
    wait_for_list(page, set(range(COUNT)))
    page.select_option("[name=differ]", label=f"runs disagree ({len(A_RIGHT ^ B_RIGHT)})")
    wait_for_list(page, A_RIGHT ^ B_RIGHT)
    assert page.inner_text("#count") == f"{len(A_RIGHT ^ B_RIGHT)} of {COUNT} samples"
    # The sample on the page does not pass, so the first that does takes its place.
    wait_for_sample(page, min(A_RIGHT ^ B_RIGHT))
    page.select_option("[name=differ]", "second")
    wait_for_list(page, B_RIGHT - A_RIGHT)
    page.select_option("[name=task]", OTHER_TASK)
    wait_for_list(page, {number for number in B_RIGHT - A_RIGHT if number >= COUNT // 2})
    page.get_by_role("button", name="Clear filters").click()
    wait_for_list(page, set(range(COUNT)))
    page.select_option("[name=differ]", "judges")
    wait_for_list(page, {8})
    page.select_option("[name=judge]", "rater")
    wait_for_sample(page, 8)
    page.wait_for_selector(".card[data-run='1'] h3 .mark[data-verdict='correct']")
    assert "It says" in page.inner_text(".card[data-run='1'] .judges")


def test_free_text_filters_while_it_is_typed(page, two):
    visit(page, two)
    page.keyboard.press("/")
    page.keyboard.type(f"{OTHER_TASK} 08.mp4")
    wait_for_list(page, {8})
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    wait_for_list(page, {8} if 8 in A_RIGHT ^ B_RIGHT else set())
    page.fill("[name=q]", "nothing of that kind")
    page.wait_for_selector("#list .nothing")


def test_keys_go_from_sample_to_sample(page, one):
    visit(page, one)
    wait_for_sample(page, 0)
    for key, number in (("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        wait_for_sample(page, number)
    page.keyboard.press("w")
    wrong = sorted(set(range(COUNT)) - A_RIGHT)
    wait_for_list(page, set(wrong))
    wait_for_sample(page, wrong[0])
    page.keyboard.press("j")
    wait_for_sample(page, wrong[1])
    page.keyboard.press("w")
    wait_for_list(page, set(range(COUNT)))
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("r")
    assert page.locator("table.results").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("table.results").is_visible()


def test_an_address_can_be_shared(page, browser, two):
    visit(page, two)
    page.select_option("[name=differ]", "verdict")
    wait_for_list(page, A_RIGHT ^ B_RIGHT)
    wait_for_sample(page, min(A_RIGHT ^ B_RIGHT))
    page.keyboard.press("j")
    number = sorted(A_RIGHT ^ B_RIGHT)[1]
    wait_for_sample(page, number)
    other = browser.new_page()
    visit(other, page.url)
    wait_for_list(other, A_RIGHT ^ B_RIGHT)
    wait_for_sample(other, number)
    assert other.input_value("[name=differ]") == "verdict"
    other.context.close()
    page.go_back()
    wait_for_sample(page, min(A_RIGHT ^ B_RIGHT))


def test_a_shared_sample_is_shown_though_filters_hide_it(page, two):
    hidden = min(A_RIGHT & B_RIGHT)
    visit(page, f"{two}/?differ=verdict&of={TASK}&id={hidden:02d}")
    assert "filtered out" in page.inner_text(".turn")
    page.keyboard.press("j")
    wait_for_sample(page, min(A_RIGHT ^ B_RIGHT))


def test_results_and_their_difference_are_shown(page, two):
    visit(page, two)
    page.keyboard.press("r")
    page.wait_for_selector(".results [data-difference] b")
    row = page.locator(".results tbody tr").first.inner_text()
    assert "accuracy" in row
    assert "p =" in row or "p <" in row
    page.locator(".results").get_by_role("link", name=OTHER_TASK).click()
    wait_for_list(page, set(range(COUNT // 2, COUNT)))
    assert not page.locator("table.results").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_is_readable(page, two, scheme, width):
    """4.5 to 1 for every text (WCAG 2.2 AA), nothing wider than the screen, and every control has a name."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    visit(page, f"{two}/?judge=rater&of={OTHER_TASK}&id=08")
    page.wait_for_selector(".strip img")
    page.keyboard.press("r")
    page.wait_for_selector(".results [data-difference] b")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [found for found in contrasts if found[0] < 4.5] == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 300) is (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = page.evaluate(NAMELESS)
    assert nameless == []


def test_colours_can_be_chosen_and_are_remembered(page, one):
    page.emulate_media(color_scheme="light")
    visit(page, one)
    ground = "getComputedStyle(document.body).backgroundColor"
    bright = page.evaluate(ground)
    page.click("#theme")
    page.click("#theme")
    dark = page.evaluate(ground)
    assert dark != bright
    page.reload()
    page.wait_for_selector("#detail h2")
    assert page.evaluate(ground) == dark


def test_what_models_wrote_is_text(page, serve, tmp_path):
    """And stays it: neither its markup nor its scripts come to life."""
    evil = "<img src=x onerror=\"document.title='taken'\"><b>bold</b><script>document.title='taken'</script>"
    write_object(tmp_path / "run.json", {"tasks": {evil: "1"}, "model": evil})
    fields = ("task", "id", "subset", "question", "prompt", "answer", "expected")
    with JsonLines(tmp_path / SAMPLES) as file:
        file.append(dict.fromkeys(fields, evil) | {"choices": [evil], "media": [{"type": "video", "path": evil}]})
    visit(page, serve(create_gallery([tmp_path])))
    assert page.inner_text(".said") == evil
    assert page.locator("b").count() == 0
    assert page.title() != "taken"


def test_a_missing_clip_is_explained(page, serve, tmp_path, runs):
    record = read_samples(runs[0])[2] | {"media": [{"type": "video", "path": "/gone/clip.mp4"}]}
    write_object(tmp_path / "run.json", {"tasks": {TASK: "1"}, "model": "m"})
    with JsonLines(tmp_path / SAMPLES) as file:
        file.append(record)
    visit(page, serve(create_gallery([tmp_path])))
    assert "There is no /gone/clip.mp4 any more" in page.inner_text(".problem")
    # What the run itself tells is shown all the same.
    assert page.locator(".lane .tick").count() == len(record["frames"][0])


def test_a_clip_that_no_browser_plays_is_shown_by_its_frames(page, serve, tmp_path):
    import clips

    clip = clips.make("mpeg4.avi", tmp_path)
    record = {"task": "t", "id": "1", "question": "?", "media": [{"type": "video", "path": str(clip)}]}
    write_object(tmp_path / "run.json", {"tasks": {"t": "1"}, "model": "m"})
    with JsonLines(tmp_path / SAMPLES) as file:
        file.append(record | {"frames": [[0, 30, 60]], "times": [[0.0, 1.0, 2.0]]})
    visit(page, serve(create_gallery([tmp_path])))
    page.wait_for_selector(".problem:not([hidden])")
    assert "This browser does not play" in page.inner_text(".problem")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.strip img')].filter((image) => image.naturalWidth).length === 3"
    )
    page.wrong.clear()


def test_a_run_is_followed_as_it_grows(page, serve, tmp_path):
    write_object(tmp_path / "run.json", {"tasks": {"t": "1"}, "model": "m"})
    with JsonLines(tmp_path / SAMPLES) as file:
        file.append({"task": "t", "id": "1", "question": "First?"})
        visit(page, serve(create_gallery([tmp_path])))
        wait_for_list(page, {1})
        file.append({"task": "t", "id": "2", "question": "Second?"})
        wait_for_list(page, {1, 2})
    assert page.inner_text("#detail h2") == "First?"
