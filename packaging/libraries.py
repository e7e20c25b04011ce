"""Builds the pinned libraries for one target with zig, as static archives in a prefix."""

import hashlib
import json
import os
import shutil
import subprocess

import macho_private
from sources import ROOT, WORK, fetch_all, pins

# zig compiles its runtime anew for each set of -m flags that it links with, so links go without.
SCRIPT = """#!/bin/sh
for word; do
  case $word in -c | -S | -E) exec {command} "$@" ;; esac
done
count=$#
while [ $count -gt 0 ]; do
  case $1 in -m*) ;; *) set -- "$@" "$1" ;; esac
  shift
  count=$((count - 1))
done
exec {command} "$@"
"""
# Code and data in sections of their own, so that the linker drops what nothing uses.
FLAGS = "-O2 -fPIC -ffunction-sections -fdata-sections -fno-sanitize=undefined"


def zig_program():
    """Return the path of the zig program of the pinned package (tools/wasm_requirements.txt)."""
    subprocess.run(
        ["tools/python_env.sh", ".venv-wasm", "tools/wasm_requirements.txt"], cwd=ROOT, check=True
    )
    return next((ROOT / ".venv-wasm").glob("lib/python3*/site-packages/ziglang/zig"))


def run(command, folder, log, **environment):
    """Run a command with its output in a log; its last lines are shown when it fails."""
    with log.open("ab") as file:
        result = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
    if result.returncode != 0:
        tail = log.read_text(errors="replace").splitlines()[-25:]
        raise SystemExit("\n".join([*tail, f"libraries: {command[0]} failed; log: {log}"]))


class Tools:
    """The compiler, archiver and CMake toolchain file of one target."""

    def __init__(self, target):
        self.target = target
        self.folder = WORK / target.name
        self.prefix = self.folder / "prefix"
        self.bin = self.folder / "bin"
        self.bin.mkdir(parents=True, exist_ok=True)
        cache = WORK / "zig-cache"
        self.environment = {
            "ZIG_GLOBAL_CACHE_DIR": str(cache),
            "ZIG_LOCAL_CACHE_DIR": str(cache),
            "SOURCE_DATE_EPOCH": "0",
            "PKG_CONFIG_LIBDIR": f"{self.prefix}/lib/pkgconfig:{self.prefix}/share/pkgconfig",
            "CCACHE_DISABLE": "1",
        }
        self.write_tools(zig_program())

    def write_tools(self, zig):
        """Write a script for each name that build systems call."""
        # zig alone would write debug information, which costs time and is stripped at the end.
        always = f"-g0 -ffile-prefix-map={WORK}=. -ffile-prefix-map={ROOT}=."
        for name, words in {
            "cc": f"cc -target {self.target.zig} {always}",
            "c++": f"c++ -target {self.target.zig} {always}",
            "ar": "ar",
            "ranlib": "ranlib",
            "rc": "rc",
        }.items():
            script = self.bin / name
            script.write_text(SCRIPT.format(command=f"{zig} {words}"))
            script.chmod(0o755)
        text = (ROOT / "packaging" / "toolchain.cmake.in").read_text()
        for key, value in {
            "SYSTEM": self.target.system,
            "PROCESSOR": self.target.processor,
            "BIN": self.bin,
            "PREFIX": self.prefix,
        }.items():
            text = text.replace(f"@{key}@", str(value))
        self.toolchain = self.folder / "toolchain.cmake"
        self.toolchain.write_text(text)

    def cmake(self, source, build, log, *arguments):
        """Configure SOURCE in BUILD for this target."""
        command = ["cmake", "-S", source, "-B", build, "-G", "Ninja"]
        command += [f"-DCMAKE_TOOLCHAIN_FILE={self.toolchain}", "-DCMAKE_BUILD_TYPE=Release"]
        command += [f"-DCMAKE_INSTALL_PREFIX={self.prefix}", *(f"-D{word}" for word in arguments)]
        run(command, self.folder, log, **self.environment)


def build_library(tools, pin, source):
    """Compile and install one library unless the prefix has it from the same pin."""
    stamp = tools.prefix / "stamps" / pin["name"]
    wanted = hashlib.sha256(json.dumps([pin, FLAGS]).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"libraries: {tools.target.name}: {pin['name']}", flush=True)
    build, log = tools.folder / "libraries" / pin["name"], tools.folder / f"{pin['name']}.log"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    log.unlink(missing_ok=True)
    if "configure" in pin:
        command = [source / "configure", f"--host={tools.target.host}", f"--prefix={tools.prefix}"]
        flags = {
            "CC": str(tools.bin / "cc"),
            "AR": str(tools.bin / "ar"),
            "RANLIB": str(tools.bin / "ranlib"),
            "CFLAGS": FLAGS,
        }
        run(
            [*command, "--disable-shared", "--enable-static", *pin["configure"]],
            build,
            log,
            **tools.environment,
            **flags,
        )
        run(["make", "-j2", "install", *pin["make"]], build, log, **tools.environment)
    else:
        folder = pin.get("folder", "")
        ours = folder.startswith("packaging/")
        tools.cmake(
            ROOT / folder if ours else source / folder,
            build,
            log,
            "BUILD_SHARED_LIBS=OFF",
            f"CMAKE_C_FLAGS_RELEASE={FLAGS} -DNDEBUG",
            f"CMAKE_CXX_FLAGS_RELEASE={FLAGS} -DNDEBUG",
            "CMAKE_INSTALL_LIBDIR:STRING=lib",
            "CMAKE_POLICY_DEFAULT_CMP0077=NEW",
            f"SOURCE={source}",
            *pin["cmake"],
        )
        run(["cmake", "--build", build, "-j2"], build, log, **tools.environment)
        run(["cmake", "--install", build], build, log, **tools.environment)
    if tools.target.system == "Darwin":
        macho_private.hide(tools.prefix / "lib")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted)


def build_all(tools):
    """Build every pinned library for the target of TOOLS."""
    folders = fetch_all()
    for pin in pins():
        build_library(tools, pin, folders[pin["name"]])
