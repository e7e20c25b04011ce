"""A model hub for tests: what the Python client of Hugging Face uses to create a repository, commit
files (small ones inside the commit, others by Git LFS) and tag the commit."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Listens at a free port of this machine until close()."""

    def __init__(self, token: str):
        self.token = token
        self.repositories: dict[str, dict] = {}  # id -> {private, files, tags, messages}
        self.blobs: dict[str, bytes] = {}  # Git LFS objects by SHA-256
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def answer(self, code: int, document=None):
                text = json.dumps(document or {}).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                parts = self.path.split("?")[0].split("/")
                if parts[-1] != "refs":
                    return self.answer(404, {"error": self.path})
                tags = hub.repositories["/".join(parts[3:5])]["tags"]
                rows = [
                    {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit}
                    for tag, commit in tags.items()
                ]
                return self.answer(200, {"branches": [], "converts": [], "tags": rows})

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
