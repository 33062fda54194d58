"""PLLaVA's processor: token counts, forms of a video, chats, sampling."""

import itertools
from math import prod

import numpy as np
import pytest
from PIL import Image
from tiny_pllava import NUM_FRAMES, tiny_processor
from transformers.video_utils import VideoMetadata

from video_lmms.data.scenes import write_clip
from video_lmms.data.world import draw_samples
from video_lmms.processing.chat_templates_pllava import PROMPTS
from video_lmms.processing.processing_pllava import PllavaProcessor
from video_lmms.processing.video_errors import VideoError
from video_lmms.processing.video_processing_pllava import PllavaVideoProcessor


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    (sample,) = draw_samples(0, 1, ("direction",))
    return write_clip(sample.scene, tmp_path_factory.mktemp("clip") / "clip.mp4")


def ask(*media):
    return [{"role": "user", "content": [*media, {"type": "text", "text": "What is it?"}]}]


def encode(processor, chat, **options):
    settings = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(chat, **settings, processor_kwargs=options)


def test_predicted_tokens_are_the_produced_ones(processor):
    """On 576 combinations of frames, size and pooling; the prediction sees metadata only."""
    sizes = ((8, 8), (8, 12), (16, 9), (9, 20))
    poolings = tuple(itertools.product((1, 4, 16), (1, 2, 3), (1, 2)))
    grid = list(itertools.product((1, 2, 5, 8, 16, 17, 30, 33), sizes, poolings))
    assert len(grid) >= 500
    small = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    for frames, (height, width), pooling in grid:
        made = PllavaProcessor(
            image_processor=processor.image_processor,
            tokenizer=processor.tokenizer,
            video_processor=PllavaVideoProcessor(num_frames=4, **small),
            pooling_shape=pooling,
        )
        predicted = made.num_video_tokens(VideoMetadata(total_num_frames=frames, height=height, width=width))
        sizes_known = made._get_num_multimodal_tokens(video_sizes=[(frames, height, width)])
        video = np.zeros((frames, height, width, 3), np.uint8)
        ids = made(text="USER:<image> x ASSISTANT:", videos=[video])["input_ids"][0]
        assert ids.count(made.video_token_id) == predicted == sizes_known.num_video_tokens[0] == prod(pooling)


def test_every_form_of_a_video_gives_the_same_pixels(processor, clip):
    reference = encode(processor, ask({"type": "video", "path": str(clip)}))
    with clip.open("rb") as file:
        for video in (clip, clip.read_bytes(), file):
            inputs = encode(processor, ask({"type": "video", "video": video}))
            assert (inputs["pixel_values_videos"] == reference["pixel_values_videos"]).all()
            assert (inputs["input_ids"] == reference["input_ids"]).all()


def test_frames_in_memory_and_in_files(processor, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (10, 20, 30, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{number}.png") for number in range(10)]
    for frame, path in zip(frames, paths, strict=True):
        Image.fromarray(frame).save(path)
    videos = processor.video_processor
    expected = videos([frames])["pixel_values_videos"][0]
    for form in ([[Image.fromarray(frame) for frame in frames]], [frames.transpose(0, 3, 1, 2)], [[paths]]):
        assert (videos(form)["pixel_values_videos"][0] == expected).all()


def test_videos_of_different_prompts_do_not_meet(processor):
    """The first resize pass joins the videos of one prompt, and only those."""
    wide, tall = np.zeros((4, 40, 80, 3), np.uint8), np.zeros((4, 80, 40, 3), np.uint8)
    wide[:, :, 40:], tall[:, 40:] = 255, 255
    prompts = ["USER:<image> a ASSISTANT:", "USER:<image> b ASSISTANT:"]
    batch = processor(text=prompts, videos=[wide, tall], padding=True, return_tensors="pt")
    for row, (prompt, video) in enumerate(zip(prompts, (wide, tall), strict=True)):
        single = processor(text=prompt, videos=[video], return_tensors="pt")
        assert (batch["pixel_values_videos"][row] == single["pixel_values_videos"][0]).all()
    nested = processor(text=prompts, videos=[[wide], [tall]], padding=True, return_tensors="pt")
    assert (nested["pixel_values_videos"] == batch["pixel_values_videos"]).all()


def test_mixed_chats_keep_their_order(processor, clip):
    image = Image.fromarray(np.full((30, 40, 3), 200, np.uint8))
    chat = ask({"type": "image", "image": image}, {"type": "video", "path": str(clip)})
    inputs = encode(processor, chat)
    assert "pixel_values" not in inputs
    still, moving = inputs["pixel_values_videos"]
    assert (still == still[:1]).all()
    assert not (moving == moving[:1]).all()
    assert "pixel_values" in encode(processor, ask({"type": "image", "image": image}))
    with pytest.raises(ValueError, match="share the placeholder"):
        processor(text="<image> <image>", images=[image], videos=[str(clip)])


def test_counts_are_checked(processor, clip):
    with pytest.raises(ValueError, match="got 2 and 1"):
        processor(text="<image> <image>", videos=[str(clip)])
    with pytest.raises(ValueError, match="Nothing to process"):
        processor()


def test_only_answers_are_marked(processor, clip):
    chat = [*ask({"type": "video", "path": str(clip)}), {"role": "assistant", "content": "A dog."}]
    inputs = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_tensors="pt", return_assistant_tokens_mask=True
    )
    marked = inputs["input_ids"][inputs["assistant_masks"].bool()]
    assert processor.tokenizer.decode(marked).replace(" ", "") == "Adog.</s>"


@pytest.mark.parametrize("name", PROMPTS)
def test_named_templates_render_one_placeholder(processor, name):
    text = processor.apply_chat_template(ask({"type": "video"}), chat_template=name, add_generation_prompt=True)
    assert text.count("<image>") == 1
    assert text.endswith(PROMPTS[name].roles[1] + PROMPTS[name].answer)


def test_times_need_a_frame_rate(processor):
    videos = processor.video_processor
    unknown = VideoMetadata(total_num_frames=50)
    for options in ({"fps": 2}, {"start": 1.0}, {"end": 2.0}):
        with pytest.raises(ValueError, match="frame rate"):
            videos.sample_frames(unknown, **options)
    known = VideoMetadata(total_num_frames=50, fps=10.0)
    assert len(videos.sample_frames(known, fps=2)) == 10
    assert all(20 <= index <= 30 for index in videos.sample_frames(known, start=2.0, end=3.0))
    with pytest.raises(ValueError, match="must be below 5.00 s"):
        videos.sample_frames(known, start=6.0)


def test_metadata_has_true_times(processor, clip):
    output = processor.video_processor([str(clip)], return_metadata=True)
    (metadata,) = output["video_metadata"]
    assert len(metadata.frames_indices) == NUM_FRAMES
    expected = [index / 8 for index in metadata.frames_indices]
    assert metadata.timestamps == pytest.approx(expected, abs=1e-3)


def test_unreadable_videos_are_named(processor, tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    for video in (str(tmp_path / "none.mp4"), str(tmp_path / "notes.mp4")):
        with pytest.raises(VideoError, match=video.rsplit("/", 1)[1]):
            processor.video_processor([video])


def test_saving_keeps_everything(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = PllavaProcessor.from_pretrained(tmp_path)
    assert again.pooling_shape == processor.pooling_shape
    assert again.chat_template == processor.chat_template
    assert again.video_processor.to_dict() == processor.video_processor.to_dict()
    text = "USER:<image>\n x ASSISTANT:"
    assert again.tokenizer(text)["input_ids"] == processor.tokenizer(text)["input_ids"]
