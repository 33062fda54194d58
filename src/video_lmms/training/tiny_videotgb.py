# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A VideoTGB of half a million parameters for the synthetic world: the question chooses the frames.

Its clips last half a minute; four things cross them one after the other, and a question names the direction of one. No
single frame shows a direction, and of evenly spaced frames one in four shows the right thing: only a model that finds
the moment in the motion can answer. It is trained by the original's steps, on what the original's steps are given:

1. RAFT learns motion between pairs of frames, whose motion is known (the original takes a RAFT that has learned it);
2. an image model learns colours from single frames (the original takes InstructBLIP);
3. its answers to single frames tell which part of a clip answers a question: pseudo labels. No true span is used;
4. the span encoder learns these spans from flow and question;
5. Q-Former, queries and projection learn to answer from the frames that the fixed span encoder takes.
"""

import copy
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.data.motion import crowd_scene, flow_pairs
from video_lmms.data.scenes import Scene, Thing, render_frame
from video_lmms.data.world import draw_samples
from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration
from video_lmms.processing.frame_sampling_videotgb import candidate_indices, middle_indices
from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor
from video_lmms.training.flow_videotgb import extract_flow, read_flow
from video_lmms.training.label_videotgb import pseudo_label, turns_of
from video_lmms.training.lessons_videotgb import Lesson, fit, make_lesson
from video_lmms.training.raft import train_raft
from video_lmms.training.sampler_videotgb import (
    SamplerRecipe,
    SpanSample,
    fixed_frames,
    to_flow_frames,
    train_sampler,
)


SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>", "<|video|>", "<|image|>")
WORDS = ("user", "assistant", "video", "image", "<", ">")
KINDS = ("episode_colour",)
RECIPE = {"clips": 600, "turns": 2, "steps": 600, "batch_size": 16, "held_out": 100}
# A red circle to the right, a blue square up, a green triangle to the left, a yellow circle down.
_EPISODES = (
    ("circle", "red", (230, 30, 30), (0.25, 0.6), (0.75, 0.6)),
    ("square", "blue", (40, 80, 235), (0.4, 0.75), (0.4, 0.25)),
    ("triangle", "green", (45, 180, 70), (0.75, 0.4), (0.25, 0.4)),
    ("circle", "yellow", (235, 210, 55), (0.6, 0.25), (0.6, 0.75)),
)
EXAMPLE = Scene(
    things=tuple(
        Thing(shape, colour, rgb, 0.17, ((n / 4, *start), ((n + 1) / 4, *end)), n / 4, (n + 1) / 4)
        for n, (shape, colour, rgb, start, end) in enumerate(_EPISODES)
    ),
    background=(20, 20, 20),
    num_frames=64,
    fps=2,
)

CARD = """\
Each question names the direction of one of four things that cross a clip of half a minute one after the other. The
model chooses four of 32 frames by optical flow and question, and sees four tokens. RAFT learned from pairs of frames
whose motion is known, the choice from pseudo labels, as in the original; no true span was used in training. The same
model, the same clips, the same number of frames and tokens:"""

SIZE = 64
NUM_CANDIDATES, NUM_FRAMES = 32, 4
NUM_QUERIES = 4
INITIALIZER_RANGE = 0.1


def build_processor(
    tokenizer: PreTrainedTokenizerFast, mean: Sequence[float], std: Sequence[float]
) -> VideotgbProcessor:
    """The processor for clips of the synthetic world; one tokenizer serves all three readers.

    Args:
        tokenizer: with `SPECIAL_TOKENS`.
        mean: of the world's pixels per channel, in [0, 1]; standard deviation likewise.
        std: see `mean`.
    """
    pixels = {"size": {"height": SIZE, "width": SIZE}, "image_mean": list(mean), "image_std": list(std)}
    return VideotgbProcessor(
        image_processor=VideotgbImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=VideotgbVideoProcessor(num_candidate_frames=NUM_CANDIDATES, **pixels),
        sampler_tokenizer=copy.deepcopy(tokenizer),
        qformer_tokenizer=copy.deepcopy(tokenizer),
        num_query_tokens=NUM_QUERIES,
        num_chosen_frames=NUM_FRAMES,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> VideotgbForConditionalGeneration:
    """The untrained model; seed torch before."""
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": INITIALIZER_RANGE}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    vision = {"hidden_size": 64, "intermediate_size": 128, "image_size": SIZE, "patch_size": 16, **layers}
    qformer = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "encoder_hidden_size": 64,
        "cross_attention_frequency": 1,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        **layers,
        **still,
    }
    raft = {
        "raft_encoder_widths": [8, 8, 16, 24, 32],
        "raft_hidden_size": 24,
        "raft_context_size": 16,
        "raft_corr_levels": 3,
        "raft_corr_radius": 2,
        "raft_corr_widths": [24, 16],
        "raft_flow_widths": [16, 16],
        "raft_motion_size": 24,
        "raft_head_size": 24,
        "num_flow_updates": 3,
    }
    grounding = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 128,
        "fusion_layer": 1,
        "initializer_range": 0.05,
        "flow_size": SIZE,
        "flow_input": "pixels",
        "flow_chunk_size": 16,
        **still,
        **raft,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        **layers,
        **ids,
    }
    config = VideotgbConfig(
        vision_config=vision,
        qformer_config=qformer,
        grounding_config=grounding,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        num_query_tokens=NUM_QUERIES,
        num_frames=NUM_FRAMES,
        initializer_range=INITIALIZER_RANGE,
    )
    model = VideotgbForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    return model


def single_frames(processor: VideotgbProcessor, count: int, seed: int) -> list[Lesson]:
    """Frames that show one thing, with a question about its colour: what an image model has seen."""
    video = processor.video_processor
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (video.image_mean, video.image_std))
    lessons = []
    for number, sample in enumerate(draw_samples(seed, count, ("colour",))):
        frame = torch.from_numpy(render_frame(sample.scene, number % sample.scene.num_frames)).permute(2, 0, 1)
        question = sample.questions[0]
        lessons.append(make_lesson(processor, (frame[None] / 255 - mean) / std, question.text, question.answer))
    return lessons


def train(
    model: VideotgbForConditionalGeneration, processor: VideotgbProcessor, rows: Sequence[dict], recipe: Any
) -> list[float]:
    """The five steps; answers with the losses of those that train the language side.

    Args:
        model: untrained.
        processor: its processor.
        rows: conversations about episodes, see `video_lmms.data.world.write_rows`.
        recipe: `seed`, `steps` of the last step, `batch_size`, `learning_rate`.
    """
    base, bridge = model.model, model.config.grounding_config
    bridge.pixel_mean, bridge.pixel_deviation = (
        processor.video_processor.image_mean,
        processor.video_processor.image_std,
    )
    language = [base.vision_tower, base.qformer, base.multi_modal_projector, base.language_model, model.lm_head]

    crowds = [crowd_scene(np.random.default_rng([recipe.seed, number])) for number in range(4 * len(rows))]
    report("RAFT", train_raft(base.flow_model, flow_pairs(crowds, step=1), 2 * recipe.steps, recipe.batch_size))

    lessons = single_frames(processor, 2 * len(rows), recipe.seed + 2)
    settings = (recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.seed)
    image_losses = fit(model, lessons, language, *settings)
    report("Image model", image_losses)

    videos, turns = zip(*map(turns_of, rows), strict=True)
    clips = [
        processor.video_processor([video], return_tensors="pt")["pixel_values_videos"][0].half() for video in videos
    ]
    spans = [
        [pseudo_label(model, processor, clip, question, gold) for question, gold in asked]
        for clip, asked in zip(clips, turns, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = extract_flow(base.flow_model, videos, folder, rate=float(processor.video_processor.fps))
        lengths = {video: len(read_flow(file)) for video, file in files.items()}
        samples = [
            SpanSample(files[video], question, to_flow_frames(span, NUM_CANDIDATES, lengths[video]))
            for video, asked, labels in zip(videos, turns, spans, strict=True)
            for (question, _), span in zip(asked, labels, strict=True)
        ]
        epochs = recipe.steps * recipe.batch_size / len(samples)
        sampler = SamplerRecipe(epochs, recipe.batch_size, learning_rate=recipe.learning_rate, weight_decay=0.0)
        report("Span encoder", train_sampler(base.grounding, samples, processor.sampler_tokenizer, sampler))
        frames = fixed_frames(base.grounding, samples, processor.sampler_tokenizer, NUM_CANDIDATES, NUM_FRAMES)

    questions = [(clip, *turn) for clip, asked in zip(clips, turns, strict=True) for turn in asked]
    lessons = [
        make_lesson(processor, clip[chosen], question, gold)
        for (clip, question, gold), chosen in zip(questions, frames, strict=True)
    ]
    learned = [base.qformer, base.multi_modal_projector]
    losses = fit(model, lessons, learned, *settings)
    report("Answers", losses)
    return image_losses + losses


def report(step: str, losses: Sequence[float]) -> None:
    tenth = max(1, len(losses) // 10)
    first, last = (sum(part) / len(part) for part in (losses[:tenth], losses[-tenth:]))
    sys.stderr.write(f"{step}: {len(losses)} steps, loss {first:.3f} to {last:.3f}\n")


@torch.no_grad()
def compare_selection(
    model: VideotgbForConditionalGeneration, processor: VideotgbProcessor, rows: Sequence[dict], batch_size: int = 25
) -> dict[str, dict[str, float]]:
    """What the choice of frames is worth: the same model, the same number of frames and tokens, frames chosen or not.

    Args:
        model: trained.
        processor: its processor.
        rows: held-out rows with the `span` that answers the question.
        batch_size: clips at a time.

    Returns:
        For chosen and for evenly spaced frames: share of frames within the answering span, and of right answers.
    """
    hits: dict[str, list[float]] = {"chosen frames": [], "uniform frames": []}
    right: dict[str, list[float]] = {name: [] for name in hits}
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        inputs = processor.apply_chat_template(
            [row["messages"][:1] for row in batch],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(model.dtype)
        pixels = [inputs.pop(name) for name in ("pixel_values_videos", "flow_pixel_values", "num_flow_frames")]
        cache = model.get_video_cache(*pixels)
        question = [inputs.pop(name) for name in ("sampler_input_ids", "sampler_attention_mask")]
        chosen = model.select_frames(cache, *question).frame_indices
        uniform = torch.tensor(middle_indices(chosen.shape[1], len(cache[0].candidates))).expand_as(chosen)
        for name, frames in (("chosen frames", chosen), ("uniform frames", uniform)):
            new = model.generate(**inputs, video_cache=cache, frame_indices=frames, max_new_tokens=4, do_sample=False)[
                :, inputs["input_ids"].shape[1] :
            ]
            answers = processor.batch_decode(new, skip_special_tokens=True)
            right[name] += [said.strip() == row["answer"] for said, row in zip(answers, batch, strict=True)]
            for row, own, known in zip(batch, frames, cache, strict=True):
                flow_frames = torch.tensor(candidate_indices(known.num_flow_frames, len(known.candidates)))[own]
                times = flow_frames / known.num_flow_frames
                hits[name] += ((times >= row["span"][0]) & (times < row["span"][1])).tolist()
    return {
        name: {"within the answering span": sum(hits[name]) / len(hits[name]), "right": sum(right[name]) / len(rows)}
        for name in hits
    }
