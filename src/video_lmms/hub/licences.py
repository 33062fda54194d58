# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Under which terms weights stand, and whether those terms let anybody publish them.

Weights carry the terms of what they derive from. The rows below say so for every published original; a model that
somebody trained states its own terms in `provenance.json` (`license`, as the Hub spells it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Licence(NamedTuple):
    """Terms of weights.

    Attributes:
        name: for readers.
        link: to the text.
        header: what goes into a card's header.
        forbids: why publishing is not allowed, or None where it is.
        duty: what publishing asks for beyond naming the licence.
    """

    name: str
    link: str
    header: dict[str, str]
    forbids: str | None = None
    duty: str | None = None


def _other(name: str, link: str) -> dict[str, str]:
    return {"license": "other", "license_name": name, "license_link": link}


APACHE_2 = Licence("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0.txt", {"license": "apache-2.0"})
LLAMA_2 = Licence(
    "Llama 2 Community License",
    "https://huggingface.co/meta-llama/Llama-2-7b-hf/blob/main/LICENSE.txt",
    {"license": "llama2"},
    duty="a copy of the licence and its notice have to go along",
)
LLAMA_3_2 = Licence(
    "Llama 3.2 Community License",
    "https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/LICENSE.txt",
    {"license": "llama3.2"},
    duty="a copy of the licence has to go along, 'Built with Llama' be shown, and the name begin with Llama",
)
_YI = "https://huggingface.co/01-ai/Yi-34B/blob/main/LICENSE"
YI = Licence("Yi licence", _YI, _other("yi-license", _YI), duty="commercial use asks for a permit")
_QWEN = "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE"
QWEN_RESEARCH = Licence(
    "Qwen research licence",
    _QWEN,
    _other("qwen-research", _QWEN),
    duty="not for commercial use; a copy of the licence has to go along",
)
_LLAMA = "https://github.com/facebookresearch/llama/blob/llama_v1/MODEL_CARD.md"
LLAMA_1 = Licence(
    "LLaMA licence (2023, not for commercial use)",
    _LLAMA,
    _other("llama-1", _LLAMA),
    forbids="weights that derive from LLaMA 1, as Vicuna v0 and v1.1 do, were given to single researchers and may "
    "not be passed on",
)
_IMAGEBIND = "https://github.com/facebookresearch/ImageBind/blob/main/LICENSE"
LLAMA_2_IMAGEBIND = Licence(
    "Llama 2 Community License with CC BY-NC-SA 4.0",
    _IMAGEBIND,
    _other("llama2-and-cc-by-nc-sa-4.0", _IMAGEBIND),
    duty="the ears are ImageBind's, not for commercial use and passed on under the same terms; Llama 2's licence and "
    "notice have to go along",
)
LICENCES = (APACHE_2, LLAMA_2, LLAMA_2_IMAGEBIND, LLAMA_3_2, YI, QWEN_RESEARCH, LLAMA_1)


class Row(NamedTuple):
    """Terms of one kind of checkpoint.

    Attributes:
        model_type: of the converted model.
        language_model: it derives from, for readers.
        licence: of the weights.
        applies: to a `config.json`; the first row that applies counts.
    """

    model_type: str
    language_model: str
    licence: Licence
    applies: Callable[[Mapping[str, Any]], bool]


def _text(config: Mapping[str, Any], key: str) -> Any:
    return config.get("text_config", {}).get(key)


def _is_llama_2(config: Mapping[str, Any]) -> bool:
    """Vicuna v0 knows one more token, for padding; rows for placeholders come on top of both."""
    return config.get("output_vocab_size") == 32000


def _hears(config: Mapping[str, Any]) -> bool:
    return config.get("audio_config") is not None


TABLE: tuple[Row, ...] = (
    Row("pllava", "Yi-34B", YI, lambda config: (_text(config, "vocab_size") or 0) >= 64000),
    Row("pllava", "Vicuna v1.5 (Llama 2)", LLAMA_2, lambda config: True),
    Row("apollo", "Qwen2.5-3B", QWEN_RESEARCH, lambda config: _text(config, "hidden_size") == 2048),
    Row("apollo", "Qwen2.5-1.5B, 7B", APACHE_2, lambda config: True),
    Row("longvu", "Llama 3.2", LLAMA_3_2, lambda config: _text(config, "model_type") == "llama"),
    Row("longvu", "Qwen2-7B", APACHE_2, lambda config: True),
    Row("video_llama", "Llama 2, with ears", LLAMA_2_IMAGEBIND, lambda config: _is_llama_2(config) and _hears(config)),
    Row("video_llama", "Llama 2", LLAMA_2, _is_llama_2),
    Row("video_llama", "Vicuna v0 (LLaMA 1)", LLAMA_1, lambda config: True),
    Row("videotgb", "Flan-T5", APACHE_2, lambda config: _text(config, "model_type") == "t5"),
    Row("videotgb", "Vicuna v1.1 (LLaMA 1)", LLAMA_1, lambda config: True),
    Row("videotgb_t5", "Flan-T5", APACHE_2, lambda config: True),
)


def terms_of(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> Licence | None:
    """Terms of the weights in a folder.

    Args:
        config: its `config.json`.
        provenance: its `provenance.json`; what it states under `license` counts more than any row.

    Returns:
        None where nobody can tell.
    """
    stated = provenance.get("license")
    if stated is not None:
        for licence in LICENCES:
            if licence.header["license"] == stated and licence.header.get("license_name") == provenance.get(
                "license_name"
            ):
                return licence
        return Licence(stated, provenance.get("license_link", ""), {"license": stated}) if stated != "other" else None
    if "converter" not in provenance:
        return None
    rows = [row for row in TABLE if row.model_type == config.get("model_type") and row.applies(config)]
    return rows[0].licence if rows else None
