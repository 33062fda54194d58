# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Which source files a bundle needs: the files that define its classes and all they import from their own folder."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_imports

from ..errors import BundleError


def relative_imports(source: Path) -> list[str]:
    """Names of the neighbouring files that a source file imports.

    Args:
        source: a Python file.

    Returns:
        Module names without folder and suffix, sorted.

    Raises:
        BundleError: the file imports in a form that the Hub's loader does not follow, or is no Python.
    """
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except SyntaxError as exc:
        raise BundleError(f"{source.name}:{exc.lineno}: not valid Python ({exc.msg}).") from exc
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level > 1 or node.module is None or "." in node.module:
                raise BundleError(
                    f"{source.name}:{node.lineno}: a bundle is one flat folder, so only `from .name import thing` "
                    f"can be followed; found `{ast.unparse(node)}`."
                )
            names.add(node.module)
    # The loader searches the text line by line and takes a sentence of a docstring for an import.
    phantom = set(get_relative_imports(source)) - names
    if phantom:
        raise BundleError(
            f"{source.name}: a line of its text starts like an import of {', '.join(sorted(phantom))}, and the "
            "Hub's loader would look for that file. Reword the line."
        )
    return sorted(names)


def closure(roots: Iterable[Path]) -> dict[str, Path]:
    """All files reached from `roots` through relative imports, the roots included.

    Args:
        roots: source files, possibly of several folders.

    Returns:
        Flat file name -> source file, sorted by name.

    Raises:
        BundleError: a file is missing, two files share a name, or an import cannot be followed.
    """
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        source = waiting.pop()
        known = found.setdefault(source.name, source)
        if known != source:
            raise BundleError(f"{source} and {known} share a name, and a bundle is flat. Rename one of them.")
        for name in relative_imports(source):
            neighbour = source.with_name(f"{name}.py")
            if not neighbour.is_file():
                raise BundleError(f"{source.name} imports .{name}, but there is no {neighbour.name} beside it.")
            if found.get(neighbour.name) != neighbour:
                waiting.append(neighbour)
    return dict(sorted(found.items()))


def source_file(cls: type) -> Path:
    """The file that defines a class."""
    return Path(inspect.getfile(cls)).resolve()


def class_reference(cls: type) -> str:
    """`file.Class`, the form an `auto_map` wants."""
    return f"{source_file(cls).stem}.{cls.__name__}"
