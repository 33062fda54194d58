# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The rules of the folders. A rule is a function from a checkout to its violations, tested on planted ones too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from checkout import FLAT_FOLDERS as FLAT
from checkout import NOT_SOURCE, ROOT
from packaging.requirements import Requirement


try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same under another name
    import tomli as tomllib


PACKAGED = ("src", "modeling", "processing", "hub_configs", "conversion_scripts")
TOP_LEVEL = {*PACKAGED, "tests", "pyproject.toml", "README.md", "LICENSE", "CONTRIBUTING.md"}
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 100
# Distribution name -> import name, where they differ.
IMPORT_NAMES = {"pillow": "PIL"}
# The only place that talks to a terminal.
PRINTING = Path("src/video_lmms/cli")


def python_files(root: Path, *folders: str) -> Iterator[tuple[Path, str, ast.Module]]:
    """Path from the root, text and tree of every Python file below the folders."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield path.relative_to(root), text, ast.parse(text)


def pyproject(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def guarded(tree: ast.Module) -> set[ast.AST]:
    """Everything inside a `try`: the Hub's loader does not demand what is imported there."""
    return {node for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}


def flat_imports(root: Path) -> Iterator[str]:
    """A Hub bundle holds single files: `from .neighbour import name`, or a package that everyone has."""
    required = {Requirement(line).name for line in pyproject(root)["project"]["dependencies"]}
    known = {IMPORT_NAMES.get(name, name) for name in required} | sys.stdlib_module_names
    for path, _, tree in python_files(root, *FLAT):
        optional = guarded(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                if node.level > 1 or not node.module or "." in node.module or node.names[0].name == "*":
                    yield f"{path}:{node.lineno}: write `from .neighbour import name`, not `{ast.unparse(node)}`"
                elif not (root / path).with_name(f"{node.module}.py").is_file():
                    yield f"{path}:{node.lineno}: there is no {node.module}.py beside it"
                continue
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in (name.split(".")[0] for name in names):
                if name in ("video_lmms", *FLAT):
                    yield f"{path}:{node.lineno}: a shipped file imports {name}"
                elif name not in known and node not in optional:
                    yield f"{path}:{node.lineno}: {name} is no dependency in pyproject.toml; import it inside `try`"


def phantom_imports(root: Path) -> Iterator[str]:
    """The Hub's loader searches text, so prose must not look like a relative import."""
    for path, text, tree in python_files(root, *FLAT):
        real = {node.lineno for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}
        for number, line in enumerate(text.splitlines(), 1):
            if number not in real and re.match(r"\s*#?\s*(from|import)\s+\.", line):
                yield f"{path}:{number}: this line is taken for an import"


def flat_names(root: Path) -> Iterator[str]:
    """The two folders meet in one flat folder on the Hub, where a name is taken once."""
    seen: dict[str, Path] = {}
    for path, _, _ in python_files(root, *FLAT):
        if len(path.parts) > 2:
            yield f"{path}: {path.parts[0]}/ is flat"
        elif path.name != "__init__.py" and path.name in seen:
            yield f"{path} and {seen[path.name]} share a name"
        seen[path.name] = path


def listed_packages(root: Path) -> Iterator[str]:
    """A sub-package missing from `packages` works in an editable install and is not in the wheel."""
    setuptools = pyproject(root)["tool"]["setuptools"]
    found = {".".join(path.parent.parts[1:]) or path.stem for path, _, _ in python_files(root, "src")}
    found |= set(setuptools["package-dir"]) - {""}
    listed = {*setuptools["packages"], *setuptools.get("py-modules", ())}
    for package in sorted(found - listed):
        yield f"pyproject.toml: {package} is missing from tool.setuptools.packages"
    for package in sorted(listed - found):
        yield f"pyproject.toml: {package} in tool.setuptools.packages has no Python file"


def file_length(root: Path) -> Iterator[str]:
    for path, text, _ in python_files(root, *PACKAGED):
        if len(text.splitlines()) > MAX_FILE_LINES:
            yield f"{path}: {len(text.splitlines())} lines; at most {MAX_FILE_LINES}"


def function_length(root: Path) -> Iterator[str]:
    for path, _, tree in python_files(root, *PACKAGED):
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines; at most {MAX_FUNCTION_LINES}"


def top_level(root: Path) -> Iterator[str]:
    """The root stays what a newcomer can take in at a glance."""
    for name in sorted(path.name for path in root.iterdir()):
        left_behind = any(fnmatch(name, pattern) for pattern in NOT_SOURCE)
        if name not in TOP_LEVEL and not name.startswith(".") and not left_behind:
            yield f"{name}: not among {', '.join(sorted(TOP_LEVEL))}"


def plain_code(root: Path) -> Iterator[str]:
    """Errors are raised by type and seen by the caller; a library neither prints nor sets log levels."""
    for path, _, tree in python_files(root, *PACKAGED):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                yield f"{path}:{node.lineno}: assert; raise an error that names the value"
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{path}:{node.lineno}: bare except"
            elif isinstance(node, ast.Call) and called(node) == "print" and PRINTING not in path.parents:
                yield f"{path}:{node.lineno}: print outside {PRINTING}"
            elif isinstance(node, ast.Call) and called(node) in ("set_level", "setLevel"):
                yield f"{path}:{node.lineno}: the log level is the caller's"


def called(node: ast.Call) -> str | None:
    """`name` of `name(...)` and `anything.name(...)`; a method called `print` is not the built-in."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) and node.func.attr != "print" else None


Rule = Callable[[Path], Iterator[str]]
RULES: tuple[Rule, ...] = (
    flat_imports,
    phantom_imports,
    flat_names,
    listed_packages,
    file_length,
    function_length,
    top_level,
    plain_code,
)

HOUSE = {
    "pyproject.toml": """
[project]
dependencies = ["torch>=2", "pillow"]
[tool.setuptools]
packages = ["video_lmms", "video_lmms.cli", "video_lmms.modeling", "video_lmms.processing"]
[tool.setuptools.package-dir]
"" = "src"
"video_lmms.modeling" = "modeling"
"video_lmms.processing" = "processing"
""",
    "README.md": "",
    "src/video_lmms/__init__.py": "",
    "src/video_lmms/cli/__init__.py": "",
    "modeling/__init__.py": "",
    "modeling/modeling_a.py": "import torch.nn\nfrom PIL import Image\nfrom .parts_a import (\n  part,\n)\n",
    "modeling/parts_a.py": "try:\n    import flash\nexcept ImportError:\n    flash = None\n",
    "processing/__init__.py": "",
}


def planted(root: Path, files: dict[str, str]) -> Path:
    """A small checkout that breaks no rule but those that `files` break."""
    for name, text in (HOUSE | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


FILE = "modeling/modeling_b.py"
VIOLATIONS: list[tuple[Rule, dict[str, str], str]] = [
    (flat_imports, {FILE: "from . import parts_a\n"}, "not `from . import parts_a`"),
    (flat_imports, {FILE: "from ..modeling.parts_a import part\n"}, "not `from ..modeling"),
    (flat_imports, {FILE: "from .sub.parts_a import part\n"}, "not `from .sub"),
    (flat_imports, {FILE: "from .parts_a import *\n"}, "import [*]`"),
    (flat_imports, {FILE: "def f():\n    from .absent import part\n"}, "no absent.py beside"),
    (flat_imports, {FILE: "from video_lmms.errors import VideoLmmError\n"}, "imports video_lmms"),
    (flat_imports, {FILE: "import modeling.parts_a\n"}, "imports modeling"),
    (flat_imports, {FILE: "def f():\n    import decord\n"}, "decord is no dependency"),
    (phantom_imports, {FILE: '"""Reads what\n\n    from .b import c\n"""\n'}, "modeling_b.py:3"),
    (phantom_imports, {FILE: "# from .b import c\n"}, "modeling_b.py:1"),
    (flat_names, {"processing/modeling_a.py": ""}, "share a name"),
    (flat_names, {"modeling/sub/deep.py": ""}, "modeling/ is flat"),
    (listed_packages, {"src/video_lmms/extra/deeper/__init__.py": ""}, "video_lmms.extra.deeper is missing"),
    (
        listed_packages,
        {"pyproject.toml": HOUSE["pyproject.toml"].replace('"video_lmms",', '"video_lmms", "gone",')},
        "gone in .* no Python file",
    ),
    (file_length, {FILE: "x = 1\n" * (MAX_FILE_LINES + 1)}, "601 lines"),
    (function_length, {FILE: "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES}, "f has 101 lines"),
    (top_level, {"notes.txt": ""}, "notes.txt"),
    (plain_code, {FILE: "def f(x):\n    assert x\n"}, "assert"),
    (plain_code, {FILE: "try:\n    x = 1\nexcept:\n    x = 2\n"}, "bare except"),
    (plain_code, {FILE: "print(1)\n"}, "print outside"),
    (plain_code, {"src/video_lmms/a.py": "import logging\nlogging.getLogger().setLevel(0)\n"}, "log level"),
    (plain_code, {"src/video_lmms/a.py": "from x import set_level\nset_level(0)\n"}, "log level"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps_the_rule(rule):
    assert list(rule(ROOT)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_proper_house_keeps_the_rule(rule, tmp_path):
    files = {
        "src/video_lmms/cli/__init__.py": "print('to the terminal')\nconsole.print('too')\n",
        "dist/left_behind.whl": "",
        FILE: "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1),
    }
    assert list(rule(planted(tmp_path, files))) == []


@pytest.mark.parametrize(
    ("rule", "files", "message"), VIOLATIONS, ids=[f"{rule.__name__}-{i}" for i, (rule, _, _) in enumerate(VIOLATIONS)]
)
def test_a_planted_violation_is_found(rule, files, message, tmp_path):
    (found,) = rule(planted(tmp_path, files))
    assert re.search(message, found)


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)


def test_the_flat_folders_are_not_imported_a_second_time():
    assert not set(FLAT) & sys.modules.keys()
