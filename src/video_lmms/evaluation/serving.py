# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a server adds to the time of an answer: the same request over HTTP and in this process, in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import openai
import uvicorn

from ..apps.conversation import Conversation
from ..apps.engine import AnswerOptions, Engine
from ..apps.media_door import MediaDoor
from ..apps.server import ServerLimits, build_app
from ..cli.listening import listen, url_of


QUESTION = "What happens in the video?"


@dataclass
class ServingCost:
    """One way to ask.

    Attributes:
        way: "whole" or "stream".
        fresh: whether the video had to be decoded and encoded.
        in_process: seconds of a request, the median of all rounds.
        ratio: time of the served request over that of the one in process, the median of all rounds.
        cpu_ratio: likewise, of the least processor time in any round, because other work on the machine only adds to
            it; the client's is included.
    """

    way: str
    fresh: bool
    in_process: float
    ratio: float
    cpu_ratio: float


@contextmanager
def served(engine: Engine, video: str, new_tokens: int) -> Iterator[openai.OpenAI]:
    """OpenAI's client of a server on loopback whose only model is `engine`; the engine is closed with it."""
    door = MediaDoor([video.rpartition("/")[0] or "."])
    app = build_app({"model": engine}, door=door, limits=ServerLimits(new_tokens=new_tokens))
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with openai.OpenAI(base_url=f"{url_of('127.0.0.1', listener)}/v1", api_key="none", max_retries=0) as client:
            yield client
        server.should_exit = True
        thread.join()


def compare(source: str, video: str, *, new_tokens: int, rounds: int, device: str | None = None) -> list[ServingCost]:
    """Costs of whole and streamed answers of exactly `new_tokens` tokens, on a fresh video and on a known one.

    Args:
        source: of the model.
        video: path.
        new_tokens: of every answer.
        rounds: times that each request is made, after one that does not count.
        device: see `hub.load`.

    Raises:
        VideoLmmError: the model cannot be loaded.
    """
    engine = Engine(source, device=device)
    engine.model.generation_config.eos_token_id = None  # every answer has its full length
    costs = []
    with served(engine, video, new_tokens) as client:
        for way in ("whole", "stream"):
            here, there = in_process(engine, video, new_tokens, way), over_http(client, video, new_tokens, way)
            for fresh in (True, False):
                times: dict[Callable[[], None], list[tuple[float, float]]] = {here: [], there: []}
                for number in range(rounds + 1):
                    for ask in (here, there) if number % 2 else (there, here):
                        times[ask].append(timed(ask, engine, fresh))
                costs.append(summarise(way, fresh, times[here][1:], times[there][1:]))
    return costs


def summarise(way: str, fresh: bool, here: list[tuple[float, float]], there: list[tuple[float, float]]) -> ServingCost:
    """One row from the (wall, processor) seconds of all rounds, in process and over HTTP."""
    (wall, cpu), (served_wall, served_cpu) = zip(*here, strict=True), zip(*there, strict=True)
    ratios = [over / alone for over, alone in zip(served_wall, wall, strict=True)]
    return ServingCost(way, fresh, median(wall), median(ratios), min(served_cpu) / min(cpu))


def timed(ask: Callable[[], None], engine: Engine, fresh: bool) -> tuple[float, float]:
    """Seconds of one request, and seconds that processors worked on it."""
    if fresh:
        engine.memory.clear()
    begin, cpu = time.perf_counter(), time.process_time()
    ask()
    return time.perf_counter() - begin, time.process_time() - cpu


def in_process(engine: Engine, video: str, new_tokens: int, way: str) -> Callable[[], None]:
    """A request to the engine."""

    def ask() -> None:
        conversation = Conversation()
        conversation.ask(QUESTION, videos=[video])
        generation = engine.start(conversation, AnswerOptions(max_new_tokens=new_tokens))
        if way == "stream":
            for _ in generation:
                pass
        generation.wait()

    return ask


def over_http(client: openai.OpenAI, video: str, new_tokens: int, way: str) -> Callable[[], None]:
    """The same request to the server."""
    parts = [{"type": "video_url", "video_url": {"url": video}}, {"type": "text", "text": QUESTION}]
    messages = [{"role": "user", "content": parts}]

    def ask() -> None:
        answer = client.chat.completions.create(
            model="model", messages=messages, max_tokens=new_tokens, stream=way == "stream"
        )
        if way == "stream":
            for _ in answer:
                pass

    return ask


__all__ = ["ServingCost", "compare"]
