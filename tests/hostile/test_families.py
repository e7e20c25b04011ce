"""Checkpoints with parts of another family, files that are missing, values that cannot be."""

import copy
import itertools
import json
import shutil
from pathlib import Path

from harness import ROOT, Case, edit_json, run

GOLDENS = ROOT / "tests/goldens"
# One checkpoint of every family; adapters are left out where the base lies apart.
FAMILIES = {
    "SigLIP and Llama": "checkpoints/base",
    "CLIP": "checkpoints/clip",
    "DINOv2": "checkpoints/dinov2",
    "ViT": "checkpoints/vit",
    "GPT-2": "checkpoints/gpt2",
    "OPT": "checkpoints/opt",
    "Phi-3": "checkpoints/phi3",
    "Qwen2": "checkpoints/qwen2",
    "Qwen3": "checkpoints/qwen3",
    "Mistral": "checkpoints/mistral",
    "SmolLM3": "checkpoints/smollm3",
    "BLIP": "cross/blip",
    "ViT to GPT-2": "cross/vitgpt2",
    "DeiT to TrOCR": "cross/trocr",
    "LLaVA": "llava/clip/base",
    "SmolVLM": "smolvlm/smolvlm/base",
    "Idefics3": "smolvlm/idefics3/base",
    "Llama alone": "text/llama/base",
}
# For any key of any file.
ABSURD = (0, -1, 2**31, 2**62, 2**64, 1e308, -0.5, 1.5, "x", "", None, [], {}, True, [2**62, 3])
FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
SAMPLES = 150


def leaves(document, at=()):
    """The paths of everything that is neither an object nor a list of objects."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*at, key))
    else:
        yield at


def put(document, path, value) -> None:
    """Sets what is at a path, in place."""
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


class Families(Case):
    """Whole checkpoints of every family, changed in one place."""

    def family(self, name: str) -> Path:
        """A writable copy, the only one at a time."""
        folder = self.tmp / "ckpt"
        shutil.rmtree(folder, ignore_errors=True)
        found = GOLDENS / FAMILIES[name]
        if not found.is_dir():
            found = found.parent
        shutil.copytree(found, folder, ignore=shutil.ignore_patterns("golden"))
        return folder

    def test_all_are_there(self):
        """A family without an odd value in it is exported."""
        for name in FAMILIES:
            with self.subTest(name):
                self.succeed("export", self.family(name), self.out, "--force")

    def test_config_of_another(self):
        for name, other in itertools.permutations(FAMILIES, 2):
            with self.subTest(weights=name, config=other):
                folder = self.family(name)
                stolen = self.family_config(other)
                (folder / "config.json").write_text(stolen)
                result = run("export", folder, self.out)
                self.assertEqual(result.code, 2, result)
                self.assertIn(str(folder), self.one_line(result.err))
                self.assertFalse(self.out.exists())

    @staticmethod
    def family_config(name: str) -> str:
        folder = GOLDENS / FAMILIES[name]
        return ((folder if folder.is_dir() else folder.parent) / "config.json").read_text()

    def test_missing_files(self):
        """The family's defaults are taken and said, or the file is named."""
        said_of = 0
        for name in FAMILIES:
            for file in FILES[1:]:
                folder = self.family(name)
                # DINOv2's default crop of 224 pixels is more than this decoder's positions.
                if not (folder / file).exists() or name == "DINOv2":
                    continue
                with self.subTest(name, file=file):
                    images = "image_mean" in (folder / file).read_text()
                    (folder / file).unlink()
                    said = self.succeed("export", folder, self.out, "--force")
                    if images:
                        self.assertIn("no preprocessor_config.json: the defaults of ", said)
                        said_of += 1
        self.assertGreater(said_of, 5)

    def test_no_chat_template(self):
        folder = self.family("SmolVLM")
        self.assertNotIn("chat template", self.succeed("export", folder, self.out))
        (folder / "chat_template.jinja").unlink()
        said = self.succeed("export", folder, self.out, "--force")
        self.assertIn("no chat template here or in a base; prompts are taken as they are", said)

    def test_more_tiles_than_positions(self):
        folder = self.family("SmolVLM")
        self.succeed("export", folder, self.out)
        image = GOLDENS / "smolvlm/image_200x150.png"
        self.succeed("caption", self.out, image, "--max-new-tokens", 2)
        edit_json(
            folder / "config.json",
            lambda config: config["text_config"].update(max_position_embeddings=64),
        )
        said = self.succeed("export", folder, self.out, "--force")
        self.assertIn("17 tiles of an image take 272 of the decoder's 64 positions", said)
        self.refuse(
            *("caption", self.out, image, "--max-new-tokens", 2),
            code="invalid_argument",
            has=["256 image and prompt tokens", "64 positions"],
        )

    def test_image_tokens_that_are_none(self):
        refused = 0
        for name in ("SmolVLM", "LLaVA"):
            for key in ("image_token_id", "image_token_index"):
                for value in (-1, 5, 1 << 40, None):
                    folder = self.family(name)
                    config = json.loads((folder / "config.json").read_text())
                    if key not in config or config[key] == value:
                        continue
                    with self.subTest(name, key=key, value=value):
                        config[key] = value
                        (folder / "config.json").write_text(json.dumps(config))
                        result = run("export", folder, self.out)
                        self.assertEqual(result.code, 2, result)
                        self.one_line(result.err)
                        refused += 1
        self.assertGreater(refused, 6)

    def test_absurd_values(self):
        """Any value of any key: exported, or refused in one line; never a crash or a hang."""
        places = []
        for name in FAMILIES:
            folder = self.family(name)
            for file in FILES:
                if (folder / file).exists():
                    document = json.loads((folder / file).read_text())
                    places += [(name, file, document, path) for path in leaves(document)]
        for name, file, document, path in self.random.sample(places, SAMPLES):
            value = self.random.choice(ABSURD)
            with self.subTest(name, file=file, path=path, value=value):
                changed = copy.deepcopy(document)
                put(changed, path, value)
                folder = self.family(name)
                (folder / file).write_text(json.dumps(changed))
                shutil.rmtree(self.out, ignore_errors=True)
                result = run("export", folder, self.out)
                self.assertIn(result.code, (0, 2), result)
                if result.code == 2:
                    self.one_line(result.err)
                    self.assertFalse(self.out.exists())
