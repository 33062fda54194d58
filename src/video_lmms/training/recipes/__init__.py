# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Recipes: one script, and the numbers of each recipe as YAML."""
