# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A Video-LLaMA of half a million parameters for the synthetic world: it sees shapes move and hears tones.

Its ear is finer than the original's: clips of half a second, so that several lie one after the other in a sound of two
to three seconds, and spectrograms of 32 mel bins.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from video_lmms.data.questions import sound_vocabulary
from video_lmms.data.scenes import COLOURS, DIRECTIONS, Scene, Thing
from video_lmms.data.sounds import Tone
from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration
from video_lmms.processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from video_lmms.processing.image_processing_video_llama import VideoLlamaImageProcessor
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.video_processing_video_llama import VideoLlamaVideoProcessor


SPECIAL_TOKENS = ("<pad>", "###", "<unk>", "<ImageHere>", "<AudioHere>", "<VideoHere>")
WORDS = ("human", "assistant", *sound_vocabulary())
KINDS = ("direction", "colour", "pitch", "tone_order")
RECIPE: dict[str, float] = {"clips": 4000, "steps": 4000, "batch_size": 16}
# A green circle that moves to the right, under a high tone that gives way to a low one.
EXAMPLE = Scene(
    things=(Thing("circle", "green", (40, 170, 60), 0.16, ((0.0, 0.2, 0.5), (1.0, 0.8, 0.5))),),
    background=(20, 20, 20),
    num_frames=24,
    tones=(Tone("high", 2600.0, 0.0, 0.5), Tone("low", 200.0, 0.5, 1.0)),
)

# Media and words alone. The demo's long instructions are for a language model that has read before.
CHAT_TEMPLATE = """\
{%- set places = {"video": "<VideoHere>", "audio": "<AudioHere>", "image": "<ImageHere>"} -%}
{%- macro shown(content) -%}
    {%- if content is string -%}
        {{ content }}
    {%- else -%}
        {%- for part in content -%}{{ places.get(part.type, part.text) ~ " " }}{%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {{ "###Human: " ~ shown(message.content) ~ "###" }}
    {%- else -%}
        {{ "Assistant:" }}
        {%- generation -%}{{ " " ~ shown(message.content) ~ "###" }}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "Assistant:" }}{%- endif -%}
"""

IMAGE_SIZE, PATCH_SIZE = 48, 12
NUM_FRAMES = 4
# Few, because what is learned from nothing learns to place a shape through two queries sooner than through eight.
FRAME_TOKENS = 2
VIDEO_TOKENS = 16
MEL_BINS, MEL_FRAMES, CLIP_SECONDS, NUM_CLIPS = 32, 56, 0.5, 8
AUDIO_TOKENS = 8
INITIALIZER_RANGE = 0.1


def build_processor(
    tokenizer: PreTrainedTokenizerFast, mean: Sequence[float], std: Sequence[float]
) -> VideoLlamaProcessor:
    """The processor for clips of the synthetic world.

    Args:
        tokenizer: with `SPECIAL_TOKENS`.
        mean: of the world's pixels per channel, in [0, 1]; standard deviation likewise.
        std: see `mean`.
    """
    pixels = {
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": list(mean),
        "image_std": list(std),
    }
    return VideoLlamaProcessor(
        image_processor=VideoLlamaImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=VideoLlamaVideoProcessor(num_frames=NUM_FRAMES, **pixels),
        feature_extractor=VideoLlamaFeatureExtractor(
            feature_size=MEL_BINS, num_mel_frames=MEL_FRAMES, clip_seconds=CLIP_SECONDS, num_clips=NUM_CLIPS
        ),
        chat_template=CHAT_TEMPLATE,
        prompt_style="vicuna",
        num_video_query_tokens=VIDEO_TOKENS,
        num_audio_query_tokens=AUDIO_TOKENS,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> VideoLlamaForConditionalGeneration:
    """The untrained model; seed torch before."""
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    tower = {
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "initializer_range": INITIALIZER_RANGE,
    }
    reader = tower | {
        "vocab_size": 1,
        "cross_attention_frequency": 1,
        "encoder_hidden_size": 96,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": 2,
        "max_position_embeddings": 1024,
        "initializer_range": INITIALIZER_RANGE,
        **ids,
    }
    image_id, audio_id, video_id = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS[3:]))
    config = VideoLlamaConfig(
        vision_config=tower | {"image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE},
        qformer_config=reader,
        video_qformer_config=reader,
        audio_config=tower
        | {
            "num_mel_bins": MEL_BINS,
            "num_mel_frames": MEL_FRAMES,
            "projection_dim": 96,
            "drop_path_rate": 0.0,
        },
        audio_qformer_config=reader,
        text_config=text,
        image_token_id=image_id,
        audio_token_id=audio_id,
        video_token_id=video_id,
        num_query_tokens=FRAME_TOKENS,
        num_video_query_tokens=VIDEO_TOKENS,
        num_audio_query_tokens=AUDIO_TOKENS,
        max_frames=NUM_FRAMES,
        max_audio_clips=NUM_CLIPS,
        initializer_range=INITIALIZER_RANGE,
    )
    model = VideoLlamaForConditionalGeneration(config)
    # Patches are far larger than `INITIALIZER_RANGE`; behind queries nothing else tells where one lies.
    for tower in (model.model.vision_tower, model.model.audio_tower):
        torch.nn.init.normal_(tower.embeddings.position_embedding)
    model.generation_config = GenerationConfig(**ids)
    return model


def lessons(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Training rows in two lessons: all questions in one or two words, then every other one.

    A tower behind two Q-Formers learns what moves, and what follows what, long before so small a language model can
    read for what it is asked. Brief questions let it learn the first without the second.
    """
    return [with_brief_questions(rows, 1), with_brief_questions(rows, 2)]


def with_brief_questions(rows: Sequence[dict[str, Any]], every: int) -> list[dict[str, Any]]:
    """The rows with every such question as brief as can be."""
    questions = 0
    brief_rows = []
    for row in rows:
        messages = []
        for message, answer in zip(row["messages"], row["messages"][1:] + [None], strict=True):
            if message["role"] == "user":
                if questions % every == 0:
                    text = message["content"][-1]["text"]
                    brief = {"type": "text", "text": brief_question(text, answer["content"][0]["text"])}
                    message = {**message, "content": [*message["content"][:-1], brief]}
                questions += 1
            messages.append(message)
        brief_rows.append({**row, "messages": messages})
    return brief_rows


def brief_question(text: str, answer: str) -> str:
    """The question in the fewest words, which its answer tells it by."""
    if answer in DIRECTIONS:
        return "way?"
    if answer in COLOURS:
        return "colour?"
    order = next((word for word in ("first", "second", "last") if word in text.lower()), "")
    return f"{order} tone?".strip()
