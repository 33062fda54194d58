# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What vLLM's "Transformers modeling backend" asks of a model and its processor, one test for each requirement.

vLLM itself is not needed, and not here: the tests do to our classes what its documentation and source say it does.
LongVU and VideoTGB are outside its reach, and the last test holds the reasons.
"""

from __future__ import annotations

import inspect
import json
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_models import TINY_MODELS
from torch import nn
from transformers import AttentionInterface, AutoModel

from video_lmms.hub import bundle


SERVABLE = ["apollo", "pllava", "video_llama"]
# What vLLM passes to a processor whose rows it has to tell apart; see `ApolloVideoProcessorKwargs`.
PROCESSOR_KWARGS = {"apollo": {"return_video_grid": True}}
# Frames of two videos of a request. PLLaVA's share one tensor, so that a server loads equally many of each.
FRAMES = {"apollo": [5, 8], "pllava": [6, 6], "video_llama": [5, 8]}


@pytest.fixture(scope="module", params=SERVABLE)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return TINY_MODELS[name].tiny_model()


@pytest.fixture(scope="module")
def processor(name):
    return TINY_MODELS[name].tiny_processor()


@pytest.fixture(scope="module")
def folder(name, model, processor, tmp_path_factory):
    target = tmp_path_factory.mktemp("bundle") / name
    bundle(model, processor, target)
    return target


def clip(frames, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (frames, 40, 48, 3), dtype=np.uint8)


def processed(name, processor, **options):
    """One prompt with two videos of different lengths, as vLLM's processing asks for it."""
    text = f"{processor.video_token} and {processor.video_token} differ how?"
    return processor(
        text=text,
        videos=[clip(frames, seed) for seed, frames in enumerate(FRAMES[name])],
        video_metadata=[{"total_num_frames": frames, "fps": 2.0} for frames in FRAMES[name]],
        do_sample_frames=False,
        return_text_replacement_offsets=True,
        return_tensors="pt",
        **PROCESSOR_KWARGS.get(name, {}),
        **options,
    )


def video_counts(name, processor):
    sizes = [(frames, 40, 48) for frames in FRAMES[name]]
    return processor._get_num_multimodal_tokens(video_sizes=sizes)["num_video_tokens"]


def video_tensors(processor, outputs):
    """Those of videos; the grid belongs to them by its name."""
    names = [*processor.video_processor.model_input_names, "video_grid_thw"]
    return {key: value for key, value in outputs.items() if key in names}


def test_1_auto_model_of_the_bundle_is_the_base_model(folder, model):
    config = json.loads((folder / "config.json").read_text())
    base = type(model.base_model)
    assert config["auto_map"]["AutoModel"].split(".")[-1] == base.__name__
    with torch.device("meta"):
        built = AutoModel.from_config(model.config)
    assert type(built) is base
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}
    assert built.language_model is built.get_decoder()
    assert not hasattr(built, "lm_head")


def test_2_attention_goes_through_the_interface_with_its_arguments(model):
    """vLLM registers an implementation of its own and hands every layer's instance through the base model."""
    seen = []

    def attention(module, query, key, value, attention_mask, **kwargs):
        seen.append((module.layer_idx, kwargs["attention_instances"][module.layer_idx]))
        output = nn.functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(query.shape[1] // key.shape[1], 1),
            value.repeat_interleave(query.shape[1] // key.shape[1], 1),
        )
        return output.transpose(1, 2).contiguous(), None

    AttentionInterface.register("engine", attention)
    base = model.base_model
    assert base._supports_attention_backend
    before = base.language_model.config._attn_implementation
    base.language_model.set_attn_implementation("engine")
    try:
        embeddings = base.get_input_embeddings()(torch.tensor([[5, 6, 7]]))
        instances = {layer: object() for layer in range(len(base.language_model.layers))}
        with torch.no_grad():
            output = base(
                inputs_embeds=embeddings,
                position_ids=torch.arange(3)[None],
                attention_instances=instances,
                use_cache=False,
                return_dict=False,
            )
    finally:
        base.language_model.set_attn_implementation(before)
    assert output[0].shape == embeddings.shape
    assert seen == list(instances.items())


def test_3_weights_have_native_names(folder):
    names = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            names += weights.keys()
    assert names
    assert all(entry.startswith(("model.", "lm_head.")) for entry in names)


def test_4_every_video_has_one_replacement_whose_commonest_token_is_the_placeholder(name, processor):
    assert processor.video_token_id == processor.tokenizer.convert_tokens_to_ids(processor.video_token)
    assert processor.image_token_id == processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    assert {processor.video_token_id} <= set(processor.video_token_ids)
    if name == "apollo":  # with fewer tokens than a published clip has, the words between them would be more
        processor = TINY_MODELS[name].tiny_processor()
        processor.video_processor.tokens_per_clip = type(processor.video_processor).tokens_per_clip
    outputs = processed(name, processor)
    (offsets,) = outputs["text_replacement_offsets"]
    assert [entry["type"] for entry in offsets] == ["video", "video"]
    ids = outputs["input_ids"][0].tolist()
    for entry, tokens in zip(offsets, video_counts(name, processor), strict=True):
        found = processor.tokenizer(entry["replacement"], add_special_tokens=False)["input_ids"]
        assert Counter(found).most_common(1) == [(processor.video_token_id, tokens)]
        # What is encoded alone is what stands in the prompt.
        assert any(ids[place : place + len(found)] == found for place in range(len(ids)))


def test_5_tokens_are_counted_from_sizes_alone(name, processor):
    outputs = processed(name, processor)
    counts = video_counts(name, processor)
    assert sum(counts) == int((outputs["input_ids"] == processor.video_token_id).sum())
    images = processor._get_num_multimodal_tokens(image_sizes=[(40, 48), (10_000, 10_000)])
    assert len(images["num_image_tokens"]) == len(images["num_image_patches"]) == 2
    both = processor._get_num_multimodal_tokens(image_sizes=[(40, 48)], video_sizes=[(5, 40, 48)])
    assert both["num_image_tokens"] == images["num_image_tokens"][:1]
    assert both["num_video_tokens"] == counts[:1]
    assert processor._get_num_multimodal_tokens(video_sizes=[(5, 40, 48)])["num_image_tokens"] is None
    text = f"What is in {processor.image_token}?"
    picture = processor(text=text, images=[clip(1)[0]], return_tensors="pt")
    assert int((picture["input_ids"] == processor.image_token_id).sum()) == images["num_image_tokens"][0]


def test_6_rows_of_every_tensor_belong_to_a_video(name, processor):
    outputs = processed(name, processor)
    texts = {"input_ids", "attention_mask", "text_replacement_offsets", "token_type_ids"}
    tensors = video_tensors(processor, outputs)
    assert set(outputs) - texts == set(tensors), "not in `model_input_names`"
    grid = outputs.get("video_grid_thw")
    patches = len(FRAMES[name]) if grid is None else int(grid.prod(-1).sum())
    permitted = {len(FRAMES[name]), patches, sum(video_counts(name, processor))}
    assert {len(value) for value in tensors.values()} <= permitted


def test_7_features_come_one_entry_per_video(name, model, processor):
    base = model.base_model
    tensors = video_tensors(processor, processed(name, processor))
    first, *rest = inspect.signature(base.get_video_features).parameters.values()
    assert first.name == "pixel_values_videos"
    assert set(tensors) <= {first.name, *(parameter.name for parameter in rest)}
    with torch.no_grad():
        features = base.get_video_features(**tensors).pooler_output
    assert [len(entry) for entry in features] == video_counts(name, processor)
    assert base.get_encoder("video") is base.vision_tower
    hints = inspect.signature(type(base.vision_tower).forward).parameters
    tensor_hints = [hint for key, hint in hints.items() if key.startswith("pixel_values")]
    assert tensor_hints
    assert all("Tensor" in str(hint.annotation) for hint in tensor_hints)


def test_7_a_video_is_encoded_the_same_alone(name, model, processor):
    """vLLM keeps what it made of a video and uses it beside others."""
    outputs = processed(name, processor)
    with torch.no_grad():
        together = model.base_model.get_video_features(**video_tensors(processor, outputs)).pooler_output
        for seed, (frames, expected) in enumerate(zip(FRAMES[name], together, strict=True)):
            alone = processor(
                text=processor.video_token,
                videos=[clip(frames, seed)],
                video_metadata=[{"total_num_frames": frames, "fps": 2.0}],
                do_sample_frames=False,
                return_tensors="pt",
                **PROCESSOR_KWARGS.get(name, {}),
            )
            (found,) = model.base_model.get_video_features(**video_tensors(processor, alone)).pooler_output
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_8_the_language_model_brings_its_plans(model):
    language_model = model.base_model.language_model
    assert language_model.config.base_model_tp_plan
    assert language_model.config.base_model_pp_plan


def test_prompt_embeddings_are_merged_outside(name, model, processor):
    """vLLM writes features over placeholders itself and gives the base model embeddings: the result is ours."""
    outputs = processed(name, processor)
    tensors = video_tensors(processor, outputs)
    base, ids = model.base_model, outputs["input_ids"]
    with torch.no_grad():
        features = torch.cat(list(base.get_video_features(**tensors).pooler_output))
        embeddings = base.get_input_embeddings()(ids)
        embeddings[ids == processor.video_token_id] = features.to(embeddings)
        positions = torch.arange(ids.shape[1])[None]
        merged = base(inputs_embeds=embeddings, position_ids=positions, use_cache=False, return_dict=False)[0]
        whole = base(input_ids=ids, **tensors).last_hidden_state
    torch.testing.assert_close(merged, whole, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_served_and_why():
    longvu, videotgb = TINY_MODELS["longvu"], TINY_MODELS["videotgb"]
    # The number of LongVU's tokens is known when the video has been seen and the question read.
    counts = longvu.tiny_processor()._get_num_multimodal_tokens(video_sizes=[(60, 40, 48)])
    assert counts["num_video_tokens"] == [1]
    assert hasattr(longvu.tiny_model(), "expand_video_tokens")
    # VideoTGB's frames are chosen by the question, and its Q-Former reads the prompt.
    needed = inspect.signature(videotgb.tiny_model().base_model.get_video_features).parameters
    assert {"sampler_input_ids", "qformer_input_ids"} <= set(needed)
    assert not {"sampler_input_ids", "qformer_input_ids"} & set(
        videotgb.tiny_processor().video_processor.model_input_names
    )
