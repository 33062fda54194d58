# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Language models that rate answers: behind an endpoint, or on this machine."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from .judges import JudgeError, Rater, Rating


# Replies of an endpoint that are worth another try.
TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT = 60.0


class Pace:
    """Lets so many calls begin per minute, evenly.

    Args:
        per_minute: calls; 0 for no limit.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic, sleep: Callable = time.sleep):
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self.clock, self.sleep = clock, sleep
        self.next = clock()
        self.lock = threading.Lock()

    def wait(self) -> None:
        with self.lock:
            start = max(self.next, self.clock())
            self.next = start + self.gap
        delay = start - self.clock()
        if delay > 0:
            self.sleep(delay)


@dataclass
class EndpointRater:
    """A model behind an endpoint that speaks OpenAI's chat protocol.

    Attributes:
        model: as the endpoint names it, with its date or version.
        url: of the protocol's root, such as https://api.openai.com/v1.
        key_variable: environment variable that holds the key; the key itself is never written anywhere.
        per_minute: requests per minute; 0 for no limit.
        workers: requests at a time.
        retries: further tries after a failure that may pass.
        timeout: seconds of one request.
    """

    model: str
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    per_minute: float = 0.0
    workers: int = 4
    retries: int = 5
    timeout: float = 120.0
    first_wait: float = 1.0
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.per_minute)

    @property
    def name(self) -> str:
        return f"openai:{self.model}"

    def rate(self, conversations: Sequence[list[dict[str, str]]]) -> Iterator[tuple[int, Rating]]:
        """See [`Rater`].

        Raises:
            JudgeError: the endpoint refuses, or fails time and again.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            calls = {pool.submit(self.ask, messages): number for number, messages in enumerate(conversations)}
            try:
                for call in as_completed(calls):
                    yield calls[call], call.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, messages: list[dict[str, str]]) -> Rating:
        """One reply, with retries."""
        content = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 64}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(content).encode(), headers)
        problem = ""
        for attempt in range(self.retries + 1):
            self.pace.wait()
            asked_to_wait = 0.0
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    reply = json.load(response)
                return Rating(reply["choices"][0]["message"]["content"] or "", reply.get("model", self.model))
            except urllib.error.HTTPError as error:
                problem = f"{error.code} {error.reason}"
                with error:
                    detail = error.read(500).decode(errors="replace")
                if error.code not in TRANSIENT:
                    raise JudgeError(f"{address} refuses {self.model}: {problem}. {detail}") from None
                asked_to_wait = seconds_of(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
                problem = f"{type(error).__name__}: {error}"
            if attempt < self.retries:
                self.pace.sleep(
                    max(asked_to_wait, min(LONGEST_WAIT, self.first_wait * 2**attempt * random.uniform(1, 1.5)))
                )
        raise JudgeError(
            f"{address} failed {self.retries + 1} times ({problem}). What was judged is kept: run the command again."
        )


def seconds_of(header: str | None) -> float:
    """Seconds that a Retry-After header asks for; 0 for none, or a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0


class LocalRater:
    """A language model with a chat template, through transformers, greedy.

    Args:
        source: folder or Hub id.
        device: where to put it; None for the first accelerator, else CPU.
        dtype: of the weights; None for that of the files.
        batch_size: conversations at a time.

    Raises:
        JudgeError: it cannot be loaded, or has no chat template.
    """

    def __init__(self, source: str, device: str | None = None, dtype: str | None = None, batch_size: int = 8):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from ..hub.loading import default_device

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
            self.model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype or "auto")
        except (OSError, ValueError) as error:
            raise JudgeError(f"{source} cannot be loaded as a judge: {str(error).splitlines()[0]}") from error
        if self.tokenizer.chat_template is None:
            raise JudgeError(f"{source} has no chat template, so it cannot be asked for ratings. Choose a chat model.")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model.to(device or default_device()).eval()
        self.name, self.batch_size = f"local:{source}", batch_size

    def rate(self, conversations: Sequence[list[dict[str, str]]]) -> Iterator[tuple[int, Rating]]:
        """See [`Rater`]."""
        import torch

        for start in range(0, len(conversations), self.batch_size):
            batch = conversations[start : start + self.batch_size]
            inputs = self.tokenizer.apply_chat_template(
                list(batch),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                padding=True,
            ).to(self.model.device)
            with torch.no_grad():
                ids = self.model.generate(
                    **inputs, max_new_tokens=64, do_sample=False, pad_token_id=self.tokenizer.pad_token_id
                )
            texts = self.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            yield from ((start + number, Rating(text, self.name)) for number, text in enumerate(texts))


def find_rater(name: str, url: str | None, key_variable: str, per_minute: float, device: str | None) -> Rater:
    """The rater that `--judge` names.

    Raises:
        JudgeError: neither `openai:MODEL` nor `local:FOLDER`.
    """
    kind, _, model = name.partition(":")
    if kind == "openai" and model:
        options = {} if url is None else {"url": url}
        return EndpointRater(model, key_variable=key_variable, per_minute=per_minute, **options)
    if kind == "local" and model:
        return LocalRater(model, device)
    raise JudgeError(f"There is no judge {name!r}. Use rules, openai:MODEL or local:FOLDER.")


__all__ = ["EndpointRater", "LocalRater", "Pace", "find_rater"]
