# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Registration of every architecture with transformers' Auto classes."""

from typing import NamedTuple

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoVideoProcessor,
)
from transformers.models.auto import modeling_auto

from video_lmms import pipelines
from video_lmms.hub import guard
from video_lmms.modeling.configuration_apollo import ApolloConfig
from video_lmms.modeling.configuration_longvu import LongvuConfig
from video_lmms.modeling.configuration_pllava import PllavaConfig
from video_lmms.modeling.configuration_video_llama import VideoLlamaConfig
from video_lmms.modeling.configuration_videotgb import VideotgbConfig
from video_lmms.modeling.configuration_videotgb_t5 import VideotgbT5Config
from video_lmms.modeling.modeling_apollo import ApolloForConditionalGeneration, ApolloModel
from video_lmms.modeling.modeling_longvu import LongvuForConditionalGeneration, LongvuModel
from video_lmms.modeling.modeling_pllava import PllavaForConditionalGeneration, PllavaModel
from video_lmms.modeling.modeling_video_llama import VideoLlamaForConditionalGeneration, VideoLlamaModel
from video_lmms.modeling.modeling_videotgb import VideotgbForConditionalGeneration, VideotgbModel
from video_lmms.modeling.modeling_videotgb_t5 import VideotgbT5ForConditionalGeneration, VideotgbT5Model
from video_lmms.processing.feature_extraction_video_llama import VideoLlamaFeatureExtractor
from video_lmms.processing.image_processing_apollo import ApolloImageProcessor
from video_lmms.processing.image_processing_longvu import LongvuImageProcessor
from video_lmms.processing.image_processing_pllava import PllavaImageProcessor
from video_lmms.processing.image_processing_video_llama import VideoLlamaImageProcessor
from video_lmms.processing.image_processing_videotgb import VideotgbImageProcessor
from video_lmms.processing.processing_apollo import ApolloProcessor
from video_lmms.processing.processing_longvu import LongvuProcessor
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.processing_video_llama import VideoLlamaProcessor
from video_lmms.processing.processing_videotgb import VideotgbProcessor, VideotgbT5Processor
from video_lmms.processing.video_processing_apollo import ApolloVideoProcessor
from video_lmms.processing.video_processing_longvu import LongvuVideoProcessor
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor
from video_lmms.processing.video_processing_video_llama import VideoLlamaVideoProcessor
from video_lmms.processing.video_processing_videotgb import VideotgbVideoProcessor


class Architecture(NamedTuple):
    """The classes of one model, all that the toolkit needs to know about it."""

    config: type
    model: type
    generation_model: type
    processor: type
    video_processor: type
    image_processor: type | None
    feature_extractor: type | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "apollo": Architecture(
        config=ApolloConfig,
        model=ApolloModel,
        generation_model=ApolloForConditionalGeneration,
        processor=ApolloProcessor,
        video_processor=ApolloVideoProcessor,
        image_processor=ApolloImageProcessor,
    ),
    "longvu": Architecture(
        config=LongvuConfig,
        model=LongvuModel,
        generation_model=LongvuForConditionalGeneration,
        processor=LongvuProcessor,
        video_processor=LongvuVideoProcessor,
        image_processor=LongvuImageProcessor,
    ),
    "pllava": Architecture(
        config=PllavaConfig,
        model=PllavaModel,
        generation_model=PllavaForConditionalGeneration,
        processor=PllavaProcessor,
        video_processor=PllavaVideoProcessor,
        image_processor=PllavaImageProcessor,
    ),
    "video_llama": Architecture(
        config=VideoLlamaConfig,
        model=VideoLlamaModel,
        generation_model=VideoLlamaForConditionalGeneration,
        processor=VideoLlamaProcessor,
        video_processor=VideoLlamaVideoProcessor,
        image_processor=VideoLlamaImageProcessor,
        feature_extractor=VideoLlamaFeatureExtractor,
    ),
    "videotgb": Architecture(
        config=VideotgbConfig,
        model=VideotgbModel,
        generation_model=VideotgbForConditionalGeneration,
        processor=VideotgbProcessor,
        video_processor=VideotgbVideoProcessor,
        image_processor=VideotgbImageProcessor,
    ),
    "videotgb_t5": Architecture(
        config=VideotgbT5Config,
        model=VideotgbT5Model,
        generation_model=VideotgbT5ForConditionalGeneration,
        processor=VideotgbT5Processor,
        video_processor=VideotgbVideoProcessor,
        image_processor=VideotgbImageProcessor,
    ),
}


def register() -> None:
    """Makes the stock Auto classes and pipelines know every architecture; calling it again changes nothing."""
    guard.install()
    pipelines.register()
    for model_type, architecture in ARCHITECTURES.items():
        AutoConfig.register(model_type, architecture.config, exist_ok=True)
        AutoModel.register(architecture.config, architecture.model, exist_ok=True)
        AutoModelForImageTextToText.register(architecture.config, architecture.generation_model, exist_ok=True)
        AutoModelForMultimodalLM.register(architecture.config, architecture.generation_model, exist_ok=True)
        if architecture.config.is_encoder_decoder:
            AutoModelForSeq2SeqLM.register(architecture.config, architecture.generation_model, exist_ok=True)
        AutoProcessor.register(architecture.config, architecture.processor, exist_ok=True)
        AutoVideoProcessor.register(architecture.config, architecture.video_processor, exist_ok=True)
        if architecture.image_processor is not None:
            AutoImageProcessor.register(
                architecture.config,
                slow_image_processor_class=architecture.image_processor,
                # One class for both names: it is asked for as the fast one, and there is no other.
                fast_image_processor_class=architecture.image_processor,
                exist_ok=True,
            )
        if architecture.feature_extractor is not None:
            AutoFeatureExtractor.register(architecture.config, architecture.feature_extractor, exist_ok=True)
        # The pipelines look a class up by name in these tables, which `register` does not touch.
        for table in (
            modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
            modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
        ):
            table[model_type] = architecture.generation_model.__name__
