# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Plays the original code of the toy: writes a checkpoint in its own layout, and a parity case recorded from it.

python original_toy.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


WORDS = ("<unk>", "<pad>", "</s>", "<video>", "ask", "answer", "what", "moves", "a", "red", "circle")
VIDEO_ID = WORDS.index("<video>")
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": WORDS.index("<pad>"),
    "eos_token_id": WORDS.index("</s>"),
}


class OriginalToy(nn.Module):
    """One video, one prompt, one placeholder."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 16, 8, 8)
        self.bridge = nn.Linear(16, SIZES["hidden_size"])
        self.llm = LlamaForCausalLM(LlamaConfig(**SIZES))

    def forward(self, ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        tokens = self.bridge(self.encoder(frames).flatten(2).mean(0).T)
        text = self.llm.get_input_embeddings()(ids[0])
        place = ids[0].tolist().index(VIDEO_ID)
        return self.llm(inputs_embeds=torch.cat([text[:place], tokens, text[place + 1 :]])[None]).logits


def write_case(folder: Path) -> None:
    torch.manual_seed(0)
    model = OriginalToy().eval()
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    save_file(model.state_dict(), checkpoint / "model.safetensors", metadata={"format": "pt"})
    (checkpoint / "config.json").write_text(json.dumps({"llm": SIZES, "video_token_id": VIDEO_ID}))
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens(["<video>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.save_pretrained(checkpoint)
    ids = tokenizer("ask <video> what moves answer", return_tensors="pt")["input_ids"]
    frames = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        logits = model(ids, frames)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": frames}
    save_file(inputs, folder / "inputs.safetensors")
    save_file({"logits": logits}, folder / "expected.safetensors")
    run = {
        "name": "video",
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "pixel_values_videos": "pixel_values",
        },
        "expected": {"logits": "logits"},
        "layout": {"pixel_values_videos": {"reshape": [1, 4, 3, 16, 16]}},
        "placeholder": {
            "placeholder_id": VIDEO_ID,
            "expands_to": 4,
            "stored_expanded": False,
            "attention_mask_fill": 1,
            "labels_fill": -100,
        },
    }
    case = {
        "convert": {"model": "toy", "options": {"checkpoint": "checkpoint", "dtype": "float32"}},
        "runs": [run],
        "compare": {"logits": {"atol": 1e-5, "rtol": 0.0}},
    }
    (folder / "case.json").write_text(json.dumps(case, indent=1))


if __name__ == "__main__":
    write_case(Path(sys.argv[1]))
