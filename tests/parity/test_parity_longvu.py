"""LongVU against its original: every stored tensor and table of every case."""

import json
import re

import numpy as np
import pytest
import torch
from parity.cases import compare, covered
from transformers import AutoModelForImageTextToText, AutoProcessor

import video_lmms  # noqa: F401 (registers the classes)
from video_lmms.conversion_scripts.convert_longvu import target_name
from video_lmms.evaluation.longvu import (
    benchmark_question,
    parse_srt,
    read_letter,
    select_subtitles,
)
from video_lmms.modeling.modeling_longvu_compression import (
    cap_frames,
    crop_bounds,
    crop_box,
    find_changed,
    find_distinct,
    resize_grid,
    window_mask,
)
from video_lmms.processing.frame_sampling_longvu import (
    frame_folder_indices,
    half_fps_cap_indices,
    half_fps_indices,
    mvbench_indices,
    rate_indices,
    uniform_100_indices,
)
from video_lmms.processing.image_processing_longvu import LongvuImageProcessor
from video_lmms.processing.token_counts_longvu import frame_token_count
from video_lmms.processing.video_processing_longvu import LongvuVideoProcessor
from video_lmms.training.original_text_longvu import LLAMA3_FORMAT, QWEN_FORMAT, training_tokens


MODEL = "longvu"
SETTINGS = (
    "dino_threshold",
    "drop_threshold",
    "context_length",
    "reserve",
    "highres",
    "image_token_len",
    "lowres_token",
)
GENERATION = ("do_sample", "num_beams", "max_new_tokens", "repetition_penalty", "eos_token_id", "use_cache")
RESERVE_OF_TABLE = 16


@pytest.fixture
def model(case_run, converted):
    case, run = case_run
    model = AutoModelForImageTextToText.from_pretrained(converted(case, run), dtype="auto").eval()
    for name in SETTINGS:
        setattr(model.config, name, run["options"][name])
    return model


@pytest.fixture
def processor(case, converted):
    return AutoProcessor.from_pretrained(converted(case, case.runs[0]))


def per_row(values, rows):
    return values if isinstance(values, list) else [values] * rows


def prompt_inputs(run, inputs, placeholder_id):
    """What the processor tells of each video's prompt, by the rules that the run states."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    described = {"num_prompt_tokens": [], "num_text_tokens": []}
    queries = []
    pairs = zip(per_row(run["derived"]["n_in"], len(ids)), per_row(run["derived"]["n_txt"], len(ids)), strict=True)
    for row, shown, (n_in, n_txt) in zip(ids, mask, pairs, strict=True):
        row = row[shown]
        assert len(row) - int((row == placeholder_id).sum()) == n_txt
        places = (row == placeholder_id).nonzero().flatten().tolist()
        for _ in places:
            described["num_prompt_tokens"].append(n_in)
            described["num_text_tokens"].append(n_txt)
            queries.append(row[places[-1] + 1 :])
    described = {name: torch.tensor(values) for name, values in described.items()}
    described["query_input_ids"] = torch.nn.utils.rnn.pad_sequence(queries, batch_first=True)
    described["query_attention_mask"] = torch.nn.utils.rnn.pad_sequence(
        [torch.ones_like(query) for query in queries], batch_first=True
    )
    return described


def contract_inputs(case, run, model):
    """Inputs of a run as the processor gives them: videos one placeholder each, images expanded."""
    inputs = case.inputs(run, model.config.video_token_id)
    inputs.pop("num_images", None)
    if run["modality"] == "video":
        return inputs | prompt_inputs(run, inputs, model.config.video_token_id)
    if run["modality"] == "image":
        counts = iter(run["placeholder"]["expands_to"])
        row = [
            [token] * (next(counts) if token == model.config.image_token_id else 1)
            for token in inputs["input_ids"][0].tolist()
        ]
        ids = torch.tensor([sum(row, [])])
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs


class Recorder:
    """Outputs of submodules and the language model's input, of one forward pass."""

    def __init__(self, model):
        self.seen = {}
        inner = model.model
        self.handles = [
            inner.tower_projectors[0].register_forward_hook(self.keep("vision_features", "tower_projection_0")),
            inner.tower_projectors[1].register_forward_hook(self.keep("vision_features_dinov2", "tower_projection_1")),
            inner.aggregator.register_forward_hook(self.keep(None, "aggregator_output")),
            inner.language_model.register_forward_pre_hook(self.keep_embeddings, with_kwargs=True),
        ]

    def keep(self, taken, given):
        def hook(module, args, output):
            self.seen |= {given: output} | ({taken: args[0]} if taken else {})

        return hook

    def keep_embeddings(self, module, args, kwargs):
        self.seen["inputs_embeds"] = kwargs["inputs_embeds"][0]

    def close(self):
        for handle in self.handles:
            handle.remove()


def check_selection(model, run, inputs, selection):
    """Stage, counts and sizes that a run states beside its tensors."""
    stated = run["expected_values"]
    assert selection.stage == stated.get("stage", selection.stage)
    assert len(selection.frames) == stated.get("n_selected", len(selection.frames))
    if "stc_tokens_before_trim" in stated:
        names = ("pixel_values_videos", "pixel_values_videos_dinov2", "num_frames", "video_sizes")
        (cache,) = model.get_video_cache(**{name: inputs[name] for name in names}, selected_frames=[selection.frames])
        tokens = model.model.frame_tokens(cache.outputs.last_hidden_state, cache.size, selection.lowres)
        group = model.config.group_size
        left = int(find_changed(tokens, model.config.drop_threshold, group).sum())
        assert left == stated["stc_tokens_before_trim"]
        (budget,) = model.model.budgets(1, inputs["num_prompt_tokens"], inputs["num_text_tokens"], None)
        groups = -(-len(selection.frames) // group)
        assert max(0, -(-(left - budget.tokens) // groups)) == stated["force_remove"]


def run_forward(model, run, inputs):
    """Outputs of one forward pass by role."""
    recorder = Recorder(model)
    with torch.no_grad():
        if run["modality"] == "video":
            expansion = model.expand_video_tokens(**inputs)
            outputs = model(**expansion.text, mm_encoder_outputs=expansion.mm_encoder_outputs)
        else:
            outputs = model(**inputs)
    recorder.close()
    seen = recorder.seen | {"logits": outputs.logits[0]}
    assert len(outputs.logits[0]) == run["expected_values"]["seq_len"]
    if run["modality"] == "video":
        (selection,) = expansion.video_selection
        check_selection(model, run, inputs, selection)
        seen |= {
            "selected_frames": selection.frames,
            "highres_frames": selection.highres_frames,
            "frame_query_scores": selection.scores,
        }
    if run["modality"] != "text":
        grids, project = seen["aggregator_output"], model.model.multi_modal_projector
        seen["connector_output"] = project(grids)
        seen["connector_output_lowres"] = project(resize_grid(grids, model.config.lowres_token))
    return seen


def run_generate(model, run, inputs):
    """New tokens only."""
    low, high = run["options"].get("suppress_token_ids", (0, 0))
    assert set(range(low, high)) <= set(model.generation_config.suppress_tokens)
    options = {name: run["options"][name] for name in GENERATION}
    model.generation_config.eos_token_id = options["eos_token_id"]
    new = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
    assert len(new) <= run["expected_values"]["length"]
    return new


def run_training(model, run, inputs):
    """One step as a trainer takes it: make room without gradients, then forward and backward."""
    model.requires_grad_(True)
    with torch.no_grad():
        expansion = model.expand_video_tokens(**inputs)
    text = expansion.text
    pixels = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask", "labels")}
    outputs = model(
        input_ids=text["input_ids"],
        attention_mask=text["attention_mask"],
        video_selection=expansion.video_selection,
        **pixels,
    )
    logits = outputs.logits[..., : run["options"]["loss_vocab_columns"]]
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), text["labels"][:, 1:].flatten())
    loss.backward()
    lengths = text["attention_mask"].sum(-1).tolist()
    assert lengths == run["expected_values"]["spliced_lengths"]
    seen = {
        "loss": loss,
        "labels_spliced": text["labels"],
        "attention_mask_spliced": text["attention_mask"],
    }
    rows = zip(logits, text["attention_mask"].bool(), strict=True)
    seen |= {f"logits.row{number}": row[shown] for number, (row, shown) in enumerate(rows)}
    parameters = dict(model.named_parameters())
    for role in run["expected"]:
        if role.startswith("grad."):
            seen[role] = parameters[target_name(role.removeprefix("grad."))].grad
    return seen


def test_run_matches_the_original(case_run, model):
    case, run = case_run
    inputs = contract_inputs(case, run, model)
    if run["mode"] == "generate":
        seen = {"generated_ids": run_generate(model, run, inputs)}
    elif run["mode"] == "train":
        seen = run_training(model, run, inputs)
    else:
        seen = run_forward(model, run, inputs)
    for role, name in run["expected"].items():
        expected, rule = case.tensors("expected")[name], case.spec["compare"][name]
        if role == "logits_mean_abs":
            columns = rule.get("columns", run["options"]["vocab_columns"])
            actual = seen["logits"][:, :columns].abs().mean(-1)
        elif role.startswith("logits"):
            actual = seen[role][:, : expected.shape[-1]]
        elif "select" in rule:
            actual = seen[rule["select"]["role"]]
        elif "first" in rule.get("note", "") and seen[role].dim() == 3:
            actual = seen[role][: len(expected)]
        else:
            actual = seen[role]
        compare(case, name, actual)


def test_every_expected_tensor_is_compared(case):
    stored = set(case.tensors("expected"))
    assert stored == covered(case), "tensors that no run compares, or that are not stored"
    assert stored <= set(case.spec["compare"]), "tensors without a rule"


def test_configuration_is_that_of_the_checkpoint(case, converted):
    """The settings that runs name are also those that conversion reads from config.json."""
    original = json.loads((case.folder / case.spec["convert"]["options"]["checkpoint"] / "config.json").read_text())
    config = json.loads((converted(case, case.runs[0]) / "config.json").read_text())
    for name in ("image_token_len", "highres", "lowres_token", "dino_threshold", "drop_threshold", "connector_depth"):
        assert config[name] == original[name]
    assert config["context_length"] == original["tokenizer_model_max_length"]
    assert config["reserve"] == original.get("inference_max_length", 16)


# Tables


def chat_of(row):
    return [{"role": "system", "content": row["system"]}] + [
        {"role": role, "content": text} for role, text in row["turns"]
    ]


def test_conversations_are_exact(case, processor):
    table = case.table("prompts")["conversations"]
    assert table
    for row in table:
        # The original opens a Llama answer always.
        opened = row["open_assistant_turn"] or row["template"] == "llama3"
        prompt = processor.apply_chat_template(chat_of(row), add_generation_prompt=opened)
        assert prompt == row["prompt"], row["name"]
        ids = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        wanted = [processor.image_token_id if token == -200 else token for token in row["input_ids"]]
        assert ids == wanted, row["name"]


def test_prompts_have_one_bos(case, processor):
    """The tokenizer adds one of its own, which a prompt that brings one must not get."""
    for row in case.table("prompts")["conversations"]:
        if -200 not in row["input_ids"]:
            assert processor(text=row["prompt"])["input_ids"] == [row["input_ids"]]


def test_media_parts_become_placeholders(case, processor):
    parts = [{"type": "text", "text": "What?"}, {"type": "video"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    text = processor.apply_chat_template([{"role": "user", "content": "<image>\nWhat?"}], add_generation_prompt=True)
    assert prompt == text


def test_training_text_is_exact(case, processor):
    form = LLAMA3_FORMAT if "<|eot_id|>" in processor.tokenizer.get_vocab() else QWEN_FORMAT
    for sample in case.table("train_tokens")["samples"]:
        ids, labels = training_tokens(sample["conversations"], processor.tokenizer, form)
        assert [-200 if token == processor.image_token_id else token for token in ids] == sample["input_ids"]
        assert labels == sample["labels"]


def has_table(case, name):
    return f"{name}.json" in case.spec["tables"] and (case.folder / f"{name}.json").exists()


def test_benchmark_questions_are_exact(case):
    if not has_table(case, "eval"):
        return
    table = case.table("eval")
    for name, expected in table["prompts"].items():
        benchmark = name.split("_")[0]
        count = len(re.findall(r"^(?:\([A-Z]\)|[A-Z]\.) ", expected, flags=re.MULTILINE))
        options = table["options"][:count]
        if benchmark == "videomme":
            options = [f"{letter}. {option}." for letter, option in zip("ABCDEFG", options, strict=False)]
        subtitles = table["subtitles"]["selected"] if "with_subtitles" in name else None
        assert benchmark_question(benchmark, table["question"], options, subtitles) == expected


def test_subtitles_are_exact(case):
    if not has_table(case, "eval"):
        return
    table = case.table("eval")["subtitles"]
    assert select_subtitles(parse_srt(table["srt"]), table["frame_indices"], table["fps"]) == table["selected"]


def test_answers_are_read_as_the_original_does(case):
    if not has_table(case, "eval"):
        return
    table, stop = case.table("eval"), case.table("prompts")["stop_string"]
    compared = 0
    for row in table["parsing"]:
        for setting, letters in table["option_letters"].items():
            expected = row[setting]
            answer = read_letter(row["text"], setting.rstrip("0123456789"), letters, stop)
            if expected["error"] is None:
                assert answer == (expected["letter"], expected["fallback"]), (row["text"], setting)
                compared += 1
            else:
                assert answer.letter is None, (row["text"], setting)
    assert compared


def sampled(row):
    """Indices of one row of the sampling table, by our functions."""
    rule, total, fps = row["rule"], row["total_frames"], row["fps"]
    bounds = row.get("bound_seconds") or (None, None)
    if rule == "mvbench_2fps":
        return mvbench_indices(total, fps, *bounds)
    if rule == "mvbench_frame_folder_3fps":
        return frame_folder_indices(total, *bounds, fps=fps)
    functions = {
        "demo_1fps": rate_indices,
        "train_uniform100": uniform_100_indices,
        "eval_half_fps": half_fps_indices,
        "eval_half_fps_cap1000": half_fps_cap_indices,
    }
    if rule == "train":
        return rate_indices(total, fps, row["video_fps"])
    return functions[rule](total, fps)


def test_frame_indices_are_exact(case):
    for row in case.table("preprocess")["sampling"]:
        indices = sampled(row)
        if row["error"] is not None:
            assert indices, "the original stops where we take a step of one"
            continue
        assert len(indices) == row["n_indices"], row
        if "..." in row["indices"]:
            gap = row["indices"].index("...")
            assert indices[:gap] == row["indices"][:gap]
            assert indices[gap - len(row["indices"]) + 1 :] == row["indices"][gap + 1 :]
        else:
            assert indices == row["indices"], row


def processors_of(table, siglip, dinov2, **options):
    settings = {
        "size": {"height": siglip, "width": siglip},
        "size_dinov2": {"height": dinov2, "width": dinov2},
        "image_mean": table["siglip_mean"],
        "image_std": table["siglip_std"],
        "image_mean_dinov2": table["dino_mean"],
        "image_std_dinov2": table["dino_std"],
    }
    return LongvuVideoProcessor(**settings, **options), LongvuImageProcessor(**settings)


# Our other backend resizes in another library: it may be off by one grey level.
@pytest.mark.parametrize(("backend", "tolerance"), [("exact", 2e-6), ("torchvision", 0.018)])
def test_pixels(case, backend, tolerance):
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    videos, images = processors_of(table, table["siglip_target"], table["dino_target"], backend=backend)
    used = set()
    for row in table["videos"]:
        frames = tensors[f"{row['key']}.frames"].numpy()
        assert list(frames.shape) == row["frames"]
        data = videos([frames])
        assert data["video_sizes"].tolist() == [row["image_size_passed_for_video"]]
        assert data["num_frames"].tolist() == [len(frames)]
        stills = images(images=list(frames), return_tensors="pt")
        assert stills["image_sizes"].tolist() == [row["image_size_passed_for_single_image"]] * len(frames)
        for name, key in (("pixel_values{}", "siglip"), ("pixel_values{}_dinov2", "dino")):
            expected = tensors[f"{row['key']}.{key}"]
            torch.testing.assert_close(data[name.format("_videos")], expected, atol=tolerance, rtol=0)
            torch.testing.assert_close(stills[name.format("")], expected, atol=2e-6, rtol=0)
            used |= {f"{row['key']}.frames", f"{row['key']}.{key}"}
    assert used == {name for name in tensors if not name.startswith("fullres")}


def test_true_size(case):
    """One frame at the published sizes, of which every 16th row and column is stored."""
    table, tensors = case.table("preprocess"), case.tensors("preprocess")
    stats = table["fullres"]["stats"]
    videos, _ = processors_of(table, stats["siglip"]["shape"][-1], stats["dino"]["shape"][-1])
    data = videos([tensors["fullres.frames"].numpy()])
    for name, key in (("pixel_values_videos", "siglip"), ("pixel_values_videos_dinov2", "dino")):
        assert list(data[name].shape) == stats[key]["shape"]
        expected = tensors[f"fullres.{key}_every_16th_row_col"]
        torch.testing.assert_close(data[name][..., ::16, ::16], expected, atol=2e-6, rtol=0)
        assert float(data[name].double().abs().sum()) == pytest.approx(stats[key]["sum_abs"], rel=1e-6)


def test_processors_have_the_original_settings(case, processor):
    table = case.table("preprocess")
    for part in (processor.image_processor, processor.video_processor):
        assert list(part.image_mean) == table["siglip_mean"]
        assert list(part.image_std) == table["siglip_std"]
        assert list(part.image_mean_dinov2) == table["dino_mean"]
        assert list(part.image_std_dinov2) == table["dino_std"]
    colours = [[int(channel * 255) for channel in table[f"{tower}_mean"]] for tower in ("siglip", "dino")]
    assert colours == [table["siglip_pad_colour"], table["dino_pad_colour"]]


def test_crops_are_exact(case):
    for row in case.table("functions")["crop"]:
        size, side = tuple(row["size"]), row["side"]
        box = crop_bounds(size, side)
        rows, columns = max(0, box.bottom - box.top), max(0, box.right - box.left)
        assert [rows, columns] == row["cropped_shape"], row
        inside = torch.zeros(side, side, dtype=torch.int)
        inside[box.top : box.bottom, box.left : box.right] = 1
        assert inside.sum(1).tolist() == row["mask_row_sums"]
        assert inside.sum(0).tolist() == row["mask_col_sums"]
        if row["rows_cols_kept"] is None:
            assert crop_box(size, side) == (0, side, 0, side)
        else:
            assert list(box) == row["rows_cols_kept"]
            assert window_mask(size, side, side).sum() >= rows * columns
        assert frame_token_count(size, side) == crop_box(size, side).num_tokens


def test_frame_selection_is_exact(case):
    tensors = case.tensors("functions")
    table = case.table("functions")["select"]
    assert {row["key"] for row in table} == set(tensors)
    for row in table:
        maps = tensors[row["key"]].float()
        per_frame = row["lowres_token"] ** 2 if row["highres"] else row["image_token_len"]
        room = row["tokenizer_model_max_length"] - row["prompt_len"] - RESERVE_OF_TABLE
        kept = torch.arange(len(maps))
        if len(maps) >= max(1, room // per_frame):
            distinct = find_distinct(maps, row["dino_threshold"], window=16)
            kept = cap_frames(distinct.nonzero().flatten(), 400, len(maps), window=16)
        assert kept.tolist() == row["indices"]


def test_image_counts_are_those_of_the_runs(case, processor):
    for run in case.runs:
        if run["modality"] == "image":
            sizes = run["values"]["image_sizes"]
            counts = [processor.num_image_tokens(*size) for size in sizes]
            assert counts == np.ravel(run["placeholder"]["expands_to"]).tolist()
