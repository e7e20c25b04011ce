"""What bench/ray.sh runs: a model (the demo) on copies of the demo's images, in turns, and ratios.

Two rates: of the whole run by the clock, and of one further image by the processor time of all
processes. The latter is what all images take more than a tenth of them, so that loading is left
out, and stands on a busy machine too: it is the rate of cores which nobody else uses.
"""

import argparse
import json
import os
import resource
import selectors
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import ray

import lorapress
from lorapress.ray import caption_files

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = os.environ["LORAPRESS"]
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One way over some images."""

    images: int
    seconds: float
    cpu: float  # of all its processes
    texts: dict  # by image


def processor_seconds():
    """Return processor time so far of this process and of those below it, by their ids."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        found[pid] = (int(rest[1]), (int(rest[11]) + int(rest[12])) / TICK)
    below = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in below} - below:
        below |= more
    return {pid: found[pid][1] for pid in below}


def plain(model, lists):
    """Processes of the program side by side, one for each list of images."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [
        subprocess.Popen(
            [PROGRAM, "caption", model, *images, "--jsonl", "-", "--threads", "1", "--batch", "8"],
            stdout=subprocess.PIPE,
        )
        for images in lists
    ]
    selector = selectors.DefaultSelector()
    for process in running:
        selector.register(process.stdout, selectors.EVENT_READ)
    said = {process.stdout: b"" for process in running}
    while selector.get_map():
        for key, _ in selector.select():
            data = os.read(key.fd, 1 << 16)
            said[key.fileobj] += data
            if not data:
                selector.unregister(key.fileobj)
    for process in running:
        process.wait()
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for text in said.values() for line in text.splitlines()]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(len(lines), seconds, cpu, {line["image"]: line["text"] for line in lines})


def on_ray(model, images, scratch):
    """Two workers of the cluster that is there; the driver and Ray's own processes count, too."""
    begin, before, texts = time.perf_counter(), processor_seconds(), {}
    after, ended = dict(before), threading.Event()
    watching = 0.0

    def watch():  # workers end before the run does
        nonlocal watching
        while not ended.wait(0.5):
            after.update(processor_seconds())
        watching = time.thread_time()

    def report(row):
        texts[row.image] = row.caption

    watcher = threading.Thread(target=watch)
    watcher.start()
    caption_files(images, scratch / "out.parquet", model=model, workers=2, report=report)
    seconds = time.perf_counter() - begin
    ended.set()
    watcher.join()
    after.update(processor_seconds())
    (scratch / "out.parquet").unlink()
    cpu = sum(used - before.get(pid, 0) for pid, used in after.items()) - watching
    return Run(len(texts), seconds, cpu, texts)


def in_python(model, images):
    """A Captioner in this process, one thread."""
    begin, before, texts = time.perf_counter(), time.process_time(), {}
    with lorapress.Captioner(model, threads=1) as captioner:
        for image, caption in zip(images, captioner.each(images), strict=True):
            texts[image] = caption.text
    return Run(len(texts), time.perf_counter() - begin, time.process_time() - before, texts)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help="a pressed folder; default: models/demo, pressed")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="lorapress-bench-"))
    try:
        model = given.model or str(scratch / "model")
        if not given.model:
            lorapress.press(ROOT / "models/demo", model, dtype="fp32")
        scenes = sorted((ROOT / "models/demo/images").glob("scene*.png"))
        (scratch / "images").mkdir()
        images = []
        for index in range(given.images):
            images.append(str(scratch / f"images/{index:06}.png"))
            os.symlink(scenes[index % len(scenes)], images[-1])
        ray.init(include_dashboard=False, logging_level="error", log_to_driver=False)
        ways = {
            "plain2": lambda some: plain(model, [some[::2], some[1::2]]),
            "ray": lambda some: on_ray(model, some, scratch),
            "plain1": lambda some: plain(model, [some]),
            "python": lambda some: in_python(model, some),
        }
        ratios = {}
        for turn in range(given.rounds):
            runs, costs = {}, {}
            for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
                some = images if name in ("plain2", "ray") else images[: given.images // 2]
                run, few = ways[name](some), ways[name](some[: len(some) // 10])
                runs[name] = run
                cost = (run.cpu - few.cpu) / (run.images - few.images)
                costs[name] = cost
                print(
                    f"{name:<8} {run.images / run.seconds:7.1f} images/s in all; of a processor "
                    f"{1e3 * cost:6.2f} ms an image, {run.cpu - cost * run.images:5.2f} s to load",
                    flush=True,
                )
            for ours, theirs in (("ray", "plain2"), ("python", "plain1")):
                assert runs[ours].texts == runs[theirs].texts, "captions differ"
                whole = runs[theirs].seconds / runs[ours].seconds
                ratios.setdefault(f"{ours}, in all", []).append(whole)
                ratios.setdefault(f"{ours}, an image", []).append(costs[theirs] / costs[ours])
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
