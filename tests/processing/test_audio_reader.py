# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound out of files of all kinds: the right samples, bounded memory, typed errors."""

import io
import tracemalloc

import av
import numpy as np
import pytest
from sounds import tones, write_sound

from video_lmms.processing.audio_reader import (
    AudioDecodeError,
    AudioError,
    AudioOpenError,
    AudioReader,
    AudioSamples,
    NoAudioStreamError,
)
from video_lmms.processing.audio_resampling import read_resampled, resample, resampled_length
from video_lmms.processing.video_errors import VideoError, VideoLimitError, VideoLimits, VideoSourceError


# Suffix, codec, number of frames of video beside it, largest error: half a 16-bit step, or that of a lossy codec.
FILES = [
    (".wav", "pcm_s16le", 0, 2**-16),
    (".wav", "pcm_f32le", 0, 0.0),
    (".flac", "flac", 0, 2**-16),
    (".mkv", "pcm_s16le", 4, 2**-16),
    (".mov", "pcm_s16le", 4, 2**-16),
    (".mp4", "aac", 4, 0.1),
    (".mp4", "alac", 4, 2**-16),
    (".ogg", "flac", 0, 2**-16),
    (".avi", "pcm_s16le", 4, 2**-16),
    (".aiff", "pcm_s16be", 0, 2**-16),
]


@pytest.mark.parametrize(("suffix", "codec", "frames", "error"), FILES, ids=lambda value: str(value))
def test_samples_come_out_as_they_went_in(suffix, codec, frames, error, tmp_path):
    expected = tones(0.5, 22050, channels=2)
    path = write_sound(tmp_path / f"sound{suffix}", expected, 22050, codec, frames)
    with AudioReader.open(path) as reader:
        assert (reader.sampling_rate, reader.num_channels) == (22050, 2)
        # A lossy codec pads the last of its blocks.
        assert 0 <= reader.num_samples - expected.shape[1] < (1024 if codec == "aac" else 1)
        (sound,) = reader.read([(0, expected.shape[1])])
    assert sound.dtype == np.float32
    # Codecs ring where a tone sets in.
    np.testing.assert_allclose(sound[:, 2048:-2048], expected[:, 2048:-2048], atol=error, rtol=0)


@pytest.fixture
def wav(tmp_path):
    return write_sound(tmp_path / "sound.wav", tones(0.5, 16000), 16000)


@pytest.mark.parametrize("form", ["path", "string", "bytes", "file object", "open file"])
def test_any_source(form, wav):
    with wav.open("rb") as file:
        sources = {
            "path": wav,
            "string": str(wav),
            "bytes": wav.read_bytes(),
            "file object": io.BytesIO(wav.read_bytes()),
            "open file": file,
        }
        with AudioReader.open(sources[form]) as reader:
            (sound,) = reader.read([(0, reader.num_samples)])
        np.testing.assert_allclose(sound, tones(0.5, 16000), atol=2**-16, rtol=0)
        assert not file.closed


def test_stretches_are_those_of_the_whole_sound(wav):
    with AudioReader.open(wav) as reader:
        (whole,) = reader.read([(0, reader.num_samples)])
        stretches = [(100, 5000), (0, 1), (4000, 8000), (7, 7), (100, 5000)]
        parts = reader.read(stretches)
        assert [part.shape[1] for part in parts] == [stop - start for start, stop in stretches]
        for (start, stop), part in zip(stretches, parts, strict=True):
            assert np.array_equal(part, whole[:, start:stop])
        assert reader.read([]) == []
        with pytest.raises(AudioError, match=r"\(0, 8001\) is not a stretch of 8000 samples"):
            reader.read([(0, 8001)])


def test_memory_does_not_grow_with_the_sound(tmp_path):
    peaks = []
    for seconds in (4, 40):
        path = write_sound(tmp_path / f"{seconds}.wav", tones(seconds, 16000), 16000)
        tracemalloc.start()
        with AudioReader.open(path) as reader:
            read_resampled(reader, [(0, 8000), (16000, 24000)], 8000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_a_video_without_sound(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(NoAudioStreamError, match='no audio stream; found video. .*missing_audio="silence"'):
        AudioReader.open(path)


def test_a_track_without_samples(tmp_path):
    path = write_sound(tmp_path / "empty.mkv", tones(0, 16000), 16000, video_frames=4)
    with AudioReader.open(path) as reader, pytest.raises(AudioDecodeError, match="holds no samples"):
        reader.read([(0, 0)])


def test_what_is_no_sound(tmp_path):
    text = tmp_path / "notes.wav"
    text.write_text("not a sound at all, however long it is" * 10)
    with pytest.raises(AudioOpenError, match="no video or sound file that can be opened"):
        AudioReader.open(text)
    with pytest.raises(VideoSourceError, match="no such file"):
        AudioReader.open(tmp_path / "absent.wav")
    with pytest.raises(VideoSourceError, match="a folder"):
        AudioReader.open(tmp_path)
    assert issubclass(AudioError, VideoError)


def damage(path, share):
    """Overwrites the packets at the end of a file's sound, with what no decoder accepts."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[len(packets) - round(share * len(packets)) :]:
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    return path


def test_a_little_damage_is_passed_over_and_much_is_an_error(tmp_path):
    good = write_sound(tmp_path / "clip.mp4", tones(4.0, 16000), 16000, "aac", 4)
    with AudioReader.open(good) as reader:
        whole = reader.num_samples
    content = good.read_bytes()
    with AudioReader.open(damage(good, 0.08)) as reader:
        assert 0.8 * whole < reader.num_samples < whole
    good.write_bytes(content)
    with AudioReader.open(damage(good, 0.5)) as reader:
        with pytest.raises(AudioDecodeError, match=r"\d+ of \d+ packets of sound could not be decoded"):
            reader.read([(0, 1)])


def test_a_cut_file_gives_what_it_has(tmp_path, wav):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(wav.read_bytes()[:8000])
    with AudioReader.open(cut) as reader:
        assert 0 < reader.num_samples < 4000


def test_limits(wav):
    with pytest.raises(VideoLimitError, match="1 streams; at most 0 accepted"):
        AudioReader.open(wav, limits=VideoLimits(streams=0))
    with AudioReader.open(wav, limits=VideoLimits(packets=1)) as reader:
        with pytest.raises(VideoLimitError, match="more than 1 packets"):
            reader.read([(0, 1)])


def test_samples_of_any_kind():
    floats = tones(0.01, 16000, channels=2)
    integers = np.round(floats * 2**15).astype(np.int16)
    assert np.allclose(AudioSamples(integers, 16000).array, floats, atol=2**-16)
    assert AudioSamples(floats[0].tolist(), 16000).array.shape == (1, 160)
    for bad in (np.zeros((1, 2, 3)), np.zeros(0), np.array([np.nan]), np.zeros(4, np.uint8), np.array(["a"])):
        with pytest.raises(AudioError, match="must be"):
            AudioSamples(bad, 16000)
    with pytest.raises(AudioError, match="at least 1 sample per second, got 0"):
        AudioSamples(floats, 0)


RATES = [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (16001, 16000), (16000, 8000)]


@pytest.mark.parametrize(("rate", "new_rate"), RATES)
def test_a_resampled_tone_is_the_same_tone(rate, new_rate):
    sound = AudioSamples(tones(0.5, rate, channels=2), rate)
    length = resampled_length(sound.num_samples, rate, new_rate)
    assert length == round(0.5 * new_rate)
    (whole,) = read_resampled(sound, [(0, length)], new_rate)
    expected = tones(0.5, new_rate, channels=2)
    np.testing.assert_allclose(whole[:, 200:-200], expected[:, 200:-200], atol=2e-3, rtol=0)
    stretches = [(0, 10), (1234, 3456), (length - 7, length)]
    for (start, stop), part in zip(stretches, read_resampled(sound, stretches, new_rate), strict=True):
        assert np.array_equal(part, whole[:, start:stop])


def test_what_a_lower_rate_cannot_hold_is_filtered_out():
    time = np.arange(22050) / 44100
    high = AudioSamples(np.sin(2 * np.pi * 12000 * time), 44100)
    (quiet,) = read_resampled(high, [(0, 8000)], 16000)
    assert np.abs(quiet[:, 100:-100]).max() < 1e-2


def test_silence_lies_outside_a_sound():
    ones = np.ones((1, 100), np.float32)
    assert resample(ones, 0, (0, 0), 2, 1).shape == (1, 0)
    assert abs(resample(ones, 1000, (0, 1), 2, 1)).max() == 0
