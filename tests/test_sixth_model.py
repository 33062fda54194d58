# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The checklist "Add a sixth model" of CONTRIBUTING.md, walked through with a toy in a copy of the checkout."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import ROOT, Environment, borrowing_environment, copy_checkout, run


TOY = ROOT / "tests/sixth_model"
CHECKLIST = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a sixth model")[2]
FILES = {name.replace("<model>", "toy") for name in re.findall(r"`([\w/]+_<model>\.py)`", CHECKLIST)}
TITLES = re.findall(r"^\d+\. \*\*(.+?)\.\*\*", CHECKLIST, re.M)

FORWARD = """
import torch, video_lmms
from transformers import LlamaConfig
from video_lmms.modeling.configuration_toy import ToyConfig
from video_lmms.modeling.modeling_toy import ToyForConditionalGeneration
text = LlamaConfig(vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
model = ToyForConditionalGeneration(ToyConfig(text_config=text))
ids = torch.tensor([[4, 3, 3, 3, 3, 5]])
assert model(input_ids=ids, pixel_values_videos=torch.rand(1, 5, 3, 16, 16)).logits.shape == (1, 6, 8)
"""
READ = """
import numpy as np, video_lmms
from video_lmms.processing.video_processing_toy import ToyVideoProcessor
clip = np.zeros((9, 40, 60, 3), np.uint8)
output = ToyVideoProcessor()([clip], return_tensors="pt", return_metadata=True)
assert output["pixel_values_videos"].shape == (1, 4, 3, 16, 16)
assert output["video_metadata"][0].frames_indices == [0, 3, 5, 8]
"""
PROMPT = """
import sys
import numpy as np, video_lmms
from transformers import PreTrainedTokenizerFast
from video_lmms.processing.processing_toy import ToyProcessor
from video_lmms.processing.video_processing_toy import ToyVideoProcessor
processor = ToyProcessor(PreTrainedTokenizerFast.from_pretrained(sys.argv[1]), ToyVideoProcessor())
content = [{"type": "video", "video": np.zeros((9, 40, 60, 3), np.uint8)}, {"type": "text", "text": "what moves"}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}],
    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
)
assert inputs["input_ids"].tolist() == [[4, 3, 3, 3, 3, 6, 7, 5]], inputs["input_ids"]
assert processor.num_video_tokens() == 4
"""
REGISTERED = """
import video_lmms
from transformers import AutoConfig, AutoModelForMultimodalLM, LlamaConfig
text = LlamaConfig(vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
config = AutoConfig.for_model("toy", text_config=text)
assert type(AutoModelForMultimodalLM.from_config(config)).__name__ == "ToyForConditionalGeneration"
"""
ROW = """    "toy": Architecture(
        config=ToyConfig,
        model=ToyModel,
        generation_model=ToyForConditionalGeneration,
        processor=ToyProcessor,
        video_processor=ToyVideoProcessor,
        image_processor=None,
    ),
"""
IMPORTS = """from video_lmms.modeling.configuration_toy import ToyConfig
from video_lmms.modeling.modeling_toy import ToyForConditionalGeneration, ToyModel
from video_lmms.processing.processing_toy import ToyProcessor
from video_lmms.processing.video_processing_toy import ToyVideoProcessor
"""
HUB_CONFIG = """
from importlib.resources import files
import video_lmms
from transformers import AutoConfig
from video_lmms.hub.sources import shipped_models
folder = files("video_lmms.hub_configs") / "toy-mini"
assert shipped_models()["toy-mini"] == folder
assert AutoConfig.from_pretrained(folder).text_config.hidden_size == 32
"""
BUNDLE = """
import sys
from video_lmms.hub import bundle, load, verify
model, processor = load(sys.argv[1])
bundle(model, processor, sys.argv[2])
assert verify(sys.argv[2]).passed
"""
STRANGER = """
import sys
sys.modules["video_lmms"] = None
import numpy as np
from transformers import AutoModelForMultimodalLM, pipeline
folder = sys.argv[1]
model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules.")
pipe = pipeline("any-to-any", model=folder, trust_remote_code=True)
content = [{"type": "video", "video": np.zeros((9, 40, 60, 3), np.uint8)}, {"type": "text", "text": "what moves"}]
answer = pipe(text=[{"role": "user", "content": content}], max_new_tokens=3, return_full_text=False)
assert isinstance(answer[0]["generated_text"], str)
"""


class Walk:
    """A copy of the checkout, installed where nothing else of the package can be seen, and the toy's original."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkout = copy_checkout(folder / "checkout", "goldens")
        self.environment: Environment = borrowing_environment(folder / "environment")
        self.environment.install("--editable", self.checkout)
        self.case = folder / "goldens/first"
        run(sys.executable, TOY / "original_toy.py", self.case, cwd=folder)
        self.converted = folder / "toy-mini-hf"
        self.added: set[str] = set()

    def add(self, source: str, target: str) -> None:
        self.added.add(target)
        shutil.copyfile(TOY / source, self.checkout / target)

    def insert(self, file: str, before: str, text: str) -> None:
        path = self.checkout / file
        found = path.read_text(encoding="utf-8")
        assert found.count(before) == 1, f"{before!r} in {file}"
        path.write_text(found.replace(before, text + before), encoding="utf-8")

    def python(self, *words: str | Path) -> str:
        return run(self.environment.python, *words, cwd=self.folder).stdout


def configuration(walk: Walk) -> None:
    walk.add("configuration_toy.py", "modeling/configuration_toy.py")
    walk.python(
        "-c", "from video_lmms.modeling.configuration_toy import ToyConfig as C; assert C().model_type == 'toy'"
    )


def model(walk: Walk) -> None:
    walk.add("modeling_toy.py", "modeling/modeling_toy.py")
    walk.python("-c", FORWARD)


def video_processor(walk: Walk) -> None:
    walk.add("video_processing_toy.py", "processing/video_processing_toy.py")
    walk.python("-c", READ)


def processor(walk: Walk) -> None:
    walk.add("processing_toy.py", "processing/processing_toy.py")
    walk.python("-c", PROMPT, walk.case / "checkpoint")


def registration(walk: Walk) -> None:
    file = "src/video_lmms/registration.py"
    walk.insert(file, "\n\nclass Architecture(", IMPORTS)
    walk.insert(file, "}\n\n\ndef register(", ROW)
    walk.python("-c", REGISTERED)


def converter(walk: Walk) -> None:
    walk.add("convert_toy.py", "conversion_scripts/convert_toy.py")
    command = walk.environment.python.with_name("video-lmms")
    options = ("--checkpoint", walk.case / "checkpoint", "--output", walk.converted)
    run(command, "convert", "toy", *options, cwd=walk.folder)
    assert (walk.converted / "model.safetensors").is_file()


def hub_configuration(walk: Walk) -> None:
    walk.add("checkpoints_toy.py", "src/video_lmms/hub/checkpoints_toy.py")
    configs = "src/video_lmms/hub/configs.py"
    walk.insert(configs, "    checkpoints_video_llama,\n", "    checkpoints_toy,\n")
    walk.insert(configs, '    "video_llama": checkpoints_video_llama,\n', '    "toy": checkpoints_toy,\n')
    walk.python("-m", "video_lmms.hub.configs", "--only", "toy-mini")
    walk.python("-c", HUB_CONFIG)
    assert (walk.checkout / "hub_configs/toy-mini/provenance.json").is_file()


def parity(walk: Walk) -> None:
    walk.add("parity_toy.py", "tests/parity/test_parity_toy.py")
    cases = "tests/parity/cases.py"
    walk.insert(cases, "\n\nCONVERTERS = {", "from video_lmms.conversion_scripts import convert_toy\n")
    walk.insert(cases, '"pllava": convert_pllava.main', '"toy": convert_toy.main, ')
    words = (
        "-m",
        "pytest",
        "tests/parity",
        "-k",
        "toy",
        "--goldens",
        walk.folder / "goldens",
        "-p",
        "no:cacheprovider",
    )
    shown = run(walk.environment.python, *words, cwd=walk.checkout).stdout
    assert re.search(r"\b2 passed", shown), shown


def rules(walk: Walk) -> None:
    words = ("-m", "pytest", "tests/test_layout.py", "-p", "no:cacheprovider")
    assert " passed" in run(walk.environment.python, *words, cwd=walk.checkout).stdout


def bundle(walk: Walk) -> None:
    folder = walk.folder / "toy-mini"
    walk.python("-c", BUNDLE, walk.converted, folder)
    modules = {"HF_MODULES_CACHE": str(walk.folder / "modules")}
    run(walk.environment.python, "-c", STRANGER, folder, cwd=walk.folder, **modules)


STEPS: dict[str, Callable[[Walk], None]] = {
    "Configuration": configuration,
    "Model": model,
    "Video processor": video_processor,
    "Processor": processor,
    "Registration": registration,
    "Converter": converter,
    "Hub configuration": hub_configuration,
    "Parity": parity,
    "Rules": rules,
    "Bundle": bundle,
}


def test_every_step_is_walked():
    assert list(STEPS) == TITLES


@pytest.mark.slow
def test_the_checklist_adds_a_model(tmp_path):
    walk = Walk(tmp_path)
    for title in TITLES:
        STEPS[title](walk)
    assert walk.added == FILES
