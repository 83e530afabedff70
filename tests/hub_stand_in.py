"""A stand-in for the Hugging Face Hub, on this machine: as much of its HTTP API as its client uses here."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_stand_in"


class Hub(ThreadingHTTPServer):
    """Repositories as {name: {file: bytes}}."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.unknown: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None: ...

    def reply(self, value: Any = None, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        body = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for key, text in {"Content-Type": "application/json", "X-Repo-Commit": REVISION, **headers}.items():
            self.send_header(key.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def missing(self) -> None:
        self.server.unknown.append(f"{self.command} {self.path}")
        self.reply({"error": "not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        body, path = self.body(), self.path.split("?")[0]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply({"error": "no token"}, 401)
        if path == "/api/validate-yaml":
            return self.reply({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            if name in self.server.repositories:
                return self.reply({"url": f"{self.server.address}/{name}", "error": "exists"}, 409)
            self.server.repositories[name] = {}
            self.server.private[name] = asked.get("private") or asked.get("visibility") == "private"
            return self.reply({"url": f"{self.server.address}/{name}", "name": name})
        _, _, _, user, repository, action, *_ = path.split("/")
        files = self.server.repositories[f"{user}/{repository}"]
        if action == "preupload":
            asked = json.loads(body)["files"]
            plain = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            return self.reply({"files": plain})
        if action == "commit":
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    assert line["value"]["encoding"] == "base64"
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.server.address}/{user}/{repository}/commit/{REVISION}"
            return self.reply({"success": True, "commitOid": REVISION, "commitUrl": url})
        return self.missing()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name, action = "/".join(parts[2:4]), parts[4:5]
            files = self.server.repositories.get(name)
            if files is None or (action == ["revision"] and parts[5] not in ("main", "v1", REVISION)):
                return self.missing()
            if action == ["tree"]:
                oids = {path: hashlib.sha1(content).hexdigest() for path, content in files.items()}
                return self.reply(
                    [{"type": "file", "path": p, "size": len(c), "oid": oids[p]} for p, c in files.items()]
                )
            siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
            return self.reply({"_id": "0", "id": name, "sha": REVISION, "siblings": siblings, "tags": []})
        if len(parts) >= 5 and parts[2] == "resolve":
            content = self.server.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if content is None:
                return self.missing()
            return self.reply(
                body=content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', Content_Type="application/octet-stream"
            )
        return self.missing()

    do_HEAD = do_GET


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
