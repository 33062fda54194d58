# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The two forms of VideoTGB: which image model it stands on, and what that decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Blip2QFormerConfig,
    Blip2VisionConfig,
    GenerationConfig,
    InstructBlipQFormerConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from video_lmms.conversion_scripts.conversion import ConversionError, Recipe, SourceTensor, read_json
from video_lmms.conversion_scripts.videotgb_grounding_names import GROUNDING_PREFIX, grounding_config_from_shapes
from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.configuration_videotgb_t5 import VideotgbT5Config
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration
from video_lmms.modeling.modeling_videotgb_t5 import VideotgbT5ForConditionalGeneration
from video_lmms.processing.chat_templates_videotgb import IMAGE_TOKEN, VIDEO_TOKEN
from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor, VideotgbT5Processor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor


# Fields of a stored configuration that describe the file and not the model.
FOREIGN = ("architectures", "torch_dtype", "dtype", "auto_map", "transformers_version", "model_type", "_name_or_path")
SHARED_NAMES = (
    (r"^vision_model\.", "model.vision_tower."),
    (r"^qformer\.", "model.qformer."),
    (r"^query_tokens$", "model.query_tokens"),
    (r"^language_projection\.", "model.multi_modal_projector."),
    (r"^language_model\.lm_head\.", "lm_head."),
)


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        name: "vicuna" or "t5".
        config_class, model_class, processor_class, qformer_config, text_config: its classes.
        names: name in the original (without `model.`) -> name in the new model; every matching line applies.
        embedding: the input embedding table.
        copies: names of tensors that repeat another, and which.
        grounding: what the published code runs this form with.
        task_type: PEFT's word for it.
    """

    name: str
    config_class: type
    model_class: type
    processor_class: type
    qformer_config: type
    text_config: type
    names: tuple[tuple[str, str], ...]
    embedding: str
    grounding: Mapping[str, str]
    task_type: str
    copies: Mapping[str, str] = field(default_factory=dict)


VICUNA = Form(
    name="vicuna",
    config_class=VideotgbConfig,
    model_class=VideotgbForConditionalGeneration,
    processor_class=VideotgbProcessor,
    qformer_config=InstructBlipQFormerConfig,
    text_config=LlamaConfig,
    names=(*SHARED_NAMES, (r"^language_model\.model\.", "model.language_model.")),
    embedding="model.language_model.embed_tokens.weight",
    grounding={"mode": "multi_modal", "span_mapping": "length"},
    task_type="CAUSAL_LM",
)
SHARED_TABLE = "model.language_model.shared.weight"
FLAN_T5 = Form(
    name="t5",
    config_class=VideotgbT5Config,
    model_class=VideotgbT5ForConditionalGeneration,
    processor_class=VideotgbT5Processor,
    qformer_config=Blip2QFormerConfig,
    text_config=T5Config,
    names=(*SHARED_NAMES, (r"^language_model\.", "model.language_model.")),
    embedding=SHARED_TABLE,
    copies={f"model.language_model.{part}.embed_tokens.weight": SHARED_TABLE for part in ("encoder", "decoder")},
    grounding={"mode": "fusion", "span_mapping": "last_frame"},
    task_type="SEQ_2_SEQ_LM",
)
# By model type of the base and of its language model.
FORMS = {("instructblip", "llama"): VICUNA, ("blip-2", "t5"): FLAN_T5}


def find_form(original: Mapping, base: Path) -> Form:
    """The form that a base makes.

    Raises:
        ConversionError: neither InstructBLIP over Llama nor BLIP-2 over T5.
    """
    found = (original.get("model_type"), original.get("text_config", {}).get("model_type"))
    if found not in FORMS:
        raise ConversionError(
            f"{base / 'config.json'} is of {found[0]!r} over {found[1]!r}; VideoTGB stands on InstructBLIP over Llama "
            "(instructblip-vicuna-7b) or on BLIP-2 over T5 (blip2-flan-t5-xl)."
        )
    return FORMS[found]


def known_fields(config_class: type, stored: Mapping) -> dict:
    """The fields of a stored configuration that this class has."""
    known = config_class().to_dict()
    return {name: value for name, value in stored.items() if name in known and name not in FOREIGN}


def build_config(
    form: Form,
    original: Mapping,
    tensors: Mapping[str, SourceTensor],
    processor: Any,
    mode: str | None,
    frame_merge: str,
    num_frames: int,
) -> VideotgbConfig | VideotgbT5Config:
    """The new configuration: the image model's as stored, the bridge's from shapes.

    Raises:
        ConversionError: sizes that do not fit together.
    """
    shapes = {
        name.removeprefix(GROUNDING_PREFIX): tensor.shape
        for name, tensor in tensors.items()
        if name.startswith(GROUNDING_PREFIX)
    }
    seen = processor.video_processor
    pixels = {"pixel_mean": list(seen.image_mean), "pixel_deviation": list(seen.image_std)}
    grounding = grounding_config_from_shapes(shapes) | form.grounding | pixels | ({"mode": mode} if mode else {})
    text = known_fields(form.text_config, original["text_config"])
    text |= {"tie_word_embeddings": False, "vocab_size": max(text["vocab_size"], len(processor.tokenizer))}
    if form is FLAN_T5:
        text["decoder_start_token_id"] = original["text_config"].get("decoder_start_token_id", 0)
    else:
        # The stored -1 is no row of the table.
        text["pad_token_id"] = processor.tokenizer.pad_token_id
    config = form.config_class(
        vision_config=known_fields(Blip2VisionConfig, original["vision_config"]),
        qformer_config=known_fields(form.qformer_config, original["qformer_config"]),
        grounding_config=grounding,
        text_config=text,
        image_token_id=processor.image_token_id,
        video_token_id=processor.video_token_id,
        num_query_tokens=original.get("num_query_tokens", 32),
        num_frames=num_frames,
        frame_merge=frame_merge,
    )
    if original["text_config"]["vocab_size"] < text["vocab_size"]:
        config.num_output_tokens = original["text_config"]["vocab_size"]
    side = processor.video_processor.size["height"]
    if not side == config.vision_config.image_size == config.grounding_config.flow_size:
        raise ConversionError(
            f"Frames are resized to {side}, the tower takes {config.vision_config.image_size} and the flow embedding "
            f"{config.grounding_config.flow_size}: they must be equal."
        )
    return config


def read_tokenizer(folder: Path, **options: str) -> PreTrainedTokenizerFast:
    """A tokenizer as stored: model classes would rebuild it and give other ids.

    Raises:
        ConversionError: there is no `tokenizer.json`.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ConversionError(f"{folder / 'tokenizer.json'} does not exist.")
    return PreTrainedTokenizerFast.from_pretrained(folder, **options)


def build_processor(
    form: Form, base: Path, sampler_tokenizer: Path, original: Mapping, frame_merge: str, num_frames: int
) -> VideotgbT5Processor:
    """Tokenizers and pixel statistics as stored, and two placeholders behind the last token."""
    tokenizer = read_tokenizer(base, padding_side="right" if form is FLAN_T5 else "left")
    tokenizer.add_tokens([IMAGE_TOKEN, VIDEO_TOKEN], special_tokens=True)
    stored = read_json(base / "preprocessor_config.json")
    pixels = {name: stored[name] for name in ("size", "image_mean", "image_std")}
    parts = {
        "image_processor": VideotgbImageProcessor(**pixels),
        "tokenizer": tokenizer,
        "video_processor": VideotgbVideoProcessor(**pixels),
        "sampler_tokenizer": read_tokenizer(sampler_tokenizer),
    }
    if form is VICUNA:
        parts["qformer_tokenizer"] = read_tokenizer(base / "qformer_tokenizer")
    return form.processor_class(
        **parts,
        num_query_tokens=original.get("num_query_tokens", 32),
        num_chosen_frames=num_frames,
        frame_merge=frame_merge,
    )


def build_generation_config(form: Form, config: VideotgbConfig | VideotgbT5Config, processor: Any) -> GenerationConfig:
    """Greedy; stops where the tokenizer's text ends, and never says a placeholder."""
    tokenizer = processor.tokenizer
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if form is FLAN_T5:
        ids["decoder_start_token_id"] = config.decoder_start_token_id
    return GenerationConfig(**ids, suppress_tokens=sorted({config.image_token_id, config.video_token_id}))


def append_rows(recipe: Recipe, rows: int, is_embedding: bool) -> Recipe:
    """A recipe with rows for placeholders behind it: multiples of the mean row, so that they can be told apart, in an
    embedding table; zeros in a head, which never uses them."""

    def build(*sources: torch.Tensor) -> torch.Tensor:
        table = recipe.build(*sources)
        mean = table.float().mean(0, keepdim=True) if is_embedding else torch.zeros(1, table.shape[1])
        factors = torch.arange(1, rows + 1, dtype=torch.float32).unsqueeze(1)
        return torch.cat([table, (factors * mean).to(table.dtype)])

    height, width = recipe.shape
    return Recipe(recipe.sources, build, (height + rows, width))


def same_table(table: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """The builder of a tensor that is stored several times.

    Raises:
        ConversionError: the copies differ.
    """
    if not all(torch.equal(table, other) for other in others):
        raise ConversionError(
            "The language model's embedding tables (shared, encoder.embed_tokens, decoder.embed_tokens) differ, but "
            "T5 has one: the checkpoint is damaged."
        )
    return table


__all__ = [
    "FLAN_T5",
    "FORMS",
    "VICUNA",
    "Form",
    "append_rows",
    "build_config",
    "build_generation_config",
    "build_processor",
    "find_form",
    "same_table",
]
