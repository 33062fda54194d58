# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What a stranger does with a bundle: run as a script, in a process that cannot import the package.

    python stranger.py BUNDLE CLIP QUESTION

prints one JSON object: the version of transformers, the class that each Auto class gives, and the answer that each
way to ask gives.
"""

from __future__ import annotations

import json
import sys
from importlib.abc import MetaPathFinder


class Absent(MetaPathFinder):
    """Hides the package, however it is installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == "video_lmms":
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by the test)", name=name)


sys.meta_path.insert(0, Absent())

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import pipeline  # noqa: E402


AUTO_CLASSES = (
    "AutoConfig",
    "AutoTokenizer",
    "AutoImageProcessor",
    "AutoVideoProcessor",
    "AutoProcessor",
    "AutoModel",
    "AutoModelForImageTextToText",
    "AutoModelForMultimodalLM",
)
NEW_TOKENS = 6


def load(auto_class: str, folder: str) -> object:
    return getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)


def ask_directly(model: torch.nn.Module, processor: object, chat: list[dict]) -> str:
    inputs = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    given = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return processor.batch_decode(ids[:, given:], skip_special_tokens=True)[0]


def ask_pipeline(task: str, folder: str, chat: list[dict]) -> str:
    pipe = pipeline(task, model=folder, trust_remote_code=True, device="cpu")
    generate_kwargs = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    return pipe(text=chat, return_full_text=False, generate_kwargs=generate_kwargs)[0]["generated_text"]


def main(folder: str, clip: str, question: str) -> None:
    loaded = {name: load(name, folder) for name in AUTO_CLASSES}
    # Models are either; the Auto classes of text know which.
    text_class = "AutoModelForSeq2SeqLM" if loaded["AutoConfig"].is_encoder_decoder else "AutoModelForCausalLM"
    loaded[text_class] = load(text_class, folder)
    parts = [{"type": "video", "path": clip}, {"type": "text", "text": question}]
    chat = [{"role": "user", "content": parts}]
    answers = {
        name: ask_directly(loaded[name].eval(), loaded["AutoProcessor"], chat)
        for name in (text_class, "AutoModelForImageTextToText", "AutoModelForMultimodalLM")
    }
    for task in ("image-text-to-text", "any-to-any"):
        answers[task] = ask_pipeline(task, folder, chat)
    classes = {name: [type(thing).__name__, type(thing).__module__] for name, thing in loaded.items()}
    imported = [name for name in sys.modules if name.split(".")[0] == "video_lmms"]
    report = {"transformers": transformers.__version__, "classes": classes, "answers": answers, "imported": imported}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
