# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The first two of VideoTGB's three training steps, as one command that goes on where it was killed:

    python -m video_lmms.training.label_videotgb videotgb-7b-hf --train-data chats.jsonl --output runs/sampler
    video-lmms train published_videotgb_instructions model_name_or_path=runs/sampler/model train_data=chats.jsonl

First the model answers every question from each candidate frame alone; the frames that it answers right from are the
question's pseudo label (`spans.jsonl`). Flow is computed once per video (`flow/`). Then the span encoder learns the
labels from flow and question, and `model/` holds the model with it. In the third step, the recipe, the span encoder
is frozen, so that every clip is cut to what it chooses.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from video_lmms.data.rows import read_rows
from video_lmms.errors import VideoLmmError
from video_lmms.hub.bundle_writer import bundle
from video_lmms.hub.loading import load
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration
from video_lmms.processing.processing_videotgb import VideotgbProcessor
from video_lmms.training.flow_videotgb import extract_flow, open_flow
from video_lmms.training.lessons_videotgb import answer, make_lesson
from video_lmms.training.sampler_videotgb import (
    SamplerRecipe,
    SpanSample,
    label_row,
    measure_spans,
    to_flow_frames,
    train_sampler,
)


def turns_of(row: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """A row's video, and the questions asked about it with their answers."""
    texts = [[part["text"] for part in message["content"] if part["type"] == "text"][0] for message in row["messages"]]
    return row["messages"][0]["content"][0]["video"], list(zip(texts[::2], texts[1::2], strict=True))


def pseudo_label(
    model: VideotgbForConditionalGeneration,
    processor: VideotgbProcessor,
    clip: torch.Tensor,
    question: str,
    gold: str,
    words: int = 2,
) -> tuple[int, int]:
    """Which candidate frames (32, 3, H, W) the image model answers a question right from, one at a time."""
    lessons = [make_lesson(processor, frame[None], question) for frame in clip]
    return label_row(answer(model, processor, lessons, words), gold)


def label_rows(
    model: VideotgbForConditionalGeneration,
    processor: VideotgbProcessor,
    rows: Sequence[Mapping[str, Any]],
    file: Path,
    words: int,
) -> list[dict[str, Any]]:
    """A pseudo label per question; what `file` holds already is not asked again.

    Args:
        model: the image model that answers.
        processor: its processor.
        rows: chat rows about one video each.
        file: one JSON line per question, written as they are found.
        words: longest answer, in tokens.

    Returns:
        tables of `video`, `question`, `answer`, and `span`, the first and last candidate frame.
    """
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    labelled = {(entry["video"], entry["question"]): entry for entry in known}
    with file.open("a", encoding="utf-8") as lines:
        for row in rows:
            video, turns = turns_of(row)
            lacking = [turn for turn in turns if (video, turn[0]) not in labelled]
            if not lacking:
                continue
            clip = processor.video_processor([video], return_tensors="pt")["pixel_values_videos"][0]
            clip = clip.to(model.device, model.dtype)
            for question, gold in lacking:
                span = pseudo_label(model, processor, clip, question, gold, words)
                entry = {"video": video, "question": question, "answer": gold, "span": span}
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
                labelled[video, question] = entry
    return list(labelled.values())


def span_samples(labels: Sequence[Mapping[str, Any]], files: Mapping[str, Path], candidates: int) -> list[SpanSample]:
    """Labels over flow frames, for [`train_sampler`]."""
    lengths = {}
    for video, file in files.items():
        with open_flow(file) as flow:
            lengths[video] = flow.get_slice("flow").get_shape()[0]
    return [
        SpanSample(
            files[entry["video"]],
            entry["question"],
            to_flow_frames(tuple(entry["span"]), candidates, lengths[entry["video"]]),
        )
        for entry in labels
    ]


def run(source: str, data: Sequence[str], output: Path, recipe: SamplerRecipe, words: int) -> dict[str, float]:
    """Both steps.

    Args:
        source: of a decoder-only VideoTGB.
        data: files of annotations.
        output: folder for labels, flow and model.
        recipe: of the span encoder's training.
        words: longest answer, in tokens.

    Returns:
        `miou` before and after: how far the chosen spans overlap with the labels.

    Raises:
        VideoLmmError: the model is another, or data cannot be used.
    """
    model, processor = load(source, dtype="float32")
    if not isinstance(processor, VideotgbProcessor) or model.config.is_encoder_decoder:
        raise VideoLmmError(f"{source} is no decoder-only VideoTGB, which alone answers from single frames here.")
    output.mkdir(parents=True, exist_ok=True)
    labels = label_rows(model, processor, read_rows(data), output / "spans.jsonl", words)
    videos = list(dict.fromkeys(entry["video"] for entry in labels))
    files = extract_flow(model.model.flow_model, videos, output / "flow")
    samples = span_samples(labels, files, processor.video_processor.num_candidate_frames)
    grounding, tokenizer = model.model.grounding, processor.sampler_tokenizer
    before = measure_spans(grounding.eval(), samples, tokenizer)["miou"]
    with torch.enable_grad():
        train_sampler(grounding.requires_grad_(True), samples, tokenizer, recipe)
    bundle(model, processor, output / "model", overwrite=True)
    return {"before": before, "after": measure_spans(grounding, samples, tokenizer)["miou"]}


def main(argv: Sequence[str] | None = None) -> int:
    """Command-line entry; prints the overlap with the labels."""
    parser = argparse.ArgumentParser(
        prog="python -m video_lmms.training.label_videotgb", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", help="folder or id of a decoder-only VideoTGB")
    parser.add_argument("--train-data", nargs="+", required=True, help="files of chats or annotations")
    parser.add_argument("--output", type=Path, required=True, help="folder for labels, flow and model")
    parser.add_argument("--words", type=int, default=128, help="longest answer from a single frame, in tokens")
    original = SamplerRecipe()
    parser.add_argument("--epochs", type=float, default=original.epochs)
    parser.add_argument("--batch-size", type=int, default=original.batch_size)
    parser.add_argument("--learning-rate", type=float, default=original.learning_rate)
    options = parser.parse_args(argv)
    recipe = SamplerRecipe(options.epochs, options.batch_size, options.learning_rate)
    overlap = run(options.model, options.train_data, options.output, recipe, options.words)
    sys.stdout.write("".join(f"overlap with the labels {when}: {value:.1%}\n" for when, value in overlap.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
