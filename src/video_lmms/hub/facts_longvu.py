# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What is believed of the published LongVU folders; see `facts.py`."""

from __future__ import annotations

from .facts import INFERRED, PUBLISHED, Fact


_QWEN = {
    "model_type": "cambrian_qwen",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "vocab_size": 152064,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}
_LLAMA = {
    "model_type": "cambrian_llama",
    "intermediate_size": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "num_key_value_heads": 8,
    "rope_scaling.factor": 32.0,
    "rope_scaling.original_max_position_embeddings": 8192,
}
_LLAMA_3B = _LLAMA | {"hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24}
_LLAMA_1B = _LLAMA | {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32}
# On no page that could be read to its end.
_TAIL = {
    "vision_hidden_size": 1024,
    "tokenizer_model_max_length": 8192,
    "tokenizer_padding_side": "right",
    "start_of_vision_sampler_layers": 0,
    "torch_dtype": "bfloat16",
    "use_cache": False,
    "vision_tower_aux_token_len_list": [576, 576],
}
_SHARED = {
    "connector_depth": 3,
    "connector_only": True,
    "num_query_group": 1,
    "frame_pos": False,
    "image_aspect_ratio": "pad",
    "mm_projector_type": "sva",
    "mm_vision_tower_aux_token_len_list": [576, 576],
    "lowres_token": 8,
    "dino_threshold": 0.83,
}


def _facts(
    text: dict, tokens: int, highres: bool, threshold: float, tied: bool, seen: tuple[str, ...] = ()
) -> list[Fact]:
    """`seen` are the keys whose value stands on a page; all others of the stage are inferred."""
    stage = {
        "image_token_len": tokens,
        "query_num_list": [tokens],
        "highres": highres,
        "drop_threshold": threshold,
        "tie_word_embeddings": tied,
    }
    width = text["hidden_size"]
    return [
        *(Fact("value", "config.json", key, value, PUBLISHED) for key, value in (text | _SHARED).items()),
        *(
            Fact("value", "config.json", key, value, PUBLISHED if key in seen else INFERRED)
            for key, value in stage.items()
        ),
        *(Fact("value", "config.json", key, value) for key, value in _TAIL.items()),
        Fact("number of tensors", "", r"^lm_head\.weight$", 1),
        Fact("number of tensors", "", r"pos_embed_\d$", 6 if tokens < 576 else 0),
        Fact("number of tensors", "", r"vision_tower", 0, PUBLISHED),
        Fact("dtype of tensors", "", "", "BF16", PUBLISHED),
        Fact("shape of tensor", "", r"^model\.vision_query$", [1, 1024]),
        Fact("shape of tensor", "", r"^model\.image_newline$", [width]),
        Fact("shape of tensor", "", r"^model\.embed_tokens\.weight$", [text["vocab_size"], width]),
        Fact("number of files", "", "pytorch_model.bin", 1, PUBLISHED),
    ]


_ALL = ("image_token_len", "query_num_list", "highres", "drop_threshold")
FACTS: dict[str, list[Fact]] = {
    "longvu-qwen2-7b": _facts(_QWEN, 144, True, 0.7, False, (*_ALL, "tie_word_embeddings")),
    "longvu-qwen2-7b-img": _facts(_QWEN, 576, False, 0.7, False, ("image_token_len",)),
    "longvu-llama3-2-3b": _facts(_LLAMA_3B, 144, True, 0.8, True, ("image_token_len",)),
    "longvu-llama3-2-3b-img": _facts(_LLAMA_3B, 576, False, 0.8, True, _ALL),
    "longvu-llama3-2-1b": _facts(_LLAMA_1B, 144, True, 0.8, True, ("image_token_len", "highres", "drop_threshold")),
    "longvu-llama3-2-1b-img": _facts(_LLAMA_1B, 576, False, 0.8, True),
}
