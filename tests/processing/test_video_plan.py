# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The plan and the index as arithmetic: no clip is opened here."""

import random
from fractions import Fraction

import pytest

from video_lmms.processing.video_errors import VideoError, VideoFrameIndexError
from video_lmms.processing.video_index import (
    FrameIndex,
    duration,
    frame_rate,
    index_from_frames,
    is_variable_rate,
)
from video_lmms.processing.video_plan import SEEK_COST_FRAMES, Run, frame_numbers, plan_reads


def make_index(frames: int, gop: int, **settings) -> FrameIndex:
    """Frames 100 ticks apart, each `gop`-th a key frame, 30 frames per second."""
    pts = tuple(range(0, 100 * frames, 100))
    return FrameIndex(pts=pts, keys=pts[::gop], time_base=Fraction(1, 3000), last_duration=100, **settings)


def evenly(count: int, frames: int) -> list[int]:
    return [round(place * (frames - 1) / (count - 1)) for place in range(count)]


class TestPlan:
    def test_eight_frames_of_a_long_clip_need_a_ninth_of_it(self):
        plan = plan_reads(make_index(3600, 250), evenly(8, 3600))
        assert not plan.linear
        assert plan.seeks == 7
        # Each target costs the way from its key frame: 514 - 500 + 1, 1028 - 1000 + 1, ...
        assert plan.decoded_frames == sum(target % 250 + 1 for target in evenly(8, 3600)) <= 420

    def test_seeking_must_save_a_tenth(self):
        index = make_index(3600, 250)
        dense = plan_reads(index, evenly(128, 3600))
        assert dense.linear
        assert dense.seeks == 0
        assert dense.decoded_frames == 3600
        assert not plan_reads(index, evenly(16, 3600)).linear

    def test_a_pass_ends_at_the_last_target(self):
        assert plan_reads(make_index(3600, 250), range(100)).decoded_frames == 100

    @pytest.mark.parametrize(("distance", "seeks"), [(SEEK_COST_FRAMES, 0), (SEEK_COST_FRAMES + 1, 1)])
    def test_a_seek_must_skip_more_than_it_costs(self, distance, seeks):
        index = FrameIndex(pts=tuple(range(60)), keys=(0, distance + 1), time_base=Fraction(1, 30))
        assert plan_reads(index, [0, distance + 1]).seeks == seeks

    def test_targets_of_one_stretch_share_a_run(self):
        plan = plan_reads(make_index(1000, 100), [510, 505, 520, 505, 900])
        assert plan.runs == (Run(5, (505, 510, 520), 500), Run(9, (900,), 900))
        assert plan.decoded_frames == 22

    def test_order_and_repeats_change_nothing(self):
        index = make_index(1000, 100)
        assert plan_reads(index, [7, 910, 7, 450]) == plan_reads(index, [450, 910, 7])

    def test_linear_clips_are_never_seeked(self):
        plan = plan_reads(make_index(3600, 250, linear=True), [3500])
        assert plan.linear
        assert plan.runs == (Run(None, (3500,), 0),)
        assert plan.decoded_frames == 3501

    def test_hidden_key_frame(self):
        """An edit list hides frames from the key frame on; decoding still begins there."""
        index = FrameIndex(pts=tuple(range(90)), keys=(-7, 23, 53), time_base=Fraction(1, 30))
        assert index.key_of(5) == 0
        assert index.frame_of_key(0) == 0
        assert plan_reads(index, [60]).runs == (Run(2, (60,), 53),)

    def test_leading_frames_belong_to_the_key_before(self):
        """In an open group, frames shown before a key frame are decoded after it and need the group before."""
        index = make_index(90, 30)
        assert index.key_of(29) == 0
        assert index.key_of(30) == 1

    def test_nothing_asked(self):
        assert plan_reads(make_index(10, 5), []).decoded_frames == 0

    def test_never_more_than_a_pass(self):
        rng = random.Random(3)
        for _ in range(300):
            frames = rng.randint(1, 400)
            index = make_index(frames, rng.randint(1, 80))
            wanted = [rng.randrange(frames) for _ in range(rng.randint(1, 20))]
            plan = plan_reads(index, wanted)
            assert plan.decoded_frames <= max(wanted) + 1
            assert sorted(set(wanted)) == [target for run in plan.runs for target in run.targets]
            assert all(run.first <= run.targets[0] for run in plan.runs)


class TestFrameNumbers:
    @pytest.mark.parametrize("wrong", [-1, 90, 10_000])
    def test_outside(self, wrong):
        with pytest.raises(VideoFrameIndexError, match=rf"frame {wrong} is outside 0\.\.89; the clip shows 90 frames"):
            frame_numbers([0, wrong], 90)

    @pytest.mark.parametrize("wrong", [1.0, "3", None])
    def test_not_whole(self, wrong):
        with pytest.raises(VideoFrameIndexError, match="frame numbers are integers"):
            frame_numbers([wrong], 90)

    def test_error_is_both_kinds(self):
        assert issubclass(VideoFrameIndexError, IndexError)
        assert issubclass(VideoFrameIndexError, VideoError)
        assert issubclass(VideoError, ValueError)


class TestIndex:
    def test_rate_and_duration_of_uneven_frames(self):
        index = FrameIndex(pts=(62, 72, 192, 262), keys=(62,), time_base=Fraction(1, 1000), last_duration=50)
        assert frame_rate(index, Fraction(30)) == 15
        assert duration(index, Fraction(15)) == Fraction(1, 4)
        assert [index.seconds(frame) for frame in range(4)] == pytest.approx([0, 0.01, 0.13, 0.2])
        assert is_variable_rate(index)

    def test_single_frame_takes_the_stated_rate(self):
        index = FrameIndex(pts=(500,), keys=(500,), time_base=Fraction(1, 1000))
        assert frame_rate(index, Fraction(25)) == 25
        assert duration(index, Fraction(25)) == Fraction(1, 25)
        assert not is_variable_rate(index)

    def test_rounded_stamps_are_a_constant_rate(self):
        pts = tuple(round(1000 * frame / 30) for frame in range(90))
        assert not is_variable_rate(FrameIndex(pts=pts, keys=(0,), time_base=Fraction(1, 1000)))

    def test_counted_without_stamps(self):
        index = index_from_frames(make_index(0, 1, linear=True, counted=False), [None, None, None], Fraction(10))
        assert [index.seconds(frame) for frame in range(3)] == pytest.approx([0, 0.1, 0.2])
        assert index.counted
        assert "10 frames per second assumed" in index.warnings[0]

    def test_counted_with_time_starting_again(self):
        packets = make_index(0, 1, linear=True, counted=False, rewinds=True)
        index = index_from_frames(packets, [100, 200, 300, 50, 150, 250], Fraction(30))
        assert index.pts == (100, 200, 300, 400, 500, 600)
        assert "run backwards" in index.warnings[0]

    def test_counted_out_of_order(self):
        index = index_from_frames(make_index(0, 1, linear=True, counted=False), [1, 3, 2, 4], Fraction(30))
        assert index.pts == (1, 2, 3, 4)
        assert index.warnings == ()
