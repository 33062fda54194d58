# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Marks of transformers' own tests."""

from common.peer_suite import MARKS


def pytest_configure(config):
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: set by transformers' own tests")
