# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Work that runs ahead: in order, no further than allowed, side by side with its consumer, and gone afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from video_lmms.processing.video_prefetch import run_ahead


PATIENCE = 30.0


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "video-lmms-ahead"]


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
def test_items_come_in_order(depth):
    assert list(run_ahead(range(20), depth)) == list(range(20))
    assert list(run_ahead([], depth)) == []
    assert ours() == []


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_no_more_is_made_than_allowed(depth):
    """While one item is in use, at most `depth` others are made, and no other one is begun."""
    made, begun = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            if len(made) == 1 + depth:
                begun.set()
            yield number

    ahead = run_ahead(items(), depth)
    assert next(ahead) == 0
    assert begun.wait(PATIENCE)
    for taken in range(1, 10):
        assert next(ahead) == taken
        assert len(made) <= taken + 1 + depth
    ahead.close()
    assert ours() == []


def test_making_overlaps_with_using():
    """The second item is made while the first is in use, or this would wait for ever."""
    in_use, second_made = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert in_use.wait(PATIENCE)
        second_made.set()
        yield 1

    ahead = run_ahead(items())
    assert next(ahead) == 0
    in_use.set()
    assert second_made.wait(PATIENCE)
    assert list(ahead) == [1]


def test_without_depth_there_is_no_thread():
    main = threading.current_thread()
    assert list(run_ahead((threading.current_thread() is main for _ in range(3)), depth=0)) == [True] * 3
    assert list(run_ahead((threading.current_thread() is main for _ in range(3)), depth=1)) == [False] * 3


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_at_its_place(depth):
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise KeyError("after two")

    ahead = run_ahead(items(), depth)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(KeyError, match="after two"):
        next(ahead)
    assert ours() == []


def test_giving_up_ends_the_thread():
    def endless() -> Iterator[int]:
        while True:
            yield 0

    ahead = run_ahead(endless(), 3)
    next(ahead)
    assert len(ours()) == 1
    del ahead
    assert ours() == []
