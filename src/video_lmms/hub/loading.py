# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Strict loading: every tensor of the files is used, every tensor of the model is filled, or nothing is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoVideoProcessor,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.utils import cached_file, is_bitsandbytes_available
from transformers.utils.quantization_config import QuantizationConfigMixin
from transformers.video_processing_utils import BaseVideoProcessor

from ..errors import IncompleteCheckpointError, NotAModelError, VideoLmmError
from ..registration import ARCHITECTURES
from .originals import find_original
from .sources import check_is_model, read_config, resolve


# What 4-bit and 8-bit loading leave alone, as an expression that a module's whole name matches: towers, connector and
# head are small, sensitive, or trained whole.
KEPT_IN_FULL = r"(?!.*\blanguage_model\.).*"


def load(
    model: str | os.PathLike,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | dict[str, str] | None = None,
    quantization_config: QuantizationConfigMixin | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Loads a model and its processor, completely or not at all.

    Args:
        model: a folder, a Hub id, or the name of a model that ships with the package (`tiny-pllava`).
        device: where to put it; `"auto"` spreads it over all devices. Defaults to the first accelerator, else CPU.
        dtype: of the weights, e.g. `torch.bfloat16` or `"bfloat16"`. Defaults to that of the files.
        attn_implementation: passed on to transformers.
        quantization_config: for 4-bit or 8-bit weights; see [`quantization_config`].
        trust_remote_code: allow a model of another `model_type` to run the code it brings.

    Returns:
        The model in evaluation mode, and the processor.

    Raises:
        NotAModelError: `model` leads to no model of this collection.
        UnconvertedCheckpointError: it has to be converted first; the message names the command.
        VideoLmmError: there is no such device.
        IncompleteCheckpointError: tensors are missing, left over or of another shape, or a weight file is damaged.
    """
    source = resolve(os.fspath(model))
    check_is_model(source, set(ARCHITECTURES), stored_config(source), trust_remote_code=trust_remote_code)
    loaded = load_weights(
        source,
        device_map=default_device() if device is None else check_device(device),
        dtype="auto" if dtype is None else dtype,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        **({} if quantization_config is None else {"quantization_config": quantization_config}),
    )
    try:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as exc:
        raise NotAModelError(f"{source}: its processor or tokenizer cannot be loaded ({first_line(exc)}).") from exc
    return loaded, processor


def load_blueprint(model: str | os.PathLike) -> tuple[PreTrainedConfig, BaseVideoProcessor]:
    """The configuration and the video processor of a model, which need no weights.

    Args:
        model: a folder, a Hub id, or the name of a configuration that ships with the package.

    Raises:
        NotAModelError: `model` leads to no model of this collection.
        UnconvertedCheckpointError: it has to be converted first; the message names the command.
    """
    source = resolve(os.fspath(model))
    check_is_model(source, set(ARCHITECTURES), stored_config(source), weights=False)
    try:
        return AutoConfig.from_pretrained(source), AutoVideoProcessor.from_pretrained(source)
    except (OSError, ValueError) as exc:
        raise NotAModelError(f"{source}: its configuration cannot be read ({first_line(exc)}).") from exc


def load_weights(source: str, **options: Any) -> PreTrainedModel:
    """`from_pretrained` that refuses a partial load.

    Args:
        source: a folder or Hub id.
        options: of `from_pretrained`.

    Raises:
        IncompleteCheckpointError: naming every tensor that does not fit.
    """
    try:
        model, info = AutoModelForMultimodalLM.from_pretrained(
            source,
            output_loading_info=True,
            # Without this flag the first misshapen tensor ends the load; all of them should be named.
            ignore_mismatched_sizes=True,
            **options,
        )
    except (SafetensorError, OSError) as exc:
        raise IncompleteCheckpointError(source, reason=first_line(exc).rstrip(".")) from exc
    except ValueError as exc:  # no Auto class has a model for it
        raise NotAModelError(f"{source} cannot be loaded: {first_line(exc)}") from exc
    missing, unexpected = info["missing_keys"], info["unexpected_keys"]
    mismatched = [
        f"{name}: {tuple(found)} instead of {tuple(wanted)}" for name, found, wanted in info["mismatched_keys"]
    ]
    if missing or unexpected or mismatched:
        raise IncompleteCheckpointError(source, missing, unexpected, mismatched)
    return model.eval()


def stored_config(source: str) -> dict[str, Any]:
    """Content of `config.json` of a folder or a Hub repository, empty where a folder or an original has none.

    Raises:
        NotAModelError: the repository cannot be read.
    """
    if Path(source).is_dir():
        return read_config(Path(source))
    if Path(source).is_file():
        return {}
    try:
        return read_config(Path(cached_file(source, "config.json")).parent)
    except OSError as exc:
        if find_original({}, Path(source)) is not None:
            return {}
        raise NotAModelError(f"{source} is neither a folder nor a readable Hub repository: {first_line(exc)}") from exc


def default_device() -> str:
    """The first accelerator, or the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type


def check_device(device: str | torch.device) -> str | torch.device:
    """The device itself, once it is known to exist; `"auto"` and transformers' other plans pass.

    Raises:
        VideoLmmError: there is no such device.
    """
    if device in ("auto", "balanced", "balanced_low_0", "sequential"):
        return device
    present = {"cpu", "meta", default_device()}
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = None
    if kind not in present:
        raise VideoLmmError(
            f"there is no device {str(device)!r} here. Present: {', '.join(sorted(present - {'meta'}))}."
        )
    return device


def parse_dtype(name: str) -> torch.dtype:
    """The floating-point dtype of a name.

    Raises:
        VideoLmmError: there is no such dtype.
    """
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise VideoLmmError(f"dtype {name!r} is unknown. Use float32, bfloat16 or float16.")
    return dtype


def quantization_config(bits: str | None) -> QuantizationConfigMixin | None:
    """bitsandbytes' settings for a language model in 4 bits (NF4, computing in bfloat16) or in 8.

    Args:
        bits: "4bit", "8bit" or None.

    Raises:
        VideoLmmError: anything else, or bitsandbytes is not installed.
    """
    if bits is None:
        return None
    settings = {
        "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16},
        "8bit": {"load_in_8bit": True},
    }
    if bits not in settings:
        raise VideoLmmError(f"quantization is {' or '.join(settings)}, got {bits!r}.")
    if not is_bitsandbytes_available():
        raise VideoLmmError("quantization needs bitsandbytes: run `pip install 'video-lmms[quantization]'`.")
    return BitsAndBytesConfig(llm_int8_skip_modules=[KEPT_IN_FULL], **settings[bits])


def first_line(exc: BaseException) -> str:
    """First line of an exception's message, for messages of one line."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
