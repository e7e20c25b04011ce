"""hf:ORG/NAME: checkpoints from a stand-in of a hub, and the cache that Python shares."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hub_stand_in import OnHub, commit_of, git_blob

from harness import BASE, ROOT, run

PYTHON = ROOT / ".venv-train/bin/python"  # tools/test_deps.sh; with huggingface_hub
MODEL = "hf:my-org/tiny"


class FromHub(OnHub):
    """One model on one hub; the cache is empty before each test."""

    def setUp(self):
        super().setUp()
        files = {p.name: p.read_bytes() for p in BASE.iterdir() if p.is_file()}
        files |= {"onnx/model.onnx": b"old", "pytorch_model.bin": b"pickle", "README.md": b"# tiny"}
        self.repository = {"private": False, "files": files, "tags": {}, "messages": []}
        self.hub.repositories = {"my-org/tiny": self.repository}
        self.hub.gets, self.hub.cut, self.hub.spoilt = [], 0, False
        self.cache = self.tmp / "hf/hub"
        self.env = os.environ | {
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.tmp / "hf"),
            "HF_HUB_DISABLE_XET": "1",
        }
        self.env.pop("HF_TOKEN", None)

    def inspect(self, model=MODEL, **env):
        return run("inspect", model, "--json", env=self.env | env)

    def fetched(self) -> list[str]:
        return [path.rsplit("/", 1)[1] for path, _ in self.hub.gets if "/resolve/" in path]

    def refuses(self, done, *words):
        self.assertEqual(done.code, 2, done.err)
        self.assertEqual(done.err.count("\n"), 1, done.err)
        for word in words:
            self.assertIn(word, done.err)

    def client(self, code: str) -> str:
        """Run code with the hub's own client, offline."""
        env = self.env | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [str(PYTHON), "-c", code], env=env, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_a_press_takes_what_a_checkpoint_has_and_nothing_twice(self):
        done = run("press", MODEL, self.out, "--dtype", "q8", env=self.env)
        self.assertEqual(done.code, 0, done.err)
        wanted = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        self.assertEqual(sorted(self.fetched()), wanted)
        here = self.tmp / "here"
        self.assertEqual(run("press", BASE, here, "--dtype", "q8").code, 0)
        name = "onnx/decoder_model_merged_quantized.onnx"
        self.assertEqual((self.out / name).read_bytes(), (here / name).read_bytes())
        self.hub.gets = []
        self.assertEqual(self.inspect().code, 0)
        self.assertEqual(self.hub.gets, [])

    def test_adapters_come_from_the_hub_too(self):
        folder, models = BASE.parent / "adapter", {}
        for name in ("base", "adapter", "adapter_b"):
            files = {p.name: p.read_bytes() for p in (folder / name).iterdir() if p.is_file()}
            models[f"my-org/{name}"] = self.repository | {"files": files}
        self.hub.repositories = models
        base, one, two = (f"hf:{name}" for name in models)
        there, here = self.tmp / "there", self.tmp / "here"
        flags = ["--adapter", f"{one}@main:0.5", "--adapter", two]
        done = run("merge", base, there, *flags, env=self.env)
        self.assertEqual(done.code, 0, done.err)
        flags = ["--adapter", f"{folder / 'adapter'}:0.5", "--adapter", folder / "adapter_b"]
        self.assertEqual(run("merge", folder / "base", here, *flags).code, 0)
        self.assertEqual(
            (there / "model.safetensors").read_bytes(), (here / "model.safetensors").read_bytes()
        )
        self.refuses(
            run("merge", base, self.out, "--adapter", "hf:my-org/c", env=self.env), "my-org/c"
        )

    def test_the_python_client_finds_what_was_fetched(self):
        self.assertEqual(self.inspect().code, 0)
        folder = Path(
            self.client(
                "import huggingface_hub as h\n"
                "print(h.snapshot_download('my-org/tiny'))\n"
                "h.hf_hub_download('my-org/tiny', 'model.safetensors')"
            )
        )
        self.assertEqual(folder.name, commit_of(self.repository))
        for name in ("config.json", "model.safetensors"):
            self.assertTrue((folder / name).is_symlink())
            self.assertEqual((folder / name).read_bytes(), self.repository["files"][name])
        blobs = {p.name for p in (self.cache / "models--my-org--tiny/blobs").iterdir()}
        self.assertIn(git_blob(self.repository["files"]["config.json"]), blobs)

    def test_what_the_python_client_fetched_is_found(self):
        code = "import huggingface_hub as h; h.snapshot_download('my-org/tiny')"
        subprocess.run([str(PYTHON), "-c", code], env=self.env, check=True, capture_output=True)
        self.hub.gets = []
        self.assertEqual(self.inspect().code, 0)
        self.assertEqual(self.hub.gets, [])
        self.assertEqual(self.inspect(HF_HUB_OFFLINE="1", HF_ENDPOINT="").code, 0)

    def test_a_download_goes_on_where_it_ended(self):
        size = len(self.repository["files"]["model.safetensors"])
        self.hub.cut = size // 2
        self.assertEqual(self.inspect().code, 0)
        ranges = [part for path, part in self.hub.gets if path.startswith("/blobs/")]
        self.assertEqual(ranges, ["", f"bytes={size // 2}-"])

    def test_a_killed_one_goes_on_in_the_next_run(self):
        content = self.repository["files"]["model.safetensors"]
        self.assertEqual(self.inspect().code, 0)
        (blob,) = [p for p in self.cache.rglob("blobs/*") if len(p.name) == 64]
        blob.unlink()
        Path(f"{blob}.incomplete").write_bytes(content[:1000])
        self.hub.gets = []
        self.assertEqual(self.inspect().code, 0)
        self.assertIn("bytes=1000-", [part for _, part in self.hub.gets])
        self.assertEqual(blob.read_bytes(), content)

    def test_bytes_that_are_not_the_announced_ones_are_refused(self):
        self.hub.spoilt = True
        self.refuses(self.inspect(), "not those that the hub announced")
        self.assertEqual(list(self.cache.rglob("snapshots/*/*")), [])

    def test_offline_the_last_visit_counts(self):
        self.refuses(self.inspect(HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE", "not in the cache")
        self.assertEqual(self.inspect().code, 0)
        self.hub.gets = []
        done = self.inspect(HF_HUB_OFFLINE="1")
        self.assertEqual((done.code, self.hub.gets), (0, []))
        self.assertIn("note:", done.err)
        done = self.inspect(HF_ENDPOINT="http://127.0.0.1:1")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("note:", done.err)

    def test_private_models_need_the_token(self):
        self.repository["private"] = True
        self.refuses(self.inspect(), "status 401", "HF_TOKEN")
        self.assertEqual(self.inspect(HF_TOKEN="secret").code, 0)

    def test_names_and_hubs_that_are_none(self):
        for name in ("hf:tiny", "hf:a/b/c", "hf:../x/y", "hf:a/..", "hf:a/b@", "hf:a/b@../c"):
            self.refuses(self.inspect(name), name)
        self.refuses(self.inspect("hf:my-org/none"), "status 404")
        self.refuses(self.inspect(f"{MODEL}@v9"), "status 404")
        self.refuses(self.inspect(HF_ENDPOINT=""), "HF_ENDPOINT")
        self.refuses(self.inspect(HF_ENDPOINT="file:///etc"), "https://")

    def test_without_libcurl_only_the_cache_is_read(self):
        none = {"LORAPRESS_CURL": str(self.tmp / "libcurl.so.4")}
        self.refuses(self.inspect(**none), "libcurl cannot be opened", "so.4", "hf download")
        self.assertEqual(self.inspect().code, 0)
        self.assertEqual(self.inspect(**none, HF_HUB_OFFLINE="1").code, 0)

    def test_file_names_that_leave_the_folder_are_refused(self):
        self.repository["files"]["../../evil.json"] = b"{}"
        self.refuses(self.inspect(), "leaves its folder")
        self.assertFalse((self.tmp / "hf/evil.json").exists())

    def test_a_commit_is_a_revision(self):
        done = self.inspect(f"{MODEL}@{commit_of(self.repository)}")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(json.loads(done.out)["kind"], "checkpoint")


if __name__ == "__main__":
    sys.exit("run by tests/cli/run.sh")
