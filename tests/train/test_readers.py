"""Every format gives the same pictures; every malformed set is one line; the split never mixes."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from sets import NAMES, WRITERS, told, write_coco, write_csv, write_flickr8k, write_jsonl
from train.data.collect import Picture, read_pictures
from train.data.split import split
from train.errors import TrainError


class Scratch(unittest.TestCase):
    """A folder of its own for each test."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def refused(self, *words: str) -> str:
        """The one line that says what is wrong with the folder."""
        with self.assertRaises(TrainError) as caught:
            read_pictures(str(self.folder))
        line = str(caught.exception)
        self.assertNotIn("\n", line)
        for word in words:
            self.assertIn(word, line)
        return line


class Readers(Scratch):
    def test_every_format_reads_the_same(self):
        for name, write in WRITERS.items():
            with self.subTest(name):
                folder = self.folder / name
                folder.mkdir()
                write(folder)
                pictures = read_pictures(str(folder))
                self.assertEqual([Path(p.name).name for p in pictures], NAMES)
                for picture in pictures:
                    own = picture.path.name
                    self.assertEqual(picture.captions, (told(own, 0), told(own, 1)))
                    self.assertEqual(picture.image().size, (16, 12))

    def test_shapes_are_drawn(self):
        pictures = read_pictures("shapes", count=12)
        self.assertEqual(len(pictures), 12)
        self.assertEqual(pictures[0].image().size, (64, 64))
        self.assertTrue(pictures[0].captions[0].startswith("Sky all around!"))

    def test_two_formats_ask_which(self):
        write_csv(self.folder)
        write_jsonl(self.folder)
        self.refused("captions.csv (csv)", "captions.jsonl (jsonl)", "FORMAT=csv")
        self.assertEqual(len(read_pictures(str(self.folder), "jsonl")), len(NAMES))


class Malformed(Scratch):
    def lines(self, *lines: str) -> None:
        """captions.csv of these lines."""
        write_csv(self.folder)
        table = self.folder / "captions.csv"
        table.write_text(table.read_text() + "".join(line + "\n" for line in lines))

    def test_no_folder(self):
        self.folder = self.folder / "nowhere"
        self.addCleanup(self.folder.mkdir, parents=True)
        self.refused("no such folder")

    def test_no_captions(self):
        self.refused("no captions", "captions.csv", "metadata.jsonl")

    def test_missing_image(self):
        self.lines("gone.png,a caption", "gone.png,another", "far.png,a third")
        self.refused("captions.csv: line 26", "gone.png is missing", "missing: 3 in all")

    def test_empty_caption(self):
        self.lines(f'{NAMES[0]},"  "')
        self.refused("line 26", f"the caption of {NAMES[0]} is empty")

    def test_caption_twice(self):
        self.lines(f'{NAMES[0]},"{told(NAMES[0])}"')
        self.refused("line 26", f"{NAMES[0]} has this caption already")

    def test_several_kinds_in_one_line(self):
        self.lines("gone.png,a caption", f"{NAMES[1]},")
        self.refused("gone.png is missing", "is empty")

    def test_wrong_column(self):
        write_csv(self.folder)
        table = self.folder / "captions.csv"
        table.write_text(table.read_text().replace("image,caption", "photo,caption", 1))
        self.refused("no column of images", "found photo, caption")

    def test_too_many_columns(self):
        self.lines(f"{NAMES[0]},an unquoted caption, with a comma")
        self.refused("line 26", "expected 2 columns, found 3")

    def test_not_enough_rows(self):
        write_csv(self.folder)
        table = self.folder / "captions.csv"
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:19]))
        self.refused("9 pictures with captions, expected 10 or more")

    def test_no_image_file(self):
        write_csv(self.folder)
        (self.folder / "images" / NAMES[3]).write_text("not a picture")
        self.refused(NAMES[3], "is no image")

    def test_same_name_twice(self):
        write_flickr8k(self.folder)
        shutil.copytree(self.folder / "Flicker8k_Dataset", self.folder / "copy")
        self.refused(NAMES[0], "is the name of")

    def test_broken_json_lines(self):
        write_jsonl(self.folder)
        table = self.folder / "captions.jsonl"
        for text, words in {
            '{"image": "a.png", "caption"': ("line 13", "not JSON"),
            '["a.png"]': ("line 13", "expected an object"),
            '{"image": 7, "caption": "x"}': ("line 13", "no name"),
            '{"image": "a.png", "caption": 7}': ("line 13", "no text"),
            '{"image": "a.png"}': ("line 13", "no column of captions"),
            "[" * 100_000: ("line 13", "not JSON"),
        }.items():
            with self.subTest(text[:30]):
                kept = table.read_text()
                table.write_text(kept + text + "\n")
                self.refused(*words)
                table.write_text(kept)

    def test_not_utf8(self):
        write_csv(self.folder)
        (self.folder / "captions.csv").write_bytes(b"image,caption\n\xff\xfe,x\n")
        self.refused("not UTF-8")

    def test_token_file_without_tab(self):
        write_flickr8k(self.folder)
        table = self.folder / "Flickr8k.token.txt"
        table.write_text(table.read_text() + f"{NAMES[0]}#3 no tab\n")
        self.refused("line 25", "a tab")

    def test_coco_of_an_unknown_image(self):
        write_coco(self.folder)
        path = self.folder / "annotations/captions_val2017.json"
        document = json.loads(path.read_text())
        document["annotations"][5]["image_id"] = 7
        path.write_text(json.dumps(document))
        self.refused("annotations[5]", "image_id 7")

    def test_coco_without_annotations(self):
        write_coco(self.folder)
        path = self.folder / "annotations/captions_val2017.json"
        path.write_text(json.dumps({"images": []}))
        self.refused("no field annotations")


class Splits(unittest.TestCase):
    pictures = tuple(Picture(f"p{i}", (f"a {i}", f"b {i}")) for i in range(105))

    def names(self, seed: int, sample=None, pictures=None) -> list[list[str]]:
        """Names of the three shares."""
        shares = split(list(pictures or self.pictures), seed, sample)
        return [[p.name for p in s] for s in (shares.train, shares.validation, shares.test)]

    def test_shares(self):
        train, validation, test = self.names(1)
        self.assertEqual([len(train), len(validation), len(test)], [85, 10, 10])
        self.assertEqual(len({*train, *validation, *test}), 105)

    def test_follows_from_the_seed_alone(self):
        self.assertEqual(self.names(1), self.names(1, pictures=self.pictures[::-1]))
        self.assertNotEqual(self.names(1), self.names(2))

    def test_sample(self):
        self.assertEqual([len(s) for s in self.names(1, 20)], [16, 2, 2])
        for sample in (9, 106):
            with self.assertRaises(TrainError) as caught:
                split(list(self.pictures), 1, sample)
            self.assertIn(f"SAMPLE {sample}", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
