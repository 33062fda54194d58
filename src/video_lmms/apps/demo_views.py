# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What the demo shows beside the chat, as HTML: strips of film, the cost of a question, mistakes.

Every word that comes from a visitor, a file or a model is escaped here, and pictures travel inside the page: no place
on the server's disk is named.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from .pictures import encode_jpeg


@dataclass
class Picture:
    """One frame or clip that the model looked at.

    Attributes:
        pixels: (height, width, 3) uint8, of the frame itself, or of the one in the middle of the clip.
        start: seconds from the beginning of the video.
        end: of a clip; None for a single frame.
        remark: a few words, such as how much of it the model kept.
    """

    pixels: np.ndarray
    start: float
    end: float | None = None
    remark: str = ""


@dataclass
class Film:
    """What the model looked at in one video or image.

    Attributes:
        name: of the file.
        duration: seconds; None for an image.
        summary: a sentence on what was looked at.
        pictures: to be shown, in order of time.
        looked: (start, end) in seconds of everything looked at, also where no picture is shown; `end` is `start` for
            a single frame.
        candidates: seconds of the frames among which these were chosen.
    """

    name: str
    duration: float | None
    summary: str
    pictures: list[Picture]
    looked: list[tuple[float, float]] = field(default_factory=list)
    candidates: list[float] = field(default_factory=list)


def films_html(films: Sequence[Film]) -> str:
    """The panel of all films, or a line of what will stand there."""
    if not films:
        return '<p class="vl-empty">The frames that an answer rests on will be shown here.</p>'
    return "".join(film_html(film) for film in films)


def film_html(film: Film) -> str:
    """Name, time line and thumbnails of one film."""
    length = "" if film.duration is None else f'<span class="vl-length">{clock(film.duration)}</span>'
    strip = "".join(picture_html(picture, film.duration) for picture in film.pictures)
    return (
        f'<figure class="vl-film"><figcaption><strong>{escape(film.name)}</strong>{length}</figcaption>'
        f"{timeline_html(film)}"
        f'<div class="vl-strip">{strip}</div><p class="vl-summary">{escape(film.summary)}</p></figure>'
    )


def timeline_html(film: Film) -> str:
    """A bar as long as the video: what was looked at stands out from what could have been."""
    if not film.duration:
        return ""

    def percent(seconds: float) -> float:
        return round(100 * min(max(seconds / film.duration, 0.0), 1.0), 2)

    candidates = "".join(f'<i class="vl-could" style="left:{percent(time)}%"></i>' for time in film.candidates)
    looked = "".join(
        f'<i class="vl-did" style="left:{percent(start)}%;width:{round(percent(end) - percent(start), 2)}%"></i>'
        for start, end in film.looked
    )
    return f'<div class="vl-timeline" role="img" aria-label="{escape(film.summary)}">{candidates}{looked}</div>'


def picture_html(picture: Picture, duration: float | None) -> str:
    """A thumbnail with its time."""
    when = "" if duration is None else span(picture.start, picture.end)
    remark = f"<em>{escape(picture.remark)}</em>" if picture.remark else ""
    alt = f"The video at {when}" if when else "The image"
    caption = f"<span>{when}{remark}</span>" if when or remark else ""
    return f'<div class="vl-picture"><img src="{jpeg_url(picture.pixels)}" alt="{alt}">{caption}</div>'


def jpeg_url(pixels: np.ndarray) -> str:
    """A picture as a `data:` URL of a small JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels)).decode("ascii")


def span(start: float, end: float | None) -> str:
    """`0:03.2`, or `0:02.0 – 0:04.0`."""
    return clock(start) if end is None else f"{clock(start)} – {clock(end)}"


def clock(seconds: float) -> str:
    """Minutes and seconds to a tenth, with hours where there are any: `0:03.2`, `1:02:03.4`."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def cost_html(parts: Sequence[tuple[str, int]], context: int | None, at_most: bool = False) -> str:
    """The tokens that the next question costs, before it is sent.

    Args:
        parts: (what for, tokens) in the order of the prompt.
        context: tokens the model can take in all; None where it states no bound.
        at_most: whether the content of the video decides and may need fewer.
    """
    total = sum(tokens for _, tokens in parts)
    words = ", ".join(f"{tokens:,} {escape(name)}" for name, tokens in parts if tokens)
    of = "" if context is None else f" of {context:,}"
    filled = 0.0 if context is None else min(100.0, 100 * total / context)
    full = " vl-full" if context is not None and total > context else ""
    bar = "" if context is None else f'<span class="vl-meter"><b style="width:{filled:.1f}%"></b></span>'
    most = "at most " if at_most else ""
    return (
        f'<div class="vl-cost{full}">{bar}<span>This question costs {most}<strong>{total:,}</strong>{of} tokens: '
        f"{words}.</span></div>"
    )


def hint_html(text: str) -> str:
    """A quiet line where the cost will stand."""
    return f'<div class="vl-cost"><span>{escape(text)}</span></div>'


def mistake_html(message: str) -> str:
    """A mistake to be seen: what is wrong, and what to do about it."""
    return f'<div class="vl-mistake" role="alert"><span>{escape(message)}</span></div>'
