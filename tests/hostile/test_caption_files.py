"""lorapress caption --jsonl: folders of images and files of every kind."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess

from harness import PROGRAM, ROOT, run, started
from test_caption import IMAGES, Pressed


class Jsonl(Pressed):
    """caption FOLDER --jsonl."""

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

    def test_gif_bmp_and_tiff(self):
        """Are found by their names; one that cannot be read is one line, and the rest goes on."""
        root, goldens = self.tmp / "photos", ROOT / "tests/goldens/images"
        root.mkdir()
        good = ["gif_part.gif", "bmp_rle8.bmp", "tiff_tiles.tif", "tiff_turned_6.tif"]
        for name in good:
            shutil.copy(goldens / name, root / name)
        shutil.copy(goldens / "tiff_lzw.tif", root / "upper.TIFF")
        lab = (goldens / "tiff_strips.tif").read_bytes()
        tag = struct.pack("<HHIH", 262, 3, 1, 2)
        (root / "lab.tif").write_bytes(lab.replace(tag, struct.pack("<HHIH", 262, 3, 1, 8)))
        (root / "half.gif").write_bytes((root / "gif_part.gif").read_bytes()[:150])
        rows = self.lines(self.caption(root, "--jsonl", "-", "--batch", "3", code=1))
        bad = {os.path.basename(r["image"]): r["error"] for r in rows if "error" in r}
        self.assertEqual(
            {name: error["code"] for name, error in bad.items()},
            {"lab.tif": "unsupported", "half.gif": "invalid_file"},
        )
        self.assertIn("a TIFF image with photometric interpretation 8", bad["lab.tif"]["message"])
        self.assertIn("cannot decode this GIF image", bad["half.gif"]["message"])
        read = sorted(os.path.basename(r["image"]) for r in rows if "text" in r)
        self.assertEqual(read, sorted([*good, "upper.TIFF"]))

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
        whole = len(self.lines(file.read_text()))
        limit = file.stat().st_size * 2 // 3
        file.unlink()
        result = run(
            *("caption", self.model, root, "--jsonl", file),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        self.assertEqual(result.code, 2, result)
        self.one_line(result.err)
        self.assertIn(len(self.lines(file.read_text())), range(1, whole))

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
        names = [
            "a b.png",
            'q"uote.png',
            "\u00fc\u4e2d.png",
            "line\nbreak.png",
            "-dash.png",
            ".x.png",
        ]
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

    def wait_for_line(self, process, file) -> None:
        """Until the process writes to the file, or ends."""

        def size():
            return file.stat().st_size if file.exists() else 0

        before = size()
        self.wait_until(lambda: process.poll() is not None or size() > before, "a line more")

    def test_killed_and_continued(self):
        root = self.photos(60)
        file = self.tmp / "captions.jsonl"
        command = [PROGRAM, "caption", self.model, root, "--jsonl", file, "--batch", "1"]
        for _ in range(3):
            with started(command, stderr=subprocess.DEVNULL) as process:
                self.wait_for_line(process, file)
                process.kill()
        self.caption(root, "--jsonl", file)
        rows = self.lines(file.read_text())
        self.assertEqual(len(rows), 60)
        self.assertEqual(len({row["image"] for row in rows}), 60)

    def test_two_at_once(self):
        root = self.photos(200)
        file = self.tmp / "captions.jsonl"
        command = [PROGRAM, "caption", self.model, root, "--jsonl", file, "--batch", "1"]
        with started(command, stderr=subprocess.DEVNULL) as first:
            self.wait_for_line(first, file)
            self.assertIsNone(first.poll(), "it ended before it could be stopped")
            first.send_signal(signal.SIGSTOP)  # it holds the file
            second = run("caption", self.model, root, "--jsonl", file)
        self.assertEqual(second.code, 2, second)
        self.assertIn("another process", self.one_line(second.err))
