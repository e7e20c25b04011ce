"""--engine of every command that runs a folder, and what works where no ONNX Runtime is found."""

import json
import os

from harness import BASE, CHECKPOINTS, Case

IMAGE = BASE / "golden/image0.png"
TEXT = CHECKPOINTS.parent / "text/opt/merged"


class WithoutOnnxRuntime(Case):
    """As on a machine where no libonnxruntime is found."""

    def setUp(self):
        super().setUp()
        self.env = {**os.environ, "LORAPRESS_ORT": str(self.tmp / "libnone.so")}

    def works(self, *words):
        return self.succeed(*words, env=self.env)

    def refused(self, *words):
        has = ["ONNX Runtime cannot be opened", "install", "LORAPRESS_ORT"]
        self.refuse(*words, code="runtime", has=has, env=self.env)

    def test_images(self):
        calibrated = ["--calibrate", BASE / "golden", "--rounding", "search"]
        self.works("press", BASE, self.out, "--dtype", "fp32,q4", *calibrated)
        self.refused("press", BASE, self.tmp / "other", "--engine", "ort")
        for command in (
            ["caption", self.out, IMAGE],
            ["bench", self.out, "--runs", "1", "--max-new-tokens", "4"],
            ["verify", BASE, self.out, "--dtype", "fp32"],
        ):
            self.works(*command)
            self.works(*command, "--engine", "native")
            self.refused(*command, "--engine", "ort")
        self.refused("verify", BASE, self.out, "--engine", "both")

    def test_text(self):
        self.works("press", TEXT, self.out)
        self.works("generate", self.out, "Hello")
        self.works("verify", TEXT, self.out)
        self.refused("generate", self.out, "Hello", "--engine", "ort")

    def test_loop(self):
        """What the own engine does not know is written, and a note says that it was not run."""
        text = self.works("press", BASE, self.out, "--bundle", "single", "--json")
        report = json.loads(text)
        untried = any("not tried" in note for note in report["notes"])
        self.assertNotEqual("caption" in report, untried, report["notes"])
