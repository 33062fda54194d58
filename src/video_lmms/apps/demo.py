# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The demo: a page on which to drop videos and ask about them. Needs `pip install "video-lmms[demo]"`.

    with demo(["tiny-pllava"]) as opened:
        print(opened.launch())

Gradio draws the page and carries its events; what they do is in `demo_chat.py`. A visitor's conversation lives on the
server, so that nothing a browser sends is taken for what was said before.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware

from ..errors import VideoLmmError
from ..hub.sources import has_weights, shipped_models
from ..processing.video_errors import VideoLimits
from ..processing.video_reader import VideoReader
from .demo_chat import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Chat, Session
from .demo_guard import NoFetching, accept_uploads_only, private_uploads
from .demo_models import ModelShelf
from .demo_views import cost_html, films_html, hint_html, mistake_html
from .engine import AnswerOptions, Engine, ReadingOptions


# What to ask the clip that ships with a tiny model.
EXAMPLES = {
    "tiny-pllava": "Which way does the circle move?",
    "tiny-apollo": "In which part of the clip does the square appear?",
    "tiny-longvu": "What colour flashes?",
    "tiny-video-llama": "Which way does the circle move?",
    "tiny-videotgb": "Which colour is moving left?",
}
MOST_NEW_TOKENS = 2048
_HINT = "Drop a video below, or begin with an example."
_PORTS = range(7860, 7960)
_STYLE = Path(__file__).with_name("demo.css")
# Seconds between looks at what visitors uploaded, and the age at which it goes.
_CLEANING = (3600, 24 * 3600)


@dataclass
class Demo:
    """A page that can be shown.

    Attributes:
        page: of Gradio.
        uploads: folder of what visitors upload.
        max_upload_mb: size of a file, in MiB.
    """

    page: gr.Blocks
    uploads: Path
    max_upload_mb: int

    def launch(self, host: str = "127.0.0.1", port: int | None = None, **options: Any) -> str:
        """Serves the page in a thread of its own: without anybody's file, address, telemetry or development tools.

        Args:
            host: address to listen on.
            port: None takes the first free one from 7860 on.
            options: of `Blocks.launch`, instead of those chosen here.

        Returns:
            the page's address.

        Raises:
            OSError: the port is taken, or the host is not this machine.
        """
        sans, mono = ["ui-sans-serif", "system-ui", "sans-serif"], ["ui-monospace", "monospace"]
        chosen = {
            "server_name": host,
            "server_port": free_port(host, _PORTS if port is None else (port,)),
            "theme": gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=sans, font_mono=mono),
            "css_paths": [_STYLE],
            "footer_links": [],
            "run_history": False,
            "share": False,
            "enable_monitoring": False,
            "mcp_server": False,
            "ssr_mode": False,
            "pwa": False,
            "show_error": False,  # of mistakes that nobody foresaw, which may tell of the server
            "allowed_paths": [],
            "max_file_size": self.max_upload_mb << 20,
            "state_session_capacity": 256,
            "app_kwargs": {"middleware": [Middleware(NoFetching)], "docs_url": None, "redoc_url": None},
            "prevent_thread_lock": True,
            "quiet": True,
        }
        return in_a_loop(lambda: self.page.launch(**(chosen | options))[1])


@contextmanager
def demo(
    models: Sequence[str] = (),
    load: Callable[[str], Engine] = Engine,
    *,
    hub_ids: bool = False,
    loaded_models: int = 1,
    max_waiting: int = 32,
    max_upload_mb: int = 512,
) -> Iterator[Demo]:
    """The page. It is closed, and what visitors uploaded is removed, at the end.

    Args:
        models: folders, Hub ids and shipped names to choose from, before the tiny models.
        load: makes an engine of a folder or Hub id.
        hub_ids: whether visitors may name any other Hub id.
        loaded_models: models that stay loaded at once.
        max_waiting: questions that may wait; more are turned away.
        max_upload_mb: size of a file, in MiB.

    Raises:
        VideoLmmError: one of `models` cannot be a model, or the first cannot be loaded.
    """
    shelf = ModelShelf(models, load, hub_ids=hub_ids, keep=loaded_models)
    chat = Chat(shelf, VideoLimits(bytes=max_upload_mb << 20))
    with private_uploads() as folder:
        try:
            shelf.engine(shelf.names[0])  # a mistake ends the command, not the visit
            page = in_a_loop(lambda: Page(chat, copy_examples(folder)).build(max_waiting))
            try:
                yield Demo(page, folder, max_upload_mb)
            finally:
                page.close(verbose=False)
        finally:
            shelf.close()


def free_port(host: str, ports: Sequence[int]) -> int:
    """The first port that nobody listens on. Gradio would try them too, and leave a socket open for each taken one.

    Raises:
        OSError: all are taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        try:
            with socket.create_server((host, port), family=family) as found:
                return found.getsockname()[1]
        except OSError as exc:
            taken = exc
    raise taken


def in_a_loop(make: Callable[[], Any]) -> Any:
    """`make()` while an event loop runs: where none does, Gradio opens some that it never closes."""

    async def made() -> Any:
        return make()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(made())
    return make()


def copy_examples(folder: Path) -> dict[str, Path]:
    """The clips of the tiny models by the model's name, where Gradio serves files from, each with a picture of it."""
    clips = {}
    shipped = shipped_models()
    for name in EXAMPLES:
        source = shipped.get(name)
        if source is not None and has_weights(source):
            clips[name] = folder / "examples" / f"{name}.mp4"
            clips[name].parent.mkdir(exist_ok=True)
            shutil.copyfile(source / "example.mp4", clips[name])
            with VideoReader.open(str(clips[name])) as reader:
                Image.fromarray(reader.read([len(reader) // 2])[0]).save(clips[name].with_suffix(".png"))
    return clips


def html(value: str, **kwargs: Any) -> gr.HTML:
    """A piece of the page that looks as `demo.css` says."""
    return gr.HTML(value, apply_default_css=False, **kwargs)


class Page:
    """Components, and the functions behind their events.

    Args:
        chat: with the models.
        clips: of the examples, by the model that knows them.
    """

    def __init__(self, chat: Chat, clips: dict[str, Path]):
        self.chat, self.clips = chat, clips
        self.names = chat.shelf.names

    def build(self, max_waiting: int = 32) -> gr.Blocks:
        """The page, with a queue for at most `max_waiting` events."""
        with gr.Blocks(
            title="video-lmms", analytics_enabled=False, fill_height=True, fill_width=True, delete_cache=_CLEANING
        ) as page:
            html("<h1>video-lmms</h1><p>Ask questions about videos.</p>", elem_id="vl-title")
            self.session = gr.State(Session())
            with gr.Row(elem_id="vl-columns"):
                with gr.Column(scale=7, elem_id="vl-talk"):
                    self.build_chat()
                with gr.Column(scale=4, min_width=340, elem_id="vl-side"):
                    self.build_side()
            self.connect()
        return page.queue(max_size=max_waiting, api_open=False)

    def build_chat(self) -> None:
        """Conversation, box and cost."""
        self.talk = gr.Chatbot(
            elem_id="vl-chat",
            show_label=False,
            height="calc(100vh - 260px)",
            layout="bubble",
            buttons=["copy"],
            placeholder="<h2>Ask a video</h2>Drop videos or images into the box below and ask about them.",
            examples=[
                {
                    "text": EXAMPLES[name],
                    "display_text": f"{EXAMPLES[name]} ({name})",
                    "icon": str(clip.with_suffix(".png")),
                }
                for name, clip in self.clips.items()
            ],
        )
        self.cost = html(hint_html(_HINT), elem_id="vl-cost")
        self.box = gr.MultimodalTextbox(
            elem_id="vl-box",
            show_label=False,
            placeholder="Ask about a video …",
            file_count="multiple",
            file_types=[*VIDEO_SUFFIXES, *IMAGE_SUFFIXES],
            max_plain_text_length=100_000,
            autofocus=True,
        )
        accept_uploads_only(self.box)
        for clip in self.clips.values():
            self.talk.keep_in_cache.add(str(clip.with_suffix(".png")))
            self.box.keep_in_cache.add(str(clip))

    def build_side(self) -> None:
        """Model, settings, and what the model looked at."""
        any_id = " Or write the id of a model on the Hub." if self.chat.shelf.hub_ids else ""
        self.model = gr.Dropdown(
            self.names,
            value=self.names[0],
            label="Model",
            info=f"The tiny models know moving shapes and nothing else.{any_id}",
            allow_custom_value=self.chat.shelf.hub_ids,
            elem_id="vl-model",
        )
        html("<h3>What the model looked at</h3>", elem_classes="vl-heading")
        self.films = html(films_html([]), elem_id="vl-films")
        with gr.Accordion("Generation", open=False, elem_id="vl-settings"):
            self.settings = [
                gr.Slider(1, MOST_NEW_TOKENS, 256, step=1, label="Longest answer", info="In tokens."),
                gr.Slider(0, 2, 0, step=0.05, label="Temperature", info="0 always takes the likeliest word."),
                gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="Draws from the likeliest words only."),
                gr.Slider(1, 8, 1, step=1, label="Beams", info="Above 1 the answer comes all at once."),
            ]
            self.sound = gr.Checkbox(False, label="Hear the videos' sound too", info="For models that have ears.")

    def connect(self) -> None:
        """Events to functions. Answers wait for one another, everything else is quick."""
        quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        asked = self.box.submit(
            self.ask, [self.box, self.session], [self.box, self.talk, self.films], queue=False, **quick
        )
        answered = asked.success(
            self.answer,
            [self.model, self.session, self.sound, *self.settings],
            [self.box, self.talk, self.films, self.cost],
            concurrency_limit=1,
            concurrency_id="answers",
            show_progress="minimal",
            show_progress_on=self.films,
            api_visibility="private",
        )
        answered.failure(self.recover, self.session, [self.box, self.talk, self.cost], queue=False, **quick)
        self.box.stop(self.stop, self.session, self.box, queue=False, **quick)
        inputs = [self.box, self.model, self.session, self.sound]
        for event in (self.box.change, self.model.change, self.sound.change):
            event(self.price, inputs, self.cost, trigger_mode="always_last", queue=False, **quick)
        self.talk.clear(self.clear, self.session, [self.films, self.cost], queue=False, **quick)
        self.talk.example_select(self.show_example, None, [self.box, self.model], queue=False, **quick)

    def ask(self, message: dict[str, Any], session: Session) -> tuple[Any, ...]:
        """Shows a question at once; `answer` answers it.

        Raises:
            gr.Error: there is no question, or the last one is still being answered.
        """
        text, files = message["text"].strip(), message["files"]
        if not text:
            raise gr.Error("Write a question first.", title="Nothing was asked")
        if session.generation is not None:
            raise gr.Error("Wait for the end of the answer, or stop it.", title="Still answering")
        session.asked = (text, files)
        session.shown += [{"role": "user", "content": {"path": file}} for file in files]
        session.shown.append({"role": "user", "content": text})
        box = gr.update(value=None, submit_btn=False, stop_btn=True)
        return box, session.shown, films_html([])

    def answer(self, model: str, session: Session, sound: bool, *settings: float) -> Iterator[tuple[Any, ...]]:
        """Writes the answer into the conversation as it comes; a mistake is written there too."""
        ready = gr.update(submit_btn=True, stop_btn=False)
        if session.asked is None:  # stopped while it waited
            yield ready, gr.skip(), gr.skip(), gr.skip()
            return
        (text, files), session.asked = session.asked, None
        options, reading, shown = answer_options(*settings), ReadingOptions(audio=sound), session.shown
        shown.append({"role": "assistant", "content": ""})
        yield gr.skip(), shown, gr.skip(), gr.skip()
        try:
            for update in self.chat.answer(session, model, text, files, options, reading):
                if session.shown is not shown:  # cleared meanwhile
                    yield ready, gr.skip(), gr.skip(), gr.skip()
                    return
                shown[-1]["content"] = update.text
                films = gr.skip() if update.films is None else films_html(update.films)
                yield gr.skip(), shown, films, gr.skip() if update.films is None else hint_html(update.footnote)
            # Gradio gives the last piece twice, the second time perhaps to somebody who has cleared the page since.
            yield ready, gr.skip(), gr.skip(), gr.skip()
        except VideoLmmError as exc:
            for file, message in zip(files, shown[-2 - len(files) :], strict=False):
                message["content"] = f"[{Path(file).name}]"
            shown[-1] |= {"content": str(exc), "metadata": {"title": "⚠ This could not be answered"}}
            again = gr.update(value={"text": text, "files": []}, submit_btn=True, stop_btn=False)
            yield again, shown, films_html([]), mistake_html(str(exc))

    def stop(self, session: Session) -> Any:
        """Ends the answer at the next token, or before it begins."""
        session.stop()
        return gr.update(submit_btn=True, stop_btn=False) if session.generation is None else gr.skip()

    def recover(self, session: Session) -> tuple[Any, list[dict[str, Any]], str]:
        """After what nobody foresaw: too many visitors, or no memory left."""
        session.stop()
        told = "This question could not be answered here. Too many may be waiting: try again in a while."
        return gr.update(submit_btn=True, stop_btn=False), session.shown, mistake_html(told)

    def clear(self, session: Session) -> tuple[str, str]:
        """Forgets a conversation."""
        session.clear()
        return films_html([]), hint_html(_HINT)

    def price(self, message: dict[str, Any], model: str, session: Session, sound: bool) -> Any:
        """What the next question would cost, or what is wrong with it."""
        text, files = message["text"].strip(), message["files"]
        if not text and not files:
            return gr.skip()
        try:
            engine, plan, _ = self.chat.plan(session, model, text, files, ReadingOptions(audio=sound))
        except VideoLmmError as exc:
            return mistake_html(str(exc))
        frames = sum(len(video["frames_indices"]) for video in plan.videos)
        seen = f"{frames:,} frames" if plan.videos else "images"
        parts = [(f"for {seen}", plan.visual_tokens), ("for text", plan.text_tokens)]
        return cost_html(parts, engine.context_length, plan.at_most)

    def show_example(self, event: gr.SelectData) -> tuple[dict[str, Any], str]:
        """Puts an example into the box, and chooses the model that knows it."""
        name = list(self.clips)[event.index]
        return {"text": EXAMPLES[name], "files": [str(self.clips[name])]}, name


def answer_options(max_new_tokens: float, temperature: float, top_p: float, beams: float) -> AnswerOptions:
    """The sliders' positions as options."""
    return AnswerOptions(
        max_new_tokens=int(max_new_tokens), temperature=float(temperature), top_p=float(top_p), num_beams=int(beams)
    )
