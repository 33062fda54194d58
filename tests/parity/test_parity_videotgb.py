"""VideoTGB against its original, whole checkpoints of both forms: every stored tensor and table of every case."""

import numpy as np
import pytest
import torch
from parity.cases import compare, covered
from transformers import AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.modeling.modeling_video_lmm import merge_features
from video_lmms.processing.frame_sampling_videotgb import (
    candidate_indices,
    demo_indices,
    middle_indices,
    rate_indices,
    span_indices,
    training_indices,
)
from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import question_of
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor, squash_frame


MODEL = "videotgb"
KIND = "full"
# What is not for `get_video_features`.
TEXT_SIDE = ("input_ids", "attention_mask", "decoder_input_ids", "labels")
# What a run says about decoding; the rest of its options describes the model.
DECODING = (
    "do_sample",
    "num_beams",
    "length_penalty",
    "early_stopping",
    "repetition_penalty",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "max_new_tokens",
)


@pytest.fixture
def model(case_run, converted):
    """The converted case, set as the run wants it."""
    case, run = case_run
    model = AutoModelForImageTextToText.from_pretrained(converted(case, run), dtype="auto").eval()
    options = run["options"]
    for name in {"num_frames", "frame_merge"} & options.keys():
        setattr(model.config, name, options[name])
    if "grounding_mode" in options:
        model.config.grounding_config.mode = options["grounding_mode"]
    return model


@pytest.fixture
def processor(case, converted):
    return AutoProcessor.from_pretrained(converted(case, case.runs[0]))


def normalized(frames, derived):
    """(frames, 3, H, W) uint8 -> what the tower sees, in the original's order of operations."""
    mean, std = (torch.tensor(derived[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (frames.float() / 255 - mean) / std


class Recorder:
    """What the submodules handed on in one forward pass."""

    def __init__(self, model):
        self.seen = {}
        inner = model.model
        self.flow = []
        text = getattr(inner.language_model, "encoder", inner.language_model)
        self.handles = [
            inner.flow_model.register_forward_hook(lambda module, args, output: self.flow.append(output)),
            inner.grounding.flow_embeddings.register_forward_hook(self.keep("temporal_embedding")),
            inner.grounding.register_forward_hook(self.keep_grounding),
            inner.multi_modal_projector.register_forward_hook(self.keep_projection),
            text.register_forward_pre_hook(self.keep_text, with_kwargs=True),
            text.register_forward_hook(self.keep_encoded),
        ]

    def keep(self, name):
        def hook(module, args, output):
            self.seen[name] = output

        return hook

    def keep_grounding(self, module, args, output):
        self.seen |= {"temporal_hidden": output.last_hidden_state, "span_logits": output.span_logits}

    def keep_projection(self, module, args, output):
        self.seen |= {"qformer_output_mean": args[0], "connector_output": output}

    def keep_text(self, module, args, kwargs):
        self.seen |= {
            "inputs_embeds": kwargs["inputs_embeds"].detach(),
            "merged_attention_mask": kwargs["attention_mask"],
        }

    def keep_encoded(self, module, args, output):
        self.seen["encoder_last_hidden_state"] = output.last_hidden_state

    def close(self):
        for handle in self.handles:
            handle.remove()
        if self.flow:
            flow = torch.cat(self.flow)
            self.seen |= {"flow_pair0_sub4": flow[0, :, ::4, ::4], "flow_sub8": flow[:, :, ::8, ::8]}


def prepend_media(inputs, counts, placeholder_id, pad_id):
    """Puts each row's visual tokens before its text; rows without media get padding there, as the original masks them.

    Args:
        counts: visual tokens of each row.
    """
    width = max(counts)
    shown = torch.arange(width) < torch.tensor(counts).unsqueeze(-1)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    before = torch.full(shown.shape, pad_id).masked_fill(shown, placeholder_id)
    inputs |= {
        "input_ids": torch.cat([before, ids], dim=1),
        "attention_mask": torch.cat([shown.to(mask.dtype), mask], dim=1),
    }


def video_inputs(case, run, model):
    """Inputs of a run on one clip, in the model's contract."""
    inputs = case.inputs(run)
    derived = run["derived_inputs"]["flow_pixel_values"]
    frames = normalized(inputs.pop("flow_frames_u8"), derived)
    candidates = frames[inputs.pop("frame_source_index")]
    inputs |= {
        "flow_pixel_values": frames,
        "num_flow_frames": torch.tensor([len(frames)]),
        "pixel_values_videos": candidates[None],
    }
    if run["options"].get("gumbel_noise") == "zeros":
        inputs["gumbel_noise"] = torch.zeros(model.config.grounding_config.num_draws, 2, len(frames), 1)
    config = model.config
    tokens = config.num_query_tokens * (config.num_frames if config.frame_merge == "concat" else 1)
    prepend_media(inputs, [tokens], config.video_token_id, config.text_config.pad_token_id)
    return inputs


def training_rows(question, question_mask, answer, answer_mask, pad_id):
    """Text and labels of a decoder-only batch as the original joins them: the answer right behind the question."""
    rows = {"input_ids": [], "attention_mask": [], "labels": []}
    for ids, mask, reply, reply_mask in zip(question, question_mask, answer, answer_mask, strict=True):
        length = int(mask.sum())
        joined = torch.cat([ids[:length], reply[1:], ids[length:]])
        labels = joined.masked_fill(joined == pad_id, -100)
        labels[:length] = -100
        rows["input_ids"].append(joined)
        rows["attention_mask"].append(torch.cat([mask[:length], reply_mask[1:], mask[length:]]))
        rows["labels"].append(labels)
    return {name: torch.stack(values) for name, values in rows.items()}


def training_inputs(case, run, model):
    """Inputs of a training batch whose frames are chosen already: each row's own, the rest of the video empty."""
    stored = case.inputs(run)
    derived = run["derived_inputs"]["selected_pixel_values"]
    pixels = normalized(stored["flow_frames_u8"], derived)[stored["frame_index"]]
    widths = stored["widths"].tolist()
    videos = [frames for frames in pixels.split(widths) if len(frames)]
    longest = max(map(len, videos), default=0)
    config, text = model.config, {name: stored[name] for name in ("input_ids", "attention_mask", "labels")}
    seen = {name: text[name] for name in text if name in run["expected"]}
    if not config.is_encoder_decoder and "question_input_ids" in stored:
        made = training_rows(
            *(stored[f"{part}_{kind}"] for part in ("question", "answer") for kind in ("input_ids", "attention_mask")),
            pad_id=config.text_config.pad_token_id,
        )
        assert all(torch.equal(made[name], text[name]) for name in made)
    inputs = dict(text)
    tokens = config.num_query_tokens
    counts = [tokens if width else 0 for width in widths]
    if videos:
        prepend_media(inputs, counts, config.video_token_id, config.text_config.pad_token_id)
        inputs |= {
            "pixel_values_videos": torch.nn.utils.rnn.pad_sequence(videos, batch_first=True),
            "frame_indices": torch.stack(
                [torch.arange(longest).masked_fill(torch.arange(longest) >= len(video), -1) for video in videos]
            ),
        }
        for name in ("qformer_input_ids", "qformer_attention_mask"):
            if name in stored:
                inputs[name] = stored[name][torch.tensor(widths) > 0]
    if not config.is_encoder_decoder:
        before = inputs["input_ids"].shape[1] - text["labels"].shape[1]
        inputs["labels"] = torch.nn.functional.pad(text["labels"], (before, 0), value=-100)
        inputs["position_ids"] = torch.arange(inputs["labels"].shape[1]).expand(len(widths), -1)
    return inputs, seen


# Flow of a clip of a case, computed by the first run that needs it: it depends on no option of a run.
FLOWS = {}


def cached_videos(case, run, model, inputs):
    """A `video_cache` of the run's clip, whose flow other runs of the clip may have computed."""
    clip = (case.folder, run["inputs"]["flow_frames_u8"])
    source = {name: inputs.pop(name) for name in ("pixel_values_videos", "flow_pixel_values", "num_flow_frames")}
    if clip in FLOWS:
        source = source | {"flow": FLOWS[clip], "flow_pixel_values": None}
    return model.get_video_cache(**source)


def run_forward(case, run, model, inputs):
    """Everything one forward pass shows."""
    recorder = Recorder(model)
    with torch.no_grad():
        outputs = model(**inputs)
    recorder.close()
    seen, features = recorder.seen, outputs.video_outputs
    choice = features.frame_choice
    if recorder.flow:
        flow = torch.cat(recorder.flow)
        FLOWS[case.folder, run["inputs"]["flow_frames_u8"]] = torch.cat([flow, flow[-1:]])
    pixels = inputs["pixel_values_videos"][0, choice.frame_indices[0]]
    return seen | {
        "logits": outputs.logits,
        "chosen_frames": choice.frame_indices,
        "span_index": choice.spans[0],
        "vision_features": features.last_hidden_state,
        "qformer_output": features.qformer_output,
        "pixel_values_slice": pixels[:, :, ::32, ::32],
    }


def embedded(model, inputs, features):
    """The prompt as the original hands it to `generate`, so that a penalty on repetition sees generated ids only."""
    embedding = model.get_input_embeddings()
    ids = inputs["input_ids"]
    media = {model.config.video_token_id: features.pooler_output}
    embeds = merge_features(ids, embedding(ids), media, embedding)
    start = torch.zeros(len(ids), 1, dtype=torch.long)
    return {"inputs_embeds": embeds, "input_ids": start, "attention_mask": inputs["attention_mask"]}


@torch.no_grad()
def run_generate(case, run, model, inputs):
    """Generated ids, with and without the id that precedes them in the original."""
    options = run["options"]
    decoding = {name: options[name] for name in DECODING if name in options}
    inputs = dict(inputs)
    cache = cached_videos(case, run, model, inputs)
    text = {name: inputs.pop(name) for name in TEXT_SIDE if name in inputs}
    recorder = Recorder(model)
    features = model.get_video_features(video_cache=cache, **inputs)
    recorder.close()
    if model.config.is_encoder_decoder:
        raw = model.generate(**text, **inputs, video_cache=cache, **decoding)
    elif options["repetition_penalty"] == 1:
        whole = model.generate(**text, **inputs, video_cache=cache, **decoding)
        new = whole[:, text["input_ids"].shape[1] :]
        raw = torch.cat([torch.zeros(len(new), 1, dtype=torch.long), new], dim=1)
    else:
        raw = model.generate(**embedded(model, text, features), **decoding)
    for old, new in options.get("output_id_map", {}).items():
        raw = raw.masked_fill(raw == int(old), new)
    choice = features.frame_choice
    return recorder.seen | {
        "generated_ids": raw[:, 1:],
        "generated_ids_raw": raw,
        "chosen_frames": choice.frame_indices,
        "span_index": choice.spans[0],
    }


def run_training_step(case, run, model):
    """Loss, gradients and what led to them."""
    model.requires_grad_(True)
    inputs, seen = training_inputs(case, run, model)
    recorder = Recorder(model)
    outputs = model(**inputs)
    outputs.loss.backward()
    recorder.close()
    return recorder.seen | seen | {"loss": outputs.loss, "logits": outputs.logits}


def test_run_matches_the_original(case_run, model):
    case, run = case_run
    roles = run["expected"]
    if run["options"].get("train_step"):
        seen = run_training_step(case, run, model)
    else:
        inputs = video_inputs(case, run, model)
        is_generation = any(role.startswith("generated_ids") for role in roles)
        seen = (run_generate if is_generation else run_forward)(case, run, model, inputs)
    if "chosen_flow_frames" in roles:
        seen["chosen_flow_frames"] = case.inputs(run)["frame_source_index"][seen["chosen_frames"][0]]
    parameters = dict(model.named_parameters())
    for role, name in roles.items():
        kind, _, parameter = role.partition(".")
        if kind == "grad":
            seen[role] = parameters[new_name(parameter)].grad
        compare(case, name, seen[role])


ORIGINAL_NAMES = (("language_projection.", "model.multi_modal_projector."),)


def new_name(parameter):
    """Where a parameter of the original's image model is found here."""
    for old, new in ORIGINAL_NAMES:
        if parameter.startswith(old):
            return new + parameter.removeprefix(old)
    return f"model.{parameter}"


def test_every_expected_tensor_is_compared(case):
    inputs = {name for name, rule in case.spec["compare"].items() if rule.get("role") == "input"}
    read = {name for run in case.runs for role, name in run["inputs"].items() if role in run.get("input_files", {})}
    assert inputs <= read, "recorded inputs that no run reads"
    stored = set(case.tensors("expected"))
    assert stored == covered(case) | inputs, "tensors that no run compares, or that are not stored"
    assert stored <= set(case.spec["compare"]), "tensors without a rule"


def asked(processor, question, template=None):
    """The prompt of one question about a video."""
    content = [{"type": "video"}, {"type": "text", "text": question}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=template, add_generation_prompt=True
    )


def test_evaluation_prompts_are_exact(case, processor):
    rows = case.table("prompts")["evaluation"]
    assert rows
    for row in rows:
        prompt = asked(processor, row["question"])
        bos = processor.tokenizer.bos_token or ""
        assert prompt == processor.video_token + bos + row["llm_prompt"]
        assert processor.plain_text(prompt) == row["llm_prompt"]
        assert question_of(row["llm_prompt"]) == row["sampler_text"]
        clip = np.zeros((3, 8, 8, 3), np.uint8)
        outputs = processor(text=[prompt], videos=[clip], do_sample_frames=False)
        visual = processor.num_video_tokens()
        assert outputs["input_ids"][0] == [processor.video_token_id] * visual + row["input_ids"]
        for name in ("sampler_input_ids", "qformer_input_ids"):
            assert (name in row) == (name in outputs)
            if name in row:
                assert outputs[name][0] == row[name], row["question"]


def turns_of(conversations):
    """The original's training annotation as chat messages, and the answer asked for."""
    messages = []
    for turn in conversations:
        text = turn["value"]
        if turn["from"] == "gpt":
            messages.append({"role": "assistant", "content": text})
            continue
        kinds = [kind for kind in ("video", "image") if f"<{kind}>" in text]
        for kind in kinds:
            text = text.replace(f"<{kind}>", "").strip()
        messages.append(
            {"role": "user", "content": [*({"type": kind} for kind in kinds), {"type": "text", "text": text}]}
        )
    first = next(place for place, message in enumerate(messages) if message["role"] == "user")
    return messages[first:-1], messages[-1]["content"]


def test_training_prompts_are_exact(case, processor):
    for row in case.table("prompts")["training_conversations"]:
        messages, answer = turns_of(row["annotation"]["conversations"])
        prompt = processor.apply_chat_template(messages, chat_template="training", add_generation_prompt=True)
        assert processor.plain_text(prompt) == row["question"], row
        ending = "</s>" if processor.tokenizer.bos_token else ""
        assert answer + ending == row["answer"]
        if processor.tokenizer.bos_token:
            whole = [*messages, {"role": "assistant", "content": answer}]
            rendered = processor.apply_chat_template(whole, chat_template="training")
            assert processor.plain_text(rendered) == row["question"] + row["answer"]
        if row["frames_of_32"] is not None:
            assert (
                span_indices(row["pseudo_label"], case.spec["convert"]["options"]["num-frames"]) == row["frames_of_32"]
            )
            assert len(row["frames_of_32"]) == row["width"]


def test_one_step_prompts_are_exact(case, processor):
    for row in case.table("prompts")["video_only_dataset"]:
        messages = [{"role": "user", "content": row["q"]}]
        prompt = processor.apply_chat_template(messages, chat_template="videoinstruct", add_generation_prompt=True)
        assert processor.plain_text(prompt) == row["question"]
        whole = [*messages, {"role": "assistant", "content": row["a"]}]
        rendered = processor.apply_chat_template(whole, chat_template="videoinstruct")
        assert processor.plain_text(rendered) == row["question"] + row["answer"]


def test_demo_prompts_are_exact(case, processor):
    tables = case.table("prompts")
    assert tables["roles"] == ["USER", "ASSISTANT"]
    for chat in tables["demo_chat"]:
        messages = []
        for turn in chat:
            media = [] if messages else [{"type": "video"}]
            messages.append({"role": "user", "content": [*media, {"type": "text", "text": turn["user"]}]})
            prompt = processor.apply_chat_template(messages, chat_template="demo", add_generation_prompt=True)
            assert processor.plain_text(prompt) == turn["prompt"]
            messages.append({"role": "assistant", "content": turn["reply"]})
    for name, template in {"v1": "v1", "lstp": "demo"}.items():
        row = tables["conv_templates"][name]
        roles = ["user", "assistant"] * 2
        messages = [
            {"role": role, "content": text} for role, text in zip(roles, row["turns"], strict=True) if text is not None
        ]
        prompt = processor.apply_chat_template(messages, chat_template=template, add_generation_prompt=True)
        assert processor.plain_text(prompt) == row["prompt"]
        assert row["stop"] == "</s>"


def test_frame_indices_are_exact(case):
    tables = case.table("preprocess")
    for row in tables["one_fps_pick"]["rows"]:
        assert rate_indices(row["total_frames"], row["avg_fps"]) == row["picked"], row
    for row in tables["frames32"]["rows"]:
        assert candidate_indices(row["T"]) == row["indices"], row
    for row in tables["train_read_32"]["rows"]:
        assert training_indices(row["total_frames"]) == row["indices"], row
    for row in tables["demo_read_100"]["rows"]:
        assert demo_indices(row["total_frames"]) == row["indices"], row
    for row in tables["sample_frames_uniform"]["rows"]:
        assert middle_indices(row["n"], row["L"]) == row["indices"], row


def pixel_options(case, side):
    constants = case.table("preprocess")["constants"]
    return {
        "size": {"height": side, "width": side},
        "image_mean": constants["mean"],
        "image_std": constants["std"],
    }


def test_pixels(case):
    tables, tensors = case.table("preprocess"), case.tensors("preprocess")
    used = set()
    for row in tables["cases"]:
        name, side = row["name"], row["target_size"]
        raw = tensors[f"{name}.raw_u8"].numpy()
        resized = np.stack([squash_frame(frame, (side, side), "exact") for frame in raw])
        assert (resized.transpose(0, 3, 1, 2) == tensors[f"{name}.resized_u8"].numpy()).all()
        options = pixel_options(case, side)
        outputs = VideotgbVideoProcessor(**options)([raw], do_sample_frames=False, return_tensors="pt")
        flow_frames, index = outputs["flow_pixel_values"], tensors[f"{name}.frame_index_32"]
        assert torch.equal(outputs["pixel_values_videos"][0], flow_frames[index])
        assert outputs["num_flow_frames"].tolist() == [len(raw)]
        used |= {f"{name}.{part}" for part in ("raw_u8", "resized_u8", "frame_index_32")}
        if f"{name}.flow_frames" in tensors:
            torch.testing.assert_close(flow_frames, tensors[f"{name}.flow_frames"], atol=1e-6, rtol=0)
            used.add(f"{name}.flow_frames")
    image = tensors["image.raw_u8"].numpy()
    options = pixel_options(case, tables["image"]["target_size"])
    pixels = VideotgbImageProcessor(**options)(images=[image], return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(pixels, tensors["image.pixel_values"], atol=1e-6, rtol=0)
    used |= {"image.raw_u8", "image.pixel_values"} | {name for name in tensors if name.startswith("mp4_")}
    assert used == set(tensors), "preprocessing tensors that nothing compares"


def test_video_files(case):
    tensors = case.tensors("preprocess")
    for number, row in enumerate(case.table("preprocess")["mp4"]):
        stored = {name: tensors[f"mp4_{number}.{name}"] for name in ("picked_u8", "flow_frames", "frame_index_32")}
        options = pixel_options(case, row["target_size"])
        processor = VideotgbVideoProcessor(**options)
        outputs = processor(str(case.folder / row["file"]), return_tensors="pt", return_metadata=True)
        metadata = outputs["video_metadata"][0]
        assert metadata.frames_indices == row["picked_source_frames"]
        assert metadata.total_num_frames == row["total_frames"]
        torch.testing.assert_close(outputs["flow_pixel_values"], stored["flow_frames"], atol=0.06, rtol=0)
        chosen = outputs["flow_pixel_values"][stored["frame_index_32"]]
        assert torch.equal(outputs["pixel_values_videos"][0], chosen)
        whole = VideotgbVideoProcessor(do_resize=False, do_rescale=False, do_normalize=False)
        frames = whole(str(case.folder / row["file"]), return_tensors="pt")["flow_pixel_values"]
        picked = stored["picked_u8"].permute(0, 3, 1, 2).float()
        torch.testing.assert_close(frames.float(), picked, atol=2, rtol=0)
        again = processor([stored["picked_u8"].numpy()], do_sample_frames=False, return_tensors="pt")
        torch.testing.assert_close(again["flow_pixel_values"], stored["flow_frames"], atol=1e-6, rtol=0)
