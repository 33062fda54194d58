"""PLLaVA against its original: every stored tensor and table of every case."""

import pytest
import torch
from parity.cases import compare, covered
from transformers import AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.evaluation.pllava import extract_answer, mvbench_is_correct
from video_lmms.processing.frame_sampling_pllava import (
    fps_indices,
    middle_indices,
    repeat_distinct,
    training_intervals,
    uniform_indices,
)
from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor, harmonise_frame, harmonise_sizes
from video_lmms.training.original_text_pllava import (
    IM_START_ROLES,
    VICUNA_ROLES,
    tokenize_training_text,
    training_text,
)


MODEL = "pllava"


@pytest.fixture
def model(case_run, converted):
    return AutoModelForImageTextToText.from_pretrained(converted(*case_run), dtype="auto").eval()


@pytest.fixture
def processor(case, converted):
    return AutoProcessor.from_pretrained(converted(case, case.runs[0]))


def observe_language_model(model, seen):
    """Records what the language model is handed."""

    def hook(module, args, kwargs):
        seen.update({name: kwargs[name] for name in ("inputs_embeds", "attention_mask", "position_ids")})

    return model.model.language_model.register_forward_pre_hook(hook, with_kwargs=True)


def projector_frames(projector, patches):
    """Both linear layers before any pooling, which the model itself never computes."""
    return projector.linear_2(projector.act(projector.linear_1(patches)))


def run_forward(model, inputs):
    """Outputs of one forward pass by role; gradients too where labels are given."""
    seen = {"labels": inputs.get("labels")}
    handle = observe_language_model(model, seen)
    if "labels" in inputs:
        model.requires_grad_(True)
    with torch.set_grad_enabled("labels" in inputs):
        outputs = model(**inputs)
    handle.remove()
    seen |= {"logits": outputs.logits, "loss": outputs.loss}
    if "labels" in inputs:
        outputs.loss.backward()
    elif "pixel_values_videos" in inputs:
        with torch.no_grad():
            features = model.model.get_video_features(inputs["pixel_values_videos"])
            patches = features.last_hidden_state[:, 1:]
            seen["vision_features"] = patches
            seen["projector_frames"] = projector_frames(model.model.multi_modal_projector, patches)
            seen["connector_output"] = features.pooler_output
    return seen


def run_generate(model, inputs, options):
    """New tokens only, padded to the stored length as the original does."""
    length = inputs["input_ids"].shape[1]
    new = model.generate(**inputs, **options)[:, length:]
    padding = options["max_new_tokens"] - new.shape[1]
    return torch.nn.functional.pad(new, (0, padding), value=options["pad_token_id"])


def test_run_matches_the_original(case_run, model):
    case, run = case_run
    roles = run["expected"]
    seen = {}
    if run["inputs"]:
        inputs = case.inputs(run)
        if "generated_ids" in roles:
            seen["generated_ids"] = run_generate(model, inputs, case.generate_options(run))
        else:
            seen = run_forward(model, inputs)
    parameters = dict(model.named_parameters())
    for role, name in roles.items():
        kind, _, parameter = role.partition(".")
        if kind == "weight":
            seen[role] = parameters[parameter]
        elif kind == "grad":
            seen[role] = parameters[parameter].grad
        compare(case, name, seen[role])


def test_every_expected_tensor_is_compared(case):
    stored = set(case.tensors("expected"))
    assert stored == covered(case), "tensors that no run compares, or that are not stored"
    assert stored <= set(case.spec["compare"]), "tensors without a rule"


def test_prompts_give_the_stored_ids(case, converted, processor):
    """The prompts of the case, tokenised as a padded batch, are the stored input ids."""
    stored = case.tensors("inputs")
    ids = processor.tokenizer(case.spec["prompts"], padding=True, return_tensors="pt")
    assert torch.equal(ids["input_ids"], stored["input_ids"])
    assert torch.equal(ids["attention_mask"], stored["attention_mask"])


def chat_of(actions):
    """The original's actions as chat messages and template arguments."""
    messages, arguments = [], {}
    for kind, *rest in actions:
        if kind == "upload_video":
            messages.append({"role": "user", "content": [{"type": "video"}]})
        elif kind == "user":
            options = rest[1] if len(rest) > 1 else {}
            media = [{"type": "video"}] if options.get("is_mm") else []
            messages.append({"role": "user", "content": [*media, {"type": "text", "text": rest[0]}]})
            arguments |= {key: value for key, value in options.items() if key != "is_mm" and value is not None}
        else:
            messages.append({"role": kind, "content": rest[0]})
    return messages, arguments


def test_conversations_are_exact(case, processor):
    table = case.table("prompts")["conversations"]
    assert table
    for row in table:
        messages, arguments = chat_of(row["actions"])
        prefilled = messages[-1]["role"] == "assistant"
        prompt = processor.apply_chat_template(
            messages,
            chat_template=row["template"],
            add_generation_prompt=not prefilled,
            continue_final_message=prefilled,
            **arguments,
        )
        assert prompt == row["prompt"], row["name"]
        assert processor.tokenizer(prompt)["input_ids"] == row["input_ids"], row["name"]


def roles_of(case):
    user_roles = [template["roles"][0] for template in case.table("prompts")["templates"].values()]
    texts = [row["text"] for row in case.table("prompts")["training_texts"]]
    assert user_roles
    return IM_START_ROLES if any(IM_START_ROLES.user in text for text in texts) else VICUNA_ROLES


def test_training_text_is_exact(case, processor):
    roles, stored = roles_of(case), case.tensors("inputs")
    rows = case.table("prompts")["training_texts"]
    assert len(rows) == len(stored["train_input_ids"])
    for number, row in enumerate(rows):
        text = training_text(row["turns"], roles)
        assert text == row["text"].replace("<Video></Video>", "<image>")
        length = case.spec["dims"]["max_txt_l"]
        ids, labels, mask = tokenize_training_text(text, processor.tokenizer, roles, length)
        assert ids == stored["train_input_ids"][number].tolist()
        assert labels == stored["train_labels"][number].tolist()
        assert mask == stored["train_attention_mask"][number].tolist()


def test_answers_are_read_as_the_original_does(case):
    tables, roles = case.table("prompts"), roles_of(case)
    spelled = roles.assistant.replace("<|im_start|>", "<|im_start|> ")  # as decoding prints an added token
    for row in tables["answer_parsing"]:
        assert extract_answer(row["decoded"], spelled, roles.end) == row["answer"]
    for row in tables["mvbench_check"]:
        assert mvbench_is_correct(row["pred"], row["gt"]) is row["correct"], row


def sampled(row):
    """Indices of one row of the sampling table, by our functions."""
    name, total, count = row["fn"], row["total_frames"], row["num_frames"]
    start, end = row.get("bound") or (None, None)
    if name == "eval_uniform":
        return uniform_indices(total, count, row["fps"], start, end, row.get("first_idx", 0))
    if name == "demo_uniform":
        return uniform_indices(total, count)
    if name == "gif":
        return repeat_distinct(uniform_indices(total, count))
    if name == "train_middle":
        return middle_indices(total, count)
    if name == "train_fps":
        return fps_indices(total, row["fps"], row["out_fps"], row.get("max_frames"))
    assert name == "train_rand_ranges"
    return [list(interval) for interval in training_intervals(total, count)]


def test_frame_indices_are_exact(case):
    for row in case.table("preprocess")["sampling"]:
        assert sampled(row) == row["indices"], row


def video_processor_of(settings, **options):
    crop = {"height": settings["center_crop"], "width": settings["center_crop"]}
    size = {"shortest_edge": settings["resize_shortest_edge"]}
    return PllavaVideoProcessor(
        size=size, crop_size=crop, image_mean=settings["mean"], image_std=settings["std"], **options
    )


def test_converted_settings_are_the_stored_ones(case, processor):
    settings = case.table("preprocess")["image_processor"]
    for part in (processor.video_processor, processor.image_processor):
        assert part.size["shortest_edge"] == settings["resize_shortest_edge"]
        assert part.crop_size["height"] == part.crop_size["width"] == settings["center_crop"]
        assert list(part.image_mean) == settings["mean"]
        assert list(part.image_std) == settings["std"]


@pytest.mark.parametrize(("backend", "tolerance"), [("exact", 1e-6), ("torchvision", 0.016)])
def test_pixels(case, backend, tolerance):
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    processor = video_processor_of(table["image_processor"], do_sample_frames=False, backend=backend)
    for row in table["cases"]:
        clips = [tensors[f"frames.{clip}"].numpy() for clip in row["clips"]]
        pixels = torch.cat(processor(clips)["pixel_values_videos"])
        expected = tensors[f"pixel_values.{'+'.join(row['clips'])}"]
        torch.testing.assert_close(pixels, expected, atol=tolerance, rtol=0)


def test_first_pass_is_bit_exact(case):
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    for row in table["cases"]:
        clips = [tensors[f"frames.{clip}"].numpy() for clip in row["clips"]]
        sizes = [clip.shape[1:3] for clip in clips]
        assert [list(size) for size in sizes] == row["input_sizes_hw"]
        short, long = harmonise_sizes(sizes, table["image_processor"]["resize_shortest_edge"])
        for number, clip in enumerate(clips):
            expected = tensors[f"stage1.{'+'.join(row['clips'])}.{number}"].numpy()
            assert list(expected.shape[1:3]) == row["stage1_sizes_hw"][number]
            for frame, wanted in zip(clip, expected, strict=True):
                assert (harmonise_frame(frame, short, long, resample=3, backend="exact") == wanted).all()


def test_every_stored_frame_tensor_is_used(case):
    """Nothing in the preprocessing tensors escapes the tests above."""
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    used = set()
    for row in table["cases"]:
        key = "+".join(row["clips"])
        used |= {f"frames.{clip}" for clip in row["clips"]} | {f"pixel_values.{key}"}
        used |= {f"stage1.{key}.{number}" for number in range(len(row["clips"]))}
    if "true336" in table:
        used |= {name for name in tensors if "true336" in name}
    assert set(tensors) == used


def test_true_size(case):
    """One frame at the published size, where the case has one; an image is a video of one frame."""
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    names = {name.split(".")[0]: name for name in tensors if "true336" in name}
    assert ("true336" in table) == bool(names)
    if not names:
        return
    settings = table["image_processor"] | {"resize_shortest_edge": 336, "center_crop": 336}
    frames, expected = tensors[names["frames"]].numpy(), tensors[names["pixel_values"]]
    pixels = video_processor_of(settings, do_sample_frames=False)([frames])["pixel_values_videos"][0]
    torch.testing.assert_close(pixels, expected, atol=1e-6, rtol=0)
    images = PllavaImageProcessor()(images=list(frames), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(images, expected, atol=1e-6, rtol=0)
