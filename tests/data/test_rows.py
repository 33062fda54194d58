# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Published annotation formats to chat rows, and what is said about files that are wrong."""

import csv
import json

import pytest
from datasets import Dataset

from video_lmms.data.annotations import FORMATS
from video_lmms.data.rows import DataError, read_rows


MEDIA = ("sub/a.mp4", "b.jpg", "v_c.mp4", "page/7.mp4", "image/9.jpg")
LLAVA = [
    {
        "id": "1",
        "video": "sub/a.mp4",
        "conversations": [
            {"from": "human", "value": "<video>\nWhat happens?"},
            {"from": "gpt", "value": "A cat jumps."},
            {"from": "human", "value": "And then?"},
            {"from": "gpt", "value": "It lands."},
        ],
    },
    {
        "image": "b.jpg",
        "conversations": [{"from": "human", "value": "Describe.\n<image>"}, {"from": "gpt", "value": "A bus."}],
    },
    {"video": "None", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
]
PAIRS = [
    {
        "video": "sub/a.mp4",
        "QA": [{"i": "Watch.", "q": "What is it?", "a": "A dog."}, {"q": "And then?", "a": "It sits."}],
        "start": 3.0,
        "end": 9.5,
    },
    {"video": "sub/a.mp4", "QA": [{"q": "", "a": "A caption."}]},
]


@pytest.fixture
def root(tmp_path):
    for name in MEDIA:
        (tmp_path / "media" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "media" / name).touch()
    return tmp_path / "media"


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def shown(row):
    """(role, what it shows) of every message, media by file name."""
    return [
        (
            message["role"],
            [
                part.get("text") or next(iter(part[key] for key in ("video", "image") if key in part))[-5:]
                for part in message["content"]
            ],
        )
        for message in row["messages"]
    ]


def test_llava_conversations(tmp_path, root):
    video, image, text = read_rows([write(tmp_path / "a.json", LLAVA)], root)
    assert shown(video) == [
        ("user", ["a.mp4", "What happens?"]),
        ("assistant", ["A cat jumps."]),
        ("user", ["And then?"]),
        ("assistant", ["It lands."]),
    ]
    assert shown(image) == [("user", ["b.jpg", "Describe."]), ("assistant", ["A bus."])]
    assert shown(text) == [("user", ["Hi"]), ("assistant", ["Hello"])]
    assert video["messages"][0]["content"][0]["video"] == str(root / "sub/a.mp4")


def test_question_pairs_with_a_span(tmp_path, root):
    spanned, caption = read_rows([write(tmp_path / "a.json", PAIRS)], root)
    assert shown(spanned)[0] == ("user", ["a.mp4", "Watch. What is it?"])
    assert shown(spanned)[2] == ("user", ["And then?"])
    part = spanned["messages"][0]["content"][0]
    assert (part["start"], part["end"]) == (3.0, 9.5)
    assert shown(caption) == [("user", ["a.mp4"]), ("assistant", ["A caption."])]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("chatgpt", {"0": {"video_id": "v_c.mp4", "q": "What?", "a": "Soup."}}, ["c.mp4", "What?"]),
        ("msvd", [{"video": "v_c.mp4", "question": "what?", "answer": "man", "id": 1}], ["c.mp4", "what?"]),
        ("captions", {"annotations": [{"image_id": "9", "caption": "A cup."}]}, ["9.jpg"]),
    ],
)
def test_other_json_formats(tmp_path, root, name, content, expected):
    (row,) = read_rows([write(tmp_path / f"{name}.json", content)], root)
    (_, parts), (role, answer) = shown(row)
    assert [part[-len(word) :] for part, word in zip(parts, expected, strict=True)] == expected
    assert (role, len(answer)) == ("assistant", 1)


def test_webvid_tables(tmp_path, root):
    with (tmp_path / "t.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([["videoid", "page_dir", "name"], ["7", "page", "A boat, at sea"]])
    (row,) = read_rows([tmp_path / "t.csv"], root)
    assert shown(row) == [("user", ["7.mp4"]), ("assistant", ["A boat, at sea"])]


def test_containers_hold_the_same_rows(tmp_path, root):
    messages = [
        {"role": "user", "content": [{"type": "video", "video": "v_c.mp4"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Soup."}]},
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}) + "\n\n" + json.dumps({"messages": messages}))
    data = Dataset.from_list([{"messages": messages}] * 2)
    data.to_parquet(tmp_path / "a.parquet")
    data.save_to_disk(tmp_path / "saved")
    reference = [shown(row) for row in read_rows([tmp_path / "a.jsonl"], root)]
    assert len(reference) == 2
    for other in ("a.parquet", "saved"):
        rows = read_rows([tmp_path / other], root)
        parts = [
            [[{k: v for k, v in p.items() if v is not None} for p in m["content"]] for m in r["messages"]]
            for r in rows
        ]
        assert [
            shown({"messages": [{"role": m["role"], "content": c} for m, c in zip(r["messages"], p, strict=True)]})
            for r, p in zip(rows, parts, strict=True)
        ] == reference


def test_every_problem_is_named_with_its_line(tmp_path, root):
    good = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    lines = [
        good,
        {"messages": [{"role": "robot", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"surprise": 1},
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}, {"role": "assistant", "content": "Hello"}]},
        {"video": "gone.mp4", "question": "What?", "answer": "Nothing"},
        {"video": "v_c.mp4", "start": 4, "end": 2, "QA": [{"q": "What?", "a": "This"}]},
        {"conversations": [{"from": "alien", "value": "Hi"}]},
    ]
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError) as caught:
        read_rows([path], root)
    places = {problem.split(": ")[0]: problem for problem in caught.value.problems}
    assert set(places) == {f"{path}:{number}" for number in range(2, 9)}
    for number, words in (
        (2, "robot"),
        (3, "assistant"),
        (4, "surprise"),
        (5, "smell"),
        (6, "gone.mp4"),
        (7, "start"),
        (8, "alien"),
    ):
        assert words in places[f"{path}:{number}"]


def test_missing_media_are_left_out_by_choice(tmp_path, root, caplog):
    path = write(
        tmp_path / "a.json", [{"video": name, "question": "What?", "answer": "x"} for name in ("gone.mp4", "v_c.mp4")]
    )
    with pytest.raises(DataError, match=r"gone\.mp4 does not exist"):
        read_rows([path], root)
    assert len(read_rows([path], root, skip_missing_media=True)) == 1
    assert "gone.mp4" in caplog.text
    with pytest.raises(DataError, match="no row is left"):
        read_rows(
            [write(tmp_path / "b.json", [{"video": "gone.mp4", "question": "?", "answer": "x"}])],
            root,
            skip_missing_media=True,
        )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"messages": []}\n{', r"a\.jsonl:2: not JSON"),
        ("a.json", "3", "a list of items"),
        ("gone.jsonl", None, "No such file"),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_rows([tmp_path / name])


def test_formats_are_told_apart_by_keys_alone():
    assert len({known.keys for known in FORMATS}) == len(FORMATS)
