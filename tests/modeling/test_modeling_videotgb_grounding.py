# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's grounding bridge beyond what the recordings of the original can show."""

import pytest
import torch
from tiny_videotgb_grounding import tiny_bridge, tiny_grounding_config

from video_lmms.estimation import _LiveBytes
from video_lmms.modeling.configuration_videotgb_grounding import VideotgbGroundingConfig
from video_lmms.modeling.modeling_raft import VideotgbFlowModel
from video_lmms.modeling.modeling_videotgb_frame_choice import choose_frames, pick_frames
from video_lmms.modeling.modeling_videotgb_grounding import (
    VideotgbGroundingBridge,
    VideotgbGroundingModel,
    motion_scale,
    span_loss,
)


@pytest.fixture(scope="module")
def bridge():
    return tiny_bridge()


def clip(frames, seed=0, size=64):
    return torch.randn(frames, 3, size, size, generator=torch.Generator().manual_seed(seed))


def questions(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 40, (count, 5), generator=generator)


def flow_peak(frames, **changes):
    """Most bytes alive at once while a clip becomes flow features; on the meta device, without computing."""
    with torch.device("meta"):
        bridge = VideotgbGroundingBridge(tiny_grounding_config(num_flow_updates=1, **changes))
        pixels = torch.empty(frames, 3, 64, 64)
    with torch.no_grad(), _LiveBytes() as meter:
        features = bridge.grounding.encode_flow(bridge.flow_model.flow_in_chunks(pixels))
    return meter.peak, features.nbytes


def test_flow_memory_is_flat():
    short, kept = flow_peak(10, flow_chunk_size=4)
    long, kept_long = flow_peak(600, flow_chunk_size=4)
    # What remains of a frame is one vector; it is alive in pieces and, at the end, joined.
    assert long - short <= 2 * (kept_long - kept)
    assert kept_long < 600 * 64 * 64 * 2 * 4 / 100
    assert flow_peak(30, flow_chunk_size=24)[0] > 3 * short


@pytest.mark.parametrize("flow_input", ["normalized", "pixels"])
def test_the_chunk_does_not_change_flow(bridge, flow_input):
    model = VideotgbFlowModel(tiny_grounding_config(flow_input=flow_input)).double().eval()
    frames = clip(8).double()
    answers = []
    for chunk in (1, 3, 7, 100):
        model.config.flow_chunk_size = chunk
        answers.append(torch.cat(list(model.flow_in_chunks(frames))))
    assert answers[0].shape == (8, 2, 64, 64)
    assert torch.equal(answers[0][-1], answers[0][-2])
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0], atol=1e-9, rtol=1e-9)
    assert answers[0].abs().max() > 0.1


def test_flow_of_odd_sizes_and_of_frames_too_small(bridge):
    first, second = clip(2, size=64)[:1, :, :, :], clip(2, seed=3)[1:]
    wide = torch.nn.functional.pad(first, (0, 5, 0, 9)), torch.nn.functional.pad(second, (0, 5, 0, 9))
    assert bridge.flow_model(*wide).shape == (1, 2, 73, 69)
    with pytest.raises(ValueError, match=r"at least 64 x 64 pixels with raft_corr_levels=3, got 64 x 48"):
        bridge.flow_model(first[..., :48], second[..., :48])


def test_pixels_are_what_the_normalisation_hid():
    config = tiny_grounding_config(flow_input="pixels")
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (config.pixel_mean, config.pixel_deviation))
    prepared = VideotgbFlowModel(config).prepare((pixels / 255 - mean) / std)
    torch.testing.assert_close(prepared, pixels, atol=1e-3, rtol=0)


@pytest.mark.parametrize("mode", ["multi_modal", "fusion"])
def test_a_batch_equals_its_members(bridge, mode):
    bridge.config.mode = mode
    lengths, ids, mask = torch.tensor([6, 1, 3, 16]), questions(4), torch.ones(4, 5, dtype=torch.long)
    mask[2, 3:] = 0
    clips = [clip(int(length), seed) for seed, length in enumerate(lengths)]
    noise = torch.randn(2, 8, 16, 1)
    together = bridge(torch.cat(clips), lengths, ids, mask, gumbel_noise=noise)
    assert together.grounded.tolist() == [True, False, True, False]  # 16 positions hold 14 frames
    for row, frames in enumerate(clips):
        count = int(mask[row].sum())
        own_noise = noise[:, [row, row + 4], : len(frames)]
        alone = bridge(frames, lengths[row : row + 1], ids[row : row + 1, :count], gumbel_noise=own_noise)
        for name in ("frame_indices", "spans"):
            assert torch.equal(alone[name][0], together[name][row])
        torch.testing.assert_close(alone.scores[0], together.scores[row], atol=1e-5, rtol=1e-5)
    bridge.config.mode = "multi_modal"


def test_clips_that_cannot_be_grounded_show_everything(bridge):
    choice = bridge(clip(21), torch.tensor([20, 1]), questions(2), num_candidates=20, num_frames=4)
    assert choice.spans.tolist() == [[[0, 19]] * 2, [[0, 0]] * 2]
    assert not choice.grounded.any()
    assert not choice.scores.any()
    assert choice.frame_indices[1].tolist() == [2, 7, 12, 17]
    assert (choice.frame_indices[0] < 20).all()


def test_one_question_chooses_frames_without_a_draw_and_draws_where_asked(bridge):
    inputs = clip(12), torch.tensor([12]), questions(1)
    first, second = bridge(*inputs), bridge(*inputs)
    assert torch.equal(first.spans, second.spans)
    assert torch.equal(first.spans[:, 0], first.spans[:, 1])
    seeds = [bridge(*inputs, generator=torch.Generator().manual_seed(seed)).spans.tolist() for seed in (1, 1, 2, 3)]
    assert seeds[0] == seeds[1]
    assert len({str(spans) for spans in seeds}) > 1


def test_draws_follow_the_scores():
    """Noise turns the largest of the logits into a sample of their softmax, whatever the temperature."""
    config = tiny_grounding_config(num_draws=4000)
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    choice = choose_frames(logits, torch.tensor([3]), 8, 2, config, generator=torch.Generator().manual_seed(0))
    for kind in (0, 1):
        shares = choice.spans[0, :, kind].bincount(minlength=3) / 4000
        torch.testing.assert_close(shares, logits[0, :, kind].softmax(0), atol=0.03, rtol=0)


def test_scores_are_probabilities_within_the_clip():
    logits = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [90.0, 90.0]]])
    choice = choose_frames(logits, torch.tensor([2]), 8, 2, tiny_grounding_config())
    assert choice.spans.tolist() == [[[1, 1], [1, 1]]]
    torch.testing.assert_close(choice.scores[0, 0], logits[0, :2].softmax(0)[1])


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"= \(2, 2, 5, 1\), got \(2, 2, 4, 1\)"):
        choose_frames(torch.zeros(1, 5, 2), torch.tensor([5]), 8, 2, tiny_grounding_config(), torch.zeros(2, 2, 4, 1))


@pytest.mark.parametrize("num_frames", [1, 3, 8, 50])
@pytest.mark.parametrize("mapping", ["length", "last_frame"])
def test_frames_of_any_number_come_from_the_spans(num_frames, mapping):
    generator = torch.Generator().manual_seed(num_frames)
    lengths = torch.randint(1, 40, (200,), generator=generator)
    spans = (torch.rand(200, 2, 2, generator=generator) * lengths.view(-1, 1, 1)).long()
    frames = pick_frames(spans, lengths, 32, num_frames, mapping)
    assert frames.shape == (200, num_frames)
    assert (frames.diff(dim=1) >= 0).all()
    for row, length in enumerate(lengths.tolist()):
        scale = (length, 32) if mapping == "length" else (max(length - 1, 1), 31)
        allowed = set()
        for start, end in spans[row].tolist():
            end = length - 1 if start == end == 0 else end
            allowed |= set(range(int(start / scale[0] * scale[1] + 1e-6), int(end / scale[0] * scale[1] + 1e-6)))
        assert set(frames[row].tolist()) <= (allowed or set(range(32)))


def test_dividing_features_is_dividing_flow():
    flow = 5 * torch.randn(7, 2, 64, 64)
    grounding = tiny_bridge(normalize_flow=True).grounding
    divided = grounding.flow_embeddings.embed(flow / motion_scale(flow))
    torch.testing.assert_close(grounding.encode_flow(flow.split(3)), divided, atol=1e-5, rtol=1e-4)


def test_too_many_frames_or_words_are_refused(bridge):
    with pytest.raises(ValueError, match="15 flow frames, but the bridge has positions for 14"):
        bridge.grounding(torch.zeros(1, 15, 24), input_ids=questions(1))
    with pytest.raises(ValueError, match="question has 17 tokens, but the bridge has positions for 16"):
        bridge.grounding(torch.zeros(1, 3, 24), input_ids=torch.ones(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="flow of 64 x 64 pixels, got .32, 64."):
        bridge.grounding.encode_flow([torch.zeros(1, 2, 32, 64)])


def test_the_loss_ignores_targets_outside_and_padding_on_request():
    logits = torch.randn(2, 5, 2)
    inside, outside = torch.tensor([1, 2]), torch.tensor([1, 7])
    torch.testing.assert_close(
        span_loss(logits, inside, outside)[None], span_loss(logits, inside, torch.tensor([1, 5]))[None]
    )
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    masked = span_loss(logits, inside, inside, mask)
    torch.testing.assert_close(masked, span_loss(logits[:, :3], inside, inside))
    assert not torch.isclose(masked, span_loss(logits, inside, inside))


def test_saved_and_loaded_weights_are_the_same(bridge, tmp_path):
    bridge.save_pretrained(tmp_path)
    loaded, report = VideotgbGroundingBridge.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    inputs = clip(6), torch.tensor([6]), questions(1)
    torch.testing.assert_close(loaded(*inputs).scores, bridge(*inputs).scores)
    half = VideotgbGroundingBridge.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.grounding.dtype == torch.bfloat16
    assert half.flow_model.dtype == torch.float32
    assert half(*inputs).frame_indices.shape == (1, 4)


@pytest.mark.parametrize("rotary_init", ["sinusoidal", "noise"])
def test_every_weight_is_initialised(rotary_init):
    config = tiny_grounding_config(rotary_init=rotary_init)
    with torch.device("meta"):
        model = VideotgbGroundingBridge(config)
    model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.fill_(torch.nan)
        tensor._is_hf_initialized = False
    model.init_weights()
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    table = model.grounding.encoder.rotary_table
    norms = table.unflatten(1, (2, -1)).square().sum(1)
    assert torch.allclose(norms, torch.ones_like(norms)) == (rotary_init == "sinusoidal")
    assert not table.requires_grad


def test_the_published_sizes_are_the_default():
    with torch.device("meta"):
        grounding = VideotgbGroundingModel(VideotgbGroundingConfig())
        flow = VideotgbFlowModel(VideotgbGroundingConfig())
    # The original counts its unread position table, and RAFT without what its frozen norms store.
    assert sum(parameter.numel() for parameter in grounding.parameters()) == 123_932_615 - 512 * 768
    norms = sum(buffer.numel() for name, buffer in flow.named_buffers() if name.endswith(("weight", "bias")))
    assert sum(parameter.numel() for parameter in flow.parameters()) + norms == 5_257_536


def test_every_part_of_the_span_encoder_learns():
    grounding = tiny_bridge().grounding.train()
    logits = grounding(
        grounding.encode_flow([torch.randn(6, 2, 64, 64)]).unsqueeze(0), input_ids=questions(1)
    ).span_logits
    span_loss(logits, torch.tensor([1]), torch.tensor([4])).backward()
    still = {name for name, parameter in grounding.named_parameters() if parameter.grad is None}
    assert still == {"encoder.rotary_table", "encoder.cross_rotary_table"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "text"}, "mode must be one of multi_modal, fusion, got 'text'"),
        ({"span_mapping": "T"}, "span_mapping must be one of length, last_frame"),
        ({"num_attention_heads": 5}, "hidden_size 24 must split into 5 heads"),
        ({"fusion_layer": 3}, r"fusion_layer must lie in \[0, 3\), got 3"),
        ({"flow_size": 60}, "flow_size 60 is no multiple of flow_patch_size 16"),
        ({"gumbel_temperature": 0.0}, "gumbel_temperature must be positive"),
        ({"raft_encoder_widths": [8, 8]}, "raft_encoder_widths must be five sizes"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(Exception, match=message):
        tiny_grounding_config(**changes)
