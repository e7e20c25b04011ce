"""Writes small data sets of every format, as their publishers lay them out."""

import csv
import json
from pathlib import Path

from PIL import Image

NAMES = [f"picture-{i:02}.png" for i in range(12)]


def draw(folder: Path, names=NAMES) -> None:
    """Pictures of one colour each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (16, 12), (20 * i, 100, 200 - 10 * i)).save(folder / name)


def told(name: str, k: int = 0) -> str:
    """A caption that belongs to one picture."""
    return f"caption {k} of {name}, with a comma"


def write_csv(folder: Path) -> None:
    """Two captions a picture in two rows."""
    draw(folder / "images")
    with (folder / "captions.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "caption"])
        table.writerows([name, told(name, k)] for name in NAMES for k in range(2))


def write_jsonl(folder: Path) -> None:
    """A list of captions a picture."""
    draw(folder)
    lines = [json.dumps({"image": n, "captions": [told(n, 0), told(n, 1)]}) for n in NAMES]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")


def write_imagefolder(folder: Path) -> None:
    """metadata.jsonl beside the pictures, in a folder below."""
    draw(folder / "train")
    lines = [json.dumps({"file_name": n, "text": told(n, k)}) for n in NAMES for k in range(2)]
    (folder / "train/metadata.jsonl").write_text("\n".join(lines))


def write_flickr8k(folder: Path) -> None:
    """The token file, pictures in a folder of their own."""
    draw(folder / "Flicker8k_Dataset")
    lines = [f"{n}#{k}\t{told(n, k)}" for n in NAMES for k in range(2)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")


def write_flickr30k(folder: Path) -> None:
    """The table with bars."""
    draw(folder / "flickr30k_images")
    lines = ["image_name| comment_number| comment"]
    lines += [f"{n}| {k}| {told(n, k)}" for n in NAMES for k in range(2)]
    (folder / "results.csv").write_text("\n".join(lines) + "\n")


def write_karpathy(folder: Path) -> None:
    """COCO's pictures have a filepath."""
    draw(folder / "val2014")
    images = [
        {
            "filepath": "val2014",
            "filename": n,
            "split": "train",
            "sentences": [{"raw": told(n, k), "tokens": []} for k in range(2)],
        }
        for n in NAMES
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))


def write_coco(folder: Path) -> None:
    """Ids join pictures and captions."""
    draw(folder / "val2017")
    images = [{"id": 100 + i, "file_name": n} for i, n in enumerate(NAMES)]
    captions = [
        {"id": 2 * i + k, "image_id": 100 + i, "caption": told(n, k)}
        for i, n in enumerate(NAMES)
        for k in range(2)
    ]
    (folder / "annotations").mkdir()
    path = folder / "annotations/captions_val2017.json"
    path.write_text(json.dumps({"images": images, "annotations": captions}))


WRITERS = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "imagefolder": write_imagefolder,
    "flickr8k": write_flickr8k,
    "flickr30k": write_flickr30k,
    "karpathy": write_karpathy,
    "coco": write_coco,
}
