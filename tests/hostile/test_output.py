"""OUT: it appears whole or not at all, and nothing else is touched."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from harness import (
    BASE,
    CHECKPOINTS,
    PROGRAM,
    Case,
    edit_json,
    read_tensors,
    run,
    snapshot,
    started,
    write_tensors,
)

NOBODY = 65534
WRITERS = ("press", "export", "merge")


class Existing(Case):
    """OUT is there already."""

    def test_is_kept_without_force(self):
        self.out.mkdir()
        (self.out / "mine.txt").write_text("mine")
        for command in WRITERS:
            self.refuse(
                command,
                BASE,
                self.out,
                code="exists",
                has=[str(self.out), "exists already", "--force"],
            )
            self.refuse(command, BASE, f"{self.out}/", code="exists", has=[str(self.out)])

    def test_empty_is_no_exception(self):
        self.out.mkdir()
        self.refuse("merge", BASE, self.out, code="exists", has=["exists already"])
        self.succeed("merge", BASE, self.out, "--force")

    def test_dangling_link(self):
        self.out.symlink_to("nowhere")
        self.refuse("merge", BASE, self.out, code="exists", has=["exists already"])

    def test_force_replaces_our_own(self):
        for command in WRITERS:
            with self.subTest(command):
                self.succeed(command, BASE, self.out)
                (self.out / "stale.txt").touch()
                self.succeed(command, BASE, self.out, "--force")
                self.assertFalse((self.out / "stale.txt").exists())
                self.assertEqual([path.name for path in self.tmp.iterdir()], ["out"])
                shutil.rmtree(self.out)

    def test_force_spares_what_is_not_ours(self):
        folder, model, file = (
            self.tmp / "photos",
            self.checkpoint(name="model"),
            self.tmp / "notes.txt",
        )
        folder.mkdir()
        (folder / "photo.jpg").touch()
        file.write_text("notes")
        for out in (folder, model, file):
            for command in WRITERS:
                has = [str(out), "--force replaces only", "remove it yourself"]
                self.refuse(command, BASE, out, "--force", code="exists", has=has)

    def test_force_keeps_the_old_one_until_the_end(self):
        self.succeed("press", BASE, self.out)
        broken = self.checkpoint()
        edit_json(
            broken / "config.json", lambda config: config["text_config"].update(num_hidden_layers=3)
        )
        self.refuse("press", broken, self.out, "--force", code="mismatch", has=["missing"])

    def test_the_source_is_no_output(self):
        """--force on what is being read would delete it."""
        merged = self.tmp / "all/merged"
        self.succeed("merge", BASE, merged)
        (self.tmp / "all/lorapress.json").touch()
        for out in (merged, self.tmp / "all", merged / ".", merged / "../merged"):
            for command in WRITERS:
                has = ["is or holds", str(merged), "another OUT"]
                self.refuse(command, merged, out, "--force", code="invalid_argument", has=has)
        self.refuse(
            "merge",
            CHECKPOINTS / "adapter/base",
            merged,
            "--force",
            "--base",
            merged,
            code="invalid_argument",
            has=["is or holds"],
        )
        self.succeed("press", merged, merged / "web")


class Names(Case):
    """Names of OUT that are special, or only look it."""

    def test_no_names(self):
        for out in ("", "/", "//", "/.", "/.."):
            with self.subTest(out):
                self.refuse(
                    "merge",
                    BASE,
                    out,
                    code="invalid_argument",
                    has=["expected the name of a folder"],
                )

    def test_here(self):
        folder = self.tmp / "here"
        folder.mkdir()
        for out in (".", "..", "./", "./."):
            self.refuse("merge", BASE, out, code="exists", has=["exists already"], cwd=folder)
        self.succeed("merge", BASE, ".", "--force", cwd=folder)
        self.assertTrue((folder / "config.json").exists())

    def test_parents(self):
        self.succeed("merge", BASE, self.tmp / "a/b/c")
        (self.tmp / "file").touch()
        self.refuse("merge", BASE, self.tmp / "file/out", code="io", has=["Not a directory"])

    def test_parents_do_not_stay(self):
        broken = self.checkpoint()
        (broken / "tokenizer.json").write_text("{}")
        for command in WRITERS:
            if command != "merge":
                self.refuse(command, broken, self.tmp / "a/b/c", code="invalid_file")
        edit_json(
            broken / "config.json", lambda config: config["text_config"].update(num_hidden_layers=3)
        )
        for command in WRITERS:
            self.refuse(command, broken, self.tmp / "a/b/c", code="mismatch")

    def test_long_names(self):
        self.succeed("merge", BASE, self.tmp / ("x" * 255))
        self.refuse("merge", BASE, self.tmp / ("x" * 256), code="io", has=["File name too long"])

    def test_odd_names(self):
        for name in (
            "with space",
            "-dash",
            "new\nline",
            "\x1b[31m",
            "\u00fc\u4e16",
            os.fsdecode(b"\xff\xfe"),
        ):
            with self.subTest(repr(name)):
                out = self.tmp / name
                result = run("press", BASE, out)
                self.assertEqual((result.code, result.err), (0, ""))
                self.assertNotIn("\x1b", result.out)
                self.refuse("press", BASE, out, code="exists")
                for command in (["inspect", out], ["caption", out, BASE / "golden/image0.png"]):
                    self.assertEqual(run(*command, "--json").code, 0)


class Failures(Case):
    """The system refuses."""

    def test_file_size_limit(self):
        """As a full disk, for every user: writes fail with EFBIG."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # noqa: E731
        for command in WRITERS:
            self.refuse(
                command,
                BASE,
                "--threads=1",  # else either file may fail first
                self.out,
                code="io",
                has=["cannot write", "File too large", "nothing was left behind"],
                preexec_fn=limit,
            )

    def test_full_disk(self):
        """A file system of 128 kB, where this machine lets us mount one."""
        disk = self.tmp / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "lorapress-test", disk]
        if (
            os.getuid() != 0
            or subprocess.run(mount, capture_output=True, check=False).returncode != 0
        ):
            self.skipTest("cannot mount a file system here; test_file_size_limit stands in")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        for command in WRITERS:
            self.refuse(
                command,
                BASE,
                "--threads=1",
                disk / "out",
                code="io",
                has=["cannot write", "No space left", "another OUT"],
            )
        inodes = self.tmp / "inodes"
        inodes.mkdir()
        subprocess.run([*mount[:4], "size=4m,nr_inodes=4", "lorapress-test", inodes], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", inodes], check=False)
        for command in WRITERS:
            self.refuse(command, BASE, inodes / "a/b/out", code="io", has=["No space left"])

    def test_read_only_parent(self):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        self.tmp.chmod(0o755)
        parent = self.tmp / "parent"
        parent.mkdir(mode=0o555)
        with self.fresh() as checkpoint:  # the checkout's own may be closed to other users
            for out in (parent / "out", parent / "a/b/out"):
                for command in WRITERS:
                    self.refuse(
                        command,
                        checkpoint,
                        out,
                        code="io",
                        has=[str(parent), "cannot create", "Permission denied"],
                        **user,
                    )

    def test_standard_output(self):
        for command in (
            ["inspect", BASE],
            ["inspect", BASE, "--json"],
            ["merge", BASE, self.out, "--json"],
        ):
            with open("/dev/full", "w") as full:
                done = subprocess.run(
                    [PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, check=False
                )
            self.assertEqual(done.returncode, 2)
            self.assertIn("standard output", self.one_line(done.stderr.decode()))

    def test_closed_streams(self):
        """A closed stream's number goes to no file of ours."""
        self.succeed("export", BASE, self.tmp / "good")
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed):
                command = f"'{PROGRAM}' export '{BASE}' '{self.out}' --force {closed}"
                subprocess.run(command, shell=True, check=True, capture_output=True)
                good, found = (
                    {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                    for folder in (self.tmp / "good", self.out)
                )
                self.assertEqual(good, found)

    def test_reader_that_left(self):
        """`lorapress inspect … | head -1` ends quietly."""
        done = subprocess.run(
            f"'{PROGRAM}' inspect '{BASE}' --json | true",
            shell=True,
            capture_output=True,
            check=False,
        )
        self.assertEqual(done.stderr, b"")

    def test_no_runtime(self):
        env = {**os.environ, "LORAPRESS_ORT": str(self.tmp / "libnone.so")}
        has = ["libnone.so", "LORAPRESS_ORT"]
        self.refuse("press", BASE, self.out, "--engine", "ort", code="runtime", has=has, env=env)
        self.succeed("export", BASE, self.out, env=env)


class Interrupted(Case):
    """Ctrl-C while hundreds of megabytes are written. The source is a sparse file."""

    ROWS = 3_000_000

    def setUp(self):
        super().setUp()
        self.large = self.checkpoint()
        name = "language_model.base_model.model.model.embed_tokens.weight"
        path = self.large / "model.safetensors"
        header, data = read_tensors(path)
        grown = self.ROWS * 64 * 4
        begin, end = header[name]["data_offsets"]
        for entry in header.values():
            if "data_offsets" in entry and entry["data_offsets"][0] >= end:
                entry["data_offsets"] = [
                    offset + grown - (end - begin) for offset in entry["data_offsets"]
                ]
        header[name].update(shape=[self.ROWS, 64], data_offsets=[begin, begin + grown])
        write_tensors(path, header, data[:begin])
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.seek(grown, os.SEEK_CUR)
            file.write(data[end:])
        edit_json(
            self.large / "config.json",
            lambda config: config["text_config"].update(vocab_size=self.ROWS),
        )

    @contextlib.contextmanager
    def writing(self, *args, **options):
        """The program, from the moment its folder beside OUT is there."""
        command = [PROGRAM, *map(str, args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(command, **pipes, **options) as process:

            def writes():
                """Looked at while the program stands still: it takes small steps meanwhile."""
                self.assertIsNone(process.poll(), "it ended before it could be interrupted")
                process.send_signal(signal.SIGSTOP)
                found = any(self.tmp.glob(".out.part-*/**/*.onnx")) or any(
                    self.tmp.glob(".out.part-*/*.safetensors")
                )
                process.send_signal(signal.SIGCONT)
                return found

            self.wait_until(writes, f"{args[0]} writes")
            yield process
            process.stdout.close()

    def test_leaves_nothing(self):
        before = snapshot(self.tmp)
        for signal_sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with (
                self.subTest(signal_sent.name),
                self.writing("export", self.large, self.out) as process,
            ):
                process.send_signal(signal_sent)
                err = process.stderr.read().decode()
                self.assertEqual(process.wait(timeout=60), 2)
                self.assertEqual(self.one_line(err), "interrupted; nothing was left behind")
                self.assertEqual(snapshot(self.tmp), before)

    def test_json(self):
        with self.writing("export", self.large, self.out, "--json") as process:
            process.send_signal(signal.SIGINT)
            self.assertEqual(json.loads(process.stdout.read())["error"]["code"], "io")

    def test_nohup(self):
        """A signal that was ignored when the program started stays ignored."""
        ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
        with self.writing("export", self.large, self.out, preexec_fn=ignore) as process:
            status = Path(f"/proc/{process.pid}/status").read_text()
            ignored = int(re.search(r"(?m)^SigIgn:\s*(\w+)$", status)[1], 16)
            self.assertTrue(ignored >> (signal.SIGHUP - 1) & 1)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGINT)
            self.assertRegex(process.stderr.read().decode(), "interrupted")
