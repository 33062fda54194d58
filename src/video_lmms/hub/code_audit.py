# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a bundle's code would do when it is imported, judged by reading it.

`trust_remote_code=True` runs every file of a bundle. Ours define classes and functions and nothing else: importing
them opens no connection, starts no process and executes no text. A file that could is named with its line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ..errors import BundleError


# Executing text, starting processes, or reading pickles has no place in a model's code, whenever it happens.
_NEVER_BUILTINS = {"exec", "eval", "compile", "__import__", "breakpoint"}
_NEVER_MODULES = {"subprocess", "pty", "ctypes", "pickle", "marshal", "runpy", "code", "multiprocessing"}
_NEVER_CALLS = {"torch.load", "torch.hub.load", "importlib.import_module", "os.popen", "os.system", "os.fork"}
_NEVER_PREFIXES = ("os.exec", "os.spawn", "os.posix_spawn")
# Ways around the names above.
_BACK_DOORS = {"__builtins__", "__loader__", "__subclasses__", "__globals__", "__code__"}
# A model may fetch a clip that it is asked about, but not when it is imported.
_NETWORK = {"socket", "ssl", "urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "huggingface_hub"}


def audit(source: Path) -> list[str]:
    """What a file does that a bundle's code must not do.

    Args:
        source: a Python file; it is read, never run.

    Returns:
        `file:line: what`, sorted by line.

    Raises:
        BundleError: the file is no Python.
    """
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except SyntaxError as exc:
        raise BundleError(f"{source.name}:{exc.lineno}: not valid Python ({exc.msg}).") from exc
    aliases = _aliases(tree)
    at_import = set(_run_at_import(tree.body))
    found = set()
    for node in ast.walk(tree):
        for what in _faults(node, aliases, node in at_import):
            found.add((node.lineno, what))
    return [f"{source.name}:{line}: {what}" for line, what in sorted(found)]


def _faults(node: ast.AST, aliases: dict[str, str], at_import: bool) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if isinstance(node, ast.ImportFrom) and node.level:
            modules = []
        yield from (f"imports {name}" for name in modules if name.split(".")[0] in _NEVER_MODULES)
    elif isinstance(node, ast.Name) and node.id in _BACK_DOORS:
        yield f"reaches for {node.id}"
    elif isinstance(node, ast.Attribute) and node.attr in _BACK_DOORS:
        yield f"reaches for {node.attr}"
    elif isinstance(node, ast.Call):
        name = _name(node.func, aliases)
        root = name.split(".")[0]
        if name in _NEVER_BUILTINS | _NEVER_CALLS or root in _NEVER_MODULES or name.startswith(_NEVER_PREFIXES):
            yield f"calls {name}"
        elif at_import and root in _NETWORK:
            yield f"calls {name} when it is imported"


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Local name -> what it was imported as."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _name(function: ast.expr, aliases: dict[str, str]) -> str:
    """Dotted name of what is called, aliases resolved; empty where it is computed."""
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    parts.append(aliases.get(function.id, function.id))
    return ".".join(reversed(parts)).removeprefix("builtins.")


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node that runs when the file is imported: all but the bodies of functions."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [*node.decorator_list, *node.args.defaults, *(part for part in node.args.kw_defaults if part)]
        elif isinstance(node, ast.Lambda):
            waiting += node.args.defaults
        else:
            waiting += ast.iter_child_nodes(node)
