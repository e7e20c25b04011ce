"""lorapress caption on options out of range, folders of images, and JSONL files of every kind."""

import json
import os
import shutil
import subprocess

from harness import BASE, PROGRAM, Case, edit_json, run

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

    def photos(self, count=3) -> "os.PathLike":
        """A folder of images in three folders."""
        root = self.tmp / "photos"
        for i in range(count):
            folder = root / ("", "b", "b/c")[i % 3]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(IMAGES[i % 3], folder / f"{i:03}.png")
        return root

    def lines(self, text: str) -> list[dict]:
        self.assertTrue(text.endswith("\n") or not text)
        return [json.loads(line) for line in text.splitlines()]


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
        for wish in ("encoder=fp32", "decoder=fp32", "encoder=fp32,decoder=fp32"):
            self.assertEqual(self.succeed("caption", self.model, IMAGES[0], "--dtype", wish), plain)
        for wish, code, has in [
            ("encoder=q9", "not_found", ['no dtype "q9"', "fp32"]),
            ("decoder=", "not_found", ['no dtype ""']),
            ("vision=fp32", "invalid_argument", ["vision=fp32", "encoder=q8,decoder=q4"]),
            ("encoder=fp32,", "invalid_argument", ["encoder=q8,decoder=q4"]),
            ("encoder=fp32,fp32", "invalid_argument", ["encoder=q8,decoder=q4"]),
        ]:
            with self.subTest(wish):
                self.refuse(
                    "caption", self.model, IMAGES[0], "--dtype", wish, code=code, has=has
                )

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
                    self.succeed(
                        "caption", self.model, *IMAGES, *options, "--ids", "--batch", "2"
                    ),
                )


class Jsonl(Pressed):
    """caption FOLDER --jsonl."""

    def caption(self, *arguments, code=0, **options) -> str:
        result = run("caption", self.model, *arguments, **options)
        self.assertEqual(result.code, code, result)
        if code == 0:
            self.assertEqual(result.err, "")
        return result.out

    def test_a_folder(self):
        root = self.photos(7)
        (root / "notes.txt").write_text("no image")
        (root / "B.JPG").write_bytes(IMAGES[0].read_bytes())
        file = self.tmp / "captions.jsonl"
        self.assertEqual(self.caption(root, "--jsonl", file), "")
        rows = self.lines(file.read_text())
        names = [row["image"] for row in rows]
        self.assertEqual(
            names,
            [
                str(root / name)
                for name in (
                    *["000.png", "003.png", "006.png", "B.JPG"],
                    *["b/001.png", "b/004.png", "b/c/002.png", "b/c/005.png"],
                )
            ],
        )
        self.assertEqual(
            list(rows[0]), ["image", "text", "ids", "encode_ms", "prefill_ms", "decode_ms"]
        )
        document = json.loads(self.succeed("caption", self.model, *names, "--json"))
        for row, wanted in zip(rows, document["captions"], strict=True):
            self.assertEqual((row["ids"], row["text"]), (wanted["ids"], wanted["text"]))
        printed = self.lines(self.caption(root, "--jsonl", "-", "--batch", "3"))
        self.assertEqual([r["ids"] for r in printed], [r["ids"] for r in rows])

    def test_resume(self):
        root = self.photos(6)
        file = self.tmp / "captions.jsonl"
        self.caption(root, "--jsonl", file, "--batch", "4")
        whole = file.read_text()
        self.caption(root, "--jsonl", file)
        self.assertEqual(file.read_text(), whole, "nothing was left to do")
        lines = whole.splitlines(keepends=True)
        for name, before in {
            "three lines": "".join(lines[:3]),
            "no lines": "",
            "half a line": "".join(lines[:3]) + lines[3][:40],
            "a few bytes": "".join(lines[:2]) + '{"im',
            "one byte": "{",
            "all but the last line break": whole[:-1],
            "all but two bytes": whole[:-2],
            "holes": lines[1] + lines[4],
        }.items():
            with self.subTest(name):
                file.write_text(before)
                self.caption(root, "--jsonl", file)
                rows = self.lines(file.read_text())
                self.assertEqual(len(rows), 6)
                self.assertEqual(
                    sorted(row["image"] for row in rows),
                    sorted(json.loads(line)["image"] for line in lines),
                )
                kept = before[: before.rfind("\n") + 1]
                self.assertTrue(file.read_text().startswith(kept))

    def test_one_bad_image_among_good_ones(self):
        root = self.photos(9)
        (root / "b/bad.png").write_bytes(b"no image")
        (root / "b/cut.png").write_bytes(IMAGES[0].read_bytes()[:60])
        (root / "gone.png").symlink_to(self.tmp / "nowhere")
        file = self.tmp / "captions.jsonl"
        result = run("caption", self.model, root, "--jsonl", file)
        self.assertEqual((result.code, result.out), (1, ""))
        self.assertEqual(len(result.err.splitlines()), 3)
        rows = self.lines(file.read_text())
        bad = {row["image"]: row["error"]["code"] for row in rows if "error" in row}
        self.assertEqual(
            bad,
            {
                str(root / "b/bad.png"): "unsupported",
                str(root / "b/cut.png"): "invalid_file",
                str(root / "gone.png"): "not_found",
            },
        )
        self.assertEqual(sum("text" in row for row in rows), 9)
        before = file.read_text()
        again = run("caption", self.model, root, "--jsonl", file)
        self.assertEqual(again.code, 1)
        self.assertIn("3 of these images failed in an earlier run", self.one_line(again.err))
        self.assertEqual(file.read_text(), before)

    def test_every_image_is_bad(self):
        root = self.tmp / "photos"
        root.mkdir()
        for i in range(20):
            (root / f"{i:02}.jpg").write_bytes(b"\xff\xd8\xff" + bytes([i]))
        result = run("caption", self.model, root, "--jsonl", "-")
        self.assertEqual(result.code, 1)
        self.assertEqual(len(self.lines(result.out)), 20)

    def test_files_that_are_no_captions_stay(self):
        root = self.photos(2)
        file = self.tmp / "file"
        for name, content in {
            "an image": IMAGES[0].read_bytes(),
            "text": b"a shopping list",
            "text in lines": b"eggs\nmilk\n",
            "other JSON lines": b'{"id": 1}\n{"id": 2}\n',
            "a line in between": b'{"image":"a","text":""}\nx\n{"image":"b","text":""}\n',
            "a torn line in between": b'{"image":"a","te\n{"image":"b","text":""}\n',
            "neither text nor error": b'{"image":"a"}\n',
            "a number for an image": b'{"image":"a","image":3,"text":""}\n',
            "zeros": bytes(100_000),
            "a line without end": b'{"image":"' + b"a" * (17 << 20),
            "deep": b'{"image":"a","text":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
        }.items():
            with self.subTest(name):
                file.write_bytes(content)
                self.refuse_jsonl(root, file)

    def refuse_jsonl(self, root, file) -> None:
        """--jsonl and --json exclude each other, so refuse() does not fit."""
        before = file.read_bytes()
        result = run("caption", self.model, root, "--jsonl", file)
        self.assertEqual((result.code, result.out), (2, ""), result)
        self.assertIn(str(file), self.one_line(result.err))
        self.assertEqual(file.read_bytes(), before)

    def test_places_that_cannot_be_written(self):
        root = self.photos(2)
        for target in (self.tmp, self.tmp / "no/such/file", "/dev/full"):
            with self.subTest(str(target)):
                result = run("caption", self.model, root, "--jsonl", target)
                self.assertEqual((result.code, result.out), (2, ""), result)
                self.one_line(result.err)
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run(
                [PROGRAM, "caption", self.model, root, "--jsonl", "-"],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        self.assertEqual(done.returncode, 2)

    def test_nothing_is_left_of_a_run_that_did_nothing(self):
        root = self.photos(1)
        file = self.tmp / "captions.jsonl"
        for arguments in (
            [self.tmp / "empty"],
            [root, "--max-new-tokens", "5000"],
            [root, "--prompt", "a b c " * 400],
        ):
            (self.tmp / "empty").mkdir(exist_ok=True)
            result = run("caption", self.model, *arguments, "--jsonl", file)
            self.assertEqual(result.code, 2, result)
            self.one_line(result.err)
            self.assertFalse(file.exists())

    def test_a_disk_that_fills_up(self):
        """The line that did not fit is not left in half."""
        root = self.photos(9)
        file = self.tmp / "captions.jsonl"
        self.caption(root, "--jsonl", file)
        limit = file.stat().st_size * 2 // 3
        file.unlink()
        result = subprocess.run(
            ["bash", "-c", f'ulimit -f {limit // 1024 + 1}; exec "$@"', "bash", PROGRAM]
            + ["caption", str(self.model), str(root), "--jsonl", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode == 0:
            self.skipTest("the captions fit the limit")
        self.assertEqual(result.returncode, 2, result)
        self.one_line(result.stderr)
        self.lines(file.read_text())

    def test_links(self):
        root = self.photos(3)
        (root / "loop").symlink_to(root)
        (root / "b/up").symlink_to("..")
        (root / "again").symlink_to(root / "b")
        os.mkfifo(root / "pipe.png")
        rows = self.lines(self.caption(root, "--jsonl", "-"))
        self.assertEqual(len(rows), 3)
        self.assertEqual(len({row["image"] for row in rows}), 3)

    def test_names_of_every_kind(self):
        root = self.tmp / "photos"
        root.mkdir()
        names = ["a b.png", "q\"uote.png", "\u00fc\u4e2d.png", "line\nbreak.png", "-dash.png", ".x.png"]
        for name in [os.fsencode(n) for n in names] + [b"\xff\xfe.png"]:
            (root / os.fsdecode(name)).write_bytes(IMAGES[0].read_bytes())
        file = self.tmp / "captions.jsonl"
        self.caption(root, "--jsonl", file)
        found = {row["image"] for row in self.lines(file.read_text())}
        self.assertEqual(len(found), 7)
        self.assertLessEqual({str(root / name) for name in names}, found)
        before = file.read_text()
        self.caption(root, "--jsonl", file)
        self.assertEqual(file.read_text(), before)

    def test_files_and_folders_together(self):
        root = self.photos(3)
        rows = self.lines(self.caption(IMAGES[2], root, IMAGES[0], "--jsonl", "-"))
        self.assertEqual(
            [row["image"] for row in rows],
            [
                str(p)
                for p in (
                    IMAGES[2],
                    *[root / "000.png", root / "b/001.png", root / "b/c/002.png"],
                    IMAGES[0],
                )
            ],
        )

    def test_killed_and_continued(self):
        root = self.photos(60)
        file = self.tmp / "captions.jsonl"
        command = [PROGRAM, "caption", self.model, root, "--jsonl", file, "--batch", "1"]
        for _ in range(3):
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
                size = file.stat().st_size if file.exists() else 0
                while process.poll() is None:
                    if file.exists() and file.stat().st_size > size:
                        break
                process.kill()
        self.caption(root, "--jsonl", file)
        rows = self.lines(file.read_text())
        self.assertEqual(len(rows), 60)
        self.assertEqual(len({row["image"] for row in rows}), 60)

    def test_two_at_once(self):
        root = self.photos(200)
        file = self.tmp / "captions.jsonl"
        command = [PROGRAM, "caption", self.model, root, "--jsonl", file, "--batch", "1"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
            while first.poll() is None and not (file.exists() and file.stat().st_size):
                pass
            os.kill(first.pid, 19)  # stopped: it holds the file
            second = run("caption", self.model, root, "--jsonl", file)
            first.kill()
        self.assertEqual(second.code, 2, second)
        self.assertIn("another process", self.one_line(second.err))
