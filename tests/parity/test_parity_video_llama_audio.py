# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's hearing, part by part: clips, resampling and spectrograms of a sound, and ImageBind's two towers."""

from functools import cache

import numpy as np
import pytest
import torch
from checkout import ROOT
from parity.cases import compare, find_cases
from safetensors import safe_open

from video_lmms.conversion_scripts import imagebind_names
from video_lmms.modeling.configuration_imagebind_audio import ImageBindAudioConfig, ImageBindVisionConfig
from video_lmms.modeling.modeling_imagebind_audio import ImageBindAudioModel, ImageBindVisionModel
from video_lmms.processing.audio_reader import AudioSamples
from video_lmms.processing.audio_resampling import read_resampled, resampled_length
from video_lmms.processing.feature_extraction_video_llama import (
    VideoLlamaFeatureExtractor,
    clip_stretches,
    clip_times,
)


def pytest_generate_tests(metafunc):
    folders = metafunc.config.getoption("goldens") or [ROOT / "tests" / "goldens" / "video_llama"]
    cases = [case for case in find_cases(folders, "video_llama") if "imagebind" in case.spec["convert"]["options"]]
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


@cache
def weights(case):
    return torch.load(case.folder / case.spec["convert"]["options"]["imagebind"], weights_only=True)


def tower(case, modality):
    """One of the towers of a case, with the sizes that its file tells and the constants that the case states."""
    options = case.spec["convert"]["options"]
    named = {imagebind_names.target_name(name, modality): tensor for name, tensor in weights(case).items()}
    named.pop(None)
    shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
    heads = options[f"imagebind-{modality}-num-heads"]
    if modality == imagebind_names.AUDIO:
        config = ImageBindAudioConfig(
            **imagebind_names.audio_sizes(shapes),
            num_attention_heads=heads,
            patch_stride=options["imagebind-audio-stride"],
            num_mel_bins=options["imagebind-audio-num-mel-bins"],
            num_mel_frames=options["imagebind-audio-target-length"],
        )
        model = ImageBindAudioModel(config)
    else:
        config = ImageBindVisionConfig(**imagebind_names.vision_sizes(shapes), num_attention_heads=heads)
        model = ImageBindVisionModel(config)
    model.load_state_dict(named)
    return model.eval()


@torch.no_grad()
def test_the_audio_tower(case):
    runs = [run for run in case.runs if "imagebind_audio_trunk_out" in run["expected"]]
    assert runs
    for run in runs:
        clips = case.tensors("inputs")[run["inputs"]["input_features"]].flatten(0, 1)
        outputs = tower(case, "audio")(clips)
        compare(case, run["expected"]["imagebind_audio_trunk_out"], outputs.last_hidden_state)
        compare(case, run["expected"]["audio_features"], outputs.pooler_output)


@torch.no_grad()
def test_the_vision_tower(case):
    """Wherever a run trains the audio branch on frames."""
    for run in (run for run in case.runs if run.get("needs") == "imagebind-vision"):
        frames = case.tensors("inputs")[run["inputs"]["pixel_values"]].float()
        outputs = tower(case, "vision")(frames)
        compare(case, run["expected"]["imagebind_vision_embed"], outputs.pooler_output)


def test_every_tensor_of_the_file_has_a_place(case):
    modalities = (imagebind_names.AUDIO, imagebind_names.VISION)
    for name in weights(case):
        places = [bool(imagebind_names.target_name(name, modality)) for modality in modalities]
        places.append(bool(imagebind_names.UNUSED.match(name)))
        assert sum(places) == 1, name


def reader_of(case, source):
    """What a `preprocess_runs` entry names: a file, or samples in a safetensors file with their rate."""
    file, _, name = source.partition("#")
    if not name:
        return str(case.folder / file), None
    with safe_open(case.folder / file, framework="pt") as tensors:
        samples = tensors.get_tensor(name).numpy()
    return np.ascontiguousarray(samples.T), case.table("preprocess")["audio_resample"]["sample_rate"]


def expected_of(case, pointer):
    file, _, name = pointer.partition("#")
    return case.tensors(file.removesuffix(".safetensors"))[name]


def audio_runs(case):
    runs = [run for run in case.spec["preprocess_runs"] if run["name"].startswith("audio_")]
    assert runs
    return runs


def test_sounds_become_the_stored_features(case):
    for run in audio_runs(case):
        source, rate = reader_of(case, run["source"])
        expected = expected_of(case, run["expected"])
        if "features" in run["name"]:
            extractor = VideoLlamaFeatureExtractor(num_clips=run["options"]["clips"])
            actual = extractor(source, sampling_rate=rate, return_tensors="pt")["input_features"]
            actual = actual[:, run["options"].get("take_clips", slice(None))].reshape(expected.shape)
        else:
            sound = AudioSamples(source, rate)
            new_rate = case.table("preprocess")["audio_resample"]["target_sample_rate"]
            length = resampled_length(sound.num_samples, rate, new_rate)
            actual = torch.from_numpy(read_resampled(sound, [(0, length)], new_rate)[0])
        torch.testing.assert_close(
            actual, expected, atol=run["compare"]["atol"], rtol=run["compare"]["rtol"], msg=run["name"]
        )


def test_every_stored_sound_is_used(case):
    named = {run[key].partition("#")[2] for run in audio_runs(case) for key in ("source", "expected")}
    assert {name for name in case.tensors("preprocess") if name.startswith("resample_")} <= named


def test_clips_lie_where_the_original_has_them(case):
    table = case.table("preprocess")
    rate, seconds = VideoLlamaFeatureExtractor().sampling_rate, VideoLlamaFeatureExtractor().clip_seconds
    audio = table["audio"]
    rows = [
        *((row["duration"], row["clips_per_video"], row) for row in table["audio_clip_table"]),
        (
            audio["seconds"],
            audio["clips"],
            {"clips": audio["clip_times_sec"], "sample_ranges": audio["clip_sample_ranges"]},
        ),
    ]
    for duration, clips, row in rows:
        times = [[float(start), float(end)] for start, end in clip_times(duration, clips, seconds)]
        np.testing.assert_allclose(times, row["clips"], atol=1e-9, rtol=0)
        stretches = clip_stretches(duration, clips, seconds, rate)
        assert [list(stretch) for stretch in stretches] == row["sample_ranges"], row


def test_settings_are_the_stored_ones(case):
    stored, extractor = case.table("preprocess")["audio"], VideoLlamaFeatureExtractor()
    assert extractor.sampling_rate == stored["target_sample_rate"]
    assert extractor.feature_size == stored["num_mel_bins"]
    assert extractor.num_mel_frames == stored["target_length"]
    assert (extractor.mean, extractor.std) == (stored["mean"], stored["std"])
    assert extractor.num_clips == stored["clips"]
