# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Apollo's model beside the goldens: clips, batches, images, feature re-use, generation, saving."""

from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForImageTextToText, AutoProcessor, LogitsProcessorList
from transformers.generation import GenerationMixin
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from video_lmms.conversion_scripts.convert_apollo import convert
from video_lmms.modeling.configuration_apollo import ApolloConfig, InternVideo2VisionConfig
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration, ApolloVisionModel, resize_grid
from video_lmms.modeling.modeling_internvideo2 import InternVideo2VisionModel, fit_frames, sinusoidal_positions


ORIGINAL = Path(__file__).parents[1] / "goldens" / "apollo" / "untied_upsample_image" / "checkpoint"
PIXELS = ("pixel_values_videos", "pixel_values_videos_internvideo2", "num_clips")
GREEDY = {"do_sample": False, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return convert(ORIGINAL, tmp_path_factory.mktemp("apollo") / "model", dtype="float32")


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForImageTextToText.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def processor(folder):
    return AutoProcessor.from_pretrained(folder)


def video(frames, seed=0, size=(24, 32)):
    return np.random.default_rng(seed).integers(0, 255, (frames, *size, 3), dtype=np.uint8)


def image(seed=0):
    return video(1, seed)[0]


def chat(*media, question="Why?"):
    parts = [{"type": kind, kind: value} for kind, value in media]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def encode(processor, chats):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(chats, **settings, processor_kwargs={"padding": True})


def pixels_of(model, clips, frames):
    """Random inputs of both towers."""
    vision = model.config.vision_config
    sides = vision.siglip_config.image_size, vision.internvideo2_config.image_size
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(clips, frames, 3, side, side, generator=generator) for side in sides]


RAGGED = (
    chat(),
    chat(("video", video(50))),
    chat(("video", video(130, 1)), ("image", image(2)), ("video", video(20, 3))),
    chat(("image", image(4))),
)


@torch.no_grad()
def test_ragged_batch_equals_single_runs(model, processor):
    """Text only, one video, two videos around an image, an image: left-padded together and one by one."""
    batch = encode(processor, list(RAGGED))
    logits = model(**batch).logits
    words = model.generate(**batch, **GREEDY)[:, batch["input_ids"].shape[1] :]
    for row, own in enumerate(RAGGED):
        single = encode(processor, own)
        length = single["input_ids"].shape[1]
        torch.testing.assert_close(logits[row, -length:], model(**single).logits[0], atol=1e-5, rtol=0)
        alone = model.generate(**single, **GREEDY)[0, length:]
        assert torch.equal(words[row, : len(alone)], alone)


@torch.no_grad()
@pytest.mark.parametrize("frames", range(1, 10))
def test_clips_of_any_length(model, frames):
    first, second = pixels_of(model, 3, frames)
    outputs = model.get_video_features(first, second, torch.tensor([1, 2]))
    latents, width = model.config.resampler_config.num_latents, model.config.text_config.hidden_size
    assert [tuple(entry.shape) for entry in outputs.pooler_output] == [(latents, width), (2 * latents, width)]
    assert outputs.last_hidden_state.shape == (3, latents, width)
    assert outputs.last_hidden_state.isfinite().all()


@pytest.mark.parametrize(("length", "count", "kept"), [
    (8, 4, [0, 2, 4, 6]),
    (4, 4, [0, 1, 2, 3]),
    (1, 4, [0, 0, 0, 0]),
    (2, 4, [0, 0, 1, 1]),
    (3, 4, [0, 0, 1, 2]),
    (9, 4, [0, 2, 4, 6]),
    (6, 1, [0]),
])  # fmt: skip
def test_frames_are_chosen_evenly(length, count, kept):
    frames = torch.arange(length).view(1, length, 1)
    assert fit_frames(frames, count).flatten().tolist() == kept


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours(model):
    first, second = pixels_of(model, 5, 4)
    together = model.get_video_features(first, second).last_hidden_state
    for clip in range(5):
        alone = model.get_video_features(first[clip : clip + 1], second[clip : clip + 1]).last_hidden_state
        torch.testing.assert_close(together[clip], alone[0], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 3, None])
def test_the_chunk_changes_nothing(model, monkeypatch, chunk):
    first, second = pixels_of(model, 7, 4)
    monkeypatch.setattr(model.config, "vision_chunk_size", 4)
    expected = model.get_video_features(first, second, output_hidden_states=True)
    monkeypatch.setattr(model.config, "vision_chunk_size", chunk)
    actual = model.get_video_features(first, second, output_hidden_states=True)
    torch.testing.assert_close(actual.last_hidden_state, expected.last_hidden_state, atol=1e-6, rtol=0)
    assert len(actual.hidden_states) == len(expected.hidden_states)


@torch.no_grad()
def test_an_image_is_a_still_clip(model):
    first, second = pixels_of(model, 2, 1)
    stills = [pixels.expand(-1, 4, -1, -1, -1) for pixels in (first, second)]
    as_image = model.get_image_features(first[:, 0], second[:, 0]).pooler_output
    as_clip = model.get_video_features(*stills, torch.tensor([1, 1])).pooler_output
    torch.testing.assert_close(torch.stack(as_image), torch.stack(as_clip), atol=1e-5, rtol=0)


@torch.no_grad()
def test_trilinear_and_bilinear_are_the_same():
    grid = torch.randn(2, 4, 3, 3, 5)
    volume = torch.nn.functional.interpolate(
        grid.permute(0, 4, 1, 2, 3), size=(4, 7, 7), mode="trilinear", align_corners=False
    )
    torch.testing.assert_close(resize_grid(grid, (7, 7)), volume.permute(0, 2, 3, 4, 1), atol=1e-6, rtol=0)


class Calls:
    """Counts the calls of both towers."""

    def __init__(self, model):
        self.count = 0
        towers = model.model.vision_tower.siglip, model.model.vision_tower.internvideo2
        self.handles = [tower.register_forward_hook(self.add) for tower in towers]

    def add(self, *args):
        self.count += 1

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def test_a_second_question_needs_no_tower(model, processor):
    content = ("video", video(100))
    first = encode(processor, chat(content))
    features = model.get_video_features(**{name: first[name] for name in PIXELS})
    second = encode(processor, chat(content, question="What is the person doing?"))
    expected = model.generate(**second, **GREEDY)
    text = {name: second[name] for name in ("input_ids", "attention_mask")}
    with Calls(model) as calls:
        actual = model.generate(**text, mm_encoder_outputs={"video": features}, **GREEDY)
    assert calls.count == 0
    assert torch.equal(actual, expected)


@torch.no_grad()
def test_a_longer_video_reuses_the_clips_it_begins_with(model, processor):
    """At 24 frames a second clips tile the video, so 5 of the 8 clips of the longer one are known."""
    frames = video(8 * 48)
    known = encode(processor, chat(("video", frames[: 5 * 48])))
    kept = model.get_video_features(**{name: known[name] for name in PIXELS}).last_hidden_state
    longer = encode(processor, chat(("video", frames)))
    expected = model.generate(**longer, **GREEDY)
    with Calls(model) as calls:
        new = model.get_video_features(*(longer[name][5:] for name in PIXELS[:2])).last_hidden_state
        features = BaseModelOutputWithPooling(pooler_output=[torch.cat([kept, new]).flatten(0, 1)])
        text = {name: longer[name] for name in ("input_ids", "attention_mask")}
        actual = model.generate(**text, mm_encoder_outputs={"video": features}, **GREEDY)
    assert calls.count == 2
    assert torch.equal(actual, expected)


@torch.no_grad()
@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}])
def test_beams_see_whole_videos(model, processor, options):
    batch = encode(processor, list(RAGGED[1:3]))
    words = model.generate(**batch, **GREEDY, **options)[:, batch["input_ids"].shape[1] :]
    returned = options.get("num_return_sequences", 1)
    for row, own in enumerate(RAGGED[1:3]):
        single = encode(processor, own)
        alone = model.generate(**single, **GREEDY, **options)[:, single["input_ids"].shape[1] :]
        together = words[row * returned : (row + 1) * returned, : alone.shape[1]]
        assert torch.equal(together, alone)


@torch.no_grad()
@pytest.mark.skipif(
    hasattr(GenerationMixin, "_supports_mm_encoder_outputs"),
    reason="this transformers encodes media itself before it repeats prompts",
)
def test_raw_clips_are_encoded_before_they_are_repeated(model, processor):
    """What older releases of transformers rely on: they repeat raw inputs row by row."""
    batch = dict(encode(processor, list(RAGGED[1:3])))
    input_ids, expanded = model._expand_inputs_for_generation(expand_size=2, **batch)
    assert not set(PIXELS) & expanded.keys()
    assert len(input_ids) == 4
    plain = model(**batch).logits
    repeated = model(input_ids=input_ids, **expanded).logits
    torch.testing.assert_close(repeated, plain.repeat_interleave(2, 0), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_penalty_leaves_the_prompt_out(model, processor):
    """It equals a penalty over new tokens alone, differs from one over everything, and a caller's own stays."""
    batch = encode(processor, chat(("video", video(50))))
    length, penalty = batch["input_ids"].shape[1], 1.7
    options = {"do_sample": False, "max_new_tokens": 16}
    ours = model.generate(**batch, **options, repetition_penalty=penalty)
    by_hand = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=length)
    over_all = RepetitionPenaltyLogitsProcessor(penalty)
    answers = [
        model.generate(**batch, **options, repetition_penalty=1.0, logits_processor=LogitsProcessorList([given]))
        for given in (by_hand, over_all)
    ]
    assert torch.equal(ours, answers[0])
    assert not torch.equal(ours, answers[1])


@torch.no_grad()
def test_two_turns_with_one_cache_prompt(model, processor):
    """The preamble stands in the first turn only; a later turn is plain text."""
    turns = chat(("video", video(50)))
    turns += [{"role": "assistant", "content": "A person runs."}, {"role": "user", "content": "How long is it?"}]
    batch = encode(processor, turns)
    assert (batch["input_ids"] == model.config.video_token_id).sum() == 2 * processor.tokens_per_clip
    assert model.generate(**batch, **GREEDY).shape[1] > batch["input_ids"].shape[1]


def test_wrong_inputs_are_refused(model, processor):
    batch = dict(encode(processor, chat(("video", video(50)))))
    first, second = pixels_of(model, 3, 4)
    with pytest.raises(ValueError, match="SigLIP's input holds 3 clips .* adds up to 2"):
        model.get_video_features(first, second, torch.tensor([2]))
    with pytest.raises(ValueError, match="InternVideo2's 2"):
        model.get_video_features(first, second[:2])
    with pytest.raises(ValueError, match="pass both"):
        model(**{name: value for name, value in batch.items() if name != "pixel_values_videos_internvideo2"})
    features = model.get_video_features(**{name: batch[name] for name in PIXELS})
    with pytest.raises(ValueError, match="twice"):
        model(**batch, mm_encoder_outputs={"video": features})
    with pytest.raises(ValueError, match="do not match"):
        model(**batch | {"num_clips": torch.tensor([1])} | {name: batch[name][:1] for name in PIXELS[:2]})
    with pytest.raises(ValueError, match="InternVideo2 expects frames of"):
        model.get_video_features(first, second[..., 1:])


def test_saved_and_loaded_is_the_same(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    batch = encode(processor, list(RAGGED))
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)


def test_every_parameter_learns(model, processor):
    batch = encode(processor, list(RAGGED[1:3]))
    model.zero_grad()
    model(
        **batch, labels=batch["input_ids"].masked_fill(batch["input_ids"] == model.config.video_token_id, -100)
    ).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    model.zero_grad()
    assert not without


# Its new name is unknown to the oldest supported release.
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
def test_gradient_checkpointing_changes_nothing(folder, processor):
    batch = encode(processor, list(RAGGED[1:3]))
    gradients = []
    for checkpointing in (False, True):
        model = AutoModelForImageTextToText.from_pretrained(folder).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**batch, labels=batch["input_ids"]).loss.backward()
        gradients.append([parameter.grad for parameter in model.model.vision_tower.parameters()])
    for plain, saved in zip(*gradients, strict=True):
        torch.testing.assert_close(saved, plain, atol=1e-6, rtol=1e-4)


def test_eager_attention_is_the_same(folder, model, processor):
    eager = AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager").eval()
    batch = encode(processor, list(RAGGED))
    with torch.no_grad():
        keep = batch["attention_mask"].bool()
        torch.testing.assert_close(eager(**batch).logits[keep], model(**batch).logits[keep], atol=3e-5, rtol=0)
        batch = {name: batch[name] for name in PIXELS}
        attentions = eager.get_video_features(**batch, output_attentions=True).attentions
    vision = eager.config.vision_config
    blocks = vision.siglip_config.num_hidden_layers + vision.internvideo2_config.num_hidden_layers
    assert len(attentions) == blocks


def test_missing_weights_are_initialised(model, tmp_path):
    """Every bare parameter gets its own scheme when a checkpoint lacks it."""
    state = {name: tensor for name, tensor in model.state_dict().items() if "language_model" in name}
    model.save_pretrained(tmp_path, state_dict=state)
    fresh = ApolloForConditionalGeneration.from_pretrained(tmp_path)
    tower, resampler = fresh.model.vision_tower.internvideo2, fresh.model.resampler
    config = tower.config
    assert torch.equal(tower.embeddings.position_embedding, sinusoidal_positions(config.grid, config.hidden_size))
    scales = [layer.layer_scale1.weight for layer in tower.layers]
    assert all((scale == torch.tensor(config.layer_scale_init_value)).all() for scale in scales)
    assert 0.3 < resampler.latents.mean() < 0.7
    assert 0.9 < resampler.norm.scale.mean() < 1.1
    assert (resampler.norm.norm.weight == 1).all()
    spread = resampler.layers[0].mlp.down_proj.weight.std() * resampler.config.intermediate_size**0.5
    assert 0.35 < spread < 0.55  # sqrt(0.2)


def test_position_table():
    """Zeros for the class token; a quarter for time, then column, then row; sines before cosines."""
    table = sinusoidal_positions((2, 3, 3), 32)[0]
    assert table.shape == (19, 32)
    assert (table[0] == 0).all()
    first = table[1]
    for start, width in ((0, 8), (8, 12), (20, 12)):
        assert (first[start : start + width // 2] == 0).all()
        assert (first[start + width // 2 : start + width] == 1).all()
    after = table[2]  # the next column
    assert torch.equal(after[:8], first[:8])
    assert torch.equal(after[20:], first[20:])
    assert after[8] == torch.tensor(1.0).sin()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 40}, "multiple of 16"),
        ({"num_frames": 3, "tubelet_size": 2}, "multiple of tubelet_size"),
    ],
)
def test_impossible_towers_are_refused(changes, message):
    with pytest.raises(StrictDataclassError, match=message):
        InternVideo2VisionConfig(**changes)


def test_impossible_models_are_refused():
    with pytest.raises(StrictDataclassError, match="towers must name"):
        ApolloConfig(vision_config={"towers": ["siglip"]})
    with pytest.raises(StrictDataclassError, match="must equal that of the language model"):
        ApolloConfig(resampler_config={"hidden_size": 64})
    with pytest.raises(StrictDataclassError, match="must be a multiple of num_key_value_heads"):
        ApolloConfig(resampler_config={"hidden_size": 3584, "num_key_value_heads": 3})


def test_published_sizes():
    """Parameters of the connectors and of the towers, against the sizes of the published files."""
    expected = {1536: 38_358_528, 2048: 63_727_616, 3584: 177_583_616}
    heads = {1536: (12, 2), 2048: (16, 2), 3584: (28, 4)}
    for width, connector in expected.items():
        queries, keys = heads[width]
        text = {
            "hidden_size": width,
            "num_attention_heads": queries,
            "num_key_value_heads": keys,
            "num_hidden_layers": 1,
            "vocab_size": 64,
        }
        with torch.device("meta"):
            model = ApolloForConditionalGeneration(ApolloConfig(text_config=text)).model
        parts = model.multi_modal_projector, model.resampler
        assert sum(parameter.numel() for part in parts for parameter in part.parameters()) == connector
    grid = model.vision_tower.config.grid
    assert (grid, model.vision_tower.config.hidden_size) == ((4, 27, 27), 2560)


def test_no_qk_norm_and_biases():
    config = InternVideo2VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=8,
        patch_size=4,
        tubelet_size=2,
        qkv_bias=True,
        use_qk_norm=False,
    )
    tower = InternVideo2VisionModel(config).eval()
    names = {name for name, _ in tower.named_parameters()}
    assert "layers.0.attn.qkv.bias" in names
    assert not any("q_norm" in name for name in names)
    assert tower(torch.randn(2, 4, 3, 8, 8)).last_hidden_state.shape == (2, 1 + 2 * 2 * 2, 32)


def test_vision_model_alone(model):
    alone = ApolloVisionModel._from_config(model.config.vision_config).eval()
    alone.load_state_dict(model.model.vision_tower.state_dict())
    inputs = pixels_of(model, 2, 4)
    with torch.no_grad():
        assert torch.equal(alone(*inputs).last_hidden_state, model.model.vision_tower(*inputs).last_hidden_state)
