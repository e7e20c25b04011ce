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

    def test_fields_that_change_the_result(self):
        for field, value, code, has in [
            ("layer_replication", [[0, 2]], "unsupported", ["repeated layers"]),
            ("alora_invocation_tokens", [5], "unsupported", ["aLoRA"]),
            ("arrow_config", {"top_k": 2}, "unsupported", ["Arrow"]),
            ("use_next_year", True, "unsupported", ["does not know", "PEFT that wrote it"]),
            ("next_year_config", {"rank": 3}, "unsupported", ["does not know"]),
            ("init_lora_weights", "pissa_niter_4", "unsupported", ["path_initial_model"]),
            ("init_lora_weights", "loftq", "unsupported", ["cannot be computed again"]),
            ("init_lora_weights", "corda", "unsupported", ["cannot be computed again"]),
            ("init_lora_weights", "lora_ga", "unsupported", ["set init_lora_weights to true"]),
            ("init_lora_weights", "next_year", "unsupported", ["is not known"]),
            ("init_lora_weights", 7, "invalid_file", ["expected"]),
            ("use_dora", True, "mismatch", ["lora_magnitude_vector"]),
            ("kasa_config", {}, "mismatch", ["lora_diag"]),
            ("use_bdlora", {"nblocks": 0}, "invalid_file", ["nblocks"]),
            ("use_bdlora", True, "invalid_file", ["an object"]),
        ]:
            with self.subTest(field, value=value):
                self.refuse_adapter(
                    code,
                    [field, *has],
                    change=lambda config, field=field, value=value: config.update({field: value}),
                )

    def test_fields_without_effect(self):
        """What a newer PEFT may write without having switched it on."""
        self.refuse_adapter("mismatch", ["r = 8"], change=lambda config: config.update(r=8))
        edit_json(
            self.adapter / "adapter_config.json",
            lambda config: config.update(
                r=4, next_year_config=None, use_next_year=False, lora_dropout=0.3, bias="all"
            ),
        )
        self.succeed("merge", self.base, self.out, "--adapter", self.adapter)

    def test_pattern_keys(self):
        for key, code, has in [
            ("(q_proj", "invalid_file", ["is not a regular expression"]),
            ("[q_proj", "invalid_file", ["is not a regular expression"]),
            ("*q_proj", "unsupported", ["a repeat of"]),
            ("(?R)", "unsupported", ["(?R"]),
            ("(*ACCEPT)", "unsupported", ["(*"]),
            ("[[:alpha:]]*", "unsupported", ["[: in a set"]),
            ("(.+)+(.+)+(.+)+[A-Z]", "unsupported", ["too many steps"]),
            ("((x{200}){200}){200}", "invalid_file", ["is not a regular expression"]),
            ("q" * 5000, "invalid_file", ["5000 characters"]),
        ]:
            with self.subTest(key[:30]):
                self.refuse_adapter(
                    code,
                    ["alpha_pattern", *has],
                    change=lambda config, key=key: config.update(alpha_pattern={key: 3}),
                )

    def test_unused_tensors(self):
        def added(name):
            def add(header, data):
                tensors = {key: (entry, data) for key, entry in header.items()}
                some = next(entry for key, entry in header.items() if "lora_A" in key)
                return packed({**tensors, name: (some, data)})

            return add

        layer = "base_model.model.model.layers.0.self_attn"
        for name, code, has in [
            (f"{layer}.q_proj.hada_w1_a", "mismatch", ["q_proj.hada_w1_a", "another base"]),
            (f"{layer}.q_proj.lora_gate.weight", "unsupported", ["lora_A, lora_B"]),
            (f"{layer}.z_proj.weight", "mismatch", ["z_proj.weight"]),
            (f"{layer}.q_proj.lora_diag", "mismatch", ["kasa_config says no"]),
            (f"{layer}.q_proj.lora_magnitude_vector", "mismatch", ["use_dora says no"]),
        ]:
            with self.subTest(name):
                self.refuse_adapter(code, has, tensors=added(name))

    def test_inside_a_checkpoint(self):
        """The same fields in the config.json of a trainer that keeps its adapter in one file."""
        with self.fresh("dora") as folder:
            for field, value in [("alora_invocation_tokens", [5]), ("layer_replication", [[0, 2]])]:
                edit_json(
                    folder / "config.json",
                    lambda config, field=field, value=value: config.update({field: value}),
                )
                self.refuse(
                    "merge",
                    folder,
                    self.out,
                    code="unsupported",
                    has=[str(folder / "config.json"), field],
                )
                edit_json(folder / "config.json", lambda config, field=field: config.pop(field))
            edit_json(
                folder / "config.json",
                lambda config: config.update(alpha_pattern={"(": 1}),
            )
            self.refuse("merge", folder, self.out, code="invalid_file", has=["alpha_pattern"])

    def test_the_base_is_at_fault(self):
        """An adapter folder as the checkpoint: what its base lacks is said of the base."""
        shutil.copytree(CHECKPOINTS / "adapter/adapter", self.adapter)
        file = self.base / "model.safetensors"
        header, data = read_tensors(file)
        write_tensors(
            file, *without(header, data, [name for name in header if "up_proj" in name][:1])
        )
        message = self.refuse(
            "merge",
            self.adapter,
            self.out,
            "--base",
            self.base,
            code="mismatch",
            has=[f"{self.base}: tensors do not match config.json", "1 missing"],
        )
        self.assertNotIn(str(self.adapter), message)

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
