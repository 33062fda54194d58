# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' model tests on LongVU, with videos and again with images in the inputs.

Forward takes prompts in which videos have their room already, so that is what the common inputs hold.
"""

import unittest
from unittest.mock import patch

import pytest
import torch
from common.peer_suite import VideoOutputsTest, peer_module
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration, LongvuModel


ConfigTester = peer_module("test_configuration_common").ConfigTester
ModelTesterMixin = peer_module("test_modeling_common").ModelTesterMixin
GenerationTesterMixin = peer_module("generation.test_utils").GenerationTesterMixin


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


class LongvuVideoTester:
    """A tiny LongVU and a batch for it, under the names that the model tests read: one frame per video.

    It is kept at full resolution: two rows of two tokens and a newline each.
    """

    batch_size = 7  # the attention tests fill up smaller batches with rows that hold no placeholder
    is_training = True
    pad_token_id = 0
    video_token_id = 4
    image_token_id = 3
    media_token_id = video_token_id
    num_media_tokens = 6
    num_frames = 1  # the tests cut every input after as many rows as they take prompts
    seq_length = 15
    text_config = {
        "model_type": "qwen2",
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
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 4}
    siglip_size, dinov2_size = 16, 12
    num_hidden_layers = text_config["num_hidden_layers"]
    num_attention_heads = text_config["num_attention_heads"]
    hidden_size = text_config["hidden_size"]

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        return LongvuConfig(
            text_config=dict(self.text_config),
            vision_config=self.tower | {"image_size": self.siglip_size, "intermediate_size": 40},
            dinov2_config=self.tower | {"image_size": self.dinov2_size, "mlp_ratio": 2},
            image_token_id=self.image_token_id,
            video_token_id=self.video_token_id,
            grid_size=4,
            vision_hidden_size=32,
            connector_depth=2,
            aggregator_heads=4,
            image_token_len=4,
            lowres_token=1,
            image_full_resolution=True,
            context_length=256,
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
            return torch.rand(self.batch_size * self.num_frames, 3, size, size)

        return {
            "pixel_values_videos": pixels(self.siglip_size),
            "pixel_values_videos_dinov2": pixels(self.dinov2_size),
            "num_frames": torch.full((self.batch_size,), self.num_frames),
            "video_sizes": torch.full((self.batch_size, 2), 64),
        }


class LongvuImageTester(LongvuVideoTester):
    media_token_id = LongvuVideoTester.image_token_id

    def media(self):
        def pixels(size):
            return torch.rand(self.batch_size, 3, size, size)

        return {
            "pixel_values": pixels(self.siglip_size),
            "pixel_values_dinov2": pixels(self.dinov2_size),
            "image_sizes": torch.full((self.batch_size, 2), 64),
        }


class LongvuModelTests(ModelTesterMixin, GenerationTesterMixin):
    all_model_classes = (LongvuModel, LongvuForConditionalGeneration)
    _is_composite = True
    # `last_hidden_state` holds the aggregated grid of each frame; `tests/modeling` checks it.
    skip_test_video_features_output_shape = True
    skip_test_image_features_output_shape = True

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = ConfigTester(self, config_class=LongvuConfig, has_text_modality=False)
        # The training tests find out by name that a model without a head has no loss.
        names = patch.dict(MODEL_MAPPING_NAMES, {"longvu": "LongvuModel"})
        names.start()
        self.addCleanup(names.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    # A model with both kinds of media answers for both, whichever of them the common inputs hold.
    def _video_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), LongvuVideoTester(self).media()

    def _image_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), LongvuImageTester(self).media()


class LongvuVideoModelTest(VideoOutputsTest, LongvuModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values_videos", "pixel_values_videos_dinov2", "num_frames", "video_sizes"]
    model_tester_class = LongvuVideoTester


class LongvuImageModelTest(LongvuModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values", "pixel_values_dinov2", "image_sizes"]
    model_tester_class = LongvuImageTester
