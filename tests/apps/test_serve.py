# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms serve` as a process of its own, spoken to by OpenAI's client over loopback."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import openai
import pytest
import tiny_pllava
import torch
from checkout import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from video_lmms.apps.conversation import Conversation
from video_lmms.apps.engine import AnswerOptions, Engine
from video_lmms.cli import app
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration


pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "hub_configs"
MODELS = sorted(folder.name for folder in EXAMPLES.glob("tiny-*"))
QUESTIONS = ["What colour is it?", "What shape is it?", "Which way does it move?"]
CLIENTS, SECONDS = 8, 60
# Longest of all models' answers here.
TOKENS = 24


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As many threads as the server has, so that sums are rounded alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Server:
    """A process of `video-lmms serve` on a free port."""

    def __init__(self, *options: str, log: Path):
        self.log = log
        words = [sys.executable, "-c", "from video_lmms.cli import main; main()", "serve", "--port", "0", *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with log.open("w") as file:
            self.process = subprocess.Popen(words, stderr=file, stdout=file, env=environment)
        while not (found := re.search(r"serving at (\S+)", log.read_text())):
            if self.process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.2)
        self.url = found[1]

    def client(self, **options) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120, **options)

    @property
    def resident(self) -> int:
        """Bytes of memory in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def end(self) -> int:
        """Asks it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_folder):
    """All shipped models, and a random one on Flan-T5, which no shipped model has."""
    sources = [*(f"{name}={EXAMPLES / name}" for name in MODELS), f"flan-t5={tiny_folder('videotgb_t5')}"]
    options = [part for source in sources for part in ("--model", source)]
    log = tmp_path_factory.mktemp("server") / "log"
    options += ["--private-addresses", "--media-root", str(EXAMPLES), "--max-body", "4", "--device", "cpu"]
    running = Server(*options, "--shutdown-seconds", "60", log=log)
    yield running
    if running.process.poll() is None:
        running.end()


@pytest.fixture(scope="module")
def website():
    """The examples on a web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Keeps the terminal clean."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(EXAMPLES)))
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{site.server_port}"
    site.shutdown()
    site.server_close()
    thread.join()


@pytest.fixture(scope="module", params=[*MODELS, "flan-t5"])
def model(request, tiny_folder):
    """Name of a model with its engine in this process: what the server should say."""
    source = str(tiny_folder("videotgb_t5") if request.param == "flan-t5" else EXAMPLES / request.param)
    with Engine(source, device="cpu") as engine:
        yield request.param, engine


def example(name):
    return EXAMPLES / (name if name in MODELS else MODELS[0]) / "example.mp4"


def video(url):
    return {"type": "video_url", "video_url": {"url": url}}


def said(*parts, role="user"):
    return {"role": role, "content": list(parts)}


def text(words):
    return {"type": "text", "text": words}


def test_all_ways_give_the_models_answer(server, website, model):
    name, engine = model
    path = example(name)
    conversation = Conversation()
    conversation.ask(QUESTIONS[0], videos=[path])
    expected = engine.answer(conversation, AnswerOptions(max_new_tokens=TOKENS))
    assert expected.new_tokens > 0
    client, data = server.client(), base64.b64encode(path.read_bytes()).decode()
    for url in (f"{website}/{path.parent.name}/example.mp4", f"data:video/mp4;base64,{data}", str(path)):
        messages = [said(video(url), text(QUESTIONS[0]))]
        ask = partial(client.chat.completions.create, model=name, messages=messages, max_tokens=TOKENS)
        whole = ask(extra_body={"return_frames": True})
        assert whole.choices[0].message.content == expected.text
        assert whole.usage.prompt_tokens == expected.prompt_tokens
        assert whole.model_extra["videos"][0]["times"] == expected.videos[0]["times"]
        *chunks, last = ask(stream=True, stream_options={"include_usage": True})
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected.text
        assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
        assert last.usage == whole.usage


def test_turns_follow_each_other(server, model):
    name, engine = model
    client, messages, conversation = server.client(), [], Conversation()
    for turn, question in enumerate(QUESTIONS[:2]):
        shown = [example(name)] if turn == 0 else []
        messages.append(said(*(video(str(path)) for path in shown), text(question)))
        conversation.ask(question, videos=shown)
        answer = client.chat.completions.create(model=name, messages=messages, max_tokens=TOKENS)
        expected = engine.answer(conversation, AnswerOptions(max_new_tokens=TOKENS))
        assert answer.choices[0].message.content == expected.text
        messages.append(said(text(expected.text or "Nothing."), role="assistant"))
        conversation.answer(expected.text or "Nothing.")
    assert expected.remembered == 1


def test_the_readmes_client_and_options_are_right(server, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    client = re.search(r"<!-- with-a-server -->\n```python\n(.*?)```", readme, re.DOTALL)[1]
    code = client.replace("http://127.0.0.1:8000/v1", server.url)
    assert code != client
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip() in re.findall(r"The answer is `(\w+)`", readme)
    command = re.search(r"<!-- serve-command -->\n```bash\nvideo-lmms (.*)\n```", readme)[1]
    words = [word for word in command.split() if word.startswith("--")]
    known = {option for parameter in get_command(app).commands["serve"].params for option in parameter.opts}
    assert words
    assert set(words) <= known


def test_sampling_can_be_asked_for(server):
    client = server.client()
    ask = partial(
        client.chat.completions.create,
        model="tiny-pllava",
        messages=[said(video("tiny-pllava/example.mp4"), text(QUESTIONS[0]))],
    )
    frames = ask(extra_body={"num_frames": 3, "return_frames": True}).model_extra["videos"][0]["frames_indices"]
    assert len(frames) == 3
    drawn = [ask(temperature=2.0, seed=4, max_tokens=12).choices[0].message.content for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_refusals_are_the_clients_own_errors(server, website):
    client = server.client()

    def refused(kind, *parts, **options):
        options = {"model": "tiny-pllava", "messages": [said(*parts, text("Hm?"))]} | options
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**options)
        assert 400 <= caught.value.status_code < 500
        assert caught.value.body["message"]

    refused(openai.BadRequestError, video("../README.md"))
    refused(openai.BadRequestError, video("file:///etc/hostname"))
    refused(openai.BadRequestError, video(f"{website}/missing.mp4"))
    refused(openai.BadRequestError, video(f"{website}/tiny-pllava/README.md"))
    refused(openai.BadRequestError, video("data:video/mp4;base64,????"))
    refused(openai.BadRequestError, messages=[])
    refused(openai.BadRequestError, n=3)
    refused(openai.NotFoundError, model="gpt-4o")
    refused(openai.APIStatusError, video("data:video/mp4;base64," + "A" * (5 << 20)))


def test_private_addresses_are_refused_by_default(tmp_path, website):
    server = Server("--model", str(EXAMPLES / "tiny-pllava"), "--api-key", "secret", log=tmp_path / "log")
    try:
        with pytest.raises(openai.AuthenticationError):
            server.client().models.list()
        client = server.client().with_options(api_key="secret")
        assert [entry.id for entry in client.models.list()] == ["tiny-pllava"]
        for url in (
            f"{website}/tiny-pllava/example.mp4",
            "http://localhost:80/",
            "http://[::1]/",
            "http://192.168.0.1/",
        ):
            with pytest.raises(openai.BadRequestError, match="not on the public internet"):
                client.chat.completions.create(model="tiny-pllava", messages=[said(video(url), text("Hm?"))])
        with pytest.raises(openai.BadRequestError, match="opens no files"):
            client.chat.completions.create(
                model="tiny-pllava", messages=[said(video(str(example("tiny-pllava"))), text("Hm?"))]
            )
    finally:
        assert server.end() in (0, -signal.SIGTERM)


def test_eight_clients_for_a_minute(server, website):
    """Nobody gets an error or somebody else's answer, and the memory of the server stays as it is."""
    expected = lonely_answers(server)
    assert len(set(expected.values())) > 2
    failures: list[str] = []
    counts = [0] * CLIENTS
    sizes: list[int] = []
    end = time.monotonic() + SECONDS

    def talk(number):
        client, turn = server.client(), number
        while time.monotonic() < end and not failures:
            (name, clip, question), answer = list(expected.items())[turn % len(expected)]
            url = f"{website}/{clip}/example.mp4" if turn % 3 else str(EXAMPLES / clip / "example.mp4")
            messages = [said(video(url), text(question))]
            try:
                stream = client.chat.completions.create(
                    model=name, messages=messages, max_tokens=TOKENS, stream=True, timeout=60
                )
                found = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            except openai.OpenAIError as exc:
                failures.append(f"{name}: {exc!r}")
                return
            if found != answer:
                failures.append(f"{name} on {clip}, {question!r}: {found!r} instead of {answer!r}")
            counts[number] += 1
            turn += CLIENTS + 1

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        sizes.append(server.resident)
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(counts) > 0
    settled, last = max(sizes[: len(sizes) // 2]), max(sizes[-5:])
    print(json.dumps({"answers": sum(counts), "megabytes": [settled >> 20, last >> 20]}))
    assert last < settled * 1.05


def lonely_answers(server):
    """(model, example, question) -> what the server says while nobody else asks."""
    client, expected = server.client(), {}
    for name in MODELS:
        for clip in MODELS:
            for question in QUESTIONS:
                messages = [said(video(f"{clip}/example.mp4"), text(question))]
                answer = client.chat.completions.create(model=name, messages=messages, max_tokens=TOKENS)
                expected[name, clip, question] = answer.choices[0].message.content
    return expected


def test_what_serving_adds_is_measured(tmp_path, capsys):
    """Shown and not judged: how long something takes hangs on what else the machine does."""
    config = tiny_pllava.tiny_config()
    config.text_config.update({"num_hidden_layers": 8, "hidden_size": 512, "intermediate_size": 1536})
    PllavaForConditionalGeneration(config).save_pretrained(tmp_path / "model")
    tiny_pllava.tiny_processor().save_pretrained(tmp_path / "model")
    words = ["--model", tmp_path / "model", "--video", example("tiny-pllava"), "--new-tokens", 32, "--rounds", 3]
    result = CliRunner().invoke(app, ["bench", "serve", "--device", "cpu", "--json", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    costs = json.loads(result.stdout)["costs"]
    with capsys.disabled():
        print([(cost["way"], cost["fresh"], round(cost["ratio"], 3), round(cost["cpu_ratio"], 3)) for cost in costs])
    assert {(cost["way"], cost["fresh"]) for cost in costs} == set(product(("whole", "stream"), (True, False)))
    assert all(cost["ratio"] > 0 and cost["cpu_ratio"] > 0 for cost in costs)


def test_an_answer_in_flight_is_finished_before_the_end(server):
    """Comes last: told to end, the server finishes what it began, and takes nothing new."""
    client = server.client()
    stream = client.chat.completions.create(
        model="tiny-pllava",
        messages=[said(video("tiny-pllava/example.mp4"), text(QUESTIONS[0]))],
        max_tokens=TOKENS,
        stream=True,
    )
    chunks = iter(stream)
    next(chunks)
    server.process.send_signal(signal.SIGTERM)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert server.process.wait(timeout=60) in (0, -signal.SIGTERM)
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
    assert "Traceback" not in server.log.read_text()
