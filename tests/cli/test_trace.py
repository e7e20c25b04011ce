"""verify --trace and --against: the trace that Firefox's tests read."""

import copy
import json
import math

from harness import BASE, ROOT, Case, run

DEMO = ROOT / "models/demo"


class Trace(Case):
    """A trace of the demo model, and folders held against it."""

    def setUp(self):
        super().setUp()
        self.trace = self.tmp / "trace.json"
        self.succeed("press", DEMO, self.out, "--dtype", "fp32,q8")

    def write(self):
        """The trace of both dtypes."""
        arguments = ["--images", DEMO / "images", "--trace", self.trace]
        names = ["--trace-model-id", "mozilla/demo", "--trace-revision", "v1.0.0"]
        self.succeed("verify", DEMO, self.out, *arguments, *names, "--json")
        return json.loads(self.trace.read_text())

    def test_schema(self):
        trace = self.write()
        self.assertEqual(trace["schema_version"], 1)
        self.assertEqual(
            trace["models"], {"captioner": {"model_id": "mozilla/demo", "revision": "v1.0.0"}}
        )
        # A tolerance that the test does not know fails there.
        self.assertEqual(set(trace["tolerances"]), {"encoder_cosine_min", "step0_kld_max"})
        self.assertGreater(len(trace["examples"]), 1)
        for example in trace["examples"]:
            self.assertTrue(example["input"]["image"].startswith("data:image/png;base64,iVBOR"))
            step = example["outputs"]["captioner"]["step0"]
            self.assertEqual(step["top_logits"], sorted(step["top_logits"], reverse=True))
            shares = [math.exp(logit - step["log_partition"]) for logit in step["top_logits"]]
            self.assertAlmostEqual(sum(shares), 1.0, 6)
            self.assertTrue(example["result"])

    def test_against(self):
        trace = self.write()
        report = json.loads(self.succeed("verify", "--against", self.trace, self.out, "--json"))
        self.assertEqual([dtype["passed"] for dtype in report["dtypes"]], [True, True])
        self.assertEqual(report["dtypes"][0]["results_matched"], len(trace["examples"]))
        self.assertIn("agrees", self.succeed("verify", "--against", self.trace, self.out))

    def test_finds_faults(self):
        trace = self.write()
        outputs = "examples/0/outputs/captioner/"
        for path in [outputs + "encoder_pooled/3", outputs + "step0/top_logits/0"]:
            spoiled = copy.deepcopy(trace)
            place = spoiled
            *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
            for key in parents:
                place = place[key]
            place[last] += 3.0
            self.trace.write_text(json.dumps(spoiled))
            result = self.run_failing("verify", "--against", self.trace, self.out)
            self.assertIn("does not agree", result, path)
        # Preprocessing of another model, which the trace alone shows.
        self.trace.write_text(json.dumps(trace))
        manifest = self.out / "lorapress.json"
        manifest.write_text(manifest.read_text().replace("0.5", "0.4"))
        self.assertIn("FAIL", self.run_failing("verify", "--against", self.trace, self.out))

    def run_failing(self, *args):
        """Standard output of a check that fails."""
        result = run(*args)
        self.assertEqual(result.code, 1, result)
        return result.out

    def test_refuses(self):
        trace = self.write()
        wrong = {
            "text": "no trace",
            "version": json.dumps(trace | {"schema_version": 2}),
            "empty": json.dumps(trace | {"examples": []}),
            "examples": json.dumps(trace | {"examples": [{"id": "a"}]}),
            "tolerances": json.dumps(trace | {"tolerances": {}}),
            "image": json.dumps(trace).replace("base64,iVBOR", "base64,!!!!!"),
            "index": json.dumps(trace).replace('"top_indices": [', '"top_indices": [-1, '),
        }
        for name, text in wrong.items():
            with self.subTest(name):
                self.trace.write_text(text)
                code = "unsupported" if name == "version" else "invalid_file"
                self.refuse("verify", "--against", self.trace, self.out, code=code)
        self.trace.write_text(json.dumps(trace))
        other = self.tmp / "other"
        self.succeed("press", BASE, other)
        self.refuse("verify", "--against", self.trace, other, code="mismatch")
        self.refuse("verify", "--against", self.trace, DEMO, self.out, code="invalid_argument")
        self.refuse("verify", DEMO, code="invalid_argument", has=["MODEL_DIR"])
        self.refuse("verify", DEMO, self.out, "--trace", self.trace, code="exists", has=["--force"])
