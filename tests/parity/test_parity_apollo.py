# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Apollo against its original: every stored tensor and table of every case."""

import inspect

import numpy as np
import pytest
import torch
from parity.cases import compare, covered
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.video_utils import VideoMetadata

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts.convert_apollo import tower_kind
from video_lmms.processing.chat_templates_apollo import timestamp, video_preamble
from video_lmms.processing.frame_sampling_apollo import (
    ClipPlan,
    clip_indices,
    clip_times,
    count_clips,
    effective_ratio,
)
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor, pad_to_square
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


MODEL = "apollo"
PIXELS = (
    "pixel_values",
    "pixel_values_internvideo2",
    "pixel_values_videos",
    "pixel_values_videos_internvideo2",
    "num_clips",
)
# Options of a run that describe it and are no arguments of `generate`.
DESCRIPTIONS = {"device", "encode_chunk_size", "padding_side", "repetition_penalty_scope", "output"}
PIXEL_NAMES = {"siglip": "pixel_values_videos", "internvideo2": "pixel_values_videos_internvideo2"}


@pytest.fixture
def model(case_run, converted):
    return AutoModelForImageTextToText.from_pretrained(converted(*case_run), dtype="auto").eval()


@pytest.fixture
def processor(case, converted):
    return AutoProcessor.from_pretrained(converted(case, case.runs[0]))


def contract_inputs(case, run, config):
    """The run's inputs with the converted model's placeholder ids and one frame per image."""
    inputs = case.inputs(run)
    kinds = run.get("placeholder_kind_per_sample", [])
    for row, kind in zip(inputs["input_ids"], kinds, strict=False):
        if kind is not None:
            row[row == run["placeholder_id"]] = getattr(config, f"{kind}_token_id")
    for name in ("pixel_values", "pixel_values_internvideo2"):
        if name in inputs and inputs[name].dim() == 5:
            inputs[name] = inputs[name][:, 0]
    return inputs


def without_dummy_clips(inputs, run):
    """The original wants a clip for every sample; the house wants none for a sample without placeholders."""
    tokens = run.get("visual_tokens_per_sample", [])
    if "num_clips" not in inputs or len(tokens) != len(inputs["num_clips"]):
        return inputs
    wanted = torch.tensor(tokens) > 0
    clips = wanted.repeat_interleave(inputs["num_clips"])
    kept = {name: inputs[name][clips] for name in PIXEL_NAMES.values()}
    return inputs | kept | {"num_clips": inputs["num_clips"][wanted]}


def all_clips(inputs):
    """Clips of all media, videos first, an image as a clip of one frame; for both towers."""
    parts = {tower: [] for tower in PIXEL_NAMES}
    for tower, name in PIXEL_NAMES.items():
        if name in inputs:
            parts[tower] += list(inputs[name])
        image = name.replace("_videos", "")
        if image in inputs:
            parts[tower] += list(inputs[image].unsqueeze(1))
    return parts


def vision_tensors(model, inputs, towers):
    """What the towers and the connector make of each clip, by the role that the cases give it."""
    tower, seen, grids = model.model.vision_tower, {}, {}
    parts = all_clips(inputs)
    for kind, encode in (("siglip", tower.encode_siglip), ("internvideo2", tower.encode_internvideo2)):
        grids[kind] = torch.cat([encode(clip.unsqueeze(0)).last_hidden_state for clip in parts[kind]])
    for name in towers:
        seen[f"vision_features.{name}"] = grids[tower_kind(name)]
    seen["fused_vision_features"] = tower.fuse(grids)
    seen["projector_output"] = model.model.multi_modal_projector(seen["fused_vision_features"])
    seen["connector_output"] = model.model.resampler(seen["projector_output"])
    return seen


def run_forward(model, inputs, run, towers):
    """Outputs of one forward pass by role."""
    seen = {"labels": inputs.get("labels")}

    def hook(module, args, kwargs):
        seen.update({name: kwargs[name] for name in ("inputs_embeds", "attention_mask")})

    handle = model.model.language_model.register_forward_pre_hook(hook, with_kwargs=True)
    with torch.no_grad():
        outputs = model(**without_dummy_clips(inputs, run))
        if "pixel_values_videos" in inputs or "pixel_values" in inputs:
            seen |= vision_tensors(model, inputs, towers)
    handle.remove()
    return seen | {"logits": outputs.logits, "loss": outputs.loss}


def run_generate(model, processor, inputs, options):
    """New tokens only, padded to the stored length as the original does."""
    options = {key: value for key, value in options.items() if key not in DESCRIPTIONS}
    if "stop_strings" in options:
        options["tokenizer"] = processor.tokenizer
    new = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
    padding = options["max_new_tokens"] - new.shape[1]
    return torch.nn.functional.pad(new, (0, padding), value=options["pad_token_id"])


def test_run_matches_the_original(case_run, model, converted):
    case, run = case_run
    inputs, options = contract_inputs(case, run, model.config), run.get("options", {})
    model.config.vision_chunk_size = options.get("encode_chunk_size")
    if "generated_ids" in run["expected"]:
        processor = AutoProcessor.from_pretrained(converted(case, run))
        inputs = without_dummy_clips(inputs, run)
        seen = {"generated_ids": run_generate(model, processor, inputs, case.generate_options(run))}
    else:
        towers = case.spec["dims"]["tower_order"]
        assert [tower_kind(name) for name in towers] == model.config.vision_config.towers
        seen = run_forward(model, inputs, run, towers)
    for role, name in run["expected"].items():
        compare(case, name, seen[role])


def test_the_published_penalty_is_the_default(case_run, model, converted):
    """Without any option but greedy decoding, the stored generation configuration gives the stored answer."""
    case, run = case_run
    penalty = model.generation_config.repetition_penalty
    options = run.get("options", {})
    if "generated_ids" not in run["expected"] or options.get("repetition_penalty") != penalty:
        return  # a run with other generation options
    inputs = without_dummy_clips(contract_inputs(case, run, model.config), run)
    length = case.tensors("expected")[run["expected"]["generated_ids"]].shape[1]
    sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    new = model.generate(**inputs, **sampling, max_new_tokens=length)[:, inputs["input_ids"].shape[1] :]
    expected = case.tensors("expected")[run["expected"]["generated_ids"]]
    assert torch.equal(new, expected[:, : new.shape[1]])


def test_every_expected_tensor_is_compared(case):
    stored = set(case.tensors("expected"))
    assert stored == covered(case), "tensors that no run compares, or that are not stored"
    assert stored <= set(case.spec["compare"]), "tensors without a rule"


def test_every_input_is_used(case):
    used = {name for run in case.runs for name in run["inputs"].values()}
    assert set(case.tensors("inputs")) == used


@pytest.mark.parametrize("chunk", [1, 3, None])
def test_chunks_do_not_matter(case, converted, chunk):
    run = max(case.runs, key=lambda run: len(run["inputs"]))
    model = AutoModelForImageTextToText.from_pretrained(converted(case, run), dtype="auto").eval()
    inputs = contract_inputs(case, run, model.config)
    videos = {name: inputs[name] for name in PIXELS if name.endswith("_videos") or "videos_" in name}
    with torch.no_grad():
        model.config.vision_chunk_size = 2
        expected = model.get_video_features(**videos).last_hidden_state
        model.config.vision_chunk_size = chunk
        actual = model.get_video_features(**videos).last_hidden_state
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


def test_left_padded_batch_equals_single_runs(case, converted):
    """Prompts of a ragged batch, left-padded, give the logits and answers that each gives alone."""
    batches = [run for run in case.runs if {"attention_mask", "num_clips"} <= run["inputs"].keys()]
    run = next(run for run in batches if set(run["placeholder_kind_per_sample"]) == {"video"})
    model = AutoModelForImageTextToText.from_pretrained(converted(case, run), dtype="auto").eval()
    inputs = contract_inputs(case, run, model.config)
    mask = inputs["attention_mask"].bool()
    prompts = [row[keep] for row, keep in zip(inputs["input_ids"], mask, strict=True)]
    width = max(map(len, prompts)) + 1
    pad = model.generation_config.pad_token_id
    batch = torch.stack([torch.nn.functional.pad(row, (width - len(row), 0), value=pad) for row in prompts])
    keep = torch.stack([torch.arange(width) >= width - len(row) for row in prompts]).long()
    pixels = {name: inputs[name] for name in PIXELS if name in inputs}
    options = {"do_sample": False, "max_new_tokens": 6, "output_logits": True, "return_dict_in_generate": True}
    together = model.generate(input_ids=batch, attention_mask=keep, **pixels, **options)
    first = 0
    for number, (row, count) in enumerate(zip(prompts, inputs["num_clips"].tolist(), strict=True)):
        own = {name: pixels[name][first : first + count] for name in PIXEL_NAMES.values()}
        own["num_clips"] = inputs["num_clips"][number : number + 1]
        alone = model.generate(input_ids=row.unsqueeze(0), **own, **options)
        steps = zip(together.logits, alone.logits, strict=False)
        for step, (batched, single) in enumerate(steps):
            torch.testing.assert_close(batched[number], single[0], atol=1e-5, rtol=0, msg=f"row {number} step {step}")
        new = alone.sequences[0, len(row) :]
        assert torch.equal(together.sequences[number, width : width + len(new)], new)
        first += count


def test_prompts_are_exact(case, processor):
    ids = {processor.image_token_id, processor.video_token_id}
    for row in case.table("prompts")["prompts"]:
        if row["turns"] is not None:
            roles = ("user", "assistant")
            turns = [turn for turn in row["turns"] if turn is not None]
            open_role = roles[len(turns) % 2] if len(turns) < len(row["turns"]) else None
            messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
            if open_role == "user":  # a turn without text is left open
                messages.append({"role": "user", "content": ""})
            prompt = processor.apply_chat_template(messages, add_generation_prompt=open_role == "assistant")
            assert prompt == row["prompt"]
        tokens = processor.tokenizer(row["prompt"])["input_ids"]
        tokens = [-200 if token in ids else token for token in tokens]
        if row["turns"] is None and row["prompt"].startswith("<|"):
            # The original loses the first token of the last text here.
            lost = [n for n in range(len(tokens)) if tokens[:n] + tokens[n + 1 :] == row["input_ids"]]
            assert lost or tokens == row["input_ids"]
        else:
            assert tokens == row["input_ids"], row["prompt"]


def plan_of(row):
    return ClipPlan(
        row["clip_duration"],
        row["frames_per_clip"],
        row["tokens_per_clip"],
        row["model_max_length"],
        row["clip_sampling_ratio"],
    )


def test_clip_placement_is_exact(case):
    for row in case.table("preprocess")["sampling_cases"]:
        plan, total, fps = plan_of(row), row["total_frames"], row["fps"]
        clips = clip_indices(total, fps, count_clips(total, fps, plan), plan)
        assert len(clips) == row["num_clips"], row
        assert effective_ratio(total, fps, plan) == pytest.approx(row["effective_ratio"], abs=1e-12)
        if row["out_of_range"]:  # the original asks for frames that do not exist
            assert all(0 <= index < total for clip in clips for index in clip)
            continue
        assert clips == row["indices"], row
        times = clip_times(clips, fps)
        assert np.allclose(times, row["timestamps"], atol=1e-12, rtol=0)
        assert [timestamp(*pair) for pair in times] == row["timestamp_text"]


def video_processor_of(case, processor, **options):
    """The converted processor's twin with other options, its statistics and sizes unchanged."""
    settings = processor.video_processor.to_dict()
    names = inspect.get_annotations(ApolloVideoProcessor.valid_kwargs)
    return ApolloVideoProcessor(**({key: value for key, value in settings.items() if key in names} | options))


def test_preamble_is_exact(case, processor):
    """From the metadata alone, and through the processor with a video of that length."""
    for row in case.table("preprocess")["videos"]:
        plan, total, fps = plan_of(row), row["total_frames"], row["fps"]
        clips = clip_indices(total, fps, count_clips(total, fps, plan), plan)
        assert clips == row["clip_frame_indices"]
        tokens = "<|video_token|>" * row["tokens_per_clip"]
        assert video_preamble(clip_times(clips, fps), total / fps, plan.clip_duration, tokens) == row["replace_string"]
        chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Why?"}]}]
        prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
        video = np.zeros((total, 16, 16, 3), np.uint8)
        metadata = VideoMetadata(total_num_frames=total, fps=fps)
        inputs = processor(text=prompt, videos=[video], video_metadata=[metadata], return_tensors="pt")
        expanded = prompt.replace("<|video_token|>", row["replace_string"])
        assert inputs["input_ids"].tolist() == [processor.tokenizer(expanded)["input_ids"]]
        assert inputs["num_clips"].tolist() == [row["num_clips"]]
        assert processor.num_video_tokens(metadata) == row["num_clips"] * row["tokens_per_clip"]


def stored_pixels(case, start, stop):
    """Both towers' stored clips, in the contract's layout."""
    stored, run = case.tensors("inputs"), max(case.runs, key=lambda run: len(run["inputs"]))
    pixels = {}
    for tower, name in PIXEL_NAMES.items():
        clips = stored[run["inputs"][name]]
        if name in run.get("permute", {}):
            clips = clips.permute(run["permute"][name])
        pixels[tower] = clips[start:stop]
    return pixels


@pytest.mark.parametrize(("backend", "tolerance"), [("exact", 1e-6), ("torchvision", 0.0079)])
def test_video_pixels(case, processor, backend, tolerance):
    video_processor = video_processor_of(case, processor, do_sample_frames=False, backend=backend)
    for row in case.table("preprocess")["videos"]:
        frames = case.tensors("preprocess")[f"{row['key']}.raw_frames"].numpy()
        actual = video_processor([frames], return_tensors="pt")
        expected = stored_pixels(case, *row["batch_clip_range"])
        name = PIXEL_NAMES["siglip"]
        torch.testing.assert_close(actual[name], expected["siglip"], atol=tolerance, rtol=0)
        name = PIXEL_NAMES["internvideo2"]
        torch.testing.assert_close(actual[name], expected["internvideo2"], atol=1e-6, rtol=0)


def test_image_pixels(case, processor):
    """An image's frame is every frame of the stored clip; on its way through the prompt it costs one clip."""
    image = case.table("preprocess").get("image")
    if image is None:
        return
    pixels = case.tensors("preprocess")[f"{image['key']}.raw"].numpy()
    actual = processor(text="<|image_token|>\n\nq", images=[Image.fromarray(pixels)], return_tensors="pt")
    expected = stored_pixels(case, *image["batch_clip_range"])
    torch.testing.assert_close(actual["pixel_values"], expected["siglip"][:, 0], atol=1e-6, rtol=0)
    for frame in expected["internvideo2"].unbind(1):
        torch.testing.assert_close(actual["pixel_values_internvideo2"], frame, atol=1e-6, rtol=0)
    assert (actual["input_ids"] == processor.image_token_id).sum() == processor.tokens_per_clip


def extras_of(case):
    tensors = case.tensors("preprocess")
    return sorted({name.split(".")[0] for name in tensors if name.startswith("extra")}), tensors


def test_extra_pixels(case, processor):
    names, tensors = extras_of(case)
    for extra in names:
        frames = tensors[f"{extra}.raw_frames"].numpy()
        per_clip = len(frames)
        video_processor = video_processor_of(case, processor, do_sample_frames=False, frames_per_clip=per_clip)
        actual = video_processor([frames], return_tensors="pt")
        for name in (name for name in tensors if name.startswith(f"{extra}.pixel_values.")):
            tower = tower_kind(name)
            expected = tensors[name].permute(0, 2, 1, 3, 4) if tower == "internvideo2" else tensors[name]
            torch.testing.assert_close(actual[PIXEL_NAMES[tower]], expected, atol=1e-6, rtol=0)
        padded = tensors[f"{extra}.padded_mean_127"].numpy()
        assert (pad_to_square(frames[0], (127, 127, 127)) == padded[0]).all()


def test_full_size_pixels(case):
    """The published sizes and statistics are the processors' defaults; the case stores every so-manieth pixel."""
    tensors = case.tensors("preprocess")
    if "fullres.raw_frames" not in tensors:
        return
    frames = tensors["fullres.raw_frames"].numpy()
    video = ApolloVideoProcessor(do_sample_frames=False, frames_per_clip=len(frames))([frames], return_tensors="pt")
    images = ApolloImageProcessor()(images=list(frames), return_tensors="pt")
    for name in (name for name in tensors if name.startswith("fullres.") and name != "fullres.raw_frames"):
        tower, stride = tower_kind(name), int(name.rpartition("every")[2].removesuffix("th"))
        expected = tensors[name].permute(0, 2, 1, 3, 4) if tower == "internvideo2" else tensors[name]
        actual = video[PIXEL_NAMES[tower]][..., ::stride, ::stride]
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
        still = images[PIXEL_NAMES[tower].replace("_videos", "")][..., ::stride, ::stride]
        torch.testing.assert_close(still, expected[0], atol=1e-6, rtol=0)


def test_every_stored_frame_tensor_is_used(case):
    """Nothing in the preprocessing tensors escapes the tests above."""
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    keys = {row["key"] for row in table["videos"]} | set(extras_of(case)[0])
    keys |= {table["image"]["key"]} if "image" in table else set()
    unused = {name for name in tensors if name.split(".")[0] not in keys and not name.startswith("fullres.")}
    assert not unused


def test_conversations_give_the_stored_ids(case, processor):
    """Every run's source text, through the chat template, is the run's input."""
    media = {row["key"]: row["replace_string"] for row in case.table("preprocess")["videos"]}
    for run in case.runs:
        inputs = case.inputs(run)
        for number, sample in enumerate(run["conversations"]):
            text = media.get(sample["media"], "<|image_token|>" * processor.tokens_per_clip)
            question = sample["question"] if sample["media"] is None else f"{text}\n\n{sample['question']}"
            messages = [{"role": "user", "content": question}]
            if sample["answer"] is not None:
                messages.append({"role": "assistant", "content": sample["answer"]})
            encoded = processor.tokenizer.apply_chat_template(
                messages,
                chat_template=processor.chat_template,
                tokenize=True,
                return_dict=True,
                add_generation_prompt=sample["answer"] is None,
                return_assistant_tokens_mask=sample["answer"] is not None,
            )
            tokens = encoded["input_ids"]
            row = inputs["input_ids"][number]
            keep = inputs["attention_mask"][number].bool() if "attention_mask" in inputs else torch.ones_like(row) > 0
            placeholders = {processor.image_token_id, processor.video_token_id}
            assert [-200 if token in placeholders else token for token in tokens] == row[keep].tolist()
            if "labels" in inputs:
                learned = torch.tensor(encoded["assistant_masks"]).bool()
                expected = torch.tensor(tokens).masked_fill(~learned, -100)
                assert torch.equal(expected, inputs["labels"][number][keep])
