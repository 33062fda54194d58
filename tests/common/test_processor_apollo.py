# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on Apollo."""

import unittest

import numpy as np
import pytest
from common.peer_suite import TorchvisionIsThereTest, peer_module
from PIL import Image
from tiny_apollo import ORIGINAL, VOCAB_SIZE
from transformers.video_utils import VideoMetadata

from video_lmms.conversion_scripts.convert_apollo import build_tokenizer
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor


ProcessorTesterMixin = peer_module("test_processing_common").ProcessorTesterMixin
VIDEO_TESTS = peer_module("test_video_processing_common")
IMAGE_TESTS = peer_module("test_image_processing_common")
url_to_local_path = peer_module("utils.fetch_hub_objects_for_ci").url_to_local_path

# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE, SECOND_SIZE = {"height": 20, "width": 20}, 16
PIXELS = {"size": SIZE, "internvideo2_size": SECOND_SIZE}


class ApolloProcessorTest(ProcessorTesterMixin, unittest.TestCase):
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
        processor = self.get_processor()
        clip, frame = url_to_local_path("clip.mp4"), url_to_local_path("frame.png")
        for video, options, num_clips in (
            (clip, {}, 1),
            (clip, {"num_frames": 3}, 1),
            (clip, {"num_frames": 11}, 3),
            (clip, {"fps": 30}, 3),
            (clip, {"do_sample_frames": False}, 3),
            ([frame] * 5, {"do_sample_frames": False}, 2),
            ([frame] * 5, {"do_sample_frames": True, "num_frames": 3}, 1),
        ):
            parts = [{"type": "video", "url": video}, {"type": "text", "text": "What is shown?"}]
            outputs = processor.apply_chat_template(
                [[{"role": "user", "content": parts}]],
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs=options,
            )
            self.assertEqual(outputs[self.videos_input_name].shape[:2], (num_clips, 4), msg=options)
            self.assertEqual(outputs["num_clips"].tolist(), [num_clips], msg=options)


class VideoTester:
    """The batches that the video-processor tests ask for."""

    batch_size = 5
    num_frames = 8
    num_channels = 3

    def prepare_video_inputs(self, equal_resolution=False, return_tensors="pil"):
        return VIDEO_TESTS.prepare_video_inputs(
            batch_size=self.batch_size,
            num_frames=self.num_frames,
            num_channels=self.num_channels,
            min_resolution=20,
            max_resolution=80,
            equal_resolution=equal_resolution,
            return_tensors=return_tensors,
        )

    def expected_output_video_shape(self, videos):
        return [4, self.num_channels, SIZE["height"], SIZE["width"]]


class ApolloVideoProcessorTest(VIDEO_TESTS.VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = ApolloVideoProcessor
    video_processor_dict = PIXELS

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoTester()

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


class ImageTester:
    """The batches that the image-processor tests ask for."""

    batch_size = 7
    num_channels = 3
    image_processing_classes = {"pil": ApolloImageProcessor}

    def prepare_image_processor_dict(self):
        return PIXELS | {"do_convert_rgb": True}

    def prepare_image_inputs(self, batch_size=batch_size, **options):
        options = {"num_channels": self.num_channels, "min_resolution": 30, "max_resolution": 400} | options
        return IMAGE_TESTS.prepare_image_inputs(batch_size=batch_size, **options)

    def expected_output_image_shape(self, images):
        return [self.num_channels, SIZE["height"], SIZE["width"]]


class ApolloImageProcessorTest(TorchvisionIsThereTest, IMAGE_TESTS.ImageProcessingTestMixin, unittest.TestCase):
    # The tester and its answers, under the names of every supported transformers.
    image_processing_classes = ImageTester.image_processing_classes
    image_processor_dict = ImageTester().prepare_image_processor_dict()

    def setUp(self):
        self.image_processor_tester = ImageTester()

    def test_call_numpy_4_channels(self):
        """The towers see three channels; a fourth is transparency and is dropped."""
        processor = ApolloImageProcessor(**PIXELS)
        self.image_processor_tester.num_channels = 4
        images = self.image_processor_tester.prepare_image_inputs(equal_resolution=False, numpify=True)
        pixels = processor(images, do_convert_rgb=False, return_tensors="pt", input_data_format="channels_last")
        opaque = [image[..., :3] for image in images]
        expected = processor(opaque, do_convert_rgb=False, return_tensors="pt", input_data_format="channels_last")
        for name in processor.model_input_names:
            self.assertTrue(pixels[name].equal(expected[name]), msg=name)

    def test_new_models_require_torchvision_backend(self):
        """There is one backend, because the original resizes with PIL, bit for bit."""
        image = self.image_processor_tester.prepare_image_inputs(batch_size=1, equal_resolution=True)[0]
        processor = ApolloImageProcessor(**PIXELS, do_rescale=False, do_normalize=False)
        pixels = processor(image, return_tensors="np")["pixel_values"][0]
        wanted = np.asarray(image.resize((20, 20), resample=Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))
