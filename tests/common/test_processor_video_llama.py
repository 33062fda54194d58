# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on Video-LLaMA."""

import unittest

import pytest
from common.processor_tests import (
    CLIP,
    FRAMES,
    ImageProcessorTests,
    NamedTemplatesTest,
    ProcessorTests,
    VideoProcessorTests,
)
from tiny_video_llama import tiny_tokenizer
from transformers.video_utils import VideoMetadata

from video_lmms.processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from video_lmms.processing.image_processing_video_llama import VideoLlamaImageProcessor
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.video_processing_video_llama import VideoLlamaVideoProcessor


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = {"height": 18, "width": 18}


class VideoLlamaProcessorTest(NamedTemplatesTest, ProcessorTests, unittest.TestCase):
    processor_class = VideoLlamaProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_tokenizer()

    @classmethod
    def _setup_image_processor(cls):
        return VideoLlamaImageProcessor(size=SIZE)

    @classmethod
    def _setup_video_processor(cls):
        return VideoLlamaVideoProcessor(size=SIZE)

    @classmethod
    def _setup_feature_extractor(cls):
        return VideoLlamaFeatureExtractor()

    @staticmethod
    def prepare_processor_dict():
        return {"num_video_query_tokens": 4, "num_audio_query_tokens": 3}

    def test_apply_chat_template_video_frame_sampling(self):
        """A frame rate rounds to the nearest count; frames given as files are sampled too, as in the original."""
        for video, options, num_frames in (
            (CLIP, {}, 8),
            (CLIP, {"num_frames": 3}, 3),
            (CLIP, {"fps": 10}, 4),
            (CLIP, {"do_sample_frames": False}, 11),
            (FRAMES, {"do_sample_frames": False}, 5),
            (FRAMES, {"do_sample_frames": True, "num_frames": 3}, 3),
        ):
            outputs = self.outputs_about(video, options)
            self.assertEqual(outputs[self.videos_input_name].shape[1], num_frames, msg=options)

    def test_model_input_names(self):
        """As in the peer's test; the mask comes with videos of different lengths alone."""
        processor = self.get_processor()
        text = self.prepare_text_inputs(modalities=["image", "video", "audio"])
        media = {"images": self.prepare_images_inputs(), "audio": self.prepare_audio_inputs()}
        outputs = processor(text=text, videos=self.prepare_videos_inputs(), **media, return_tensors="pt")
        self.assertSetEqual({*outputs, "frame_mask"}, set(processor.model_input_names))


class VideoLlamaVideoProcessorTest(VideoProcessorTests, unittest.TestCase):
    fast_video_processing_class = VideoLlamaVideoProcessor
    video_processor_dict = {"size": SIZE}
    video_shape = (8, 3, SIZE["height"], SIZE["width"])

    def test_video_processor_from_dict_with_kwargs(self):
        """The peer's test expects its own sizes, and a crop."""
        processor = VideoLlamaVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.size, SIZE)
        processor = VideoLlamaVideoProcessor.from_dict(self.video_processor_dict, size=42)
        self.assertEqual(processor.size, {"height": 42, "width": 42})

    def test_call_sample_frames(self):
        """As in the peer's test, but a clip with fewer frames than asked for gives all it has: the original's rule."""
        processor = VideoLlamaVideoProcessor(**self.video_processor_dict)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        known = [VideoMetadata(total_num_frames=8, fps=4, duration=2.0)] * len(videos)
        for options, num_frames in (
            ({"num_frames": 3, "do_sample_frames": False}, 8),
            ({"num_frames": 3}, 3),
            ({"fps": 3, "video_metadata": known}, 6),
            ({"fps": 3, "video_metadata": [[{"total_num_frames": 8, "fps": 4, "duration": 2.0}]] * len(videos)}, 6),
            ({"num_frames": 10}, 8),
        ):
            pixels = processor(videos, return_tensors="pt", **options)[self.input_name]
            self.assertEqual(pixels.shape[:2], (len(videos), num_frames))
        with self.assertRaisesRegex(ValueError, "need the frame rate"):
            processor.sample_frames(metadata=VideoMetadata(total_num_frames=8), fps=3)


class VideoLlamaImageProcessorTest(ImageProcessorTests, unittest.TestCase):
    processor_class = VideoLlamaImageProcessor
    settings = {"size": SIZE}
    image_shape = (3, SIZE["height"], SIZE["width"])
    settings_of_twenty = {"size": {"height": 20, "width": 20}}
