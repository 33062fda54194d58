# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""A Hub on loopback: as much of its HTTP API as `huggingface_hub` needs to make, fill and download model repositories.

Everything is kept in memory: blobs by SHA-256, repositories as lists of commits, and every request for tests to look
at. `slow_upload` and `refuse_upload_after` make uploads that can be interrupted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


LFS_SIZE = 100_000


@dataclass
class Repository:
    """Commits, oldest first: (revision, path -> SHA-256 of the content)."""

    commits: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def at(self, revision: str) -> tuple[str, dict[str, str]] | None:
        if revision in ("main", "HEAD"):
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)


class LocalHub:
    """The server; a context manager.

    Attributes:
        repositories: by id.
        blobs: content by SHA-256.
        requests: (method, path) of every request.
        slow_upload: seconds that each block of an uploaded file takes.
        refuse_upload_after: number of uploaded files after which further ones are refused; None: never.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.slow_upload = 0.0
        self.refuse_upload_after: int | None = None
        self.uploaded: list[str] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> LocalHub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a process that is to use this Hub and no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": "hf_local",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
        }

    def store(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest

    def add(self, repo_id: str, folder: Path) -> str:
        """A repository with the content of a folder; answers with its revision."""
        files = {
            file.relative_to(folder).as_posix(): self.store(file.read_bytes())
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        self.repositories.setdefault(repo_id, Repository())
        return self.commit(repo_id, files)

    def commit(self, repo_id: str, files: dict[str, str]) -> str:
        commits = self.repositories[repo_id].commits
        revision = hashlib.sha1(json.dumps([len(commits), sorted(files.items())]).encode()).hexdigest()
        commits.append((revision, files))
        return revision

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Content of every file of a revision."""
        return {path: self.blobs[digest] for path, digest in self.repositories[repo_id].at(revision)[1].items()}


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, content: dict | bytes | None, status: int = 200, **headers: object) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str) -> None:
        self.answer({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        left, parts = int(self.headers.get("Content-Length", 0)), []
        while left:
            part = self.rfile.read(min(left, 65536))
            if not part:
                raise ConnectionError("the client went away")
            left -= len(part)
            parts.append(part)
            if self.command == "PUT":
                time.sleep(self.hub.slow_upload)
        return b"".join(parts)

    def do_GET(self) -> None:  # noqa: N802 (named by the library)
        words = self.words()
        if words[:2] == ["api", "whoami-v2"]:
            return self.answer({"name": "me", "type": "user", "orgs": [], "auth": {}})
        if words[:2] == ["api", "models"]:
            return self.describe("/".join(words[2:4]), words[4:])
        if "resolve" in words:
            return self.resolve("/".join(words[:2]), words[3], "/".join(words[4:]))
        return self.fail(404, "EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:  # noqa: N802
        content = self.body()
        words = self.words()
        if words[:3] == ["api", "repos", "create"]:
            wanted = json.loads(content)
            repo_id = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            if repo_id in self.hub.repositories:
                return self.answer({"url": f"{self.hub.url}/{repo_id}"}, 409)
            self.hub.repositories[repo_id] = Repository()
            self.hub.commit(repo_id, {})
            return self.answer({"url": f"{self.hub.url}/{repo_id}", "name": repo_id})
        if words[:2] == ["api", "validate-yaml"]:
            return self.answer({"errors": [], "warnings": []})
        if "preupload" in words:
            return self.preupload("/".join(words[2:4]), json.loads(content)["files"])
        if words[-2:] == ["objects", "batch"]:
            return self.batch(json.loads(content)["objects"])
        if "commit" in words:
            return self.commit("/".join(words[2:4]), content)
        return self.fail(404, "EntryNotFound")

    def do_PUT(self) -> None:  # noqa: N802
        digest = self.words()[-1]
        if self.hub.refuse_upload_after is not None and len(self.hub.uploaded) >= self.hub.refuse_upload_after:
            self.body()
            return self.fail(403, "Forbidden")
        content = self.body()
        if hashlib.sha256(content).hexdigest() != digest:
            return self.fail(400, "BadContent")
        with self.hub.lock:
            self.hub.blobs[digest] = content
            self.hub.uploaded.append(digest)
        return self.answer({})

    def words(self) -> list[str]:
        path = unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
        return path.strip("/").split("/")

    def describe(self, repo_id: str, rest: list[str]) -> None:
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            return self.fail(404, "RepoNotFound")
        revision = rest[1] if rest[:1] in (["revision"], ["tree"]) else "main"
        commit = repository.at(revision)
        if commit is None:
            return self.fail(404, "RevisionNotFound")
        sha, files = commit
        if rest[:1] == ["tree"]:
            below = "".join(f"{word}/" for word in rest[2:])
            tree = [
                {"type": "file", "path": path, "size": len(self.hub.blobs[digest]), "oid": digest[:40]}
                for path, digest in files.items()
                if path.startswith(below)
            ]
            return self.answer(tree) if tree else self.fail(404, "EntryNotFound")
        siblings = [{"rfilename": path} for path in sorted(files)]
        return self.answer({"id": repo_id, "modelId": repo_id, "sha": sha, "siblings": siblings, "tags": []})

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            return self.fail(404, "RepoNotFound")
        commit = repository.at(revision)
        if commit is None:
            return self.fail(404, "RevisionNotFound")
        sha, files = commit
        if path not in files:
            self.answer({"error": path}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
            return None
        content = self.hub.blobs[files[path]]
        headers = {"ETag": f'"{files[path]}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes"}
        span = self.headers.get("Range")
        if span and self.command == "GET":
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            headers["Content_Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            return self.answer(content[int(first) : end], 206, **headers)
        return self.answer(content, **headers)

    def preupload(self, repo_id: str, files: list[dict]) -> None:
        if repo_id not in self.hub.repositories:
            return self.fail(404, "RepoNotFound")
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] > LFS_SIZE else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in files
        ]
        return self.answer({"files": modes})

    def batch(self, objects: list[dict]) -> None:
        answers = []
        for wanted in objects:
            found = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.blobs:
                found["actions"] = {"upload": {"href": f"{self.hub.url}/blobs/{wanted['oid']}", "header": {}}}
            answers.append(found)
        return self.answer({"transfer": "basic", "objects": answers})

    def commit(self, repo_id: str, content: bytes) -> None:
        files = dict(self.hub.repositories[repo_id].at("main")[1])
        for line in content.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = self.hub.store(base64.b64decode(value["content"]))
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self.fail(400, "MissingBlob")
                files[value["path"]] = value["oid"]
            elif entry["key"] == "deletedFile":
                files.pop(value["path"])
        with self.hub.lock:
            revision = self.hub.commit(repo_id, files)
        url = f"{self.hub.url}/{repo_id}/commit/{revision}"
        return self.answer({"success": True, "commitOid": revision, "commitUrl": url})
