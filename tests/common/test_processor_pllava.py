# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on PLLaVA."""

import unittest
from pathlib import Path

import pytest
import torch
from common.processor_tests import (
    CLIP,
    FRAMES,
    ImageProcessorTests,
    NamedTemplatesTest,
    ProcessorTests,
    VideoProcessorTests,
)
from transformers import PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


TOKENIZER = Path(__file__).parents[1] / "goldens" / "pllava" / "published_sharded" / "checkpoint"
# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = {"shortest_edge": 20}
CROP_SIZE = {"height": 18, "width": 18}


class PllavaProcessorTest(NamedTemplatesTest, ProcessorTests, unittest.TestCase):
    processor_class = PllavaProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return PreTrainedTokenizerFast.from_pretrained(TOKENIZER)

    @classmethod
    def _setup_image_processor(cls):
        return PllavaImageProcessor(size=SIZE, crop_size=CROP_SIZE)

    @classmethod
    def _setup_video_processor(cls):
        return PllavaVideoProcessor(size=SIZE, crop_size=CROP_SIZE)

    @staticmethod
    def prepare_processor_dict():
        return {"pooling_shape": [2, 2, 2]}

    # Images and videos share one placeholder, so that a call takes one kind of media (chats may mix them, see
    # `tests/processing`). The six tests below are those which would pass both: here one kind after the other.

    def one_kind_at_a_time(self, batch_size=None):
        for kind in ("image", "video"):
            media = getattr(self, f"prepare_{kind}s_inputs")(batch_size)
            text = self.prepare_text_inputs(batch_size, modalities=kind)
            yield kind, {"text": text, f"{kind}s": media, "return_tensors": "pt"}

    def test_model_input_names(self):
        processor = self.get_processor()
        names = set()
        for _, inputs in self.one_kind_at_a_time():
            names |= set(processor(**inputs))
        self.assertSetEqual(names, set(processor.model_input_names))

    def test_processor_with_multiple_inputs(self):
        processor = self.get_processor()
        for kind, inputs in self.one_kind_at_a_time():
            outputs = processor(**inputs)
            self.assertIn(self.text_input_name, outputs)
            self.assertIn(getattr(self, f"{kind}s_input_name"), outputs)
        with self.assertRaisesRegex(ValueError, "share the placeholder <image>"):
            processor(text="<image><image>", images=self.prepare_images_inputs(), videos=self.prepare_videos_inputs())
        with self.assertRaisesRegex(ValueError, "Nothing to process"):
            processor()

    def test_flat_kwarg_applied_when_modality_dict_lacks_it(self):
        processor = self.get_processor()
        for _, inputs in self.one_kind_at_a_time():
            for name, value in processor(**inputs, text_kwargs={}).items():
                self.assertIsInstance(value, torch.Tensor, msg=name)

    def test_processor_text_has_no_visual(self):
        processor = self.get_processor()
        for kind, inputs in self.one_kind_at_a_time(batch_size=3):
            inputs[f"{kind}s"] = [[medium] for medium in inputs[f"{kind}s"]]
            every = processor(**inputs, padding=True)
            inputs[f"{kind}s"][0], inputs["text"][0] = [], "lower newer"
            some = processor(**inputs, padding=True)
            self.assertListEqual(every["input_ids"][1:].tolist(), some["input_ids"][1:].tolist())
            self.assertNotIn(processor.image_token_id, some["input_ids"][0])
            question = {"type": "text", "text": "What is the capital of France?"}
            chats = [[{"role": "user", "content": [*parts, question]}] for parts in ([], [{"type": kind}])]
            for chat, placeholders in zip(processor.apply_chat_template(chats), (0, 1), strict=True):
                self.assertEqual(chat.count(processor.image_token), placeholders)

    def test_replacement_offsets(self):
        processor = self.get_processor()
        for kind, inputs in self.one_kind_at_a_time():
            outputs = processor(**inputs, add_special_tokens=False, return_text_replacement_offsets=True)
            text = processor.tokenizer.decode(outputs["input_ids"][0], clean_up_tokenization_spaces=True)
            (offset,) = outputs["text_replacement_offsets"][0]
            self.assertEqual(offset["type"], kind)
            self.assertEqual(text[slice(*offset["new_span"])], offset["replacement"])

    def test_apply_chat_template_video_frame_sampling(self):
        """A frame rate rounds to the nearest count; frames given as files are sampled too, as in the original."""
        for video, options, num_frames in (
            (CLIP, {}, 16),
            (CLIP, {"num_frames": 3}, 3),
            (CLIP, {"fps": 10}, 4),
            (CLIP, {"do_sample_frames": False}, 11),
            (CLIP, {"do_sample_frames": False, "fps": 10}, 11),
            (FRAMES, {"do_sample_frames": False}, 5),
            (FRAMES, {"do_sample_frames": True, "num_frames": 3}, 3),
        ):
            outputs = self.outputs_about(video, options)
            self.assertEqual(outputs[self.videos_input_name].shape[1], num_frames, msg=options)


class PllavaVideoProcessorTest(VideoProcessorTests, unittest.TestCase):
    fast_video_processing_class = PllavaVideoProcessor
    video_processor_dict = {"size": SIZE, "crop_size": CROP_SIZE}
    video_shape = (16, 3, CROP_SIZE["height"], CROP_SIZE["width"])

    def test_call_sample_frames(self):
        """As in the peer's test, but a clip with fewer frames than asked for repeats them: the paper's sampling."""
        processor = PllavaVideoProcessor(**self.video_processor_dict)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        known = [VideoMetadata(total_num_frames=8, fps=4, duration=2.0)] * len(videos)
        for options, num_frames in (
            ({"num_frames": 3, "do_sample_frames": False}, 8),
            ({"num_frames": 3}, 3),
            ({"fps": 3, "video_metadata": known}, 6),
            ({"fps": 3, "video_metadata": [[{"total_num_frames": 8, "fps": 4, "duration": 2.0}]] * len(videos)}, 6),
            ({"num_frames": 10}, 10),
        ):
            pixels = processor(videos, return_tensors="pt", **options)[self.input_name]
            self.assertEqual(pixels.shape[:2], (len(videos), num_frames))
        with self.assertRaisesRegex(ValueError, "need the frame rate"):
            processor.sample_frames(metadata=VideoMetadata(total_num_frames=8), fps=3)


class PllavaImageProcessorTest(ImageProcessorTests, unittest.TestCase):
    processor_class = PllavaImageProcessor
    settings = {"size": SIZE, "crop_size": CROP_SIZE}
    image_shape = (3, CROP_SIZE["height"], CROP_SIZE["width"])
    settings_of_twenty = {"size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}}
