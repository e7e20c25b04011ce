"""What is captioned, and what is known to be done: without a cluster."""

import contextlib
import json
import os
import tarfile
import unittest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

import lorapress
from harness import Case
from lorapress.ray._inputs import find, read
from lorapress.ray._log import Log, Row
from pressed import IMAGES


class Inputs(Case):
    def test_folders_globs_tars_and_parquet_files_give_each_image_once(self):
        first, second = (path.read_bytes() for path in IMAGES[:2])
        photos = self.tmp / "photos"
        (photos / "deep").mkdir(parents=True)
        (photos / "b.PNG").write_bytes(first)
        (photos / "deep/a.jpg").write_bytes(second)
        (photos / "notes.txt").write_text("no image")
        (photos / "deep/loop").symlink_to(photos)
        with tarfile.open(self.tmp / "shard-0.tar", "w") as tar:
            for name in ("x.png", "x.txt", "y.png", "x.png"):
                tar.add(IMAGES[0], name)
        images = pa.array(
            [{"bytes": first, "path": None}, {"bytes": None, "path": str(IMAGES[1])}, None]
        )
        table = pa.table({"image": images, "raw": pa.array([first, second, b""])})
        parquet.write_table(table, self.tmp / "set.parquet", row_group_size=2)

        given = [
            str(photos),
            str(photos / "*/*.jpg"),
            str(photos / "b.PNG"),
            str(self.tmp / "shard-*.tar"),
        ]
        places = find([*given, str(self.tmp / "set.parquet")], "image")
        names = [place.image.removeprefix(f"{self.tmp}/") for place in places]
        expected = ["photos/b.PNG", "photos/deep/a.jpg", "shard-0.tar#x.png", "shard-0.tar#y.png"]
        self.assertEqual(names[:4], expected)
        self.assertRegex(names[4], r"^shard-0\.tar#x\.png@\d+$")
        self.assertEqual(names[5:], [f"set.parquet#{row}" for row in range(3)])

        values = [read(place) for place in places]
        self.assertEqual(values[:2], [str(photos / "b.PNG"), str(photos / "deep/a.jpg")])
        self.assertEqual(values[2:5], [first] * 3)
        self.assertEqual([value and value["bytes"] for value in values[5:]], [first, None, None])
        raw = find([str(self.tmp / "set.parquet")], "raw")
        self.assertEqual([read(place) for place in raw], [first, second, b""])

    def test_inputs_that_are_none(self):
        (self.tmp / "empty").mkdir()
        (self.tmp / "a.tar.gz").write_bytes(b"")
        (self.tmp / "b.tar").write_bytes(b"no tar")
        parquet.write_table(pa.table({"picture": [b""]}), self.tmp / "c.parquet")
        (self.tmp / "d.parquet").write_bytes(b"no parquet")
        (self.tmp / "e.tar").symlink_to(self.tmp / "nowhere")
        for given, code in (
            ("empty", "not_found"),
            ("*.jpg", "not_found"),
            ("a.tar.gz", "unsupported"),
            ("b.tar", "invalid_file"),
            ("c.parquet", "invalid_argument"),
            ("d.parquet", "invalid_file"),
            ("e.tar", "io"),
        ):
            with self.assertRaises(lorapress.LorapressError) as caught:
                find([str(self.tmp / given)], "image")
            self.assertEqual(caught.exception.code, code, given)
            self.assertIn(given.split("*")[0], str(caught.exception))

    def test_names_are_texts_and_places_absolute(self):
        (self.tmp / "photos").mkdir()
        name = os.path.join(os.fsencode(self.tmp), b"photos", b"n\xfc.png")
        with open(name, "wb") as file:
            file.write(IMAGES[0].read_bytes())
        with contextlib.chdir(self.tmp):
            (place,) = find(["photos"], "image")
        self.assertEqual(place.image, "photos/n\\xfc.png")
        self.assertEqual(os.fsencode(read(place)), name)

    def test_cells_that_cannot_be_read_are_errors_of_their_images(self):
        texts = pa.array([b"ok", b"\xff\xfe"], pa.binary()).cast(pa.string(), safe=False)
        parquet.write_table(pa.table({"image": texts}), self.tmp / "a.parquet")
        first, second = find([str(self.tmp / "a.parquet")], "image")
        self.assertEqual(read(first), "ok")
        with self.assertRaisesRegex(lorapress.LorapressError, r"^[^\n]*a\.parquet#1: [^\n]+$"):
            read(second)

    def test_a_tar_that_ends_early(self):
        with tarfile.open(self.tmp / "a.tar", "w") as tar:
            tar.add(IMAGES[0], "x.png")
        (place,) = find([str(self.tmp / "a.tar")], "image")
        file = Path(place.file)
        file.write_bytes(file.read_bytes()[: place.at + 10])
        with self.assertRaisesRegex(lorapress.LorapressError, "the tar ends inside"):
            read(place)


class Lines(Case):
    def setUp(self):
        super().setUp()
        self.file = self.tmp / "out.parquet"

    def test_are_continued_and_become_the_parquet_file(self):
        rows = [Row("a", "x\ny", None, None), Row("b", None, "io", "no"), Row("c", "z", None, None)]
        log = Log(self.file, {"model": "1"})
        log.add(rows[:1])
        log.add(rows[1:2])
        log.close()
        with open(log.lines, "a") as file:
            file.write('["c", "cut')
        log = Log(self.file, {"model": "1"})
        self.assertEqual(list(log.rows.values()), rows[:2])
        log.add(rows[2:])
        log.finish(["c", "b"])
        table = parquet.read_table(self.file)
        self.assertEqual(table.column_names, ["image", "caption", "error_code", "error"])
        self.assertEqual([Row(**row) for row in table.to_pylist()], [rows[0], rows[2], rows[1]])
        self.assertEqual(list(self.tmp.iterdir()), [self.file])
        log = Log(self.file, {"model": "1"})
        self.assertEqual(len(log.rows), 3)
        log.finish([])
        self.assertEqual(parquet.read_table(self.file).num_rows, 3)

    def test_of_a_run_that_captioned_nothing_do_not_bind_the_next(self):
        Log(self.file, {"model": "1"}).close()
        Log(self.file, {"model": "2"}).finish([])
        Log(self.file, {"model": "2"}).close()

    def test_of_other_models_and_other_files_are_refused(self):
        log = Log(self.file, {"model": "1"})
        with self.assertRaisesRegex(lorapress.LorapressError, "another process writes"):
            Log(self.file, {"model": "1"})
        log.add([Row("a", "x", None, None)])
        log.close()
        with self.assertRaises(lorapress.LorapressError) as caught:
            Log(self.file, {"model": "2"})
        self.assertEqual(caught.exception.code, "mismatch")
        for text in ("not ours", "not ours\n", json.dumps({"a": 1}) + "\n", "\n[]\n"):
            log.lines.write_text(text)
            with self.assertRaises(lorapress.LorapressError, msg=text):
                Log(self.file, {"model": "1"})
            self.assertEqual(log.lines.read_text(), text)
        log.lines.unlink()
        for out in ("", self.tmp, self.tmp / "missing/out.parquet"):
            with self.assertRaisesRegex(lorapress.LorapressError, r"^[^\n]+$", msg=out):
                Log(Path(out), {"model": "1"})
        parquet.write_table(pa.table({"a": [1]}), self.file)
        with self.assertRaisesRegex(lorapress.LorapressError, "was not made by lorapress"):
            Log(self.file, {"model": "1"})
        self.assertEqual(list(self.tmp.iterdir()), [self.file])


if __name__ == "__main__":
    unittest.main()
