# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Work that runs ahead of its consumer in one thread, by a bounded number of items."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, TypeVar


Item = TypeVar("Item")

_END = object()


def run_ahead(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """Iterates over `items` in a thread, so that making the next item overlaps with using this one.

    Decoding, resizing and the model's kernels release the interpreter, so the two really run side by side: frames of
    a clip while others are resized, or the next clip while the model encodes this one, as in
    `for inputs in run_ahead(map(prepare, clips)): model.generate(**inputs)`.

    Args:
        items: what to iterate over; it must not be touched by anybody else meanwhile.
        depth: most items that are made and not yet taken; 0 iterates without a thread.

    Returns:
        A generator of the items in order; the thread is at work already. An exception of `items` is raised at its
        place. Closing the generator, or leaving it to the garbage collector, ends the thread before it returns.
    """
    ahead = _ahead(items, depth)
    next(ahead)  # up to where it waits for its consumer
    return ahead


def _ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    if depth < 1:
        yield
        yield from items
        return
    made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    room, stopped = Semaphore(depth), False

    def work() -> None:
        source = iter(items)
        while room.acquire() and not stopped:
            try:
                item = next(source, _END)
            except BaseException as exc:  # it is the consumer's
                made.put((_END, exc))
                return
            made.put((item, None))
            if item is _END:
                return
            del item

    thread = Thread(target=work, name="video-lmms-ahead", daemon=True)
    thread.start()
    try:
        yield
        while True:
            item, failure = made.get()
            if failure is not None:
                raise failure
            if item is _END:
                return
            room.release()
            yield item
            del item
    finally:
        stopped = True
        room.release()
        thread.join()


__all__ = ["run_ahead"]
