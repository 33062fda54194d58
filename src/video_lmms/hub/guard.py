# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Keeps transformers from loading an original checkpoint as something else.

PLLaVA's own files say they were a LLaVA, and the stock classes then build one with a language model of random
weights; others end in "unrecognized model". Everything that loads a configuration comes through one function, so that
is where an original is told from what it says it were. Anything else passes unchanged.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from ..errors import UnconvertedCheckpointError


_stock = PreTrainedConfig.get_config_dict.__func__


def _get_config_dict(cls: type, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> tuple[dict, dict]:
    try:
        config, rest = _stock(cls, pretrained_model_name_or_path, **kwargs)
    except OSError:  # some originals have no config.json
        refuse_original({}, pretrained_model_name_or_path)
        raise
    refuse_original(config, pretrained_model_name_or_path)
    return config, rest


def refuse_original(config: dict[str, Any], source: str | os.PathLike) -> None:
    """Raises where a checkpoint is in the layout of its original code.

    Args:
        config: content of its `config.json`, empty if it has none.
        source: its folder, file or Hub id.

    Raises:
        UnconvertedCheckpointError: naming the command that converts it.
    """
    # LLaVA-NeXT, which PLLaVA can start from, is a model that stock transformers runs.
    if config.get("model_type") == "llava_next":
        return
    from .originals import find_original  # reads weights, which most never need

    original = find_original(config, Path(source))
    if original is not None:
        raise UnconvertedCheckpointError(f"{source} {original.what}.", original.command)


def install() -> None:
    """Puts the guard in its place; doing it again changes nothing."""
    PreTrainedConfig.get_config_dict = classmethod(_get_config_dict)
