# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips read in workers of a DataLoader, forked and spawned, from a process that has decoded before."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time

import pytest
import torch
from loader_clips import NumberedClips
from tiny_pllava import tiny_processor
from torch.utils.data import DataLoader

from video_lmms.data.collator import VideoChatCollator
from video_lmms.processing.video_reader import VideoReader


WANTED = [70, 3, 40]

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture(params=["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def start(request) -> str:
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {request.param}")
    return request.param


@pytest.fixture
def paths(clip):
    """Clips of several codecs; one is open, and its decoder running, while workers start."""
    names = ["h264_b.mp4", "vp9.webm", "h264.mp4", "h264_b.mkv", "uneven_b.mp4", "h264_b.ts"]
    found = [clip(name) for name in names]
    with VideoReader.open(found[0], threads=2) as reader:
        reading = reader.frames_at(range(40), chunk=4)
        next(reading)
        yield found
        next(reading)


def test_workers_read_the_right_frames(paths, start):
    alone = [NumberedClips(paths, WANTED)[place][0] for place in range(len(paths))]
    loader = DataLoader(
        NumberedClips(paths * 2, WANTED), batch_size=None, num_workers=2, multiprocessing_context=start
    )
    for _ in range(2):
        results = list(loader)
        assert [shown for shown, _ in results] == alone * 2
        assert {threads for _, threads in results} == {1}
    assert alone[2] == WANTED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("closed", [True, False])
def test_a_child_may_forget_what_it_inherits(clip, closed):
    """Decoders have threads, converters too; a child that waits for its parent's would wait for ever."""
    reader = VideoReader.open(clip("h264_b.mp4"), threads=2)
    reading = reader.frames_at(range(60), chunk=4)
    resizing = VideoReader.open(clip("h264.mp4"), threads=2)
    resizing.read([0, 1], resize=(64, 64))
    next(reading)
    if closed:
        reader.close()
        resizing.close()
    child = os.fork()
    if child == 0:
        del reader, reading, resizing
        gc.collect()
        os._exit(7)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
@pytest.mark.parametrize("resize", [None, (64, 64)])
def test_no_thread_waits_for_the_garbage_collector(clip, resize):
    """Whatever is left of a read that was given up: frames are tied into cycles, and must not hold on to threads."""
    path = clip("h264_b.mp4")
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/task"))
        with VideoReader.open(path, threads=2) as reader:
            reading = reader.frames_at(range(40), chunk=4, resize=resize)
            next(reading)
            assert len(os.listdir("/proc/self/task")) > before
        del reader, reading
        for _ in range(100):
            if len(os.listdir("/proc/self/task")) == before:
                break
            time.sleep(0.05)
        assert len(os.listdir("/proc/self/task")) == before
    finally:
        gc.enable()


def test_the_collator_works_in_workers(clip, start):
    question = {"type": "text", "text": "What is it?"}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]}
    rows = [
        {"messages": [{"role": "user", "content": [{"type": "video", "video": str(clip(name))}, question]}, answer]}
        for name in ("h264.mp4", "vp9.webm", "h264_b.mp4", "h264.mp4")
    ]
    collate = VideoChatCollator(tiny_processor())
    loader = DataLoader(rows, batch_size=2, collate_fn=collate, num_workers=2, multiprocessing_context=start)
    for number, batch in enumerate(loader):
        expected = collate(rows[2 * number : 2 * number + 2])
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
