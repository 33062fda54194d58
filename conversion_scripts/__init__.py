# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
