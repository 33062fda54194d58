# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The cache of tower features: what is a hit, what is forgotten, what a crash leaves."""

import os

import pytest
import torch
from tiny_models import TINY_MODELS
from tiny_pllava import NUM_FRAMES, tiny_model

from video_lmms.data.collator import collator_for
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.training.expansion import expand_videos
from video_lmms.training.feature_cache import FeatureCache, cached_towers


@pytest.fixture
def model():
    return tiny_model().requires_grad_(False)


def clips(seed, videos=2):
    return torch.rand(videos, NUM_FRAMES, 3, 56, 56, generator=torch.Generator().manual_seed(seed))


def counted(model):
    rows = []
    model.model.vision_tower.get_input_embeddings().register_forward_hook(
        lambda module, args, output: rows.append(len(output))
    )
    return rows


def test_known_frames_are_not_encoded_again(model, tmp_path):
    plain = model.get_video_features(clips(0)).pooler_output
    rows = counted(model)
    with cached_towers(model, tmp_path):
        first = model.get_video_features(clips(0)).pooler_output
        again = model.get_video_features(clips(0)).pooler_output
        half = torch.cat([clips(0)[:1], clips(1)[:1]])
        mixed = model.get_video_features(half).pooler_output
    assert rows == [2 * NUM_FRAMES, NUM_FRAMES]
    torch.testing.assert_close(first, plain, atol=1e-6, rtol=0)
    assert torch.equal(first, again)
    torch.testing.assert_close(mixed, model.get_video_features(half).pooler_output, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["apollo", "longvu", "video_llama", "videotgb", "videotgb_t5"])
def test_the_second_time_no_tower_runs(name, tmp_path):
    """Whatever towers a model has; the loss is that of a model without a cache."""
    rows = write_rows(draw_samples(0, 2, ("colour",)), tmp_path / "clips")
    model = TINY_MODELS[name].tiny_model().requires_grad_(False)
    batch = collator_for(model, TINY_MODELS[name].tiny_processor())(rows)

    def loss():
        return model(**expand_videos(model, batch)).loss

    plain, runs = loss(), []
    towers = [tower for child, tower in model.base_model.named_children() if child.endswith(("_tower", "flow_model"))]
    for tower in towers:
        inner = next(module for module in tower.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d))
        inner.register_forward_hook(lambda module, args, output: runs.append(module))
    with cached_towers(model, tmp_path / "features"):
        first, computed = loss(), len(runs)
        second = loss()
    seen = len(towers) - (name == "video_llama")  # whose clips have no sound
    assert len({id(module) for module in runs}) == seen
    assert len(runs) == computed
    torch.testing.assert_close(first, plain, atol=1e-5, rtol=0)
    assert torch.equal(second, first)


def test_another_tower_has_other_features(model, tmp_path):
    with cached_towers(model, tmp_path):
        model.get_video_features(clips(0))
    with torch.no_grad():
        model.model.vision_tower.get_input_embeddings().weight.mul_(2)
    rows = counted(model)
    with cached_towers(model, tmp_path):
        model.get_video_features(clips(0))
    assert sum(rows) == 2 * NUM_FRAMES


def test_a_tower_that_learns_is_left_alone(model, tmp_path):
    model.model.vision_tower.requires_grad_(True)
    with cached_towers(model, tmp_path):
        model.get_video_features(clips(0)).pooler_output.sum().backward()
    assert model.model.vision_tower.get_input_embeddings().weight.grad is not None
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_oldest_files_go_first(tmp_path):
    tensor = {"x": torch.zeros(256)}
    cache = FeatureCache(tmp_path)
    for number in range(5):
        cache.put(f"{number:04d}", tensor)
        os.utime(tmp_path / "00" / f"{number:04d}.safetensors", (number, number))
    size = cache.used // 5
    cache = FeatureCache(tmp_path, max_bytes=5 * size)
    assert cache.get("0000") is not None  # just used, so no longer the oldest
    cache.put("0005", tensor)
    assert [number for number in range(6) if cache.get(f"{number:04d}") is None] == [1, 2]
    assert cache.used <= 5 * size


def test_a_damaged_file_is_a_miss(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put("ab", {"x": torch.zeros(4)})
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-3])
    assert cache.get("ab") is None
    assert not path.exists()
    (path.parent / ".half.safetensors.1").write_bytes(b"what a crash leaves")
    assert FeatureCache(tmp_path).used == 0
