# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on PLLaVA."""

import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from common.peer_suite import TorchvisionIsThereTest, peer_module
from PIL import Image
from transformers import PreTrainedTokenizerFast
from transformers.video_utils import VideoMetadata

from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


ProcessorTesterMixin = peer_module("test_processing_common").ProcessorTesterMixin
VIDEO_TESTS = peer_module("test_video_processing_common")
IMAGE_TESTS = peer_module("test_image_processing_common")
url_to_local_path = peer_module("utils.fetch_hub_objects_for_ci").url_to_local_path

TOKENIZER = Path(__file__).parents[1] / "goldens" / "pllava" / "published_sharded" / "checkpoint"
# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = {"shortest_edge": 20}
CROP_SIZE = {"height": 18, "width": 18}


class PllavaProcessorTest(ProcessorTesterMixin, unittest.TestCase):
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
        processor = self.get_processor()
        clip, frame = url_to_local_path("clip.mp4"), url_to_local_path("frame.png")
        for video, options, num_frames in (
            (clip, {}, 16),
            (clip, {"num_frames": 3}, 3),
            (clip, {"fps": 10}, 4),
            (clip, {"do_sample_frames": False}, 11),
            (clip, {"do_sample_frames": False, "fps": 10}, 11),
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
            self.assertEqual(outputs[self.videos_input_name].shape[1], num_frames, msg=options)

    def test_chat_template_save_loading(self):
        # A loaded tokenizer keeps a copy of the named templates and would save it beside the test's single one.
        processor = self.get_processor()
        processor.chat_template = processor.tokenizer.chat_template = "one"
        with tempfile.TemporaryDirectory() as folder, patch.object(type(self), "tmpdirname", folder):
            processor.save_pretrained(folder)
            super().test_chat_template_save_loading()


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
        return [16, self.num_channels, CROP_SIZE["height"], CROP_SIZE["width"]]


class PllavaVideoProcessorTest(VIDEO_TESTS.VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = PllavaVideoProcessor
    video_processor_dict = {"size": SIZE, "crop_size": CROP_SIZE}

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoTester()

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


class ImageTester:
    """The batches that the image-processor tests ask for."""

    batch_size = 7
    num_channels = 3
    image_processing_classes = {"pil": PllavaImageProcessor}

    def prepare_image_processor_dict(self):
        return {"size": SIZE, "crop_size": CROP_SIZE, "do_convert_rgb": True}

    def prepare_image_inputs(self, batch_size=batch_size, **options):
        options = {"num_channels": self.num_channels, "min_resolution": 30, "max_resolution": 400} | options
        return IMAGE_TESTS.prepare_image_inputs(batch_size=batch_size, **options)

    def expected_output_image_shape(self, images):
        return [self.num_channels, CROP_SIZE["height"], CROP_SIZE["width"]]


class PllavaImageProcessorTest(TorchvisionIsThereTest, IMAGE_TESTS.ImageProcessingTestMixin, unittest.TestCase):
    # The tester and its answers, under the names of every supported transformers.
    image_processing_classes = ImageTester.image_processing_classes
    image_processor_dict = ImageTester().prepare_image_processor_dict()

    def setUp(self):
        self.image_processor_tester = ImageTester()

    def test_new_models_require_torchvision_backend(self):
        """There is one backend, because the original resizes with PIL, bit for bit."""
        image = self.image_processor_tester.prepare_image_inputs(batch_size=1, equal_resolution=True)[0]
        processor = PllavaImageProcessor(
            size={"shortest_edge": 20}, crop_size={"height": 20, "width": 20}, do_rescale=False, do_normalize=False
        )
        pixels = processor(image, return_tensors="np")["pixel_values"][0]
        wanted = np.asarray(image.resize((20, 20), resample=Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))
