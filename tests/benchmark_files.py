# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Small data sets in the formats in which the benchmarks were published. Videos are empty files."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

from video_lmms.evaluation.tasks.mvbench import FOLDERS


WORDS = ("apple", "bridge", "candle", "dragon", "engine", "forest", "guitar", "hammer", "island", "jacket")


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def options(rng: random.Random, count: int) -> tuple[list[str], int]:
    """Distinct options, and which of them is right."""
    return rng.sample(WORDS, count), rng.randrange(count)


def mvbench(folder: Path, rng: random.Random) -> None:
    for number, (task, place) in enumerate(FOLDERS.items()):
        rows = []
        for row in range(10):
            choices, right = options(rng, 2 + number % 4)
            video = f"clip{row // 2}" if task == "episodic_reasoning" else f"clip{row // 2}.mp4"
            if task == "episodic_reasoning":
                touch(folder / "video" / place / video / "00001.jpg")
            else:
                touch(folder / "video" / place / video)
            bounds = {"start": 1.5, "end": 7.25} if "sequence" in task or "episodic" in task else {}
            rows.append(
                {"video": video, "question": f"What {row}?", "candidates": choices, "answer": choices[right]} | bounds
            )
        write_json(folder / f"json/{task}.json", rows)


def videomme(folder: Path, rng: random.Random) -> None:
    from pyarrow import Table, parquet

    rows = []
    for number in range(60):
        choices, right = options(rng, 4)
        touch(folder / f"data/yt{number // 3}.mp4")
        rows.append(
            {
                "video_id": f"{number // 3:03d}",
                "duration": ("short", "medium", "long")[number % 3],
                "domain": "Knowledge",
                "sub_category": "History",
                "url": "",
                "videoID": f"yt{number // 3}",
                "question_id": f"{number // 3:03d}-{number % 3}",
                "task_type": "Counting Problem",
                "question": "How many?",
                "options": [f"{letter}. {choice}." for letter, choice in zip("ABCD", choices, strict=True)],
                "answer": "ABCD"[right],
            }
        )
    (folder / "videomme").mkdir()
    parquet.write_table(Table.from_pylist(rows), folder / "videomme/test-00000-of-00001.parquet")
    write_json(folder / "subtitle/ignored.json", {})
    srt = "1\n00:00:00,000 --> 00:00:02,500\nHello there\n\n2\n00:00:02,500 --> 00:00:09,000\nNow we cook\n"
    (folder / "subtitle/yt0.srt").write_text(srt, encoding="utf-8")


def mlvu(folder: Path, rng: random.Random) -> None:
    for name in ("1_plotQA", "4_count", "7_topic_reasoning"):
        rows = []
        for number in range(10 if name == "4_count" else 25):
            choices, right = options(rng, 4)
            touch(folder / f"video/{name}/{number}.mp4")
            rows.append(
                {
                    "video": f"{number}.mp4",
                    "duration": 480.0,
                    "question": "What?",
                    "candidates": choices,
                    "answer": choices[right],
                    "question_type": name.split("_", 1)[1],
                }
            )
        write_json(folder / f"json/{name}.json", rows)


def egoschema(folder: Path, rng: random.Random) -> None:
    questions, answers = [], {}
    for number in range(60):
        choices, right = options(rng, 5)
        name = f"q{number:03d}"
        touch(folder / f"videos/{name}.mp4")
        questions.append(
            {"q_uid": name, "google_drive_id": "", "question": "Why?"}
            | {f"option {place}": choice for place, choice in enumerate(choices)}
        )
        if number < 40:
            answers[name] = right
    write_json(folder / "questions.json", questions)
    write_json(folder / "subset_answers.json", answers)


def longvideobench(folder: Path, rng: random.Random) -> None:
    rows = []
    for number in range(50):
        choices, right = options(rng, 2 + number % 4)
        touch(folder / f"videos/v{number}.mp4")
        rows.append(
            {
                "video_id": f"v{number}",
                "video_path": f"v{number}.mp4",
                "subtitle_path": f"v{number}_en.json",
                "id": f"v{number}_0",
                "question": "Who?",
                "candidates": choices,
                "correct_choice": right,
                "question_category": "S2E",
                "duration_group": (15, 60, 600, 3600)[number % 4],
                "starting_timestamp_for_subtitles": 10.0,
                "duration": 20.0,
            }
        )
    write_json(folder / "lvb_val.json", rows)
    write_json(folder / "subtitles/v0_en.json", [{"start": "00:00:11.000", "end": "00:00:12.500", "line": "Hello"}])
    write_json(folder / "subtitles/v1_en.json", [{"timestamp": [12.0, None], "text": "Bye"}])


def perceptiontest(folder: Path, rng: random.Random) -> None:
    videos = {}
    for number in range(20):
        rows = []
        for row in range(3):
            choices, right = options(rng, 3)
            rows.append(
                {
                    "id": row,
                    "question": "Where?",
                    "options": choices,
                    "answer_id": right,
                    "area": ("physics", "semantics", "memory")[row],
                    "reasoning": "descriptive",
                    "tag": ["motion"],
                }
            )
        touch(folder / f"videos/video_{number}.mp4")
        videos[f"video_{number}"] = {"metadata": {"split": "valid"}, "mc_question": rows}
    write_json(folder / "mc_question_valid.json", videos)


def tempcompass(folder: Path, rng: random.Random) -> None:
    forms: dict[str, dict] = {"multi-choice": {}, "yes_no": {}, "caption_matching": {}}
    for number in range(20):
        touch(folder / f"videos/{number}.mp4")
        choices, right = options(rng, 4)
        lines = [f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True)]
        asked = {"question": "\n".join(["What moves?", *lines]), "answer": lines[right]}
        forms["multi-choice"][str(number)] = {"action": [asked]}
        forms["yes_no"][str(number)] = {"speed": [{"question": "Is it fast?", "answer": rng.choice(["yes", "no"])}]}
        captions = [f"Option {place}: A {choice} falls." for place, choice in enumerate(choices[:2], 1)]
        asked = {"question": "\n".join(["Which fits better?", *captions]), "answer": captions[rng.randrange(2)]}
        forms["caption_matching"][str(number)] = {"order": [asked]}
    for form, content in forms.items():
        write_json(folder / f"questions/{form}.json", content)


def nextqa(folder: Path, rng: random.Random) -> None:
    places = {}
    with open(folder / "test.csv", "w", encoding="utf-8", newline="") as file:
        names = ["video", "frame_count", "width", "height", "question", "answer", "qid", "type"]
        writer = csv.DictWriter(file, names + [f"a{number}" for number in range(5)])
        writer.writeheader()
        for number in range(60):
            choices, right = options(rng, 5)
            video = str(1000 + number // 2)
            places[video] = f"11{number % 5}/{video}"
            row = {"video": video, "frame_count": 90, "width": 640, "height": 360, "question": "why, then?"}
            row |= {"answer": right, "qid": number, "type": ("CW", "TN", "DC")[number % 3]}
            writer.writerow(row | {f"a{place}": choice for place, choice in enumerate(choices)})
    for place in places.values():
        touch(folder / f"NExTVideo/{place}.mp4")
    write_json(folder / "map_vid_vidorID.json", places)


def charades_sta(folder: Path, rng: random.Random) -> None:
    lines = []
    for number in range(20):
        start = round(rng.uniform(0, 10), 1)
        lines.append(f"V{number:03d}A {start} {start + round(rng.uniform(2, 8), 1):.1f}##person opens a door.")
        touch(folder / f"Charades_v1_480/V{number:03d}A.mp4")
    (folder / "charades_sta_test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def apollobench(folder: Path, rng: random.Random) -> None:
    rows = []
    for number in range(50):
        choices, right = options(rng, 4)
        touch(folder / f"videos/{number}.mp4")
        lettered = [f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True)]
        category = ("Temporal OCR", "Egocentric", "Spatial", "Perception", "Reasoning")[number % 5]
        rows.append(
            {
                "id": number,
                "video": f"{number}.mp4",
                "question": "What?",
                "options": lettered,
                "answer": "ABCD"[right],
                "category": category,
            }
        )
    (folder / "apollobench.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def vcg(folder: Path, rng: random.Random) -> None:
    for number in range(5):
        touch(folder / f"Test_Videos/v_{number}.mp4")
    row = [
        {"video_name": f"v_{number}", "Q": "What happens?", "A": f"A {WORDS[number]} falls."} for number in range(5)
    ]
    write_json(folder / "generic_qa.json", row)
    write_json(folder / "temporal_qa.json", row[:3])
    pair = {"Q1": "What is seen?", "Q2": "What can one see?", "A": "An island."}
    write_json(folder / "consistency_qa.json", [{"video_name": "v_0", **pair}, {"video_name": "v_1", **pair}])


def video_qa(prefix: str, place: str, suffix: str) -> Callable[[Path, random.Random], None]:
    def write(folder: Path, rng: random.Random) -> None:
        questions, answers = [], []
        for number in range(30):
            touch(folder / place / f"{prefix}vid{number // 3}{suffix}")
            questions.append(
                {"video_name": f"vid{number // 3}", "question": "what is it?", "question_id": f"q{number}"}
            )
            answers.append({"answer": rng.choice(WORDS), "question_id": f"q{number}"})
        write_json(folder / "test_q.json", questions)
        write_json(folder / "test_a.json", answers)

    return write


WRITERS: dict[str, Callable[[Path, random.Random], None]] = {
    "mvbench": mvbench,
    "vcg": vcg,
    "msvd_qa": video_qa("", "videos", ".avi"),
    "msrvtt_qa": video_qa("", "videos", ".mp4"),
    "activitynet_qa": video_qa("v_", "all_test", ".mkv"),
    "tgif_qa": video_qa("", "mp4", ".gif"),
    "videomme": videomme,
    "videomme_subtitles": videomme,
    "mlvu": mlvu,
    "egoschema": egoschema,
    "egoschema_full": egoschema,
    "longvideobench": longvideobench,
    "longvideobench_subtitles": longvideobench,
    "perceptiontest": perceptiontest,
    "tempcompass": tempcompass,
    "nextqa": nextqa,
    "charades_sta": charades_sta,
    "apollobench": apollobench,
}
