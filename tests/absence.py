# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a test needs and a developer may lack. In CI it can be had, and a test that goes without it has failed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(reason: str, **options: bool) -> NoReturn:
    """Skips, and where the variable `CI` is set fails.

    Args:
        reason: what is not there, and how to get it.
        options: of `pytest.skip`.
    """
    if os.environ.get("CI"):
        raise AssertionError(reason)
    pytest.skip(reason, **options)
