# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' model tests on PLLaVA, with videos and again with images in the inputs."""

import unittest
from unittest.mock import patch

import pytest
import torch
from common.peer_suite import VideoOutputsTest, peer_module
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration, PllavaModel


ConfigTester = peer_module("test_configuration_common").ConfigTester
ModelTesterMixin = peer_module("test_modeling_common").ModelTesterMixin
GenerationTesterMixin = peer_module("generation.test_utils").GenerationTesterMixin


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


class PllavaVideoTester:
    """A tiny PLLaVA and a batch for it, under the names that the model tests read."""

    batch_size = 7  # the attention tests fill up smaller batches with rows that hold no placeholder
    is_training = True
    pad_token_id = 0
    media_token_id = 4
    pooling_shape = [2, 2, 2]
    num_media_tokens = 8
    num_frames = 3
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
    vision_config = {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 12,
        "patch_size": 4,
        "projection_dim": 32,
    }
    num_hidden_layers = text_config["num_hidden_layers"]
    num_attention_heads = text_config["num_attention_heads"]
    hidden_size = text_config["hidden_size"]

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        return PllavaConfig(
            text_config=dict(self.text_config),
            vision_config=dict(self.vision_config),
            image_token_id=self.media_token_id,
            video_token_id=self.media_token_id,
            pooling_shape=self.pooling_shape,
            vision_chunk_size=4,
        )

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(5, config.text_config.vocab_size, (self.batch_size, self.seq_length))
        input_ids[:, 1 : 1 + self.num_media_tokens] = self.media_token_id
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **self.media()}
        return config, inputs

    def media(self):
        size = self.vision_config["image_size"]
        return {"pixel_values_videos": torch.rand(self.batch_size, self.num_frames, 3, size, size)}


class PllavaImageTester(PllavaVideoTester):
    def media(self):
        size = self.vision_config["image_size"]
        return {"pixel_values": torch.rand(self.batch_size, 3, size, size)}


class PllavaModelTests(ModelTesterMixin, GenerationTesterMixin):
    all_model_classes = (PllavaModel, PllavaForConditionalGeneration)
    _is_composite = True
    # CLIP's last norm acts on the class token, which PLLaVA does not use; published checkpoints carry its weights.
    test_all_params_have_gradient = False
    # `last_hidden_state` of the tower has a row per frame, not per video; `tests/modeling` checks it.
    skip_test_video_features_output_shape = True

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = ConfigTester(self, config_class=PllavaConfig, has_text_modality=False)
        # The training tests find out by name that a model without a head has no loss.
        names = patch.dict(MODEL_MAPPING_NAMES, {"pllava": "PllavaModel"})
        names.start()
        self.addCleanup(names.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    # A model with both kinds of media answers for both, whichever of them the common inputs hold.
    def _video_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), PllavaVideoTester(self).media()

    def _image_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), PllavaImageTester(self).media()


class PllavaVideoModelTest(VideoOutputsTest, PllavaModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values_videos"]
    model_tester_class = PllavaVideoTester


class PllavaImageModelTest(PllavaModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values"]
    model_tester_class = PllavaImageTester
