"""Checkpoints that a quantizer saved: taken when they are bitsandbytes', refused by name if not."""

import shutil

from harness import ROOT, Case, edit_json, packed, read_tensors, without, write_tensors

BNB = ROOT / "tests/goldens/bnb"


class Quantized(Case):
    """The goldens of bitsandbytes, changed."""

    def quantized(self, name="nf4"):
        """A writable copy of a golden."""
        folder = self.tmp / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(BNB / name, folder)
        return folder

    def test_is_read(self):
        for name in ("nf4", "nf4_double", "fp4_storage", "int8"):
            with self.subTest(name):
                folder = self.quantized(name)
                self.assertIn("dequantized", self.succeed("merge", folder, self.out))
                shutil.rmtree(self.out)

    def test_of_another_quantizer(self):
        for method in ("gptq", "awq", "fp8", "compressed-tensors", "hqq"):
            with self.subTest(method):
                folder = self.quantized()
                edit_json(
                    folder / "config.json",
                    lambda config, method=method: config["quantization_config"].update(
                        quant_method=method
                    ),
                )
                self.refuse(
                    "merge",
                    folder,
                    self.out,
                    code="unsupported",
                    has=[str(folder / "config.json"), "quantization_config", f'"{method}"'],
                )

    def test_broken_descriptions(self):
        for suffix, has in [
            (".absmax", [".absmax is missing"]),
            (".quant_map", [".quant_map is missing"]),
            (".quant_state.bitsandbytes__nf4", ["quantized"]),
            ("", [" is missing"]),
        ]:
            with self.subTest(suffix):
                folder = self.quantized()
                file = folder / "model.safetensors"
                header, data = read_tensors(file)
                gone = f"model.layers.0.self_attn.q_proj.weight{suffix}"
                self.assertIn(gone, header)
                write_tensors(file, *without(header, data, [gone]))
                code = "unsupported" if "quant_state" in suffix else "invalid_file"
                self.refuse(
                    "merge", folder, self.out, code=code, has=[str(folder), "q_proj.weight", *has]
                )

    def test_other_sizes(self):
        folder = self.quantized()
        file = folder / "model.safetensors"
        header, data = read_tensors(file)
        tensors = {name: (entry, data) for name, entry in header.items()}
        layer = "model.layers.0.self_attn"
        tensors[f"{layer}.q_proj.weight.absmax"] = tensors[f"{layer}.k_proj.weight.absmax"]
        write_tensors(file, *packed(tensors))
        self.refuse(
            "merge",
            folder,
            self.out,
            code="invalid_file",
            has=[f"{folder}: {layer}.q_proj.weight", "scales, expected 25"],
        )
