# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""video-lmms: five published video large multimodal models as first-class Hugging Face citizens.

Importing the package registers every architecture with transformers' Auto classes.
"""

from importlib import import_module

from .registration import register


__version__ = "0.1.0"

register()


def __getattr__(name: str) -> object:
    # Imported when asked for: what loads an original checkpoint is much, and most never do.
    if name == "load_original":
        return import_module(".hub.converting", __name__).load_original
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
