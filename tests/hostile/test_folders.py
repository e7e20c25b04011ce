"""Folders and files that are missing, of the wrong kind, or must not be read."""

import json
import os
import shutil

from harness import CHECKPOINTS, Case, edit_json

NOBODY = 65534


class Folders(Case):
    """What stands where a checkpoint should be."""

    def test_missing(self):
        for path in ("nowhere", "a/b/c", "x" * 300, "name\nwith\x1b[31m breaks"):
            with self.subTest(path):
                code = "io" if len(path) > 255 else "not_found"
                self.refuse("merge", self.tmp / path, self.out, code=code)
                self.refuse("inspect", self.tmp / path, code=code)
        self.refuse("merge", "", self.out, code="invalid_argument", has="CHECKPOINT is empty")
        self.refuse("inspect", "", code="invalid_argument", has="PATH is empty")
        self.refuse(
            "inspect",
            self.tmp / "nowhere",
            code="not_found",
            has=[str(self.tmp / "nowhere"), "no such file or folder"],
        )

    def test_empty_folder(self):
        folder = self.tmp / "empty"
        folder.mkdir()
        self.refuse_checkpoint(folder, code="not_found", has=[str(folder), "config.json"])

    def test_a_file(self):
        file = self.tmp / "config.json"
        file.write_text("{}")
        self.refuse("merge", file, self.out, code="not_found", has=[str(file), "folder"])
        self.refuse(
            "inspect",
            file,
            code="unsupported",
            has=[str(file), "expected a folder, an .onnx or a .safetensors"],
        )

    def test_no_weights(self):
        with self.fresh() as folder:
            (folder / "model.safetensors").unlink()
            self.refuse_checkpoint(folder, code="not_found", has=[str(folder), "model.safetensors"])
            (folder / "pytorch_model.bin").touch()
            self.refuse_checkpoint(
                folder, code="unsupported", has=["pickle", "safe_serialization=True"]
            )

    def test_run_folder(self):
        """A training run's folder: the newest checkpoint-N is what was meant."""
        with self.fresh() as folder:
            for step in (5, 20, 100):
                shutil.copytree(CHECKPOINTS / "base", folder / f"checkpoint-{step}")
            (folder / "model.safetensors").unlink()
            has = [f"did you mean {folder}/checkpoint-100?"]
            self.refuse_checkpoint(folder, code="not_found", has=["no model.safetensors", *has])
            (folder / "config.json").unlink()
            self.refuse_checkpoint(folder, code="not_found", has=["no config.json", *has])

    def test_kinds(self):
        """A FIFO, a folder, a device or a dangling link where a file should be. None may hang."""

        def fifo(path):
            os.mkfifo(path)

        def folder(path):
            path.mkdir()

        def device(path):
            path.symlink_to("/dev/zero")

        def loop(path):
            path.symlink_to(path)

        for kind in (fifo, folder, device, loop):
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                with self.subTest(kind=kind.__name__, name=name), self.fresh() as checkpoint:
                    (checkpoint / name).unlink()
                    kind(checkpoint / name)
                    code = "io" if kind is loop else "invalid_file"
                    commands = (
                        ("press",) if name == "tokenizer.json" else ("inspect", "merge", "press")
                    )
                    self.refuse_checkpoint(
                        checkpoint, code=code, has=[str(checkpoint / name)], commands=commands
                    )

    def test_fifo_as_the_path(self):
        for name in ("pipe", "pipe.safetensors", "pipe.onnx"):
            os.mkfifo(self.tmp / name)
            code = "invalid_file" if "." in name else "unsupported"
            self.refuse("inspect", self.tmp / name, code=code, has=[name])

    def test_permissions(self):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        self.tmp.chmod(0o777)
        with self.fresh() as folder:
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                with self.subTest(name):
                    (folder / name).chmod(0)
                    has = [str(folder / name), "Permission denied"]
                    self.refuse("merge", folder, self.out, code="io", has=has, **user)
                    (folder / name).chmod(0o644)
            folder.chmod(0)
            self.refuse(
                "merge", folder, self.out, code="io", has=[str(folder), "Permission denied"], **user
            )
            self.refuse(
                "inspect", folder, code="io", has=[str(folder), "Permission denied"], **user
            )
            folder.chmod(0o755)


class Shards(Case):
    """model.safetensors.index.json and its shards."""

    def refuse_index(self, change, has, code="invalid_file") -> None:
        with self.fresh("sharded") as folder:
            edit_json(folder / "model.safetensors.index.json", change)
            self.refuse_checkpoint(folder, code=code, has=has)

    def test_paths_that_leave(self):
        shutil.copy(CHECKPOINTS / "base/model.safetensors", self.tmp / "outside.safetensors")
        for shard in (
            "../outside.safetensors",
            str(self.tmp / "outside.safetensors"),
            "a/../../outside.safetensors",
            "sub/x.safetensors",
        ):
            with self.subTest(shard):
                self.refuse_index(
                    lambda index, shard=shard: index["weight_map"].update(
                        {next(iter(index["weight_map"])): shard}
                    ),
                    ["model.safetensors.index.json", shard, "not the name of a file"],
                )

    def test_paths_that_are_no_files(self):
        for shard in ("..", ".", ""):
            with self.subTest(shard):
                self.refuse_index(
                    lambda index, shard=shard: index["weight_map"].update(x=shard),
                    ["model.safetensors.index.json", "not the name of a file"],
                )

    def test_wrong_types(self):
        self.refuse_index(lambda index: index.pop("weight_map"), ['"weight_map" is missing'])
        self.refuse_index(lambda index: index.update(weight_map=[]), ['"weight_map"'])
        self.refuse_index(lambda index: index["weight_map"].update(x=3), ['"x" is 3', "a string"])
        with self.fresh("sharded") as folder:
            (folder / "model.safetensors.index.json").write_text("[]")
            self.refuse_checkpoint(folder, code="invalid_file", has=['"weight_map"'])

    def test_missing_shard(self):
        with self.fresh("sharded") as folder:
            (folder / "model-00002-of-00004.safetensors").unlink()
            self.refuse_checkpoint(
                folder, code="not_found", has=["model-00002-of-00004.safetensors", "No such file"]
            )

    def test_missing_tensor(self):
        self.refuse_index(
            lambda index: index["weight_map"].update(
                {"ghost.weight": "model-00001-of-00004.safetensors"}
            ),
            ["ghost.weight", "model-00001-of-00004.safetensors"],
        )

    def test_twice(self):
        with self.fresh("sharded") as folder:
            shutil.copy(folder / "model-00001-of-00004.safetensors", folder / "again.safetensors")
            edit_json(
                folder / "model.safetensors.index.json",
                lambda index: index["weight_map"].update(x="again.safetensors"),
            )
            self.refuse_checkpoint(folder, code="invalid_file", has=["two shards"])


class Tokenizers(Case):
    """What generation needs beside the tensors."""

    def refuse_press(self, folder, code, has) -> None:
        self.refuse_checkpoint(folder, code=code, has=has, commands=("press", "export"))

    def test_missing(self):
        with self.fresh() as folder:
            (folder / "tokenizer.json").unlink()
            self.refuse_press(folder, "not_found", [str(folder), "no tokenizer.json", "--base DIR"])
            shutil.copytree(CHECKPOINTS / "base", self.tmp / "whole")
            self.succeed("press", folder, self.out, "--base", self.tmp / "whole")

    def test_broken(self):
        good = (CHECKPOINTS / "base/tokenizer.json").read_text()
        for name, content in {
            "empty": "",
            "cut off": good[: len(good) // 2],
            "an array": "[]",
            "no model": '{"version": "1.0"}',
            "an unknown model": good.replace('"BPE"', '"Nonsense"'),
            "merges of unknown tokens": good.replace('"merges":[', '"merges":["zzzz qqqq",'),
            "the word merges elsewhere": '{"merges": [["a", "b"]]}',
            "merges of numbers": '{"model": {"type": "BPE", "vocab": {}, "merges": [[1, 2]]}}',
        }.items():
            with self.subTest(name), self.fresh() as folder:
                (folder / "tokenizer.json").write_text(content)
                self.refuse_press(folder, "invalid_file", [str(folder / "tokenizer.json")])

    def test_no_end_of_text(self):
        with self.fresh() as folder:
            edit_json(
                folder / "config.json", lambda config: config["text_config"].pop("eos_token_id")
            )
            for name, content, code in [
                ("no eos_token", {}, "not_found"),
                ("an unknown eos_token", {"eos_token": "<none>"}, "not_found"),
                ("an eos_token of a wrong type", {"eos_token": {"content": 3}}, "invalid_file"),
                ("an array", [], "not_found"),
            ]:
                with self.subTest(name):
                    (folder / "tokenizer_config.json").write_text(json.dumps(content))
                    self.refuse_press(folder, code, [str(folder / "tokenizer_config.json")])

    def test_end_of_text_outside(self):
        with self.fresh() as folder:
            edit_json(
                folder / "config.json",
                lambda config: config["text_config"].update(eos_token_id=50_000),
            )
            self.refuse_press(folder, "mismatch", ["eos_token_id 50000", "vocabulary of 320"])
            (folder / "generation_config.json").write_text('{"eos_token_id": [0, "x"]}')
            self.refuse_press(folder, "invalid_file", ["generation_config.json", '"x"'])

    def test_generation_config(self):
        with self.fresh() as folder:
            path = folder / "generation_config.json"
            for settings, has in [
                ({"num_beams": 65}, ['"num_beams" is 65', "1 to 64"]),
                ({"repetition_penalty": "1.2"}, ['"repetition_penalty" is "1.2"', "a number"]),
                ({"early_stopping": "soon"}, ['"early_stopping" is "soon"', "never"]),
                ({"bad_words_ids": [[320]]}, ['"bad_words_ids" holds 320', "below 320"]),
                ({"suppress_tokens": [1] * 300_000}, ['"suppress_tokens"', "more than"]),
                ({"do_sample": True, "temperature": 0}, ['"temperature" is 0', "100"]),
                ({"suppress_tokens": [3], "forced_eos_token_id": 3}, ["forced_eos_token_id"]),
                ([], ["not a JSON object"]),
            ]:
                with self.subTest(has):
                    path.write_text(json.dumps(settings))
                    self.refuse_press(folder, "invalid_file", [str(folder), *has])
            path.write_text('{"num_beams": 2, "num_beams": 3}')
            self.refuse_press(folder, "invalid_file", [str(path), "num_beams"])
            path.write_text('{"x": "' + "x" * (9 << 20) + '"}')
            self.refuse_press(folder, "invalid_file", [str(path)])

    def test_preprocessor(self):
        with self.fresh() as folder:
            for name, content, code, has in [
                (
                    "another size",
                    {"size": {"height": 64, "width": 64}},
                    "mismatch",
                    ["64 x 64", "32 x 32"],
                ),
                (
                    "size of a wrong type",
                    {"size": {"height": "32", "width": 32}},
                    "invalid_file",
                    ['"height"'],
                ),
                ("no resize", {"do_resize": False}, "unsupported", ['"do_resize"']),
                (
                    "a crop of another size",
                    {
                        "do_center_crop": True,
                        "size": {"height": 32, "width": 32},
                        "crop_size": {"height": 16, "width": 16},
                    },
                    "unsupported",
                    ['"crop_size"', "16 x 16", "32 x 32"],
                ),
                ("an unknown filter", {"resample": 0}, "unsupported", ["resample 0", "3 bicubic"]),
                (
                    "two means",
                    {"image_mean": [0.5, 0.5], "image_std": [0.5] * 3},
                    "invalid_file",
                    ['"image_mean"', "three numbers"],
                ),
                ("no deviation", {"image_mean": [0.5] * 3}, "invalid_file", ['"image_std"']),
                (
                    "a deviation of 0",
                    {"image_mean": [0.5] * 3, "image_std": [0.5, 0, 0.5]},
                    "invalid_file",
                    ['"image_std"', "positive"],
                ),
                ("an array", [], "invalid_file", ["expected a JSON object"]),
            ]:
                with self.subTest(name):
                    (folder / "preprocessor_config.json").write_text(json.dumps(content))
                    self.refuse_press(folder, code, ["preprocessor_config.json", *has])
