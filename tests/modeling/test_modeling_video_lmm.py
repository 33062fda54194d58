# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The skeleton that all models share, and what trainers and libraries do with a model built on it."""

import copy

import pytest
import torch
from tiny_pllava import NUM_FRAMES, POOLING_SHAPE, tiny_config, tiny_model
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration, PllavaModel
from video_lmms.modeling.modeling_video_lmm import concatenate, encode_in_chunks, find_placeholders, merge_features


TOKENS = POOLING_SHAPE[0] * POOLING_SHAPE[1] * POOLING_SHAPE[2]


@pytest.fixture
def model():
    return tiny_model()


def video_batch(rows=2, text=6):
    """Prompts of one video each, and labels on the text behind it."""
    generator = torch.Generator().manual_seed(0)
    config = tiny_config()
    ids = torch.randint(3, 400, (rows, TOKENS + text), generator=generator)
    ids[:, :TOKENS] = config.video_token_id
    size = config.vision_config.image_size
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values_videos": torch.randn(rows, NUM_FRAMES, 3, size, size, generator=generator),
        "labels": ids.masked_fill(ids == config.video_token_id, -100),
    }


# Pieces of the skeleton


def test_placeholders_are_found_by_id_and_by_embedding():
    embedding = torch.nn.Embedding(6, 3)
    ids = torch.tensor([[1, 5, 5], [5, 2, 5]])
    by_id = find_placeholders(5, ids, None, embedding)
    assert by_id.tolist() == [[False, True, True], [True, False, True]]
    assert torch.equal(find_placeholders(5, None, embedding(ids), embedding), by_id)


def test_kinds_of_media_are_merged_apart():
    embedding = torch.nn.Embedding(10, 2)
    ids = torch.tensor([[8, 1, 9], [9, 8, 8]])
    images, videos = torch.full((3, 1, 2), 5.0), [torch.full((1, 2), 6.0), torch.full((1, 2), 7.0)]
    merged = merge_features(ids, embedding(ids), {8: images, 9: videos}, embedding)
    assert (merged[ids == 8] == 5).all()
    assert merged[ids == 9][:, 0].tolist() == [6, 7]
    assert torch.equal(merged[0, 1], embedding.weight[1])


@pytest.mark.parametrize(("rows", "counts"), [(1, "2 placeholders .* 1 feature"), (3, "2 placeholders .* 3 feature")])
def test_a_wrong_number_of_features_is_counted(rows, counts):
    embedding = torch.nn.Embedding(10, 2)
    ids = torch.tensor([[9, 1, 9]])
    for known in (ids, None):
        with pytest.raises(ValueError, match=counts):
            merge_features(known, embedding(ids), {9: torch.zeros(1, rows, 2)}, embedding)


def test_features_take_the_type_of_the_text():
    embedding = torch.nn.Embedding(10, 2, dtype=torch.bfloat16)
    ids = torch.tensor([[9]])
    assert merge_features(ids, embedding(ids), {9: torch.ones(1, 1, 2)}, embedding).dtype == torch.bfloat16


def test_outputs_are_joined_field_by_field():
    def encode(rows):
        return BaseModelOutputWithPooling(last_hidden_state=rows, hidden_states=(rows + 1, rows + 2))

    rows = torch.arange(10.0).view(5, 2)
    whole = encode(rows)
    for chunk in (1, 2, 4, 5, 6):
        joined = encode_in_chunks(encode, rows, chunk)
        assert isinstance(joined, BaseModelOutputWithPooling)
        assert joined.pooler_output is None
        assert torch.equal(joined.last_hidden_state, whole.last_hidden_state)
        for mine, theirs in zip(joined.hidden_states, whole.hidden_states, strict=True):
            assert torch.equal(mine, theirs)
    assert torch.equal(concatenate([rows, rows]), torch.cat([rows, rows]))


# What the head class offers


@torch.no_grad()
def test_features_have_an_entry_per_video(model):
    pixels = video_batch(rows=3)["pixel_values_videos"]
    features = model.get_video_features(pixels)
    assert features.pooler_output.shape == (3, TOKENS, model.config.text_config.hidden_size)
    assert len(features.last_hidden_state) == 3 * NUM_FRAMES
    assert torch.equal(model.model.get_video_features(pixels).pooler_output, features.pooler_output)
    assert isinstance(model.get_video_features(pixels, return_dict=False), tuple)
    image = model.get_image_features(pixels[:, 0]).pooler_output
    assert image.shape == features.pooler_output.shape
    assert model.get_encoder(modality="video") is model.model.vision_tower
    assert model.get_decoder() is model.model.language_model


@torch.no_grad()
def test_only_kept_positions_get_logits(model):
    inputs = video_batch()
    inputs.pop("labels")
    logits = model(**inputs).logits
    torch.testing.assert_close(model(**inputs, logits_to_keep=2).logits, logits[:, -2:], atol=1e-6, rtol=0)
    places = torch.tensor([0, TOKENS])
    torch.testing.assert_close(model(**inputs, logits_to_keep=places).logits, logits[:, places], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_loss_is_the_shifted_cross_entropy(model):
    inputs = video_batch()
    output = model(**inputs)
    expected = torch.nn.functional.cross_entropy(
        output.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten()
    )
    torch.testing.assert_close(output.loss, expected)
    hidden = model.model(**{name: inputs[name] for name in inputs if name != "labels"}).last_hidden_state
    torch.testing.assert_close(model.lm_head(hidden), output.logits)  # how TRL computes its fused loss


# What trainers and libraries do


def gradients(model, inputs):
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_changes_no_gradient(model):
    inputs = video_batch()
    model.train()
    loss, plain = gradients(model, inputs)
    # `activation_checkpointing_enable` is the newer name.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    loss_again, saved = gradients(model, inputs)
    assert torch.equal(loss, loss_again)
    assert plain.keys() == saved.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, atol=1e-6, rtol=1e-5)
    silent = {name for name, _ in model.named_parameters()} - plain.keys()
    # CLIP's last norm belongs to the class token, which is not used.
    assert all(name.startswith("model.vision_tower.post_layernorm") for name in silent)


@torch.no_grad()
def test_eager_equals_sdpa(model):
    inputs = video_batch()
    inputs["input_ids"][0, -3:] = model.config.text_config.pad_token_id
    inputs["attention_mask"][0, :3] = 0
    logits = model(**inputs).logits
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    assert model.model.vision_tower.config._attn_implementation == "eager"
    assert model.model.language_model.config._attn_implementation == "eager"
    torch.testing.assert_close(model(**inputs).logits[:, 3:], logits[:, 3:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_runs(model, dtype, tmp_path):
    """Pixels may stay in float32 or come in the model's type, and the loss stays near float32's."""
    inputs = video_batch()
    with torch.no_grad():
        expected = model(**inputs).loss
    model.save_pretrained(tmp_path)
    half = PllavaForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    pixels = inputs.pop("pixel_values_videos")
    for given in (pixels, pixels.to(dtype)):
        loss = half(**inputs, pixel_values_videos=given).loss
        assert float(loss.detach()) == pytest.approx(float(expected), rel=0.05)
        loss.backward()
        assert torch.isfinite(half.lm_head.weight.grad).all()


@torch.no_grad()
def test_new_rows_of_the_embedding_table(model):
    inputs = video_batch()
    logits = model(**inputs).logits
    size = model.config.text_config.vocab_size
    model.resize_token_embeddings(size + 7)
    assert model.config.text_config.vocab_size == size + 7
    longer = model(**inputs).logits
    assert longer.shape[-1] == size + 7
    torch.testing.assert_close(longer[..., :size], logits, atol=1e-6, rtol=0)
    model.resize_token_embeddings(size)
    torch.testing.assert_close(model(**inputs).logits, logits, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_tied_head_is_saved_once(tmp_path):
    config = tiny_config()
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    model = PllavaForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    again = PllavaForConditionalGeneration.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.get_input_embeddings().weight
    inputs = video_batch()
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


@torch.no_grad()
def test_the_headless_model_takes_the_weights_of_the_whole(model, tmp_path):
    model.save_pretrained(tmp_path)
    base, report = PllavaModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    for name, parameter in model.model.state_dict().items():
        assert torch.equal(base.state_dict()[name], parameter), name


def test_a_missing_tower_gets_its_own_initialisation(model, tmp_path):
    """And not the plain one of modules that transformers does not know."""
    config = copy.deepcopy(model.config)
    config.vision_config.initializer_factor = 0.0  # CLIP's scheme alone reads it
    weights = {name: tensor for name, tensor in model.state_dict().items() if "vision_tower" not in name}
    loaded = PllavaForConditionalGeneration.from_pretrained(None, config=config, state_dict=weights)
    attention = loaded.model.vision_tower.get_submodule("encoder.layers.0.self_attn")
    assert (attention.q_proj.weight == 0).all()
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


# PEFT asks by the older name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_lora_on_the_language_model_alone(model):
    peft = pytest.importorskip("peft", reason="peft comes with the `train` extra")
    inputs = video_batch()
    with torch.no_grad():
        expected = model(**inputs).logits
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q|v)_proj", task_type="CAUSAL_LM")
    tuned = peft.get_peft_model(model, config)
    trained = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("language_model" in name and "lora_" in name for name in trained)
    output = tuned(**inputs)
    torch.testing.assert_close(output.logits, expected, atol=1e-6, rtol=0)  # LoRA starts at zero
    output.loss.backward()
    assert all(p.grad is not None for name, p in tuned.named_parameters() if name in trained)
    prompt = {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values_videos")}
    assert tuned.generate(**prompt, max_new_tokens=2, min_new_tokens=2).shape[1] == TOKENS + 8


@torch.no_grad()
def test_the_forward_pass_can_be_exported(model):
    inputs = video_batch()
    inputs.pop("labels")
    model.config.use_cache = model.config.text_config.use_cache = False
    program = torch.export.export(model, (), {**inputs, "use_cache": False})
    logits = program.module()(**inputs, use_cache=False).logits
    torch.testing.assert_close(logits, model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_every_part_is_one_of_transformers_models(model):
    """Loading, attention backends and serving treat each part by its own configuration."""
    parts = {name for name, part in model.named_modules() if isinstance(part, PreTrainedModel)}
    assert parts == {"", "model", "model.vision_tower", "model.language_model"}
