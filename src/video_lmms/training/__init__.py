# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training: the tiny models that ship with the package, and the originals' own training text."""
