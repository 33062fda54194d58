# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on Apollo."""

import unittest

import pytest
from common.processor_tests import (
    CLIP,
    FRAMES,
    ImageProcessorTests,
    ProcessorTests,
    TransparencyIsDroppedTest,
    VideoProcessorTests,
)
from tiny_apollo import ORIGINAL, VOCAB_SIZE
from transformers.video_utils import VideoMetadata

from video_lmms.conversion_scripts.convert_apollo import build_tokenizer
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE, SECOND_SIZE = {"height": 20, "width": 20}, 16
PIXELS = {"size": SIZE, "internvideo2_size": SECOND_SIZE}


class ApolloProcessorTest(ProcessorTests, unittest.TestCase):
    processor_class = ApolloProcessor

    @classmethod
    def _setup_tokenizer(cls):
        tokenizer, _, _ = build_tokenizer(ORIGINAL / "llm", VOCAB_SIZE)
        return tokenizer

    @classmethod
    def _setup_image_processor(cls):
        return ApolloImageProcessor(**PIXELS)

    @classmethod
    def _setup_video_processor(cls):
        return ApolloVideoProcessor(tokens_per_clip=3, **PIXELS)

    def test_apply_chat_template_video_frame_sampling(self):
        """Frames come in whole clips of four, so that counts round to the nearest clip, one at least."""
        for video, options, num_clips in (
            (CLIP, {}, 1),
            (CLIP, {"num_frames": 3}, 1),
            (CLIP, {"num_frames": 11}, 3),
            (CLIP, {"fps": 30}, 3),
            (CLIP, {"do_sample_frames": False}, 3),
            (FRAMES, {"do_sample_frames": False}, 2),
            (FRAMES, {"do_sample_frames": True, "num_frames": 3}, 1),
        ):
            outputs = self.outputs_about(video, options)
            self.assertEqual(outputs[self.videos_input_name].shape[:2], (num_clips, 4), msg=options)
            self.assertEqual(outputs["num_clips"].tolist(), [num_clips], msg=options)


class ApolloVideoProcessorTest(VideoProcessorTests, unittest.TestCase):
    fast_video_processing_class = ApolloVideoProcessor
    video_processor_dict = PIXELS
    video_shape = (4, 3, SIZE["height"], SIZE["width"])

    def test_video_processor_from_dict_with_kwargs(self):
        """As in the peer's test, for frames that are squares and not cropped."""
        processor = ApolloVideoProcessor.from_dict(PIXELS)
        self.assertEqual((processor.size, processor.internvideo2_size), (SIZE, SECOND_SIZE))
        processor = ApolloVideoProcessor.from_dict(PIXELS, size=42, internvideo2_size=24)
        self.assertEqual((processor.size, processor.internvideo2_size), ({"height": 42, "width": 42}, 24))

    def test_call_sample_frames(self):
        """As in the peer's test, but frames come in whole clips of four; a short video's repeat."""
        processor = ApolloVideoProcessor(**PIXELS)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        known = [VideoMetadata(total_num_frames=8, fps=4, duration=2.0)] * len(videos)
        for options, num_clips in (
            ({"num_frames": 3, "do_sample_frames": False}, 2),
            ({"num_frames": 3}, 1),
            ({"num_frames": 10}, 2),
            ({"fps": 3, "video_metadata": known}, 2),
            ({"fps": 3, "video_metadata": [[{"total_num_frames": 8, "fps": 4, "duration": 2.0}]] * len(videos)}, 2),
        ):
            outputs = processor(videos, return_tensors="pt", **options)
            self.assertEqual(outputs["num_clips"].tolist(), [num_clips] * len(videos), msg=options)
            self.assertEqual(outputs[self.input_name].shape[:2], (len(videos) * num_clips, 4))
        with self.assertRaisesRegex(ValueError, "need the frame rate"):
            processor.sample_frames(metadata=VideoMetadata(total_num_frames=8), fps=3)


class ApolloImageProcessorTest(TransparencyIsDroppedTest, ImageProcessorTests, unittest.TestCase):
    processor_class = ApolloImageProcessor
    settings = PIXELS
    image_shape = (3, SIZE["height"], SIZE["width"])
    settings_of_twenty = PIXELS
