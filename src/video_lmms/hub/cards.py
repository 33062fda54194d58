# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Model cards: the one a bundle gets when it brings none of its own, and what publishing adds to any."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..errors import PublishError
from ..registration import Architecture
from .licences import Licence


_BODY = """
# {name}

A {model} that answers questions about videos. The folder holds its own code: it loads with
`trust_remote_code=True`, or without that switch where the package `video-lmms` is installed and imported.

{usage}

## Origin
{origin}
"""

_USAGE = """\
## Use

A pipeline (`any-to-any` works the same way):

```python
from transformers import pipeline

pipe = pipeline("image-text-to-text", model="{name}", trust_remote_code=True)
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "What happens in the video?"}}
print(pipe(text=[{{"role": "user", "content": [video, question]}}], max_new_tokens=64, return_full_text=False))
```

The Auto classes:

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{name}", trust_remote_code=True, dtype="auto")
processor = AutoProcessor.from_pretrained("{name}", trust_remote_code=True)
video = {{"type": "video", "path": "clip.mp4"}}
question = {{"type": "text", "text": "What happens in the video?"}}
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": [video, question]}}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
).to(model.device, model.dtype)
new_tokens = model.generate(**inputs, max_new_tokens=64)[:, {given} :]
print(processor.batch_decode(new_tokens, skip_special_tokens=True)[0])
```

The command line:

```bash
pip install video-lmms
video-lmms ask clip.mp4 "What happens in the video?" --model {name}
```
"""


def usage(name: str, architecture: Architecture) -> str:
    """The section on how a model is used, under the name that it has."""
    given = "1" if architecture.config.is_encoder_decoder else 'inputs["input_ids"].shape[1]'
    return _USAGE.format(name=name, given=given).rstrip()


def model_card(name: str, architecture: Architecture, provenance: dict[str, Any]) -> str:
    """A card for `README.md`.

    Args:
        name: name of the folder.
        architecture: the model's classes.
        provenance: facts on the weights; `license` and `base_model` go to the card's header.

    Returns:
        The card's text with its YAML header.
    """
    header = ModelCardData(
        # Weights have the licence of their source; without word on it, `other` claims nothing.
        license=provenance.get("license", "other"),
        license_name=provenance.get("license_name"),
        license_link=provenance.get("license_link"),
        base_model=provenance.get("base_model"),
        library_name="transformers",
        pipeline_tag="video-text-to-text",
        tags=["video", "video-lmms", architecture.config.model_type],
    )
    facts = [f"- {key}: {value}" for key, value in provenance.items() if isinstance(value, str) and key != "license"]
    origin = "\n".join(facts) or "See `provenance.json`."
    model = architecture.generation_model.__name__
    body = _BODY.format(name=name, model=model, usage=usage(name, architecture), origin=origin)
    return str(ModelCard(f"---\n{header.to_yaml()}\n---\n{body}"))


def completed_card(
    text: str | None,
    repo_id: str,
    architecture: Architecture,
    provenance: dict[str, Any],
    licence: Licence,
    evaluation: dict[str, Any],
) -> str:
    """A card as the Hub wants it: header, usage under the published name, licences, results, provenance.

    Args:
        text: the card that the folder brings, or None. Its words stay, and so does what its header says.
        repo_id: name on the Hub.
        architecture: the model's classes.
        provenance: of the weights.
        licence: of the weights.
        evaluation: content of `evaluation.json`: `results` is a list of objects with `task`, `dataset`, `metric` and
            `value`.

    Raises:
        PublishError: a result lacks one of these.
    """
    card = ModelCard(text or model_card(repo_id, architecture, provenance))
    wanted = {
        "library_name": "transformers",
        "pipeline_tag": "video-text-to-text",
        "base_model": provenance.get("base_model"),
        "tags": ["video", "video-lmms", architecture.config.model_type],
        **licence.header,
    }
    for key, value in wanted.items():
        if value is not None and (card.data.get(key) is None or key in licence.header):
            card.data[key] = value
    results = evaluation.get("results", [])
    if results:
        card.data.model_name = repo_id.split("/")[-1]
        card.data.eval_results = [_eval_result(result) for result in results]
    sections = [_licence_section(licence), _result_section(results), _provenance_section(provenance)]
    if "AutoModel" not in card.text or "pipeline(" not in card.text:
        sections.insert(0, usage(repo_id, architecture))
    card.text = card.text.rstrip() + "\n\n" + "\n\n".join(filter(None, sections)) + "\n"
    return str(card)


def _eval_result(result: dict[str, Any]) -> EvalResult:
    lacking = [key for key in ("task", "dataset", "metric", "value") if key not in result]
    if lacking:
        raise PublishError(f"evaluation.json: a result lacks {', '.join(lacking)}: {result}")
    return EvalResult(
        task_type="video-text-to-text",
        task_name=str(result["task"]),
        dataset_type=str(result["dataset"]).lower().replace(" ", "-"),
        dataset_name=str(result["dataset"]),
        metric_type=str(result["metric"]),
        metric_value=result["value"],
    )


def _licence_section(licence: Licence) -> str:
    link = f"[{licence.name}]({licence.link})" if licence.link else licence.name
    duty = f"; {licence.duty}" if licence.duty else ""
    return f"## Licences of this repository\n\nCode: Apache-2.0. Weights: {link}{duty}."


def _result_section(results: list[dict[str, Any]]) -> str:
    rows = [f"| {row['task']} | {row['dataset']} | {row['metric']} | {row['value']} |" for row in results]
    head = "## Results measured with this conversion\n\n| task | data | metric | value |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) if rows else ""


def _provenance_section(provenance: dict[str, Any]) -> str:
    """What the weights were made from, by what; `provenance.json` has all of it."""
    lines = []
    converter = provenance.get("converter")
    if converter:
        options = ", ".join(f"{key} {value}" for key, value in provenance.get("options", {}).items())
        lines.append(f"- converter: `{converter['name']}` {converter['version']}, {options}")
    for option, origin in provenance.get("origin", {}).items():
        lines.append(f"- {option}: `{origin}`")
    for name, digest in provenance.get("sources", {}).items():
        lines.append(f"- source `{name}`: sha256 `{digest}`")
    check = provenance.get("check")
    if check:
        lines.append(f"- stored answer: to {check['question']!r} about a computed video it says {check['answer']!r}")
    if not lines:
        return ""
    return "## Provenance\n\n" + "\n".join(lines) + "\n\n`video-lmms verify` checks all of this."
