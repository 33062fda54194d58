# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on both forms of VideoTGB."""

import unittest
from unittest.mock import patch

import pytest
import tiny_videotgb
import tiny_videotgb_t5
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

from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor, VideotgbT5Processor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = {"height": 18, "width": 18}
CANDIDATES = 8


class BothProcessorTests(NamedTemplatesTest, ProcessorTests):
    @classmethod
    def _setup_image_processor(cls):
        return VideotgbImageProcessor(size=SIZE)

    @classmethod
    def _setup_video_processor(cls):
        return VideotgbVideoProcessor(size=SIZE, num_candidate_frames=CANDIDATES)

    @classmethod
    def _setup_sampler_tokenizer(cls):
        return PreTrainedTokenizerFast.from_pretrained(tiny_videotgb.ORIGINAL / "bert-base-uncased")

    @staticmethod
    def prepare_processor_dict():
        return {"num_query_tokens": 3}

    def test_apply_chat_template_video_frame_sampling(self):
        """The model chooses among the same number of candidates; flow frames are what is sampled."""
        for video, options, num_frames in (
            (CLIP, {}, 1),
            (CLIP, {"num_frames": 3}, 3),
            (CLIP, {"fps": 10}, 4),
            (CLIP, {"do_sample_frames": False}, 11),
            (FRAMES, {"do_sample_frames": False}, 5),
            (FRAMES, {"do_sample_frames": True, "num_frames": 3}, 3),
        ):
            outputs = self.outputs_about(video, options)
            self.assertEqual(len(outputs["flow_pixel_values"]), num_frames, msg=options)
            self.assertEqual(outputs[self.videos_input_name].shape[1], CANDIDATES, msg=options)


class VideotgbProcessorTest(BothProcessorTests, unittest.TestCase):
    processor_class = VideotgbProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_videotgb.tiny_tokenizer()

    @classmethod
    def _setup_qformer_tokenizer(cls):
        return PreTrainedTokenizerFast.from_pretrained(
            tiny_videotgb.ORIGINAL / "instructblip-vicuna-7b" / "qformer_tokenizer"
        )

    def test_apply_chat_template_assistant_mask(self):
        """The peer's template lacks the token that opens a text, and ours write it; so does this tokenizer."""
        tokenizer = tiny_videotgb.tiny_tokenizer()
        tokenizer.bos_token = None
        with patch.object(type(self), "_setup_tokenizer", lambda: tokenizer):
            self.setUpClass()
            super().test_apply_chat_template_assistant_mask()
        self.setUpClass()


class VideotgbT5ProcessorTest(BothProcessorTests, unittest.TestCase):
    processor_class = VideotgbT5Processor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_videotgb.tiny_tokenizer(tiny_videotgb_t5.TOKENIZER, side="right")

    def test_replacement_offsets(self):
        """Of the text itself; what this tokenizer decodes, which transformers 5.17 compares, lacks a space."""
        processor = self.get_processor()
        text = f"newer {processor.image_token} than {processor.video_token}"
        outputs = processor(
            text=text,
            images=self.prepare_images_inputs(),
            videos=self.prepare_videos_inputs(),
            return_text_replacement_offsets=True,
        )
        for token in (processor.image_token, processor.video_token):
            text = text.replace(token, 3 * token)
        (offsets,) = outputs["text_replacement_offsets"]
        self.assertEqual([offset["type"] for offset in offsets], ["image", "video"])
        for offset in offsets:
            self.assertEqual(text[slice(*offset["new_span"])], offset["replacement"])


class VideotgbVideoProcessorTest(VideoProcessorTests, unittest.TestCase):
    fast_video_processing_class = VideotgbVideoProcessor
    video_processor_dict = {"size": SIZE, "num_candidate_frames": CANDIDATES}
    video_shape = (CANDIDATES, 3, SIZE["height"], SIZE["width"])

    def test_video_processor_from_dict_with_kwargs(self):
        """The peer's test expects its own sizes, and a crop."""
        processor = VideotgbVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.size, SIZE)
        processor = VideotgbVideoProcessor.from_dict(self.video_processor_dict, size=42)
        self.assertEqual(processor.size, {"height": 42, "width": 42})

    def test_call_sample_frames(self):
        """As in the peer's test, of the flow frames; the step is a whole number of frames, as in the original."""
        processor = VideotgbVideoProcessor(**self.video_processor_dict)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        known = [VideoMetadata(total_num_frames=8, fps=4, duration=2.0)] * len(videos)
        for options, num_frames in (
            ({"num_frames": 3, "do_sample_frames": False}, 8),
            ({"num_frames": 3}, 3),
            ({"video_metadata": known}, 2),
            ({"fps": 2, "video_metadata": known}, 4),
            ({"fps": 3, "video_metadata": [[{"total_num_frames": 8, "fps": 4, "duration": 2.0}]] * len(videos)}, 8),
        ):
            outputs = processor(videos, return_tensors="pt", **options)
            self.assertEqual(outputs["num_flow_frames"].tolist(), [num_frames] * len(videos))
            self.assertEqual(outputs[self.input_name].shape[:2], torch.Size([len(videos), CANDIDATES]))


class VideotgbImageProcessorTest(ImageProcessorTests, unittest.TestCase):
    processor_class = VideotgbImageProcessor
    settings = {"size": SIZE}
    image_shape = (3, SIZE["height"], SIZE["width"])
    settings_of_twenty = {"size": {"height": 20, "width": 20}}
