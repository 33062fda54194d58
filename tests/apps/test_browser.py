# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The browser that tests of pages use is there, and plays what the synthetic world draws."""

from __future__ import annotations

import pytest

from video_lmms.data.scenes import write_clip
from video_lmms.data.world import draw_samples


pytestmark = pytest.mark.slow


def test_the_browser_plays_a_clip_of_the_synthetic_world(browser, serve, tmp_path):
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, HTMLResponse
    from starlette.routing import Route

    (sample,) = draw_samples(0, 1, ("pitch",))
    clip = write_clip(sample.scene, tmp_path / "clip.mp4")
    page_of_one = HTMLResponse('<!doctype html><video src="clip.mp4" muted autoplay></video>')
    url = serve(
        Starlette(
            routes=[
                Route("/", lambda request: page_of_one),
                Route("/clip.mp4", lambda request: FileResponse(clip)),
            ]
        )
    )
    page = browser.new_page()
    page.goto(url)
    page.wait_for_function("document.querySelector('video').ended")
    video = page.evaluate(
        "(({videoWidth, duration, error}) => [videoWidth, duration, error])($('video'))".replace(
            "$", "document.querySelector"
        )
    )
    assert video == [sample.scene.size, pytest.approx(sample.scene.num_frames / sample.scene.fps, abs=0.2), None]
    page.context.close()
