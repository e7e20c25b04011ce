"""The commands from Python: reports are those of --json; what is cancelled leaves nothing."""

import copy
import json
import os
import pickle
import signal
import time
import unittest

import numpy as np

import lorapress
from harness import BASE, CHECKPOINTS, Case, run
from pressed import folder

LORA = CHECKPOINTS / "adapter"


def plain(value):
    """A report without times and process memory, as JSON values."""
    if hasattr(value, "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        dropped = {"seconds", "peak_memory_bytes", "reference_seconds", "out"}
        return {k: plain(v) for k, v in value.items() if k not in dropped and v not in (None, "")}
    return [plain(v) for v in value] if isinstance(value, list) else value


class Reports(Case):
    def as_program(self, report, *command):
        """Every key that the program prints is in the dataclass, with its value."""
        result = run(*command, "--json")
        self.assertEqual(result.err, "")
        printed = plain(json.loads(result.out))
        self.assertEqual(
            {key: value for key, value in plain(report).items() if key in printed}, printed
        )

    def test_press(self):
        seen = []
        report = lorapress.press(
            BASE,
            self.tmp / "a",
            dtype=["fp32", "q4"],
            max_new_tokens=4,
            progress=lambda *call: seen.append(call),
        )
        self.assertEqual({phase for phase, _, _ in seen}, {"check", "write", "caption"})
        self.assertTrue(all(0 <= done <= total for _, done, total in seen))
        command = ["press", BASE, self.tmp / "b", "--dtype", "fp32,q4", "--max-new-tokens", "4"]
        self.as_program(report, *command)
        self.assertEqual(report.out, str(self.tmp / "a"))
        files = {file.path: (self.tmp / "a" / file.path).stat().st_size for file in report.files}
        self.assertEqual(files, {file.path: file.bytes for file in report.files})
        self.assertIn("onnx/decoder_model_merged_q4.onnx", files)
        for file in files:
            self.assertEqual(
                (self.tmp / "a" / file).read_bytes(), (self.tmp / "b" / file).read_bytes()
            )

    def test_press_with_every_kind_of_option(self):
        words = self.tmp / "words.txt"
        words.write_text("a\n")
        report = lorapress.export(
            BASE,
            self.tmp / "a",
            ops="standard",
            set={"repetition_penalty": 1.5, "eos_token_id": [0, 2]},
            bad_words=words,
            external_data=True,
            threads=1,
        )
        self.assertIsNone(report.caption)
        command = [
            "export",
            BASE,
            self.tmp / "b",
            "--ops",
            "standard",
            "--set",
            "repetition_penalty=1.5",
        ]
        command += [
            "--set",
            "eos_token_id=[0,2]",
            "--bad-words",
            words,
            "--external-data",
            "--threads",
            "1",
        ]
        self.as_program(report, *command)

    def test_settings_of_every_form(self):
        """A dict, also with numpy's numbers, one text, or several: the same folder."""
        forms = ({"num_beams": 2}, {"num_beams": np.int64(2)}, "num_beams=2", ["num_beams=2"])
        written = []
        for index, form in enumerate(forms):
            out = self.tmp / str(index)
            lorapress.export(BASE, out, set=form)
            written.append((out / "generation_config.json").read_text())
        self.assertIn('"num_beams": 2', written[0])
        self.assertEqual(written, written[:1] * len(forms))

    def test_merge_with_weighted_adapters(self):
        base, adapter = LORA / "base", LORA / "adapter"
        if not base.exists():
            base, adapter = BASE, None
        report = lorapress.merge(
            base, self.tmp / "a", adapter=adapter and (adapter, 0.5), dtype="fp16"
        )
        flags = ["--adapter", f"{adapter}:0.5"] if adapter else []
        self.as_program(report, "merge", base, self.tmp / "b", "--dtype", "fp16", *flags)
        a, b = ((self.tmp / name / "model.safetensors").read_bytes() for name in "ab")
        self.assertEqual(a, b)

    def test_quantize(self):
        model = folder() / "onnx/encoder_model.onnx"
        report = lorapress.quantize(
            model, self.tmp / "a.onnx", dtype="q4", block_size=16, asymmetric=True
        )
        command = [
            "quantize",
            model,
            self.tmp / "b.onnx",
            "--dtype",
            "q4",
            "--block-size",
            "16",
            "--asymmetric",
        ]
        self.assertEqual(run(*command).code, 0)
        self.assertEqual((self.tmp / "a.onnx").read_bytes(), (self.tmp / "b.onnx").read_bytes())
        self.assertGreater(report.quantized_matrices, 0)
        self.assertEqual(report.bytes_out, (self.tmp / "a.onnx").stat().st_size)
        self.assertEqual(
            report.kept, [lorapress.KeptMatrix(kept.name, kept.reason) for kept in report.kept]
        )

    def test_verify(self):
        report = lorapress.verify(BASE, folder(), progress=lambda *_: None)
        self.assertTrue(report.passed)
        self.assertEqual(report.dtypes[0].teacher_forced.match, 1.0)
        self.assertGreater(len(report.dtypes[0].layers), 2)
        self.as_program(report, "verify", BASE, folder())

    def test_inspect(self):
        for path in (BASE, folder(), folder() / "onnx/encoder_model.onnx"):
            self.assertEqual(
                lorapress.inspect(path), json.loads(run("inspect", path, "--json").out)
            )


class Errors(Case):
    def test_say_what_the_program_says(self):
        """With the options' own names: block_size where the program says --block-size."""
        (self.tmp / "there").mkdir()
        for options, flags, code in (
            ({"checkpoint": self.tmp / "none"}, [self.tmp / "none", self.out], "not_found"),
            ({"out": self.tmp / "there"}, [BASE, self.tmp / "there"], "exists"),
            ({"dtype": "q4", "block_size": 7}, None, "invalid_argument"),
            ({"dtype": "q5"}, [BASE, self.out, "--dtype", "q5"], "unsupported"),
            ({"uint8_input": True}, [BASE, self.out, "--uint8-input"], "invalid_argument"),
            ({"threads": 5000}, None, "invalid_argument"),
            ({"adapter": [3]}, None, "invalid_argument"),
            ({"adapter": 3}, None, "invalid_argument"),
            ({"adapter": ("a", float("nan"))}, None, "invalid_argument"),
            ({"adapter": (f"{LORA}\0x", 0.5)}, None, "invalid_argument"),
            ({"base": [f"{BASE}\0x"]}, None, "invalid_argument"),
            ({"checkpoint": f"{BASE}\0x"}, None, "invalid_argument"),
            ({"checkpoint": os.fsencode(BASE)}, None, "invalid_argument"),
            ({"out": self.tmp / "\udcff"}, None, "invalid_argument"),
            ({"set": 5}, None, "invalid_argument"),
            ({"set": {"temperature": float("nan")}}, None, "invalid_argument"),
            ({"set": {"suppress_tokens": object()}}, None, "invalid_argument"),
        ):
            given = {"checkpoint": BASE, "out": self.out, **options}
            with self.assertRaises(lorapress.LorapressError) as caught:
                lorapress.press(**given)
            error = caught.exception
            self.assertEqual(error.code, code, error)
            self.assertNotIn("\n", str(error))
            self.assertNotIn("options.", str(error))
            self.assertFalse(self.out.exists())
            if flags:
                said = run("press", *flags).err.removeprefix("lorapress: ").strip()
                for name in ("dtype", "force", "uint8_input", "num_beams", "step"):
                    said = said.replace("--" + name.replace("_", "-"), name)
                self.assertEqual(str(error), said)
            for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
                self.assertEqual((same.code, str(same)), (error.code, str(error)))

    def test_name_what_is_wrong(self):
        for options, message in (
            ({"out": self.tmp / "\udcff"}, "is not UTF-8"),
            ({"set": 5}, "set 5, expected a dict"),
            ({"set": {"temperature": float("nan")}}, "set: temperature: "),
            ({"adapter": 3}, "adapter: expected folders"),
            ({"checkpoint": f"{BASE}\0x"}, f'a path with a zero byte behind "{BASE}"'),
            ({"checkpoint": self.tmp / "a\nb"}, "a b: "),
        ):
            with self.assertRaises(lorapress.LorapressError) as caught:
                lorapress.export(**{"checkpoint": BASE, "out": self.out, **options})
            self.assertIn(message, str(caught.exception))
        for none in (None, 3, f"{BASE}\0x"):
            with self.assertRaises(lorapress.LorapressError) as caught:
                lorapress.inspect(none)
            self.assertIn(f"{none!r} is no path", str(caught.exception))

    def test_an_exception_of_the_callback_comes_out_and_nothing_stays(self):
        def stop(phase, done, total):
            raise ValueError(f"enough of {phase}")

        with self.assertRaisesRegex(ValueError, "enough of"):
            lorapress.press(BASE, self.out, progress=stop)
        self.assertEqual(list(self.tmp.iterdir()), [])

    def test_ctrl_c_cancels_and_nothing_stays(self):
        asked = []

        def interrupt(phase, done, total):
            if not asked:
                asked.append(phase)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)  # the main thread hears it, however busy the machine is

        with self.assertRaises(KeyboardInterrupt):
            lorapress.press(BASE, self.out, progress=interrupt)
        self.assertEqual(list(self.tmp.iterdir()), [])

    def test_progress_that_is_none(self):
        with self.assertRaisesRegex(lorapress.LorapressError, "progress"):
            lorapress.press(BASE, self.out, progress=3)


if __name__ == "__main__":
    unittest.main()
