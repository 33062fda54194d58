# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The wheel holds everything, and works where the checkout cannot be seen."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from checkout import ROOT, Environment, borrowing_environment, copy_checkout, run


pytestmark = pytest.mark.slow

# Folder of the checkout -> folder of the package.
HOMES = {
    "src/video_lmms": "video_lmms",
    "modeling": "video_lmms/modeling",
    "processing": "video_lmms/processing",
    "hub_configs": "video_lmms/hub_configs",
    "conversion_scripts": "video_lmms/conversion_scripts",
}
TINY = ROOT / "hub_configs/tiny-pllava"

# Modules that stand on the package of an extra that tests do without, and its name.
HOSTS = {
    "video_lmms.apps.demo": "gradio",
    "video_lmms.apps.demo_guard": "gradio",
    "video_lmms.evaluation.lmms_eval_model": "lmms_eval",
    "video_lmms.evaluation.lmms_eval_plugin": "lmms_eval",
}

IMPORT_ALL = f"""
import importlib, pathlib, sys
import video_lmms

HOSTS = {HOSTS}

home = pathlib.Path(video_lmms.__file__).parent
assert pathlib.Path(sys.prefix) in home.parents, home
for path in sorted([*home.rglob("*.py"), *home.parent.glob("video_lmms_*.py")]):
    name = ".".join(path.relative_to(home.parent).with_suffix("").parts).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # It needs not be there.
        if error.name.partition(".")[0] != HOSTS.get(name):
            raise
    else:
        assert pathlib.Path(module.__file__) == path, (module.__file__, path)
    print(name)
"""


def shipped_files() -> set[str]:
    """Every file of the packages, as it is called in the wheel."""
    names = {path.name for path in (ROOT / "src").glob("*.py")}
    for source, home in HOMES.items():
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                names.add(str(PurePosixPath(home, path.relative_to(ROOT / source).as_posix())))
    return names


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel built from it."""
    work = tmp_path_factory.mktemp("build")
    source = copy_checkout(work / "source", "goldens")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist", source, cwd=work)
    return work / "dist"


@pytest.fixture(scope="module")
def wheel(distributions) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Environment:
    environment = borrowing_environment(tmp_path_factory.mktemp("clean") / "venv")
    environment.install(wheel)
    return environment


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert names == shipped_files()
    assert "video_lmms/py.typed" in names


def test_the_sdist_holds_what_the_wheel_is_built_from(distributions):
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert {
        path.relative_to(ROOT).as_posix()
        for source in HOMES
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } <= names


def test_every_module_imports_from_the_wheel(environment, wheel, tmp_path):
    imported = run(environment.python, "-c", IMPORT_ALL, cwd=tmp_path).stdout.split()
    assert len(imported) == sum(name.endswith(".py") for name in zipfile.ZipFile(wheel).namelist())


def test_the_command_is_there(environment, tmp_path):
    shown = run(environment.python.with_name("video-lmms"), "--help", cwd=tmp_path).stdout
    for command in ("ask", "convert", "verify", "estimate"):
        assert command in shown


def test_the_shipped_model_answers(environment, tmp_path):
    clip = shutil.copy(TINY / "example.mp4", tmp_path)
    command = environment.python.with_name("video-lmms")
    result = run(command, "ask", clip, "What colour is it?", "--json", cwd=tmp_path)
    answer = json.loads(result.stdout)
    assert answer["answer"]
    assert "tiny-pllava" in result.stderr
