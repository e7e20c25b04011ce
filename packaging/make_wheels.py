"""`make wheels`: one wheel per platform in dist/, each with its SBOM and checked; SHA256SUMS.

usage: python3 packaging/make_wheels.py [--check] [TARGET...]
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import inventory
from binaries import complaints, read_binary
from libraries import Tools, build_all, run
from sources import ROOT, WORK, fetch_all, sha256
from targets import TARGETS
from wheel import entry_points_text, metadata_text, write_wheel

DIST = ROOT / "dist"
MOST_BYTES = 12 * 1000 * 1000  # what a wheel may weigh
# Program and shared library in a wheel. Windows looks for a DLL beside the program; the other two
# where the program's rpath says.
BINARIES = {
    "Linux": ("bin/lorapress", "lib/liblorapress_c.so"),
    "Darwin": ("bin/lorapress", "lib/liblorapress_c.dylib"),
    "Windows": ("bin/lorapress.exe", "bin/lorapress_c.dll"),
}


def rust_flags():
    """Return flags that keep this machine's paths out of the crate's archive."""
    home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    return "\x1f".join([f"--remap-path-prefix={home}=cargo", f"--remap-path-prefix={ROOT}=."])


def add_rust_target(target):
    """Let rustup bring Rust's library for the target, where rustup is what Rust came by."""
    with contextlib.suppress(FileNotFoundError):
        command = ["rustup", "target", "add", target.rust]
        subprocess.run(command, check=True, capture_output=True)
    command = ["rustc", "--print", "target-libdir", "--target", target.rust]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(found).is_dir():
        raise SystemExit(
            f"make_wheels: {target.name}: no {found}, which is Rust's library for {target.rust}; "
            "install Rust by rustup, whose `target add` brings it"
        )


def build_program(target):
    """Compile the program and the shared library for a target; return {name in the wheel: path}."""
    tools = Tools(target)
    build_all(tools)
    build, log = tools.folder / "build", tools.folder / "program.log"
    log.unlink(missing_ok=True)
    print(f"make_wheels: {target.name}: the program; log: {log}", flush=True)
    strip = "-s" if target.system != "Darwin" else "-Wl,-S,-x"
    tools.cmake(
        ROOT,
        build,
        log,
        "LORAPRESS_TESTS=OFF",
        "LORAPRESS_ONE_COPY=ON",
        f"LORAPRESS_RUST_TARGET={target.rust}",
        f"LORAPRESS_DEPS={ROOT / '.deps'}",
        "CMAKE_DISABLE_PRECOMPILE_HEADERS=ON",
        f"CMAKE_EXE_LINKER_FLAGS_RELEASE={strip}",
        f"CMAKE_SHARED_LINKER_FLAGS_RELEASE={strip}",
    )
    goals = ["--target", "lorapress_cli", "--target", "lorapress_c"]
    environment = tools.environment | {"CARGO_ENCODED_RUSTFLAGS": rust_flags()}
    jobs = ["-j", str(os.cpu_count()), *goals, "--", "-k", "0"]  # all faults of an hour at once
    run(["cmake", "--build", build, *jobs], build, log, **environment)
    return {f"lorapress/{name}": build / Path(name).name for name in BINARIES[target.system]}


def python_files():
    """Return {name in the wheel: bytes} of the Python package."""
    package = ROOT / "python" / "lorapress"
    found = {}
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.suffix in (".py", ".pyi", ".typed") and inside.parts[0] not in ("bin", "lib"):
            found[f"lorapress/{inside.as_posix()}"] = path.read_bytes()
    return found


def project_table():
    """Return [project] of python/pyproject.toml."""
    return tomllib.loads((ROOT / "python" / "pyproject.toml").read_text())["project"]


def make_wheel(target):
    """Build the wheel of one target; return its path."""
    version = inventory.project_version()
    binaries = build_program(target)
    parts = [
        *inventory.libraries(fetch_all()),
        *inventory.fetched(ROOT / ".deps"),
        *inventory.crates(target.rust),
        inventory.compiler(),
        *inventory.c_runtime(target.system),
    ]
    path = DIST / f"lorapress-{version}-py3-none-{target.tag}.whl"
    bom = inventory.sbom(path.name, parts, inventory.commit())
    project = project_table()
    licenses = {
        "LICENSE": (ROOT / "LICENSE").read_text(),
        "NOTICE": inventory.notice(parts),
        "THIRD_PARTY_LICENSES": inventory.license_texts(parts),
    }
    readme = (ROOT / "python" / "README.md").read_text()
    metadata = {
        "METADATA": metadata_text(project, version, licenses, readme),
        "entry_points.txt": entry_points_text(project),
        "sboms/lorapress.cdx.json": bom,
        **{f"licenses/{name}": text for name, text in licenses.items()},
    }
    files = python_files() | {name: file.read_bytes() for name, file in binaries.items()}
    DIST.mkdir(exist_ok=True)
    write_wheel(path, version, target.tag, files, metadata)
    (DIST / f"{path.stem}.cdx.json").write_text(bom)
    return path


def check_wheel(path):
    """Yield what is wrong with a wheel: tag, size, what its binaries need, paths in them."""
    target = next((t for t in TARGETS.values() if path.stem.endswith(f"py3-none-{t.tag}")), None)
    if target is None:
        yield "no target of packaging/targets.py has this tag"
        return
    if path.stat().st_size > MOST_BYTES:
        yield f"{path.stat().st_size} bytes, expected at most {MOST_BYTES}"
    binaries = 0
    own = {Path(name).name for name in BINARIES[target.system]}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            binary = read_binary(data)
            if binary is None:
                continue
            binaries += 1
            yield from (f"{name} {complaint}" for complaint in complaints(binary, target, own))
            for place in (str(ROOT), os.path.expanduser("~/.cargo")):
                if place.encode() in data:
                    yield f"{name} holds the path {place}"
    if binaries == 0:
        yield "no program in it"


def write_sums(folder):
    """Write SHA256SUMS of everything in a folder, as sha256sum -c reads it."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    rows = [f"{sha256(folder / name)}  {name}" for name in names]
    (folder / "SHA256SUMS").write_text("\n".join(rows) + "\n")


def main():
    """Build, check, sum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only check the wheels in dist/")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    WORK.mkdir(exist_ok=True)
    if arguments.check:
        wheels = sorted(DIST.glob("*.whl"))
    else:
        targets = [TARGETS[name] for name in arguments.targets]
        for target in targets:
            add_rust_target(target)
        wheels = [make_wheel(target) for target in targets]
    wrong = 0
    for path in wheels:
        print(f"make_wheels: {path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
        for complaint in check_wheel(path):
            wrong += 1
            print(f"make_wheels: {path.name}: {complaint}", file=sys.stderr)
    write_sums(DIST)
    return 1 if wrong or not wheels else 0


if __name__ == "__main__":
    sys.exit(main())
