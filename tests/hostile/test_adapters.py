"""Adapters that are broken, or belong to another model."""

import json
import shutil

from harness import CHECKPOINTS, Case, edit_json, packed, read_tensors, without, write_tensors


class Adapters(Case):
    """Folders as PEFT writes them, against the golden base they belong to."""

    def setUp(self):
        super().setUp()
        shutil.copytree(CHECKPOINTS / "adapter/base", self.tmp / "base")
        self.base = self.tmp / "base"
        self.adapter = self.tmp / "adapter"

    def refuse_adapter(self, code, has, change=None, tensors=None) -> None:
        """`change` edits adapter_config.json, `tensors` maps (header, data) of the file."""
        shutil.rmtree(self.adapter, ignore_errors=True)
        shutil.copytree(CHECKPOINTS / "adapter/adapter", self.adapter)
        file = self.adapter / "adapter_model.safetensors"
        if change:
            edit_json(self.adapter / "adapter_config.json", change)
        if tensors:
            write_tensors(file, *tensors(*read_tensors(file)))
        for command in ("merge", "press"):
            self.refuse(
                command,
                self.base,
                self.out,
                "--adapter",
                self.adapter,
                code=code,
                has=[str(self.adapter), *has],
            )

    def test_config(self):
        for name, change, code, has in [
            ("unknown peft_type", {"peft_type": "IA3"}, "unsupported", ["peft_type IA3", "LORA"]),
            ("r of 0", {"r": 0}, "invalid_file", ["r is 0", "from 1 to"]),
            ("r below 0", {"r": -4}, "invalid_file", ["r is -4"]),
            ("r of 2^62", {"r": 1 << 62}, "invalid_file", ["r is"]),
            ("r of a wrong type", {"r": "4"}, "invalid_file", ['"r" is "4"', "a whole number"]),
            ("another r", {"r": 8}, "mismatch", ["rank mismatch", "r = 8", "lora_A is [4,"]),
            (
                "lora_alpha beyond float32",
                {"lora_alpha": 1e300},
                "invalid_file",
                ["lora_alpha", "finite"],
            ),
            (
                "use_rslora of a wrong type",
                {"use_rslora": 1},
                "invalid_file",
                ['"use_rslora"', "true or false"],
            ),
            (
                "rank_pattern of a wrong type",
                {"rank_pattern": [1]},
                "invalid_file",
                ['"rank_pattern"'],
            ),
            (
                "a rank of a wrong type",
                {"rank_pattern": {"q_proj": "4"}},
                "invalid_file",
                ["rank_pattern", "q_proj"],
            ),
            ("a rank of 0", {"rank_pattern": {"q_proj": 0}}, "invalid_file", ["q_proj is 0"]),
            (
                "a rank of 1e300",
                {"rank_pattern": {"q_proj": 1e300}},
                "invalid_file",
                ["q_proj is 1e+300"],
            ),
            ("a rank of 2.5", {"rank_pattern": {"q_proj": 2.5}}, "invalid_file", ["q_proj is 2.5"]),
            (
                "another rank by pattern",
                {"rank_pattern": {".*": 2}},
                "mismatch",
                ["rank mismatch", "r = 2"],
            ),
        ]:
            with self.subTest(name):
                self.refuse_adapter(
                    code, has, change=lambda config, change=change: config.update(change)
                )

    def test_config_file(self):
        for name, content, has in [
            ("not JSON", "{", ["not valid JSON"]),
            ("an array", "[]", ["expected a JSON object"]),
            ("duplicate keys", '{"r": 4, "r": 8}', ["twice"]),
        ]:
            with self.subTest(name):
                shutil.rmtree(self.adapter, ignore_errors=True)
                shutil.copytree(CHECKPOINTS / "adapter/adapter", self.adapter)
                (self.adapter / "adapter_config.json").write_text(content)
                self.refuse(
                    "merge",
                    self.base,
                    self.out,
                    "--adapter",
                    self.adapter,
                    code="invalid_file",
                    has=["adapter_config.json", *has],
                )

    def test_files(self):
        self.adapter.mkdir()
        has = [str(self.adapter), "adapter_config.json", "save_pretrained"]
        self.refuse(
            "merge", self.base, self.out, "--adapter", self.adapter, code="not_found", has=has
        )
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            self.tmp / "no",
            code="not_found",
            has=["no adapter_config.json"],
        )
        shutil.copy(CHECKPOINTS / "adapter/adapter/adapter_config.json", self.adapter)
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            self.adapter,
            code="not_found",
            has=["adapter_model.safetensors"],
        )
        (self.adapter / "adapter_model.bin").touch()
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            self.adapter,
            code="unsupported",
            has=["pickle", "safe_serialization"],
        )

    def test_weight(self):
        adapter = CHECKPOINTS / "adapter/adapter"
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            f"{adapter}:inf",
            code="invalid_argument",
            has=["weight", "finite"],
        )
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            f"{adapter}:1e200",
            code="invalid_file",
            has=["finite"],
        )
        self.refuse(
            "merge",
            self.base,
            self.out,
            "--adapter",
            f"{adapter}:heavy",
            code="not_found",
            has=[":heavy"],
        )

    def test_another_base(self):
        has = [str(CHECKPOINTS / "adapter/adapter"), "trained for another base"]
        for other in ("odd", "gpt2"):
            with self.subTest(other):
                if (
                    json.loads((CHECKPOINTS / other / "config.json").read_text())["text_config"][
                        "model_type"
                    ]
                    != "llama"
                ):
                    continue
                self.refuse(
                    "merge",
                    CHECKPOINTS / other,
                    self.out,
                    "--adapter",
                    CHECKPOINTS / "adapter/adapter",
                    code="mismatch",
                    has=has,
                )

    def test_halves(self):
        def drop(half):
            return lambda header, data: without(
                header, data, [name for name in header if half in name][:1]
            )

        self.refuse_adapter("mismatch", ["lora_B is missing", "needs both"], tensors=drop("lora_B"))
        self.refuse_adapter("mismatch", ["lora_A is missing", "needs both"], tensors=drop("lora_A"))

    def test_integers(self):
        def integers(header, data):
            name = next(name for name in header if "lora_A" in name)
            return {**header, name: {**header[name], "dtype": "I32"}}, data

        self.refuse_adapter("unsupported", ["is int32", "expected floats"], tensors=integers)

    def test_twice(self):
        def twice(header, data):
            name = next(name for name in header if "lora_A" in name)
            tensors = {key: (entry, data) for key, entry in header.items()}
            return packed({**tensors, name.replace("lora_A.", "lora_A.default."): tensors[name]})

        self.refuse_adapter("invalid_file", ["lora_A", "twice"], tensors=twice)

    def test_alone(self):
        """An adapter given as the checkpoint, whose base is not here."""
        shutil.copytree(CHECKPOINTS / "adapter/adapter", self.adapter)
        edit_json(
            self.adapter / "adapter_config.json",
            lambda config: config.update(base_model_name_or_path="x" * 5000),
        )
        self.refuse("merge", self.adapter, self.out, code="io", has=["File name too long"])
        edit_json(
            self.adapter / "adapter_config.json",
            lambda config: config.update(base_model_name_or_path="../../etc"),
        )
        self.refuse("merge", self.adapter, self.out, code="not_found", has=["--base DIR"])
        self.succeed("merge", self.adapter, self.out, "--base", self.base)
