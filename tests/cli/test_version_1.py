"""Folders that were pressed before format_version 2 of lorapress.json."""

import json

from harness import BASE, Case, edit_json

IMAGE = BASE / "golden/image0.png"


def version_1(manifest) -> None:
    """What lorapress.json was before graph_files and preferred_dtypes."""
    manifest["format_version"] = 1
    del manifest["graph_files"], manifest["preferred_dtypes"]


class VersionOne(Case):
    """Every command takes the old folder as it takes today's."""

    def test_every_command(self):
        self.succeed("press", BASE, self.out, "--dtype", "fp32,q8,q4", "--external-data")
        graphs = self.out / "onnx"
        calls = [
            *(("caption", self.out, IMAGE, "--ids", "--dtype", d) for d in ("fp32", "q8", "auto")),
            ("inspect", self.out),
        ]
        today = [self.succeed(*call) for call in calls]
        edit_json(self.out / "lorapress.json", version_1)
        self.assertEqual([self.succeed(*call) for call in calls], today)
        self.succeed("verify", BASE, self.out)
        row, *_ = json.loads(
            self.succeed("bench", self.out, "--runs", 1, "--max-new-tokens", 2, "--json")
        )["dtypes"]
        files = [path for path in graphs.iterdir() if ".onnx" in path.name]
        plain = [path for path in files if "_q4" not in path.name and "_quant" not in path.name]
        self.assertEqual(row["bytes"], sum(path.stat().st_size for path in plain))
        decoder = graphs / "decoder_model_merged.onnx"
        to = self.tmp / "q4.onnx"
        self.succeed("quantize", decoder, to, "--dtype", "q4", "--calibrate", IMAGE.parent)
