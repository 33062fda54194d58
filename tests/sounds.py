# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Sound and video files for tests, written by PyAV."""

from fractions import Fraction

import av
import numpy as np


def tones(seconds, sampling_rate, channels=1, offset=0.0):
    """(channels, samples) float32, a tone of its own and a constant of its own in each channel."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    rows = [0.3 * np.sin(2 * np.pi * 330 * (row + 1) * time) + offset * (row + 1) for row in range(channels)]
    return np.stack(rows).astype(np.float32)


def write_sound(path, samples, sampling_rate, codec="pcm_s16le", video_frames=0):
    """Writes (channels, samples) floats, and black frames before them where `video_frames` asks for some."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w") as container:
        if video_frames:
            video = container.add_stream("libx264", rate=Fraction(8))
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        track = container.add_stream(codec, rate=sampling_rate, layout=layout)
        if video_frames:
            black = np.zeros((32, 32, 3), np.uint8)
            for _ in range(video_frames):
                container.mux(video.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
            container.mux(video.encode(None))
        if samples.shape[1]:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sampling_rate, 0
            convert = av.AudioResampler(track.format, layout, sampling_rate, frame_size=track.frame_size or 1024)
            for part in (*convert.resample(frame), *convert.resample(None)):
                container.mux(track.encode(part))
        container.mux(track.encode(None))
    return path
