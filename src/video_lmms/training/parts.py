# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The three parts of a video LMM, and what training does to each: nothing, LoRA, or all weights.

Every model of the collection is towers, connector and language model under names that tell which is which: the
children `language_model` and `lm_head` are the language model, children called `..._tower` are towers, and all else
(projector, resampler, Q-Former, aggregator, newline tokens) connects them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from video_lmms.errors import VideoLmmError


if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


logger = logging.getLogger(__name__)

TOWER, CONNECTOR, LANGUAGE_MODEL = "vision_tower", "connector", "language_model"
PARTS = (TOWER, CONNECTOR, LANGUAGE_MODEL)
MODES = ("frozen", "lora", "full")


class PartsError(VideoLmmError, ValueError):
    """A plan that cannot be carried out on this model."""


def part_of(name: str) -> str:
    """The part that a parameter or module belongs to, by its name in the model, PEFT's prefixes included."""
    steps = name.split(".")
    if {"language_model", "lm_head"} & set(steps):
        return LANGUAGE_MODEL
    return TOWER if any(step.endswith("_tower") for step in steps) else CONNECTOR


def freeze(model: PreTrainedModel, plan: Mapping[str, str], frozen_modules: Sequence[str] = ()) -> None:
    """Lets exactly the parts that are trained in full require gradients.

    Args:
        model: with its head, before any adapter.
        plan: part -> one of `MODES`.
        frozen_modules: children of the headless model that stay as they are whatever their part does.

    Raises:
        PartsError: an unknown part, mode or child, or nothing left to train.
    """
    children = [name for name, _ in model.base_model.named_children()]
    unknown = sorted(set(frozen_modules) - set(children))
    if unknown:
        raise PartsError(f"The model has no child {', '.join(unknown)}. Its children: {', '.join(children)}.")
    for part, mode in plan.items():
        if part not in PARTS or mode not in MODES:
            raise PartsError(f"{part}={mode}: parts are {', '.join(PARTS)}, and each is one of {', '.join(MODES)}.")
    if set(plan.values()) <= {"frozen"}:
        raise PartsError(f"Every part is frozen, so nothing would be trained. Let one of {', '.join(PARTS)} learn.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan[part_of(name)] == "full" and not set(frozen_modules) & set(name.split(".")))


def lora_config(
    model: PreTrainedModel,
    plan: Mapping[str, str],
    targets: Sequence[str] | None,
    frozen_modules: Sequence[str] = (),
    **options,
) -> LoraConfig:
    """PEFT's configuration of a plan that has LoRA in it: adapters on some parts, others trained and saved whole.

    Args:
        model: with its head, after [`freeze`].
        plan: part -> one of `MODES`.
        targets: last names of the linear layers that get an adapter; None: all linear layers of the part.
        frozen_modules: as for [`freeze`].
        options: other fields of `peft.LoraConfig`.

    A weight that the headless model holds itself (LongVU's `image_newline`, VideoTGB's `query_tokens`) is frozen, with
    a warning, for PEFT keeps modules only.

    Raises:
        PartsError: no layer of a part fits `targets`.
    """
    from peft import LoraConfig

    adapted = [
        name
        for name in _linear_layers(model)
        if plan[part_of(name)] == "lora" and not set(frozen_modules) & set(name.split("."))
    ]
    chosen = [name for name in adapted if targets is None or name.split(".")[-1] in targets]
    for part in (part for part, mode in plan.items() if mode == "lora"):
        if not any(part_of(name) == part for name in chosen):
            known = sorted({name.split(".")[-1] for name in adapted if part_of(name) == part})
            raise PartsError(
                f"{part} has no linear layer named {', '.join(targets or ())}; it has {', '.join(known)}."
            )
    return LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        target_modules=_as_pattern(chosen),
        modules_to_save=_whole_modules(model),
        **options,
    )


def parameter_groups(
    model: nn.Module, decayed: set[str], weight_decay: float, learning_rate: float, rates: Mapping[str, float]
) -> list[dict]:
    """Groups for an optimiser: one per part and weight decay, with the part's own learning rate.

    Args:
        model: whose trainable parameters are grouped.
        decayed: names of the parameters that weight decay acts on.
        weight_decay: theirs.
        learning_rate: of parts that `rates` does not name.
        rates: part -> learning rate.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((part_of(name), name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            "lr": rates.get(part, learning_rate),
        }
        for (part, decays), parameters in groups.items()
    ]


def _linear_layers(model: PreTrainedModel) -> Iterator[str]:
    """Names of the linear layers below the head, which TRL's loss reads directly and so must stay as it is."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield name


def _as_pattern(names: Sequence[str]) -> str:
    """One expression for all the names: layers' numbers are left open, so that it stays short."""
    shapes = dict.fromkeys(re.sub(r"\\\.\d+(?=\\\.|$)", r"\\.\\d+", re.escape(name)) for name in names)
    return f"(?:.*\\.)?(?:{'|'.join(shapes)})"


def _whole_modules(model: PreTrainedModel) -> list[str] | None:
    """Children of which a weight is trained, for PEFT to keep whole beside the adapters."""
    base = model.base_model
    bare = {name: weight for name, weight in base.named_parameters(recurse=False) if weight.requires_grad}
    if bare:
        logger.warning(
            "%s of %s is a single weight and no module, which an adapter cannot hold: it stays as it is.",
            ", ".join(bare),
            type(model).__name__,
        )
        for weight in bare.values():
            weight.requires_grad_(False)
    # With what they hang on: PEFT compares the ends of names, and `qformer` ends `video_qformer.qformer` too.
    prefix = model.base_model_prefix
    children = {}
    for name, child in base.named_children():
        # A list has no forward that PEFT could replace.
        inner = child.named_children() if isinstance(child, nn.ModuleList) else [("", child)]
        children |= {f"{prefix}.{name}.{place}".rstrip("."): module for place, module in inner}
    children["lm_head"] = model.get_output_embeddings()
    whole = [name for name, child in children.items() if any(weight.requires_grad for weight in child.parameters())]
    return whole or None


__all__ = ["CONNECTOR", "LANGUAGE_MODEL", "MODES", "PARTS", "PartsError", "TOWER", "freeze", "lora_config"]
