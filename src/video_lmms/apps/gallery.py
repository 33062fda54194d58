# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The gallery: pages on the samples of one evaluation run, or of two side by side.

    app = create_gallery(["runs/first", "runs/second"])     # an ASGI app; `uvicorn.run(app)`

A run that goes on is shown as it grows. Nothing is loaded from elsewhere, nothing is written, and a client cannot name
a path: media are asked for by sample and number.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import VideoLmmError
from ..evaluation.records import RecordError
from .gallery_media import MediaFolder, Strips, content_type, describe_media, strip_frames
from .gallery_samples import DIFFERENCES, VERDICTS, Answer, Collection, Filter, GalleryError, Sample, stamp


PAGE = Path(__file__).parent / "gallery_page"
# A page shows answers of models and text of data sets: none of it may run, and nothing may be fetched from elsewhere
# but a medium that the run itself names by an address.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "media-src 'self' http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
# Samples per page of the list.
PAGE_LENGTH = 100


class Gallery:
    """The runs that are shown, read again whenever a file of theirs has changed.

    Args:
        folders: one run, or two to compare.
        media_root: where the media lie now, if not where the runs say.

    Raises:
        RecordError: a folder holds no run, or a file of it is damaged.
        GalleryError: neither one nor two folders.
    """

    def __init__(self, folders: Sequence[str | Path], media_root: str | Path | None = None):
        if len(folders) not in (1, 2):
            raise GalleryError(f"A gallery shows one run or compares two; got {len(folders)} folders.")
        self.folders = [Path(folder) for folder in folders]
        root = None if media_root is None else Path(media_root)
        if root is not None and not root.is_dir():
            raise GalleryError(f"--media-root {root} is no folder.")
        self.media = [MediaFolder(folder, root) for folder in self.folders]
        self.strips = Strips()
        self._lock, self._comparing = threading.Lock(), threading.Lock()
        self._stamp, self._collection = stamp(self.folders), Collection.read(self.folders)
        self._comparisons: dict[tuple[Any, str], dict[str, Any]] = {}

    @property
    def collection(self) -> Collection:
        """The runs as they stand on disk now."""
        with self._lock:
            now = stamp(self.folders)
            if now != self._stamp:
                self._stamp, self._collection = now, Collection.read(self.folders)
            return self._collection

    @property
    def version(self) -> str:
        """Changes when the runs do."""
        return f"{hash(self._stamp):x}"

    def runs(self, request: Request) -> Response:
        """What is known of the runs, and what can be filtered by."""
        collection = self.collection
        return Json(
            {
                "version": self.version,
                "runs": [collection.summary(run) for run in range(len(collection.runs))],
                "judges": collection.judges,
                "verdicts": VERDICTS,
                "differences": list(DIFFERENCES),
            },
        )

    def comparison(self, request: Request) -> Response:
        """How much better the second run is than the first, on the samples that both answered."""
        collection, judge = self.collection, request.query_params.get("judge", "")
        key = (self._stamp, judge)
        with self._comparing:
            if key not in self._comparisons:
                self._comparisons = {key: compare_tasks(collection, judge)}
            return Json({"tasks": self._comparisons[key]})

    def samples(self, request: Request) -> Response:
        """A page of the list of samples that pass the filter, and how many would with other values."""
        collection, chosen = self.collection, Filter.of(request.query_params)
        found, counts = collection.select(chosen)
        first = _number(request, "page") * PAGE_LENGTH
        return Json(
            {
                "version": self.version,
                "total": len(found),
                "all": len(collection.samples),
                "page": first // PAGE_LENGTH,
                "pages": max(1, -(-len(found) // PAGE_LENGTH)),
                "samples": [collection.brief(sample, chosen.judge) for sample in found[first : first + PAGE_LENGTH]],
                "counts": counts,
            },
        )

    def sample(self, request: Request) -> Response:
        """All about one sample, and where it is among those that pass the filter."""
        collection, chosen = self.collection, Filter.of(_without_name(request))
        sample = _named(request, collection)
        found, _ = collection.select(chosen)
        keys = [other.key for other in found]
        place = keys.index(sample.key) if sample.key in keys else None
        answers = [self._describe(answer, run, chosen.judge) for run, answer in enumerate(sample.answers)]
        return Json(
            {
                "task": sample.task,
                "id": sample.id,
                "subset": sample.subset,
                "answers": answers,
                "place": place,
                "page": None if place is None else place // PAGE_LENGTH,
                "total": len(found),
                "previous": _neighbour(keys, place, -1),
                "next": _neighbour(keys, place, +1),
            },
        )

    def medium(self, request: Request) -> Response:
        """A file that a sample names, in parts where the client asks for a range."""
        answer, media, number = self._medium(request)
        path = media.find(_path_of(answer, number))
        if path.is_dir():
            raise GalleryError(f"{path.name} is a folder of images, which are shown one by one.", 415)
        return FileResponse(path, media_type=content_type(path), headers={"Cache-Control": "private, max-age=60"})

    def picture(self, request: Request) -> Response:
        """A small JPEG picture of a sampled frame."""
        answer, media, number = self._medium(request)
        path = media.find(_path_of(answer, number))
        picture = self.strips.picture(path, strip_frames(answer.record, number), request.path_params["frame"])
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    def _describe(self, answer: Answer | None, run: int, judge: str) -> dict[str, Any] | None:
        if answer is None:
            return None
        name = self.collection.judge_of(run, answer, judge)
        return {
            "record": answer.record,
            "scores": list(answer.scores),
            "judge": name,
            "verdict": answer.verdict(name),
            "score": answer.score(name),
            "media": describe_media(answer.record, self.media[run]),
        }

    def _medium(self, request: Request) -> tuple[Answer, MediaFolder, int]:
        """The run's answer, where its media are, and the number of the medium that is asked for."""
        sample, run, number = (
            _named(request, self.collection),
            request.path_params["run"],
            request.path_params["medium"],
        )
        answer = sample.answers[run] if run < len(sample.answers) else None
        if answer is None:
            raise GalleryError(f"Run {run} has no sample {sample.id!r} of task {sample.task!r}.", 404)
        return answer, self.media[run], number


class Json(JSONResponse):
    """JSON that browsers read: a number that is none, as a judge may have written, is null."""

    def render(self, content: Any) -> bytes:
        return super().render(_finite(content))


class SafeHeaders:
    """Adds `HEADERS` to every response; what does not say for how long it holds is asked for anew each time."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_gallery(
    folders: Sequence[str | Path],
    media_root: str | Path | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK,
) -> Starlette:
    """An ASGI app that shows one run, or two side by side.

    Args:
        folders: `--output` folders of `video-lmms evaluate`.
        media_root: where the media lie now, if not where the runs say.
        allowed_hosts: names by which clients may call this server. Another name that leads here is a page on the web
            trying to read what only this machine may see. `["*"]` allows all.

    Raises:
        RecordError: a folder holds no run, or a file of it is damaged.
        GalleryError: neither one nor two folders, or `media_root` is no folder.
    """
    gallery = Gallery(folders, media_root)
    return Starlette(
        routes=[
            Route("/", lambda request: FileResponse(PAGE / "index.html")),
            Route("/api/runs", gallery.runs),
            Route("/api/comparison", gallery.comparison),
            Route("/api/samples", gallery.samples),
            Route("/api/sample", gallery.sample),
            Route("/media/{run:int}/{medium:int}", gallery.medium),
            Route("/frame/{run:int}/{medium:int}/{frame:int}", gallery.picture),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False),
        ],
        exception_handlers={VideoLmmError: _explain, HTTPException: _explain},
    )


def compare_tasks(collection: Collection, judge: str = "") -> dict[str, dict[str, Any]]:
    """The paired difference of two runs, second minus first, by task: `value`, `error`, bounds `low` and `high` of its
    95 % interval, `n`, `p_value`, `better` and `worse`; or the `problem` where there is nothing to compare."""
    # It brings what runs models.
    from ..evaluation.scoring import TASKS, compare_task

    if len(collection.runs) != 2:
        raise GalleryError("There is one run: nothing to compare it with.", 404)
    first, second = collection.runs
    collection.check_judge(judge)
    by = collection.judge_of(1, judge=judge) or ""
    shared = [task for task in collection.summary(0)["tasks"] if task in collection.summary(1)["tasks"]]
    told = {}
    for task in shared:
        if task not in TASKS:
            told[task] = {"problem": "No task of this package: how its scores are to be compared is not known."}
            continue
        try:
            found = compare_task(TASKS[task], second, first, by)
        except RecordError as error:
            told[task] = {"problem": str(error)}
            continue
        counts = {"p_value": found.p_value, "better": found.better, "worse": found.worse}
        told[task] = asdict(found.estimate) | counts
    return told


def _explain(request: Request, error: Exception) -> Response:
    """An error as JSON: its message, for people."""
    status = getattr(error, "status", getattr(error, "status_code", 500))
    message = error.detail if isinstance(error, HTTPException) else str(error)
    return Json({"error": message}, status_code=status)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, (list, tuple)) else content


def _named(request: Request, collection: Collection) -> Sample:
    """The sample that a request names by `of` (its task) and `id`."""
    parameters = request.query_params
    if "of" not in parameters or "id" not in parameters:
        raise GalleryError("A sample is named by its task and its id: ?of=TASK&id=ID.")
    return collection.find(parameters["of"], parameters["id"])


def _without_name(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query_params.items() if name not in ("of", "id")}


def _path_of(answer: Answer, number: int) -> str:
    """The path of a medium, as the run names it."""
    media = answer.record.get("media") or []
    if number >= len(media):
        raise GalleryError(f"The sample has {len(media)} media; there is no number {number}.", 404)
    return str(media[number].get("path", ""))


def _number(request: Request, name: str) -> int:
    """A parameter that counts from 0, which is its default."""
    text = request.query_params.get(name) or "0"
    if not text.isdecimal():
        raise GalleryError(f"{name} is a number from 0 up; got {text!r}.")
    return int(text)


def _neighbour(keys: list[tuple[str, str]], place: int | None, step: int) -> dict[str, str] | None:
    """The name of the sample before or after one; after one that does not pass comes the first that does."""
    wanted = (0 if step > 0 else -1) if place is None else place + step
    if not 0 <= wanted < len(keys):
        return None
    task, id = keys[wanted]
    return {"task": task, "id": id}
