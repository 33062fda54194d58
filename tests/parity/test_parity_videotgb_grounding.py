# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""VideoTGB's grounding bridge against its original: every stored tensor and table of the component cases."""

import pytest
import torch
from parity.cases import compare, covered
from transformers import AutoTokenizer

from video_lmms.conversion_scripts.videotgb_grounding_names import flow_target, grounding_target
from video_lmms.conversion_scripts.videotgb_pieces import convert_pieces
from video_lmms.modeling.modeling_videotgb_frame_choice import choose_frames, pick_frames
from video_lmms.modeling.modeling_videotgb_grounding import VideotgbGroundingBridge, motion_scale, span_loss
from video_lmms.training.flow_videotgb import draw_flow
from video_lmms.training.spans_videotgb import label_span, rescale, span_metrics, thin_out, unigram_recall


MODEL = "videotgb"
KIND = "component"
# Of the original's two inference paths; the demo's rows record its bugs.
MAPPINGS = {"eval_instructblip": "length", "eval_blip2": "last_frame"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Converts a case once; answers with the folder."""
    done = {}

    def folder(case):
        if case.folder not in done:
            options = case.spec["convert"]["options"]
            arguments = {name.replace("-", "_"): case.folder / value for name, value in options.items()}
            done[case.folder] = convert_pieces(output=tmp_path_factory.mktemp("pieces") / case.name, **arguments)
        return done[case.folder]

    return folder


@pytest.fixture
def bridge(case_run, folders):
    case, run = case_run
    bridge = VideotgbGroundingBridge.from_pretrained(folders(case), dtype="auto")
    bridge.config.mode = run["options"].get("grounding_mode", bridge.config.mode)
    return bridge.eval()


def stored_inputs(case, run):
    """Inputs by role, from whichever file holds them."""
    return {
        role: case.tensors(run.get("input_files", {}).get(role, "inputs.safetensors").removesuffix(".safetensors"))[
            name
        ]
        for role, name in run["inputs"].items()
    }


def raft_tensors(bridge, inputs, options):
    """Flow, and what leads to it."""
    model, config = bridge.flow_model, bridge.config
    config.flow_input = {"clip_normalised": "normalized", "pixels": "pixels"}[options["flow_input"]]
    config.num_flow_updates = options["num_flow_updates"]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (config.pixel_mean, config.pixel_deviation))
    frames = (inputs["frames_u8"].float() / 255 - mean) / std
    flow = torch.cat(list(model.flow_in_chunks(frames)))
    assert torch.equal(flow[-1], flow[-2])
    # The towers and the first update are compared on padded frames.
    frames = model.prepare(frames)
    down, across = -frames.shape[-2] % 8, -frames.shape[-1] % 8
    margins = (across // 2, across - across // 2, down // 2, down - down // 2)
    padded = torch.nn.functional.pad(frames, margins, mode="replicate")
    scaled = 2 * (padded[:-1] / 255) - 1
    return {
        "flow": flow[:-1],
        "flow_iter1_pair0": model(padded[:1], padded[1:2], num_updates=1)[0],
        "fmap1_sub4": model.feature_encoder(scaled)[:, ::4, ::2, ::2],
        "cnet_sub4": model.context_encoder(scaled)[:, ::4, ::2, ::2],
    }


def temporal_tensors(bridge, inputs):
    """What the span encoder makes of given flow; layers by their number in the stack."""
    grounding, seen, handles = bridge.grounding, {}, []

    def note(name):
        return lambda module, arguments, output: seen.update({name: output})

    for number, layer in enumerate(grounding.encoder.layers):
        handles.append(layer.register_forward_hook(note(f"layer{number}")))
    handles.append(grounding.flow_embeddings.register_forward_hook(note("flow_embedding")))
    handles.append(grounding.text_embeddings.register_forward_hook(note("text_embedding")))
    flow = (inputs["flow_u8"].float() - 128) / 32
    features = torch.stack([grounding.encode_flow(clip.split(2)) for clip in flow])
    mask = inputs["flow_attention_mask"][:, 2:]
    output = grounding(features, mask, inputs["sampler_input_ids"], inputs["sampler_attention_mask"])
    for handle in handles:
        handle.remove()
    return seen | {"last_hidden_state": output.last_hidden_state, "span_logits": output.span_logits}


def training_tensors(bridge, inputs, roles):
    logits = temporal_tensors(bridge, inputs)["span_logits"]
    loss = span_loss(logits, inputs["start_positions"], inputs["end_positions"])
    loss.backward()
    parameters = dict(bridge.grounding.named_parameters())
    names = [role.removeprefix("grad.") for role in roles if role.startswith("grad.")]
    return {"loss": loss} | {f"grad.{name}": parameters[grounding_target(name)].grad for name in names}


def drawn_spans(bridge, inputs, options):
    """Replayed noise; rows are starts of all clips, then their ends."""
    bridge.config.gumbel_temperature = options["gumbel_temperature"]
    clips, length = len(inputs["logits"]) // 2, inputs["logits"].shape[1]
    logits = inputs["logits"].view(2, clips, length).permute(1, 2, 0)
    lengths = torch.full((clips,), length)
    choice = choose_frames(logits, lengths, 32, 4, bridge.config, inputs["gumbel_noise"])
    return {"span_index": choice.spans.permute(1, 2, 0).flatten(1)}


def run_of(bridge, run, inputs):
    """The run's outputs by role, told apart by what it is given."""
    if "frames_u8" in inputs:
        return raft_tensors(bridge, inputs, run["options"])
    if "start_positions" in inputs:
        return training_tensors(bridge, inputs, run["expected"])
    if "flow_u8" in inputs:
        return temporal_tensors(bridge, inputs)
    if "logits" in inputs:
        return drawn_spans(bridge, inputs, run["options"])
    return {"normalized_flow": inputs["flow"] / motion_scale(inputs["flow"]), "flow_rgb": draw_flow(inputs["flow"])}


def test_run_matches_the_original(case_run, bridge):
    case, run = case_run
    with torch.set_grad_enabled("start_positions" in run["inputs"]):
        outputs = run_of(bridge, run, stored_inputs(case, run))
    for role, name in run["expected"].items():
        compare(case, name, outputs[role])


def test_every_stored_tensor_is_compared(case):
    replayed = {name for name, rule in case.spec["compare"].items() if rule.get("role") == "input"}
    assert covered(case) | replayed == set(case.tensors("expected"))


def test_every_source_tensor_has_one_place(case):
    """No two tensors of a piece share a name in the model."""
    for file, target in (("sampler.pth", grounding_target), ("raft-sintel.pth", flow_target)):
        names = [target(name.removeprefix("module.")) for name in case.spec["state_dict"][file]]
        named = [name for name in names if name is not None]
        assert len(set(named)) == len(named)


def test_questions_are_read_by_the_stored_tokenizer(case, folders):
    tokenizer = AutoTokenizer.from_pretrained(folders(case))
    questions = case.spec["temporal_case"]["questions"]
    run = next(run for run in case.runs if "sampler_input_ids" in run["inputs"])
    encoded = tokenizer(questions, padding=True, return_tensors="pt")
    inputs = stored_inputs(case, run)
    assert torch.equal(encoded["input_ids"], inputs["sampler_input_ids"])
    assert torch.equal(encoded["attention_mask"], inputs["sampler_attention_mask"])


def test_frames_are_chosen_as_in_the_table(case):
    rows = [row for row in case.table("tables")["selection"]["rows"] if row["path"] in MAPPINGS]
    assert rows
    for row in rows:
        spans, length = torch.tensor([row["spans"]]), torch.tensor([row["T_flow"]])
        chosen = pick_frames(spans, length, row["num_frames"], row["nframe"], MAPPINGS[row["path"]])[0].tolist()
        # Where the original fails, any valid choice will do.
        failed = isinstance(row["chosen"], str)
        assert len(chosen) == row["nframe"], row
        assert (max(chosen) < row["num_frames"]) if failed else (chosen == row["chosen"]), row


def test_labels_and_scores_are_as_in_the_tables(case):
    tables = case.table("tables")
    for row in tables["pseudo_label"]["rows"]:
        assert list(label_span(row["scores"])) == row["plain"]
        assert list(label_span(row["scores"], subtract_minimum=True)) == row["min_subtracted"]
    for row in tables["rouge"]:
        scores = [unigram_recall(*pair) / len(row["gold"]) for pair in zip(row["gold"], row["pred"], strict=True)]
        assert scores == pytest.approx(row["scores"], abs=1e-6)
    for row in tables["iou"]:
        metrics = span_metrics(torch.tensor(row["pred"]).T, torch.tensor(row["target"]).T)
        assert list(metrics.values()) == pytest.approx(row["miou_r03_r05"], abs=1e-6)
    for row in tables["flow_cutoff"]:
        assert thin_out(row["L"]) == row["kept"]
    for row in tables["ratio_mapping"]:
        assert rescale(row["p"], 32, row["L"]) == row["value"]
