"""A model hub for tests: what the Python client of Hugging Face uses to create a repository,
commit files (small ones inside the commit, others by Git LFS) and tag the commit, and what clients
use to list and fetch the files of a commit."""

import base64
import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Case


def git_blob(content: bytes) -> str:
    """Return what `git hash-object` says."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def commit_of(repository: dict) -> str:
    """Return the id of a repository's state."""
    names = sorted(repository["files"])
    return hashlib.sha1(
        "".join(n + git_blob(repository["files"][n]) for n in names).encode()
    ).hexdigest()


class Hub:
    """Listens at a free port of this machine until close()."""

    def __init__(self, token: str):
        self.token = token
        self.repositories: dict[str, dict] = {}  # id -> {private, files, tags, messages}
        self.blobs: dict[str, bytes] = {}  # Git LFS objects by SHA-256
        self.gets: list[tuple[str, str]] = []  # path and Range of each GET
        self.cut = 0  # a GET of content ends after so many bytes, if not 0; once
        self.spoilt = False  # content is not what its digest says
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.store = f"http://localhost:{self.server.server_port}"  # of large files: another host
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self):
                with contextlib.suppress(ConnectionResetError):  # a client that has what it wants
                    super().handle()

            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def answer(self, code: int, document: dict | list | None = None):
                text = json.dumps(document or {}).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_HEAD(self):
                return self.resolve()

            def resolve(self):
                """ORG/NAME/resolve/COMMIT/FILE: small files at once, others from /blobs/SHA-256."""
                _, organization, name, _, commit, path = self.path.split("/", 5)
                repository = hub.repositories[f"{organization}/{name}"]
                if (
                    repository["private"]
                    and self.headers.get("Authorization") != f"Bearer {hub.token}"
                ):
                    return self.answer(401, {"error": "Invalid username or password."})
                if path not in repository["files"]:
                    return self.answer(404, {"error": path})
                content = repository["files"][path]
                facts = {"X-Repo-Commit": commit}
                if path.endswith(".safetensors"):
                    digest = hashlib.sha256(content).hexdigest()
                    hub.blobs[digest] = content
                    facts |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
                    return self.send(302, b"", facts | {"Location": f"{hub.store}/blobs/{digest}"})
                return self.send(200, content, facts | {"ETag": f'"{git_blob(content)}"'})

            def send(self, code: int, content: bytes, headers: dict[str, str]):
                first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
                if code == 200 and int(first):
                    part = f"bytes {first}-{len(content) - 1}/{len(content)}"
                    code, content = 206, content[int(first) :]
                    headers = headers | {"Content-Range": part}
                if hub.spoilt:
                    content = content[:-1] + b"?"
                self.send_response(code)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if hub.cut and len(content) > hub.cut:
                    self.wfile.write(content[: hub.cut])
                    hub.cut = 0
                    self.close_connection = True
                    return
                self.wfile.write(content)

            def do_GET(self):
                parts = self.path.split("?")[0].split("/")
                if "resolve" in parts or parts[1] == "blobs":
                    hub.gets.append((self.path, self.headers.get("Range", "")))
                if "resolve" in parts:
                    return self.resolve()
                if parts[1] == "blobs":
                    if self.headers.get("Authorization"):
                        return self.answer(400, {"error": "a token for another host"})
                    return self.send(200, hub.blobs[parts[2]], {})
                if len(parts) == 7 and parts[5] == "revision":
                    return self.model("/".join(parts[3:5]), parts[6])
                if len(parts) > 5 and parts[5] == "tree":
                    return self.tree("/".join(parts[3:5]))
                if parts[-1] != "refs":
                    return self.answer(404, {"error": self.path})
                tags = hub.repositories["/".join(parts[3:5])]["tags"]
                rows = [
                    {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit}
                    for tag, commit in tags.items()
                ]
                return self.answer(200, {"branches": [], "converts": [], "tags": rows})

            def tree(self, identity: str):
                def row(path: str, content: bytes):
                    row = {
                        "type": "file",
                        "path": path,
                        "size": len(content),
                        "oid": git_blob(content),
                    }
                    large = {
                        "oid": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 1,
                    }
                    return row | ({"lfs": large} if path.endswith(".safetensors") else {})

                files = hub.repositories[identity]["files"]
                return self.answer(200, [row(*item) for item in files.items()])

            def model(self, identity: str, revision: str):
                repository = hub.repositories.get(identity)
                if repository is None or revision not in ("main", commit_of(repository)):
                    return self.answer(404, {"error": "Repository not found"})
                if (
                    repository["private"]
                    and self.headers.get("Authorization") != f"Bearer {hub.token}"
                ):
                    return self.answer(401, {"error": "Invalid username or password."})
                files = [{"rfilename": name} for name in repository["files"]]
                return self.answer(
                    200, {"id": identity, "sha": commit_of(repository), "siblings": files}
                )

            def do_PUT(self):
                content = self.body()
                digest = self.path.rsplit("/", 1)[1]
                if hashlib.sha256(content).hexdigest() != digest:
                    return self.answer(400, {"error": "not the announced content"})
                hub.blobs[digest] = content
                return self.answer(200)

            def do_POST(self):
                content = self.body()
                if self.headers.get("Authorization") != f"Bearer {hub.token}":
                    return self.answer(401, {"error": "Invalid username or password."})
                path = self.path.split("?")[0]
                if (
                    path == "/api/validate-yaml"
                ):  # of a card; whether it is YAML, the test looks itself
                    return self.answer(200, {"errors": [], "warnings": []})
                if path == "/api/repos/create":
                    return self.create(json.loads(content))
                if path.endswith("/info/lfs/objects/batch"):
                    return self.batch(json.loads(content))
                _, _, _, organization, name, action, revision = path.split("/")
                repository = hub.repositories[f"{organization}/{name}"]
                if action == "preupload":
                    return self.modes(json.loads(content))
                if action == "commit":
                    return self.commit(f"{organization}/{name}", content)
                if action == "tag":
                    return self.tag(repository, revision, json.loads(content))
                return self.answer(404, {"error": path})

            def create(self, wish):
                identity = f"{wish['organization']}/{wish['name']}"
                url = {"url": f"{hub.url}/{identity}", "id": identity}
                if identity in hub.repositories:
                    return self.answer(409, url | {"error": "You already created this model repo"})
                hub.repositories[identity] = {
                    "private": wish.get("private", wish.get("visibility") == "private"),
                    "files": {},
                    "tags": {},
                    "messages": [],
                }
                return self.answer(200, url)

            def modes(self, wish):
                def mode(file):
                    lfs = file["path"].endswith(".onnx")
                    return {
                        "path": file["path"],
                        "uploadMode": "lfs" if lfs else "regular",
                        "shouldIgnore": False,
                    }

                return self.answer(200, {"files": [mode(file) for file in wish["files"]]})

            def batch(self, wish):
                def action(blob):
                    upload = {"href": f"{hub.url}/blobs/{blob['oid']}", "header": {}}
                    return blob | {"actions": {"upload": upload}}

                objects = [action(blob) for blob in wish["objects"]]
                return self.answer(200, {"transfer": "basic", "objects": objects})

            def commit(self, identity, content):
                repository = hub.repositories[identity]
                for line in map(json.loads, content.splitlines()):
                    value = line["value"]
                    if line["key"] == "header":
                        repository["messages"].append(value["summary"])
                    elif line["key"] == "file":
                        repository["files"][value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        repository["files"][value["path"]] = hub.blobs[value["oid"]]
                oid = hashlib.sha1(content).hexdigest()
                url = f"{hub.url}/{identity}/commit/{oid}"
                return self.answer(200, {"commitOid": oid, "commitUrl": url, "success": True})

            def tag(self, repository, revision, wish):
                if wish["tag"] in repository["tags"]:
                    return self.answer(409, {"error": "Tag reference exists already"})
                repository["tags"][wish["tag"]] = revision
                return self.answer(201)

        return Handler


class OnHub(Case):
    """Tests of one class share a hub."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hub = Hub("secret")

    @classmethod
    def tearDownClass(cls):
        cls.hub.close()
        super().tearDownClass()
