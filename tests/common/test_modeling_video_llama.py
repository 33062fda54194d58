# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' model tests on Video-LLaMA, with videos, with images, and with sounds in the inputs."""

import unittest
from unittest.mock import patch

import pytest
import torch
from common.peer_suite import VideoOutputsTest, peer_module
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration, VideoLlamaModel


ConfigTester = peer_module("test_configuration_common").ConfigTester
ModelTesterMixin = peer_module("test_modeling_common").ModelTesterMixin
GenerationTesterMixin = peer_module("generation.test_utils").GenerationTesterMixin


# The peer's tests warn in their own ways; whether they pass is what counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


class VideoTester:
    """A tiny Video-LLaMA and a batch for it, under the names that the model tests read."""

    batch_size = 7  # the attention tests fill up smaller batches with rows that hold no placeholder
    is_training = True
    pad_token_id = 0
    image_token_id, video_token_id, audio_token_id = 4, 5, 6
    placeholder_id = video_token_id
    num_media_tokens = 6
    num_frames = 3
    seq_length = 15
    text_config = {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
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
        "initializer_range": 0.02,
    }
    qformer_config = {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "encoder_hidden_size": 32,
        "cross_attention_frequency": 1,
        "vocab_size": 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    audio_parts = {}
    num_hidden_layers = text_config["num_hidden_layers"]
    num_attention_heads = text_config["num_attention_heads"]
    hidden_size = text_config["hidden_size"]

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        return VideoLlamaConfig(
            text_config=dict(self.text_config),
            vision_config=dict(self.vision_config),
            qformer_config=dict(self.qformer_config),
            video_qformer_config=dict(self.qformer_config),
            image_token_id=self.image_token_id,
            video_token_id=self.video_token_id,
            audio_token_id=self.audio_token_id,
            num_query_tokens=4,
            num_video_query_tokens=self.num_media_tokens,
            num_audio_query_tokens=self.num_media_tokens,
            max_frames=4,
            vision_chunk_size=4,
            **self.audio_parts,
        )

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(7, config.text_config.vocab_size, (self.batch_size, self.seq_length))
        input_ids[:, 1 : 1 + self.num_media_tokens] = self.placeholder_id
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **self.media()}
        return config, inputs

    def media(self):
        size = self.vision_config["image_size"]
        return {"pixel_values_videos": torch.rand(self.batch_size, self.num_frames, 3, size, size)}


class ImageTester(VideoTester):
    placeholder_id = VideoTester.image_token_id

    def media(self):
        size = self.vision_config["image_size"]
        return {"pixel_values": torch.rand(self.batch_size, 3, size, size)}


class AudioTester(VideoTester):
    """A sound and a video in every prompt: the tests of checkpointing take the first tower for the one that runs."""

    audio_parts = {
        "audio_config": {
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_mel_bins": 8,
            "num_mel_frames": 12,
            "patch_size": 4,
            "patch_stride": 4,
            "projection_dim": 32,
            "drop_path_rate": 0.0,
        },
        "audio_qformer_config": VideoTester.qformer_config,
    }

    def prepare_config_and_inputs_for_common(self):
        config, inputs = super().prepare_config_and_inputs_for_common()
        inputs["input_ids"][:, -self.num_media_tokens - 2 : -2] = self.audio_token_id
        return config, inputs | self.sounds()

    def sounds(self):
        return {"input_features": torch.rand(self.batch_size, 2, 1, 8, 12)}


class VideoLlamaModelTests(ModelTesterMixin, GenerationTesterMixin):
    all_model_classes = (VideoLlamaModel, VideoLlamaForConditionalGeneration)
    _is_composite = True
    # `last_hidden_state` of a tower has a row per frame or clip, not per medium; `tests/modeling` checks it.
    skip_test_video_features_output_shape = True
    skip_test_audio_features_output_shape = True

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = ConfigTester(self, config_class=VideoLlamaConfig, has_text_modality=False)
        # The training tests find out by name that a model without a head has no loss.
        names = patch.dict(MODEL_MAPPING_NAMES, {"video_llama": "VideoLlamaModel"})
        names.start()
        self.addCleanup(names.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    # A model with all kinds of media answers for all, whichever of them the common inputs hold.
    def _video_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), VideoTester(self).media()

    def _image_features_prepare_config_and_inputs(self):
        return self.model_tester.get_config(), ImageTester(self).media()

    def _audio_features_prepare_config_and_inputs(self):
        return AudioTester(self).get_config(), AudioTester(self).sounds()


class VideoLlamaVideoModelTest(VideoOutputsTest, VideoLlamaModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values_videos"]
    model_tester_class = VideoTester


class VideoLlamaImageModelTest(VideoLlamaModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values"]
    model_tester_class = ImageTester


class VideoLlamaAudioModelTest(VideoLlamaModelTests, unittest.TestCase):
    additional_model_inputs = ["pixel_values_videos", "input_features"]
    model_tester_class = AudioTester

    def test_multimodal_outputs_are_returned(self):
        """The peer's test knows images only."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        with torch.no_grad():
            outputs = VideoLlamaForConditionalGeneration(config).eval()(**inputs)
        assert len(outputs.audio_outputs.pooler_output) == self.model_tester.batch_size
        assert outputs.image_outputs is None
