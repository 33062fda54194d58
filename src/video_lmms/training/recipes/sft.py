# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.10"
# dependencies = ["video-lmms[train]"]
# ///
"""Fine-tunes a video LMM on chats about videos. Every option of the classes named in `main` can stand in the recipe.

python sft.py --config lora.yaml --model_name_or_path pllava-7b-hf --train_data train.jsonl --output_dir runs/mine
accelerate launch --config_file accelerate/ddp.yaml sft.py --config lora.yaml ...
video-lmms train lora model_name_or_path=pllava-7b-hf train_data=train.jsonl output_dir=runs/mine
"""

from collections.abc import Sequence
from contextlib import nullcontext

from datasets import Dataset
from trl import ModelConfig, SFTConfig, TrlParser

from video_lmms.data.collator import RowCollator, collator_for
from video_lmms.data.lengths import row_lengths
from video_lmms.data.rows import read_rows
from video_lmms.training.arguments import VideoArguments, refuse_packing
from video_lmms.training.ears_video_llama import FramesForEars
from video_lmms.training.feature_cache import cached_towers
from video_lmms.training.models import load_for_training
from video_lmms.training.original_text import OriginalTextCollator
from video_lmms.training.parts import freeze, lora_config
from video_lmms.training.results import last_checkpoint, save_result
from video_lmms.training.trainer import VideoSFTTrainer


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the recipe, trains, saves what was learned and checks that it loads again."""
    video, args, model_args = TrlParser((VideoArguments, SFTConfig, ModelConfig)).parse_args_and_config(argv)
    train_rows, eval_rows = (
        read_rows(sources, video.media_root, skip_missing_media=video.skip_missing_media) if sources else []
        for sources in (video.train_data, video.eval_data)
    )
    model, processor = load_for_training(model_args)
    freeze(model, video.plan, video.frozen_modules)
    adapter = None
    if "lora" in video.plan.values():
        numbers = {
            "r": model_args.lora_r,
            "lora_alpha": model_args.lora_alpha,
            "lora_dropout": model_args.lora_dropout,
        }
        adapter = lora_config(model, video.plan, model_args.lora_target_modules, video.frozen_modules, **numbers)

    # Chats reach the collator as they are: it decodes videos in the loader's workers and masks what is not learned.
    args.remove_unused_columns, args.max_length = False, None
    args.dataset_kwargs = {"skip_prepare_dataset": True}
    options = {"num_frames": video.num_frames, "skip_unreadable": video.skip_unreadable}
    options["padding_free"] = refuse_packing(args)
    collate = (OriginalTextCollator if video.original_text else collator_for)(model, processor, **options)
    collate = FramesForEars(collate) if video.audio_from_frames else collate
    numbers = Dataset.from_dict({"row": range(len(train_rows) + len(eval_rows))})
    if args.train_sampling_strategy != "random":
        lengths = row_lengths(train_rows + eval_rows, processor, skip_unreadable=video.skip_unreadable)
        numbers = numbers.add_column(args.length_column_name, lengths)
    trainer = VideoSFTTrainer(
        model=model,
        args=args,
        train_dataset=numbers.select(range(len(train_rows))),
        eval_dataset=numbers.select(range(len(train_rows), len(numbers))) if eval_rows else None,
        processing_class=processor,
        data_collator=RowCollator(collate, train_rows + eval_rows),
        peft_config=adapter,
        learning_rates=video.learning_rates,
        answer_rows=eval_rows,
    )
    with (
        cached_towers(model, video.feature_cache, video.feature_cache_gb * 2**30)
        if video.feature_cache
        else nullcontext()
    ):
        trainer.train(resume_from_checkpoint=last_checkpoint(args.output_dir))
        metrics = trainer.evaluate() if eval_rows else {}
    save_result(trainer, model_args.model_name_or_path, train_rows, metrics)


if __name__ == "__main__":
    main()
