# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Language models that rate answers: behind an endpoint, or on this machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from .judges import JudgeError, Rater, Rating


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
        retries: further tries after a failure that may pass, with the pauses that the endpoint asks for.
        timeout: seconds of one request.

    Raises:
        JudgeError: OpenAI's client is not installed.
    """

    model: str
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    per_minute: float = 0.0
    workers: int = 4
    retries: int = 5
    timeout: float = 120.0
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise JudgeError("A judge behind an endpoint needs OpenAI's client: pip install openai") from error
        self.pace = Pace(self.per_minute)
        # Endpoints of one's own want no key, and the client wants one.
        key = os.environ.get(self.key_variable) or "none"
        self.client = openai.OpenAI(base_url=self.url, api_key=key, max_retries=self.retries, timeout=self.timeout)

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
        """One reply."""
        import openai

        self.pace.wait()
        kept = "What was judged is kept: run the command again."
        try:
            reply = self.client.chat.completions.create(
                model=self.model, messages=messages, temperature=0, max_tokens=64
            )
        except openai.APIStatusError as error:
            raise JudgeError(f"{self.url} does not answer for {self.model}: {error.message}. {kept}") from error
        except openai.APIError as error:
            raise JudgeError(f"{self.url} failed {self.retries + 1} times ({error.message}). {kept}") from error
        if not getattr(reply, "choices", None):
            raise JudgeError(f"{self.url} does not speak OpenAI's protocol: its reply holds no choices. {kept}")
        return Rating(reply.choices[0].message.content or "", reply.model or self.model)


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
