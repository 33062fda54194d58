# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""LongVU's model beside the goldens: batches, questions, training, streaming, saving."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from video_lmms.conversion_scripts.convert_longvu import convert
from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration


ORIGINAL = Path(__file__).parents[1] / "goldens" / "longvu" / "qwen2_video_144_8"
TOWERS = ORIGINAL / "vision_towers"
PIXELS = ("pixel_values_videos", "pixel_values_videos_dinov2", "num_frames", "video_sizes")
GREEDY = {"do_sample": False, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return convert(
        ORIGINAL / "checkpoint",
        TOWERS / "google" / "siglip-so400m-patch14-384",
        TOWERS / "facebook" / "dinov2-giant",
        tmp_path_factory.mktemp("longvu") / "model",
        dinov2_image_size=54,
        dtype="float32",
    )


@pytest.fixture
def model(folder):
    return AutoModelForImageTextToText.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def processor(folder):
    return AutoProcessor.from_pretrained(folder)


def video(frames, seed=0, size=(36, 64)):
    """Noise over a scene that changes every five frames, so that some frames repeat and some do not."""
    random = np.random.default_rng(seed)
    scenes = random.integers(0, 255, (frames // 5 + 1, *size, 3))
    noise = random.integers(-20, 20, (frames, *size, 3))
    return (scenes[np.arange(frames) // 5] + noise).clip(0, 255).astype(np.uint8)


def chat(*videos, question="What moves?"):
    parts = [{"type": "video", "video": clip} for clip in videos]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def encode(processor, *chats, side="left", **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    options = {"padding": True, "padding_side": side} | options
    return processor.apply_chat_template(list(chats), **settings, processor_kwargs=options)


def count_calls(module):
    """Counts a module's calls from now on."""
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


RAGGED = {
    "few frames": lambda: chat(video(3)),
    "mixed stage": lambda: chat(video(13, seed=1), question="Hello, who are you?"),
    "thinned": lambda: chat(video(40, seed=2)),
    "no video": lambda: chat(question="Hello."),
    "two videos": lambda: chat(video(9, seed=3), video(4, seed=4, size=(64, 36)), question="Same?"),
    "one frame": lambda: chat(video(1, seed=5, size=(54, 54))),
}


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_ragged_batch_equals_its_members(model, processor, side):
    model.config.dino_threshold = 0.7
    chats = [make() for make in RAGGED.values()]
    batch = model.expand_video_tokens(**encode(processor, *chats, side=side))
    logits = model(**batch.text, mm_encoder_outputs=batch.mm_encoder_outputs).logits
    mask = batch.text["attention_mask"].bool()
    assert bool(mask[:, -1].all()) is (side == "left")
    stages = [selection.stage for selection in batch.video_selection]
    assert set(stages) >= {"full", "mix"}
    for row, (name, one) in enumerate(zip(RAGGED, chats, strict=True)):
        inputs = encode(processor, one)
        if "pixel_values_videos" in inputs:
            single = model.expand_video_tokens(**inputs)
            expected = model(**single.text, mm_encoder_outputs=single.mm_encoder_outputs).logits[0]
        else:
            expected = model(**inputs).logits[0]
        torch.testing.assert_close(logits[row][mask[row]], expected, atol=2e-4, rtol=0, msg=name)


def test_a_ragged_batch_generates_as_its_members(model, processor):
    chats = [make() for make in RAGGED.values()]
    inputs = encode(processor, *chats)
    answers = model.generate(**inputs, **GREEDY)
    assert torch.equal(answers[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])
    for row, one in enumerate(chats):
        single = encode(processor, one)
        expected = model.generate(**single, **GREEDY)[0, single["input_ids"].shape[1] :]
        actual = answers[row, inputs["input_ids"].shape[1] :][: len(expected)]
        assert torch.equal(actual, expected)


def test_beams_and_returned_sequences(model, processor):
    inputs = encode(processor, chat(video(13)), chat(video(3, seed=7), question="Hello, who are you?"))
    output = model.generate(
        **inputs, **GREEDY, num_beams=3, num_return_sequences=2, return_dict_in_generate=True, output_scores=True
    )
    length = inputs["input_ids"].shape[1]
    assert torch.equal(output.sequences[::2, :length], inputs["input_ids"])
    for row, one in enumerate([chat(video(13)), chat(video(3, seed=7), question="Hello, who are you?")]):
        single = encode(processor, one)
        expected = model.generate(**single, **GREEDY, num_beams=3)[0, single["input_ids"].shape[1] :]
        assert torch.equal(output.sequences[2 * row, length:][: len(expected)], expected)


def test_a_second_question_starts_from_the_cache(model, processor):
    clip = video(24, seed=1)
    first, second = (encode(processor, chat(clip, question=text)) for text in ("What moves?", "Hello, who are you?"))
    with torch.no_grad():
        cache = model.get_video_cache(
            **{name: first[name] for name in (*PIXELS, "num_prompt_tokens", "context_budgets")}
        )
    calls = [count_calls(module) for module in (model.model.vision_tower, model.model.dinov2_tower)]
    calls.append(count_calls(model.model.aggregator))
    text = {name: value for name, value in second.items() if name not in PIXELS}
    answer = model.generate(**text, **GREEDY, video_cache=cache)
    assert not any(calls)
    assert torch.equal(answer, model.generate(**second, **GREEDY))
    assert all(calls)


@torch.no_grad()
def test_a_longer_second_prompt_may_drop_frames(model, processor):
    """At the border of the budget the cache knows which frames a longer prompt would have dropped."""
    model.config.dino_threshold = 0.7
    clip = video(12, seed=1)
    short = encode(processor, chat(clip, question="What?"))
    long = encode(processor, chat(clip, question="Hello, who are you? " * 40))
    assert len(clip) < model.model.frame_capacity(model.model.budgets(1, short["num_prompt_tokens"], None, None)[0])
    cache = model.get_video_cache(**{name: short[name] for name in (*PIXELS, "num_prompt_tokens")})
    text = {name: value for name, value in long.items() if name not in PIXELS}
    expected = model.expand_video_tokens(**long)
    actual = model.expand_video_tokens(**text, video_cache=cache)
    assert len(expected.video_selection[0].frames) < len(clip)
    assert torch.equal(actual.video_selection[0].frames, expected.video_selection[0].frames)
    assert torch.equal(actual.text["input_ids"], expected.text["input_ids"])
    features, wanted = (expansion.mm_encoder_outputs["video"].pooler_output[0] for expansion in (actual, expected))
    torch.testing.assert_close(features, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [3, 13, 40])
def test_training_repeats_the_selection_with_gradients(model, processor, frames):
    inputs = encode(processor, chat(video(frames, seed=1)), side="right")
    labels = inputs["input_ids"].clone()
    with torch.no_grad():
        expansion = model.expand_video_tokens(**inputs, labels=labels)
        expected = model(**expansion.text, mm_encoder_outputs=expansion.mm_encoder_outputs)
    text = expansion.text
    visual = text["input_ids"] == model.config.video_token_id
    assert (text["labels"][visual] == -100).all()
    assert torch.equal(text["labels"][~visual], labels[labels != model.config.video_token_id])
    pixels = {name: inputs[name] for name in PIXELS}
    outputs = model(**text, **pixels, video_selection=expansion.video_selection)
    torch.testing.assert_close(outputs.logits, expected.logits, atol=2e-5, rtol=0)
    outputs.loss.backward()
    for parameter in (model.model.aggregator.query, model.model.image_newline):
        assert parameter.grad.abs().sum() > 0
    # The base model alone, as trainers that fuse the head call it.
    text.pop("labels")
    hidden = model.model(**text, **pixels, video_selection=expansion.video_selection).last_hidden_state
    torch.testing.assert_close(model.lm_head(hidden), outputs.logits, atol=2e-5, rtol=0)


@torch.no_grad()
def test_selection_survives_a_step_of_the_weights(model, processor):
    """A count that current weights would change stays what the text has room for."""
    inputs = encode(processor, chat(video(40, seed=1)))
    expansion = model.expand_video_tokens(**inputs)
    for parameter in model.model.tower_projectors.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    pixels = {name: inputs[name] for name in PIXELS}
    model(**expansion.text, **pixels, video_selection=expansion.video_selection)


@torch.no_grad()
def test_frames_are_chosen_from_a_stream(model, processor):
    model.config.dino_threshold = 0.7
    inputs = encode(processor, chat(video(70, seed=3)))
    pixels = inputs["pixel_values_videos_dinov2"]
    cache = model.get_video_cache(**{name: inputs[name] for name in (*PIXELS, "num_prompt_tokens")})[0]
    n_in = int(inputs["num_prompt_tokens"])
    for chunk in (16, 32, 64):
        frames = model.model.select_frames(iter(pixels.split(chunk)), len(pixels), n_in)
        assert torch.equal(frames, cache.frames)
    assert 0 < len(frames) < len(pixels)
    kept = {name: inputs[name][frames] for name in PIXELS[:2]}
    kept |= {"num_frames": torch.tensor([len(frames)]), "video_sizes": inputs["video_sizes"]}
    streamed = model.get_video_cache(**kept, selected_frames=[torch.arange(len(frames))])[0]
    expected = cache.outputs.last_hidden_state
    torch.testing.assert_close(streamed.outputs.last_hidden_state, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("max_frames", [5, 12, 400])
@torch.no_grad()
def test_few_maps_are_held(model, processor, max_frames):
    """Beyond the cap maps are not collected; the result does not change."""
    model.config.max_frames, model.config.dino_threshold = max_frames, 0.7
    inputs = encode(processor, chat(video(50, seed=3)))
    held = []
    scan = model.model.scan_frames(inputs["pixel_values_videos_dinov2"].split(16), keep_all=False)
    if scan.maps is not None:
        held.append(len(scan.maps))
        assert len(scan.maps) == len(scan.frames)
    assert all(count <= max_frames for count in held)
    assert len(scan.frames) <= max_frames
    cache = model.get_video_cache(**{name: inputs[name] for name in (*PIXELS, "num_prompt_tokens")})[0]
    assert torch.equal(cache.frames, scan.frames)
    again = model.get_video_cache(**{name: inputs[name] for name in PIXELS}, selected_frames=[scan.frames])[0]
    expected = again.outputs.last_hidden_state
    torch.testing.assert_close(cache.outputs.last_hidden_state, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_chunks_do_not_change_the_result(model, processor):
    inputs = encode(processor, chat(video(37, seed=1)))
    expected = model.expand_video_tokens(**inputs)
    for chunk in (1, 16, 20, 1000):
        model.config.vision_chunk_size = chunk
        actual = model.expand_video_tokens(**inputs)
        assert torch.equal(actual.text["input_ids"], expected.text["input_ids"])
        pair = [entry.mm_encoder_outputs["video"].pooler_output[0] for entry in (actual, expected)]
        torch.testing.assert_close(*pair, atol=1e-5, rtol=0)


def test_save_and_reload_are_exact(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert again.config.to_dict() | {"_name_or_path": ""} == model.config.to_dict() | {"_name_or_path": ""}
    expected = model.state_dict()
    assert again.state_dict().keys() == expected.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    inputs = encode(processor, chat(video(13)))
    assert torch.equal(again.generate(**inputs, **GREEDY), model.generate(**inputs, **GREEDY))


@pytest.mark.parametrize("text_type", ["qwen2", "llama"])
@pytest.mark.parametrize("image_token_len", [16, 64])
def test_fresh_models_of_both_families_and_stages(text_type, image_token_len, tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 2}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LongvuConfig(
        vision_config=sizes | {"intermediate_size": 32},
        dinov2_config=sizes,
        text_config=text | {"model_type": text_type, "num_key_value_heads": 1, "vocab_size": 50},
        image_token_id=49,
        video_token_id=49,
        grid_size=8,
        vision_hidden_size=32,
        aggregator_heads=4,
        image_token_len=image_token_len,
        lowres_token=2,
        highres=image_token_len == 16,
    )
    model = LongvuForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    assert model.model.aggregator.query.std() > 0.05
    assert model.model.image_newline.std() > 0.05
    windows = [position for layer in model.model.aggregator.layers for position in layer.window_position]
    assert bool(windows) is (image_token_len == 16)
    pixels = torch.randn(3, 3, 16, 16)
    inputs = dict(zip(PIXELS, (pixels, pixels, torch.tensor([3]), torch.tensor([[9, 16]])), strict=True))
    features = again.model.get_video_features(**inputs).pooler_output
    rows, columns = (4, 2) if image_token_len == 16 else (8, 4)
    assert [len(entry) for entry in features] == [3 * rows * (columns + 1)]
    image = again.model.get_image_features(pixels, pixels, torch.tensor([[16, 9]] * 3)).pooler_output
    expected = 2 * 3 if image_token_len == 16 else 4 * 9
    assert [len(entry) for entry in image] == [expected] * 3


@torch.no_grad()
def test_images_of_different_sizes_in_one_batch(model, processor):
    pictures = [video(1, seed=seed, size=size)[0] for seed, size in enumerate([(36, 64), (64, 36), (30, 900)])]
    batch = processor.image_processor(images=pictures, return_tensors="pt")
    together = model.model.get_image_features(**batch).pooler_output
    model.config.vision_chunk_size = 2
    for number, picture in enumerate(pictures):
        inputs = processor.image_processor(images=[picture], return_tensors="pt")
        (alone,) = model.model.get_image_features(**inputs).pooler_output
        torch.testing.assert_close(together[number], alone, atol=1e-5, rtol=0)
        assert len(alone) == processor.num_image_tokens(picture.shape[1], picture.shape[0])
    model.config.image_full_resolution = True
    full = model.model.get_image_features(**batch).pooler_output
    assert len(full[0]) > len(together[0])


def test_true_aspect_crops_the_padding(model, processor):
    clip = video(2)
    trained = encode(processor, chat(clip))
    mended = encode(processor, chat(clip), videos_kwargs={"true_aspect": True})
    assert trained["video_sizes"].tolist() == [[36, 64]]
    assert mended["video_sizes"].tolist() == [[64, 36]]


# Mistakes


def test_an_unexpanded_prompt_is_told(model, processor):
    inputs = encode(processor, chat(video(2)))
    with pytest.raises(ValueError, match="Call `expand_video_tokens` first"):
        model(**inputs)


def test_expanding_needs_one_placeholder_per_video(model, processor):
    inputs = encode(processor, chat(video(2)))
    inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == model.config.video_token_id, 5)
    with pytest.raises(ValueError, match="hold 0 placeholders .* but 1 videos"):
        model.expand_video_tokens(**inputs)


def test_a_prompt_without_room_is_refused(model, processor):
    inputs = encode(processor, chat(video(2)), context_length=60)
    with pytest.raises(ValueError, match="leaves no room for its video: prompt and video may fill 44"):
        model.generate(**inputs, **GREEDY)


def test_the_question_is_asked_for_where_it_decides(model, processor):
    inputs = encode(processor, chat(video(10)))
    for name in ("query_input_ids", "query_attention_mask"):
        inputs.pop(name)
    with pytest.raises(ValueError, match="needs `query_input_ids`"):
        model.expand_video_tokens(**inputs)


def test_media_given_twice(model, processor):
    inputs = encode(processor, chat(video(2)))
    expansion = model.expand_video_tokens(**inputs)
    pixels = {name: inputs[name] for name in PIXELS}
    with pytest.raises(ValueError, match="video input is given twice"):
        model(**expansion.text, **pixels, mm_encoder_outputs=expansion.mm_encoder_outputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_token_len": 100}, "square of a divisor of grid_size"),
        ({"lowres_token": 12}, "lowres_token must lie between 1 and 11, got 12"),
        ({"dino_threshold": 0}, "dino_threshold must be positive"),
        ({"reserve": 9000}, "reserve must lie between 0 and context_length = 8192"),
        ({"group_size": 0}, "group_size must be at least 1"),
        ({"text_config": {"model_type": "gpt2"}}, "must be one of qwen2, llama, got 'gpt2'"),
    ],
)
def test_configurations_that_make_no_sense(change, message):
    with pytest.raises(Exception, match=message):
        LongvuConfig(**change)
