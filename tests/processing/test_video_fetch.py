# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""URLs: what is fetched, where it may not lead, and how far a server can push it."""

from __future__ import annotations

import io
import threading

import fsspec
import numpy as np
import pytest
from tiny_pllava import tiny_processor
from transformers.video_utils import VideoMetadata
from web import PUBLIC, SECOND_PUBLIC, content, redirect

from video_lmms.processing import video_fetch
from video_lmms.processing.video_addresses import Destination, is_public, resolve
from video_lmms.processing.video_errors import VideoError, VideoLimitError, VideoLimits, VideoSourceError
from video_lmms.processing.video_fetch import download, fetch
from video_lmms.processing.video_inputs import open_video
from video_lmms.processing.video_reader import VideoReader


def open_as_users_do(source, **limits):
    """Opens a video the way the processors do, and tells how many frames it has."""
    with open_video(source, VideoMetadata(total_num_frames=0), False, VideoLimits(**limits)) as video:
        return video.metadata.total_num_frames


def fetched(url, **limits):
    file = io.BytesIO()
    download(url, file, VideoLimits(**limits))
    return file.getvalue()


class TestAddresses:
    @pytest.mark.parametrize(
        "address", ["93.184.215.14", "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"]
    )
    def test_public(self, address):
        assert is_public(address)

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.9.9",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fe80::1%lo",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "localhost",
            "8.8.8.8%lo",
        ],
    )
    def test_not_public(self, address):
        assert not is_public(address)

    def test_a_url_is_taken_apart(self, web):
        assert resolve("HTTP://Public.test:81/a b?k=ü".replace(" ", "%20")) == Destination(
            "http://Public.test:81/a%20b", False, "public.test", 81, "/a%20b?k=%C3%BC", (PUBLIC,)
        )
        assert resolve("https://cdn.test") == Destination(
            "https://cdn.test", True, "cdn.test", 443, "/", (SECOND_PUBLIC,)
        )

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://public.test/a b", "spaces"),
            ("http://public.test/\r\nHost: 127.0.0.1", "control characters"),
            ("http://public.test\\@127.0.0.1/", "backslash"),
            ("http://user:pass@public.test/", "user name"),
            ("http://public.test:99999/", "malformed"),
            ("http://[::1/", "malformed"),
            ("http:///clip.mp4", "a host"),
            ("ftp://public.test/", "the scheme 'ftp'"),
            ("http://unknown.test/", "unknown.test is unknown"),
        ],
    )
    def test_urls_that_are_no_addresses(self, web, url, message):
        with pytest.raises(VideoSourceError, match=message):
            resolve(url)
        assert "pass@" not in message


# Written, each, so that some program somewhere reads it as an address of this machine or its network.
DIRECT = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0x7f.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://127.0.0.1./",
    "HTTP://127.0.0.1/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://169.254.169.254/latest/",
    "http://metadata.internal/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "https://127.0.0.1/",
    "http://public.test@127.0.0.1/",
    "http://127.0.0.1:PORT@public.test/",
    "http://public.test\\@127.0.0.1/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://both.test/",
    "//127.0.0.1/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http://127.0.0.1:PORT/clip.mp4",
] + [" http://127.0.0.1/", "\thttp://127.0.0.1:PORT/", "http://127.0.0.1:PORT/\r\nX: y", "http://\n127.0.0.1/"]
PROTOCOLS = [
    "concat:http://127.0.0.1:PORT/a|http://127.0.0.1:PORT/b",
    "subfile,,start,0,end,9,,:http://127.0.0.1:PORT/",
    "hls+http://127.0.0.1:PORT/a.m3u8",
    "tcp://127.0.0.1:PORT",
    "udp://127.0.0.1:PORT",
    "rtmp://127.0.0.1:PORT/live",
    "rtsp://127.0.0.1:PORT/",
    "rtp://127.0.0.1:PORT",
    "srt://127.0.0.1:PORT",
    "tls://127.0.0.1:PORT",
    "ftp://127.0.0.1:PORT/a",
    "sftp://127.0.0.1:PORT/a",
    "gopher://127.0.0.1:PORT/_",
    "mmsh://127.0.0.1:PORT/",
    "httpproxy://127.0.0.1:PORT/",
    "async:http://127.0.0.1:PORT/",
    "cache:http://127.0.0.1:PORT/",
    "crypto:http://127.0.0.1:PORT/",
    "icecast://127.0.0.1:PORT/",
    "data:application/x-mpegurl,http://127.0.0.1:PORT/",
    "simplecache::http://127.0.0.1:PORT/a",
    "webhdfs://127.0.0.1:PORT/a",
    "smb://127.0.0.1:PORT/a",
    "filecache::s3://bucket/a",
    "reference://127.0.0.1:PORT",
    "file:///etc/hostname",
    "local:///etc/hostname",
    "unix:/tmp/socket",
    "pipe:0",
    "fd:0",
]
REDIRECTS = [
    "http://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "http://localhost:PORT/",
    "http://[::1]:PORT/",
    "http://both.test/",
    "http://2130706433/",
    "file:///etc/hostname",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/",
    "http://user@127.0.0.1/",
    "/again",
    "http://moving.test/",
    "concat:http://127.0.0.1:PORT/",
    "data:video/mp4;base64,AAAA",
    "javascript:0",
]
PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:PORT/a.ts\n#EXT-X-ENDLIST\n",
    "m3u8_key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:PORT/k"\n#EXTINF:3,\na.ts\n',
    "ffconcat": "ffconcat version 1.0\nfile http://127.0.0.1:PORT/a.mp4\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
    "<BaseURL>http://127.0.0.1:PORT/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video PORT RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "asx": '<asx version="3.0"><entry><ref href="http://127.0.0.1:PORT/a.wmv"/></entry></asx>',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:PORT/a.png"/></svg>',
    "imf": '<?xml version="1.0"?><AssetMap xmlns="x"><Path>http://127.0.0.1:PORT/a.mxf</Path></AssetMap>',
}


@pytest.fixture
def hostile_web(web):
    web.names |= {
        "localhost": ["127.0.0.1"],
        "metadata.internal": ["169.254.169.254"],
        "both.test": [PUBLIC, "127.0.0.1"],
        "moving.test": [["127.0.0.1"]],
    }
    return web


def assert_kept_out(web):
    assert web.strangers == []
    assert not web.listener_was_reached


class TestTricks:
    """None sends anything to an address that is not public: neither this package's sockets nor FFmpeg's."""

    def test_there_are_many(self):
        assert len(DIRECT) + len(PROTOCOLS) + len(REDIRECTS) + len(PLAYLISTS) >= 90

    @pytest.mark.parametrize("url", DIRECT + PROTOCOLS)
    def test_direct(self, hostile_web, url):
        with pytest.raises(VideoError) as caught:
            open_as_users_do(url.replace("PORT", str(hostile_web.private_port)))
        assert len(str(caught.value)) < 600
        assert_kept_out(hostile_web)
        assert hostile_web.visited == []

    @pytest.mark.parametrize("location", REDIRECTS)
    def test_redirected(self, hostile_web, location):
        target = location.replace("PORT", str(hostile_web.private_port))
        hostile_web.pages |= {"/clip.mp4": redirect(target), "/again": redirect("http://127.0.0.1/")}
        with pytest.raises(VideoError):
            open_as_users_do("http://public.test/clip.mp4")
        assert_kept_out(hostile_web)
        assert set(hostile_web.visited) == {PUBLIC}

    @pytest.mark.parametrize("kind", PLAYLISTS)
    def test_playlists(self, hostile_web, tmp_path, kind):
        data = PLAYLISTS[kind].replace("PORT", str(hostile_web.private_port)).encode()
        hostile_web.pages["/clip.mp4"] = content(data)
        path = tmp_path / f"list.{kind}"
        path.write_bytes(data)
        for source in (data, path, str(path), "http://public.test/clip.mp4"):
            with pytest.raises(VideoError):
                open_as_users_do(source)
        assert_kept_out(hostile_web)

    def test_a_name_is_resolved_once(self, hostile_web, clip):
        """Its address changes after the first look: the connection still goes where the first one said."""
        hostile_web.names["moving.test"] = [[PUBLIC], ["127.0.0.1"]]
        hostile_web.pages["/clip.mp4"] = content(clip("one.mp4").read_bytes())
        assert open_as_users_do("http://moving.test/clip.mp4") == 1
        assert hostile_web.looked_up.count("moving.test") == 1
        assert hostile_web.visited == [PUBLIC]
        assert hostile_web.asked == [("moving.test", "/clip.mp4")]
        with pytest.raises(VideoSourceError, match="moving.test is not on the public internet"):
            open_as_users_do("http://moving.test/clip.mp4")
        assert_kept_out(hostile_web)

    def test_proxies_of_the_environment_are_not_used(self, hostile_web, clip, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{hostile_web.private_port}")
        hostile_web.pages["/clip.mp4"] = content(clip("one.mp4").read_bytes())
        assert open_as_users_do("http://public.test/clip.mp4") == 1
        assert_kept_out(hostile_web)

    def test_from_https_to_http(self, web, monkeypatch):
        monkeypatch.setattr(video_fetch, "_fetch_once", lambda *args: "http://public.test/clip.mp4")
        with pytest.raises(VideoSourceError, match="redirected from https to http"):
            fetched("https://public.test/clip.mp4")

    def test_whoever_wants_may_reach_this_machine(self, hostile_web, clip):
        hostile_web.pages["/clip.mp4"] = content(clip("h264.mp4").read_bytes())
        url = f"http://localhost:{hostile_web.port}/clip.mp4"
        with pytest.raises(VideoSourceError, match=r"pass limits=\{'private_addresses': True\}"):
            open_as_users_do(url)
        assert open_as_users_do(url, private_addresses=True) == 90


class TestDownload:
    def test_frames_are_those_of_the_file(self, web, clip):
        path = clip("h264_b.mp4")
        web.pages["/clip.mp4"] = content(path.read_bytes())
        processor = tiny_processor()
        text = "USER:<image> What is it? ASSISTANT:"
        local = processor(text=text, videos=path, return_tensors="np")["pixel_values_videos"]
        remote = processor(text=text, videos="http://public.test/clip.mp4?key=1", return_tensors="np")
        assert np.array_equal(remote["pixel_values_videos"], local)
        assert web.asked == [("public.test", "/clip.mp4?key=1")]

    def test_limits_are_an_option_of_the_processor(self, web, clip):
        path = clip("h264.mp4")
        web.pages["/clip.mp4"] = content(path.read_bytes())
        processor, text = tiny_processor(), "USER:<image> What is it? ASSISTANT:"
        url = f"http://localhost:{web.port}/clip.mp4"
        web.names["localhost"] = ["127.0.0.1"]
        allowed = processor(text=text, videos=url, limits={"private_addresses": True}, return_tensors="pt")
        assert len(allowed["pixel_values_videos"]) == 1
        for source, limits in ((url, {"private_addresses": True, "download_bytes": 99}), (path, {"seconds": 2})):
            with pytest.raises(VideoLimitError):
                processor(text=text, videos=source, limits=limits)
        with pytest.raises(VideoError, match="unknown limits: size. Known: bytes, decoded_frames"):
            processor(text=text, videos=path, limits={"size": 1})

    def test_redirects_are_followed(self, web):
        web.pages |= {
            "/a": redirect("/b", 301),
            "/b": redirect("//cdn.test/c?x=1", 307),
            "/c": redirect("http://public.test/d", 308),
            "/d": content(b"here"),
        }
        assert fetched("http://public.test/a") == b"here"
        assert web.asked == [
            ("public.test", "/a"), ("public.test", "/b"), ("cdn.test", "/c?x=1"), ("public.test", "/d"),
        ]  # fmt: skip
        assert web.visited == [PUBLIC, PUBLIC, SECOND_PUBLIC, PUBLIC]
        with pytest.raises(VideoLimitError, match="more than 2 redirects"):
            fetched("http://public.test/a", redirects=2)

    def test_a_circle_ends(self, web):
        web.pages |= {"/a": redirect("/b"), "/b": redirect("/a")}
        with pytest.raises(VideoLimitError, match="more than 5 redirects"):
            fetched("http://public.test/a")
        assert len(web.asked) == 6

    def test_a_promise_too_large_is_not_waited_for(self, web):
        web.pages["/a"] = content(b"", Content_Length="2000000")
        with pytest.raises(VideoLimitError, match="larger than the limit of 1000000 bytes"):
            fetched("http://public.test/a", download_bytes=1_000_000)

    def test_bytes_are_counted_as_they_arrive(self, web):
        """A stream without end, of which no more is taken than allowed and what is under way."""
        sent = []

        def endless(request):
            request.send_response(200)
            request.end_headers()
            while True:
                request.wfile.write(bytes(1 << 16))
                sent.append(1 << 16)

        web.pages["/a"] = endless
        file = io.BytesIO()
        with pytest.raises(VideoLimitError, match="larger than the limit of 3000000 bytes"):
            download("http://public.test/a", file, VideoLimits(download_bytes=3_000_000))
        assert len(file.getvalue()) <= 3_000_000
        assert sum(sent) < 64 << 20

    def test_a_server_that_trickles_is_cut_off(self, web):
        done = threading.Event()

        def trickle(request):
            request.send_response(200)
            request.end_headers()
            while not done.wait(0.02):
                request.wfile.write(b"x")

        def trickle_headers(request):
            request.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            while not done.wait(0.02):
                request.wfile.write(b"x")

        web.pages |= {"/a": trickle, "/b": trickle_headers}
        try:
            for path in "ab":
                with pytest.raises(VideoLimitError, match="not complete after 0.3 s"):
                    fetched(f"http://public.test/{path}", download_seconds=0.3)
        finally:
            done.set()

    def test_a_silent_server_is_left(self, web):
        done = threading.Event()
        web.pages["/a"] = lambda request: done.wait(30)
        try:
            with pytest.raises(VideoSourceError, match="cannot be fetched .*timed out"):
                fetched("http://public.test/a", timeout_seconds=0.2)
        finally:
            done.set()

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (content(b"short", Content_Length="10"), "broke off after 5 bytes"),
            (content(b"x", Content_Encoding="gzip"), "sent as gzip"),
            (lambda request: request.send_error(403), "answered 403 Forbidden"),
            (lambda request: request.send_response_only(302) or request.end_headers(), "without saying where"),
            (lambda request: request.wfile.write(b"garbage\r\n\r\n"), "cannot be fetched"),
            (lambda request: None, "cannot be fetched"),
        ],
    )
    def test_bad_answers(self, web, answer, message):
        web.pages["/a"] = answer
        with pytest.raises(VideoSourceError, match=message) as caught:
            fetched("http://public.test/a?token=secret")
        assert "secret" not in str(caught.value)
        assert "http://public.test/a" in str(caught.value)

    def test_a_refused_connection(self, web):
        web.names["down.test"] = [PUBLIC]
        web.close()
        with pytest.raises(VideoSourceError, match="http://down.test/a cannot be fetched"):
            fetched("http://down.test/a")

    def test_the_certificate_must_be_right(self, web):
        """The server speaks no TLS at all."""
        with pytest.raises(VideoSourceError, match="https://public.test/a cannot be fetched"):
            fetched("https://public.test/a")

    def test_everything_else_passes(self, clip):
        path = clip("one.mp4")
        for source in (path, str(path), b"", io.BytesIO(), [path]):
            with fetch(source) as same:
                assert same is source


class TestObjectStores:
    def test_an_object_is_a_video(self, clip):
        data = clip("h264.mp4").read_bytes()
        with fsspec.open("memory://bucket/clip.mp4", "wb") as file:
            file.write(data)
        assert open_as_users_do("memory://bucket/clip.mp4") == 90
        with pytest.raises(VideoLimitError, match="larger than the limit of 1000 bytes"):
            open_as_users_do("memory://bucket/clip.mp4", download_bytes=1000)
        with pytest.raises(VideoLimitError, match="not complete after 0 s"):
            open_as_users_do("memory://bucket/clip.mp4", download_seconds=0)
        with pytest.raises(VideoSourceError, match="memory://bucket/none.mp4 cannot be fetched .FileNotFoundError"):
            open_as_users_do("memory://bucket/none.mp4?signature=secret")

    def test_a_missing_package_is_named(self, monkeypatch):
        def needs_s3fs(*args: object) -> None:
            raise ImportError("Install s3fs to access S3")

        monkeypatch.setattr(fsspec, "open", needs_s3fs)
        with pytest.raises(VideoSourceError, match=r"Install s3fs.*pip install 'video-lmms\[remote\]'"):
            open_as_users_do("s3://bucket/clip.mp4")
        monkeypatch.setattr(video_fetch, "fsspec", None)
        with pytest.raises(VideoSourceError, match=r"s3:// needs fsspec.*pip install 'video-lmms\[remote\]'"):
            open_as_users_do("s3://bucket/clip.mp4")

    def test_other_protocols_are_for_those_who_trust_them(self, clip):
        path = clip("one.mp4")
        with pytest.raises(VideoSourceError, match="starts with `file:` is refused"):
            open_as_users_do(f"file://{path}")
        assert open_as_users_do(f"file://{path}", private_addresses=True) == 1

    def test_the_reader_alone_opens_no_urls(self):
        with pytest.raises(VideoSourceError, match="the video processor fetches"):
            VideoReader.open("s3://bucket/clip.mp4")
