"""upload: the hub's own Python client against a stand-in of the hub's API."""

import json
import os
import shutil
import sys

from hub_stand_in import OnHub

from harness import ROOT, run

PYTHON = ROOT / ".venv-train/bin/python"  # tools/test_deps.sh; with huggingface_hub


class Upload(OnHub):
    """One folder, one hub."""

    def setUp(self):
        super().setUp()
        self.hub.repositories.clear()
        done = run("press", ROOT / "models/demo", self.out, "--dtype", "q8")
        self.assertEqual(done.code, 0, done.err)
        self.env = os.environ | {
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": "secret",
            "HF_HOME": str(self.tmp / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "LORAPRESS_PYTHON": str(PYTHON),
        }

    def upload(self, *options, **env):
        return run("upload", self.out, "my-org/demo", *options, env=self.env | env)

    def test_commit_and_tag(self):
        done = self.upload("--tag", "v1.0.0", "--license", "apache-2.0", "--json")
        self.assertEqual(done.code, 0, done.err)
        report = json.loads(done.out)
        repository = self.hub.repositories["my-org/demo"]
        self.assertEqual(repository["tags"], {"v1.0.0": report["commit"]})
        self.assertEqual(len(repository["messages"]), 1)
        self.assertFalse(repository["private"])
        manifest = json.loads((self.out / "lorapress.json").read_text())
        listed = {file["path"] for file in manifest["files"]}
        self.assertEqual(set(repository["files"]), listed | {"lorapress.json", "README.md"})
        self.assertEqual(report["files"], len(repository["files"]))
        self.assertEqual(report["bytes"], sum(map(len, repository["files"].values())))
        for name in listed:
            self.assertEqual(repository["files"][name], (self.out / name).read_bytes(), name)
        card = repository["files"]["README.md"].decode()
        self.assertTrue(card.startswith("---\nlibrary_name: transformers.js\n"), card)
        self.assertIn('license: "apache-2.0"\n', card)
        self.assertIn('"my-org/demo", { revision: "v1.0.0", dtype: "q8" }', card)
        self.assertFalse((self.out / "README.md").exists())  # OUT is only read

    def test_a_tag_is_never_moved(self):
        self.assertEqual(self.upload("--tag", "v1").code, 0)
        before = json.dumps(self.hub.repositories["my-org/demo"]["tags"])
        again = self.upload("--tag", "v1")
        self.assertEqual(again.code, 2)
        self.assertIn("the tag v1 exists there, nothing was uploaded", again.err)
        self.assertEqual(json.dumps(self.hub.repositories["my-org/demo"]["tags"]), before)
        self.assertEqual(len(self.hub.repositories["my-org/demo"]["messages"]), 1)
        self.assertEqual(self.upload("--message", "again", "--private").code, 0)
        self.assertEqual(self.hub.repositories["my-org/demo"]["messages"][-1], "again")

    def test_refusals_in_one_line(self):
        shutil.copytree(self.out, self.tmp / "torn")
        (self.tmp / "torn/onnx/encoder_model_quantized.onnx").write_bytes(b"short")
        empty = self.tmp / "python"
        empty.write_text("#!/bin/sh\necho 'no huggingface_hub' >&2\nexit 1\n")
        empty.chmod(0o755)
        cases = [
            (self.upload("--tag", "latest"), 'revision "latest"'),
            (run("upload", self.out, "demo", env=self.env), 'model id "demo"'),
            (run("upload", self.tmp / "torn", "a/b", env=self.env), "press it again"),
            (self.upload(LORAPRESS_PYTHON=str(empty)), "pip install huggingface_hub"),
            (self.upload(LORAPRESS_PYTHON="/nonexistent"), "pip install huggingface_hub"),
            (self.upload(HF_TOKEN="wrong"), "401"),
        ]
        for done, words in cases:
            with self.subTest(words):
                self.assertEqual(done.code, 2, done.err)
                self.assertIn(words, done.err)
                self.assertEqual(done.err.count("\n"), 1, done.err)
        self.assertEqual(self.hub.repositories, {})


if __name__ == "__main__":
    sys.exit("run tests/cli/run.sh")
