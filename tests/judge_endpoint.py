# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A judge's endpoint on this machine, which speaks OpenAI's protocol."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint:
    """A server on this machine: failures to give first, then replies."""

    def __init__(self, failures: list[tuple[int, dict]] | None = None, choices: list[dict] | None = None):
        said = {"role": "assistant", "content": "{'pred': 'yes', 'score': 5}"}
        self.choices = [{"index": 0, "finish_reason": "stop", "message": said}] if choices is None else choices
        self.failures, self.requests, self.lock = list(failures or []), [], threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with endpoint.lock:
                    endpoint.requests.append((self.path, self.headers, body))
                    failure = endpoint.failures.pop(0) if endpoint.failures else None
                message = {"model": f"{body['model']}-0125", "choices": endpoint.choices}
                self.send_response(failure[0] if failure else 200)
                for name, value in (failure[1] if failure else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"no" if failure else json.dumps(message).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> Endpoint:
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
