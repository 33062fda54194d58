# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The option `--goldens`, loaded by `addopts` so that pytest knows it before it looks for tests."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--goldens",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of parity cases (each a folder with case.json); repeatable; instead of tests/goldens/<model>",
    )
