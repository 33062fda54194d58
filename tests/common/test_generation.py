# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What `generate` must do with videos in the prompt, tested from outside on every tiny model.

The generation tester is not among the parts of transformers' own tests that its source distribution ships.
"""

from inspect import signature

import numpy as np
import pytest
import torch
from tiny_models import TINY_MODELS
from transformers import DynamicCache
from transformers.generation import BaseStreamer, GenerationMixin

from video_lmms.modeling.modeling_video_lmm import CACHE_NAMES
from video_lmms.registration import ARCHITECTURES
from video_lmms.training.expansion import expand_videos


NEW_TOKENS = 7
# As the installed transformers calls it: `generate` names it, as it names nothing that models alone know.
CACHE_NAME = next(
    name for name in CACHE_NAMES if name in signature(GenerationMixin.prepare_inputs_for_generation).parameters
)
PROMPTS = ["USER:{0} What is it? ASSISTANT:", "USER:{0} and {0} Which of them is first? ASSISTANT:"]
VIDEOS_OF = [[0], [1, 2]]


# Where an encoder reads the prompt, generation works another way; `tests/modeling` tests it.
DECODER_ONLY = [name for name in TINY_MODELS if not ARCHITECTURES[name].config.is_encoder_decoder]


@pytest.fixture(scope="module", params=DECODER_ONLY)
def tiny(request):
    """A module with `tiny_model()` and `tiny_processor()`."""
    return TINY_MODELS[request.param]


@pytest.fixture(scope="module")
def model(tiny):
    return tiny.tiny_model()


@pytest.fixture(scope="module")
def processor(tiny):
    return tiny.tiny_processor()


@pytest.fixture(scope="module")
def videos():
    return list(np.random.default_rng(0).integers(0, 255, (3, 9, 64, 48, 3), dtype=np.uint8))


@pytest.fixture
def batch(model, processor, videos):
    """Two prompts of different lengths with one and two videos, left-padded."""
    texts = [prompt.format(processor.video_token) for prompt in PROMPTS]
    return expand_videos(model, processor(text=texts, videos=videos, padding=True, return_tensors="pt"))


@pytest.fixture
def members(model, processor, videos):
    """The prompts of the batch one by one, without padding."""
    singles = [
        processor(
            text=prompt.format(processor.video_token), videos=[videos[number] for number in own], return_tensors="pt"
        )
        for prompt, own in zip(PROMPTS, VIDEOS_OF, strict=True)
    ]
    return [expand_videos(model, single) for single in singles]


def encoded(model, batch, modality="video"):
    """The same inputs with features in place of pixels."""
    inputs, encode = dict(batch), getattr(model, f"get_{modality}_features")
    with torch.no_grad():
        features = encode(**{name: inputs.pop(name) for name in signature(encode).parameters if name in inputs})
    return {**inputs, "mm_encoder_outputs": {modality: features}}


def answer(model, inputs, **options):
    """Ids of the new tokens only."""
    settings = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **options}
    torch.manual_seed(0)
    ids = model.generate(**inputs, **settings)
    return ids[:, -NEW_TOKENS:]


@torch.no_grad()
def test_greedy_is_a_loop_of_forward_passes(model, batch):
    inputs = dict(batch)
    suppressed = [*model.generation_config.suppress_tokens, model.config.text_config.eos_token_id]
    for _ in range(NEW_TOKENS):
        logits = model(**inputs, logits_to_keep=1).logits[:, -1]
        logits[:, suppressed] = -torch.inf
        chosen = logits.argmax(-1, keepdim=True)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], chosen], dim=1)
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(chosen)], dim=1)
    assert torch.equal(answer(model, batch), inputs["input_ids"][:, -NEW_TOKENS:])


@pytest.mark.parametrize(
    "options",
    [
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 3},
        {"logits_to_keep": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_ways_to_decode_greedily_agree(model, members, options):
    for inputs in members:  # prompt lookup takes one prompt at a time
        assert torch.equal(answer(model, inputs, **options), answer(model, inputs))


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}], ids=str)
def test_a_batch_answers_as_its_members(model, batch, members, options):
    together = answer(model, batch, **options)
    alone = torch.cat([answer(model, inputs, **options) for inputs in members])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True},
        {"do_sample": True, "num_return_sequences": 3},
        {"num_beams": 3},
        {"num_beams": 2, "do_sample": True, "num_return_sequences": 2},
        {"use_cache": False},
        {"num_beams": 2, "use_cache": False},
    ],
    ids=str,
)
def test_encoded_features_answer_as_pixels(model, batch, options):
    expected = answer(model, batch, **options)
    assert len(expected) == len(PROMPTS) * options.get("num_return_sequences", 1)
    assert torch.equal(answer(model, encoded(model, batch), **options), expected)


@torch.no_grad()
def test_the_video_weighs_on_the_answer(model, members):
    """Otherwise most tests of this file would pass with features that never arrive.

    Random weights may well choose the same words for two videos; what they think of all words must differ by far more
    than rounding does.
    """
    inputs = members[0]
    other = {name: -value if name.startswith("pixel_values") else value for name, value in inputs.items()}
    logits, others = (model(**each, logits_to_keep=1).logits for each in (inputs, other))
    assert (logits - others).abs().max() > 1e-2  # of logits around 1


@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "features"])
def test_generation_from_embeddings(model, batch, pixels):
    inputs = dict(batch) if pixels else encoded(model, batch)
    expected = answer(model, inputs)
    inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
    assert torch.equal(answer(model, inputs), expected)
    assert torch.equal(answer(model, inputs, num_beams=2), answer(model, batch, num_beams=2))


def test_a_second_turn_needs_no_pixels(model, processor, members):
    """Keys and values of the first turn, or its features, stand in for the video."""
    first = members[0]
    cache = {CACHE_NAME: DynamicCache(config=model.config.text_config)}
    spoken = model.generate(**first, **cache, max_new_tokens=NEW_TOKENS, do_sample=False)
    question = processor.tokenizer(" USER: And then? ASSISTANT:", add_special_tokens=False, return_tensors="pt")
    ids = torch.cat([spoken, question["input_ids"]], dim=1)
    second = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = answer(model, {**first, **second})
    features = encoded(model, first)["mm_encoder_outputs"]
    assert torch.equal(answer(model, {**second, "mm_encoder_outputs": features}), expected)
    assert torch.equal(answer(model, second, **cache), expected)


@pytest.mark.skipif(
    not hasattr(GenerationMixin, "_supports_mm_encoder_outputs"),
    reason="this transformers cuts a prompt into chunks without cutting its media",
)
@pytest.mark.parametrize("chunk", [5, 16, 1000])
def test_a_chunked_prefill_changes_nothing(model, batch, chunk):
    expected = answer(model, batch)
    assert torch.equal(answer(model, batch, prefill_chunk_size=chunk), expected)
    assert torch.equal(answer(model, encoded(model, batch), prefill_chunk_size=chunk), expected)


def test_scores_and_states_have_their_shapes(tiny, batch):
    settings = {"output_scores": True, "output_logits": True, "output_hidden_states": True}
    with torch.no_grad():
        eager = tiny.tiny_model()
        eager.set_attn_implementation("eager")
        output = eager.generate(
            **batch,
            **settings,
            output_attentions=True,
            return_dict_in_generate=True,
            max_new_tokens=3,
            min_new_tokens=3,
            do_sample=False,
        )
    rows, length = batch["input_ids"].shape
    text = eager.config.text_config
    assert [score.shape for score in output.scores] == [(rows, text.vocab_size)] * 3
    assert [step[-1].shape for step in output.hidden_states] == [
        (rows, width, text.hidden_size) for width in (length, 1, 1)
    ]
    assert [step[0].shape for step in output.attentions] == [
        (rows, text.num_attention_heads, query, length + place) for place, query in enumerate((length, 1, 1))
    ]
    assert output[CACHE_NAME].get_seq_length() == length + 2


def test_text_and_images_generate_too(model, processor):
    text = processor(text="USER: Hello ASSISTANT:", return_tensors="pt")
    assert answer(model, text).shape == (1, NEW_TOKENS)
    frame = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    image = processor(text=PROMPTS[0].format(processor.image_token), images=[frame], return_tensors="pt")
    assert "pixel_values" in image
    for options in ({}, {"num_beams": 2}):
        expected = answer(model, image, **options)
        assert torch.equal(answer(model, encoded(model, image, "image"), **options), expected)


def test_a_streamer_hears_every_token(model, members):
    class Listener(BaseStreamer):
        def __init__(self):
            self.heard = []

        def put(self, value):
            self.heard.append(value.flatten())

        def end(self):
            self.heard.append(None)

    inputs, listener = members[0], Listener()
    expected = answer(model, inputs, streamer=listener)
    prompt, *tokens, end = listener.heard
    assert torch.equal(prompt, inputs["input_ids"][0])
    assert torch.equal(torch.cat(tokens), expected[0])
    assert end is None
