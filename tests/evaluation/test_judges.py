# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Judges: what they are asked, how their replies are read, and how an endpoint is treated."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
from benchmark_files import WRITERS
from judge_endpoint import Endpoint
from stub_predictors import INFO, StubPredictor, at_random, perfect

from video_lmms.evaluation import raters
from video_lmms.evaluation.judges import (
    JudgeError,
    Rating,
    estimate_cost,
    parse_score,
    parse_verdict,
    requests_of,
)
from video_lmms.evaluation.raters import EndpointRater, LocalRater, Pace, find_rater
from video_lmms.evaluation.records import read_samples as read_answers
from video_lmms.evaluation.records import read_scores
from video_lmms.evaluation.runner import answer_questions, questions_of
from video_lmms.evaluation.scoring import compare_runs, score_run
from video_lmms.evaluation.tasks import TASKS, read_samples


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("{'score': 4}", 4),
        ('{"score": 0}', 0),
        (" {'pred': 'yes', 'score': 3}\n", 3),
        ("{'score': 4.8}", 4),
        ("{'score': '5'}", 5),
        ("{'score': 9}", None),
        ("{'score': -1}", None),
        ("{'score': True}", None),
        ("{'score': None}", None),
        ("{'grade': 4}", None),
        ("4", None),
        ("The score is 4.", None),
        ("{'score': 4} because", None),
        ("__import__('os').getcwd()", None),
        ("{" * 500, None),
        ("", None),
    ],
)
def test_ratings_are_literals_from_0_to_5(reply, score):
    assert parse_score(reply) == score


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("{'pred': 'yes', 'score': 5}", True),
        ("{'pred': 'Yes.', 'score': 5}", True),
        ("{'pred': 'no', 'score': 5}", False),
        ("{'score': 5}", False),
        ("yes", False),
    ],
)
def test_verdicts(reply, right):
    assert parse_verdict(reply) is right


def answered(name: str, folder, say: Callable = perfect):
    """A run of answers by a stub, and its folder."""
    data, output = folder / f"{name}-data", folder / f"{name}-run"
    if not data.exists():
        data.mkdir()
        WRITERS[name](data, random.Random(7))
    task = TASKS[name]
    questions = questions_of({name: read_samples(task, data)}, [task], "stop")
    answer_questions(output, StubPredictor(say), questions, INFO | {"tasks": {name: 1}})
    return output


class StrictRater:
    """Right is what equals the reference, word for word, as it finds both in the conversation."""

    name = "stub:strict"

    def __init__(self) -> None:
        self.asked = 0

    def rate(self, conversations):
        for number, messages in enumerate(conversations):
            self.asked += 1
            lines = messages[1]["content"].split("\n")
            reference = next(line for line in lines if line.startswith(("Reference answer", "Correct answer")))
            said = [line.split(": ", 1)[1] for line in lines if line.startswith("Model's answer")]
            same = all(answer == reference.split(": ", 1)[1] for answer in said)
            reply = {"pred": "yes", "score": 5} if same else {"pred": "no", "score": 1}
            yield number, Rating(repr(reply), "strict-2024")


def test_a_rater_judges_short_answers(tmp_path):
    folder = answered("msvd_qa", tmp_path)
    results = score_run(folder, StrictRater())
    entry = results["tasks"]["msvd_qa"]
    assert (entry["metric"], entry["value"], entry["others"]) == ("accuracy", 100.0, {"mean rating": 5.0})
    assert (results["judge"], results["judge_models"]) == ("stub:strict", ["strict-2024"])
    assert results["judge_prompts"]["open"] == "qa/1"
    wrong = answered(
        "msvd_qa", tmp_path / "other" if (tmp_path / "other").mkdir() else tmp_path / "other", at_random()
    )
    entry = score_run(wrong, StrictRater())["tasks"]["msvd_qa"]
    assert (entry["value"], entry["others"]) == (0.0, {"mean rating": 1.0})
    (difference,) = compare_runs(folder, wrong).values()
    assert difference.estimate.value == 100.0
    assert (difference.better, difference.worse) == (30, 0)


def test_a_rater_judges_five_aspects(tmp_path):
    folder = answered("vcg", tmp_path)
    rater = StrictRater()
    entry = score_run(folder, rater)["tasks"]["vcg"]
    # Five generic rows are rated three times, three temporal rows once, two pairs once.
    assert rater.asked == 5 * 3 + 3 + 2
    assert (entry["metric"], entry["unit"], entry["value"], entry["n"]) == ("mean rating", "of 5", 5.0, 20)
    assert entry["others"]["mean of aspects"] == 5.0
    assert set(entry["others"]) >= {"correctness", "detail", "context", "temporal", "consistency"}


def test_the_mean_over_ratings_is_not_the_mean_of_aspects(tmp_path):
    """One aspect that fails weighs by its share of the ratings in one mean, and a fifth in the other."""
    folder = answered(
        "vcg", tmp_path, lambda task, sample: "no" if sample.subset == "temporal_qa" else sample.expected
    )
    entry = score_run(folder, StrictRater())["tasks"]["vcg"]
    assert entry["value"] == pytest.approx((17 * 5 + 3 * 1) / 20)
    assert entry["others"]["mean of aspects"] == pytest.approx((4 * 5 + 1) / 5)
    assert entry["others"]["rated above 3 (%)"] == pytest.approx(100 * 17 / 20)


def test_both_answers_of_a_pair_are_judged_together(tmp_path):
    folder = answered("vcg", tmp_path, lambda task, sample: "no" if sample.id.endswith("/2") else sample.expected)
    entry = score_run(folder, StrictRater())["tasks"]["vcg"]
    assert entry["others"]["consistency"] == 1.0
    pairs = [request for request in requests_of(read_answers(folder)) if request.aspect == "consistency"]
    assert len(pairs) == 2
    assert "Question 2: What can one see?" in pairs[0].messages[1]["content"]


def test_empty_answers_count_as_nothing_and_cost_nothing(tmp_path):
    folder = answered("msvd_qa", tmp_path, lambda task, sample: " ")
    rater = StrictRater()
    assert score_run(folder, rater)["tasks"]["msvd_qa"]["value"] == 0.0
    assert rater.asked == 0
    assert {score["reason"] for score in read_scores(folder, rater.name)} == {"no answer"}


def test_what_was_judged_is_not_judged_again_unless_asked(tmp_path):
    folder = answered("msvd_qa", tmp_path)
    first, second, third = StrictRater(), StrictRater(), StrictRater()
    score_run(folder, first)
    score_run(folder, second)
    score_run(folder, third, again=True)
    assert (first.asked, second.asked, third.asked) == (30, 0, 30)
    # Rules and rater keep their scores beside each other.
    assert {score["judge"] for score in read_scores(folder)} == {"rules", "stub:strict"}
    assert len(read_scores(folder)) == 60


def test_a_judge_that_stops_half_way_is_continued(tmp_path):
    folder = answered("msvd_qa", tmp_path)

    class Failing(StrictRater):
        def rate(self, conversations):
            yield from list(super().rate(conversations))[:12]
            raise JudgeError("the endpoint is gone")

    with pytest.raises(JudgeError, match="the endpoint is gone"):
        score_run(folder, Failing())
    assert not (folder / "results.json").exists()
    rater = StrictRater()
    assert score_run(folder, rater)["tasks"]["msvd_qa"]["value"] == 100.0
    assert rater.asked == 18


def test_costs_are_estimated_before(tmp_path):
    requests = requests_of(read_answers(answered("msvd_qa", tmp_path)))
    cost = estimate_cost(requests, (0.5, 1.5))
    assert cost["requests"] == 30
    assert 30 * 100 < cost["tokens_read"] < 30 * 300
    assert cost["cost"] == pytest.approx((cost["tokens_read"] * 0.5 + cost["tokens_written"] * 1.5) / 1e6, rel=0.01)
    assert "cost" not in estimate_cost(requests, None)


MESSAGES = [{"role": "user", "content": "?"}]


def test_an_endpoint_is_asked_in_its_protocol(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    folder = answered("msvd_qa", tmp_path)
    with Endpoint() as endpoint:
        rater = find_rater("openai:gpt-judge", endpoint.url, "SOME_KEY", 0.0, None)
        results = score_run(folder, rater)
    assert results["tasks"]["msvd_qa"]["value"] == 100.0
    assert (results["judge"], results["judge_models"]) == ("openai:gpt-judge", ["gpt-judge-0125"])
    assert len(endpoint.requests) == 30
    path, headers, body = endpoint.requests[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("gpt-judge", 0)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    # The key is written nowhere.
    assert all(b"secret" not in path.read_bytes() for path in folder.iterdir())


def test_failures_that_may_pass_are_tried_again():
    with Endpoint([(429, {"Retry-After": "0.01"}), (503, {}), (500, {"Retry-After": "soon"})]) as endpoint:
        assert EndpointRater("m", endpoint.url).ask(MESSAGES) == Rating("{'pred': 'yes', 'score': 5}", "m-0125")
        assert len(endpoint.requests) == 4


def test_failures_that_stay_end_the_work():
    with Endpoint([(401, {})]) as endpoint:
        with pytest.raises(JudgeError, match="does not answer for m: .*401"):
            EndpointRater("m", endpoint.url).ask(MESSAGES)
        assert len(endpoint.requests) == 1
    rater = EndpointRater("m", endpoint.url, retries=1, timeout=5)
    with pytest.raises(JudgeError, match=r"failed 2 times .* What was judged is kept"):
        rater.ask(MESSAGES)


def test_a_reply_of_another_kind_is_named(monkeypatch):
    with Endpoint(choices=[]) as endpoint, pytest.raises(JudgeError, match="holds no choices"):
        EndpointRater("m", endpoint.url).ask(MESSAGES)


def test_the_client_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(JudgeError, match="pip install openai"):
        EndpointRater("m")


def test_requests_keep_a_pace():
    now = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(120, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pace.wait()
    now[0] += 10
    pace.wait()
    assert waits == [0.5, 0.5]


def test_judges_are_named():
    with pytest.raises(JudgeError, match="There is no judge 'gpt'. Use rules, openai:MODEL or local:FOLDER"):
        find_rater("gpt", None, "KEY", 0.0, None)


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory):
    """A language model that knows a few words, with random weights and a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [
        "<pad>",
        "</s>",
        "<unk>",
        "{",
        "}",
        "'",
        ":",
        "pred",
        "score",
        "yes",
        "no",
        "question",
        "answer",
        "0",
        "5",
    ]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = LlamaConfig(vocab_size=len(words), max_position_embeddings=1024, **sizes, **ids)
    folder = tmp_path_factory.mktemp("judge")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_local_model_judges(chat_model, tmp_path):
    folder = answered("msvd_qa", tmp_path)
    rater = LocalRater(str(chat_model), device="cpu", batch_size=7)
    results = score_run(folder, rater)
    assert results["judge"] == f"local:{chat_model}"
    scores = read_scores(folder, rater.name)
    assert len(scores) == 30
    # Random weights write no dictionary, and what cannot be parsed counts as wrong.
    assert results["tasks"]["msvd_qa"]["value"] == 100 * sum(score["correct"] for score in scores) / 30
    conversations = [request.messages for request in requests_of(read_answers(folder))]
    alone = {number: rating.text for number, rating in LocalRater(str(chat_model), "cpu", None, 1).rate(conversations)}
    assert {score["reason"] for score in scores} == set(alone.values())


def test_a_local_judge_must_be_able_to_chat(tmp_path):
    with pytest.raises(JudgeError, match="cannot be loaded as a judge"):
        raters.LocalRater(str(tmp_path), device="cpu")
