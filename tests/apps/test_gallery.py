# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The gallery's server: what it tells of runs, which media it gives away, and which it does not."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from apps.gallery_runs import COUNT, OTHER_TASK, TASK, is_right, write_runs
from checkout import ROOT
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from video_lmms.apps.gallery import HEADERS, create_gallery
from video_lmms.apps.gallery_media import MediaFolder, describe_media, strip_frames
from video_lmms.apps.gallery_samples import DIFFERENCES, GalleryError
from video_lmms.apps.pictures import MOST_THUMBNAILS
from video_lmms.cli import app
from video_lmms.data.world import EPISODE_FPS
from video_lmms.evaluation.records import (
    RESULTS,
    RUN,
    SAMPLES,
    SCORES,
    JsonLines,
    RecordError,
    read_run,
    read_samples,
    write_object,
)


README_WORDS = shlex.split(
    (ROOT / "README.md")
    .read_text(encoding="utf-8")
    .partition("<!-- gallery-command -->\n```bash\nvideo-lmms ")[2]
    .partition("\n")[0]
)
A_RIGHT, B_RIGHT = ({number for number in range(COUNT) if is_right(name, number)} for name in ("A", "B"))
ALL = set(range(COUNT))
HALF = COUNT // 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Where the README's command looks for them."""
    return write_runs(tmp_path_factory.mktemp("work") / "runs")


@pytest.fixture(scope="module")
def one(runs) -> TestClient:
    return client(runs[0])


@pytest.fixture(scope="module")
def two(runs) -> TestClient:
    return client(*runs)


def client(*folders: Path, **options: object) -> TestClient:
    return TestClient(create_gallery(folders, **options), base_url="http://localhost")


def write_run(folder: Path, samples: list[dict], scores: list[dict] = (), results: dict | None = None) -> Path:
    """A run as given."""
    write_object(folder / RUN, {"tasks": {"t": "1"}, "model": "m"})
    for name, records in ((SAMPLES, samples), (SCORES, scores)):
        with JsonLines(folder / name) as file:
            for record in records:
                file.append(record)
    if results:
        write_object(folder / RESULTS, results)
    return folder


def ask(page: TestClient, path: str, /, **parameters: object) -> dict:
    answer = page.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbers(page: TestClient, /, **parameters: object) -> set[int]:
    """Numbers of the samples that pass a filter."""
    return {int(sample["id"]) for sample in ask(page, "/api/samples", **parameters)["samples"]}


def test_runs_are_described(two):
    known = ask(two, "/api/runs")
    assert [run["name"] for run in known["runs"]] == ["first", "second"]
    assert [run["info"]["model"] for run in known["runs"]] == ["tiny-videotgb", "tiny-pllava"]
    assert [run["num_samples"] for run in known["runs"]] == [COUNT, COUNT]
    assert list(known["runs"][0]["tasks"]) == [TASK, OTHER_TASK]
    assert known["runs"][0]["results"]["tasks"][TASK]["metric"] == "accuracy"
    assert known["judges"] == ["rules", "rater"]
    assert known["differences"] == list(DIFFERENCES)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ALL),
        ({"task": TASK}, set(range(HALF))),
        ({"verdict": "correct", "task": OTHER_TASK}, {n for n in A_RIGHT if n >= HALF}),
        ({"verdict": "wrong"}, ALL - A_RIGHT),
        ({"verdict": "failed"}, set()),
        # The rater judges only the second task, and lets number 8 pass whatever was answered.
        ({"judge": "rater", "verdict": "unjudged"}, set(range(HALF))),
        ({"judge": "rater", "verdict": "wrong"}, {n for n in ALL - A_RIGHT if n >= HALF} - {8}),
        ({"q": "03"}, {3}),
        ({"q": "WORLD_open 08.MP4"}, {8}),
        ({"q": "no such words"}, set()),
    ],
)
def test_one_run_is_filtered(one, parameters, expected):
    assert numbers(one, **parameters) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"differ": "verdict"}, A_RIGHT ^ B_RIGHT),
        ({"differ": "first"}, A_RIGHT - B_RIGHT),
        ({"differ": "second"}, B_RIGHT - A_RIGHT),
        ({"differ": "neither"}, ALL - A_RIGHT - B_RIGHT),
        ({"differ": "missing"}, set()),
        ({"differ": "answer"}, A_RIGHT ^ B_RIGHT),
        ({"differ": "judges"}, {8}),
        ({"differ": "verdict", "judge": "rater"}, {n for n in A_RIGHT ^ B_RIGHT if n >= HALF} - {8}),
        ({"verdict": "wrong"}, ALL - (A_RIGHT & B_RIGHT)),
        ({"verdict": "wrong", "differ": "first", "task": TASK}, {n for n in A_RIGHT - B_RIGHT if n < HALF}),
    ],
)
def test_two_runs_are_compared(two, parameters, expected):
    assert expected or "missing" in parameters.values()
    assert numbers(two, **parameters) == expected


def test_subsets_and_numbers_of_samples_beside_the_filters(two):
    everything = ask(two, "/api/samples")
    counts = everything["counts"]
    assert counts["task"] == {TASK: HALF, OTHER_TASK: COUNT - HALF}
    for subset, count in counts["subset"].items():
        assert len(numbers(two, subset=subset)) == count
    for difference, count in counts["differ"].items():
        assert len(numbers(two, differ=difference)) == count
    # Each filter's own numbers are those without it; the others' are with it.
    narrow = ask(two, "/api/samples", task=TASK, verdict="correct")
    assert narrow["counts"]["task"][OTHER_TASK] == len(numbers(two, task=OTHER_TASK, verdict="correct"))
    assert narrow["counts"]["verdict"]["wrong"] == len(numbers(two, task=TASK, verdict="wrong"))
    assert (narrow["total"], narrow["all"]) == (len({n for n in A_RIGHT | B_RIGHT if n < HALF}), COUNT)


def test_a_sample_is_told_whole(two):
    told = ask(two, "/api/sample", of=TASK, id="01")
    first, second = told["answers"]
    assert first["record"]["prompt"].startswith("USER: <video>")
    assert (first["verdict"], first["score"], first["judge"]) == ("correct", 1.0, "rules")
    (medium,) = first["media"]
    assert (medium["kind"], medium["start"], medium["end"]) == ("video", 0.5, 1.5)
    assert all(frame["in_full"] for frame in medium["chosen"])
    assert medium["frames"][1] == {"index": 2, "time": 2 / EPISODE_FPS}
    assert [frame["index"] for frame in medium["chosen"]] == first["record"]["chosen"][0]["chosen_frames"]
    assert medium["spans"] == [
        {
            "kind": "found",
            "start": medium["chosen"][0]["time"],
            "end": medium["chosen"][-1]["time"],
            "scores": [0.98, 0.91],
        }
    ]
    assert medium["facts"] == {"grounded": True}
    assert second["media"][0]["chosen"] == []


def test_a_sample_knows_its_neighbours_among_those_that_pass(two):
    wanted = sorted(A_RIGHT - B_RIGHT)
    told = ask(two, "/api/sample", of=TASK, id=f"{wanted[0]:02d}", differ="first")
    assert (told["place"], told["total"], told["previous"]) == (0, len(wanted), None)
    assert told["next"]["id"] == f"{wanted[1]:02d}"
    outsider = ask(two, "/api/sample", of=TASK, id="00", differ="first")
    assert (outsider["place"], outsider["next"]["id"]) == (None, f"{wanted[0]:02d}")


def test_what_a_model_kept_is_told_apart_by_how_much_of_it():
    """A model that drops what repeats keeps some frames whole, of some it keeps a few tokens."""
    record = {
        "media": [{"path": "https://public.test/a.mp4"}],
        "frames": [[0, 8, 16, 24]],
        "times": [[0.0, 1.0, 2.0, 3.0]],
        "chosen": [
            {"kept_frames": 2, "kept_indices": [0, 16], "kept_times": [0.0, 2.0], "kept_in_full": [False, True]}
        ],
    }
    (medium,) = describe_media(record, MediaFolder(Path(".")))
    assert medium["chosen"] == [
        {"index": 0, "time": 0.0, "in_full": False},
        {"index": 16, "time": 2.0, "in_full": True},
    ]
    assert medium["facts"] == {"kept_frames": 2}


def test_questions_about_when_show_what_is_expected_and_answered():
    record = {
        "media": [{"path": "https://public.test/a.mp4"}],
        "expected": [2.5, 7.0],
        "answer": "From 0:03 to 8.5 seconds.",
        "chosen": [{"spans": [[1.0, 2.0], [1.0, 2.0]], "span_scores": [[0.5, 0.5], [0.5, 0.5]]}],
    }
    (medium,) = describe_media(record, MediaFolder(Path(".")))
    assert [(span["kind"], span["start"], span["end"]) for span in medium["spans"]] == [
        ("found", 1.0, 2.0),
        ("expected", 2.5, 7.0),
        ("answered", 3.0, 8.5),
    ]


def test_runs_are_compared_in_pairs(runs, two):
    """As `video-lmms compare` does, second minus first; of a task that nobody knows, not at all."""
    from video_lmms.evaluation.scoring import compare_task
    from video_lmms.evaluation.tasks import TASKS

    first, second = map(read_run, runs)
    found = ask(two, "/api/comparison")["tasks"]
    expected = compare_task(TASKS[TASK], second, first, "rules")
    assert found[TASK]["value"] == expected.estimate.value
    assert found[TASK]["p_value"] == expected.p_value
    wins, losses = ({n for n in numbers if n < HALF} for numbers in (B_RIGHT - A_RIGHT, A_RIGHT - B_RIGHT))
    assert (found[TASK]["better"], found[TASK]["worse"], found[TASK]["n"]) == (len(wins), len(losses), HALF)
    assert "No task of this package" in found[OTHER_TASK]["problem"]


def test_runs_that_cannot_be_compared_say_why(tmp_path, runs):
    unjudged = write_run(tmp_path / "run", read_samples(runs[0]))
    found = ask(client(runs[0], unjudged), "/api/comparison")["tasks"]
    assert "has judged no sample of world" in found[TASK]["problem"]


def test_each_task_has_its_own_judge(tmp_path):
    """Choices are read by rules whoever rates the open answers."""
    samples = [{"task": "open", "id": "1"}, {"task": "choice", "id": "2"}]
    scores = [
        {"task": "open", "id": "1", "judge": "rules", "score": 0.2},
        {"task": "open", "id": "1", "judge": "rater", "score": 4, "correct": True},
        {"task": "choice", "id": "2", "judge": "rules", "correct": False},
    ]
    page = client(write_run(tmp_path / "run", samples, scores, {"judge": "rater", "tasks": {}}))
    found = ask(page, "/api/samples")["samples"]
    assert [sample["verdicts"] for sample in found] == [["correct"], ["wrong"]]
    assert numbers(page, judge="rater", verdict="unjudged") == {2}


def test_a_judgement_of_a_pair_is_shown_with_both_questions(tmp_path):
    samples = [{"task": "t", "id": id} for id in ("7/1", "7/2", "8")]
    folder = write_run(tmp_path / "run", samples, [{"task": "t", "id": "7", "judge": "j", "correct": True}])
    found = ask(client(folder), "/api/samples")["samples"]
    assert [sample["verdicts"] for sample in found] == [["correct"], ["correct"], ["unjudged"]]


def test_long_runs_are_listed_in_pages(tmp_path):
    folder = write_run(tmp_path / "run", [{"task": "t", "id": str(number)} for number in range(250)])
    page = client(folder)
    assert [len(ask(page, "/api/samples", page=number)["samples"]) for number in range(4)] == [100, 100, 50, 0]
    assert ask(page, "/api/samples")["pages"] == 3
    assert ask(page, "/api/sample", of="t", id="120")["page"] == 1


def test_ratings_are_neither_right_nor_wrong(tmp_path):
    samples = [{"task": "t", "id": str(number), "answer": "same"} for number in range(3)]
    about = {"task": "t", "judge": "rater"}
    aspects = [about | {"id": "0", "aspect": name, "score": score} for name, score in (("detail", 2), ("order", 5))]
    scores = [*aspects, about | {"id": "1", "score": 4}]
    first = write_run(tmp_path / "first", samples, scores)
    second = write_run(tmp_path / "second", samples[:2], [*aspects, about | {"id": "1", "score": 3.5}])
    page = client(first, second)
    found = ask(page, "/api/samples")["samples"]
    assert [sample["verdicts"] for sample in found] == [["rated", "rated"], ["rated", "rated"], ["unjudged", None]]
    assert [sample["scores"] for sample in found] == [[3.5, 3.5], [4, 3.5], [None, None]]
    assert numbers(page, differ="verdict") == {1}
    assert numbers(page, differ="missing") == {2}
    assert numbers(page, differ="answer") == set()


def test_a_failed_sample_is_told_apart(tmp_path):
    folder = write_run(tmp_path / "run", [{"task": "t", "id": "1", "error": "clip.mp4: no such file"}])
    assert numbers(client(folder), verdict="failed", q="no such file") == {1}


def test_numbers_that_json_has_not_are_null(tmp_path):
    score = {"task": "t", "id": "1", "judge": "j", "score": float("nan")}
    page = client(write_run(tmp_path / "run", [{"task": "t", "id": "1"}], [score]))
    assert ask(page, "/api/sample", of="t", id="1")["answers"][0]["score"] is None


def test_a_run_is_shown_as_it_grows(tmp_path):
    folder = write_run(tmp_path / "run", [{"task": "t", "id": "1"}])
    page = client(folder)
    before = ask(page, "/api/runs")["version"]
    assert ask(page, "/api/runs")["version"] == before
    with JsonLines(folder / "samples.1.jsonl") as file:
        file.append({"task": "t", "id": "2"})
    assert numbers(page) == {1, 2}
    assert ask(page, "/api/runs")["version"] != before


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/samples?verdict=good", 400, "verdict is 'good'; choose one of correct, wrong"),
        ("/api/samples?differ=much", 400, "differ is 'much'"),
        ("/api/samples?judge=nobody", 404, "There is no judge 'nobody'. Judges: rules, rater."),
        ("/api/samples?page=-1", 400, "page is a number from 0 up; got '-1'"),
        ("/api/sample", 400, "named by its task and its id"),
        ("/api/sample?of=world&id=99", 404, "There is no sample '99' of task 'world'"),
        ("/media/0/0?of=world&id=99", 404, "There is no sample"),
        ("/api/comparison", 404, "There is one run"),
        ("/media/0/1?of=world&id=00", 404, "The sample has 1 media; there is no number 1"),
        ("/media/1/0?of=world&id=00", 404, "Run 1 has no sample"),
        ("/frame/0/0/1?of=world&id=00", 404, "Frame 1 is not among those"),
        ("/frame/0/0/99999999999999999999?of=world&id=00", 404, "is not among those"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_mistakes_are_explained(one, path, status, message):
    answer = one.get(path)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_clip_is_given_in_parts(one, runs):
    content = (runs[0].parent / "clips/00.mp4").read_bytes()
    address = f"/media/0/0?of={TASK}&id=00"
    whole = one.get(address)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = one.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    end = one.get(address, headers={"Range": "bytes=-50"})
    assert end.content == content[-50:]
    assert one.get(address, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert one.head(address).headers["content-length"] == str(len(content))


def test_pictures_are_those_of_the_sampled_frames(two, runs):
    from video_lmms.processing.video_reader import VideoReader

    medium = ask(two, "/api/sample", of=TASK, id="01")["answers"][1]["media"][0]
    assert medium["strip"] == [frame["index"] for frame in medium["frames"]]
    with VideoReader.open(runs[0].parent / "clips/01.mp4") as reader:
        frames = reader.read(medium["strip"])
    for index, frame in zip(medium["strip"], frames, strict=True):
        answer = two.get(f"/frame/1/0/{index}?of={TASK}&id=01")
        assert answer.headers["content-type"] == "image/jpeg"
        picture = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert picture.shape == frame.shape
        assert np.abs(picture.astype(int) - frame).mean() < 4


def test_a_strip_holds_what_was_chosen_and_others_evenly():
    record = {"frames": [list(range(0, 1000, 5))], "chosen": [{"chosen_frames": [995, 500]}]}
    strip = strip_frames(record, 0)
    assert len(strip) == MOST_THUMBNAILS
    assert {0, 500, 995} <= set(strip)
    others = [index for index in strip if index not in (500, 995)]
    assert max(np.diff(others)) <= 2 * min(np.diff(others))
    assert strip_frames(record, 1) == []


def test_folders_of_images_are_shown_by_their_frames(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(4):
        Image.new("RGB", (400, 300), (60 * number, 0, 0)).save(tmp_path / f"frames/{number}.png")
    record = {"task": "t", "id": "1", "media": [{"type": "video", "path": str(tmp_path / "frames")}]}
    page = client(write_run(tmp_path / "run", [record | {"frames": [[1, 3]], "times": [[0.3, 1.0]]}]))
    (medium,) = ask(page, "/api/sample", of="t", id="1")["answers"][0]["media"]
    assert (medium["kind"], medium["strip"]) == ("frames", [1, 3])
    picture = Image.open(io.BytesIO(page.get("/frame/0/0/3?of=t&id=1").content))
    assert picture.size == (192, 144)
    assert picture.getpixel((90, 70))[0] == pytest.approx(180, abs=4)
    assert page.get("/media/0/0?of=t&id=1").status_code == 415


def test_another_file_than_the_model_saw_is_noticed(tmp_path, runs):
    record = {"task": "t", "id": "1", "media": [{"path": str(runs[0].parent / "clips/00.mp4")}], "frames": [[5000]]}
    page = client(write_run(tmp_path / "run", [record]))
    answer = page.get("/frame/0/0/5000?of=t&id=1")
    assert answer.status_code == 404
    assert "not the file that the model was shown" in answer.json()["error"]


@pytest.mark.parametrize("name", ["../secret.txt", "secret.txt", "run.json", "", "absent.mp4"])
def test_what_is_no_medium_is_not_given_away(tmp_path, name):
    """Not even when the run names it."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = write_run(tmp_path / "run", [{"task": "t", "id": "1", "media": [{"type": "video", "path": name}]}])
    page = client(folder)
    (medium,) = ask(page, "/api/sample", of="t", id="1")["answers"][0]["media"]
    assert medium["kind"] == "missing"
    answer = page.get("/media/0/0?of=t&id=1")
    assert answer.status_code in (404, 415)
    assert answer.json()["error"] == medium["problem"]


@pytest.mark.parametrize(
    "path",
    ["/page/../gallery.py", "/page/..%2fgallery.py", "/page/%2e%2e/gallery.py", "/page//etc/passwd", "/media/0/0/x"],
)
def test_no_path_of_the_clients_choice_is_opened(one, path):
    assert one.get(path).status_code == 404


def test_a_damaged_clip_is_explained(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"not a clip")
    record = {"task": "t", "id": "1", "media": [{"path": str(tmp_path / "clip.mp4")}], "frames": [[0]]}
    answer = client(write_run(tmp_path / "run", [record])).get("/frame/0/0/0?of=t&id=1")
    assert answer.status_code == 415
    assert "clip.mp4" in answer.json()["error"]


def test_addresses_are_linked_to_and_not_fetched(tmp_path):
    record = {"task": "t", "id": "1", "media": [{"path": "https://public.test/clip.mp4"}], "frames": [[0]]}
    page = client(write_run(tmp_path / "run", [record]))
    (medium,) = ask(page, "/api/sample", of="t", id="1")["answers"][0]["media"]
    assert (medium["kind"], medium["strip"]) == ("link", [])
    assert page.get("/media/0/0?of=t&id=1").status_code == 404


@pytest.mark.parametrize("recorded", ["/elsewhere/data/clips/a.mp4", "D:\\data\\clips\\a.mp4", "../clips/a.mp4"])
def test_media_that_moved_are_found_under_their_new_root(tmp_path, recorded):
    (tmp_path / "new/clips").mkdir(parents=True)
    (tmp_path / "new/clips/a.mp4").touch()
    media = MediaFolder(tmp_path / "run", tmp_path / "new")
    assert media.find(recorded) == tmp_path / "new/clips/a.mp4"
    with pytest.raises(GalleryError, match=r"b\.mp4 any more, nor under"):
        media.find("/elsewhere/data/b.mp4")
    with pytest.raises(GalleryError, match="give --media-root"):
        MediaFolder(tmp_path / "run").find(recorded)


def test_paths_in_a_run_may_be_relative_to_it(tmp_path):
    """Or to a folder above it, where the run was started."""
    (tmp_path / "runs/first/data").mkdir(parents=True)
    (tmp_path / "runs/first/a.mp4").touch()
    (tmp_path / "runs/first/data/b.mp4").touch()
    media = MediaFolder(tmp_path / "runs/first")
    assert media.find("a.mp4") == tmp_path / "runs/first/a.mp4"
    assert media.find("runs/first/data/b.mp4").samefile(tmp_path / "runs/first/data/b.mp4")


def test_other_sites_cannot_read_it(one):
    """Neither by a name of theirs that leads to this machine, nor in a frame, nor by what a model answered."""
    assert one.get("/api/runs", headers={"Host": "evil.test"}).status_code == 400
    for host in ("localhost:8765", "127.0.0.1", "[::1]:80"):
        assert one.get("/api/runs", headers={"Host": host}).status_code == 200
    for path in ("/", "/api/runs", "/page/gallery.js", "/nothing", f"/media/0/0?of={TASK}&id=00"):
        headers = one.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_page_needs_nothing_from_elsewhere(one):
    page = one.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'src="page/gallery.js"' in page.text
    for name in ("gallery.css", "gallery.js", "list.js", "detail.js", "media.js", "state.js", "dom.js"):
        text = one.get(f"/page/{name}").text
        assert text.startswith(("//", "/*"))
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text


def test_folders_are_checked(tmp_path, runs):
    with pytest.raises(RecordError, match=r"holds no run\.json"):
        create_gallery([tmp_path])
    with pytest.raises(GalleryError, match="got 3 folders"):
        create_gallery([runs[0]] * 3)
    with pytest.raises(GalleryError, match="is no folder"):
        create_gallery([runs[0]], tmp_path / "nowhere")


def test_the_command_names_mistakes(tmp_path, runs):
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    for arguments, message in (
        ([str(tmp_path)], "holds no run.json"),
        ([str(runs[0]), "--port", port], f"Cannot listen at 127.0.0.1, port {port}"),
        ([str(runs[0]), "--media-root", str(tmp_path / "nowhere")], "is no folder"),
    ):
        result = CliRunner().invoke(app, ["gallery", *arguments])
        assert result.exit_code == 2
        assert message in result.stderr
    taken.close()


def test_the_command_says_which_extra_it_needs(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(app, ["gallery", str(runs[0])])
    assert result.exit_code == 2
    assert "pip install 'video-lmms[serve]'" in result.stderr


@pytest.mark.parametrize(("host", "private"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_the_command_serves_this_machine_unless_told_otherwise(runs, monkeypatch, host, private):
    import uvicorn

    seen: dict = {}

    def run(server, sockets):
        """Serves one request, in place of all until Ctrl+C."""
        seen["address"] = sockets[0].getsockname()
        seen["hosts"] = [middleware.kwargs.get("allowed_hosts") for middleware in server.config.app.user_middleware]
        thread = threading.Thread(target=original, args=(server, sockets))
        thread.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{seen['address'][1]}/api/runs") as answer:
            seen["runs"] = json.load(answer)["runs"]
        server.should_exit = True
        thread.join()

    original = uvicorn.Server.run
    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.chdir(runs[0].parents[1])
    result = CliRunner().invoke(app, [*README_WORDS, "--host", host, "--port", "0"])
    assert result.exit_code == 0, result.output
    assert seen["address"][0] == host
    assert len(seen["runs"]) == 2
    assert (["*"] in seen["hosts"]) is not private
    assert ("Everyone who reaches" in result.stderr) is not private
    assert f"http://{host}:{seen['address'][1]}" in result.stdout


def test_a_run_can_be_moved_with_its_clips(tmp_path, runs):
    moved = shutil.copytree(runs[0], tmp_path / "moved")
    text = (moved / SAMPLES).read_text(encoding="utf-8").replace(str(runs[0].parent), "/gone")
    (moved / SAMPLES).write_text(text, encoding="utf-8")
    assert client(moved).get(f"/media/0/0?of={TASK}&id=00").status_code == 404
    there = client(moved, media_root=runs[0].parent)
    assert there.get(f"/media/0/0?of={TASK}&id=00").status_code == 200
