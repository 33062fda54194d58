"""Video-LLaMA against its original: every stored tensor and table of every case."""

import json
import math
import random
from contextlib import ExitStack
from functools import reduce

import numpy as np
import pytest
import torch
from parity.cases import compare, covered
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts.checkpoint_files import open_pickle
from video_lmms.conversion_scripts.convert_video_llama import PLACEHOLDERS
from video_lmms.evaluation.video_llama import decode_answer, extract_answer
from video_lmms.modeling.modeling_video_llama import StopSequences
from video_lmms.processing.audio_reader import AudioSamples
from video_lmms.processing.audio_resampling import read_resampled
from video_lmms.processing.chat_templates_video_llama import PROMPTS, chat_template
from video_lmms.processing.feature_extraction_video_llama import clip_stretches, clip_times
from video_lmms.processing.frame_sampling_video_llama import (
    headtail_indices,
    original_uniform_indices,
    timestamps_message,
    uniform_indices,
)
from video_lmms.processing.video_reader import VideoReader
from video_lmms.training.original_frames_video_llama import crop_and_resize, to_bytes
from video_lmms.training.original_text_video_llama import (
    clean_caption,
    to_turns,
    tokenize_captions,
    tokenize_llama,
    tokenize_vicuna,
)


MODEL = "video_llama"
# What the original stops at, whatever the tokenizer; ours are derived from it.
ORIGINAL_STOPS = {"vicuna": [[835], [2277, 29937]], "llama_v2": [[2]]}


@pytest.fixture
def folder(case_run, converted):
    return converted(*case_run)


@pytest.fixture
def model(folder):
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto").eval()
    model.config.stop_sequences = None
    model.config.vision_chunk_size = None  # hooks see every frame in one call
    return model


@pytest.fixture
def processor(case, converted):
    return AutoProcessor.from_pretrained(converted(case, case.runs[0]))


def inputs_of(case, run, config):
    """The run's inputs under the names and layouts of the model."""
    stored = case.tensors("inputs")
    inputs = {role: stored[name].clone() for role, name in run["inputs"].items()}
    inputs |= {role: torch.tensor(values) for role, values in run.get("literal_inputs", {}).items()}
    media = {part["role"]: part["medium"] for part in run["placeholders"]}
    for part in run["placeholders"]:
        assert part["already_expanded"]
        native = getattr(config, f"{part['medium']}_token_id")
        inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == part["placeholder_id"], native)
    for role in ("pixel_values", "pixel_values_videos"):
        if role in inputs:
            frames = inputs.pop(role).float()
            frames = frames.unsqueeze(1) if frames.dim() == 4 else frames.transpose(1, 2)
            if media[role] == "audio":
                inputs["audio_pixel_values"] = frames
            else:
                inputs[role] = frames if role == "pixel_values_videos" else frames[:, 0]
    return inputs


def observe(model, stack, seen):
    """Records what passes between the parts of the model."""

    def output(name, module, pick=lambda value: value):
        def hook(module, args, value):
            seen.setdefault(name, pick(value))

        stack.callback(module.register_forward_hook(hook).remove)

    def given(name, module, pick=lambda args, kwargs: args[0]):
        def hook(module, args, kwargs):
            seen.setdefault(name, pick(args, kwargs))

        stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

    base = model.model
    tower = base.vision_tower
    output("vit_patch_embeds", tower.embeddings.patch_embedding, lambda grid: grid.flatten(2).transpose(1, 2))
    output("vit_block0_out", tower.encoder.layers[0])
    given("vit_out", tower.post_layernorm)
    output("vision_features", tower.post_layernorm)
    output("qformer_embeddings_out", base.qformer.transformer.layernorm)
    output("qformer_out", base.qformer)
    given("frame_tokens_with_position", base.video_qformer.qformer)
    output("video_qformer_out", base.video_qformer.qformer)
    output("connector_output", base.video_qformer)
    if model.config.audio_config is not None:
        output("imagebind_audio_trunk_out", base.audio_tower, lambda outputs: outputs.last_hidden_state)
        output("audio_features", base.audio_tower, lambda outputs: outputs.pooler_output)
        output("audio_qformer_out", base.audio_qformer.qformer)
        output("audio_connector_output", base.audio_qformer)
    if model.config.audio_training_config is not None:
        output("imagebind_vision_embed", base.audio_training_tower, lambda outputs: outputs.pooler_output)
    given("inputs_embeds", base.language_model, lambda args, kwargs: kwargs["inputs_embeds"])
    output("last_hidden_state", base.language_model, lambda outputs: outputs.last_hidden_state)


def run_generate(model, inputs, options, pad):
    """New ids of a whole-length answer."""
    options = {key: value for key, value in options.items() if key not in ("dtype", "mode")}
    dropped = options.pop("drop_leading_positions", 0)
    options.pop("max_length_original", None)
    for name in ("input_ids", "attention_mask"):
        inputs[name] = inputs[name][:, dropped:]
    if options["pad_token_id"] < 0:  # what the file says; the library refuses it
        options["pad_token_id"] = pad
    return model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]


def look_up(table, pointer):
    return reduce(lambda value, key: value[key], pointer.strip("/").split("/"), table)


def test_run_matches_the_original(case_run, folder, model):
    case, run = case_run
    inputs, roles, seen = inputs_of(case, run, model.config), run["expected"], {}
    if "max_new_tokens" in run["options"]:
        processor = AutoProcessor.from_pretrained(folder)
        in_chat = "expected_table" in run
        if in_chat:
            model.config.stop_sequences = ORIGINAL_STOPS[case.spec["llm_style"]]
        new = run_generate(model, inputs, run["options"], processor.tokenizer.pad_token_id)
        begin = torch.full((len(new), 1), run["options"]["bos_token_id"])
        seen = {"generated_ids": new, "generated_ids_raw": torch.cat([begin, new], dim=1)}
        if in_chat:
            table = case.table(run["expected_table"]["file"].removesuffix(".json"))
            assert new[0].tolist() == look_up(table, run["expected_table"]["pointer"])
            text = decode_answer(new[0].tolist(), processor.tokenizer)
            expected = look_up(table, run["expected_table"]["text_pointer"])
            assert extract_answer(text, case.spec["llm_style"]) == expected
    else:
        with ExitStack() as stack, torch.no_grad():
            observe(model, stack, seen)
            outputs = model(**inputs)
        seen |= {"logits": outputs.logits, "loss": outputs.loss}
    for role, name in roles.items():
        compare(case, name, seen[role])


def test_every_expected_tensor_is_compared(case):
    stored = set(case.tensors("expected"))
    assert stored == covered(case), "tensors that no run compares, or that are not stored"
    assert stored <= set(case.spec["compare"]), "tensors without a rule"


def test_placeholders_cannot_be_uttered(case_run, model):
    """Rows appended for placeholders take no part in any softmax."""
    case, run = case_run
    rows = case.spec["vocabulary"]["llm_rows"]
    assert model.config.output_vocab_size == rows
    assert model.get_input_embeddings().num_embeddings == rows + len(PLACEHOLDERS)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 5, 9]])).logits
    assert (logits[..., rows:] == torch.finfo(logits.dtype).min).all()
    assert (logits[..., :rows] > torch.finfo(logits.dtype).min).all()


def test_alternatives_give_the_same_model(case, converted):
    """A language model merged from base and delta is the merged one, bit for bit."""
    whole = AutoModelForImageTextToText.from_pretrained(converted(case, case.runs[0]), dtype="auto").state_dict()
    for alternative in case.spec["convert"].get("alternatives", []):
        folder = converted(case, {"options": {}, **alternative})
        other = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto").state_dict()
        assert whole.keys() == other.keys()
        for name, tensor in whole.items():
            assert torch.equal(tensor, other[name]), name


def test_manifest_is_accounted_for(case, processor, converted):
    """Every tensor of every file is used, replaced, or listed as deliberately unused."""
    pieces = json.loads((converted(case, case.runs[0]) / "provenance.json").read_text())["pieces"]
    by_file = {file: piece for piece in pieces.values() for file in piece["files"]}
    for file, content in case.table("checkpoint_manifest").items():
        names = content["tensors"]
        assert set(open_pickle(case.folder / "checkpoint" / file)) == set(names)
        piece = by_file[file]
        unused = piece["unused"] + piece["overridden"]
        assert len(names) == piece["used"] + len(unused)
        assert set(unused) <= set(names)


# ---- prompts


def chat_of(operations):
    """The original's operations as chat messages; stops before each answer, with the prompts' number."""
    messages = []
    for operation in operations:
        kind = operation["op"]
        if kind == "system":
            messages.append({"role": "system", "content": operation["text"]})
        elif kind == "upload_image":
            messages.append({"role": "user", "content": [{"type": "image"}]})
        elif kind.startswith("upload_video"):
            indices = uniform_indices(operation["total_frames"], 8)
            video = {"type": "video", "timestamps": timestamps_message(indices, operation["fps"])}
            heard = kind == "upload_video_with_audio" and operation.get("audio_ok", True)
            messages.append({"role": "user", "content": [{"type": "audio"}, video] if heard else [video]})
        elif kind == "ask":
            messages.append({"role": "user", "content": operation["text"]})
        else:
            assert kind == "answer"
            messages.append({"role": "assistant", "content": operation["text"]})
    return messages


def segments_of(ids, marker):
    segments = [[]]
    for token in ids:
        if token == marker:
            segments.append([])
        else:
            segments[-1].append(token)
    return segments


def test_conversations_are_exact(case, processor):
    marker = processor.image_token_id
    scenarios = case.table("prompts")["scenarios"]
    assert scenarios
    for scenario in scenarios:
        messages = chat_of(scenario["ops"])
        template = chat_template(scenario["style"])
        answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        for at, expected in zip(answers, scenario["prompts_before_each_answer"], strict=True):
            prompt = processor.apply_chat_template(
                messages[:at], chat_template=template, add_generation_prompt=True, tokenize=False
            )
            assert prompt == expected["prompt"], scenario["name"]
            ids = processor.tokenizer(prompt)["input_ids"]
            assert segments_of(ids, marker) == expected["segment_token_ids"], scenario["name"]
            assert prompt.count(processor.image_token) == expected["num_media"]
        whole = processor.apply_chat_template(messages, chat_template=template, tokenize=False)
        assert whole == scenario["final_transcript"], scenario["name"]


def test_own_style_is_the_default(case, processor):
    assert processor.prompt_style == case.spec["llm_style"]
    assert processor.chat_template["default"] == chat_template(case.spec["llm_style"])
    assert set(processor.chat_template) == {"default", *PROMPTS}


def test_user_path_gives_the_stored_ids_and_pixels(case, processor):
    """From the clip and the question to the model's inputs, through the processor alone."""
    golden, stored = case.table("prompts")["chat_golden"], case.tensors("inputs")
    media = [part["medium"] for part in case.runs[0]["placeholders"]]
    content = [{"type": "text", "text": golden["question"]}]
    if media == ["image"]:
        image = Image.fromarray(case.tensors("preprocess")["image_uint8"].numpy())
        content.insert(0, {"type": "image", "image": image})
    else:
        content.insert(0, {"type": "video", "path": str(case.folder / "clip.mp4")})
    if "audio" in media:
        content.insert(0, {"type": "audio", "path": str(case.folder / "audio.wav")})
    chat = [{"role": "user", "content": content}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert prompt == golden["prompt"]
    inputs = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    native = {getattr(processor, f"{medium}_token_id"): medium for medium in ("image", "video", "audio")}
    stored_id = {part["medium"]: part["placeholder_id"] for part in case.runs[0]["placeholders"]}
    ids = [stored_id[native[token]] if token in native else token for token in inputs["input_ids"][0].tolist()]
    assert ids == stored["input_ids"][0].tolist()
    for role, name in case.runs[0]["inputs"].items():
        if role == "pixel_values":
            torch.testing.assert_close(inputs[role], stored[name][:, :, 0], atol=1e-6, rtol=0)
        elif role == "pixel_values_videos":
            torch.testing.assert_close(inputs[role], stored[name].transpose(1, 2), atol=1e-6, rtol=0)
        elif role == "input_features":
            torch.testing.assert_close(inputs[role], stored[name], atol=5e-4, rtol=0)


def test_stored_transcript_and_segments(case, processor):
    golden, stored = case.table("prompts")["chat_golden"], case.tensors("inputs")
    parts = golden["prompt"].split(processor.image_token)
    assert parts == golden["segments"]
    segments = segments_of(processor.tokenizer(golden["prompt"])["input_ids"], processor.image_token_id)
    names = sorted(name for name in stored if name.startswith("segment_ids_"))
    assert [stored[name].tolist() for name in names] == segments
    # The transcript is the prompt with the answer behind it.
    end = "###" if processor.prompt_style == "vicuna" else " </s>"
    assert golden["transcript_after"] == f"{golden['prompt']} {golden['answer_text']}{end}"


def test_training_text_is_exact(case, processor):
    for group in case.table("prompts")["training_text"]:
        tokenize = {"vicuna": tokenize_vicuna, "llama_v2": tokenize_llama}[group["model_type"]]
        for row in group["rows"]:
            turns = to_turns(row["source"], group["num_media_tokens"], row["video_message"])
            ids, labels = tokenize(turns, processor.tokenizer)
            assert ids == row["input_ids"]
            assert labels == row["labels"]


def test_caption_training_is_exact(case, processor):
    rows = {f"caption_stage{row['stage']}": row for row in case.spec["extra"]["caption_training"]}
    runs = {run["name"]: run for run in case.runs if run["name"].startswith("caption_")}
    assert rows.keys() == runs.keys()
    stored = case.tensors("inputs")
    for name, row in rows.items():
        tokens = runs[name]["placeholders"][0]["expands_to"]
        ids, labels, masks = tokenize_captions(
            row["captions"], processor.tokenizer, tokens, row["end_sym"], row["max_txt_len"], row["prompt"]
        )
        assert ids == runs[name]["literal_inputs"]["input_ids"]
        assert labels == stored[runs[name]["inputs"]["labels"]].tolist()
        assert masks == stored[runs[name]["inputs"]["attention_mask"]].tolist()


def test_stopping_is_exact(case):
    rows = case.table("prompts")["stopping"]
    assert rows
    for row in rows:
        stop = StopSequences(ORIGINAL_STOPS[row["style"]])
        assert stop(torch.tensor([row["sequence"]]), None).tolist() == [row["stop"]]


def test_own_stops_spell_the_end_of_a_turn(case, converted):
    """Stop sequences come from the tokenizer; the original's ids belong to LLaMA's alone."""
    folder = converted(case, case.runs[0])
    stops = AutoConfig.from_pretrained(folder).stop_sequences
    processor = AutoProcessor.from_pretrained(folder)
    if processor.prompt_style == "llama_v2":
        assert stops is None
        assert processor.tokenizer.eos_token_id == processor.tokenizer.convert_tokens_to_ids("</s>")
        return
    assert {processor.tokenizer.decode(stop).strip() for stop in stops} == {"###"}
    for words in ("### Human", "A square.###", "A square###"):
        ids = processor.tokenizer.encode(words, add_special_tokens=False)
        assert any(StopSequences(stops)(torch.tensor([ids[:end]]), None) for end in range(1, len(ids) + 1)), words


def test_captions_are_cleaned_as_the_original_does(case):
    for row in case.table("preprocess")["caption_cleaning"]:
        assert clean_caption(row["raw"]) == row["cleaned"]


# ---- frames, pixels, sound


def stored_at(case, run, side):
    """The tensor that a preprocessing run names as its source or expected result: FILE.safetensors#NAME[INDEX]."""
    place = next(entry for entry in case.spec["preprocess_runs"] if entry["name"] == run)[side]
    file, name = place.split("#")
    name, _, index = name.partition("[")
    tensor = case.tensors(file.removesuffix(".safetensors"))[name]
    places = [slice(None) if part.strip() == ":" else int(part) for part in index.rstrip("]").split(",") if part]
    return tensor[tuple(places)]


def test_frame_indices_are_exact(case):
    rows = case.table("preprocess")["sampling_table"]
    assert {row["sampling"] for row in rows} == {"uniform", "headtail"}
    for row in rows:
        total, count = row["total_frames"], row["num_frames"]
        if row["sampling"] == "headtail":
            assert headtail_indices(total, count, random.Random(row["seed"])) == row["indices"]
            continue
        original = original_uniform_indices(total, count)
        if "error" in row:
            assert max(original) >= total, "the original cannot decode what it asks for"
        if row.get("indices") is not None:
            assert original == row["indices"], row
        fixed = uniform_indices(total, count)
        assert (fixed == original) is row["floor_formula_gives_same"], row
        if row["floor_formula_gives_same"]:
            assert timestamps_message(fixed, row["fps"]) == row["message"]


def test_clip_is_sampled_decoded_and_resized_exactly(case, processor):
    clip, tensors = case.table("preprocess")["clip"], case.tensors("preprocess")
    with VideoReader.open(case.folder / clip["file"]) as reader:
        info = reader.info
        assert (info.num_frames, float(info.fps)) == (clip["total_frames"], clip["avg_fps"])
        frames = reader.read(clip["indices"])
    assert (frames == tensors["clip_frames_native_uint8"].numpy()).all()
    outputs = processor.video_processor(
        [str(case.folder / clip["file"])],
        num_frames=clip["requested_frames"],
        do_rescale=False,
        do_normalize=False,
        return_metadata=True,
    )
    (metadata,) = outputs["video_metadata"]
    assert metadata.frames_indices == clip["indices"]
    assert timestamps_message(metadata.frames_indices, metadata.fps) == clip["message"]
    resized = outputs["pixel_values_videos"][0].permute(0, 2, 3, 1)
    assert torch.equal(resized.to(torch.uint8), tensors["clip_frames_resized_by_decord_uint8"])


def test_settings_are_the_stored_ones(case, processor):
    table = case.table("preprocess")
    for part in (processor.video_processor, processor.image_processor):
        assert list(part.image_mean) == table["normalisation"]["mean"]
        assert list(part.image_std) == table["normalisation"]["std"]
        assert part.size["height"] == part.size["width"] == table["clip"]["target_size"]
    assert processor.video_processor.num_frames == table["clip"]["requested_frames"]


def test_decoded_frames_are_normalised_and_resized_closely(case, processor):
    """Frames that come decoded: at the model's size equal, at their own size as close as another resizer gets."""
    tensors = case.tensors("preprocess")
    frames = tensors["clip_frames_resized_by_decord_uint8"].numpy()
    pixels = processor.video_processor([frames], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
    expected = stored_at(case, "video_normalise", "expected").transpose(0, 1)
    torch.testing.assert_close(pixels[0], expected, atol=1e-6, rtol=0)
    native = tensors["clip_frames_native_uint8"].numpy()
    resized = processor.video_processor([native], do_sample_frames=False, do_rescale=False, do_normalize=False)
    resized = resized["pixel_values_videos"][0].permute(0, 2, 3, 1).float()
    assert np.abs(resized.numpy() - frames.astype(np.float32)).mean() <= 8


def test_images_are_exact(case, processor):
    tensors = case.tensors("preprocess")
    image = Image.fromarray(stored_at(case, "image_pixels", "source").numpy())
    raw = processor.image_processor(image, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"]
    assert torch.equal(raw[0].permute(1, 2, 0).to(torch.uint8), tensors["image_resized_uint8"])
    pixels = processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
    expected = stored_at(case, "image_pixels", "expected").reshape(pixels.shape)
    torch.testing.assert_close(pixels, expected, atol=1e-6, rtol=0)


def test_training_crop_is_exact(case, processor):
    table, tensors = case.table("preprocess")["train_crop"], case.tensors("preprocess")
    frames = tensors["clip_frames_resized_by_decord_uint8"].permute(0, 3, 1, 2)
    size = case.table("preprocess")["clip"]["target_size"]
    cropped = crop_and_resize(frames, tuple(table["box_top_left_h_w"]), size)
    # Of all frames; only the first are stored.
    assert (cropped < 0).sum() == table["values_below_0"]
    assert (cropped >= 256).sum() == table["values_ge_256"]
    cropped = cropped[: table["frames_stored"]].transpose(0, 1)
    torch.testing.assert_close(cropped, tensors["train_crop_float_before_uint8_cast"], atol=1e-3, rtol=0)
    stored = tensors["train_crop_float_before_uint8_cast"].transpose(0, 1)
    mean, std = (torch.tensor(case.table("preprocess")["normalisation"][key]).view(3, 1, 1) for key in ("mean", "std"))

    def normalise(values):
        return ((values / 255 - mean) / std).transpose(0, 1)

    expected = tensors["train_crop_pixel_values"]
    torch.testing.assert_close(normalise(to_bytes(stored, wrap=True)), expected, atol=1e-6, rtol=0)
    inside = ((stored >= 0) & (stored < 256)).transpose(0, 1)
    torch.testing.assert_close(normalise(to_bytes(stored))[inside], expected[inside], atol=1e-6, rtol=0)


def test_sound_is_exact(case, processor):
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    if "audio" not in table:
        assert "audio" not in [part["medium"] for run in case.runs for part in run["placeholders"]]
        return
    facts, extractor = table["audio"], processor.feature_extractor
    settings = (extractor.sampling_rate, extractor.feature_size, extractor.num_mel_frames, extractor.num_clips)
    stated = ("target_sample_rate", "num_mel_bins", "target_length", "clips")
    assert settings == tuple(facts[name] for name in stated)
    assert (extractor.mean, extractor.std) == (facts["mean"], facts["std"])
    for row in [{"duration": facts["seconds"], "clips_per_video": facts["clips"]}, *table["audio_clip_table"]]:
        times = row.get("clips", facts["clip_times_sec"])
        ranges = row.get("sample_ranges", facts["clip_sample_ranges"])
        ours = clip_times(row["duration"], row["clips_per_video"], extractor.clip_seconds)
        assert np.allclose([[float(a), float(b)] for a, b in ours], times, atol=1e-9, rtol=0)
        stretches = clip_stretches(
            row["duration"], row["clips_per_video"], extractor.clip_seconds, extractor.sampling_rate
        )
        assert [list(stretch) for stretch in stretches] == ranges
    features = extractor(str(case.folder / facts["file"]), return_tensors="pt")["input_features"]
    torch.testing.assert_close(features, case.tensors("inputs")["audio_values"], atol=5e-4, rtol=0)
    resample = table["audio_resample"]
    samples = tensors["resample_wav_int16"].numpy().T
    sound = AudioSamples(samples, resample["sample_rate"])
    length = math.ceil(sound.num_samples * resample["target_sample_rate"] / resample["sample_rate"])
    (waveform,) = read_resampled(sound, [(0, length)], resample["target_sample_rate"])
    torch.testing.assert_close(torch.from_numpy(waveform), tensors["resample_waveform_16k"], atol=1e-5, rtol=0)
    mels = extractor([samples], sampling_rate=resample["sample_rate"], return_tensors="pt")["input_features"][0]
    take = next(run for run in case.spec["preprocess_runs"] if run["name"] == "audio_features_44k1")["options"]
    torch.testing.assert_close(mels[take["take_clips"]], tensors["resample_mel_clips"], atol=5e-4, rtol=0)


def test_every_stored_preprocessing_tensor_is_used(case):
    """Nothing in the preprocessing tensors escapes the runs, and no run escapes the tests above."""
    runs = case.spec["preprocess_runs"]
    places = [run[side] for run in runs for side in ("source", "expected")]
    used = {place.split("#")[1].partition("[")[0] for place in places if place.startswith("preprocess.safetensors#")}
    assert set(case.tensors("preprocess")) == used
    tested = {"video_indices", "video_decode", "video_resize", "video_normalise", "image_resize", "image_pixels"}
    tested |= {"train_crop", "train_crop_pixels", "tokenise"}
    if "audio" in case.table("preprocess"):
        tested |= {"audio_features", "audio_resample_44k1", "audio_features_44k1"}
    assert {run["name"] for run in runs} == tested
