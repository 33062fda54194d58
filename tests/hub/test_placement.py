# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Where weights lie and how they are kept: spread over devices, in 4 or 8 bits, compiled; as far as a CPU shows it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from tiny_models import TINY_MODELS, save_plainly
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForMultimodalLM, CompileConfig, GenerationConfig
from transformers.utils import is_flash_attn_2_available

from video_lmms.errors import VideoLmmError
from video_lmms.hub import load
from video_lmms.hub.loading import quantization_config
from video_lmms.modeling import modeling_videotgb_frame_choice as frame_choice
from video_lmms.modeling.modeling_videotgb_frame_choice import pick_frames


GREEDY = {"max_new_tokens": 6, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
COMPILED = ["apollo", "pllava", "video_llama"]
VIDEO = np.random.default_rng(0).integers(0, 255, (12, 60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=sorted(TINY_MODELS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / name
    save_plainly(name, target)
    return target


@pytest.fixture(scope="module")
def model(folder):
    return load(folder, device="cpu")[0]


@pytest.fixture(scope="module")
def inputs(name):
    return inputs_of(TINY_MODELS[name].tiny_processor())


def inputs_of(processor):
    parts = [{"type": "video"}, {"type": "text", "text": "What do you see?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    return processor(text=prompt, videos=[VIDEO], return_tensors="pt")


@torch.no_grad()
def first_logits(model, inputs):
    """Scores of the first token of an answer, (1, vocabulary)."""
    output = model.generate(
        **inputs.to(model.device, model.dtype),
        max_new_tokens=1,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return output.logits[0].float()


def test_auto_places_a_model_where_there_is_room(folder, model, inputs):
    placed, _ = load(folder, device="auto")
    torch.testing.assert_close(first_logits(placed, inputs), first_logits(model, inputs), rtol=1e-3, atol=1e-3)


# transformers looks for modules under the names in its map, and bare parameters are none.
@pytest.mark.filterwarnings("ignore:The following device_map keys do not match any submodules:UserWarning")
def test_a_language_model_may_lie_on_disk(folder, model, inputs, tmp_path):
    """accelerate brings each layer to the processor when its turn comes."""
    base = model.base_model
    parts = [*dict(base.named_children()), *dict(base.named_parameters(recurse=False))]
    places = {f"model.{part}": "cpu" for part in parts} | {"model.language_model": "disk", "lm_head": "cpu"}
    spread = AutoModelForMultimodalLM.from_pretrained(folder, device_map=places, offload_folder=tmp_path)
    assert {parameter.device.type for parameter in spread.base_model.language_model.parameters()} == {"meta"}
    torch.testing.assert_close(first_logits(spread, inputs), first_logits(model, inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The following device_map keys do not match any submodules:UserWarning")
@pytest.mark.parametrize("kind", COMPILED)
def test_a_model_is_spread_where_no_device_has_room_for_all(kind, tmp_path):
    """Half of it on disk. LongVU and VideoTGB use parameters of their own outside `forward`, where nobody brings them:
    there towers and connector have to have a device."""
    model, inputs = TINY_MODELS[kind].tiny_model(), inputs_of(TINY_MODELS[kind].tiny_processor())
    model.save_pretrained(tmp_path / "model")
    size = sum(parameter.nbytes for parameter in model.parameters())
    spread = AutoModelForMultimodalLM.from_pretrained(
        tmp_path / "model", device_map="auto", max_memory={"cpu": size // 2}, offload_folder=tmp_path / "rest"
    )
    assert set(spread.hf_device_map.values()) == {"cpu", "disk"}
    torch.testing.assert_close(first_logits(spread, inputs), first_logits(model, inputs), rtol=1e-4, atol=1e-4)


def wide_model(name):
    """With rows as long as a block of 4-bit numbers, as every published model has them."""
    config = TINY_MODELS[name].tiny_model().config
    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 128 // config.text_config.num_attention_heads}
    if config.is_encoder_decoder:
        sizes = {"d_model": 128, "d_ff": 256, "d_kv": 32, "num_heads": 4}
    for key, value in sizes.items():
        setattr(config.text_config, key, value)
    if name == "apollo":
        config.resampler_config.hidden_size = 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return type(TINY_MODELS[name].tiny_model())(config).eval()


@pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning")  # it computes in float16
def test_language_models_are_quantised_and_nothing_else(name, inputs, tmp_path):
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs bitsandbytes, which is not installed")
    model = wide_model(name)
    model.save_pretrained(tmp_path)
    TINY_MODELS[name].tiny_processor().save_pretrained(tmp_path)
    kinds = {"4bit": bitsandbytes.nn.Linear4bit, "8bit": bitsandbytes.nn.Linear8bitLt}
    for bits, least in (("4bit", 0.9), ("8bit", 0.99)):
        packed, _ = load(tmp_path, device="cpu", quantization_config=quantization_config(bits))
        linear = {key: layer for key, layer in packed.named_modules() if isinstance(layer, nn.Linear)}
        found = {key for key, layer in linear.items() if isinstance(layer, kinds[bits])}
        # T5's widest layers stay in 32 bits by transformers' own rule.
        assert found == {key for key in linear if "language_model." in key and not key.endswith(".wo")}
        assert found
        expected, answer = first_logits(model, inputs), first_logits(packed, inputs)
        known = expected > torch.finfo(torch.bfloat16).min / 2  # not those of placeholders
        assert torch.cosine_similarity(answer[known], expected[known], dim=0) > least


CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"))


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_half_precision_scores_like_single(folder, model, inputs, device):
    half, _ = load(folder, device=device, dtype="bfloat16")
    expected, answer = first_logits(model, inputs), first_logits(half, inputs).cpu()
    known = expected > torch.finfo(torch.bfloat16).min / 2  # not those of placeholders
    assert torch.cosine_similarity(answer[known], expected[known], dim=0) > 0.99


@pytest.mark.parametrize(
    ("device", "attention"),
    [
        ("cpu", "sdpa"),
        pytest.param(
            "cuda",
            "flash_attention_2",
            marks=pytest.mark.skipif(
                not (torch.cuda.is_available() and is_flash_attn_2_available()),
                reason="needs a CUDA GPU and flash-attn",
            ),
        ),
    ],
)
def test_attention_implementations_score_alike(folder, inputs, device, attention):
    plain, _ = load(folder, device=device, dtype="bfloat16", attn_implementation="eager")
    fast, _ = load(folder, device=device, dtype="bfloat16", attn_implementation=attention)
    expected, answer = first_logits(plain, inputs), first_logits(fast, inputs)
    known = expected > torch.finfo(torch.bfloat16).min / 2
    assert torch.cosine_similarity(answer[known], expected[known], dim=0) > 0.99


def test_mistakes_about_bits_are_named(monkeypatch):
    assert quantization_config(None) is None
    with pytest.raises(VideoLmmError, match="4bit or 8bit"):
        quantization_config("3bit")
    monkeypatch.setattr("video_lmms.hub.loading.is_bitsandbytes_available", lambda: False)
    with pytest.raises(VideoLmmError, match=r"video-lmms\[quantization\]"):
        quantization_config("4bit")


def compiled_answer(model, inputs, backend):
    """What `generate` answers with a static cache and a compiled decoding step, and what was compiled with."""
    compiles = []
    original = model.get_compiled_call

    def counted(config):
        compiles.append(config.backend)
        return original(config)

    model.get_compiled_call = counted
    compile_config = CompileConfig(fullgraph=True, dynamic=False, backend=backend)
    compile_config._compile_all_devices = True  # else only accelerators compile
    settings = GenerationConfig.from_dict(model.generation_config.to_dict())
    settings.update(**GREEDY, cache_implementation="static", compile_config=compile_config)
    try:
        return model.generate(**inputs, generation_config=settings), compiles
    finally:
        del model.get_compiled_call
        torch.compiler.reset()


@pytest.mark.parametrize("kind", COMPILED)
def test_decoding_is_one_graph_with_a_static_cache(kind):
    model, inputs = TINY_MODELS[kind].tiny_model(), inputs_of(TINY_MODELS[kind].tiny_processor())
    answer, compiles = compiled_answer(model, inputs, "eager")
    assert compiles
    assert torch.equal(answer.sequences, model.generate(**inputs, **GREEDY).sequences)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("kind", COMPILED)
def test_compiled_decoding_scores_alike(kind):
    model, inputs = TINY_MODELS[kind].tiny_model(), inputs_of(TINY_MODELS[kind].tiny_processor())
    answer, compiles = compiled_answer(model, inputs, "inductor")
    assert compiles
    plain = model.generate(**inputs, **GREEDY)
    # The first token comes from the whole prompt, the second from the compiled step.
    for found, expected in zip(answer.logits[:2], plain.logits[:2], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


class NoDouble(TorchDispatchMode):
    """Notes operations that make 64-bit floating-point numbers, which Apple's GPUs do not have."""

    def __init__(self):
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(result)):
            self.found.add(str(func))
        return result


def test_nothing_needs_what_apples_gpus_lack(name, model, inputs):
    """VideoTGB alone counts in 64 bits, in its choice of frames, and takes that to the processor on such a machine."""
    with NoDouble() as mode:
        first_logits(model, inputs)
    assert bool(mode.found) == name.startswith("videotgb")


def test_frames_are_chosen_on_the_processor_where_the_accelerator_cannot_count(monkeypatch):
    spans, lengths = torch.tensor([[[2, 9], [4, 11]]]), torch.tensor([16])
    expected = pick_frames(spans, lengths, 32, 4, "length")
    moved = []
    monkeypatch.setattr(frame_choice, "has_doubles", lambda device: moved.append(device) or False)
    assert torch.equal(pick_frames(spans, lengths, 32, 4, "length"), expected)
    assert moved == [spans.device]
