# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Every recipe that ships is carried out, on a random model of its kind, and leaves a model that loads."""

import json

import pytest
import tiny_video_llama
import torch
from tiny_models import TINY_MODELS
from training_runs import ON_A_CPU, write_base, write_chats

from video_lmms.cli.train import shipped_recipes
from video_lmms.hub import bundle, load
from video_lmms.training.parts import PARTS, part_of
from video_lmms.training.recipes import sft
from video_lmms.training.results import RECORD, load_trained


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]
# For any model; `qlora` has a test of its own.
GENERAL = [(recipe, name) for recipe in ("connector", "full", "lora") for name in TINY_MODELS]
KINDS = ("video_llama_audio", *TINY_MODELS)
PUBLISHED = [
    (recipe, next(kind for kind in KINDS if recipe.startswith(f"published_{kind}")))
    for recipe in shipped_recipes()
    if recipe.startswith("published_")
]
# Published recipes that train less than a part.
TRAINED = {"video_llama_audio": {"audio_qformer"}, "videotgb": {"qformer", "multi_modal_projector", "query_tokens"}}


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    return write_chats(tmp_path_factory.mktemp("chats"), 4)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Model -> its folder, written once."""
    known = {}

    def base(name):
        folder = tmp_path_factory.getbasetemp() / f"base-{name}"
        if name not in known and name == "video_llama_audio":
            size = {"hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2}
            size |= {"projection_dim": 12, "image_size": tiny_video_llama.IMAGE_SIZE, "patch_size": 14}
            model = tiny_video_llama.tiny_model(audio_training_config=size)
            bundle(model, tiny_video_llama.tiny_processor(), folder)
            known[name] = folder
        if name not in known:
            known[name] = write_base(name, folder)
        return known[name]

    return base


def test_no_recipe_is_forgotten():
    tested = {recipe for recipe, _ in GENERAL + PUBLISHED} | {"qlora", "tiny"}
    assert tested == set(shipped_recipes())


@pytest.mark.parametrize(("recipe", "name"), [*GENERAL, *PUBLISHED, ("tiny", "pllava")])
def test_the_recipe_trains_what_it_says(recipe, name, bases, chats, tmp_path):
    words = ["--config", str(shipped_recipes()[recipe]), "--model_name_or_path", str(bases(name))]
    options = ON_A_CPU | {"train_data": chats, "output_dir": tmp_path / "run", "max_steps": 2}
    options |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "learning_rate": 1e-2}
    if recipe == "tiny":
        options["feature_cache"] = tmp_path / "features"
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    sft.main(words)
    plan = sft.TrlParser((sft.VideoArguments, sft.SFTConfig, sft.ModelConfig)).parse_args_and_config(words)[0]
    record = json.loads((tmp_path / "run" / "final" / RECORD).read_text())
    assert (record["steps"], record["rows"]) == (2, 4)
    before, trained = load(bases(name), device="cpu")[0], load_trained(tmp_path / "run" / "final")[0]
    if "lora" in plan.plan.values():
        trained = trained.merge_and_unload()
    after = dict(trained.named_parameters())
    changed = {key for key, weight in before.named_parameters() if not torch.equal(weight, after[key])}
    assert {part_of(key) for key in changed} == {part for part in PARTS if plan.plan[part] != "frozen"}
    if recipe == "lora":
        assert not changed & {"model.image_newline", "model.query_tokens"}
    if name in TRAINED and recipe.startswith("published"):
        assert {key.split(".")[1] for key in changed} == TRAINED[name]
