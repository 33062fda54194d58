# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the exporter tester, which the source distribution lacks; export has a test in `tests/modeling`."""


class ExportTesterMixin:
    """Base of the model tester."""
