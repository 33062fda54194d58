# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's models beside the goldens, both forms: batches, the choice of frames, re-use, images, saving."""

import numpy as np
import pytest
import tiny_videotgb
import tiny_videotgb_t5
import torch
from transformers import AutoModelForImageTextToText

from video_lmms.hub.checks import given_length


NEW_TOKENS = 5
SOURCES = ("pixel_values_videos", "flow_pixel_values", "num_flow_frames")
LENGTHS = (5, 1, 9, 7)
CHATS = [
    [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is the man doing?"}]}],
    [{"role": "user", "content": [{"type": "video"}, {"type": "video"}, {"type": "text", "text": "Which is first?"}]}],
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Why?"}]}],
]
VIDEOS_OF = ([0], [1, 2], [], [3])


@pytest.fixture(scope="module", params=[tiny_videotgb, tiny_videotgb_t5], ids=["vicuna", "t5"])
def tiny(request):
    return request.param


@pytest.fixture
def model(tiny):
    return tiny.tiny_model()


@pytest.fixture(scope="module")
def processor(tiny):
    return tiny.tiny_processor()


@pytest.fixture(scope="module")
def videos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (length, 48, 40, 3), dtype=np.uint8) for length in LENGTHS]


def inputs_of(processor, chats, videos):
    prompts = processor.apply_chat_template(chats, add_generation_prompt=True)
    options = {"padding": True, "return_tensors": "pt"}
    return processor(text=prompts, videos=videos or None, do_sample_frames=False, **options)


@pytest.fixture
def batch(processor, videos):
    return inputs_of(processor, CHATS, videos)


@pytest.fixture
def one(processor, videos):
    return inputs_of(processor, CHATS[:1], videos[:1])


def answer(model, inputs, **options):
    settings = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **options}
    return model.generate(**inputs, **settings)[:, given_length(model, inputs) :]


def with_cache(model, inputs):
    cache = model.get_video_cache(**{name: inputs[name] for name in SOURCES})
    return {name: value for name, value in inputs.items() if name not in SOURCES}, cache


class Calls:
    """Counts the frames that a submodule sees."""

    def __init__(self, module):
        self.frames = 0
        module.register_forward_hook(self.count)

    def count(self, module, args, output):
        self.frames += len(args[0])


@pytest.mark.parametrize("merge", ["mean", "concat"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_a_batch_answers_as_its_members(tiny, videos, merge, options):
    """One frame, several videos in a prompt, and prompts without any, all in one batch."""
    model, processor = tiny.tiny_model(frame_merge=merge), tiny.tiny_processor(frame_merge=merge)
    together = answer(model, inputs_of(processor, CHATS, videos), **options)
    for row, own in enumerate(VIDEOS_OF):
        alone = inputs_of(processor, CHATS[row : row + 1], [videos[number] for number in own])
        assert torch.equal(answer(model, alone, **options)[0], together[row]), row


@pytest.mark.parametrize("num_frames", [1, 3, 11])
def test_any_number_of_frames_may_be_chosen(model, one, num_frames):
    model.config.num_frames = num_frames
    media = {name: value for name, value in one.items() if name not in ("input_ids", "attention_mask")}
    features = model.get_video_features(**media)
    assert features.frame_choice.frame_indices.shape == (1, num_frames)
    assert len(features.last_hidden_state) == num_frames


def test_a_second_question_costs_no_flow(model, processor, videos, one):
    flow, tower = Calls(model.model.flow_model), Calls(model.model.vision_tower)
    inputs, cache = with_cache(model, one)
    assert flow.frames == LENGTHS[0] - 1
    assert torch.equal(answer(model, {**inputs, "video_cache": cache}), answer(model, one))
    flow.frames = tower.frames = 0
    again = answer(model, {**inputs, "video_cache": cache})
    assert (flow.frames, tower.frames) == (0, 0)
    assert torch.equal(again, answer(model, one))
    # Another choice: only frames that the tower has not seen.
    known = cache[0].encoded.tolist()
    wanted = torch.tensor([[known[0], next(frame for frame in range(8) if frame not in known)]])
    flow.frames = tower.frames = 0
    chosen = answer(model, {**inputs, "video_cache": cache, "frame_indices": wanted})
    assert (flow.frames, tower.frames) == (0, 1)
    assert torch.equal(chosen, answer(model, {**one, "frame_indices": wanted}))


def test_the_choice_is_deterministic_unless_asked_otherwise(model, one):
    inputs, cache = with_cache(model, one)
    question = {name: inputs[name] for name in ("sampler_input_ids", "sampler_attention_mask")}
    first, second = (model.select_frames(cache, **question) for _ in range(2))
    assert torch.equal(first.spans, second.spans)
    assert torch.equal(first.spans[:, 0], first.spans[:, 1])
    draws = [
        model.select_frames(cache, **question, frame_generator=torch.Generator().manual_seed(seed)).spans
        for seed in (1, 1, *range(2, 9))
    ]
    assert torch.equal(draws[0], draws[1])
    assert any(not torch.equal(draws[0], other) for other in draws[2:])
    with pytest.raises(ValueError, match="gumbel_noise must be"):
        model.select_frames(cache, **question, gumbel_noise=torch.zeros(2, 2, 3, 1))


def test_padding_in_a_batch_takes_no_part_in_the_choice(model, processor, videos, batch):
    inputs, cache = with_cache(model, batch)
    question = {name: inputs[name] for name in ("sampler_input_ids", "sampler_attention_mask")}
    together = model.select_frames(cache, **question)
    assert together.grounded.tolist() == [True, False, True, True]
    for number, video in enumerate(cache):
        own = {name: rows[number : number + 1] for name, rows in question.items()}
        assert torch.equal(model.select_frames([video], **own).frame_indices[0], together.frame_indices[number])


def test_a_long_clip_falls_back_to_all_candidates(tiny):
    model = tiny.tiny_model()
    model.config.grounding_config.max_position_embeddings = 6
    flow = Calls(model.model.flow_model)
    pixels = torch.randn(1, 8, 3, 64, 64)
    cache = model.get_video_cache(pixels, torch.randn(5, 3, 64, 64), torch.tensor([5]))
    choice = model.select_frames(cache)
    assert flow.frames == 0
    assert not choice.grounded.any()
    assert torch.equal(choice.spans[0], torch.tensor([[0, 4], [0, 4]]))


def test_flow_memory_is_flat_and_chunks_change_nothing(model):
    """RAFT never sees more than a chunk, and of each frame only a vector is kept."""
    grounding, flow_model = model.model.grounding, model.model.flow_model
    size, dim = model.config.grounding_config.flow_size, model.config.grounding_config.hidden_size
    widest = []
    flow_model.register_forward_hook(lambda module, args, output: widest.append(len(args[0])))
    frames = torch.randn(60, 3, size, size)
    with torch.no_grad():
        for count in (10, 60):
            widest.clear()
            features = grounding.encode_flow(flow_model.flow_in_chunks(frames[:count]))
            assert features.shape == (count, dim)
            assert max(widest) <= flow_model.config.flow_chunk_size
        results = []
        for chunk in (1, 7, 100):
            flow_model.config.flow_chunk_size = chunk
            results.append(grounding.encode_flow(flow_model.flow_in_chunks(frames[:20])))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-4, rtol=1e-4)


def test_flow_from_disk_stands_for_its_frames(model, one):
    chunks = model.model.flow_model.flow_in_chunks(one["flow_pixel_values"])
    inputs = {name: value for name, value in one.items() if name != "flow_pixel_values"}
    assert torch.equal(answer(model, {**inputs, "flow": torch.cat(list(chunks))}), answer(model, one))


def test_rows_of_given_frames_may_have_different_lengths(model, batch):
    inputs = dict(batch)
    inputs["frame_indices"] = torch.tensor([[1, 4], [2, -1], [0, 7], [3, -1]])
    features = model.get_video_features(
        **{name: inputs[name] for name in (*SOURCES, "frame_indices")},
        **{name: inputs[name] for name in inputs if name.startswith("qformer")},
    )
    assert len(features.last_hidden_state) == 6
    assert features.frame_choice is None
    with pytest.raises(ValueError, match="frame_indices must lie between 0 and 7"):
        answer(model, {**batch, "frame_indices": torch.full((4, 2), 8)})


def test_images_are_frames_that_nobody_chooses(model, processor):
    image = np.random.default_rng(1).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[image], return_tensors="pt")
    flow = Calls(model.model.flow_model)
    tokens = answer(model, inputs)
    assert tokens.shape == (1, NEW_TOKENS)
    assert flow.frames == 0
    start = {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)} if model.config.is_encoder_decoder else {}
    other = {**inputs, "pixel_values": -inputs["pixel_values"]}
    assert not torch.equal(model(**inputs, **start).logits, model(**other, **start).logits)


def test_placeholders_are_never_predicted(model, one):
    extra = {"decoder_input_ids": torch.zeros(1, 2, dtype=torch.long)} if model.config.is_encoder_decoder else {}
    logits = model(**one, **extra).logits
    assert (logits[..., model.config.num_output_tokens :].softmax(-1) < 1).all()
    assert logits.softmax(-1)[..., model.config.num_output_tokens :].max() == 0


def test_what_is_missing_is_named(model, one):
    inputs = {name: value for name, value in one.items() if name != "flow_pixel_values"}
    with pytest.raises(ValueError, match="needs `flow_pixel_values`"):
        answer(model, inputs)
    with pytest.raises(ValueError, match="needs `sampler_input_ids`"):
        answer(model, {name: value for name, value in one.items() if not name.startswith("sampler")})
    with pytest.raises(ValueError, match="must add up to the flow frames"):
        answer(model, {**one, "num_flow_frames": torch.tensor([3])})


def test_saved_and_loaded_it_answers_the_same(model, one, tmp_path):
    """T5's head is a weight of its own, which the library's T5 would overwrite."""
    embedding = model.get_input_embeddings().weight
    assert not torch.equal(model.lm_head.weight, embedding)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert torch.equal(loaded.get_input_embeddings().weight, embedding)
    assert torch.equal(answer(loaded.eval(), one), answer(model, one))


def test_the_bridge_stays_in_full_precision(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.model.vision_tower.dtype == torch.bfloat16
    for part in (half.model.grounding, half.model.flow_model):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}


def test_gradients_reach_everything_but_the_choice(model, one):
    model.train().requires_grad_(True)
    labels = one["input_ids"].clone()
    labels[labels == model.config.video_token_id] = -100
    model(**one, labels=labels).loss.backward()
    learned = {name.split(".")[1] for name, part in model.named_parameters() if part.grad is not None}
    assert {"vision_tower", "qformer", "query_tokens", "multi_modal_projector", "language_model"} <= learned
    assert not {"grounding", "flow_model"} & learned
