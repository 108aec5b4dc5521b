"""A small HTTP server that speaks what the Hub's client asks for: one repository, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What the server holds and how it misbehaves.

    Attributes:
        commits: files by path, by commit.
        status: answer every request with this status instead.
        cut: break off the first `cut` downloads of a weights file half way.
        delay: seconds before each answer.
        kind: "models" or "datasets".
        asked: paths of all requests.
    """

    repo: str = "owner/name"
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    status: int = 0
    cut: int = 0
    delay: float = 0.0
    kind: str = "models"
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit; returns its 40 digits."""
        digest = hashlib.sha1()
        for name in sorted(files):
            digest.update(name.encode() + files[name])
        self.commits[digest.hexdigest()] = files
        return digest.hexdigest()


class Server(ThreadingHTTPServer):
    """Says nothing about clients that were killed."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    """Routes of the Hub: information, tree, resolve (by way of a redirect), create, preupload, commit."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _json(self, content: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refused(self) -> bool:
        self.hub.asked.append(self.path)
        time.sleep(self.hub.delay)
        if self.hub.status == 200:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "13")
            self.end_headers()
            self.wfile.write(b"<html></html>")
        elif self.hub.status:
            code = {401: "RepoNotFound", 404: "RepoNotFound"}.get(self.hub.status)
            self._json({"error": "no"}, self.hub.status, **({"X-Error-Code": code} if code else {}))
        return bool(self.hub.status)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self._refused():
            return
        path = unquote(urlsplit(self.path).path)
        for commit, files in self.hub.commits.items():
            if path == f"/api/{self.hub.kind}/{self.hub.repo}/revision/{commit}":
                siblings = [{"rfilename": name} for name in files]
                return self._json({"id": self.hub.repo, "modelId": self.hub.repo, "sha": commit, "siblings": siblings})
            if path == f"/api/{self.hub.kind}/{self.hub.repo}/tree/{commit}":
                return self._json([{"type": "file", "path": name, "size": len(files[name]), "oid": commit} for name in files])
            repo = self.hub.repo if self.hub.kind == "models" else f"datasets/{self.hub.repo}"
            for prefix in (f"/{repo}/resolve/{commit}/", f"/cdn/{commit}/"):
                if path.startswith(prefix) and path.removeprefix(prefix) in files:
                    return self._file(commit, path.removeprefix(prefix), redirect="/resolve/" in prefix)
        known = any(commit in path for commit in self.hub.commits)
        return self._json({"error": "no"}, 404, **{"X-Error-Code": "EntryNotFound" if known else "RevisionNotFound"})

    def _file(self, commit: str, name: str, redirect: bool) -> None:
        content = self.hub.commits[commit][name]
        common = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(content)),
        }
        if redirect and name.endswith(".safetensors"):
            self.send_response(302)
            where = {
                "Location": f"{self.hub.address}/cdn/{commit}/{name}",
                "X-Linked-Etag": common["ETag"],
                "Content-Length": "0",
            }
            for key, value in {**common, **where}.items():
                self.send_header(key, value)
            return self.end_headers()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        for key, value in {**common, "Content-Length": str(len(content) - start), "Accept-Ranges": "bytes"}.items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return None
        if name.endswith(".safetensors") and self.hub.cut > 0:
            self.hub.cut -= 1
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.close_connection = True
            return None
        self.wfile.write(content[start:])
        return None

    def do_POST(self) -> None:
        body = (
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "Content-Length" in self.headers
            else self._chunks()
        )
        if self._refused():
            return
        if self.path.endswith("/repos/create"):
            return self._json({"url": f"{self.hub.address}/{self.hub.repo}", "name": self.hub.repo, "id": "1"})
        if "/preupload/" in self.path:
            wanted = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(body)["files"]
            ]
            return self._json({"files": wanted})
        if "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines() if line.strip()]
            parts = [line["value"] for line in lines if line["key"] == "file"]
            commit = self.hub.commit({part["path"]: base64.b64decode(part["content"]) for part in parts})
            url = f"{self.hub.address}/{self.hub.repo}/commit/{commit}"
            return self._json({"commitUrl": url, "commitOid": commit, "success": True})
        return self._json({"errors": [], "warnings": []})

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of this machine."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with Server(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()
