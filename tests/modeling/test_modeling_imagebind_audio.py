# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""ImageBind's two towers: shapes, initialisation, training, saving; parity is in tests/parity."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from video_lmms.modeling.configuration_imagebind_audio import ImageBindAudioConfig, ImageBindVisionConfig
from video_lmms.modeling.modeling_imagebind_audio import ImageBindAudioModel, ImageBindVisionModel


SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
AUDIO = {**SMALL, "num_mel_bins": 36, "num_mel_frames": 56, "projection_dim": 20}
VISION = {**SMALL, "image_size": 42, "projection_dim": 20}


def audio_tower(**changes):
    torch.manual_seed(0)
    return ImageBindAudioModel(ImageBindAudioConfig(**AUDIO | changes)).eval()


def vision_tower(**changes):
    torch.manual_seed(0)
    return ImageBindVisionModel(ImageBindVisionConfig(**VISION | changes)).eval()


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


TOWERS = {"audio": (audio_tower, (5, 1, 36, 56)), "vision": (vision_tower, (5, 3, 42, 42))}


@pytest.mark.parametrize("tower", TOWERS)
def test_sizes_come_from_the_configuration(tower):
    build, shape = TOWERS[tower]
    model = build()
    outputs = model(noise(*shape))
    assert outputs.last_hidden_state.shape == (5, 1 + torch.Size(model.config.grid).numel(), 32)
    assert outputs.pooler_output.shape == (5, 20)
    assert torch.equal(model(noise(*shape), return_dict=False)[1], outputs.pooler_output)


def test_default_sizes_are_the_published_ones():
    with torch.device("meta"):
        audio, vision = (
            {name: tuple(tensor.shape) for name, tensor in tower(config()).state_dict().items()}
            for tower, config in (
                (ImageBindAudioModel, ImageBindAudioConfig),
                (ImageBindVisionModel, ImageBindVisionConfig),
            )
        )
    assert audio["embeddings.position_embedding"] == (1, 229, 768)
    assert audio["embeddings.patch_embedding.weight"] == (768, 1, 16, 16)
    assert audio["layers.11.attn.bias_key"] == (1, 1, 768)
    assert audio["head.projection.weight"] == (1024, 768)
    assert vision["embeddings.position_embedding"] == (1, 257, 1280)
    assert vision["embeddings.patch_embedding.weight"] == (1280, 3, 2, 14, 14)
    assert vision["layers.31.mlp.fc1.weight"] == (5120, 1280)
    assert not any("bias_key" in name for name in vision)


def test_embeddings_have_their_lengths():
    lengths = audio_tower()(noise(5, 1, 36, 56)).pooler_output.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5,), 20.0))
    lengths = audio_tower(logit_scale_init_value=300.0)(noise(5, 1, 36, 56)).pooler_output.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5,), 100.0))
    lengths = vision_tower()(noise(5, 3, 42, 42)).pooler_output.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(5))


@pytest.mark.parametrize("tower", TOWERS)
def test_everything_is_initialised(tower, tmp_path):
    """A tower loaded from a file without weights has those of a new one, buffer and bare parameters included."""
    build, _ = TOWERS[tower]
    model = build()
    model.config.save_pretrained(tmp_path)
    torch.manual_seed(0)
    with torch.device("meta"):
        empty = type(model)(model.config)
    empty.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*empty.parameters(), *empty.buffers()):
            tensor.fill_(float("nan"))
    empty.apply(empty._init_weights)
    for name, tensor in empty.state_dict().items():
        expected = model.state_dict()[name]
        assert tensor.isfinite().all(), name
        torch.testing.assert_close(tensor.mean(), expected.mean(), atol=0.02, rtol=0, msg=name)
        if tensor.numel() > 1:
            torch.testing.assert_close(tensor.std(), expected.std(), atol=0.02, rtol=0, msg=name)


@pytest.mark.parametrize("tower", TOWERS)
def test_a_saved_tower_is_the_same(tower, tmp_path):
    build, shape = TOWERS[tower]
    model = build()
    if tower == "audio":
        model.log_logit_scale.fill_(1.5)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert torch.equal(again(noise(*shape)).pooler_output, model(noise(*shape)).pooler_output)


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
@torch.no_grad()
def test_attention_implementations_agree(tower, attention):
    build, shape = TOWERS[tower]
    model = build()
    model.set_attn_implementation("eager")
    expected = model(noise(*shape)).pooler_output
    model.set_attn_implementation(attention)
    torch.testing.assert_close(model(noise(*shape)).pooler_output, expected, atol=2e-5, rtol=0)


def test_hidden_states_and_attentions_are_recorded():
    model = audio_tower(attn_implementation="eager")
    outputs = model(noise(2, 1, 36, 56), output_hidden_states=True, output_attentions=True)
    tokens = 1 + torch.Size(model.config.grid).numel()
    assert [tuple(state.shape) for state in outputs.hidden_states] == [(2, tokens, 32)] * 4
    # One more key than tokens: the learned one.
    assert [tuple(weights.shape) for weights in outputs.attentions] == [(2, 4, tokens, tokens + 1)] * 3


@pytest.mark.parametrize("tower", TOWERS)
def test_checkpointed_gradients_are_the_same(tower):
    build, shape = TOWERS[tower]
    gradients = []
    for checkpointing in (False, True):
        model = build(drop_path_rate=0.0).train()
        if checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()
        model(noise(*shape)).pooler_output.sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    plain, checkpointed = gradients
    assert all(gradient is not None for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)


def test_branches_are_skipped_in_training_only_and_more_often_the_deeper():
    model = audio_tower(drop_path_rate=0.6)
    assert [layer.drop_path.drop_prob for layer in model.layers] == pytest.approx([0.0, 0.3, 0.6])
    features = noise(3, 1, 36, 56)
    assert torch.equal(model(features).pooler_output, model(features).pooler_output)
    model.train()
    assert not torch.equal(model(features).pooler_output, model(features).pooler_output)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"expects \(clips, 1, 36, 56\) spectrograms, got \(2, 1, 36, 55\)"):
        audio_tower()(noise(2, 1, 36, 55))
    with pytest.raises(ValueError, match="frames of 42 x 42, got"):
        vision_tower()(noise(2, 3, 42, 56))
    with pytest.raises(StrictDataclassError, match=r"hidden_size \(30\) must be a multiple"):
        ImageBindAudioConfig(**AUDIO | {"hidden_size": 30})
    with pytest.raises(StrictDataclassError, match="at least one patch of 16 x 16"):
        ImageBindAudioConfig(**AUDIO | {"num_mel_bins": 12})
    with pytest.raises(StrictDataclassError, match="multiple of num_attention_heads"):
        ImageBindVisionConfig(**VISION | {"num_attention_heads": 5})
