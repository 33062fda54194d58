# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on both forms of VideoTGB."""

import tempfile
import unittest
from unittest.mock import patch

import numpy as np
import pytest
import tiny_videotgb
import tiny_videotgb_t5
import torch
from common.peer_suite import TorchvisionIsThereTest, peer_module
from PIL import Image
from transformers import PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor, VideotgbT5Processor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor


ProcessorTesterMixin = peer_module("test_processing_common").ProcessorTesterMixin
VIDEO_TESTS = peer_module("test_video_processing_common")
IMAGE_TESTS = peer_module("test_image_processing_common")
url_to_local_path = peer_module("utils.fetch_hub_objects_for_ci").url_to_local_path

# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = {"height": 18, "width": 18}
CANDIDATES = 8


class VideotgbProcessorTests(ProcessorTesterMixin):
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
        processor = self.get_processor()
        clip, frame = url_to_local_path("clip.mp4"), url_to_local_path("frame.png")
        for video, options, num_frames in (
            (clip, {}, 1),
            (clip, {"num_frames": 3}, 3),
            (clip, {"fps": 10}, 4),
            (clip, {"do_sample_frames": False}, 11),
            ([frame] * 5, {"do_sample_frames": False}, 5),
            ([frame] * 5, {"do_sample_frames": True, "num_frames": 3}, 3),
        ):
            parts = [{"type": "video", "url": video}, {"type": "text", "text": "What is shown?"}]
            outputs = processor.apply_chat_template(
                [[{"role": "user", "content": parts}]],
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs=options,
            )
            self.assertEqual(len(outputs["flow_pixel_values"]), num_frames, msg=options)
            self.assertEqual(outputs[self.videos_input_name].shape[1], CANDIDATES, msg=options)

    def test_chat_template_save_loading(self):
        # A loaded tokenizer keeps a copy of the named templates and would save it beside the test's single one.
        processor = self.get_processor()
        processor.chat_template = processor.tokenizer.chat_template = "one"
        with tempfile.TemporaryDirectory() as folder, patch.object(type(self), "tmpdirname", folder):
            processor.save_pretrained(folder)
            super().test_chat_template_save_loading()


class VideotgbProcessorTest(VideotgbProcessorTests, unittest.TestCase):
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


class VideotgbT5ProcessorTest(VideotgbProcessorTests, unittest.TestCase):
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
        return [CANDIDATES, self.num_channels, SIZE["height"], SIZE["width"]]


class VideotgbVideoProcessorTest(VIDEO_TESTS.VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = VideotgbVideoProcessor
    video_processor_dict = {"size": SIZE, "num_candidate_frames": CANDIDATES}

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoTester()

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


class ImageTester:
    """The batches that the image-processor tests ask for."""

    batch_size = 7
    num_channels = 3
    image_processing_classes = {"pil": VideotgbImageProcessor}

    def prepare_image_processor_dict(self):
        return {"size": SIZE, "do_convert_rgb": True}

    def prepare_image_inputs(self, batch_size=batch_size, **options):
        options = {"num_channels": self.num_channels, "min_resolution": 30, "max_resolution": 400} | options
        return IMAGE_TESTS.prepare_image_inputs(batch_size=batch_size, **options)

    def expected_output_image_shape(self, images):
        return [self.num_channels, SIZE["height"], SIZE["width"]]


class VideotgbImageProcessorTest(TorchvisionIsThereTest, IMAGE_TESTS.ImageProcessingTestMixin, unittest.TestCase):
    # The tester and its answers, under the names of every supported transformers.
    image_processing_classes = ImageTester.image_processing_classes
    image_processor_dict = ImageTester().prepare_image_processor_dict()

    def setUp(self):
        self.image_processor_tester = ImageTester()

    def test_new_models_require_torchvision_backend(self):
        """There is one backend, because the original resizes with PIL, bit for bit."""
        image = self.image_processor_tester.prepare_image_inputs(batch_size=1, equal_resolution=True)[0]
        processor = VideotgbImageProcessor(size={"height": 20, "width": 20}, do_rescale=False, do_normalize=False)
        pixels = processor(image, return_tensors="np")["pixel_values"][0]
        wanted = np.asarray(image.resize((20, 20), resample=Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))
