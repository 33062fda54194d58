# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Video-LLaMA's model beside the goldens: ragged batches, the position table, sounds, stop rules, saving."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tiny_video_llama import AUDIO_TOKENS, MAX_FRAMES, VIDEO_TOKENS, tiny_config, tiny_model, tiny_processor
from transformers import AutoModelForImageTextToText

from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.modeling_video_llama import StopSequences, VideoLlamaForConditionalGeneration


GREEDY = {"do_sample": False, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def video(frames, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (frames, 30, 40, 3), dtype=np.uint8)


def sound(seconds, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)


def chat(*media, question="Why?"):
    parts = [{"type": kind, kind: value} for kind, value in media]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def encode(processor, chats):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(chats, **settings, processor_kwargs={"padding": True})


RAGGED = (
    chat(("video", video(8))),
    chat(question="And without any picture?"),
    chat(("video", video(3, 1)), ("image", video(1, 2)[0]), question="What differs?"),
    chat(("video", video(5, 3))),
    chat(("audio", sound(2.5)), ("video", video(1, 4)), question="What sounds?"),
)


@torch.no_grad()
def test_ragged_batch_equals_single_runs(model, processor):
    """Videos of four lengths, an image, a sound and a prompt without media: left-padded together and one by one."""
    batch = encode(processor, list(RAGGED))
    assert batch["frame_mask"].sum(-1).tolist() == [8, 3, 5, 1]
    logits = model(**batch).logits
    words = model.generate(**batch, **GREEDY)[:, batch["input_ids"].shape[1] :]
    for row, own in enumerate(RAGGED):
        single = encode(processor, own)
        assert "frame_mask" not in single
        length = single["input_ids"].shape[1]
        torch.testing.assert_close(logits[row, -length:], model(**single).logits[0], atol=1e-5, rtol=0)
        alone = model.generate(**single, **GREEDY)[0, length:]
        assert torch.equal(words[row, : len(alone)], alone)


@torch.no_grad()
def test_what_is_behind_the_mask_has_no_effect(model):
    pixels, mask = torch.randn(2, 6, 3, 28, 28), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    features = model.get_video_features(pixels, mask).pooler_output
    pixels[1, 4:] = torch.randn(2, 3, 28, 28)
    assert torch.equal(model.get_video_features(pixels, mask).pooler_output, features)
    alone = model.get_video_features(pixels[1:, :4]).pooler_output
    torch.testing.assert_close(features[1:], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(features[1:], model.get_video_features(pixels[1:]).pooler_output, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 5, None])
def test_the_chunk_changes_nothing(model, monkeypatch, chunk):
    pixels, mask = torch.randn(2, 6, 3, 28, 28), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    expected = model.get_video_features(pixels, mask)
    monkeypatch.setattr(model.config, "vision_chunk_size", chunk)
    actual = model.get_video_features(pixels, mask)
    torch.testing.assert_close(actual.pooler_output, expected.pooler_output, atol=1e-6, rtol=0)
    assert actual.last_hidden_state.shape[0] == 10


@torch.no_grad()
def test_an_image_is_a_video_of_one_frame(model):
    pixels = torch.randn(3, 3, 28, 28)
    images = model.get_image_features(pixels).pooler_output
    assert images.shape == (3, VIDEO_TOKENS, model.config.text_config.hidden_size)
    torch.testing.assert_close(images, model.get_video_features(pixels.unsqueeze(1)).pooler_output)


@torch.no_grad()
def test_frames_have_an_order(model):
    pixels = torch.randn(1, 4, 3, 28, 28)
    forwards, backwards = (model.get_video_features(part).pooler_output for part in (pixels, pixels.flip(1)))
    assert not torch.allclose(forwards, backwards, atol=1e-3)


@torch.no_grad()
def test_more_frames_than_positions_are_refused(model):
    pixels = torch.randn(1, MAX_FRAMES + 1, 3, 28, 28)
    with pytest.raises(ValueError, match=rf"{MAX_FRAMES + 1} frames .* has {MAX_FRAMES} rows.*interpolate_positions"):
        model.get_video_features(pixels)
    assert model.get_video_features(pixels[:, :MAX_FRAMES]).pooler_output.isfinite().all()


@torch.no_grad()
def test_the_table_is_stretched_where_asked_for():
    model = tiny_model(interpolate_positions=True)
    bridge = model.model.video_qformer
    table = bridge.position_embedding.weight
    assert torch.equal(bridge.positions(MAX_FRAMES), table)
    assert torch.equal(bridge.positions(4), table[:4])
    stretched = bridge.positions(2 * MAX_FRAMES - 1)
    torch.testing.assert_close(stretched[::2], table)
    torch.testing.assert_close(stretched[1::2], (table[1:] + table[:-1]) / 2)
    pixels = torch.randn(1, 3 * MAX_FRAMES, 3, 28, 28)
    assert model.get_video_features(pixels).pooler_output.shape[1] == VIDEO_TOKENS


@torch.no_grad()
def test_sounds_of_a_batch_are_heard_one_by_one(model, processor):
    features = processor.feature_extractor([sound(1), sound(9, 1)], return_tensors="pt")["input_features"]
    together = model.get_audio_features(features).pooler_output
    assert together.shape == (2, AUDIO_TOKENS, model.config.text_config.hidden_size)
    for number in range(2):
        alone = model.get_audio_features(features[number : number + 1]).pooler_output
        torch.testing.assert_close(together[number], alone[0], atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"9 frames \(or clips of sound\)"):
        model.get_audio_features(torch.cat([features, features[:, :1]], dim=1))


@torch.no_grad()
@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}])
def test_beams_have_the_media_of_their_prompt(model, processor, options):
    """Two sounds in one prompt, videos of different lengths in the others."""
    chats = [
        chat(("audio", sound(1)), ("audio", sound(3, 1))),
        chat(("video", video(4)), ("video", video(6, 1))),
        chat(("image", video(1, 2)[0]), ("audio", sound(2, 3))),
    ]
    batch = encode(processor, chats)
    words = model.generate(**batch, **GREEDY, **options)[:, batch["input_ids"].shape[1] :]
    returned = options.get("num_return_sequences", 1)
    for row, own in enumerate(chats):
        single = encode(processor, own)
        alone = model.generate(**single, **GREEDY, **options)[:, single["input_ids"].shape[1] :]
        assert torch.equal(words[row * returned : (row + 1) * returned, : alone.shape[1]], alone)


@torch.no_grad()
def test_a_second_question_needs_no_tower(model, processor):
    content = (("audio", sound(2)), ("video", video(4)))
    first = encode(processor, chat(*content))
    media = {
        "video": model.get_video_features(first["pixel_values_videos"]),
        "audio": model.get_audio_features(first["input_features"]),
    }
    second = encode(processor, chat(*content, question="What is the person doing?"))
    expected = model.generate(**second, **GREEDY)
    calls = []
    towers = model.model.vision_tower, model.model.audio_tower
    handles = [tower.register_forward_hook(lambda *_: calls.append(1)) for tower in towers]
    text = {name: second[name] for name in ("input_ids", "attention_mask")}
    actual = model.generate(**text, mm_encoder_outputs=media, **GREEDY)
    for handle in handles:
        handle.remove()
    assert torch.equal(actual, expected)
    assert not calls


class Scripted(torch.nn.Module):
    """A head that utters given tokens, one row of them per prompt."""

    def __init__(self, rows, vocab_size):
        super().__init__()
        self.rows, self.vocab_size, self.step = rows, vocab_size, 0

    def forward(self, hidden_states):
        logits = torch.zeros(*hidden_states.shape[:2], self.vocab_size)
        for row, tokens in enumerate(self.rows):
            logits[row, -1, tokens[self.step]] = 9.0
        self.step += 1
        return logits


@torch.no_grad()
def test_each_row_stops_for_itself(processor, monkeypatch):
    """`###` as one token, as two, and not at all; the end token; a pair in the wrong order goes on."""
    model = tiny_model()
    (alone,), (first, second) = model.config.stop_sequences
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    rows = [
        [20, alone, 21, 22, 23, 24],
        [20, first, second, 22, 23, 24],
        [20, second, first, 22, 23, 24],
        [end, 21, 22, 23, 24, 25],
        [first, 20, second, 21, first, second],
    ]
    monkeypatch.setattr(model, "lm_head", Scripted(rows, model.config.text_config.vocab_size))
    prompts = torch.full((len(rows), 4), 30)
    words = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                           max_new_tokens=6)[:, 4:]  # fmt: skip
    assert words.tolist() == [
        [20, alone, pad, pad, pad, pad],
        [20, first, second, pad, pad, pad],
        rows[2],
        [end, pad, pad, pad, pad, pad],
        rows[4],
    ]


def test_stop_sequences_longer_than_the_text_do_not_stop():
    stop = StopSequences([[5, 6, 7], [8]])
    assert stop(torch.tensor([[6, 7], [1, 8]]), None).tolist() == [False, True]


@torch.no_grad()
def test_placeholders_are_never_uttered(model, processor):
    """With everything else equal the appended rows would win half of the draws."""
    batch = encode(processor, chat(("video", video(3))))
    logits = model(**batch).logits
    known = model.config.output_vocab_size
    assert logits[..., known:].softmax(-1).isfinite().all()
    assert (logits.softmax(-1)[..., known:] == 0).all()
    labels = batch["input_ids"].masked_fill(batch["input_ids"] >= known, -100)
    loss = model(**batch, labels=labels).loss
    by_hand = torch.nn.functional.cross_entropy(logits[0, :-1, :known], labels[0, 1:])
    torch.testing.assert_close(loss, by_hand)


def test_wrong_inputs_are_refused(model, processor):
    pixels = torch.randn(2, 3, 3, 28, 28)
    with pytest.raises(ValueError, match=r"frame_mask has shape \(2, 4\)"):
        model.get_video_features(pixels, torch.ones(2, 4))
    with pytest.raises(ValueError, match="exactly one of `input_features`"):
        model.get_audio_features()
    with pytest.raises(ValueError, match="no audio_training_tower.*`audio_training_config`"):
        model.get_audio_features(audio_pixel_values=pixels)
    batch = encode(processor, chat(("video", video(3))))
    features = model.get_video_features(batch["pixel_values_videos"])
    with pytest.raises(ValueError, match="twice"):
        model(**batch, mm_encoder_outputs={"video": features})
    with pytest.raises(ValueError, match="do not match"):
        model(**batch | {"pixel_values_videos": pixels})


def test_a_deaf_model_says_so(processor):
    deaf = tiny_model(audio_config=None, audio_qformer_config=None)
    assert not any("audio" in name for name, _ in deaf.named_parameters())
    features = processor.feature_extractor([sound(1)], return_tensors="pt")["input_features"]
    with pytest.raises(ValueError, match="no audio_tower.*Convert the checkpoint with its audio"):
        deaf.get_audio_features(features)
    batch = encode(processor, chat(("video", video(3))))
    with torch.no_grad():
        assert deaf(**batch).logits.isfinite().all()


def test_saved_and_loaded_is_the_same(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    assert loaded.model.vision_tower.post_layernorm.eps == 1e-5
    batch = encode(processor, list(RAGGED))
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs(model, processor, tmp_path, dtype):
    """In float16 the Q-Formers stay in float32, as the original's bridge does."""
    model.save_pretrained(tmp_path)
    half = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=dtype).eval()
    kept = torch.float32 if dtype == torch.float16 else dtype
    assert half.model.video_qformer.projector.weight.dtype == kept
    assert half.model.vision_tower.dtype == dtype
    batch = encode(processor, list(RAGGED)).to(dtype)
    with torch.no_grad():
        keep = batch["attention_mask"].bool()
        logits = half(**batch).logits[keep][:, : half.config.output_vocab_size]
    assert logits.dtype == dtype
    assert logits.isfinite().all()


def test_every_parameter_learns(model, processor):
    batch = encode(processor, list(RAGGED))
    model.zero_grad()
    model(**batch, labels=batch["input_ids"].masked_fill(batch["input_ids"] >= 480, -100)).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    gradients = {name: parameter.grad.abs().max() for name, parameter in model.named_parameters()}
    model.zero_grad()
    assert not without
    # Keys' biases cancel in the softmax; all else must move.
    assert all(value > 0 for name, value in gradients.items() if not name.endswith("key.bias"))


# Its new name is unknown to the oldest supported release.
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
def test_gradient_checkpointing_changes_nothing(processor):
    batch = encode(processor, list(RAGGED))
    gradients = []
    for checkpointing in (False, True):
        # Dropout would draw anew.
        model = tiny_model().train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**batch, labels=batch["input_ids"]).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, atol=1e-6, rtol=1e-4)


def test_eager_attention_is_the_same(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    eager = AutoModelForImageTextToText.from_pretrained(tmp_path, attn_implementation="eager").eval()
    batch = encode(processor, list(RAGGED))
    with torch.no_grad():
        keep = batch["attention_mask"].bool()
        torch.testing.assert_close(eager(**batch).logits[keep], model(**batch).logits[keep], atol=3e-5, rtol=1e-5)


def test_missing_weights_are_initialised(model, tmp_path):
    """Every bare parameter gets its own scheme when a checkpoint lacks it."""
    state = {name: tensor for name, tensor in model.state_dict().items() if "language_model" in name}
    model.save_pretrained(tmp_path, state_dict=state)
    fresh = VideoLlamaForConditionalGeneration.from_pretrained(tmp_path).model
    for qformer in (fresh.qformer, fresh.video_qformer.qformer, fresh.audio_qformer.qformer):
        assert 0.01 < qformer.query_tokens.std() < 0.03
    assert 0.01 < fresh.vision_tower.embeddings.position_embedding.std() < 0.03


def test_published_sizes():
    """Parameters of each part, against the numbers of the published files."""
    text = {"num_hidden_layers": 1, "vocab_size": 64, "hidden_size": 4096, "num_attention_heads": 32}
    with torch.device("meta"):
        model = VideoLlamaForConditionalGeneration(VideoLlamaConfig(text_config=text, audio_config={})).model

    def count(*parts):
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    norm = count(model.vision_tower.post_layernorm)
    assert norm == 2816
    assert round((count(model.vision_tower) - norm) / 1e6, 1) == 985.9
    assert round(count(model.qformer) / 1e6, 1) == 105.2
    assert round(count(model.video_qformer.qformer) / 1e6, 1) == 18.9
    assert round(count(model.audio_qformer.qformer) / 1e6, 1) == 19.7
    assert round(count(model.video_qformer.projector) / 1e6, 2) == 3.15
    # What the original trains of the vision branch.
    assert round(count(model.video_qformer) / 1e6, 1) == 22.1


def test_impossible_models_are_refused():
    with pytest.raises(StrictDataclassError, match=r"video_qformer_config.encoder_hidden_size is 16.*is 32"):
        tiny_config(video_qformer_config={"encoder_hidden_size": 16})
    with pytest.raises(StrictDataclassError, match=r"audio_qformer_config.encoder_hidden_size is 12.*is 1024"):
        tiny_config(audio_training_config={})
