# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""How LongVU's published numbers ask and read multiple-choice questions.

Restates the rules of https://github.com/Vision-CAIR/LongVU (Apache-2.0); see its paper, arXiv 2410.17434.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MVBENCH_REQUEST = "Answer with the option's letter from the given choices directly and only give the best option."
SUBTITLE_HEADER = "This video's subtitles are listed below:\n"
# Of longer subtitles every n-th line is kept, n = lines // KEPT_LINES.
MAX_SUBTITLE_TOKENS = 6000
KEPT_LINES = 200
NO_SPEECH = ("", "[Music]", "[Applause]")
# The option that stands for an answer whose letter cannot be told.
FALLBACK_OPTION = 2
CLOCK = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)\s*-->\s*(\d+):(\d+):(\d+)[,.](\d+)")


class Answer(NamedTuple):
    """An answer's letter, None where there is none (the original stops there), and whether it is the fallback."""

    letter: str | None
    fallback: bool


class Subtitle(NamedTuple):
    """One line of speech; seconds."""

    start: float
    end: float
    text: str


def spoken_letters(count: int, comma: str) -> str:
    """ "A, B, C or D" for four options; `comma` goes before "or"."""
    letters = LETTERS[:count]
    return f"{', '.join(letters[:-1])}{comma} or {letters[-1]}"


def benchmark_question(
    benchmark: str, question: str, options: Sequence[str], subtitles: Sequence[str] | None = None
) -> str:
    """The user's text behind the video.

    Args:
        benchmark: "mvbench", "egoschema", "mlvu" or "videomme".
        question: as the benchmark has it.
        options: without letters, except for VideoMME, whose options bring theirs.
        subtitles: lines from [`select_subtitles`] (VideoMME); None: there are none.

    Raises:
        ValueError: no such benchmark.
    """
    if benchmark == "videomme":
        header = "" if subtitles is None else SUBTITLE_HEADER + "".join(f"{line}\n" for line in subtitles)
        request = f"Respond with only the letter ({spoken_letters(len(options), ',')}) of the correct option.\n"
        return f"{header}Question: {question}\nOptions:\n" + "".join(f"{option}\n" for option in options) + request
    lines = "".join(f"({letter}) {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    if benchmark == "mvbench":
        request = MVBENCH_REQUEST
    elif benchmark in ("egoschema", "mlvu"):
        request = f"Respond with only the letter ({spoken_letters(len(options), '')}) of the correct option."
    else:
        raise ValueError(f"benchmark must be mvbench, egoschema, mlvu or videomme, got {benchmark!r}.")
    return f"Question: {question}\nOptions:\n{lines}{request}"


def read_letter(text: str, benchmark: str, letters: Sequence[str], stop: str = "") -> Answer:
    """The letter that the original's script reads from an answer: the first capital of the range, wherever it stands.

    Args:
        text: the model's words.
        benchmark: "mvbench", "egoschema", "mlvu" or "videomme"; their patterns differ.
        letters: of the options.
        stop: what closes an answer; one at the end is removed.
    """
    text = text.strip().removesuffix(stop).strip().replace("Answer", "")
    span = f"[{letters[0]}-{letters[-1]}]"
    pattern = {
        "mvbench": rf"[(, ]*{span}[), ]*",
        "egoschema": rf"[( ]*{span}[) ]*",
    }.get(benchmark, rf"(?:[( \[]*)({span})(?:[). \]]*)")
    found = re.search(pattern, text)
    if found is None:
        return Answer(None, fallback=False)
    letter = found[found.lastindex or 0].strip().strip("()")
    if letter in letters:
        return Answer(letter, fallback=False)
    return Answer(letters[FALLBACK_OPTION] if len(letters) > FALLBACK_OPTION else None, fallback=True)


def parse_srt(content: str) -> list[Subtitle]:
    """The lines of an srt file."""
    subtitles = []
    for block in re.split(r"\n\s*\n", content.strip()):
        found = CLOCK.search(block)
        if found:
            h1, m1, s1, ms1, h2, m2, s2, ms2 = map(int, found.groups())
            text = block[found.end() :].strip().replace("\n", r"\N")
            times = (3600 * h1 + 60 * m1 + s1 + ms1 / 1000, 3600 * h2 + 60 * m2 + s2 + ms2 / 1000)
            subtitles.append(Subtitle(*times, text))
    return subtitles


def select_subtitles(subtitles: Sequence[Subtitle], frame_indices: Iterable[int], fps: float) -> list[str]:
    """VideoMME: what is said at the sampled frames, repeats left out.

    Args:
        subtitles: of the whole clip.
        frame_indices: sampled frames.
        fps: frame rate, rounded here as it was for sampling.
    """
    lines: list[str] = []
    for index in frame_indices:
        time = index / round(fps)
        spoken = next((entry.text for entry in subtitles if entry.start < time < entry.end), "")
        spoken = spoken.replace(r"\N", " ").strip()
        contained = bool(lines) and spoken in lines[-1]
        if spoken not in NO_SPEECH and spoken not in lines and not contained:
            lines.append(spoken)
    return lines


def shorten_subtitles(lines: Sequence[str], num_tokens: int) -> list[str]:
    """Every n-th line of subtitles that take more than 6000 tokens; all of them otherwise."""
    if num_tokens <= MAX_SUBTITLE_TOKENS:
        return list(lines)
    return list(lines[:: max(1, len(lines) // KEPT_LINES)])
