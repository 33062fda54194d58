# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""TempCompass (arXiv 2403.00476): what changes in time, asked as choices, as yes or no, and as matching captions.

Its fourth form, captioning, is answered by an LLM that reads the caption, and is not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import Sample, Task, TaskDataError, find_video, letter_of, read_rows, without_letter


FORMS = ("multi-choice", "yes_no", "caption_matching")


def split_question(text: str, form: str) -> tuple[str, list[str]]:
    """A question and its options as the files write them, a line each: "A. running", "Option 1: A man runs."."""
    if form == "yes_no":
        return text, ["yes", "no"]
    question, *options = text.strip().split("\n")
    return question, options


def without_label(option: str, form: str) -> str:
    """An option's own words."""
    return option.split(": ", 1)[-1] if form == "caption_matching" else without_letter(option)


def read(folder: Path) -> Iterator[Sample]:
    """Samples of all forms whose file is there.

    Raises:
        TaskDataError: no form's file is there.
    """
    present = [form for form in FORMS if (folder / "questions" / f"{form}.json").is_file()]
    if not present:
        raise TaskDataError(f"{folder}/questions holds none of TempCompass's files, such as {FORMS[0]}.json.")
    for form in present:
        path = folder / "questions" / f"{form}.json"
        for name, aspects in read_rows(path).items():
            for aspect, rows in aspects.items():
                for number, row in enumerate(rows):
                    question, options = split_question(row["question"], form)
                    where = f"{path}, {name}, {aspect}, {number}"
                    yield Sample(
                        id=f"{form}/{name}/{aspect}/{number}",
                        video=find_video(folder, ("videos",), name),
                        question=question,
                        choices=tuple(without_label(option, form) for option in options),
                        expected=letter_of(row["answer"], options, where),
                        subset=form,
                        details={"aspect": aspect, "yes_no": form == "yes_no"},
                    )


TASKS = (
    Task(
        name="tempcompass",
        title="TempCompass",
        kind="choice",
        read=read,
        layout="questions/multi-choice.json, yes_no.json, caption_matching.json and videos/<video>.mp4",
        source="https://github.com/llyx97/TempCompass",
    ),
)
