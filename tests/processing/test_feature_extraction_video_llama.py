# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's feature extractor: forms of a sound, batches, silence, saving; parity is in tests/parity."""

import copy
import io

import numpy as np
import pytest
import torch
from sounds import tones, write_sound
from web import content

from video_lmms.processing.audio_reader import AudioDecodeError, AudioError, NoAudioStreamError
from video_lmms.processing.feature_extraction_video_llama import (
    SoundPayload,
    VideoLlamaFeatureExtractor,
    accept_sounds,
    clip_stretches,
    kaldi_mel,
)
from video_lmms.processing.video_errors import VideoSourceError


@pytest.fixture(scope="module")
def extractor():
    return VideoLlamaFeatureExtractor()


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    return write_sound(tmp_path_factory.mktemp("sounds") / "sound.wav", tones(5.0, 16000), 16000)


def features(extractor, sound, **options):
    return extractor(sound, return_tensors="pt", **options)["input_features"]


def test_shape_follows_the_settings(extractor, sound_file):
    assert features(extractor, str(sound_file)).shape == (1, 8, 1, 128, 204)
    other = VideoLlamaFeatureExtractor(feature_size=40, num_clips=3, clip_seconds=0.5, num_mel_frames=30)
    outputs = features(other, [str(sound_file), tones(1.0, 16000)[0]])
    assert outputs.shape == (2, 3, 1, 40, 30)
    assert outputs.dtype == torch.float32
    assert other(str(sound_file))["input_features"].shape == (1, 3, 1, 40, 30)


@pytest.mark.parametrize("form", ["string", "path", "bytes", "file object", "samples", "rows", "tensor", "list"])
def test_every_form_of_a_sound_gives_the_same(form, extractor, sound_file):
    samples = np.round(tones(5.0, 16000) * 2**15) / 2**15  # as a 16-bit file stores them
    forms = {
        "string": str(sound_file),
        "path": sound_file,
        "bytes": sound_file.read_bytes(),
        "file object": io.BytesIO(sound_file.read_bytes()),
        "samples": samples[0],
        "rows": samples,
        "tensor": torch.from_numpy(samples),
        "list": samples[0].tolist(),
    }
    expected = features(extractor, str(sound_file))
    torch.testing.assert_close(features(extractor, forms[form]), expected, atol=1e-4, rtol=0)


def test_a_batch_equals_its_members(extractor, sound_file):
    short = tones(0.7, 44100, channels=2)
    sounds = [str(sound_file), sound_file.read_bytes()]
    batch = features(extractor, sounds)
    assert torch.equal(batch[0], batch[1])
    assert torch.equal(
        features(extractor, [short], sampling_rate=44100), features(extractor, short, sampling_rate=44100)
    )


def test_a_sound_behind_an_address(extractor, sound_file, web):
    web.pages["/sound.wav"] = content(sound_file.read_bytes())
    remote = features(extractor, "http://public.test/sound.wav")
    assert torch.equal(remote, features(extractor, str(sound_file)))
    with pytest.raises(VideoSourceError, match="answered 404"):
        features(extractor, "http://public.test/absent.wav")


@pytest.mark.parametrize("samples", [1, 399, 400, 559, 560, 16000])
def test_short_sounds_are_padded_in_the_log_domain(samples, extractor):
    """Clips are all alike; what comes after the last whole frame is the value of padding, normalised."""
    outputs = features(extractor, tones(1.0, 16000)[0, :samples])[0]
    assert (outputs == outputs[:1]).all() or (outputs - outputs[:1]).abs().max() < 1e-3
    frames = 0 if samples < 400 else 1 + (samples - 400) // 160
    padding = torch.tensor((0.0 - extractor.mean) / extractor.std)
    torch.testing.assert_close(outputs[..., frames:], padding.expand(8, 1, 128, 204 - frames))
    assert frames == 0 or not torch.isclose(outputs[..., :frames], padding).all()


def test_a_clip_hears_what_earlier_clips_took_off(extractor):
    """With a constant in the sound, overlapping clips differ from clips that are cut from fresh copies."""
    sound = tones(3.0, 16000, offset=0.2)
    outputs = features(extractor, sound)[0]
    fresh = []
    for start, stop in clip_stretches(3.0, 8, 2.0, 16000):
        clip = torch.from_numpy(sound[:, start:stop])
        fresh.append(kaldi_mel(clip - clip.mean(), 16000, 128)[0].T)
    fresh = (torch.nn.functional.pad(torch.stack(fresh), (0, 6)) - extractor.mean) / extractor.std
    torch.testing.assert_close(outputs[0, 0], fresh[0], atol=1e-3, rtol=0)
    assert (outputs[1:, 0] - fresh[1:]).abs().max() > 0.1


def test_only_the_first_channel_is_heard(extractor):
    stereo = tones(3.0, 16000, channels=2)
    torch.testing.assert_close(features(extractor, stereo), features(extractor, stereo[:1]), atol=5e-3, rtol=0)


def test_a_long_sound_is_read_where_its_clips_lie(extractor, tmp_path):
    """The clips of twenty seconds do not overlap, so each equals the sound that is made of it alone."""
    sound = np.concatenate([tones(1.0, 16000), tones(1.0, 16000, channels=2)[1:]] * 10, axis=1)
    sound = (np.round(sound * 2**15) / 2**15).astype(np.float32)  # as a 16-bit file stores them
    path = write_sound(tmp_path / "long.flac", sound, 16000, "flac")
    outputs = features(extractor, str(path))[0]
    for number, (start, stop) in enumerate(clip_stretches(20.0, 8, 2.0, 16000)):
        alone = features(extractor, sound[:, start:stop])[0, 0]
        torch.testing.assert_close(outputs[number], alone, atol=5e-3, rtol=0)


def test_silence_must_be_asked_for(extractor, tmp_path, sound_file):
    silent = write_sound(tmp_path / "empty.mkv", tones(0, 16000), 16000, video_frames=4)
    with pytest.raises(AudioDecodeError, match='ask for silence with `missing_audio="silence"`'):
        features(extractor, str(silent))
    batch = features(extractor, [str(sound_file), str(silent)], missing_audio="silence")
    assert torch.equal(batch[0], features(extractor, str(sound_file))[0])
    torch.testing.assert_close(batch[1], features(extractor, np.zeros(32000))[0])
    quiet = VideoLlamaFeatureExtractor(missing_audio="silence")
    torch.testing.assert_close(features(quiet, str(silent)), batch[1:])
    # A wrong path is a mistake and no silence.
    with pytest.raises(VideoSourceError, match="no such file"):
        features(quiet, str(tmp_path / "absent.mp4"))
    with pytest.raises(AudioError, match="shape"):
        features(quiet, np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="missing_audio must be one of error, silence, got 'ignore'"):
        features(extractor, str(sound_file), missing_audio="ignore")


def test_a_video_without_a_track_says_so(extractor, clip):
    with pytest.raises(NoAudioStreamError, match="no audio stream"):
        features(extractor, str(clip("h264.mp4")))


def test_sources_travel_as_arrays(sound_file):
    """transformers deep-copies arguments, counts sounds, and takes arrays as they are."""
    file = io.BytesIO(sound_file.read_bytes())
    first, (second,) = accept_sounds([str(sound_file), [file]])
    assert isinstance(first, np.ndarray)
    assert first.payload == str(sound_file)
    assert copy.deepcopy(second) is second
    assert second.payload is file
    samples = tones(0.1, 16000)
    assert accept_sounds(samples) is samples
    assert accept_sounds([0.1, 0.2]) == [0.1, 0.2]
    assert isinstance(VideoLlamaFeatureExtractor().fetch_audio(sound_file), SoundPayload)


def test_settings_survive_saving(tmp_path, sound_file):
    before = VideoLlamaFeatureExtractor(feature_size=64, num_clips=3, mean=-3.0, missing_audio="silence")
    before.save_pretrained(tmp_path)
    after = VideoLlamaFeatureExtractor.from_pretrained(tmp_path)
    assert after.to_dict() == before.to_dict()
    assert torch.equal(features(after, str(sound_file)), features(before, str(sound_file)))
