"""What bench/ray.sh runs: the demo model on copies of its images, in turns, and ratios."""

import argparse
import json
import os
import selectors
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import ray

import lorapress
from lorapress.ray import caption_files

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = os.environ["LORAPRESS"]


def middle_rate(times):
    """Images a second between the first and the last tenth: without loading."""
    times = sorted(times)
    first, last = len(times) // 10, len(times) * 9 // 10
    return (last - first) / (times[last] - times[first])


def plain(model, halves):
    """Processes side by side, one for each list: when each line came, and seconds in all."""
    begin = time.perf_counter()
    running = [
        subprocess.Popen(
            [PROGRAM, "caption", model, *half, "--jsonl", "-", "--threads", "1", "--batch", "8"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for half in halves
    ]
    times, texts = [], {}
    selector = selectors.DefaultSelector()
    for process in running:
        os.set_blocking(process.stdout.fileno(), False)
        selector.register(process.stdout, selectors.EVENT_READ)
    pending = dict.fromkeys((process.stdout.fileno() for process in running), b"")
    while pending:
        for key, _ in selector.select():
            data = os.read(key.fd, 1 << 16)
            now = time.perf_counter()
            if not data:
                selector.unregister(key.fileobj)
                del pending[key.fd]
                continue
            *lines, pending[key.fd] = (pending[key.fd] + data).split(b"\n")
            for line in map(json.loads, lines):
                texts[line["image"]] = line["text"]
                times.append(now)
    for process in running:
        process.wait()
    return times, time.perf_counter() - begin, texts


def on_ray(model, images, scratch):
    """The same on the cluster that is there."""
    begin, times, texts = time.perf_counter(), [], {}

    def report(row):
        times.append(time.perf_counter())
        texts[row.image] = row.caption

    caption_files(images, scratch / "out.parquet", model=model, workers=2, report=report)
    seconds = time.perf_counter() - begin
    (scratch / "out.parquet").unlink()
    return times, seconds, texts


def in_python(model, images):
    """A Captioner in this process, one thread."""
    begin, times, texts = time.perf_counter(), [], {}
    with lorapress.Captioner(model, threads=1) as captioner:
        for image, caption in zip(images, captioner.each(images), strict=True):
            times.append(time.perf_counter())
            texts[image] = caption.text
    return times, time.perf_counter() - begin, texts


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="lorapress-bench-"))
    try:
        model = str(scratch / "model")
        lorapress.press(ROOT / "models/demo", model, dtype="fp32")
        scenes = sorted((ROOT / "models/demo/images").glob("scene*.png"))
        (scratch / "images").mkdir()
        images = []
        for index in range(given.images):
            images.append(str(scratch / f"images/{index:06}.png"))
            os.symlink(scenes[index % len(scenes)], images[-1])
        ray.init(include_dashboard=False, logging_level="error", log_to_driver=False)
        ratios = {"ray, whole": [], "ray, middle": [], "python, whole": [], "python, middle": []}
        for turn in range(given.rounds):
            ways = {
                "plain2": lambda: plain(model, [images[::2], images[1::2]]),
                "ray": lambda: on_ray(model, images, scratch),
                "plain1": lambda: plain(model, [images[: given.images // 2]]),
                "python": lambda: in_python(model, images[: given.images // 2]),
            }
            results = {}
            for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
                results[name] = ways[name]()
                times, seconds, _ = results[name]
                whole = len(times) / seconds
                print(
                    f"{name:<8} {whole:8.1f} images/s whole, {middle_rate(times):8.1f} middle",
                    flush=True,
                )
            for ours, theirs in (("ray", "plain2"), ("python", "plain1")):
                (times, seconds, texts), (times2, seconds2, texts2) = results[ours], results[theirs]
                assert texts == texts2, "captions differ"
                ratios[f"{ours}, whole"].append(seconds2 / seconds)
                ratios[f"{ours}, middle"].append(middle_rate(times) / middle_rate(times2))
        for name, values in ratios.items():
            middle = statistics.median(values)
            print(
                f"{name:<16} {middle:.3f} x the plain rate ({min(values):.3f} to {max(values):.3f})"
            )
    finally:
        ray.shutdown()
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
