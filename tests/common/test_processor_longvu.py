# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' processor, video-processor and image-processor tests on LongVU."""

import unittest

import numpy as np
import pytest
import torch
from common.processor_tests import (
    CLIP,
    FRAMES,
    ImageProcessorTests,
    ProcessorTests,
    TransparencyIsDroppedTest,
    VideoProcessorTests,
)
from tiny_longvu import tiny_processor
from transformers.video_utils import VideoMetadata

from video_lmms.processing.image_processing_longvu import LongvuImageProcessor
from video_lmms.processing.processing_longvu import LongvuProcessor
from video_lmms.processing.video_processing_longvu import LongvuVideoProcessor


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZE, SIZE_DINOV2 = {"height": 20, "width": 20}, {"height": 16, "width": 16}
PIXELS = {"size": SIZE, "size_dinov2": SIZE_DINOV2}


class LongvuProcessorTest(ProcessorTests, unittest.TestCase):
    processor_class = LongvuProcessor

    @classmethod
    def _setup_tokenizer(cls):
        return tiny_processor().tokenizer

    @classmethod
    def _setup_image_processor(cls):
        return LongvuImageProcessor(**PIXELS)

    @classmethod
    def _setup_video_processor(cls):
        return LongvuVideoProcessor(**PIXELS)

    @staticmethod
    def prepare_processor_dict():
        return {"image_token_len": 4, "lowres_token": 1, "context_length": 160}

    def media(self, batch_size):
        """(name of the argument, that many media) per kind: both share a placeholder, so a call takes one kind."""
        yield "images", self.prepare_images_inputs(batch_size=batch_size)
        yield "videos", self.prepare_videos_inputs(batch_size=batch_size)

    def call(self, kind, media, **options):
        """A batch of prompts with one medium each."""
        text = self.prepare_text_inputs(batch_size=len(media), modalities=[kind.removesuffix("s")])
        sampling = {"do_sample_frames": False} if kind == "videos" else {}
        processor = self.get_processor()
        return processor(text=text, **{kind: media}, **sampling, padding=True, return_tensors="pt", **options)

    def test_apply_chat_template_decoded_video_0(self):
        """The peer's test counts videos where ours has frames."""
        clip = np.zeros((5, 30, 40, 3), dtype=np.uint8)
        messages = [[{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is shown?"}]}]]
        processor = self.get_processor()
        for video in (clip, list(clip)):
            prompts = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            outputs = processor(text=prompts, videos=[video], do_sample_frames=False, return_tensors="pt")
            self.assertEqual(outputs["num_frames"].tolist(), [5])
            self.assertEqual(len(outputs[self.videos_input_name]), 5)

    def test_flat_kwarg_applied_when_modality_dict_lacks_it(self):
        for kind, media in self.media(2):
            for name, value in self.call(kind, media, text_kwargs={}).items():
                self.assertIsInstance(value, torch.Tensor, msg=name)

    def test_model_input_names(self):
        names = set()
        for kind, media in self.media(2):
            names |= set(self.call(kind, media))
        # The last one only where the model has chosen frames.
        self.assertEqual(names | {"num_sampled_frames"}, set(self.get_processor().model_input_names))

    def test_processor_with_multiple_inputs(self):
        for kind, media in self.media(2):
            outputs = self.call(kind, media)
            self.assertIn(getattr(self, f"{kind}_input_name"), outputs)
            self.assertIn(self.text_input_name, outputs)
        everything = dict(self.media(1))
        with self.assertRaisesRegex(ValueError, "share the placeholder"):
            self.get_processor()(text=f"{self.image_token} {self.video_token}", **everything)
        with self.assertRaisesRegex(ValueError, "Nothing to process"):
            self.get_processor()()

    def test_processor_text_has_no_visual(self):
        for kind, media in self.media(3):
            text = self.prepare_text_inputs(batch_size=3, modalities=[kind.removesuffix("s")])
            options = {"do_sample_frames": False} if kind == "videos" else {}
            options |= {"padding": True, "return_tensors": "pt"}
            processor = self.get_processor()
            full = processor(text=text, **{kind: [[medium] for medium in media]}, **options)
            some = processor(text=["lower newer", *text[1:]], **{kind: [[], *([one] for one in media[1:])]}, **options)
            self.assertEqual(full["input_ids"][1:].tolist(), some["input_ids"][1:].tolist())

    def test_replacement_offsets(self):
        processor = self.get_processor()
        sizes, video = [(100, 100), (300, 100)], np.zeros((3, 20, 20, 3), dtype=np.uint8)
        images = [np.zeros((height, width, 3), dtype=np.uint8) for height, width in sizes]
        expanded = [self.image_token * processor.num_image_tokens(width, height) for height, width in sizes]
        text = "newer {} than {}"
        for options, replaced in (({"images": images}, expanded), ({"videos": [video] * 2}, [self.video_token] * 2)):
            outputs = processor(
                text=text.format(self.image_token, self.image_token),
                **options,
                do_sample_frames=False,
                return_text_replacement_offsets=True,
            )
            (offsets,) = outputs["text_replacement_offsets"]
            self.assertEqual([offset["replacement"] for offset in offsets], replaced)
            for offset in offsets:
                self.assertEqual(text.format(*replaced)[slice(*offset["new_span"])], offset["replacement"])

    def test_apply_chat_template_video_frame_sampling(self):
        """Frames of all videos follow each other in one batch; `num_frames` is an upper bound."""
        for video, options, num_frames in (
            (CLIP, {}, 1),
            (CLIP, {"num_frames": 3}, 1),
            (CLIP, {"fps": 10}, 4),
            (CLIP, {"fps": 30, "num_frames": 3}, 3),
            (CLIP, {"do_sample_frames": False}, 11),
            (FRAMES, {"do_sample_frames": False}, 5),
            (FRAMES, {"do_sample_frames": True, "num_frames": 3}, 3),
        ):
            outputs = self.outputs_about(video, options)
            self.assertEqual(len(outputs[self.videos_input_name]), num_frames, msg=options)
            self.assertEqual(outputs["num_frames"].tolist(), [num_frames], msg=options)


class LongvuVideoProcessorTest(VideoProcessorTests, unittest.TestCase):
    fast_video_processing_class = LongvuVideoProcessor
    video_processor_dict = PIXELS
    video_shape = (3, SIZE["height"], SIZE["width"])

    def check_call(self, return_tensors):
        """As in the peer's tests of a call, but frames of all videos follow each other."""
        processor, tester = LongvuVideoProcessor(**PIXELS), self.video_processor_tester
        videos = tester.prepare_video_inputs(return_tensors=return_tensors)
        for given, count in ((videos[0], 1), (videos, len(videos)), ([list(video) for video in videos], len(videos))):
            pixels = processor(given, return_tensors="pt")[self.input_name]
            self.assertEqual(pixels.shape, (count * tester.num_frames, *tester.expected_output_video_shape(given)))

    def test_call_numpy(self):
        self.check_call("np")

    def test_call_pil(self):
        self.check_call("pil")

    def test_call_pytorch(self):
        self.check_call("torch")

    def test_nested_input(self):
        """`check_call` nests."""
        self.check_call("np")

    def test_call_numpy_4_channels(self):
        """The towers see three channels; a fourth is transparency and is dropped."""
        processor = LongvuVideoProcessor(**PIXELS)
        self.video_processor_tester.num_channels = 4
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="np")
        opaque = [video[..., :3] for video in videos]
        seen, expected = (processor(clips, input_data_format="channels_last") for clips in (videos, opaque))
        for name in ("pixel_values_videos", "pixel_values_videos_dinov2"):
            self.assertTrue(torch.equal(seen[name], expected[name]), msg=name)

    def test_video_processor_from_dict_with_kwargs(self):
        """As in the peer's test, for frames that are squares and not cropped."""
        processor = LongvuVideoProcessor.from_dict(PIXELS)
        self.assertEqual((processor.size, processor.size_dinov2), (SIZE, SIZE_DINOV2))
        processor = LongvuVideoProcessor.from_dict(PIXELS, size=42, size_dinov2={"height": 24, "width": 24})
        self.assertEqual(processor.size, {"height": 42, "width": 42})
        self.assertEqual(processor.size_dinov2, {"height": 24, "width": 24})

    def test_call_sample_frames(self):
        """As in the peer's test, but `num_frames` is an upper bound and the frames of all videos follow each other."""
        processor = LongvuVideoProcessor(**PIXELS)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        known = [VideoMetadata(total_num_frames=8, fps=4, duration=2.0)] * len(videos)
        for options, num_frames in (
            ({"num_frames": 3, "do_sample_frames": False}, 8),
            ({"num_frames": 3}, 3),
            ({"num_frames": 10}, 8),
            ({"video_metadata": known}, 2),
            ({"fps": 2, "video_metadata": [[{"total_num_frames": 8, "fps": 4, "duration": 2.0}]] * len(videos)}, 4),
        ):
            outputs = processor(videos, return_tensors="pt", **options)
            self.assertEqual(outputs["num_frames"].tolist(), [num_frames] * len(videos), msg=options)
            self.assertEqual(len(outputs[self.input_name]), num_frames * len(videos))
        with self.assertRaisesRegex(ValueError, "need the frame rate"):
            processor.sample_frames(metadata=VideoMetadata(total_num_frames=8), fps=3)


class LongvuImageProcessorTest(TransparencyIsDroppedTest, ImageProcessorTests, unittest.TestCase):
    processor_class = LongvuImageProcessor
    settings = PIXELS
    image_shape = (3, SIZE["height"], SIZE["width"])
    settings_of_twenty = PIXELS
