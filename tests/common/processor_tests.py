# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' tests of processors, video processors and image processors, as far as our models answer them alike."""

from __future__ import annotations

import tempfile
from typing import Any
from unittest.mock import patch

import numpy as np
from common.peer_suite import TorchvisionIsThereTest, peer_module
from PIL import Image


PEER = peer_module("test_processing_common")
VIDEO_TESTS = peer_module("test_video_processing_common")
IMAGE_TESTS = peer_module("test_image_processing_common")
_local_path = peer_module("utils.fetch_hub_objects_for_ci").url_to_local_path

# A clip of eleven frames, and five frames that lie in files.
CLIP = _local_path("clip.mp4")
FRAMES = [_local_path("frame.png")] * 5


class ProcessorTests(PEER.ProcessorTesterMixin):
    """For a `unittest.TestCase` with the peer's attributes."""

    def outputs_about(self, video: Any, options: dict[str, Any]) -> Any:
        """What the processor makes of a chat about one video."""
        parts = [{"type": "video", "url": video}, {"type": "text", "text": "What is shown?"}]
        return self.get_processor().apply_chat_template(
            [[{"role": "user", "content": parts}]],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=options,
        )


class NamedTemplatesTest:
    """Stands before the peer's mixin where a processor has several templates."""

    def test_chat_template_save_loading(self):
        # A loaded tokenizer keeps a copy of the named templates and would save it beside the test's single one.
        processor = self.get_processor()
        processor.chat_template = processor.tokenizer.chat_template = "one"
        with tempfile.TemporaryDirectory() as folder, patch.object(type(self), "tmpdirname", folder):
            processor.save_pretrained(folder)
            super().test_chat_template_save_loading()


class VideoTester:
    """The batches that the video-processor tests ask for; `shape` is that of one processed RGB video."""

    batch_size = 5
    num_frames = 8
    num_channels = 3

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

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
        return [*self.shape[:-3], self.num_channels, *self.shape[-2:]]


class VideoProcessorTests(VIDEO_TESTS.VideoProcessingTestMixin):
    """For a `unittest.TestCase` with `fast_video_processing_class`, `video_processor_dict` and `video_shape`."""

    video_shape: tuple[int, ...]

    def setUp(self):
        super().setUp()
        self.video_processor_tester = VideoTester(self.video_shape)


class ImageTester:
    """The batches that the image-processor tests ask for; `shape` is that of one processed image."""

    batch_size = 7
    num_channels = 3

    def __init__(self, settings: dict[str, Any], shape: tuple[int, ...]):
        self.settings, self.shape = settings, shape

    def prepare_image_processor_dict(self):
        return self.settings | {"do_convert_rgb": True}

    def prepare_image_inputs(self, batch_size=batch_size, **options):
        options = {"num_channels": self.num_channels, "min_resolution": 30, "max_resolution": 400} | options
        return IMAGE_TESTS.prepare_image_inputs(batch_size=batch_size, **options)

    def expected_output_image_shape(self, images):
        return [self.num_channels, *self.shape[-2:]]


class ImageProcessorTests(TorchvisionIsThereTest, IMAGE_TESTS.ImageProcessingTestMixin):
    """For a `unittest.TestCase`.

    Attributes:
        processor_class: of the images.
        settings: of the processor under test.
        image_shape: of one processed image.
        settings_of_twenty: those with which an image becomes 20 x 20 pixels.
    """

    processor_class: type
    settings: dict[str, Any]
    image_shape: tuple[int, ...]
    settings_of_twenty: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Under the names of every supported transformers.
        cls.image_processing_classes = {"pil": cls.processor_class}
        cls.image_processor_dict = ImageTester(cls.settings, cls.image_shape).prepare_image_processor_dict()

    def setUp(self):
        self.image_processor_tester = ImageTester(self.settings, self.image_shape)
        self.image_processor_tester.image_processing_classes = self.image_processing_classes

    def test_new_models_require_torchvision_backend(self):
        """There is one backend, because the original resizes with PIL, bit for bit."""
        image = self.image_processor_tester.prepare_image_inputs(batch_size=1, equal_resolution=True)[0]
        image = image.resize((60, 60))
        processor = self.processor_class(**self.settings_of_twenty, do_rescale=False, do_normalize=False)
        pixels = processor(image, return_tensors="np")["pixel_values"][0]
        wanted = np.asarray(image.resize((20, 20), resample=Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(pixels, wanted.transpose(2, 0, 1))


class TransparencyIsDroppedTest:
    """Stands before [`ImageProcessorTests`] of towers that see three channels; a fourth is transparency."""

    def test_call_numpy_4_channels(self):
        processor = self.processor_class(**self.settings)
        self.image_processor_tester.num_channels = 4
        images = self.image_processor_tester.prepare_image_inputs(equal_resolution=False, numpify=True)
        pixels = processor(images, do_convert_rgb=False, return_tensors="pt", input_data_format="channels_last")
        opaque = [image[..., :3] for image in images]
        expected = processor(opaque, do_convert_rgb=False, return_tensors="pt", input_data_format="channels_last")
        for name in processor.model_input_names:
            self.assertTrue(pixels[name].equal(expected[name]), msg=name)
