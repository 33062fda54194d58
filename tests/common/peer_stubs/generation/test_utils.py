# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the generation tester, which the source distribution lacks.

The model tester only asks whether a test class inherits it. What generation must do is tested in
`tests/common/test_generation_*.py`.
"""


class GenerationTesterMixin:
    """Marks a test class whose models can generate."""
