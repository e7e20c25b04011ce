"""score and verify --references: layouts of files, reports, refusals."""

import json

from harness import BASE, ROOT, Case

GOLDEN = ROOT / "tests/goldens/score/metrics.json"


class Score(Case):
    """score on the goldens of pycocoevalcap, in every layout."""

    def setUp(self):
        super().setUp()
        sets = json.loads(GOLDEN.read_text())["sets"]
        self.set = next(one for one in sets if one["name"] == "small")
        self.folder = self.out.parent
        lines = [{"image": f"dir/{i['image']}", "text": i["caption"]} for i in self.set["images"]]
        self.candidates = self.write("c.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def layouts(self):
        """References in each layout."""
        images = self.set["images"]
        pairs = [(i["image"], text) for i in images for text in i["references"]]
        yield self.write(
            "r.jsonl", "".join(json.dumps({"file_name": n, "caption": t}) + "\n" for n, t in pairs)
        )
        yield self.write(
            "l.jsonl",
            "".join(
                json.dumps({"image": i["image"], "alt_text": i["references"]}) + "\n"
                for i in images
            ),
        )
        coco = {
            "images": [{"id": n, "file_name": i["image"]} for n, i in enumerate(images)],
            "annotations": [
                {"image_id": n, "caption": t} for n, i in enumerate(images) for t in i["references"]
            ],
        }
        yield self.write("coco.json", json.dumps(coco))
        karpathy = [
            {
                "filename": i["image"],
                "split": "test",
                "sentences": [{"raw": t} for t in i["references"]],
            }
            for i in images
        ]
        yield self.write("karpathy.json", json.dumps({"images": karpathy, "dataset": "own"}))
        quoted = [(n, t.replace('"', '""')) for n, t in pairs]
        yield self.write("r.csv", "image,caption\n" + "".join(f'{n},"{t}"\r\n' for n, t in quoted))
        yield self.write("r.txt", "".join(f"{n}#0\t{t}\n" for n, t in pairs))

    def test_layouts(self):
        golden = self.set["metrics"]
        for references in self.layouts():
            report = json.loads(self.succeed("score", self.candidates, references, "--json"))
            metrics = report["metrics"]
            self.assertAlmostEqual(metrics["cider"], golden["cider"], 6, references)
            self.assertAlmostEqual(metrics["bleu_4"], golden["bleu"][3], 6, references)
            self.assertAlmostEqual(metrics["rouge_l"], golden["rouge_l"], 6, references)
            self.assertAlmostEqual(metrics["meteor_exact_stem"], golden["meteor"], 6, references)
            self.assertEqual(report["images"], 12)
            self.assertEqual(report["notes"], [])
        self.assertIn("CIDEr-D", self.succeed("score", self.candidates, references))

    def test_refuses(self):
        references = next(iter(self.layouts()))
        wrong = {
            "none.jsonl": "",
            "half.jsonl": '{"image": "000.png", "text": "a',
            "deep.json": "[" * 5000,
            "list.jsonl": "[1]\n",
            "number.jsonl": '{"image": "000.png", "text": 3}\n',
            "nameless.jsonl": '{"text": "a dog"}\n',
            "other.jsonl": '{"image": "zzz.png", "text": "a dog"}\n',
            "long.jsonl": json.dumps({"image": "000.png", "text": "a" * 5000}),
            "columns.csv": "a,b\n1,2\n",
            "quote.csv": 'image,caption\n000.png,"a dog\n',
            "short.csv": "image,caption\n000.png\n",
            "bytes.bin": "\x00\x01\x02",
            "twice.csv": "image,caption\n000.png,a\n000.png,b\n",
            "coco.json": '{"annotations": [{"image_id": 1}]}',
            "karpathy.json": '{"images": [{"sentences": [3]}]}',
        }
        for name, text in wrong.items():
            with self.subTest(name):
                code = "mismatch" if name == "other.jsonl" else "invalid_file"
                self.refuse("score", self.write(name, text), references, code=code, has=[name])
        self.refuse("score", self.folder / "missing.jsonl", references, code="not_found")
        several = self.write("several.csv", "image,caption\n000.png,a\n000.png,b\n")
        self.refuse("score", several, references, code="invalid_file", has=["has 2 captions"])

    def test_verify(self):
        self.succeed("press", BASE, self.out)
        images = self.folder / "images"
        images.mkdir()
        for number in range(3):
            (images / f"{number}.png").write_bytes(
                (BASE / f"golden/image{number}.png").read_bytes()
            )
        first = json.loads(self.succeed("verify", BASE, self.out, "--images", images, "--json"))
        references = self.write(
            "own.jsonl",
            "".join(
                json.dumps({"image": i["image"], "text": i["text"]}) + "\n"
                for i in first["images"][:2]
            ),
        )
        page = self.folder / "page.html"
        arguments = ["verify", BASE, self.out, "--images", images, "--references", references]
        report = json.loads(self.succeed(*arguments, "--json", "--html", page))
        self.assertEqual(report["scored_images"], 2)
        self.assertIn("1 images have no reference captions", " ".join(report["notes"]))
        self.assertAlmostEqual(report["quality"]["rouge_l"], 1.0)
        self.assertEqual(
            report["dtypes"][0]["quality"]["to_reference"]["cider"],
            {"difference": 0.0, "low": 0.0, "high": 0.0},
        )
        self.assertIn("Captions against references", page.read_text())
        self.assertIn("CIDEr-D", self.succeed(*arguments))
        self.refuse(
            "verify",
            BASE,
            self.out,
            "--references",
            references,
            code="invalid_argument",
            has=["--images"],
        )
