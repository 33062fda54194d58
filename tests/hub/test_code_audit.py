# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The audit of a bundle's code: ours is clean, and each way to do harm is named with its line."""

from __future__ import annotations

import pytest
from checkout import FLAT_FOLDERS, ROOT

from video_lmms.errors import BundleError
from video_lmms.hub import verify
from video_lmms.hub.code_audit import audit


HARM = {
    "import os\nos.system('true')\n": "2: calls os.system",
    "from os import popen as p\nx = p('true')\n": "2: calls os.popen",
    "import subprocess\n": "1: imports subprocess",
    "from subprocess import run\n": "1: imports subprocess",
    "def f():\n    exec('1')\n": "2: calls exec",
    "class A:\n    x = eval('1')\n": "2: calls eval",
    "import builtins\nbuiltins.exec('1')\n": "2: calls exec",
    "x = __import__('os')\n": "1: calls __import__",
    "import importlib as i\ni.import_module('os')\n": "2: calls importlib.import_module",
    "import torch\ntorch.load('x')\n": "2: calls torch.load",
    "import urllib.request\nurllib.request.urlopen('http://x')\n": "2: calls urllib.request.urlopen when",
    "from urllib.request import urlopen\n@urlopen('http://x')\ndef f(): ...\n": "2: calls urllib.request.urlopen when",
    "import socket\ndef f(x=socket.socket()): ...\n": "2: calls socket.socket when",
    "import huggingface_hub as h\nif True:\n    h.hf_hub_download('a', 'b')\n": "3: calls huggingface_hub",
    "x = ().__class__.__subclasses__()\n": "1: reaches for __subclasses__",
    "x = __builtins__\n": "1: reaches for __builtins__",
    "import pickle\n": "1: imports pickle",
}
HARMLESS = (
    "import re\nx = re.compile('a')\n",
    "def f(model):\n    return model.eval()\n",
    "from urllib.request import urlopen\ndef f(u):\n    return urlopen(u)\n",
    "import torch\nf = torch.compile\n",
    "import os\nx = os.path.join('a', 'b')\n",
)


@pytest.mark.parametrize(
    "path",
    [path for folder in FLAT_FOLDERS for path in sorted((ROOT / folder).glob("*.py"))],
    ids=lambda path: path.name,
)
def test_what_is_shipped_is_clean(path):
    assert audit(path) == []


@pytest.mark.parametrize("code", HARM)
def test_harm_is_named(code, tmp_path):
    (tmp_path / "x.py").write_text(code)
    (found,) = audit(tmp_path / "x.py")
    assert found.startswith(f"x.py:{HARM[code]}")


@pytest.mark.parametrize("code", HARMLESS)
def test_what_only_looks_alike_passes(code, tmp_path):
    (tmp_path / "x.py").write_text(code)
    assert audit(tmp_path / "x.py") == []


def test_what_is_no_python_is_named(tmp_path):
    (tmp_path / "x.py").write_text("def (")
    with pytest.raises(BundleError, match="x.py:1: not valid Python"):
        audit(tmp_path / "x.py")


def test_verify_reads_and_never_runs_it(bundled):
    path = bundled / "video_plan.py"
    path.write_text(path.read_text() + f"\nimport os\nos.system('touch {bundled}/ran')\n")
    report = verify(bundled)
    assert not report.passed
    assert any("calls os.system" in finding.detail for finding in report.findings)
    assert not (bundled / "ran").exists()
