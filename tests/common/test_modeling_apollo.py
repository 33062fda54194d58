# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' model tests on Apollo, with videos and again with images in the inputs."""

import unittest
from unittest.mock import patch

import pytest
import torch
from common.peer_suite import VideoOutputsTest, peer_module
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from video_lmms.modeling.configuration_apollo import ApolloConfig
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration, ApolloModel


ConfigTester = peer_module("test_configuration_common").ConfigTester
ModelTesterMixin = peer_module("test_modeling_common").ModelTesterMixin
GenerationTesterMixin = peer_module("generation.test_utils").GenerationTesterMixin


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


class ApolloVideoTester:
    """A tiny Apollo and a batch for it, under the names that the model tests read: one clip per video."""

    batch_size = 7  # the attention tests fill up smaller batches with rows that hold no placeholder
    is_training = True
    pad_token_id = 0
    video_token_id = 4
    image_token_id = 3
    media_token_id = video_token_id
    num_media_tokens = 6
    num_frames = 4
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
    siglip_size, internvideo2_size = 12, 8
    num_hidden_layers = text_config["num_hidden_layers"]
    num_attention_heads = text_config["num_attention_heads"]
    hidden_size = text_config["hidden_size"]

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        siglip = self.tower | {"image_size": self.siglip_size, "patch_size": 4, "vision_use_head": False}
        internvideo2 = self.tower | {"image_size": self.internvideo2_size, "patch_size": 4}
        return ApolloConfig(
            text_config=dict(self.text_config),
            vision_config={"siglip_config": siglip, "internvideo2_config": internvideo2},
            resampler_config={
                "hidden_size": self.hidden_size,
                "intermediate_size": 40,
                "num_latents": self.num_media_tokens,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 8,
            },
            image_token_id=self.image_token_id,
            video_token_id=self.video_token_id,
            vision_chunk_size=4,
        )

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(5, config.text_config.vocab_size, (self.batch_size, self.seq_length))
        input_ids[:, 1 : 1 + self.num_media_tokens] = self.media_token_id
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **self.media()}
        return config, inputs

    def media(self):
        def pixels(size):
            return torch.rand(self.batch_size, self.num_frames, 3, size, size)

        return {
            "pixel_values_videos": pixels(self.siglip_size),
            "pixel_values_videos_internvideo2": pixels(self.internvideo2_size),
            "num_clips": torch.ones(self.batch_size, dtype=torch.long),
        }


class ApolloImageTester(ApolloVideoTester):
    media_token_id = ApolloVideoTester.image_token_id

    def media(self):
        def pixels(size):
            return torch.rand(self.batch_size, 3, size, size)

        return {
            "pixel_values": pixels(self.siglip_size),
            "pixel_values_internvideo2": pixels(self.internvideo2_size),
        }


class ApolloModelTests(ModelTesterMixin, GenerationTesterMixin):
    all_model_classes = (ApolloModel, ApolloForConditionalGeneration)
    _is_composite = True
    # `last_hidden_state` holds the tokens of each clip, as wide as the language model; `tests/modeling` checks it.
    skip_test_video_features_output_shape = True
    skip_test_image_features_output_shape = True

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = ConfigTester(self, config_class=ApolloConfig, has_text_modality=False)
        # The training tests find out by name that a model without a head has no loss.
        names = patch.dict(MODEL_MAPPING_NAMES, {"apollo": "ApolloModel"})
        names.start()
        self.addCleanup(names.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    # States and weights are those of both towers, one after the other.
    def _video_features_get_expected_num_attentions(self, model_tester=None):
        return 2 * self.model_tester.tower["num_hidden_layers"]

    def _video_features_get_expected_num_hidden_states(self, model_tester=None):
        return 2 * (self.model_tester.tower["num_hidden_layers"] + 1)

    _image_features_get_expected_num_attentions = _video_features_get_expected_num_attentions
    _image_features_get_expected_num_hidden_states = _video_features_get_expected_num_hidden_states

    # A model with both kinds of media answers for both, whichever of them the common inputs hold.
    def _video_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), ApolloVideoTester(self).media()

    def _image_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), ApolloImageTester(self).media()


class ApolloVideoModelTest(VideoOutputsTest, ApolloModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values_videos", "pixel_values_videos_internvideo2", "num_clips"]
    model_tester_class = ApolloVideoTester


class ApolloImageModelTest(ApolloModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values", "pixel_values_internvideo2"]
    model_tester_class = ApolloImageTester
