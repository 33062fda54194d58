# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""One loaded model that many people talk to: the part that the demo, the server and the terminal chat share.

    engine = Engine("tiny-pllava")
    conversation = Conversation()
    conversation.ask("What moves?", videos=["clip.mp4"])
    print(engine.plan(conversation).prompt_tokens)      # nothing is decoded for this
    for piece in (generation := engine.start(conversation)):
        print(piece, end="")
    conversation.answer(generation.answer.text)         # a further question re-uses what was made of the clip

An answer takes four steps. `plan` writes the prompt and knows its length from the videos' metadata. `look` decodes and
encodes those media that are not remembered from earlier turns or from somebody else's conversation. `choose` lets the
question decide where a model has such a step. `generate` writes. Plans are made at once, by whoever asks; the other
steps of all answers run one behind the other in a single thread.
"""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from ..errors import VideoLmmError
from ..hub.checks import given_length
from ..hub.loading import load, parse_dtype
from ..processing.video_errors import VideoLimits
from .conversation import Conversation
from .encoding import Looker
from .media_memory import DEFAULT_MEMORY_BYTES, MediaMemory
from .planning import Plan, Planner, ReadingOptions
from .streaming import AnswerOptions, AnswerStreamer, StopWhen, UsagePenalty


class BusyError(VideoLmmError):
    """More answers are waiting than the engine lets wait."""


class ClosedError(VideoLmmError):
    """The engine takes no more questions."""


@dataclass
class Answer:
    """A finished answer.

    Attributes:
        text: without white space around it.
        finish_reason: "stop" where the model or a stop string ended it, "length" at `max_new_tokens`, "cancelled".
        prompt_tokens: length of the prompt with all visual tokens.
        new_tokens: generated, the end of the sequence included.
        videos: facts on each video: name, duration, `frames_indices` looked at and their `times`, and what the model
            itself chose.
        remembered: number of media that were not encoded again.
        seconds: time of each phase.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    new_tokens: int
    videos: list[dict[str, Any]]
    remembered: int
    seconds: dict[str, float] = field(default_factory=dict)


class Generation:
    """An answer that is being made; iterating gives its text piece by piece, then `answer` is there."""

    def __init__(self, plan: Plan, deliver: Callable[[str | None], None] | None = None):
        self.plan = plan
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._deliver = deliver or self._pieces.put
        self._stop = threading.Event()
        self.future: Future[Answer] | None = None

    def __iter__(self) -> Iterator[str]:
        while (piece := self._pieces.get()) is not None:
            yield piece
        self.wait()

    def wait(self) -> Answer:
        """The finished answer.

        Raises:
            VideoError: a medium cannot be decoded.
            VideoLmmError: there is no room for the media.
        """
        return self.future.result()

    @property
    def answer(self) -> Answer:
        """As [`wait`]."""
        return self.wait()

    def stop(self) -> None:
        """Ends the answer at the next token, or before it begins; what is there remains."""
        self._stop.set()


class Engine:
    """A model with its processor, a memory of media, and a queue.

    Args:
        source: folder, Hub id or shipped name.
        device: see `hub.load`.
        dtype: name of a floating-point dtype; None keeps that of the files.
        memory_bytes: of features of media that are kept.
        max_waiting: answers that may wait while another is made.
        limits: what media may be; by default those of the reader.
        load_options: of `hub.load`.

    Raises:
        VideoLmmError: the model cannot be loaded, or the dtype is unknown.
    """

    def __init__(
        self,
        source: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        max_waiting: int = 32,
        limits: VideoLimits | None = None,
        **load_options: Any,
    ):
        start = time.perf_counter()
        wanted = None if dtype is None else parse_dtype(dtype)
        self.model, self.processor = load(source, device=device, dtype=wanted, **load_options)
        self.source, self.limits = source, limits or VideoLimits()
        self.memory = MediaMemory(memory_bytes)
        self.max_waiting, self.load_seconds = max_waiting, time.perf_counter() - start
        # Fast tokenizers are not made for several threads: planning has a processor of its own.
        self._planner = Planner(source, copy.deepcopy(self.processor), self.model, self.limits)
        self.looker = Looker(self.model, self.processor, self.memory, self.limits)
        self._planning, self._counting = threading.Lock(), threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="video-lmms")
        self._unfinished: set[Generation] = set()
        self._closed = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """Answers that are being made or wait."""
        return len(self._unfinished)

    @property
    def context_length(self) -> int | None:
        """Tokens that the language model was made for; None where it states no bound, as T5's relative positions."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def close(self, *, cancel: bool = True) -> None:
        """Takes no more questions, ends those that are being answered (or, without `cancel`, waits for them)."""
        with self._counting:
            self._closed = True
            unfinished = list(self._unfinished)
        for generation in unfinished if cancel else ():
            generation.stop()
        self._worker.shutdown(wait=True)

    def plan(self, conversation: Conversation, reading: ReadingOptions | None = None) -> Plan:
        """What an answer would cost, and which frames it would look at. Nothing is decoded but images and sounds.

        Args:
            conversation: ends with what the user asks.
            reading: how to look at videos; by default as the model's paper does.

        Raises:
            VideoError: a medium cannot be opened.
            VideoLmmError: an option or a medium that the model does not take.
        """
        with self._planning:
            return self._planner.plan(conversation, reading or ReadingOptions())

    def start(
        self,
        conversation: Conversation,
        options: AnswerOptions | None = None,
        reading: ReadingOptions | None = None,
        *,
        plan: Plan | None = None,
        deliver: Callable[[str | None], None] | None = None,
    ) -> Generation:
        """Begins an answer, or lets it wait behind others.

        Args:
            conversation: ends with what the user asks; it is not changed.
            options: how to generate.
            reading: see [`plan`].
            plan: of the same conversation, where it was made already.
            deliver: called in the engine's thread with each piece of text, and with None at the end; iterating over
                the generation then gives nothing.

        Raises:
            BusyError: too many answers wait.
            ClosedError: after `close`.
            VideoLmmError: see [`plan`].
        """
        generation = Generation(plan or self.plan(conversation, reading), deliver)
        with self._counting:
            if self._closed:
                raise ClosedError(f"{self.source} is being shut down and takes no more questions.")
            if len(self._unfinished) > self.max_waiting:
                raise BusyError(
                    f"{len(self._unfinished)} answers are being made or wait, and at most {self.max_waiting} may "
                    "wait. Try again later."
                )
            self._unfinished.add(generation)
            generation.future = self._worker.submit(self._run, generation, options or AnswerOptions())
        return generation

    def answer(
        self,
        conversation: Conversation,
        options: AnswerOptions | None = None,
        reading: ReadingOptions | None = None,
    ) -> Answer:
        """A whole answer; arguments and errors as those of [`start`]."""
        return self.start(conversation, options, reading).wait()

    def _run(self, generation: Generation, options: AnswerOptions) -> Answer:
        try:
            if generation._stop.is_set():
                plan = generation.plan
                return Answer("", "cancelled", plan.prompt_tokens, 0, plan.videos, 0)
            return self.write(generation.plan, options, show=generation._deliver, stop=generation._stop)
        finally:
            with self._counting:
                self._unfinished.discard(generation)
            generation._deliver(None)

    @torch.inference_mode()
    def write(
        self,
        plan: Plan,
        options: AnswerOptions,
        *,
        show: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Answer:
        """Looks, chooses and generates, in the calling thread; [`start`] does it in the engine's.

        Args:
            plan: from [`plan`].
            options: how to generate.
            show: receives the text piece by piece.
            stop: ends the answer early.
        """
        begin = time.perf_counter()
        view = self.looker.look(plan)
        looked = time.perf_counter()
        inputs, videos = self.looker.choose(plan, view)
        stop = stop or threading.Event()
        decode = self.processor.tokenizer.decode
        streamer = AnswerStreamer(
            lambda ids: decode(ids, skip_special_tokens=True),
            show,
            (*options.stop, getattr(self.processor, "stop_string", "")),
        )
        first: list[float] = []
        streamer.on_first_token = lambda: first.append(time.perf_counter())
        self._generate(inputs, options, streamer, stop)
        self.memory.shrink()
        end = time.perf_counter()
        first_token = first[0] if first else end
        return Answer(
            text=streamer.text,
            finish_reason=self._finish_reason(streamer, options, stop),
            prompt_tokens=inputs["input_ids"].shape[1],
            new_tokens=len(streamer.tokens),
            videos=videos,
            remembered=view.remembered,
            seconds={
                "look": looked - begin,
                "first_token": first_token - looked,
                "other_tokens": end - first_token,
            },
        )

    def _generate(
        self, inputs: Mapping[str, Any], options: AnswerOptions, streamer: AnswerStreamer, stop: threading.Event
    ) -> None:
        processors = LogitsProcessorList()
        if options.frequency_penalty or options.presence_penalty:
            given = given_length(self.model, inputs)
            processors.append(UsagePenalty(options.frequency_penalty, options.presence_penalty, given))
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices, enabled=options.seed is not None):
            if options.seed is not None:
                torch.manual_seed(options.seed)
            output = self.model.generate(
                **inputs,
                generation_config=options.generation_config(self.model.generation_config),
                logits_processor=processors,
                stopping_criteria=StoppingCriteriaList([StopWhen(stop)]),
                streamer=streamer if options.num_beams == 1 else None,
                tokenizer=self.processor.tokenizer,
            )
        if options.num_beams > 1:  # which beam wins is known at the end
            streamer.put(inputs["input_ids"])
            streamer.put(output[0, given_length(self.model, inputs) :])
            streamer.end()

    def _finish_reason(self, streamer: AnswerStreamer, options: AnswerOptions, stop: threading.Event) -> str:
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        if streamer.stopped or (streamer.tokens and streamer.tokens[-1] in ends):
            return "stop"
        if stop.is_set():
            return "cancelled"
        return "length" if len(streamer.tokens) >= options.max_new_tokens else "stop"


__all__ = ["Answer", "AnswerOptions", "BusyError", "ClosedError", "Engine", "Generation", "ReadingOptions"]
