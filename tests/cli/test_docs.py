"""The documents: options, targets and paths that they name exist; figures name commands."""

import functools
import re

from harness import ROOT, Case, run

FOLDERS = (".", "docs", "examples", "examples/*", "bench", "models/demo", "tests/*", "train")
FOLDERS += ("python",)
DOCUMENTS = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md"))
FIGURE = re.compile(r"\d (?:s|ms|[kMG]B|x|times)\b(?! or)")
COMMAND = re.compile(r"`[^`]*\b(?:make|lorapress|npm run|node|python -m|bench/[\w/]+\.\w+)\b[^`]*`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


@functools.cache
def options(command: str) -> frozenset[str]:
    """The options that --help of a command lists."""
    lines = re.findall(r"(?m)^ +(?:-\w, ?)?((?:,?--[a-z0-9-]+)+)", run(command, "--help").out)
    found = [name for line in lines for name in line.split(",")]  # --yes,--no{false}
    return frozenset(found)


def code(text: str) -> list[str]:
    """Lines of blocks, continued ones joined, and code inside of sentences."""
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```", text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    return lines + [span.replace("\n", " ") for span in spans]


class Documents(Case):
    """Every document, and every piece of code in it."""

    def setUp(self):
        super().setUp()
        self.commands = re.findall(r"(?m)^  ([a-z]+)  +\S", run("--help").out)
        self.assertIn("press", self.commands)
        self.pieces = [
            (path.relative_to(ROOT), piece)
            for path in DOCUMENTS
            for piece in code(path.read_text(encoding="utf-8"))
        ]
        self.assertGreater(len(self.pieces), 1000)

    def test_options_exist(self):
        every = frozenset.union(*map(options, self.commands))
        kinds = ("bench/**/*.sh", "web/tools/*", "tests/oracle/*.py", "train/**/*.py")
        kinds += ("python/**/*.py",)
        scripts = [path for kind in kinds for path in ROOT.glob(kind)]
        others = "".join(path.read_text() for path in scripts if path.is_file())
        checked = 0
        for path, piece in self.pieces:
            if path.name == "CHANGELOG.md":  # which names what went, too
                continue
            calls = re.findall(rf"\blorapress ({'|'.join(self.commands)})\b([^|;#>]*)", piece)
            if piece.startswith("--"):
                calls.append((None, piece))
            for command, arguments in calls:
                known = options(command) if command else every | {*re.findall(OPTION, others)}
                for option in re.findall(OPTION, arguments):
                    with self.subTest(f"{path}: {piece}"):
                        self.assertIn(option, known | {"--help", "--version"})
                    checked += 1
        self.assertGreater(checked, 100)

    def test_targets_exist(self):
        targets = set(re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text()))
        checked = 0
        for path, piece in self.pieces:
            if match := re.match(r"make ([a-z0-9-]+)", piece):
                with self.subTest(f"{path}: {piece}"):
                    self.assertIn(match[1], targets)
                checked += 1
        self.assertGreater(checked, 20)

    def test_paths_exist(self):
        """Links, and code that looks like a file or folder of the repository."""
        folders = [path.name for path in ROOT.iterdir() if path.is_dir()]
        rooms = "|".join(name for name in folders if not name.startswith((".", "build", "dist")))
        checked = 0
        for path, piece in self.pieces:
            for word in re.findall(rf"(?<![\w/.@-])(?:{rooms})/(?!build/|\.)[\w./*-]+", piece):
                here = ROOT.glob(word.rstrip("./")), (ROOT / path).parent.glob(word.rstrip("./"))
                with self.subTest(f"{path}: {piece}"):
                    self.assertTrue(any(map(any, here)), word)
                checked += 1
        for path in DOCUMENTS:
            for link in re.findall(r"\]\((?!\w+:)([^)#\s]+)", path.read_text(encoding="utf-8")):
                with self.subTest(f"{path.relative_to(ROOT)}: {link}"):
                    self.assertTrue((path.parent / link).exists())
                checked += 1
        self.assertGreater(checked, 150)

    def test_figures_name_their_command(self):
        """In the documents of measurements, each section with a figure has a command."""
        checked = 0
        for name in ("README.md", "docs/performance.md", "docs/web-performance.md"):
            for section in re.split(r"(?m)^(?=##? )", (ROOT / name).read_text(encoding="utf-8")):
                title = section.splitlines()[0] if section else ""
                if FIGURE.search(section):
                    with self.subTest(f"{name}: {title}"):
                        self.assertRegex(section, COMMAND)
                    checked += 1
        self.assertGreater(checked, 10)

    def test_the_changelog_keeps_its_form(self):
        """https://keepachangelog.com: versions from new to old, changes by kind."""
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        first, *versions = re.split(r"(?m)^## ", text)[1:]
        self.assertRegex(first, r"\A\[Unreleased\]\n")
        for version in versions:
            self.assertRegex(version, r"\A\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d\n")
        for version in (first, *versions):
            named = re.findall(r"(?m)^### (.*)$", version)
            self.assertEqual(named, [kind for kind in kinds if kind in named])
