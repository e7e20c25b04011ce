"""A cluster of this machine: exactly one row an image, also where a worker is killed."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import unittest
from pathlib import Path
from unittest import mock

import pyarrow.parquet as parquet
import ray

import lorapress
from harness import Case
from lorapress.ray import CaptionBatch, _job, caption_files
from pressed import IMAGES, folder, programs_captions

COPIES = 120


def workers() -> list[int]:
    """Processes of Ray's actors below this process."""
    parents, found = {}, []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
                if (entry / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                    found.append(int(entry.name))
        except OSError:  # it ended meanwhile
            continue

    def is_ours(process: int) -> bool:
        while process > 1:
            process = parents.get(process, 0)
            if process == os.getpid():
                return True
        return False

    return [process for process in found if is_ours(process)]


class MortalWorker(_job.MapWorker):
    """Its process ends when it meets one of the images."""

    DEADLY = "100-1.png"

    def caption(self, task):
        if any(place.image.endswith(self.DEADLY) for place in task):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().caption(task)


class Cluster(Case):
    @classmethod
    def setUpClass(cls):
        logging.getLogger("ray").setLevel(logging.ERROR)
        data = ray.data.DataContext.get_current()
        data.enable_progress_bars = data.print_on_execution_start = False
        ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
        cls.addClassCleanup(ray.shutdown)

    def setUp(self):
        super().setUp()
        self.photos = self.tmp / "photos"
        self.photos.mkdir()
        for copy in range(COPIES):
            for index, image in enumerate(IMAGES):
                (self.photos / f"{copy:03}-{index}.png").symlink_to(image)
        (self.photos / "050-bad.png").write_bytes(b"none")
        with tarfile.open(self.tmp / "shard.tar", "w") as tar:
            for image in IMAGES:
                tar.add(image, image.name)
        self.inputs = [self.photos, self.tmp / "shard.tar"]
        self.file = self.tmp / "out.parquet"

    def check(self) -> list[dict]:
        """Every image has its one row, with the program's caption."""
        rows = parquet.read_table(self.file).to_pylist()
        names = sorted(str(path) for path in self.photos.iterdir())
        names += [f"{self.tmp}/shard.tar#{image.name}" for image in IMAGES]
        self.assertEqual([row["image"] for row in rows], names)
        for row in rows:
            if row["image"].endswith("050-bad.png"):
                self.assertEqual((row["caption"], row["error_code"]), (None, "unsupported"))
                self.assertIn("is not a JPEG", row["error"])
            else:
                expected = programs_captions()[int(row["image"].removesuffix(".png")[-1])]
                self.assertEqual((row["caption"], row["error"]), (expected, None))
        return rows

    def test_a_killed_worker_and_a_run_that_goes_on(self):
        killed, reported = [], []

        def report(row):
            reported.append(row.image)
            if len(reported) == 2:
                while len(workers()) < 2:  # one may be there before the other
                    time.sleep(0.05)
                killed.append(workers()[0])
                os.kill(killed[0], signal.SIGKILL)

        summary = caption_files(
            self.inputs, self.file, model=folder(), workers=2, batch_size=4, report=report
        )
        images = COPIES * len(IMAGES) + 1 + len(IMAGES)
        self.assertEqual((summary.images, summary.captioned, summary.failed), (images, images, 1))
        self.assertEqual(len(killed), 1)
        self.assertEqual(len(reported), len(set(reported)))
        rows = self.check()

        # A run that was interrupted behind its first 200 rows and in the middle of a line.
        metadata = parquet.read_schema(self.file).metadata[b"lorapress.ray"].decode()
        lines = [[metadata], *([*row.values()] for row in rows[:200])]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.file.with_name("out.parquet.jsonl").write_text(text + json.dumps(lines[-1])[:30])
        self.file.unlink()
        summary = caption_files(self.inputs, self.file, model=folder(), workers=1)
        self.assertEqual((summary.captioned, summary.failed), (images - 200, 1))
        self.check()

        # Paths are this process's, wherever the cluster was started.
        with contextlib.chdir(self.tmp):
            summary = caption_files("shard.tar", "near.parquet", model=folder(), workers=1)
        self.assertEqual((summary.images, summary.failed), (len(IMAGES), 0))

        # Nothing is left to do, which needs no cluster; the bad image is named by the exit code.
        command = [
            sys.executable,
            "-m",
            "lorapress.ray",
            *self.inputs,
            self.file,
            "--model",
            folder(),
        ]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertEqual(done.stdout, f"{images} images, 0 by this run, 1 failed: {self.file}\n")
        done = subprocess.run(
            [*map(str, command), "--set", "num_beams=2"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"^lorapress: [^\n]*was made with[^\n]*\n$")
        for wrong in (["--set", "model=x"], ["--threads", "0"], ["--dtype", "q9"]):
            command[-3] = self.tmp / "other.parquet"
            done = subprocess.run(
                [*map(str, command), *wrong], capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
            self.assertRegex(done.stderr, r"^lorapress: [^\n]*\n$", wrong)

    def test_caption_batch_in_a_pipeline(self):
        items = [{"id": i, "image": image.read_bytes()} for i, image in enumerate(IMAGES)]
        dataset = ray.data.from_items([*items, {"id": 3, "image": b"none"}])
        dataset = dataset.map_batches(
            CaptionBatch,
            fn_constructor_kwargs={"folder": folder(), "max_new_tokens": 5},
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=1,
        )
        rows = sorted(dataset.take_all(), key=lambda row: row["id"])
        with lorapress.Captioner(folder(), threads=1) as captioner:
            expected = captioner(IMAGES, max_new_tokens=5)
        self.assertEqual([row["caption"] for row in rows], [*expected, ""])
        self.assertEqual([bool(row["error"]) for row in rows], [False] * 3 + [True])

    def test_an_image_that_a_worker_dies_of_is_the_only_one_without_a_caption(self):
        with mock.patch.object(_job, "MapWorker", MortalWorker):
            summary = caption_files(self.photos, self.file, model=folder(), workers=2, batch_size=4)
        self.assertEqual((summary.captioned, summary.failed), (COPIES * len(IMAGES) + 1, 2))
        failed = {
            row["image"]: (row["error_code"], row["error"])
            for row in parquet.read_table(self.file).to_pylist()
            if row["caption"] is None
        }
        deadly = str(self.photos / MortalWorker.DEADLY)
        self.assertEqual(set(failed), {deadly, str(self.photos / "050-bad.png")})
        code, error = failed[deadly]
        self.assertEqual(code, "runtime")
        self.assertRegex(error, r"^the worker's process died, again and again: [^\n]*$")

    def test_a_model_that_is_none(self):
        with self.assertRaises(lorapress.LorapressError) as caught:
            caption_files(self.inputs, self.file, model=self.tmp)
        self.assertEqual(caught.exception.code, "not_found")
        broken = self.tmp / "broken"
        shutil.copytree(folder(), broken)
        for graph in (broken / "onnx").iterdir():
            graph.write_bytes(graph.read_bytes()[:1000])
        with self.assertRaisesRegex(
            lorapress.LorapressError, r"^[^\n]*broken/onnx[^\n]*$"
        ) as caught:
            caption_files(self.inputs, self.file, model=broken)
        self.assertIs(type(caught.exception), lorapress.LorapressError)
        with self.assertRaisesRegex(
            lorapress.LorapressError, "workers 5 .* the cluster has 2 cores"
        ):
            caption_files(self.inputs, self.file, model=folder(), workers=5)


if __name__ == "__main__":
    unittest.main()
