# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What people talk to: an engine that holds one model, and the server and chat that stand on it. What they look at: a
gallery of what was answered."""
