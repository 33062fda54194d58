# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Self-contained folders for the Hub: writing them, loading them strictly, verifying them.

The names are imported on first use, so that importing the package stays free of model code.
"""

from importlib import import_module


_HOMES = {
    "bundle": "bundle_writer",
    "bundle_folder": "bundle_writer",
    "convert": "converting",
    "load": "loading",
    "load_original": "converting",
    "publish": "publishing",
    "record_check": "checks",
    "replay_check": "checks",
    "verify": "verification",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
