# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Training encoder-decoder models: what the decoder learns, its loss, and the recipes end to end."""

import json

import pytest
import torch
from tiny_videotgb_t5 import tiny_model, tiny_processor
from typer.testing import CliRunner

from video_lmms.cli import app
from video_lmms.data.collator import IGNORED, ChatRowError, VideoChatCollator, VideoSeq2SeqCollator, collator_for
from video_lmms.data.world import draw_samples, write_rows
from video_lmms.hub import bundle, load
from video_lmms.training.parts import part_of
from video_lmms.training.results import RECORD, load_trained


pytestmark = [
    # The libraries' own: a renamed option between transformers, TRL and PEFT.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]

ON_A_CPU = ("bf16=false", "use_cpu=true", "report_to=none", "dataloader_num_workers=0")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(draw_samples(0, 4, ("colour", "shape"), turns=2), tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "base"
    model = tiny_model()
    for part in (model.config.text_config, model.config.qformer_config, model.config.grounding_config):
        for name in ("dropout_rate", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            if hasattr(part, name):
                setattr(part, name, 0.0)
    bundle(model, tiny_processor(), folder)
    return folder


@pytest.fixture(scope="module")
def batch(rows):
    return VideoSeq2SeqCollator(tiny_processor())(rows)


def test_the_decoder_learns_the_last_answer(rows, batch):
    tokenizer = tiny_processor().tokenizer
    for row, labels in zip(rows, batch["labels"], strict=True):
        answer = row["messages"][-1]["content"][0]["text"]
        wanted = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert labels[labels != IGNORED].tolist() == wanted
        assert (labels[len(wanted) :] == IGNORED).all()


def test_the_encoder_reads_what_generation_is_given(rows, batch):
    """The prompt of training is that of an answer to be written, earlier answers included."""
    processor = tiny_processor()
    prompts = [row["messages"][:-1] for row in rows]
    wanted = processor.apply_chat_template(
        prompts,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True, "padding_side": "right"},
    )
    assert all(torch.equal(batch[name], wanted[name]) for name in wanted)


def test_a_row_without_an_answer_is_refused(rows):
    with pytest.raises(ChatRowError, match="ends in a message of role 'user'"):
        VideoSeq2SeqCollator(tiny_processor())([{"messages": rows[0]["messages"][:1]}])


def test_cutting_placeholders_is_refused(rows):
    with pytest.raises(ChatRowError, match="would cut visual tokens"):
        VideoSeq2SeqCollator(tiny_processor(), max_length=2)(rows)


def test_the_kind_of_the_model_decides():
    processor = tiny_processor()
    assert type(collator_for(tiny_model(), processor, num_frames=3)) is VideoSeq2SeqCollator
    assert issubclass(VideoSeq2SeqCollator, VideoChatCollator)


@pytest.fixture(scope="module")
def chats(rows, tmp_path_factory):
    file = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    file.write_text("\n".join(json.dumps({"messages": row["messages"]}) for row in rows))
    return file


def train(recipe, base, chats, output, *settings):
    words = [f"model_name_or_path={base}", f"train_data={chats}", f"output_dir={output}", *ON_A_CPU, *settings]
    result = CliRunner().invoke(app, ["train", recipe, *words, "logging_steps=1", "save_strategy=no"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return output / "final"


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_loss_is_the_models_own(rows, base, chats, tmp_path, accumulated):
    """However a step is cut into batches, its loss is the mean over all the tokens it learns."""
    sizes = (f"per_device_train_batch_size={4 // accumulated}", f"gradient_accumulation_steps={accumulated}")
    final = train("connector", base, chats, tmp_path / "run", "max_steps=1", "learning_rate=0", *sizes)
    model, processor = load(base, device="cpu")
    with torch.no_grad():
        loss = model(**VideoSeq2SeqCollator(processor)(rows)).loss
    assert json.loads((final / RECORD).read_text())["last_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_the_recipe_trains_the_connector_and_answers(base, chats, tmp_path):
    settings = ("max_steps=2", "per_device_train_batch_size=2", "gradient_accumulation_steps=1")
    final = train("connector", base, chats, tmp_path / "run", *settings, f"eval_data={chats}", "eval_strategy=no")
    record = json.loads((final / RECORD).read_text())
    assert (record["rows"], record["steps"]) == (4, 2)
    assert 0 <= record["metrics"]["eval_accuracy"] <= 1
    assert record["metrics"]["eval_loss"] > 0
    before, after = (dict(load(folder, device="cpu")[0].named_parameters()) for folder in (base, final))
    changed = {part_of(name) for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed == {"connector"}


def test_adapters_of_an_encoder_decoder_load_again(base, chats, tmp_path):
    settings = ("max_steps=1", "per_device_train_batch_size=2", "gradient_accumulation_steps=1", "connector=frozen")
    final = train("lora", base, chats, tmp_path / "run", *settings, "lora_target_modules=q")
    assert json.loads((final / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    assert load_trained(final)[0].get_base_model().config.is_encoder_decoder
