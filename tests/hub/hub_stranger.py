# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""What somebody without the package does with repositories on the Hub:

    python hub_stranger.py VIDEO.npy QUESTION REPO_ID@REVISION...

prints one JSON object: for each repository the classes that the Auto classes gave, and the ids of the answer.
"""

from __future__ import annotations

import json
import sys

from stranger import Absent


if not any(isinstance(finder, Absent) for finder in sys.meta_path):
    sys.meta_path.insert(0, Absent())

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor  # noqa: E402


def answer(repo_id: str, revision: str, video: np.ndarray, question: str) -> dict:
    options = {"trust_remote_code": True, "revision": revision}
    model = AutoModelForMultimodalLM.from_pretrained(repo_id, **options, dtype="auto").eval()
    processor = AutoProcessor.from_pretrained(repo_id, **options)
    headless = AutoModel.from_pretrained(repo_id, **options)
    content = [{"type": "video"}, {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[video], return_tensors="pt").to(model.dtype)
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=8, do_sample=False, num_beams=1)
    # A decoder apart from the encoder begins with its start token, other answers follow the prompt.
    start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    classes = [
        f"{type(thing).__module__.split('.')[0]}:{type(thing).__name__}" for thing in (model, processor, headless)
    ]
    return {"classes": classes, "ids": ids[0, start:].tolist()}


def main(video: str, question: str, *repositories: str) -> None:
    clip = np.load(video)
    report = {}
    for repository in repositories:
        repo_id, revision = repository.split("@")
        report[repo_id] = answer(repo_id, revision, clip, question)
    imported = [name for name in sys.modules if name.split(".")[0] == "video_lmms"]
    sys.stdout.write(json.dumps({"answers": report, "imported": imported}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
