"""config.json that is broken, absurd, or of something else."""

import json

from harness import Case, edit_json


def text(key, value):
    """Changes the decoder's configuration."""
    return lambda config: config["text_config"].update({key: value})


def vision(key, value):
    """Changes the tower's."""
    return lambda config: config["vision_config"].update({key: value})


def top(key, value):
    """Changes the whole."""
    return lambda config: config.update({key: value})


def drop(key):
    """Leaves a key out."""

    def change(config):
        del config[key]

    return change


NOT_JSON = {
    "empty": (b"", ["config.json", "not valid JSON"]),
    "cut off": (b'{"model_type": "llama"', ["not valid JSON", "line 1, column 23"]),
    "two values": (b"{} {}", ["not valid JSON"]),
    "a comment": (b"{} // really", ["not valid JSON"]),
    "bytes": (b"\x00\xff\xfe\x1b[2J", ["not valid JSON"]),
    "not UTF-8": (b'{"model_type": "\xff"}', ["not valid JSON"]),
    "an array": (b"[1, 2]", ["expected a JSON object"]),
    "a string": (b'"llama"', ["expected a JSON object"]),
    "a number that is none": (b'{"a": 1e999}', ["not valid JSON"]),
    "duplicate keys": (b'{"model_type": "llama", "model_type": "gpt2"}', ['"model_type"', "twice"]),
    "a duplicate key with line breaks": (b'{"a\\n\\u001b[2J": 1, "a\\n\\u001b[2J": 2}', ["twice"]),
    "deep nesting": (b"[" * 200_000, ["nested deeper than 64 levels"]),
    "deep objects": (b'{"a":' * 200_000, ["nested deeper than 64 levels"]),
}

WRONG = {
    "no model_type": (
        drop("model_type"),
        "unsupported",
        ['model_type ""', "supported: prefix_conditioning_vlm"],
    ),
    "an unknown architecture": (
        top("model_type", "qwen3_omni"),
        "unsupported",
        ['model_type "qwen3_omni"', "prefix_conditioning_vlm, llava"],
    ),
    "model_type of a wrong type": (
        top("model_type", ["llama"]),
        "invalid_file",
        ['"model_type"', '["llama"]', "a string"],
    ),
    "an unknown tower": (
        vision("model_type", "swin"),
        "unsupported",
        ["vision_config", "swin", "siglip_vision_model"],
    ),
    "an unknown decoder": (
        text("model_type", "mamba"),
        "unsupported",
        ["text_config", "mamba", "llama"],
    ),
    "no vision_config": (drop("vision_config"), "not_found", ["vision_config", "--base DIR"]),
    "no text_config": (top("text_config", None), "not_found", ["text_config", "--base DIR"]),
    "an unknown projection": (
        top("projection_type", "qformer"),
        "unsupported",
        ["projection_type", "qformer", "linear", "mlp"],
    ),
    "an unknown activation": (
        text("hidden_act", "relu2"),
        "unsupported",
        ["hidden_act", "relu2", "silu"],
    ),
    "an unknown rope_type": (
        text("rope_scaling", {"rope_type": "yarn", "factor": 2.0}),
        "unsupported",
        ["yarn", "llama3"],
    ),
    "0 heads": (
        text("num_attention_heads", 0),
        "invalid_file",
        ['"num_attention_heads" is 0', "expected 1 to"],
    ),
    "0 heads in the tower": (
        vision("num_attention_heads", 0),
        "invalid_file",
        ["vision_config", '"num_attention_heads" is 0'],
    ),
    "0 key heads": (text("num_key_value_heads", 0), "invalid_file", ['"num_key_value_heads" is 0']),
    "0 layers": (vision("num_hidden_layers", 0), "invalid_file", ['"num_hidden_layers" is 0']),
    "negative": (
        text("hidden_size", -64),
        "invalid_file",
        ['"hidden_size" is -64', "expected 1 to"],
    ),
    "2^40": (text("hidden_size", 1 << 40), "invalid_file", ['"hidden_size" is 1099511627776']),
    "2^63": (
        text("vocab_size", 1 << 63),
        "invalid_file",
        ['"vocab_size" is 9223372036854775808', "a whole number"],
    ),
    "2^100": (text("vocab_size", 1 << 100), "invalid_file", ['"vocab_size"', "a whole number"]),
    "a million layers": (
        text("num_hidden_layers", 1_000_000),
        "invalid_file",
        ['"num_hidden_layers" is 1000000', "4096"],
    ),
    "a million heads": (
        text("num_attention_heads", 1 << 20),
        "invalid_file",
        ['"num_attention_heads"', "4096"],
    ),
    "endless rotary tables": (
        lambda config: config["text_config"].update(
            max_position_embeddings=1 << 24, head_dim=1 << 20
        ),
        "unsupported",
        ["max_position_embeddings 16777216", "head_dim 1048576", "rotary tables"],
    ),
    "a fraction": (
        text("num_hidden_layers", 2.5),
        "invalid_file",
        ['"num_hidden_layers" is 2.5', "a whole number"],
    ),
    "a string": (
        text("hidden_size", "64"),
        "invalid_file",
        ['"hidden_size" is "64"', "a whole number"],
    ),
    "a list": (text("rms_norm_eps", [1e-5]), "invalid_file", ['"rms_norm_eps"', "a number"]),
    "a string for a truth": (
        text("tie_word_embeddings", "yes"),
        "invalid_file",
        ['"tie_word_embeddings"', "true or false"],
    ),
    "eps 0": (vision("layer_norm_eps", 0), "invalid_file", ['"layer_norm_eps" is 0']),
    "rope_theta beyond float32": (
        text("rope_theta", 1e300),
        "invalid_file",
        ['"rope_theta" is 1e+300'],
    ),
    "heads that do not divide": (
        lambda config: config["text_config"].update(head_dim=None, num_attention_heads=6),
        "invalid_file",
        ["64 is not a multiple of 6"],
    ),
    "groups that do not divide": (
        text("num_key_value_heads", 3),
        "invalid_file",
        ["num_attention_heads", "4", "3"],
    ),
    "an odd head_dim": (text("head_dim", 15), "invalid_file", ["head_dim", "15"]),
    "a tower of 4 channels": (vision("num_channels", 4), "unsupported", ["num_channels is 4"]),
    "patches larger than the image": (
        vision("patch_size", 64),
        "invalid_file",
        ["image_size 32", "patch_size 64"],
    ),
    "an image of 2^20 pixels a side": (
        vision("image_size", 1 << 20),
        "invalid_file",
        ["image_size 1048576"],
    ),
    "eos of a wrong type": (
        text("eos_token_id", "</s>"),
        "invalid_file",
        ['"eos_token_id"', "</s>", "token ids"],
    ),
    "max_length 0": (top("max_length", 0), "invalid_file", ['"max_length" is 0']),
    "max_length of a wrong type": (
        top("max_length", {}),
        "invalid_file",
        ['"max_length"', "a whole number"],
    ),
    "lora_r 0": (top("lora_r", 0), "invalid_file", ["lora_r is 0", "from 1 to"]),
    "lora_alpha of a wrong type": (
        top("lora_alpha", "8"),
        "invalid_file",
        ['"lora_alpha" is "8"', "a number"],
    ),
    "lora_alpha beyond float32": (
        top("lora_alpha", 1e300),
        "invalid_file",
        ["lora_alpha", "finite"],
    ),
}

# Sizes that contradict the tensors: told when the graphs are made, not by inspect.
CONTRADICTS = {
    "hidden_size": (
        lambda config: config["text_config"].update(hidden_size=32, head_dim=8),
        ["of the wrong shape", "is [320, 64], expected [320, 32]"],
    ),
    "image_size": (
        vision("image_size", 64),
        ["position_embedding.weight is [16, 32], expected [64, 32]"],
    ),
    "more layers": (
        text("num_hidden_layers", 3),
        [
            "missing",
            "model.layers.2.self_attn.q_proj.weight [64, 64]",
            "model.layers.2.mlp.down_proj.weight",
        ],
    ),
    "fewer layers": (
        text("num_hidden_layers", 1),
        ["unused", "language_model.model.layers.1.mlp.down_proj.weight"],
    ),
    "biases": (text("attention_bias", True), ["missing", "q_proj.bias [64]"]),
    "an mlp projection": (
        top("projection_type", "mlp"),
        ["projection.projection.0.weight [2048, 32]", "unused", "projection.projection.weight"],
    ),
    "4096 layers": (text("num_hidden_layers", 4096), ["missing", "more"]),
}


class Config(Case):
    """The golden checkpoint "base" with another config.json."""

    def test_not_json(self):
        for name, (content, has) in NOT_JSON.items():
            with self.subTest(name), self.fresh() as folder:
                (folder / "config.json").write_bytes(content)
                self.refuse_checkpoint(folder, code="invalid_file", has=["config.json", *has])

    def test_large(self):
        with self.fresh() as folder:
            with (folder / "config.json").open("wb") as file:
                file.truncate(40 << 20)
            self.refuse_checkpoint(
                folder, code="invalid_file", has=["config.json", "41943040 bytes", "at most"]
            )

    def test_wrong(self):
        for name, (change, code, has) in WRONG.items():
            with self.subTest(name), self.fresh() as folder:
                edit_json(folder / "config.json", change)
                self.refuse_checkpoint(folder, code=code, has=[str(folder), *has])

    def test_contradicts_tensors(self):
        for name, (change, has) in CONTRADICTS.items():
            with self.subTest(name), self.fresh() as folder:
                edit_json(folder / "config.json", change)
                has = [str(folder), "do not match config.json", *has]
                self.refuse_checkpoint(
                    folder, code="mismatch", has=has, commands=["merge", "press", "export"]
                )

    def test_too_long_a_caption(self):
        with self.fresh() as folder:
            edit_json(folder / "config.json", top("max_length", 5000))
            self.refuse(
                "press",
                folder,
                self.out,
                code="invalid_argument",
                has=["5000 new tokens", "512 positions", "--max-new-tokens"],
            )
            self.refuse(
                "export",
                folder,
                self.out,
                "--max-new-tokens",
                500,
                code="invalid_argument",
                has=["500 new tokens"],
            )
            self.succeed("export", folder, self.out, "--max-new-tokens", 496)

    def test_null_means_default(self):
        with self.fresh() as folder:
            edit_json(
                folder / "config.json",
                lambda config: config["text_config"].update(rope_scaling=None, head_dim=None),
            )
            found = json.loads(self.succeed("inspect", folder, "--json"))
            self.assertEqual(found["text"]["rope_type"], "default")
