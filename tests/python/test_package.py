"""The package itself: what importing costs, and that it and the C ABI name the same things."""

import ctypes
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import lorapress
from harness import BASE, PROGRAM, ROOT, Case, run
from lorapress import _library

PROTOTYPE = re.compile(r"^LORAPRESS_API[^(]*?(\w+)\(([^)]*)\)", re.MULTILINE)
HEADER = (ROOT / "include/lorapress/c_api.h").read_text()


def python(*arguments, **environment):
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


class Import(Case):
    def test_takes_50_ms_and_no_other_package(self):
        code = "import sys, json, lorapress; print(json.dumps(sorted(sys.modules)))"
        modules = {name.split(".")[0] for name in json.loads(python("-c", code).stdout)}
        self.assertEqual(
            modules & {"numpy", "PIL", "tqdm", "torch", "ray", "transformers", "pyarrow"}, set()
        )

        def processor_seconds(code):
            least = 1e9
            for _ in range(5):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                python("-c", code)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                least = min(
                    least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                )
            return least

        self.assertLess(processor_seconds("import lorapress") - processor_seconds("pass"), 0.05)

    def test_a_missing_library_is_one_line(self):
        done = python(
            "-c", "import lorapress; lorapress.inspect('.')", LORAPRESS_LIBRARY="/nowhere.so"
        )
        self.assertIn("LorapressError: /nowhere.so", done.stderr)
        self.assertIn("LORAPRESS_LIBRARY", done.stderr)

    def test_runs_the_program(self):
        version = run("--version").out
        self.assertEqual(python("-m", "lorapress", "--version").stdout, version)
        self.assertEqual(f"lorapress {lorapress.__version__}\n", version)
        self.assertEqual(python("-m", "lorapress", "no-command").returncode, 2)

    def test_waits_for_the_program_where_there_is_no_exec(self):
        code = (
            "import sys; from lorapress import _program; sys.platform = 'win32'; "
            "sys.argv[1:] = ['no-command']; print('status', _program.main())"
        )
        done = python("-c", code, LORAPRESS=str(PROGRAM))
        self.assertEqual(done.stdout, "status 2\n")
        self.assertEqual(done.stderr, run("no-command").err)

    def test_in_the_layout_of_a_wheel(self):
        """Library and program are the package's own, where nothing names others."""
        package = self.tmp / "site/lorapress"
        shutil.copytree(Path(lorapress.__file__).parent, package)
        for folder, file in (("lib", os.environ["LORAPRESS_LIBRARY"]), ("bin", PROGRAM)):
            (package / folder).mkdir()
            (package / folder / Path(file).name).symlink_to(file)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent)}
        code = (
            f"import lorapress; print(lorapress.__file__, lorapress.inspect({str(BASE)!r})['kind'])"
        )
        for arguments, expected in (
            (["-c", code], f"{package / '__init__.py'} checkpoint\n"),
            (["-m", "lorapress", "--version"], run("--version").out),
        ):
            done = subprocess.run(
                [sys.executable, *arguments],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            self.assertEqual((done.stdout, done.stderr), (expected, ""))

    def test_is_typed(self):
        self.assertTrue((Path(lorapress.__file__).parent / "py.typed").exists())


class Abi(Case):
    def test_every_function_has_its_prototype(self):
        functions = {
            name: parameters
            for name, parameters in re.findall(
                r"^LORAPRESS_API[^(]*?(\w+)\(([^)]*)\)", HEADER, re.MULTILINE
            )
        }
        self.assertEqual(set(functions), set(_library.FUNCTIONS))
        for name, parameters in functions.items():
            count = 0 if parameters.strip() == "void" else parameters.count(",") + 1
            self.assertEqual(len(_library.FUNCTIONS[name][0]), count, name)

    def test_numbers_are_the_headers(self):
        self.assertIn(f"#define LORAPRESS_ABI_VERSION {_library.ABI_VERSION}\n", HEADER)
        kinds = [int(value) for value in re.findall(r"LORAPRESS_IMAGE_\w+ =\s+(\d)", HEADER)]
        self.assertEqual(kinds, [_library.IMAGE_PATH, _library.IMAGE_BYTES, _library.IMAGE_PIXELS])
        fields = re.search(r"typedef struct lorapress_image \{(.*?)\}", HEADER, re.DOTALL)[1]
        names = re.findall(r"(\w+);", fields)
        self.assertEqual(names, [name for name, _ in _library.Image._fields_])
        self.assertEqual(ctypes.sizeof(_library.Image), 64)

    def test_the_library_exports_nothing_else(self):
        path = os.environ["LORAPRESS_LIBRARY"]
        done = subprocess.run(
            ["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True
        )
        names = {line.split()[-1] for line in done.stdout.splitlines()}
        self.assertEqual(names, set(_library.FUNCTIONS))


if __name__ == "__main__":
    unittest.main()
