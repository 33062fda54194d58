# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""OpenAI-compatible chat completions about videos, on top of what `transformers serve` is made of.

The dialect is transformers': its handler writes the completions and the chunks of a stream. What it does between
request and answer is replaced, because for these models it would

- look at 32 frames of every video, whatever the model's paper says, and encode them again in every turn;
- ask for the sound of every video, which needs torchcodec;
- cut an encoder-decoder's answer at the length of its prompt;
- open any file and any address that a client names, at any size, on the loop that serves everybody else;
- load any model that a client names.

Here an [`Engine`] answers, and a [`MediaDoor`] opens media.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import anyio
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from transformers.cli.serving.chat_completion import ChatCompletionHandler

from ..errors import VideoLmmError
from ..processing.video_errors import VideoError
from .chat_requests import ChatRequest, parse_body, parse_chat
from .conversation import Conversation
from .engine import Answer, ClosedError, Engine, Generation
from .media_door import MediaDoor, media_error
from .metrics import CONTENT_TYPE, Metrics
from .planning import Plan
from .request_errors import RequestError, busy, fail, refuse, refuse_gone, refuse_route
from .streaming import AnswerOptions


# Tokens of prompt and answer for models whose positions have no end.
UNBOUNDED_CONTEXT = 8192
# OpenAI's name for each way that an answer ends.
FINISH_REASONS = {"stop": "stop", "length": "length", "cancelled": "stop"}


@dataclass(frozen=True)
class ServerLimits:
    """What one request, and all together, may ask for.

    Attributes:
        body_bytes: size of a body; base64 makes a file a third larger.
        body_seconds: time in which a body has to arrive.
        media: images, videos and sounds of a request.
        characters: of text in all messages.
        prompt_tokens: of the prompt with all media; by default what the model was made for.
        new_tokens: of an answer.
        default_new_tokens: of an answer, where the request does not say.
        requests: being read, opened, waiting or answered at once.
        opening: requests whose media are opened at once.
    """

    body_bytes: int = 64 << 20
    body_seconds: float = 60.0
    media: int = 16
    characters: int = 1 << 20
    prompt_tokens: int | None = None
    new_tokens: int = 4096
    default_new_tokens: int = 512
    requests: int = 64
    opening: int = 8


@dataclass
class Visit:
    """A request from its first byte to its last, for the numbers."""

    handler: ChatHandler
    begin: float
    model: str = ""

    def __post_init__(self):
        self.handler.active += 1

    def end(self, status: int) -> None:
        """Notes how it ended."""
        self.handler.active -= 1
        self.handler.metrics.add_request(self.model, status, time.perf_counter() - self.begin)


@dataclass
class Work:
    """A request whose answer is being made."""

    name: str
    model: str
    chat: ChatRequest
    conversation: Conversation
    generation: Generation


class EventStream(StreamingResponse):
    """A stream of events; a client that leaves, even before the first, ends the answer."""

    def __init__(self, events: AsyncIterator[str], visit: Visit, work: Work):
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.visit, self.work = visit, work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.work.generation.stop()
            self.visit.end(self.status_code)


class ChatHandler(ChatCompletionHandler):
    """transformers' handler, answering with engines.

    Args:
        engines: by the name that clients use; the first is the default.
        door: what opens media.
        limits: of requests.
    """

    def __init__(self, engines: Mapping[str, Engine], door: MediaDoor, limits: ServerLimits):
        super().__init__(model_manager=None, generation_state=None)
        self.engines, self.door, self.limits = dict(engines), door, limits
        self.metrics = Metrics()
        self.active = 0
        self._opening = anyio.CapacityLimiter(limits.opening)

    async def handle(self, request: Request) -> Response:
        """Answers a request, or tells why not."""
        if self.active >= self.limits.requests:
            raise busy(f"{self.active} requests are being served, and no more are accepted.")
        visit = Visit(self, time.perf_counter())
        try:
            chat = await self.read(request)
            visit.model = self.name_of(chat)
            engine = self.engines[visit.model]
            conversation, plan, options = await self.prepare(engine, chat)
            pieces: asyncio.Queue[str | None] = asyncio.Queue()
            # A whole answer is taken at its end: the loop is not woken for every piece of it.
            deliver = putting_into(pieces) if chat.stream else None
            generation = self.start(engine, conversation, options, plan, deliver)
            work = Work(f"chatcmpl-{uuid.uuid4().hex}", visit.model, chat, conversation, generation)
            if chat.stream:
                return EventStream(self.stream(work, pieces), visit, work)
            response = await self.complete(work, request)
        except BaseException as exc:
            visit.end(exc.status if isinstance(exc, RequestError) else 500)
            raise
        visit.end(200)
        return response

    async def read(self, request: Request) -> ChatRequest:
        """The body, checked.

        Raises:
            RequestError: it is too large, too slow, or not in order.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # Pages of other sites can send anything else to a server on the reader's machine, unasked.
            raise RequestError(f"The content type must be application/json, got {kind!r}.", 415, code="invalid_type")
        data = bytearray()
        try:
            with anyio.fail_after(self.limits.body_seconds):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > self.limits.body_bytes:
                        raise RequestError(
                            f"The body has more than {self.limits.body_bytes:,} bytes. Pass videos by URL.",
                            413,
                            code="body_too_large",
                        )
        except TimeoutError:
            raise RequestError(
                f"The body did not arrive within {self.limits.body_seconds:g} seconds.", 408, code="timeout"
            ) from None
        body = await run_in_threadpool(parse_body, bytes(data))
        chat = parse_chat(body)
        if (chat.max_tokens or 0) > self.limits.new_tokens:
            raise RequestError(
                f"An answer has at most {self.limits.new_tokens} tokens here, got {chat.max_tokens}.",
                param="max_tokens",
                code="invalid_value",
            )
        if chat.num_characters > self.limits.characters:
            raise RequestError(
                f"All messages have at most {self.limits.characters:,} characters, got {chat.num_characters:,}.",
                param="messages",
                code="context_length_exceeded",
            )
        if chat.num_media > self.limits.media:
            raise RequestError(
                f"A request holds at most {self.limits.media} images, videos and sounds, got {chat.num_media}.",
                param="messages",
                code="too_many_media",
            )
        return chat

    def name_of(self, chat: ChatRequest) -> str:
        """The model that a request wants.

        Raises:
            RequestError: it is not served here.
        """
        name = chat.model or next(iter(self.engines))
        if name not in self.engines:
            raise RequestError(
                f"The model {name[:80]!r} is not served here. Served: {', '.join(self.engines)}.",
                404,
                param="model",
                code="model_not_found",
            )
        return name

    async def prepare(self, engine: Engine, chat: ChatRequest) -> tuple[Conversation, Plan, AnswerOptions]:
        """Opens the media and writes the prompt, without holding up anybody else.

        Raises:
            RequestError: a medium cannot be used, or the prompt is too long.
        """
        if engine.waiting > engine.max_waiting:  # before anything is downloaded for nothing
            raise busy(f"{engine.waiting} answers are being made or wait.")
        async with self._opening:
            conversation = await run_in_threadpool(self.door.conversation, chat)
            try:
                plan = await run_in_threadpool(self.plan, engine, conversation, chat)
                return conversation, plan, self.options(engine, plan, chat)
            except BaseException:
                conversation.close()
                raise

    def plan(self, engine: Engine, conversation: Conversation, chat: ChatRequest) -> Plan:
        """The prompt.

        Raises:
            RequestError: it cannot be written.
        """
        try:
            return engine.plan(conversation, chat.reading)
        except VideoError as exc:
            raise described(exc, conversation) from exc
        except (VideoLmmError, ValueError) as exc:
            raise RequestError(str(exc), code="invalid_request") from exc

    def options(self, engine: Engine, plan: Plan, chat: ChatRequest) -> AnswerOptions:
        """How to generate, with a length for which there is room.

        Raises:
            RequestError: there is none.
        """
        wanted = chat.max_tokens or min(self.limits.default_new_tokens, self.limits.new_tokens)
        room = self.limits.prompt_tokens or engine.context_length or UNBOUNDED_CONTEXT
        # A model that makes its videos fit needs room for the text alone.
        needed = plan.text_tokens if plan.at_most else plan.prompt_tokens
        left = room - needed
        if left < (chat.max_tokens or 1):
            raise RequestError(
                f"The prompt has {needed} tokens, {needed - plan.text_tokens} of them for media, and the answer up to "
                f"{chat.max_tokens or 1}; {room} fit. Ask for a shorter answer, fewer frames or fewer videos.",
                param="messages",
                code="context_length_exceeded",
            )
        return replace(chat.answer, max_new_tokens=min(wanted, left))

    def start(
        self,
        engine: Engine,
        conversation: Conversation,
        options: AnswerOptions,
        plan: Plan,
        deliver: Callable[[str | None], None] | None,
    ) -> Generation:
        """Puts the answer into the engine's queue; when it is done, what was downloaded for it goes.

        Raises:
            RequestError: the queue is full, or the server is being shut down.
        """
        try:
            generation = engine.start(conversation, options, plan=plan, deliver=deliver)
        except VideoLmmError as exc:
            conversation.close()
            if isinstance(exc, ClosedError):
                raise RequestError(str(exc), 503, code="shutting_down") from exc
            raise busy(str(exc)) from exc
        generation.future.add_done_callback(lambda future: conversation.close())
        return generation

    async def complete(self, work: Work, request: Request) -> Response:
        """The whole answer in one piece; a client that leaves ends it."""
        watch = asyncio.create_task(stop_when_gone(request, work.generation))
        try:
            answer = await self.finished(work)
        finally:
            watch.cancel()
            work.generation.stop()
        reason = FINISH_REASONS[answer.finish_reason]
        completion = self._build_completion(
            work.name, answer.text, work.model, finish_reason=reason, usage=usage_of(answer)
        )
        if work.chat.return_frames:
            completion["videos"] = answer.videos
        return JSONResponse(completion)

    async def stream(self, work: Work, pieces: asyncio.Queue[str | None]) -> AsyncIterator[str]:
        """Events of an answer."""
        yield self._build_chunk_sse(work.name, role="assistant", model=work.model)
        async for text in gathered(pieces):
            yield self._build_chunk_sse(work.name, content=text, model=work.model)
        try:
            answer = await self.finished(work)
        except RequestError as exc:  # the status was sent long ago
            yield f"data: {json.dumps(exc.as_dict())}\n\n"
            return
        reason = FINISH_REASONS[answer.finish_reason]
        yield self._build_chunk_sse(work.name, finish_reason=reason, model=work.model)
        if work.chat.include_usage or work.chat.return_frames:
            yield last_chunk(work, answer)
        yield "data: [DONE]\n\n"

    async def finished(self, work: Work) -> Answer:
        """The answer, once it is there.

        Raises:
            RequestError: a medium could not be decoded, or there was no room for it.
        """
        try:
            answer = await asyncio.shield(asyncio.wrap_future(work.generation.future))
        except VideoError as exc:
            raise described(exc, work.conversation) from exc
        except (VideoLmmError, ValueError) as exc:
            raise RequestError(str(exc), code="invalid_request") from exc
        self.metrics.add_answer(work.model, answer)
        return answer


def build_app(
    engines: Mapping[str, Engine],
    *,
    door: MediaDoor | None = None,
    limits: ServerLimits | None = None,
    api_keys: Sequence[str] = (),
) -> Starlette:
    """The server as an ASGI application, which closes the engines when it is shut down.

    Args:
        engines: by the name that clients use; the first answers where a request names none.
        door: what opens media; by default data and public URLs only.
        limits: of requests.
        api_keys: one of these has to come with every request but `/health`; by default none is needed.
    """
    handler = ChatHandler(engines, door or MediaDoor(), limits or ServerLimits())
    created = int(time.time())

    def guarded(respond: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            check_key(request, api_keys)
            return await respond(request)

        return guard

    async def models(request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": created, "owned_by": "video-lmms"} for name in engines]
        return JSONResponse({"object": "list", "data": data})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "models": list(engines), "waiting": waiting_in(engines)})

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(handler.metrics.render(engines), media_type=CONTENT_TYPE)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        for engine in engines.values():
            await run_in_threadpool(engine.close)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", guarded(handler.handle), methods=["POST"]),
            Route("/v1/models", guarded(models)),
            Route("/metrics", guarded(metrics)),
            Route("/health", health),
        ],
        exception_handlers={
            RequestError: refuse,
            HTTPException: refuse_route,
            ClientDisconnect: refuse_gone,
            Exception: fail,
        },
        lifespan=lifespan,
    )


def check_key(request: Request, api_keys: Sequence[str]) -> None:
    """Refuses a request without one of the keys.

    Raises:
        RequestError: 401.
    """
    if not api_keys:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    found = [hmac.compare_digest(key.strip().encode(), known.encode()) for known in api_keys]
    if scheme.lower() != "bearer" or not any(found):
        raise RequestError(
            "The API key is missing or wrong: send it as `Authorization: Bearer KEY`.", 401, code="invalid_api_key"
        )


def putting_into(pieces: asyncio.Queue[str | None]) -> Callable[[str | None], None]:
    """A function that puts pieces into a queue of the running loop, from any thread."""
    loop = asyncio.get_running_loop()

    def put(piece: str | None) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, piece)

    return put


async def gathered(pieces: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    """The pieces until None, those together that came together: whoever writes slowly writes fewer events."""
    ended = False
    while not ended:
        ready = [await pieces.get()]
        while not pieces.empty():
            ready.append(pieces.get_nowait())
        ended = ready[-1] is None
        if text := "".join(piece for piece in ready if piece is not None):
            yield text


async def stop_when_gone(request: Request, generation: Generation) -> None:
    """Ends an answer when its client hangs up."""
    with suppress(ClientDisconnect):
        while (await request.receive())["type"] != "http.disconnect":
            pass
    generation.stop()


def waiting_in(engines: Mapping[str, Engine]) -> int:
    """Answers being made or waiting."""
    return sum(engine.waiting for engine in engines.values())


def described(exc: VideoError, conversation: Conversation) -> RequestError:
    """The error for a medium, by the name the client gave it instead of a path of this machine."""
    error = media_error(exc, "messages")
    for medium in conversation.media:
        if isinstance(medium.payload, str):
            ending = medium.payload[-40:]
            place = error.message.find(ending)
            if place >= 0:
                error.message = medium.name + error.message[place + len(ending) :]
    return error


def usage_of(answer: Answer) -> CompletionUsage:
    """Numbers of tokens."""
    return CompletionUsage(
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.new_tokens,
        total_tokens=answer.prompt_tokens + answer.new_tokens,
    )


def last_chunk(work: Work, answer: Answer) -> str:
    """The event after the last piece of text."""
    chunk = ChatCompletionChunk(
        id=work.name,
        created=int(time.time()),
        model=work.model,
        choices=[],
        object="chat.completion.chunk",
        usage=usage_of(answer) if work.chat.include_usage else None,
    )
    data = chunk.model_dump(exclude_none=True)
    if work.chat.return_frames:
        data["videos"] = answer.videos
    return f"data: {json.dumps(data)}\n\n"


__all__ = ["ChatHandler", "ServerLimits", "build_app"]
