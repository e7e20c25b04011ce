"""The parts of `make wheels` that need no compiler."""

import contextlib
import fnmatch
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

import inventory
import macho_private
import make_npm_sbom
import make_wheels
import sources
from binaries import Binary, complaints, read_binary
from targets import TARGETS
from wheel import entry_points_text, metadata_text, record_line, write_wheel

PROGRAM = Path(os.environ["LORAPRESS"])
LINUX = TARGETS["linux-x86_64"]
PROJECT = {
    "name": "lorapress",
    "description": "captions",
    "requires-python": ">=3.9",
    "scripts": {"lorapress": "lorapress._program:main"},
    "optional-dependencies": {"ort": ["onnxruntime>=1.21"]},
}


def wheel_in(folder, tag, files):
    """Write a wheel of FILES into FOLDER; return its path."""
    path = Path(folder) / f"lorapress-0.1.0-py3-none-{tag}.whl"
    metadata = {
        "METADATA": metadata_text(PROJECT, "0.1.0", ["LICENSE"], "# LoraPress\n"),
        "entry_points.txt": entry_points_text(PROJECT),
        "licenses/LICENSE": "text\n",
    }
    write_wheel(path, "0.1.0", tag, files, metadata)
    return path


def macho_program(page=4096):
    """Return a Mach-O file of two pages for macOS 11.0 on arm64, signed ad hoc as linkers do it."""
    end = page + 100
    commands = [
        struct.pack("<6I", 0x32, 24, 1, 11 << 16, 0, 0),  # LC_BUILD_VERSION
        struct.pack("<6I", 0x0C, 56, 24, 0, 0, 0) + b"/usr/lib/libSystem.B.dylib".ljust(32, b"\0"),
        struct.pack("<4I", 0x1D, 16, end, 0),  # LC_CODE_SIGNATURE
    ]
    head = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 2, 3, sum(map(len, commands)), 0, 0)
    data = (head + b"".join(commands)).ljust(end, b"\x55")
    digests = b"".join(hashlib.sha256(data[at : at + page]).digest() for at in (0, page))
    directory = struct.pack(">9I", 0xFADE0C02, 0, 0x20400, 0x20002, 44, 0, 0, 2, end)
    directory += struct.pack(">4BI", 32, 2, 0, 12, 0) + digests
    return data + struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory


def macho_archive(kinds):
    """Return a static archive of one Mach-O object with a symbol of each n_type in KINDS."""
    symbols = b"".join(struct.pack("<IBBHQ", 1, kind, 1, 0, 0) for kind in kinds)
    data = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 1, 1, 24, 0, 0)
    data += struct.pack("<6I", 2, 24, 56, len(kinds), 56 + len(symbols), 0) + symbols
    name = b"a-long-name-of-an-object.o\0\0"
    size = str(len(name) + len(data)).encode()
    head = b"#1/28".ljust(16) + b"0".ljust(32) + size.ljust(10) + b"`\n"
    return b"!<arch>\n" + head + name + data


class Wheel(unittest.TestCase):
    """The zip file."""

    def test_the_same_files_give_the_same_bytes_and_record_has_each(self):
        files = {"lorapress/__init__.py": b"", "lorapress/bin/lorapress": b"\x7fELF"}
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first = wheel_in(one, LINUX.tag, files)
            second = wheel_in(two, LINUX.tag, dict(reversed(files.items())))
            self.assertEqual(first.read_bytes(), second.read_bytes())
            with zipfile.ZipFile(first) as archive:
                names = archive.namelist()
                record = archive.read("lorapress-0.1.0.dist-info/RECORD").decode().splitlines()
                self.assertEqual([row.split(",")[0] for row in record], names)
                for row in record[:-1]:
                    self.assertEqual(
                        row, record_line(row.split(",")[0], archive.read(row.split(",")[0]))
                    )
                mode = archive.getinfo("lorapress/bin/lorapress").external_attr >> 16
                self.assertEqual(mode & 0o777, 0o755)

    def test_pip_installs_it_with_its_program_and_extras(self):
        with tempfile.TemporaryDirectory() as folder:
            files = {"lorapress/__init__.py": b"", "lorapress/_program.py": b"def main(): pass\n"}
            path = wheel_in(folder, LINUX.tag, files)
            target = Path(folder) / "site"
            pip = ["python3", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
            subprocess.run([*pip, "--target", target, path], check=True, capture_output=True)
            self.assertTrue((target / "bin" / "lorapress").is_file())
            metadata = (target / "lorapress-0.1.0.dist-info" / "METADATA").read_text()
            self.assertIn('Requires-Dist: onnxruntime>=1.21; extra == "ort"', metadata)


class Binaries(unittest.TestCase):
    """What programs ask of a system."""

    def test_reads_the_libraries_that_the_dynamic_linker_loads(self):
        binary = read_binary(PROGRAM.read_bytes())
        listed = subprocess.run(["ldd", PROGRAM], check=True, capture_output=True, text=True).stdout
        self.assertIn("libc.so.6", binary.libraries)
        for library in binary.libraries:
            self.assertIn(library, listed)
        wrong = "\n".join(complaints(binary, LINUX))
        self.assertIn("needs libprotobuf.so", wrong)  # of this machine's build, not of a wheel
        self.assertIn("symbols of GLIBCXX_", wrong)

    def test_names_what_a_tag_does_not_promise(self):
        binary = Binary("elf", "x86_64", ["libc.so.6"], {"GLIBC_2.28", "GLIBC_2.4"})
        self.assertEqual(list(complaints(binary, LINUX)), [])
        binary.versions.add("GLIBC_2.29")
        self.assertEqual(len(list(complaints(binary, LINUX))), 1)
        self.assertEqual(len(list(complaints(binary, TARGETS["linux-aarch64"]))), 2)
        foreign = Binary("macho", "arm64", ["/usr/lib/libSystem.B.dylib", "/opt/lib/libpng.dylib"])
        foreign.system, foreign.signature = "11.0", "ad hoc"
        self.assertEqual(
            list(complaints(foreign, TARGETS["macos-arm64"])), ["needs /opt/lib/libpng.dylib"]
        )
        windows = Binary(
            "pe", "AMD64", ["KERNEL32.dll", "api-ms-win-crt-math-l1-1-0.dll", "zlib1.dll"]
        )
        self.assertEqual(list(complaints(windows, TARGETS["windows-x86_64"])), ["needs zlib1.dll"])

    def test_a_macos_program_has_its_system_and_a_signature_of_its_bytes(self):
        target = TARGETS["macos-arm64"]

        def wrong(data):
            return "\n".join(complaints(read_binary(bytes(data)), target))

        whole = macho_program()
        found = read_binary(whole)
        self.assertEqual((found.system, found.signature), ("11.0", "ad hoc"))
        self.assertEqual(found.libraries, ["/usr/lib/libSystem.B.dylib"])
        self.assertEqual(wrong(whole), "")
        changed = bytearray(whole)
        changed[4096] ^= 1  # as a strip behind the linker's back would
        self.assertEqual(wrong(changed), "has a signature that has another digest of page 1")
        newer = bytearray(whole)
        newer[32 + 14] = 12  # of LC_BUILD_VERSION
        self.assertIn("is for macOS 12.0, expected 11.0", wrong(newer))
        unsigned = bytearray(whole)
        unsigned[32 + 24 + 56] = 0x26  # LC_FUNCTION_STARTS in place of LC_CODE_SIGNATURE
        self.assertIn("has no signature", wrong(unsigned))
        self.assertEqual(  # which is optional there
            list(
                complaints(
                    Binary("macho", "x86_64", [], set(), "11.0", "none"), TARGETS["macos-x86_64"]
                )
            ),
            [],
        )

    def test_what_archives_for_macos_define_is_made_private(self):
        defined, undefined, stab, private, local = 0x0F, 0x01, 0x24, 0x1F, 0x0E
        before = [defined, undefined, stab, private, local, defined]
        after = [private, undefined, stab, private, local, private]
        data = bytearray(macho_archive(before))
        self.assertEqual(macho_private.make_private(data), 2)
        self.assertEqual(data, macho_archive(after))
        self.assertEqual(macho_private.make_private(data), 0)

    def test_a_wheel_without_a_program_or_with_a_foreign_one_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            empty = wheel_in(folder, LINUX.tag, {"lorapress/__init__.py": b""})
            self.assertEqual(list(make_wheels.check_wheel(empty)), ["no program in it"])
            data = PROGRAM.read_bytes()
            foreign = wheel_in(folder, LINUX.tag, {"lorapress/bin/lorapress": data})
            self.assertTrue(any("libprotobuf" in row for row in make_wheels.check_wheel(foreign)))


class Pins(unittest.TestCase):
    """pins.toml and what is made of it."""

    def test_each_pin_has_a_version_that_upstream_knows_a_hash_and_a_license(self):
        for pin in sources.pins():
            with self.subTest(pin["name"]):
                self.assertRegex(sources.upstream_version(pin["package"]), r"^[0-9]+(\.[0-9]+)+$")
                self.assertRegex(pin["sha256"], r"^[0-9a-f]{64}$")
                self.assertTrue(pin["license"] and pin["notices"])

    def test_an_archive_that_the_pinned_dsc_does_not_list_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "x_1.orig.tar.gz"
            archive.write_bytes(b"source")
            digest = sources.sha256(archive)
            dsc = Path(folder) / "x_1-1.dsc"
            dsc.write_text(
                f"Source: x\nChecksums-Sha256:\n {digest} 6 {archive.name}\nFiles:\n a b c\n"
            )
            pin = {"package": "x=2:1-1", "sha256": sources.sha256(dsc)}
            sources.check_source(Path(folder), pin)
            archive.write_bytes(b"another")
            with self.assertRaises(SystemExit):
                sources.check_source(Path(folder), pin)
            dsc.write_text("Source: y\n")
            with self.assertRaises(SystemExit):
                sources.check_source(Path(folder), pin)

    def test_the_sbom_names_every_part_once_and_the_notice_too(self):
        parts = [
            *inventory.libraries({}),
            *inventory.fetched(sources.ROOT / ".deps"),
            inventory.compiler(),
            *inventory.c_runtime("Windows"),
        ]
        self.assertEqual(inventory.c_runtime("Darwin"), [])
        document = json.loads(inventory.sbom("x.whl", parts, "0" * 40))
        self.assertEqual((document["bomFormat"], document["specVersion"]), ("CycloneDX", "1.6"))
        references = [row["bom-ref"] for row in document["components"]]
        self.assertEqual(len(references), len(set(references)))
        self.assertEqual(document["dependencies"][0]["dependsOn"], references)
        self.assertEqual(
            inventory.sbom("x.whl", parts, "0" * 40), inventory.sbom("x.whl", parts, "0" * 40)
        )
        notice = inventory.notice(parts)
        for part in parts:
            self.assertIn(f"{part.name} {part.version}: {part.license}", notice)

    def test_each_npm_package_has_the_sbom_of_what_is_in_it(self):
        wheel = inventory.sbom("x.whl", [inventory.compiler()], "0" * 40)
        packages = {
            "lorapress": {},
            "@lorapress/cli": {},
            "@lorapress/cli-linux-x64": {"lorapress.cdx.json": wheel},
        }
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, files in packages.items():
                path = Path(folder) / f"{name[1:].replace('/', '-')}.tgz"
                with tarfile.open(path, "w:gz") as archive:
                    for file, text in {**files, "package.json": json.dumps({"name": name})}.items():
                        info = tarfile.TarInfo(f"package/{file}")
                        info.size = len(text)
                        archive.addfile(info, io.BytesIO(text.encode()))
                document = json.loads(make_npm_sbom.sbom_of(path))
                component = document["metadata"]["component"]
                self.assertEqual(component["properties"][0]["value"], path.name)
                self.assertEqual(component["bom-ref"], document["dependencies"][0]["ref"])
                parts = [row["name"] for row in document["components"]]
                found[component["purl"].rpartition("@")[0]] = parts
        self.assertEqual(found.pop("pkg:npm/%40lorapress/cli"), [])
        self.assertEqual(
            found.pop("pkg:npm/%40lorapress/cli-linux-x64"), [inventory.compiler().name]
        )
        self.assertIn("onnxruntime-web", found.pop("pkg:npm/lorapress"))

    def test_the_npm_package_lists_its_dependencies_and_what_is_bundled(self):
        scopes = {part.name: part.scope for part in inventory.npm_packages()}
        self.assertIn("onnxruntime-web", scopes)
        self.assertIn("inside", scopes["@huggingface/tokenizers"])
        self.assertNotIn("vitest", scopes)

    def test_a_part_that_is_inside_the_npm_package_has_its_licence_text(self):
        inside = [part for part in inventory.npm_packages() if part.inside]
        self.assertEqual(len(inside), 4)
        for part in inside:
            with self.subTest(part.name):
                self.assertIn("opyright", "".join(part.texts))

    def test_the_crates_are_those_that_are_linked(self):
        with contextlib.redirect_stderr(io.StringIO()):
            names = {part.name for part in inventory.crates("x86_64-unknown-linux-gnu")}
        self.assertTrue({"tokenizers", "minijinja", "sha2", "rust-std"} <= names)
        self.assertFalse({"serde_derive", "lorapress-tokenizer"} & names)  # a macro; ourselves


class Readme(unittest.TestCase):
    """The install lines that README.md begins with."""

    def test_they_name_the_files_that_this_tree_makes(self):
        readme = (sources.ROOT / "README.md").read_text(encoding="utf-8")
        block = readme.split("```")[1]
        pip, npm = re.findall(r"(?m)^(?:pip|npm) install (\S+)", block)
        version = inventory.project_version()
        wheel = make_wheels.DIST / f"lorapress-{version}-py3-none-{LINUX.tag}.whl"
        self.assertTrue(fnmatch.fnmatch(str(wheel.relative_to(sources.ROOT)), pip))
        package = json.loads((sources.ROOT / "web" / "package.json").read_text())
        self.assertTrue(fnmatch.fnmatch(f"./web/lorapress-{package['version']}.tgz", npm))
        self.assertRegex(package["scripts"]["pack"], r"--pack \.$")
        made = readme.split("```")[2]
        self.assertIn(f"`make wheels TARGETS={LINUX.name}`", made)
        self.assertIn("npm run pack`", made)


class Version(unittest.TestCase):
    """`lorapress --version --json`."""

    def test_has_the_commit_and_the_versions_of_what_is_linked(self):
        run = subprocess.run(
            [PROGRAM, "--version", "--json"], check=True, capture_output=True, text=True
        )
        document = json.loads(run.stdout)
        self.assertEqual(document["version"], inventory.project_version())
        self.assertRegex(document["commit"], r"^([0-9a-f]{40}(-dirty)?|unknown)$")
        self.assertEqual(document["dependencies"]["onnx"], inventory.shell_pin("onnx"))
        lock = (sources.ROOT / "tokenizer" / "Cargo.lock").read_text()
        version = document["dependencies"]["tokenizers"]
        self.assertIn(f'name = "tokenizers"\nversion = "{version}"', lock)
        plain = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True)
        self.assertEqual(plain.stdout, f"lorapress {document['version']}\n")


if __name__ == "__main__":
    unittest.main()
