# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's reductions against a slow reference: one frame, one window, one token at a time, as the rules say."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuModel
from video_lmms.modeling.modeling_longvu_aggregator import LongvuAggregator, LongvuAggregatorLayer
from video_lmms.modeling.modeling_longvu_compression import cap_frames, crop_box, find_distinct, window_mask
from video_lmms.modeling.modeling_longvu_expansion import expand_placeholders
from video_lmms.modeling.modeling_longvu_frames import Budget, VideoCache
from video_lmms.processing.token_counts_longvu import frame_token_count, lowres_token_count


# Below this distance from a threshold, rounding decides, and both answers are right.
MARGIN = 1e-5
SIZES = [(1, 1), (64, 36), (36, 64), (4, 3), (3, 4), (100, 40), (1000, 30), (30, 1000), (7, 5)]


def tiny_model(**settings):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 2}
    text = {"hidden_size": 12, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    defaults = {"grid_size": 8, "image_token_len": 16, "lowres_token": 2, "vision_hidden_size": 12}
    config = LongvuConfig(
        vision_config=sizes | {"intermediate_size": 8},
        dinov2_config=sizes,
        text_config=text | {"model_type": "qwen2", "num_key_value_heads": 2, "vocab_size": 20},
        image_token_id=19,
        video_token_id=19,
        aggregator_heads=2,
        **(defaults | settings),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LongvuModel(config)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


def scenes(frames, kind, shape, generator):
    """Random maps or grids: all equal, all different, or runs of similar frames."""
    if kind == "equal":
        return torch.randn(shape, generator=generator).expand(frames, *shape).clone()
    different = torch.randn(frames, *shape, generator=generator)
    if kind == "different":
        return different
    run = int(torch.randint(1, 12, (), generator=generator))
    common = torch.randn(frames // run + 1, *shape, generator=generator)
    noise = torch.rand(frames, *[1] * len(shape), generator=generator)
    return common[torch.arange(frames) // run] + noise * different


# Step 1


def reference_selection(maps, threshold, window, cap):
    """Positions kept, and the distance of the closest call from the threshold."""
    kept, margin = [], math.inf
    for start in range(0, len(maps), window):
        frames = [frame.flatten() / max(float(frame.norm()), 1e-12) for frame in maps[start : start + window]]
        for number, frame in enumerate(frames):
            similarity = sum(float(frame @ other) for other in frames) / len(frames)
            if number == len(frames) // 2:
                similarity = 0.0
            margin = min(margin, abs(similarity - threshold))
            if similarity < threshold:
                kept.append(start + number)
    if len(maps) >= window and len(kept) > cap:
        kept = [kept[int(i * len(kept) / float(cap))] for i in range(cap)]
    return kept, margin


def test_selection_equals_the_reference():
    generator = torch.Generator().manual_seed(0)
    compared = 0
    cases = itertools.product((1, 2, 15, 16, 17, 31, 33, 48, 70), ("equal", "different", "scenes"), range(10))
    for frames, kind, seed in cases:
        threshold = (0.83, 0.6, 0.3, 0.12, 0.05)[seed % 5]
        maps = scenes(frames, kind, (5, 4), generator)
        kept, margin = reference_selection(maps, threshold, 16, cap=20)
        if margin < MARGIN:
            continue
        positions = find_distinct(maps, threshold, window=16).nonzero().flatten()
        assert cap_frames(positions, 20, frames, window=16).tolist() == kept, (frames, kind, seed)
        compared += 1
    assert compared >= 200


def test_equal_frames_leave_the_middle_of_each_window():
    maps = torch.ones(40, 6)
    assert find_distinct(maps, 0.83, window=16).nonzero().flatten().tolist() == [8, 24, 36]


def test_selection_is_the_same_in_half_precision_storage():
    maps = torch.randn(40, 50).half()
    assert torch.equal(find_distinct(maps, 0.2, 16), find_distinct(maps.float(), 0.2, 16))


# Steps 2 and 3


def reference_crop(size, side):
    width, height = size
    if width / height > 1:
        border = (side - int(height * (side / width))) // 2
        rows, columns = range(border, side - border), range(side)
    else:
        border = (side - int(width * (side / height))) // 2
        rows, columns = range(side), range(border, side - border)
    if not len(rows) or not len(columns):
        rows = columns = range(side)
    return rows, columns


def reference_tokens(model, grid, size, lowres):
    """Tokens of one frame as a list of vectors."""
    config = model.config
    side = math.isqrt(config.image_token_len)
    if lowres:
        plane = grid.t().reshape(1, -1, side, side)
        plane = F.interpolate(plane, size=(config.lowres_token,) * 2, mode="bilinear", align_corners=False)
        grid = plane.reshape(grid.shape[1], -1).t()
        factor = math.sqrt(config.image_token_len) / config.lowres_token
        size = (int(size[0] / factor), max(1, int(size[1] / factor)))
        side = config.lowres_token
    rows, columns = reference_crop(size, side)
    tokens = []
    for row in rows:
        tokens += [model.multi_modal_projector(grid[row * side + column]) for column in columns]
        tokens.append(model.image_newline)
    return tokens


def reference_stc(frames, budget, threshold, group):
    """Tokens left of frames that are too much, and the distance of the closest call from the threshold."""
    groups, margin = [], math.inf
    for start in range(0, len(frames), group):
        first, *others = frames[start : start + group]
        kept = list(first)
        for frame in others:
            for place, token in enumerate(frame):
                similarity = float(F.cosine_similarity(token, first[place], dim=0, eps=1e-8))
                margin = min(margin, abs(similarity - threshold))
                if similarity < threshold:
                    kept.append(token)
        groups.append(kept)
    total = sum(map(len, groups))
    if total > budget:
        surplus = math.ceil((total - budget) / len(groups))
        groups = [kept[: max(0, len(kept) - surplus)] for kept in groups]
    return sum(groups, [])[:budget], margin


def reference_compression(model, grids, size, query, budget):
    """Tokens of one video, its stage, scores (or None) and the distance of the closest call."""
    config = model.config
    full, low = config.image_token_len, config.lowres_token**2
    if len(grids) < max(1, budget.selection // full):
        stage = "full"
    elif len(grids) > max(1, budget.selection // low):
        stage = "dense"
    else:
        stage = "mix"
    lowres = stage == "mix" and config.highres
    frames = [reference_tokens(model, grid, size, lowres) for grid in grids]
    total = sum(map(len, frames))
    if lowres and budget.tokens > total:
        whole = [reference_tokens(model, grid, size, lowres=False) for grid in grids]
        difference = len(whole[0]) - len(frames[0])
        count = len(frames) if difference == 0 else math.floor((budget.tokens - total) / difference)
        if count >= 1:
            scores = [
                sum(float(token @ word) for token in frame for word in query) / (len(frame) * len(query))
                for frame in frames
            ]
            order = sorted(range(len(scores)), key=lambda number: -scores[number])[: min(count, len(scores))]
            chosen = [whole[number] if number in order else frame for number, frame in enumerate(frames)]
            ranked = sorted(scores, reverse=True)
            gap = ranked[len(order) - 1] - ranked[len(order)] if len(order) < len(ranked) else math.inf
            return sum(chosen, []), stage, scores, gap
    margin = math.inf
    tokens = sum(frames, [])
    if total > budget.tokens:
        tokens, margin = reference_stc(frames, budget.tokens, config.drop_threshold, config.group_size)
    return tokens, stage, None, margin


def cache_of(grids, size):
    frames = torch.arange(len(grids))
    outputs = BaseModelOutputWithPooling(last_hidden_state=grids)
    # As of a video that was thinned already: nothing is dropped again.
    return VideoCache(outputs, frames, torch.ones(len(grids), dtype=torch.bool), len(grids) + 1, size)


@pytest.mark.parametrize("highres", [True, False])
@torch.no_grad()
def test_compression_equals_the_reference(highres):
    model = tiny_model(highres=highres, drop_threshold=0.6)
    generator = torch.Generator().manual_seed(1)
    compared, seen = 0, set()
    cases = itertools.product((1, 2, 7, 8, 9, 17, 24), ("equal", "different", "scenes"), range(10))
    for frames, kind, seed in cases:
        size = SIZES[int(torch.randint(len(SIZES), (), generator=generator))]
        grids = scenes(frames, kind, (16, 12), generator)
        query = torch.randn(5, 12, generator=generator)
        # From less than a frame to more than all of them.
        room = int(frames * 22 * (0.05, 0.15, 0.3, 0.5, 0.9, 1.3)[seed % 6]) + seed
        room = max(1, room) if seed else 3
        budget = Budget(room, room + seed % 2)
        expected, stage, scores, margin = reference_compression(model, grids, size, query, budget)
        if margin < MARGIN:
            continue
        tokens, selection = model.compress_video(cache_of(grids, size), query, budget)
        where = (frames, kind, seed, size, budget)
        assert selection.stage == stage, where
        assert len(tokens) == len(expected) == selection.num_tokens, where
        assert len(tokens) <= budget.tokens, where
        if scores is None:
            assert selection.scores is None, where
        else:
            torch.testing.assert_close(selection.scores, torch.tensor(scores), atol=1e-4, rtol=1e-4)
        if expected:
            torch.testing.assert_close(tokens, torch.stack(expected), atol=1e-5, rtol=1e-5)
        repeated = model.repeat_selection(cache_of(grids, size), selection)
        torch.testing.assert_close(repeated, tokens, atol=1e-6, rtol=0)
        compared += 1
        seen.add((stage, scores is not None, len(expected) == budget.tokens))
    assert compared >= 150
    assert {stage for stage, *_ in seen} == {"full", "mix", "dense"}
    assert any(chosen for _, chosen, _ in seen) is highres


def test_the_reductions_were_compared_often_enough():
    """Equal frames tie in the choice by score, so a few of the inputs above do not count: still more than 200."""
    assert 2 * 150 >= 200


# Geometry


def test_crops_and_counts_agree():
    """The processor counts tokens by itself; it must count what the model crops."""
    generator = torch.Generator().manual_seed(0)
    sizes = SIZES + torch.randint(1, 2000, (200, 2), generator=generator).tolist()
    for size, side in itertools.product(sizes, (4, 8, 12, 24)):
        rows, columns = reference_crop(size, side)
        box = crop_box(tuple(size), side)
        assert (range(box.top, box.bottom), range(box.left, box.right)) == (rows, columns)
        assert frame_token_count(size, side) == box.num_tokens == len(rows) * (len(columns) + 1)


def test_lowres_counts_agree():
    model = tiny_model(image_token_len=64, lowres_token=4)
    generator = torch.Generator().manual_seed(0)
    for size in SIZES + torch.randint(1, 900, (60, 2), generator=generator).tolist():
        with torch.no_grad():
            tokens = model.frame_tokens(torch.randn(1, 64, 12), tuple(size), lowres=True)
        assert tokens.shape[1] == lowres_token_count(size, 8, 4)


# Aggregator


def reference_layer(layer, queries, context, windows, mask):
    """One frame, one cell at a time."""
    result = []
    for cell, query in enumerate(queries):
        hidden = layer.in_proj(torch.cat([query, layer.context_proj(context)]))
        keys, values = [], []
        for tower in range(2):
            window = windows[tower][cell]
            if len(layer.window_position):
                window = window + layer.window_position[tower]
            keys.append(layer.k_projs[tower](layer.k_norms[tower](window)))
            values.append(layer.v_projs[tower](layer.v_norms[tower](window)))
        key, value = torch.cat(keys), torch.cat(values)
        allowed = torch.cat([mask[cell]] * 2)
        question = layer.q_proj(layer.q_norm(hidden))
        heads = []
        size = len(question) // layer.num_heads
        for head in range(layer.num_heads):
            part = slice(head * size, (head + 1) * size)
            scores = key[:, part] @ question[part] / math.sqrt(size)
            heads.append(scores.masked_fill(~allowed, -math.inf).softmax(0) @ value[:, part])
        hidden = layer.norm(hidden + layer.o_proj(torch.cat(heads)))
        result.append(query + layer.mlp.linear_2(F.gelu(layer.mlp.linear_1(hidden))))
    return torch.stack(result)


def reference_aggregator(aggregator, maps, mask, grid):
    side, reach = aggregator.side, grid // aggregator.side
    frames = []
    for siglip, dinov2 in zip(*maps, strict=True):
        windows = [
            [
                torch.stack(
                    [
                        tower[(row * reach + i) * grid + column * reach + j]
                        for i, j in itertools.product(range(reach), repeat=2)
                    ]
                )
                for row, column in itertools.product(range(side), repeat=2)
            ]
            for tower in (siglip, dinov2)
        ]
        queries = aggregator.query.expand(side * side, -1)
        for layer in aggregator.layers:
            queries = reference_layer(layer, queries, siglip.mean(0), windows, mask)
        frames.append(queries)
    return torch.stack(frames)


@pytest.mark.parametrize("image_token_len", [16, 64])
@torch.no_grad()
def test_aggregator_equals_the_reference(image_token_len):
    model = tiny_model(image_token_len=image_token_len)
    assert isinstance(model.aggregator, LongvuAggregator)
    assert isinstance(model.aggregator.layers[0], LongvuAggregatorLayer)
    side = math.isqrt(image_token_len)
    for seed, size in enumerate(SIZES):
        generator = torch.Generator().manual_seed(seed)
        maps = [torch.randn(2, 64, 12, generator=generator) for _ in range(2)]
        mask = window_mask(size, 8, side)
        expected = reference_aggregator(model.aggregator, maps, mask, 8)
        torch.testing.assert_close(model.aggregator(maps, mask[None]), expected, atol=2e-5, rtol=1e-5)


# Text


def reference_expansion(ids, mask, labels, token, counts, pad):
    rows, counts = [], iter(counts)
    for row, shown, learned in zip(ids.tolist(), mask.tolist(), labels.tolist(), strict=True):
        new = []
        for value, visible, label in zip(row, shown, learned, strict=True):
            if value == token:
                new += [(token, 1, -100)] * next(counts)
            elif visible:
                new.append((value, 1, label))
        rows.append(new)
    width = max(map(len, rows))
    left = all(shown[-1] for shown in mask.tolist())
    padding = [[(pad, 0, -100)] * (width - len(row)) for row in rows]
    return [fill + row if left else row + fill for row, fill in zip(rows, padding, strict=True)]


def test_expansion_equals_the_reference():
    generator = torch.Generator().manual_seed(0)
    for number in range(220):
        batch, length = (int(torch.randint(1, high, (), generator=generator)) for high in (5, 12))
        ids = torch.randint(1, 12, (batch, length), generator=generator)
        mask = torch.ones_like(ids)
        padding = torch.randint(0, length, (batch,), generator=generator)
        places = torch.arange(length)
        if number % 3:
            hidden = places < padding[:, None] if number % 3 == 1 else places >= length - padding[:, None]
            mask = mask.masked_fill(hidden, 0)
        if number % 5 == 0:  # hidden in the middle, as the original's fillers are
            mask[:, length // 2] = 0
        labels = ids + 100
        videos = int((ids == 7).sum())
        counts = torch.randint(0, 9, (videos,), generator=generator).tolist()
        text = expand_placeholders(ids, mask, labels, 7, counts, pad_token_id=0)
        expected = torch.tensor(reference_expansion(ids, mask, labels, 7, counts, 0)).reshape(batch, -1, 3)
        for name, column in (("input_ids", 0), ("attention_mask", 1), ("labels", 2)):
            assert torch.equal(text[name], expected[..., column]), number
