# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Conversations with videos: the synthetic world and the collator. Import the module you need; nothing loads here."""
