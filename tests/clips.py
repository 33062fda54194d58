# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Small clips made with PyAV, whose frames carry their own number.

Frame `i` shows sixteen squares, bright where the bits of `i` are set, so a test knows which frame it got by looking at
the picture and not at a time stamp. `SHOWN` and `BROKEN` name the clips; `make` writes one into a folder. By hand,
`python tests/clips.py FOLDER` writes them all.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


# The AV1 encoder writes to the terminal otherwise.
os.environ.setdefault("SVT_LOG", "0")

WIDTH, HEIGHT = 160, 120
FRAMES = 90
GOP = 30
RATE = 30
SEED = 7
_COLUMNS, _ROWS = 8, 2


def paint(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """An RGB picture, (height, width, 3) uint8, that shows the low 16 bits of `number` over a drifting gradient."""
    across = (np.arange(width) * 128 // width + 2 * number) % 256
    down = (np.arange(height) * 128 // height + 64) % 256
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = across
    picture[..., 1] = down[:, None]
    picture[..., 2] = (across // 2)[None, :] + (down // 4)[:, None]
    for bit in range(16):
        top, bottom, left, right = _square(bit, width, height)
        picture[top:bottom, left:right] = 235 if number >> bit & 1 else 20
    return picture


def read_number(picture: np.ndarray) -> int:
    """The number that a picture, of any size, shows."""
    height, width = picture.shape[:2]
    number = 0
    for bit in range(16):
        top, bottom, left, right = _square(bit, width, height)
        inset_y, inset_x = (bottom - top) // 4, (right - left) // 4
        middle = picture[top + inset_y : bottom - inset_y, left + inset_x : right - inset_x]
        number |= int(middle.mean() > 128) << bit
    return number


def _square(bit: int, width: int, height: int) -> tuple[int, int, int, int]:
    row, column = divmod(bit, _COLUMNS)
    return (
        row * height // (2 * _ROWS),
        (row + 1) * height // (2 * _ROWS),
        column * width // _COLUMNS,
        (column + 1) * width // _COLUMNS,
    )


def encode(
    target: str | Path | io.IOBase,
    codec: str,
    *,
    format: str | None = None,
    frames: int = FRAMES,
    first: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pix_fmt: str = "yuv420p",
    rate: int = RATE,
    gop: int = GOP,
    b_frames: int = 0,
    pts: Iterable[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    interlaced: bool = False,
) -> None:
    """Encodes painted frames `first`, `first + 1`, ... and writes them to a file or file object."""
    target = str(target) if isinstance(target, Path) else target
    with av.open(target, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.gop_size = gop
        context.thread_count = 1
        if codec not in ("gif", "qtrle", "ffv1", "mjpeg", "apng"):
            context.max_b_frames = b_frames
        if time_base is not None:
            context.time_base = time_base
        if interlaced:
            context.flags |= 0x40000 | 0x20000000
        stamps = list(pts) if pts is not None else range(frames)
        for place, stamp in zip(range(frames), stamps, strict=False):
            frame = av.VideoFrame.from_ndarray(paint(first + place, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts = stamp
            frame.time_base = time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remux(
    source: Path,
    target: Path | io.IOBase,
    change: Callable[[int, av.Packet], bool] = lambda place, packet: True,
    *,
    format: str | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """Copies packets without decoding; `change` may alter each and says whether to keep it."""
    output = str(target) if isinstance(target, Path) else target
    with av.open(str(source)) as old, av.open(output, "w", format=format, options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for place, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size and change(place, packet):
                packet.stream = stream
                new.mux(packet)


class _Pipe(io.RawIOBase):
    """A sink that cannot seek, so that a muxer writes neither duration nor seek points."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)


X264 = {"preset": "ultrafast", "tune": "fastdecode"}
# Its macroblock tree reads memory it has not written, so that two runs would write two clips.
X264_B = {"preset": "veryfast", "x264-params": "scenecut=0:mbtree=0"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=30:min-keyint=30:pools=1:frame-threads=1"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}


def _h264(path: Path) -> None:
    encode(path, "libx264", options=X264)


def _h264_b(path: Path) -> None:
    encode(path, "libx264", b_frames=3, options=X264_B)


def _uneven(path: Path) -> None:
    encode(path, "libx264", pts=uneven_stamps(), time_base=Fraction(1, 1000), options=X264)


def uneven_stamps() -> list[int]:
    """Milliseconds of the frames of the clips with uneven gaps."""
    return np.cumsum(np.random.default_rng(SEED).integers(10, 121, FRAMES)).tolist()


# Frames at 30 per second, of which each seventh is missing.
GAPS = [stamp for stamp in range(200) if stamp % 7][:FRAMES]


def _uneven_b(path: Path) -> None:
    encode(path, "libx264", b_frames=3, pts=uneven_stamps(), time_base=Fraction(1, 1000), options=X264_B)


def _from_h264(change: Callable[[int, av.Packet], bool], b_frames: int = 0, **options: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        plain = path.with_name(f"{path.name}.source.mp4")
        encode(plain, "libx264", b_frames=b_frames, options=X264_B if b_frames else X264)
        remux(plain, path, change, options=options)
        plain.unlink()

    return write


def _shift(seconds: float) -> Callable[[int, av.Packet], bool]:
    def change(_: int, packet: av.Packet) -> bool:
        ticks = round(seconds / packet.time_base)
        packet.pts += ticks
        packet.dts += ticks
        return True

    return change


def _piped(codec: str, format: str, options: dict[str, str]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pipe = _Pipe()
        encode(pipe, codec, format=format, options=options)
        path.write_bytes(bytes(pipe.written))

    return write


# Display matrices (a, b, c, d), by which players show the stored point (x, y) at (a x + c y, b x + d y), y downwards.
ORIENTATIONS = {
    "upright": (1, 0, 0, 1),
    "quarter": (0, -1, 1, 0),
    "half": (-1, 0, 0, -1),
    "three_quarters": (0, 1, -1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside_down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}


def _oriented(matrix: tuple[float, float, float, float]) -> Callable[[Path], None]:
    def fixed(*values: float) -> bytes:
        units = (65536, 65536, 1 << 30)
        return b"".join(
            int(value * units[place % 3]).to_bytes(4, "big", signed=True) for place, value in enumerate(values)
        )

    def write(path: Path) -> None:
        _h264(path)
        data = path.read_bytes()
        identity, (a, b, c, d) = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1), matrix
        place = data.index(identity, data.index(b"tkhd"))
        path.write_bytes(data[:place] + fixed(a, b, 0, c, d, 0, 0, 0, 1) + data[place + len(identity) :])

    return write


def upright(pictures: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Stored pictures (n, height, width, 3) as they are to be shown, point by point after the matrix."""
    a, b, c, d = matrix
    height, width = pictures.shape[1:3]
    y, x = np.mgrid[:height, :width]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    shown_x, shown_y = shown_x - shown_x.min(), shown_y - shown_y.min()
    shown = np.empty((len(pictures), shown_y.max() + 1, shown_x.max() + 1, 3), pictures.dtype)
    shown[:, shown_y, shown_x] = pictures
    return shown


def _joined(second_size: tuple[int, int]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parts = []
        for number, size in enumerate(((WIDTH, HEIGHT), second_size)):
            part = path.with_name(f"{path.name}.part{number}.ts")
            encode(part, "libx264", frames=30, first=30 * number, size=size, gop=10, options=X264)
            parts.append(part.read_bytes())
            part.unlink()
        path.write_bytes(b"".join(parts))

    return write


def _hidden_picture(path: Path) -> None:
    """VP8 with a reference picture that is decoded and not shown: packet 40, whose show bit is cleared."""
    plain = path.with_name(f"{path.name}.source.webm")
    encode(plain, "libvpx", options={"deadline": "realtime", "cpu-used": "8", "b": "400k"})

    def hide(place: int, packet: av.Packet) -> bool:
        if place == 40:
            data = bytearray(bytes(packet))
            data[0] &= ~0x10
            packet.update(bytes(data))
        return True

    remux(plain, path, hide)
    plain.unlink()


def _with_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options=X264)
        video.width, video.height, video.pix_fmt, video.codec_context.gop_size = WIDTH, HEIGHT, "yuv420p", GOP
        audio = container.add_stream("aac", rate=8000, layout="mono")
        for number in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(paint(number), format="rgb24")))
        for number in range(24):
            container.mux(audio.encode(_silence(number)))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _silence(number: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 8000
    frame.pts = 1024 * number
    return frame


def _plain(codec: str, **settings) -> Callable[[Path], None]:
    return lambda path: encode(path, codec, **settings)


# Name of the file -> how it is written. Every clip shows frames 0, 1, 2, ... unless FIRST_SHOWN says otherwise.
SHOWN: dict[str, Callable[[Path], None]] = {
    "h264.mp4": _h264,
    "h264_b.mp4": _h264_b,
    "h264_b.mkv": _h264_b,
    "h264_b.avi": _h264_b,
    "h264_b.ts": _h264_b,
    "h264_b.flv": _h264_b,
    "uneven.mkv": _uneven,
    "uneven.mp4": _uneven,
    "vp9.webm": _plain("libvpx-vp9", options=VP9),
    "vp8_hidden.webm": _hidden_picture,
    "sound.mp4": _with_sound,
    "pq.mp4": _plain("libx264", options=X264 | {"x264-params": "transfer=smpte2084:colorprim=bt2020"}),
    "mpeg4.avi": _plain("mpeg4", options={"b": "2M"}),
    "mpeg4_b.avi": _plain("mpeg4", b_frames=2, options={"b": "2M"}),
    "animation.gif": _plain("gif", pix_fmt="rgb8", frames=30, rate=10),
    "animation.apng": _plain("apng", pix_fmt="rgb24", frames=12, rate=10),
    "rotated.mov": _oriented(ORIENTATIONS["quarter"]),
    "hevc_10bit.mp4": _plain("libx265", pix_fmt="yuv420p10le", options=X265),
    "hevc_open.mkv": _plain(
        "libx265", b_frames=3, options=X265 | {"x265-params": X265["x265-params"] + ":open-gop=1:bframes=3"}
    ),
    "h264_open.mp4": _plain(
        "libx264",
        b_frames=3,
        options=X264_B | {"x264-params": "scenecut=0:mbtree=0:open-gop=1:keyint=30:min-keyint=30"},
    ),
    "h264_refresh.mp4": _plain("libx264", options=X264 | {"x264-params": "intra-refresh=1:keyint=30"}),
    "odd.webm": _plain("libvpx-vp9", size=(161, 121), options=VP9),
    "odd_444.mp4": _plain("libx264", size=(161, 121), pix_fmt="yuv444p", options=X264),
    "one.mp4": _plain("libx264", frames=1, options=X264),
    "raw.h264": _plain("libx264", format="h264", options=X264),
    "mpeg2_b.mpg": _plain("mpeg2video", b_frames=2, options={"b": "3M"}),
    "mjpeg.avi": _plain("mjpeg", pix_fmt="yuvj420p", frames=30),
    "lossless.mkv": _plain("ffv1", pix_fmt="bgr0", frames=30),
    "alpha.mov": _plain("qtrle", pix_fmt="argb", frames=12),
    "interlaced.mp4": _plain("libx264", options=X264 | {"x264-params": "tff=1"}, interlaced=True),
    "edit_list.mp4": _from_h264(_shift(-7 / RATE), avoid_negative_ts="disabled"),
    "edit_list_b.mp4": _from_h264(_shift(-7 / RATE), b_frames=3, avoid_negative_ts="disabled"),
    "late.mkv": _from_h264(_shift(10)),
    "late.mp4": _from_h264(_shift(10)),
    "no_key_at_start.mkv": _from_h264(lambda place, packet: place >= 10),
    "fragmented.mp4": _from_h264(lambda place, packet: True, movflags="frag_keyframe+empty_moov"),
    "piped.mkv": _piped("libx264", "matroska", X264),
    "piped.webm": _piped("libvpx-vp9", "webm", VP9),
    "joined.ts": _joined((WIDTH, HEIGHT)),
    "joined_sizes.ts": _joined((240, 180)),
    "uneven_b.mkv": _uneven_b,
    "uneven_b.mp4": _uneven_b,
    "gaps.mp4": _plain("libx264", pts=GAPS, options=X264),
    "full_range.mp4": _plain("libx264", pix_fmt="yuvj420p", options=X264),
    "h264_444.mp4": _plain("libx264", pix_fmt="yuv444p", options=X264),
    "h264_10bit.mp4": _plain("libx264", pix_fmt="yuv420p10le", options=X264),
    "hevc.mp4": _plain("libx265", options=X265),
    "av1.mp4": _plain("libsvtav1", frames=30, options={"preset": "12", "svtav1-params": "lp=1"}),
    "alpha.webm": _plain("libvpx-vp9", pix_fmt="yuva420p", options=VP9),
    "prores.mov": _plain("prores_ks", pix_fmt="yuv422p10le", frames=30),
    "wmv2.asf": _plain("wmv2", options={"b": "2M"}),
    "mpeg1.mpg": _plain("mpeg1video", options={"b": "3M"}),
    "flv1.flv": _plain("flv", options={"b": "2M"}),
    "h263.3gp": _plain("h263", size=(176, 144), options={"b": "2M"}),
    "two.mkv": _plain("libx264", frames=2, options=X264),
    "small.mp4": _plain("libx264", size=(64, 48), options=X264 | {"crf": "10"}),
    "wide.mp4": _plain("libx264", size=(854, 48), options=X264 | {"crf": "10"}),
}
# File -> presentation times in seconds that its frames were given, for clips where counting frames does not tell them.
# Without an entry, frames are 1/30 s apart.
TIMES = {name: np.array(uneven_stamps()) / 1000 for name in SHOWN if name.startswith("uneven")}
TIMES |= {"gaps.mp4": np.array(GAPS) / RATE}
# Clips that hide their first frames.
FIRST_SHOWN = {"edit_list.mp4": 7, "edit_list_b.mp4": 7, "no_key_at_start.mkv": 30}


def _audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        container.mux(stream.encode(_silence(0)))
        container.mux(stream.encode(None))


def _cut(writer: Callable[[Path], None], keep: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        writer(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return write


def _noisy(writer: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        writer(path)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        length = len(data) // 10
        data[middle : middle + length] = np.random.default_rng(SEED).bytes(length)
        path.write_bytes(bytes(data))

    return write


def _false_avi(path: Path) -> None:
    encode(path, "mpeg4", options={"b": "2M"})
    data = bytearray(path.read_bytes())
    claimed = (10_000_000).to_bytes(4, "little")
    avih, strh = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[avih + 16 : avih + 20] = claimed
    data[strh + 32 : strh + 36] = claimed
    path.write_bytes(bytes(data))


def _huge_gif(path: Path) -> None:
    encode(path, "gif", pix_fmt="rgb8", frames=30, rate=10)
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))


def _spoil(place: int, packet: av.Packet) -> bool:
    """Makes the packets of frames 55 to 59, the last of their group, unreadable."""
    if 55 <= place < 60:
        packet.update(b"\xff" * packet.size)
    return True


def _claims(place: bytes, offset: int, value: bytes) -> Callable[[Path], None]:
    """An mp4 in which one number of the box `place` is a lie."""

    def write(path: Path) -> None:
        _h264(path)
        data = path.read_bytes()
        start = data.index(place) + 4 + offset
        path.write_bytes(data[:start] + value + data[start + len(value) :])

    return write


def _far_stamps(place: int, packet: av.Packet) -> bool:
    """Lets the second half of a clip play in the far future."""
    if place >= 45:
        packet.pts += 1 << 40
        packet.dts += 1 << 40
    return True


def _outside(path: Path) -> None:
    """An mp4 that says its samples are in another file."""
    _h264(path)
    data = path.read_bytes()
    place = data.index(b"url \x00\x00\x00\x01")
    path.write_bytes(data[: place + 7] + b"\x00" + data[place + 8 :])


def _many_streams(path: Path) -> None:
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=RATE) for _ in range(40)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for stream in streams:
            picture = av.VideoFrame.from_ndarray(paint(0, 32, 32), format="rgb24")
            container.mux([*stream.encode(picture), *stream.encode(None)])


def flipped(writer: Callable[[Path], None], seed: int, flips: int = 60) -> Callable[[Path], None]:
    """A clip in which single bits are wrong."""

    def write(path: Path) -> None:
        writer(path)
        data = bytearray(path.read_bytes())
        random = np.random.default_rng(seed)
        for place in random.integers(0, len(data), flips):
            data[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(data))

    return write


def _content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


# Files that are no readable video, or only in part.
BROKEN: dict[str, Callable[[Path], None]] = {
    "text.mp4": _content(b"this is not a video\n" * 40),
    "page.mp4": _content(b"<!DOCTYPE html><html><body>404</body></html>"),
    "archive.mp4": _content(b"PK\x03\x04" + bytes(200)),
    "empty.mp4": _content(b""),
    "noise.mp4": _content(np.random.default_rng(SEED).bytes(20_000)),
    "playlist.ffconcat": _content(b"ffconcat version 1.0\nfile h264.mp4\n"),
    "playlist.m3u8": _content(b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nh264_b.ts\n#EXT-X-ENDLIST\n"),
    "audio.m4a": _audio_only,
    "cut.mp4": _cut(_h264, 0.5),
    "header_only.mkv": _cut(_h264, 0.06),
    "cut.mkv": _cut(_h264, 0.5),
    "cut.avi": _cut(_plain("mpeg4", options={"b": "2M"}), 0.5),
    "cut_fragmented.mp4": _cut(_from_h264(lambda place, packet: True, movflags="frag_keyframe+empty_moov"), 0.5),
    "lost.mp4": _from_h264(_spoil),
    "noisy.mp4": _noisy(_h264),
    "noisy.mkv": _noisy(_h264),
    "false_count.avi": _false_avi,
    "huge.gif": _huge_gif,
    "mdat_only.mp4": _content(
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + b"\x00\x00\x40\x00mdat" + bytes(16376)
    ),
    "deep.mp4": _content(b"".join((8 * (2000 - n)).to_bytes(4, "big") + b"moov" for n in range(2000))),
    "huge_box.mp4": _content(b"\x00\x00\x00\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(64)),
    "many_samples.mp4": _claims(b"stsz", 8, b"\x7f\xff\xff\xff"),
    "many_times.mp4": _claims(b"stts", 4, b"\x7f\xff\xff\xff"),
    "many_chunks.mp4": _claims(b"stco", 4, b"\x7f\xff\xff\xff"),
    "no_timescale.mp4": _claims(b"mdhd", 12, b"\x00\x00\x00\x00"),
    "long_life.mp4": _claims(b"mdhd", 16, b"\xff\xff\xff\xff"),
    "outside.mp4": _outside,
    "far.mkv": _from_h264(_far_stamps),
    "far.mp4": _from_h264(_far_stamps),
    "many_streams.mkv": _many_streams,
    "huge.png": _content(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x02\x00\x00\x00" + bytes(64)
    ),
    "huge.ppm": _content(b"P6\n16000 16000\n255\n" + bytes(64)),
    "cut.gif": _cut(_plain("gif", pix_fmt="rgb8", frames=30, rate=10), 0.5),
    "cut.webm": _cut(_plain("libvpx-vp9", options=VP9), 0.5),
    "cut.ts": _cut(_h264_b, 0.5),
    "cut_late.mp4": _cut(_h264, 0.97),
    "noisy.webm": _noisy(_plain("libvpx-vp9", options=VP9)),
    "noisy.ts": _noisy(_h264_b),
    "noisy.avi": _noisy(_plain("mpeg4", options={"b": "2M"})),
    "zeros.ts": _content(bytes(188 * 400)),
    "sync_only.ts": _content((b"\x47" + b"\xff" * 187) * 400),
    "ebml.mkv": _content(b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(200)),
    "riff.avi": _content(b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl" + bytes(200)),
    "webp_header.webp": _content(
        b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff\xff\xff"
    ),
}
# Damage nobody designed: the same clips with wrong bits.
FLIPPED: dict[str, Callable[[Path], None]] = {
    f"flipped_{seed}_{name}": flipped(SHOWN[name], seed)
    for name in ("h264_b.mp4", "h264_b.mkv", "h264_b.ts", "vp9.webm", "mpeg4.avi", "animation.gif")
    for seed in range(5)
}


def make(name: str, folder: Path) -> Path:
    """Writes the clip `name` of `SHOWN`, `BROKEN` or `FLIPPED` into a folder, once, and returns its path."""
    path = folder / name
    if not path.exists():
        (SHOWN | BROKEN | FLIPPED)[name](path)
    return path


def long_clip(folder: Path, frames: int = 640, gop: int = 250) -> Path:
    """A clip with few key frames: 0, 250 and 500 by default."""
    path = folder / f"long_{frames}_{gop}.mp4"
    if not path.exists():
        encode(path, "libx264", frames=frames, gop=gop, options=X264 | {"x264-params": "scenecut=0"})
    return path


def hour_clip(folder: Path, minutes: int) -> Path:
    """A clip of some minutes at 30 frames per second, whose one encoded minute is repeated."""
    minute, path = folder / "minute.mp4", folder / f"minutes_{minutes}.mp4"
    if not minute.exists():
        encode(minute, "libx264", frames=60 * RATE, gop=60, size=(320, 240), options=X264)
    with av.open(str(minute)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        ticks = round(60 / packets[0].time_base)
        for round_trip in range(minutes):
            for packet in packets:
                packet.pts += ticks if round_trip else 0
                packet.dts += ticks if round_trip else 0
                packet.stream = stream
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.duration = packet.pts, packet.dts, packet.duration
                again.time_base, again.is_keyframe, again.stream = packet.time_base, packet.is_keyframe, stream
                new.mux(again)
    return path


def decoded_numbers(path: Path) -> list[int]:
    """The numbers a plain decode from start to end shows: what the reader is compared with."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SHOWN | BROKEN | FLIPPED, 1):
        print(number, make(name, folder))
