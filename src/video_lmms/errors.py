# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Errors of the toolkit. All are `VideoLmmError`, and every message names what was found and what to do about it.

Errors about a clip itself are `video_lmms.processing.video_errors.VideoError`.
"""

from __future__ import annotations

from collections.abc import Iterable


# A message lists this many tensors of a kind; the error's attributes hold all of them.
_SHOWN_NAMES = 5


class VideoLmmError(Exception):
    """Base of the toolkit's own errors."""


class NotAModelError(VideoLmmError):
    """A path, name or Hub id that does not lead to a model of this collection."""


class UnconvertedCheckpointError(NotAModelError, ValueError):
    """A checkpoint in the layout of its original code, which has to be converted once.

    Also a `ValueError`, which is what transformers raises, and in places expects, where it cannot load something.

    Attributes:
        command: the command that converts it.
    """

    def __init__(self, message: str, command: str):
        super().__init__(f"{message} Convert it once: {command}")
        self.command = command


class IncompleteCheckpointError(VideoLmmError):
    """Weights that do not fit the model exactly. A partial load is never accepted.

    Attributes:
        missing: names of tensors that the model has and the files have not.
        unexpected: names of tensors that only the files have.
        mismatched: names of tensors whose shapes differ, with both shapes.
    """

    def __init__(
        self,
        source: str,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        mismatched: Iterable[str] = (),
        reason: str = "",
    ):
        self.missing, self.unexpected, self.mismatched = sorted(missing), sorted(unexpected), sorted(mismatched)
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.mismatched}
        parts = [f"{len(names)} {kind} ({shorten(names)})" for kind, names in kinds.items() if names]
        details = reason or "tensors do not match the model: " + "; ".join(parts)
        super().__init__(f"{source}: {details}. Convert or download the checkpoint again.")


class BundleError(VideoLmmError):
    """A folder that cannot be written as a bundle, or a source from which none can be made."""


class PublishError(VideoLmmError):
    """A folder that cannot be published, or an upload that did not end."""


class LicenceError(PublishError):
    """Weights whose terms do not let anybody publish them, or whose terms nobody stated."""


def shorten(names: list[str]) -> str:
    """The first names of a list, and how many follow."""
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
