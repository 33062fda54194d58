"""PLLaVA's model beside the goldens: pooling, batches, images, feature re-use, saving."""

import itertools

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tiny_pllava import NUM_FRAMES, POOLING_SHAPE, tiny_config, tiny_model, tiny_processor
from transformers import AutoModelForImageTextToText

from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration, adaptive_pool
from video_lmms.modeling.modeling_video_lmm import encode_in_chunks, merge_features


QUESTIONS = (
    "USER:Who are you? ASSISTANT:",
    "USER:<image> What is it? ASSISTANT:",
    "USER:<image> <image> Same? ASSISTANT:",
)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def clips(count, frames=9, size=(64, 48)):
    generator = torch.Generator().manual_seed(0)
    shape = (count, frames, *size, 3)
    return list(torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8).numpy())


def test_pooling_equals_torch():
    grid = list(itertools.product((1, 3, 5, 16), (2, 4, 5), (1, 2, 3, 4, 6, 9), (1, 3, 4)))
    assert len(grid) >= 200
    for frames, side, time, space in grid:
        volume = torch.randn(2, frames, side, side, 3, requires_grad=True)
        ours = adaptive_pool(adaptive_pool(adaptive_pool(volume, 1, time), 2, space), 3, space)
        theirs = torch.nn.functional.adaptive_avg_pool3d(volume.permute(0, 4, 1, 2, 3), (time, space, space))
        torch.testing.assert_close(ours, theirs.permute(0, 2, 3, 4, 1), atol=1e-5, rtol=0)
        weight = torch.randn_like(ours)
        (grad,) = torch.autograd.grad((ours * weight).sum(), volume, retain_graph=True)
        (expected,) = torch.autograd.grad((theirs.permute(0, 2, 3, 4, 1) * weight).sum(), volume)
        torch.testing.assert_close(grad, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_pooling_commutes_with_the_second_layer(model):
    videos = torch.randn(2, NUM_FRAMES, 3, 56, 56)
    features = model.model.get_video_features(videos)
    projector = model.model.multi_modal_projector
    frames = projector.linear_2(projector.act(projector.linear_1(features.last_hidden_state[:, 1:])))
    volume = frames.view(2, NUM_FRAMES, projector.grid, projector.grid, -1).permute(0, 4, 1, 2, 3)
    pooled = torch.nn.functional.adaptive_avg_pool3d(volume, POOLING_SHAPE).flatten(2).transpose(1, 2)
    torch.testing.assert_close(features.pooler_output, pooled, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_chunk_changes_nothing(model, monkeypatch):
    videos = torch.randn(2, NUM_FRAMES, 3, 56, 56)
    monkeypatch.setattr(model.config, "vision_chunk_size", None)
    whole = model.model.get_video_features(videos, output_hidden_states=True)
    for chunk in range(1, 2 * NUM_FRAMES + 2):
        monkeypatch.setattr(model.config, "vision_chunk_size", chunk)
        parts = model.model.get_video_features(videos, output_hidden_states=True)
        torch.testing.assert_close(parts.pooler_output, whole.pooler_output, atol=1e-5, rtol=0)
        torch.testing.assert_close(parts.hidden_states[-1], whole.hidden_states[-1], atol=1e-5, rtol=0)


def test_chunks_of_any_size():
    rows = torch.arange(7.0)
    for chunk in (None, 1, 2, 3, 6, 7, 8):
        assert torch.equal(encode_in_chunks(lambda part: part * 2, rows, chunk), rows * 2)


@torch.no_grad()
def test_ragged_batch_equals_single_runs(model, processor):
    """Prompts with none, one and two videos, left-padded together: logits to 1e-5, the same words."""
    videos = clips(3)
    batch = processor(text=list(QUESTIONS), videos=videos, padding=True, return_tensors="pt")
    logits = model(**batch).logits
    words = model.generate(**batch, max_new_tokens=8, do_sample=False)[:, batch["input_ids"].shape[1] :]
    used = 0
    for row, question in enumerate(QUESTIONS):
        own = videos[used : used + question.count("<image>")]
        used += len(own)
        single = processor(text=question, videos=own or None, return_tensors="pt")
        length = single["input_ids"].shape[1]
        torch.testing.assert_close(logits[row, -length:], model(**single).logits[0], atol=1e-5, rtol=1e-5)
        alone = model.generate(**single, max_new_tokens=8, do_sample=False)[0, length:]
        assert torch.equal(words[row, : len(alone)], alone)


@torch.no_grad()
def test_an_image_is_a_still_video(model):
    image = torch.randn(2, 3, 56, 56)
    still = image.unsqueeze(1).expand(-1, NUM_FRAMES, -1, -1, -1)
    as_image = model.model.get_image_features(image).pooler_output
    torch.testing.assert_close(as_image, model.model.get_video_features(still).pooler_output, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}])
def test_encoded_features_replace_pixels(model, processor, options):
    batch = processor(text=list(QUESTIONS[1:]), videos=clips(3), padding=True, return_tensors="pt")
    settings = {"max_new_tokens": 6, "do_sample": False, **options}
    expected = model.generate(**batch, **settings)
    features = {"video": model.model.get_video_features(batch.pop("pixel_values_videos"))}
    assert torch.equal(model.generate(**batch, mm_encoder_outputs=features, **settings), expected)


@torch.no_grad()
def test_generation_from_embeddings(model, processor):
    batch = processor(text=QUESTIONS[1], videos=clips(1), return_tensors="pt")
    length = batch["input_ids"].shape[1]
    expected = model.generate(**batch, max_new_tokens=6, do_sample=False)[:, length:]
    embeds = model.get_input_embeddings()(batch.pop("input_ids"))
    assert torch.equal(model.generate(inputs_embeds=embeds, **batch, max_new_tokens=6, do_sample=False), expected)


def test_what_does_not_fit_is_refused(model, processor):
    batch = processor(text=QUESTIONS[1], videos=clips(1), return_tensors="pt")
    tokens = POOLING_SHAPE[0] * POOLING_SHAPE[1] * POOLING_SHAPE[2]
    with pytest.raises(ValueError, match=rf"{tokens} placeholders .* {2 * tokens} feature rows"):
        model(**{**batch, "pixel_values_videos": batch["pixel_values_videos"].repeat(2, 1, 1, 1, 1)})
    features = {"video": model.model.get_video_features(batch["pixel_values_videos"])}
    with pytest.raises(ValueError, match="given twice"):
        model(**batch, mm_encoder_outputs=features)
    with pytest.raises(ValueError, match="share placeholder id"):
        model(**batch, pixel_values=torch.zeros(1, 3, 56, 56))
    with pytest.raises(ValueError, match="exactly one"):
        model(pixel_values_videos=batch["pixel_values_videos"])
    with pytest.raises(StrictDataclassError, match="three positive sizes"):
        tiny_config().__class__(pooling_shape=[4, 0, 2])


def test_ragged_features_are_merged_in_order():
    embedding = torch.nn.Embedding(10, 2)
    ids = torch.tensor([[1, 9, 9, 2], [9, 3, 9, 9]])
    features = [torch.full((2, 2), 5.0), torch.full((1, 2), 6.0), torch.full((2, 2), 7.0)]
    merged = merge_features(ids, embedding(ids), {9: features}, embedding)
    assert merged[ids == 9].tolist() == torch.cat(features).tolist()
    assert torch.equal(merged[ids != 9], embedding(ids)[ids != 9])


def test_saving_is_bit_exact(model, tmp_path):
    model.save_pretrained(tmp_path / "a")
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "a")
    assert isinstance(again, PllavaForConditionalGeneration)
    again.save_pretrained(tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    for name, parameter in again.state_dict().items():
        assert torch.equal(parameter, model.state_dict()[name]), name


def test_tied_head():
    config = tiny_config()
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    model = PllavaForConditionalGeneration(config)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
