# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' model tests on both forms of VideoTGB, with videos, their flow frames and questions in the inputs."""

import unittest
from unittest.mock import patch

import pytest
import torch
from common.peer_suite import VideoOutputsTest, peer_module
from tiny_videotgb_grounding import tiny_grounding_config
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.configuration_videotgb_t5 import VideotgbT5Config
from video_lmms.modeling.modeling_video_lmm import MediaOutputs
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration, VideotgbModel
from video_lmms.modeling.modeling_videotgb_frame_choice import FrameChoice
from video_lmms.modeling.modeling_videotgb_t5 import VideotgbT5ForConditionalGeneration, VideotgbT5Model


ConfigTester = peer_module("test_configuration_common").ConfigTester
ModelTesterMixin = peer_module("test_modeling_common").ModelTesterMixin
GenerationTesterMixin = peer_module("generation.test_utils").GenerationTesterMixin


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


class VideoTester:
    """A tiny VideoTGB and a batch for it, under the names that the model tests read."""

    batch_size = 7  # the attention tests fill up smaller batches with rows that hold no placeholder
    is_training = True
    pad_token_id = 0
    image_token_id, video_token_id = 3, 4
    num_media_tokens = 3
    num_candidates, size = 5, 64
    seq_length = 15
    text_config = {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    tower = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    num_hidden_layers = 2
    num_attention_heads = 4
    hidden_size = 32

    def __init__(self, parent, num_flow_frames=3):
        self.parent = parent
        self.num_flow_frames = num_flow_frames

    def get_config(self):
        return VideotgbConfig(
            qformer_config=self.tower | {"encoder_hidden_size": 32, "vocab_size": 40, "max_position_embeddings": 16},
            **self.parts(),
        )

    def parts(self):
        return {
            "text_config": dict(self.text_config),
            "vision_config": self.tower | {"image_size": self.size, "patch_size": 16},
            "grounding_config": tiny_grounding_config(),
            "image_token_id": self.image_token_id,
            "video_token_id": self.video_token_id,
            "num_query_tokens": self.num_media_tokens,
            "num_frames": 2,
            "vision_chunk_size": 4,
        }

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(5, config.text_config.vocab_size, (self.batch_size, self.seq_length))
        input_ids[:, 1 : 1 + self.num_media_tokens] = self.video_token_id
        return config, {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **self.media()}

    def media(self):
        frames = self.batch_size * self.num_flow_frames
        return {
            "pixel_values_videos": torch.rand(self.batch_size, self.num_candidates, 3, self.size, self.size),
            "flow_pixel_values": torch.rand(frames, 3, self.size, self.size),
            "num_flow_frames": torch.full((self.batch_size,), self.num_flow_frames),
            **self.words("sampler"),
            **self.words("qformer"),
        }

    def images(self):
        return {"pixel_values": torch.rand(self.batch_size, 3, self.size, self.size), **self.words("qformer")}

    def words(self, reader):
        text = torch.randint(1, 40, (self.batch_size, 6))
        return {f"{reader}_input_ids": text, f"{reader}_attention_mask": torch.ones_like(text)}


class T5VideoTester(VideoTester):
    text_config = {
        "vocab_size": 99,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 40,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 2,
    }
    encoder_seq_length = decoder_seq_length = VideoTester.seq_length

    def get_config(self):
        return VideotgbT5Config(qformer_config=self.tower | {"encoder_hidden_size": 32}, **self.parts())

    def prepare_config_and_inputs_for_common(self):
        config, inputs = super().prepare_config_and_inputs_for_common()
        answer = torch.randint(5, config.text_config.vocab_size, (self.batch_size, self.seq_length))
        return config, inputs | {"decoder_input_ids": answer, "decoder_attention_mask": torch.ones_like(answer)}

    def words(self, reader):
        return {} if reader == "qformer" else super().words(reader)


class VideotgbModelTests(VideoOutputsTest, ModelTesterMixin, GenerationTesterMixin):
    _is_composite = True
    # The choice of frames has no gradient, so the bridge and flow get none.
    test_all_params_have_gradient = False
    # `last_hidden_state` of the tower has a row per chosen frame, not per video; `tests/modeling` checks it.
    skip_test_video_features_output_shape = True
    skip_test_image_features_output_shape = True

    def setUp(self):
        # The attention tests cut every input to the batch size: there a video has one flow frame, and no bridge runs.
        cuts_inputs = "eager_matches_sdpa" in self._testMethodName
        self.model_tester = self.model_tester_class(self, num_flow_frames=1 if cuts_inputs else 3)
        self.additional_model_inputs = list(self.model_tester.media())
        self.config_tester = ConfigTester(self, config_class=self.config_class, has_text_modality=False)
        # The training tests find out by name that a model without a head has no loss.
        headless = self.all_model_classes[0].__name__
        names = patch.dict(MODEL_MAPPING_NAMES, {self.config_class.model_type: headless})
        names.start()
        self.addCleanup(names.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_model_outputs_equivalence(self):
        """The peer's test subtracts what it compares, and truth values cannot be."""
        as_numbers = patch.object(FrameChoice, "to_tuple", lambda choice: tuple(as_ints(choice)))
        with as_numbers:
            super().test_model_outputs_equivalence()

    def _video_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), self.model_tester.media()

    def _image_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), self.model_tester.images()


def as_ints(choice):
    return [value.long() if value.dtype == torch.bool else value for value in choice.values()]


class VideotgbVideoModelTest(VideotgbModelTests, unittest.TestCase):
    all_model_classes = (VideotgbModel, VideotgbForConditionalGeneration)
    config_class = VideotgbConfig
    model_tester_class = VideoTester


class VideotgbT5VideoModelTest(VideotgbModelTests, unittest.TestCase):
    all_model_classes = (VideotgbT5Model, VideotgbT5ForConditionalGeneration)
    is_encoder_decoder = True
    config_class = VideotgbT5Config
    model_tester_class = T5VideoTester

    def test_attention_outputs(self):
        """The peer's test counts outputs, of models that read text alone."""
        with patch.object(MediaOutputs, "__len__", lambda outputs: len(without_media(outputs)), create=True):
            super().test_attention_outputs()


def without_media(outputs):
    return [name for name in outputs if not name.endswith(("video_outputs", "image_outputs"))]
