# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m video_lmms.cli`, which is also how launchers start several processes of a command."""

from . import main


# Importing it starts nothing.
if __name__ == "__main__":
    main()
