# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: how the originals were scored."""
