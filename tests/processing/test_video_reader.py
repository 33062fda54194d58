# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The reader against clips whose frames show their own number."""

import hashlib
import io
import os
import signal
import threading
import time
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import av
import clips
import numpy as np
import pytest

import video_lmms.modeling
import video_lmms.processing
from video_lmms.processing import video_decoder, video_reader
from video_lmms.processing.video_decoder import ClipDecoder
from video_lmms.processing.video_errors import (
    NoVideoStreamError,
    VideoDecodeError,
    VideoError,
    VideoFrameIndexError,
    VideoLimitError,
    VideoLimits,
    VideoOpenError,
    VideoSourceError,
    VideoStateError,
    VideoTruncatedError,
)
from video_lmms.processing.video_reader import VideoReader


LINEAR = {"h264_b.avi", "mpeg4_b.avi", "raw.h264", "joined.ts", "joined_sizes.ts"}
# Seeks land on another frame than the one aimed at, so the plan's count is not that of the decoder.
LANDING_ELSEWHERE = {
    "h264_b.ts",
    "mpeg2_b.mpg",
    "h264_refresh.mp4",
    "edit_list_b.mp4",
    "uneven_b.mp4",
    "wmv2.asf",
}


def numbers(frames: np.ndarray, name: str = "") -> list[int]:
    lying = np.rot90(frames, -1, axes=(1, 2)) if name == "rotated.mov" else frames
    return [clips.read_number(picture) for picture in lying]


@pytest.mark.parametrize("name", clips.SHOWN)
class TestEveryClip:
    def test_frames_are_the_shown_ones(self, clip, name):
        path = clip(name)
        truth = clips.decoded_numbers(path)
        assert truth[0] == clips.FIRST_SHOWN.get(name, 0)
        with VideoReader.open(path) as reader:
            count = reader.info.num_frames
            assert count == len(reader) == len(truth)
            assert reader.index.linear == (name in LINEAR)
            assert numbers(reader.read(range(count)), name) == truth
            backwards = list(range(count))[::-13]
            assert numbers(reader.read(backwards), name) == [truth[frame] for frame in backwards]

    def test_single_requests(self, clip, name):
        path = clip(name)
        truth = clips.decoded_numbers(path)
        with VideoReader.open(path) as reader:
            for frame in (len(truth) - 1, len(truth) // 2, 0, len(truth) // 3):
                assert numbers(reader.read([frame]), name) == [truth[frame]]
            assert not any("replaced" in warning for warning in reader.info.warnings)

    def test_two_decoders_show_the_same(self, clip, name, monkeypatch):
        monkeypatch.setattr(video_reader, "_SHARED_FROM", 1)
        path = clip(name)
        truth = clips.decoded_numbers(path)
        wanted = [len(truth) // 2, 0, len(truth) - 1, len(truth) // 3]
        with VideoReader.open(path, threads=2) as reader:
            assert numbers(reader.read(wanted), name) == [truth[frame] for frame in wanted]
            assert not any("replaced" in warning for warning in reader.info.warnings)

    def test_plan_tells_the_decoded_frames(self, clip, name):
        with VideoReader.open(clip(name)) as reader:
            last = reader.info.num_frames - 1
            reader.read([0])  # the next read does not find the first frame decoded
            for wanted in ([last], [0, last // 2, last], range(last + 1)):
                before = reader.decoded_frames
                reader.read(wanted)
                decoded = reader.decoded_frames - before
                if name in LANDING_ELSEWHERE:
                    assert len(set(wanted)) <= decoded <= 2 * len(reader)
                else:  # frames that no other refers to are passed over where few are wanted
                    assert len(set(wanted)) <= decoded <= reader.plan(wanted).decoded_frames
            assert name in LANDING_ELSEWHERE or decoded == last + 1

    def test_times_ascend_and_find_their_frame(self, clip, name):
        with VideoReader.open(clip(name)) as reader:
            info = reader.info
            times = reader.times_of(range(info.num_frames))
            assert times[0] == 0
            assert times == sorted(set(times))
            assert [reader.index_at(moment) for moment in times] == list(range(info.num_frames))
            assert times[-1] < info.duration < times[-1] + 0.2


class TestInfo:
    def test_plain(self, clip):
        with VideoReader.open(clip("h264.mp4")) as reader:
            info = reader.info
        assert (info.num_frames, info.fps, info.stated_fps, info.duration) == (90, 30, 30, 3.0)
        assert (info.width, info.height, info.rotation) == (160, 120, 0)
        assert (info.codec, info.pixel_format, info.is_vfr, info.warnings) == ("h264", "yuv420p", False, ())

    def test_opening_decodes_nothing(self, clip):
        with VideoReader.open(clip("h264_b.mkv")) as reader:
            assert reader.time_of(89) == pytest.approx(89 / 30, abs=1e-3)
            assert reader.plan([89]).decoded_frames == 30
            assert reader.decoded_frames == 0
            assert reader.info.num_frames == 90
            assert reader.decoded_frames == 1

    @pytest.mark.parametrize("name", ["uneven.mkv", "uneven.mp4"])
    def test_uneven_times_are_true(self, clip, name):
        gaps = np.random.default_rng(clips.SEED).integers(10, 121, clips.FRAMES)
        stamps = np.cumsum(gaps) / 1000
        with VideoReader.open(clip(name)) as reader:
            assert reader.times_of(range(90)) == pytest.approx(stamps - stamps[0], abs=1e-4)
            assert reader.info.is_vfr
            assert float(reader.info.fps) == pytest.approx(89 / (stamps[-1] - stamps[0]), rel=1e-4)
            assert reader.index_at((stamps[40] + stamps[41]) / 2 - stamps[0]) == 40
            assert reader.index_at(1e9) == 89

    @pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "edit_list.mp4", "no_key_at_start.mkv"])
    def test_times_start_with_the_first_shown_frame(self, clip, name):
        with VideoReader.open(clip(name)) as reader:
            assert reader.times_of([0, 30]) == pytest.approx([0, 1], abs=2e-3)

    def test_missing_rate_is_assumed_and_told(self, clip):
        with VideoReader.open(clip("raw.h264")) as reader:
            assert reader.info.fps == 30
            assert "frames carry no time stamps; 30 frames per second assumed" in reader.info.warnings

    def test_high_dynamic_range_is_told(self, clip):
        with VideoReader.open(clip("pq.mp4")) as reader:
            assert "high dynamic range" in reader.info.warnings[0]

    @pytest.mark.parametrize("moment", [-0.1, float("nan")])
    def test_impossible_times(self, clip, moment):
        with VideoReader.open(clip("one.mp4")) as reader:
            with pytest.raises(VideoFrameIndexError, match="0 or more seconds"):
                reader.index_at(moment)


class TestReading:
    def test_few_frames_of_a_long_clip(self, long_clip):
        wanted = [0, 255, 260, 510, 630]
        with VideoReader.open(long_clip) as reader:
            assert reader.info.num_frames == 640
            before = reader.decoded_frames
            assert numbers(reader.read(wanted)) == wanted
            assert reader.decoded_frames - before == 11 + 131  # `info` has decoded the first

    def test_repeats_are_decoded_once(self, clip):
        calls = []

        def transform(frame: np.ndarray) -> np.ndarray:
            calls.append(frame.shape)
            return frame

        with VideoReader.open(clip("h264_b.mp4")) as reader:
            assert numbers(reader.read([7, 3, 7, 3, 60, 7], transform=transform)) == [7, 3, 7, 3, 60, 7]
        assert calls == [(120, 160, 3)] * 3

    def test_chunks(self, clip):
        wanted = [50, 3, 3, 88, 10, 50, 51]
        with VideoReader.open(clip("h264_b.mp4")) as reader:
            chunks = list(reader.frames_at(wanted, chunk=3))
        assert [len(positions) for positions, _, _ in chunks] == [3, 3, 1]
        assert [len(frames) for _, frames, _ in chunks] == [3, 3, 1]
        shown = [number for _, frames, _ in chunks for number in numbers(frames)]
        assert shown == [3, 3, 10, 50, 50, 51, 88]
        positions = [position for places, _, _ in chunks for position in places]
        assert [wanted[position] for position in positions] == shown
        times = [moment for _, _, moments in chunks for moment in moments]
        assert times == pytest.approx([number / 30 for number in shown])

    def test_array_indices(self, clip):
        with VideoReader.open(clip("h264.mp4")) as reader:
            assert numbers(reader.read(np.linspace(0, 89, 4).astype(int))) == [0, 29, 59, 89]

    def test_nothing_asked(self, clip):
        with VideoReader.open(clip("rotated.mov")) as reader:
            assert reader.read([]).shape == (0, 160, 120, 3)
            assert reader.read([], resize=(8, 6)).shape == (0, 6, 8, 3)
            assert list(reader.frames_at([])) == []

    def test_transform_shapes_the_result(self, clip):
        with VideoReader.open(clip("h264.mp4")) as reader:
            means = reader.read([1, 2], transform=lambda frame: frame.mean((0, 1), dtype=np.float32))
        assert means.shape == (2, 3)
        assert means.dtype == np.float32

    def test_transform_must_keep_one_shape(self, clip):
        with VideoReader.open(clip("h264.mp4")) as reader:
            with pytest.raises(VideoError, match="every frame one shape"):
                reader.read([0, 1], transform=lambda frame: frame[: 10 + clips.read_number(frame)])

    def test_one_thread_reads_the_same(self, clip):
        with VideoReader.open(clip("h264_b.mp4"), threads=1) as one, VideoReader.open(clip("h264_b.mp4")) as many:
            assert np.array_equal(one.read([1, 50, 89]), many.read([1, 50, 89]))

    def test_same_from_path_bytes_and_file(self, clip):
        path = clip("h264_b.mp4")
        with open(path, "rb") as file:
            file.seek(100)
            arrays = []
            for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), file):
                with VideoReader.open(source) as reader:
                    arrays.append(reader.read([2, 45, 88]))
            assert not file.closed
        assert all(np.array_equal(arrays[0], array) for array in arrays[1:])
        assert numbers(arrays[0]) == [2, 45, 88]

    def test_changing_size_is_scaled_to_the_first(self, clip):
        with VideoReader.open(clip("joined_sizes.ts")) as reader:
            frames = reader.read([29, 30, 59])
            assert frames.shape == (3, 120, 160, 3)
            assert numbers(frames) == [29, 30, 59]
            assert any("size of the picture changes" in warning for warning in reader.info.warnings)
            assert reader.read([40], resize=(80, 60)).shape == (1, 60, 80, 3)


class TestTwoDecoders:
    """Requests that seek often are shared among two decoders."""

    WANTED = tuple(range(5, 640, 70))

    @pytest.fixture
    def twins(self, monkeypatch) -> list[ClipDecoder | None]:
        """Second decoders that were asked for; None where there can be none."""
        found: list[ClipDecoder | None] = []
        twin = ClipDecoder.twin
        monkeypatch.setattr(ClipDecoder, "twin", lambda self: found.append(twin(self)) or found[-1])
        return found

    @pytest.mark.parametrize("source", ["path", "bytes", "file"])
    def test_frames_and_counts_are_those_of_one(self, short_groups, twins, source):
        with VideoReader.open(short_groups, threads=1) as alone:
            expected, decoded = alone.read(self.WANTED), alone.plan(self.WANTED).decoded_frames + 1
        assert not twins
        with open(short_groups, "rb") as file:
            given = {"path": short_groups, "bytes": short_groups.read_bytes(), "file": file}[source]
            self.check_shared_reads(given, expected, decoded)
        # A file object has one place to read from. The other sources are opened a second time, once.
        assert len(twins) == (2 if source == "file" else 1)
        assert all((twin is None) == (source == "file") for twin in twins)

    def check_shared_reads(self, given: Path | bytes | BinaryIO, expected: np.ndarray, decoded: int) -> None:
        with VideoReader.open(given, threads=2) as reader:
            assert np.array_equal(reader.read(self.WANTED), expected)
            assert len(self.WANTED) < reader.decoded_frames <= decoded
            chunks = [numbers(frames) for _, frames, _ in reader.frames_at(self.WANTED[::-1], chunk=4)]
            assert sum(chunks, []) == list(self.WANTED)
            assert reader.decode_seconds > 0

    def test_one_is_enough_for_a_few_seeks(self, short_groups, twins):
        with VideoReader.open(short_groups, threads=2) as reader:
            reader.read([0, 100, 300])
            reader.read(range(200))
        assert not twins

    def test_a_read_that_is_given_up(self, short_groups, twins):
        before = threading.active_count()
        with VideoReader.open(short_groups, threads=2) as reader:
            given_up = reader.frames_at(self.WANTED, chunk=1)
            next(given_up)
            assert numbers(reader.read(self.WANTED)) == list(self.WANTED)
            with pytest.raises(VideoStateError, match="another read began"):
                list(given_up)
            given_up = reader.frames_at(self.WANTED, chunk=1)
            next(given_up)
            given_up.close()
            assert threading.active_count() == before
        assert [twin.stream for twin in twins] == [None]  # closed

    def test_what_goes_wrong_in_the_second(self, short_groups, monkeypatch):
        run = ClipDecoder._run

        def broken(decoder, part):
            if part.targets == self.WANTED[3:4]:
                raise VideoDecodeError("the second decoder failed")
            return run(decoder, part)

        monkeypatch.setattr(ClipDecoder, "_run", broken)
        with VideoReader.open(short_groups, threads=2) as reader:
            chunks = reader.frames_at(self.WANTED, chunk=1)
            assert [numbers(next(chunks)[1]) for _ in range(3)] == [[number] for number in self.WANTED[:3]]
            with pytest.raises(VideoDecodeError, match="second decoder failed"):
                next(chunks)


class TestPictures:
    def test_lossless_clip_gives_the_painted_pixels(self, clip):
        with VideoReader.open(clip("lossless.mkv")) as reader:
            frames = reader.read([0, 13, 29])
        assert np.array_equal(frames, np.stack([clips.paint(number) for number in (0, 13, 29)]))

    @pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "hevc_10bit.mp4", "odd.webm", "interlaced.mp4"])
    @pytest.mark.parametrize("size", [(80, 60), (224, 224), (161, 91)])
    def test_resize(self, clip, name, size):
        with VideoReader.open(clip(name)) as reader:
            frames = reader.read([5, 77], resize=size)
        assert frames.shape == (2, size[1], size[0], 3)
        assert frames.dtype == np.uint8
        assert numbers(frames) == [5, 77]

    def test_resize_is_the_recorded_one(self, clip):
        """The hash was recorded where the result was equal to decord's, byte for byte."""
        recorded = {(9, 5): "f201fd8fffe391ab5310be1b2a368003cef3d169a70a9fa8c60cc6a3ae42812e"}
        version = av.library_versions["libswscale"][:2]
        if version not in recorded:
            pytest.skip(f"no hash recorded for libswscale {version}")
        with VideoReader.open(clip("lossless.mkv")) as reader:
            frames = reader.read([0, 13, 29], resize=(112, 84))
        assert hashlib.sha256(frames.tobytes()).hexdigest() == recorded[version]

    def test_rotation(self, clip):
        with VideoReader.open(clip("rotated.mov")) as reader, VideoReader.open(clip("h264.mp4")) as plain:
            info = reader.info
            assert (info.rotation, info.width, info.height) == (90, 120, 160)
            frames = reader.read([0, 60])
            assert np.array_equal(frames, np.rot90(plain.read([0, 60]), 1, axes=(1, 2)))
            assert frames.flags.c_contiguous
            small = reader.read([0, 60], resize=(60, 80))
            assert small.shape == (2, 80, 60, 3)
            assert numbers(small, "rotated.mov") == [0, 60]

    def test_rotation_can_be_left_out(self, clip):
        with VideoReader.open(clip("rotated.mov"), rotate=False) as reader:
            assert (reader.info.rotation, reader.info.width, reader.info.height) == (90, 160, 120)
            assert numbers(reader.read([9])) == [9]

    @pytest.mark.parametrize("name", ["h264_b.mp4", "uneven.mkv", "vp9.webm", "rotated.mov", "interlaced.mp4"])
    @pytest.mark.parametrize("size", [None, (224, 224), (80, 60)])
    def test_equals_decord(self, clip, name, size):
        decord = pytest.importorskip("decord")
        theirs = decord.VideoReader(
            str(clip(name)), **(dict(zip(("width", "height"), size, strict=True)) if size else {})
        )
        expected = np.stack([theirs[frame].asnumpy() for frame in (0, 1, 2)])
        with VideoReader.open(clip(name)) as reader:
            assert np.array_equal(reader.read([0, 1, 2], resize=size), expected)


class TestDamage:
    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("text.mp4", VideoOpenError, "Found: plain text"),
            ("page.mp4", VideoOpenError, "Found: HTML"),
            ("archive.mp4", VideoOpenError, "Found: a zip archive"),
            ("empty.mp4", VideoOpenError, "Found: 0 bytes"),
            ("noise.mp4", VideoOpenError, "Found: unknown data"),
            ("playlist.ffconcat", VideoOpenError, "Found: an ffconcat playlist"),
            ("playlist.m3u8", VideoOpenError, "Found: an m3u8 playlist"),
            ("audio.m4a", NoVideoStreamError, "no video stream; found audio in mov"),
            ("cut.mp4", VideoTruncatedError, "cut short"),
            ("header_only.mkv", VideoTruncatedError, "no complete frame"),
        ],
    )
    def test_refused_from_path_and_bytes(self, clip, name, error, message):
        clip("h264.mp4"), clip("h264_b.ts")  # what the playlists name is there
        path = clip(name)
        for source in (path, path.read_bytes()):
            with pytest.raises(error, match=message) as caught:
                VideoReader.open(source)
            assert error is type(caught.value)

    @pytest.mark.parametrize(
        ("name", "warning"),
        [
            ("cut.mkv", "the header states 3.00 s and the video ends at"),
            ("cut.avi", "it may be cut short"),
            ("cut_fragmented.mp4", "it may be cut short"),
            ("noisy.mkv", "the header states 30 frames per second"),
            ("false_count.avi", "the header states 333333.33 s"),
            ("noisy.mp4", "damaged packets skipped by the decoder"),
        ],
    )
    def test_readable_part_is_read_and_flagged(self, clip, name, warning):
        with VideoReader.open(clip(name)) as reader:
            count = reader.info.num_frames
            shown = numbers(reader.read(range(count)))
            assert shown[:20] == list(range(20))
            assert any(warning in told for told in reader.info.warnings)

    def test_lost_frame_is_the_one_before(self, clip):
        expected = [*range(55), *[54] * 5, *range(60, 90)]
        with VideoReader.open(clip("lost.mp4")) as reader:
            assert reader.info.num_frames == 90
            assert numbers(reader.read(range(90))) == expected
            assert "damaged packets skipped by the decoder: 5" in reader.info.warnings
            assert (
                "frames replaced by the one before them, because they never were decoded: 5 (55, 56, 57, 58, 59)"
                in reader.info.warnings
            )
            assert numbers(reader.read([89, 57, 12])) == [89, 54, 12]

    def test_no_frame_at_all(self, clip):
        with VideoReader.open(clip("huge.gif")) as reader:
            with pytest.raises(VideoDecodeError, match="no frame could be decoded.*re-encode it"):
                reader.read([0])

    def test_too_many_damaged_packets(self, clip, monkeypatch):
        monkeypatch.setattr(video_decoder, "DAMAGE_BUDGET_PACKETS", 3)
        with VideoReader.open(clip("huge.gif")) as reader:
            with pytest.raises(VideoDecodeError, match="more than 3 packets could not be decoded"):
                reader.read([0])


class TestSources:
    @pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
    def test_urls_belong_to_the_processor(self, scheme):
        with pytest.raises(VideoSourceError, match=r"the video processor fetches http\(s\)") as caught:
            VideoReader.open(f"{scheme}://example.com/clip.mp4?token=secret")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "source", ["file:{}", "concat:{}|{}", "subfile,,start,0,end,9,,:{}", "data:video/mp4,", "cache:{}"]
    )
    def test_protocols(self, clip, source):
        with pytest.raises(VideoSourceError):
            VideoReader.open(source.replace("{}", str(clip("h264.mp4"))))

    def test_colon_in_a_name(self, clip, tmp_path):
        path = tmp_path / "part:1.mp4"
        path.write_bytes(clip("one.mp4").read_bytes())
        with VideoReader.open(path) as reader:
            assert len(reader) == 1

    def test_missing_and_folder(self, tmp_path):
        with pytest.raises(VideoSourceError, match="no such file"):
            VideoReader.open(tmp_path / "absent.mp4")
        with pytest.raises(VideoSourceError, match="no such file"):
            VideoReader.open("a\0b.mp4")
        with pytest.raises(VideoSourceError, match="a folder"):
            VideoReader.open(tmp_path)

    def test_long_names_are_shortened(self, tmp_path):
        with pytest.raises(VideoSourceError) as caught:
            VideoReader.open(tmp_path / ("x" * 200 + ".mp4"))
        assert str(caught.value).startswith("...")
        assert "x" * 100 not in str(caught.value)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(VideoSourceError, match="a pipe or device"):
            VideoReader.open(tmp_path / "pipe.mp4")

    @pytest.mark.parametrize("source", [None, 7, ["clip.mp4"]])
    def test_other_objects(self, source):
        with pytest.raises(VideoSourceError, match="path, bytes or a seekable binary file object"):
            VideoReader.open(source)

    def test_text_file_object(self, clip):
        with open(clip("text.mp4")) as file, pytest.raises(VideoSourceError, match="binary mode"):
            VideoReader.open(file)

    def test_file_object_that_cannot_seek(self):
        class Stream(io.BytesIO):
            def seekable(self) -> bool:
                return False

        with pytest.raises(VideoSourceError, match="cannot seek"):
            VideoReader.open(Stream())

    def test_file_object_that_gives_too_much(self, clip):
        class Generous(io.BytesIO):
            def read(self, size: int = -1) -> bytes:
                return super().read(size + 1)

        with pytest.raises(VideoSourceError, match="broke its contract"):
            VideoReader.open(Generous(clip("animation.gif").read_bytes()))

    def test_file_object_that_fails(self, clip):
        class Failing(io.BytesIO):
            def read(self, size: int = -1) -> bytes:
                raise RuntimeError("the disk is gone")

        with pytest.raises(VideoSourceError, match="the disk is gone"):
            VideoReader.open(Failing(clip("h264.mp4").read_bytes()))


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            (VideoLimits(pixels=100), "frames of 160x120; at most 100 pixels"),
            (VideoLimits(streams=0), "1 streams; at most 0"),
            (VideoLimits(packets=50), "more than 50 packets"),
        ],
    )
    def test_clip(self, clip, limits, message):
        with pytest.raises(VideoLimitError, match=message):
            VideoReader.open(clip("h264.mp4"), limits=limits)

    def test_request(self, clip):
        with VideoReader.open(clip("h264.mp4"), limits=VideoLimits(decoded_frames=40)) as reader:
            with pytest.raises(VideoLimitError, match="90 frames would be decoded; at most 40"):
                reader.read(range(90))
            with pytest.raises(VideoLimitError, match="resize is"):
                reader.read([0], resize=(0, 5))
        with VideoReader.open(clip("h264.mp4"), limits=VideoLimits(output_bytes=100_000)) as reader:
            with pytest.raises(VideoLimitError, match="2 frames of shape .* need 115,200 bytes"):
                reader.read([0, 1])
            assert sum(len(frames) for _, frames, _ in reader.frames_at([0, 1])) == 2

    @pytest.mark.parametrize("threads", [0, -1, "many", 2.0])
    def test_threads(self, clip, threads):
        with pytest.raises(VideoError, match='threads is "auto" or a number'):
            VideoReader.open(clip("h264.mp4"), threads=threads)

    def test_chunk(self, clip):
        with VideoReader.open(clip("one.mp4")) as reader, pytest.raises(VideoError, match="chunk is"):
            reader.frames_at([0], chunk=0)


class TestLifetime:
    def test_closed(self, clip):
        reader = VideoReader.open(clip("h264.mp4"))
        reader.close()
        reader.close()
        with pytest.raises(VideoStateError, match="closed"):
            reader.read([0])
        with pytest.raises(VideoStateError, match="closed"):
            _ = reader.info

    def test_one_read_at_a_time(self, clip):
        with VideoReader.open(clip("h264.mp4")) as reader:
            first = reader.frames_at(range(20), chunk=4)
            next(first)
            assert reader.info.num_frames == 90
            next(first)
            reader.read([50])
            with pytest.raises(VideoStateError, match="another read began"):
                next(first)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_fork(self, clip):
        path = clip("h264_b.mp4")
        with VideoReader.open(path) as reader:
            reader.read([0])
            child = os.fork()
            if child == 0:
                os._exit(_read_in_child(reader, path))
            assert _exit_status(child) == 0
            assert numbers(reader.read([70])) == [70]

    def test_threads_of_a_loader_worker(self, clip, monkeypatch):
        monkeypatch.setattr(video_decoder, "get_worker_info", lambda: object())
        with VideoReader.open(clip("h264.mp4")) as reader:
            assert reader._decoder.stream.codec_context.thread_count == 1

    def test_no_frame_threads_once_logging_is_on(self, clip, monkeypatch):
        """Frame threads that log and a main thread that frees the decoder would wait for each other."""
        monkeypatch.setattr(av.logging, "get_level", lambda: av.logging.ERROR)
        with VideoReader.open(clip("h264.mp4"), threads=4) as reader:
            assert str(reader._decoder.stream.codec_context.thread_type).endswith("SLICE")

    def test_log_level_is_left_alone(self):
        roots = {*video_lmms.__path__, *video_lmms.processing.__path__, *video_lmms.modeling.__path__}
        sources = [path for root in roots for path in Path(root).rglob("*.py")]
        assert sources
        assert not [path for path in sources if "logging.set_level(" in path.read_text(encoding="utf-8")]

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
    def test_no_file_is_left_open(self, clip):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with VideoReader.open(clip("h264_b.mp4")) as reader:
                reader.read([45])
            with pytest.raises(VideoOpenError):
                VideoReader.open(clip("text.mp4"))
        assert len(os.listdir("/proc/self/fd")) <= before


class TestMemory:
    def test_arrays_do_not_pile_up(self, long_clip):
        peaks = []
        with VideoReader.open(long_clip) as reader:
            reader.read([0])
            for count in (60, 600):
                tracemalloc.start()
                for _, frames, _ in reader.frames_at(range(count), chunk=8):
                    del frames
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        frame_bytes = 160 * 120 * 3
        assert peaks[1] < peaks[0] + 4 * frame_bytes
        assert peaks[1] < 24 * frame_bytes

    @pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
    def test_decoded_frames_do_not_pile_up(self, long_clip):
        resident = []
        with VideoReader.open(long_clip) as reader:
            for _ in reader.frames_at(range(600), resize=(40, 30), chunk=8):
                resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        # 600 stored frames are 16 MiB.
        assert max(resident[8:]) - resident[8] < 8 << 20


def _read_in_child(reader: VideoReader, path: Path) -> int:
    try:
        reader.read([0])
    except VideoStateError:
        reader.close()
    else:
        return 1
    with VideoReader.open(path) as fresh:
        return 0 if numbers(fresh.read([10, 80])) == [10, 80] else 2


def _exit_status(child: int, patience: float = 60.0) -> int:
    """Exit status of a child process; one that hangs is killed and counts as failed."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1
