"""Checkpoints whose tensors are missing, too many, or of the wrong kind."""

from harness import Case, edit_json, packed, read_tensors, write_tensors

NORM = "language_model.base_model.model.model.norm.weight"
Q_PROJ = "language_model.base_model.model.model.layers.0.self_attn.q_proj"


class Tensors(Case):
    """model.safetensors of the golden checkpoint "base", with changes."""

    def change(self, folder, change) -> None:
        """change(tensors) edits {name: (entry, data)} in place."""
        header, data = read_tensors(folder / "model.safetensors")
        tensors = {name: (entry, data) for name, entry in header.items()}
        change(tensors)
        write_tensors(folder / "model.safetensors", *packed(tensors))

    def refuse_changed(
        self, change, has, code="mismatch", commands=("merge", "press", "export"), source="base"
    ) -> None:
        with self.fresh(source) as folder:
            self.change(folder, change)
            self.refuse_checkpoint(folder, code=code, has=[str(folder), *has], commands=commands)

    def test_missing(self):
        """All missing tensors stand in one message."""
        names = [
            "vision_encoder.vision_model.post_layernorm.bias",
            "projection.projection.bias",
            NORM,
        ]

        def change(tensors):
            for name in names:
                del tensors[name]

        has = [
            "3 missing",
            "vision_encoder.post_layernorm.bias [32]",
            "projection.projection.bias [64]",
            "language_model.model.norm.weight [64]",
        ]
        self.refuse_changed(change, has)

    def test_no_tensors(self):
        self.refuse_changed(
            lambda tensors: tensors.clear(),
            ["missing", "language_model.model.embed_tokens.weight [320, 64]"],
        )

    def test_unused(self):
        def change(tensors):
            tensors["language_model.base_model.model.model.layers.7.mlp.up_proj.weight"] = tensors[
                NORM
            ]
            tensors["projection.extra.weight"] = tensors[NORM]

        self.refuse_changed(
            change,
            [
                "2 unused",
                "language_model.model.layers.7.mlp.up_proj.weight",
                "projection.extra.weight",
            ],
        )

    def test_strangers(self):
        """Tensors that belong to no part are named too, escape sequences made harmless."""

        def change(tensors):
            tensors["optimizer.state"] = tensors[NORM]
            tensors["\x1b[31m\nred\u009b31m"] = tensors[NORM]

        self.refuse_changed(
            change,
            ["optimizer.state", "belong to no part", "?[31m red?31m"],
            commands=("inspect", "merge", "press"),
        )

    def test_wrong_shape(self):
        def change(tensors):
            entry, data = tensors[NORM]
            tensors[NORM] = ({**entry, "shape": [8, 8]}, data)

        self.refuse_changed(change, ["language_model.model.norm.weight is [8, 8], expected [64]"])

    def test_wrong_dtype(self):
        def change(tensors):
            entry, data = tensors[NORM]
            tensors[NORM] = ({**entry, "dtype": "I32"}, data)

        self.refuse_changed(
            change, ["language_model.model.norm.weight is int32, expected a float dtype"]
        )

    def test_integers_under_a_lora(self):
        def change(tensors):
            entry, data = tensors[Q_PROJ + ".base_layer.weight"]
            tensors[Q_PROJ + ".base_layer.weight"] = ({**entry, "dtype": "I32"}, data)

        self.refuse_changed(change, ["layers.0.self_attn.q_proj.weight", "is int32"])

    def test_one_tensor_under_two_names(self):
        def change(tensors):
            tensors["language_model.base_model.model.model.layers.0.self_attn.q_proj.weight"] = (
                tensors[Q_PROJ + ".base_layer.weight"]
            )

        has = ["q_proj.weight", "q_proj.base_layer.weight", "two names"]
        self.refuse_changed(
            change, has, code="invalid_file", commands=("inspect", "merge", "press")
        )

    def test_lora_halves(self):
        for half, other in (("lora_A", "lora_B"), ("lora_B", "lora_A")):
            with self.subTest(half):
                name = f"{Q_PROJ}.{half}.default.weight"
                has = [
                    "language_model.model.layers.0.self_attn.q_proj.weight",
                    f"{half} is missing",
                    other,
                ]
                self.refuse_changed(
                    lambda tensors, name=name: tensors.pop(name),
                    has,
                    commands=("inspect", "merge", "press"),
                )

    def test_lora_without_its_base(self):
        has = ["layers.0.self_attn.q_proj.weight", "trained for another base model"]
        self.refuse_changed(
            lambda tensors: tensors.pop(Q_PROJ + ".base_layer.weight"),
            has,
            commands=("inspect", "merge", "press"),
        )

    def test_rank(self):
        with self.fresh() as folder:
            edit_json(folder / "config.json", lambda config: config.update(lora_r=16))
            has = ["rank mismatch", "lora_A is [4, 64]", "r = 16", "correct lora_r"]
            self.refuse_checkpoint(folder, code="mismatch", has=has)

    def test_lora_that_does_not_fit(self):
        def change(tensors):
            name = Q_PROJ + ".lora_A.default.weight"
            entry, data = tensors[name]
            begin = entry["data_offsets"][0]
            tensors[name] = (
                {**entry, "shape": [4, 32], "data_offsets": [begin, begin + 512]},
                data,
            )

        self.refuse_changed(
            change,
            ["q_proj.weight", "A [4, 32]", "[64, 64]", "another base model"],
            commands=("inspect", "merge", "press"),
        )

    def test_dora_magnitude(self):
        def change(tensors):
            name = next(name for name in tensors if "lora_magnitude_vector" in name)
            entry, data = tensors[name]
            begin = entry["data_offsets"][0]
            tensors[name] = ({**entry, "shape": [2], "data_offsets": [begin, begin + 8]}, data)

        self.refuse_changed(
            change,
            ["magnitude is [2]", "another base model"],
            source="dora",
            commands=("inspect", "merge", "press"),
        )

    def test_two_adapters_and_no_default(self):
        def change(tensors):
            for name in list(tensors):
                if ".default." in name:
                    tensors[name.replace(".default.", ".one.")] = tensors[name]
                    tensors[name.replace(".default.", ".two.")] = tensors.pop(name)

        self.refuse_changed(
            change,
            ["one, two", '"default"'],
            code="unsupported",
            commands=("inspect", "merge", "press"),
        )
