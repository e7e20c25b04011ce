"""lorapress caption: options out of range, seeds and batches."""

import shutil

from harness import BASE, Case, edit_json

IMAGES = [BASE / f"golden/image{i}.png" for i in range(3)]


class Pressed(Case):
    """One pressed folder for all tests of a class, never written to."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        holder = Case("setUp")
        holder.setUp()
        cls.addClassCleanup(holder.doCleanups)
        cls.model = holder.tmp / "model"
        holder.succeed("press", BASE, cls.model)


class Options(Pressed):
    """What the command line refuses."""

    def test_out_of_range(self):
        for option, values in {
            "--num-beams": ["0", "-1", "65", "1000000000", "99999999999999999999", "1.5", "many"],
            "--temperature": ["0", "-1", "1e-30", "nan", "inf", "-inf", "warm"],
            "--top-k": ["-1", "9999999999", "x"],
            "--top-p": ["0", "-0.5", "1.0001", "nan", "inf"],
            "--seed": ["-1", "4294967296", "1.5", "x"],
            "--repetition-penalty": ["0", "-1", "nan", "1e9"],
            "--no-repeat-ngram-size": ["-1", "9999999999"],
            "--length-penalty": ["nan", "inf", "11", "-11", "long"],
            "--early-stopping": ["yes", "1", "True"],
            "--max-new-tokens": ["0", "-1", "99999999"],
            "--min-new-tokens": ["-1", "99999999"],
            "--batch": ["0", "-1", "257", "x"],
        }.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    self.refuse(
                        "caption",
                        self.model,
                        IMAGES[0],
                        f"{option}={value}",
                        code="invalid_argument",
                        has=option,
                    )

    def test_together(self):
        for arguments, has in [
            (["--num-beams", "3", "--temperature", "1"], ["--num-beams 3 with sampling"]),
            (["--num-beams", "2", "--seed", "1"], ["--num-beams 2 with sampling"]),
            (["--min-new-tokens", "9", "--max-new-tokens", "8"], ["--min-new-tokens 9"]),
            (["--jsonl", "-", "--ids"], ["--jsonl with --json or --ids"]),
            (["--jsonl", ""], ["--jsonl"]),
        ]:
            with self.subTest(arguments):
                self.refuse(
                    "caption", self.model, IMAGES[0], *arguments, code="invalid_argument", has=has
                )

    def test_options_come_before_the_model(self):
        self.refuse(
            "caption", self.tmp / "no", "no.png", "--top-p", "0", code="invalid_argument", has="0"
        )

    def test_at_the_limits(self):
        for arguments in (
            ["--num-beams", "64", "--length-penalty", "-10", "--early-stopping", "never"],
            ["--temperature", "100", "--top-k", "1048576", "--top-p", "1", "--seed", "4294967295"],
            ["--temperature", "0.001", "--top-k", "1", "--top-p", "0.001"],
            ["--repetition-penalty", "100", "--no-repeat-ngram-size", "1"],
            ["--batch", "256", "--min-new-tokens", "30"],
        ):
            with self.subTest(arguments):
                self.succeed("caption", self.model, IMAGES[0], *arguments)

    def test_more_beams_than_tokens(self):
        model = self.tmp / "model"
        shutil.copytree(self.model, model)
        edit_json(
            model / "lorapress.json",
            lambda m: m["generation"].update(eos_token_id=list(range(10))),
        )
        self.refuse(
            "caption",
            model,
            IMAGES[0],
            "--num-beams",
            "40",
            code="invalid_argument",
            has=["40 beams need 440 tokens", "320", "--num-beams"],
        )

    def test_every_token_forbidden(self):
        self.refuse(
            "caption",
            self.model,
            IMAGES[0],
            *["--no-repeat-ngram-size", "1", "--max-new-tokens", "400"],
            *["--min-new-tokens", "400"],
            code="runtime",
            has=["forbid every token"],
        )

    def test_dtype_per_graph(self):
        plain = self.succeed("caption", self.model, IMAGES[0])
        for wish in (
            "auto",
            "encoder=fp32",
            "decoder=fp32",
            "encoder=fp32,prefill=fp32,decoder=fp32",
        ):
            self.assertEqual(self.succeed("caption", self.model, IMAGES[0], "--dtype", wish), plain)
        for wish, code, has in [
            ("encoder=q9", "not_found", ['no dtype "q9"', "fp32"]),
            ("decoder=", "not_found", ['no dtype ""']),
            ("prefill=q9", "not_found", ['no dtype "q9"', "fp32"]),
            (
                "vision=fp32",
                "invalid_argument",
                ["vision=fp32", "encoder=q8,prefill=q8,decoder=q4"],
            ),
            ("encoder=fp32,", "invalid_argument", ["encoder=q8,prefill=q8,decoder=q4"]),
            ("encoder=fp32,fp32", "invalid_argument", ["encoder=q8,prefill=q8,decoder=q4"]),
        ]:
            with self.subTest(wish):
                self.refuse("caption", self.model, IMAGES[0], "--dtype", wish, code=code, has=has)

    def test_a_folder_of_another_bundle(self):
        model = self.tmp / "model"
        shutil.copytree(self.model, model)
        edit_json(model / "lorapress.json", lambda m: m.update(bundle="single"))
        self.refuse(
            "caption",
            model,
            IMAGES[0],
            code="unsupported",
            has=['bundle "single"', '"transformers.js"', "--bundle transformers.js"],
        )


class Repeatable(Pressed):
    """Seeds and batches."""

    def test_seed(self):
        sampled = ["--temperature", "1.5", "--seed"]
        one = self.succeed("caption", self.model, *IMAGES, "--ids", *sampled, "5")
        self.assertEqual(self.succeed("caption", self.model, *IMAGES, "--ids", *sampled, "5"), one)
        self.assertNotEqual(
            self.succeed("caption", self.model, *IMAGES, "--ids", *sampled, "6"), one
        )
        alone = self.succeed("caption", self.model, IMAGES[1], "--ids", *sampled, "5")
        self.assertIn(alone.splitlines()[-1], one.splitlines())

    def test_batch_prints_the_same(self):
        for options in ([], ["--num-beams", "3"], ["--top-k", "7"]):
            with self.subTest(options):
                self.assertEqual(
                    self.succeed("caption", self.model, *IMAGES, *options, "--ids"),
                    self.succeed("caption", self.model, *IMAGES, *options, "--ids", "--batch", "2"),
                )
