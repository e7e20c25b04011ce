"""What is inside an artifact besides LoraPress itself: components with version, licence and source.

One place per fact: packaging/pins.toml (C and C++ libraries), tools/fetch_deps.sh (ONNX, ONNX
Runtime's headers), tokenizer/Cargo.lock (Rust crates), tools/wasm_requirements.txt (the compiler,
whose C++ library is linked), web/package-lock.json (npm). From them this file makes the SBOM
(CycloneDX 1.6) and the licence texts. Nothing here is written by hand.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from sources import ROOT, pins, upstream_version

LICENSE_FILE = re.compile(r"(?i)^(licen[cs]e|copying|notice|unlicense)")
ZIG = ROOT / ".venv-wasm"  # where tools/python_env.sh installs tools/wasm_requirements.txt
# For parts that are published without it.
MIT = """MIT License

Copyright (c) {holder}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
WHEEL_INTRODUCTION = """\
LoraPress, Apache-2.0 (LICENSE). This artifact also holds the parts below, linked
statically; their licence texts are in THIRD_PARTY_LICENSES. Sources: Debian's source
packages (pkg:deb), crates.io (pkg:cargo) and PyPI (pkg:pypi) have them under these names
and versions. Parts under the LGPL (libexif, libmicrohttpd) may be replaced: LoraPress is
free software, and `make wheels` in its source builds this artifact again from them,
changed or not.
"""
NPM_INTRODUCTION = """\
LoraPress, Apache-2.0 (LICENSE). This package also holds the parts below; their licence
texts are in THIRD_PARTY_LICENSES. npm (pkg:npm) and PyPI (pkg:pypi) have them under these
names and versions.
"""
# What of the npm package is whose, beside the modules, which esbuild makes of what they import.
NPM_FILES = {"onnxruntime-web": "lorapress/cpu.js and webgpu.js; npm installs the rest"}


@dataclass
class Component:
    """One part of an artifact."""

    name: str
    version: str
    license: str  # SPDX expression
    purl: str
    sha256: str = ""  # of what was fetched
    texts: list = field(default_factory=list)  # licence texts
    scope: str = ""  # what of it is in the artifact, where it is not all
    inside: bool = True  # or installed beside the artifact


def project_version():
    """Return LoraPress's version, which CMakeLists.txt has."""
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"project\(lorapress VERSION ([0-9.]+)", text)[1]


def shell_pin(name):
    """Return a pin of tools/fetch_deps.sh."""
    text = (ROOT / "tools" / "fetch_deps.sh").read_text()
    return re.search(rf"^{name}=(\S+)", text, re.MULTILINE)[1]


def read_texts(folder, names):
    """Return the texts of the licence files NAMES in FOLDER."""
    return [(folder / name).read_text(errors="replace") for name in names]


def libraries(sources):
    """Return the C and C++ libraries; SOURCES is what sources.fetch_all returned."""
    found = []
    for pin in pins():
        package, version = pin["package"].split("=")
        purl = f"pkg:deb/debian/{package}@{version}?arch=source&distro=bookworm"
        texts = read_texts(sources[pin["name"]], pin["notices"]) if sources else []
        found.append(
            Component(
                pin["name"],
                upstream_version(pin["package"]),
                pin["license"],
                purl,
                pin["sha256"],
                texts,
            )
        )
    return found


def fetched(deps):
    """Return what tools/fetch_deps.sh brings and the program is compiled with."""
    onnx, headers = shell_pin("onnx"), shell_pin("headers")
    apache = (ROOT / "LICENSE").read_text()
    notice = deps / "onnxruntime" / "LICENSE"
    mit = notice.read_text(errors="replace") if notice.is_file() else ""
    return [
        Component(
            "onnx",
            onnx,
            "Apache-2.0",
            f"pkg:pypi/onnx@{onnx}",
            shell_pin("onnx_hash"),
            [apache],
            "checker and shape inference, compiled from the wheel's sources",
        ),
        Component(
            "onnxruntime",
            headers,
            "MIT",
            f"pkg:deb/debian/onnxruntime@{headers}?distro=trixie",
            shell_pin("headers_hash"),
            [mit],
            "headers only; the library is opened where it is installed",
        ),
    ]


def crates(rust_target):
    """Return the Rust crates that are linked for a target, and Rust's own library."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    command += ["--filter-platform", rust_target]
    run = subprocess.run(
        [*command, "--manifest-path", ROOT / "tokenizer" / "Cargo.toml"],
        check=True,
        capture_output=True,
        text=True,
    )
    graph = json.loads(run.stdout)
    lock = (ROOT / "tokenizer" / "Cargo.lock").read_text()
    sums = dict(
        re.findall(
            r'name = "(\S+)"\nversion = "\S+"\nsource = .*\nchecksum = "(\w+)"',
            lock,
        )
    )
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    packages = {package["id"]: package for package in graph["packages"]}
    linked, wanted = set(), [graph["resolve"]["root"]]
    while wanted:  # normal dependencies only: what builds or tests is not in the program
        for dependency in nodes[wanted.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            macro = "proc-macro" in packages[dependency["pkg"]]["targets"][0]["kind"]
            if normal and not macro and dependency["pkg"] not in linked:
                linked.add(dependency["pkg"])
                wanted.append(dependency["pkg"])
    found = []
    for package in sorted((packages[key] for key in linked), key=lambda row: row["name"]):
        folder = Path(package["manifest_path"]).parent
        files = sorted(p.name for p in folder.iterdir() if LICENSE_FILE.match(p.name))
        files = [name for name in files if (folder / name).is_file()]
        license_id = (package["license"] or "").replace("/", " OR ")
        found.append(
            Component(
                package["name"],
                package["version"],
                license_id,
                f"pkg:cargo/{package['name']}@{package['version']}",
                sums.get(package["name"], ""),
                read_texts(folder, files),
            )
        )
    rust = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    version = rust.stdout.split()[1]
    purl = f"pkg:generic/rust-std@{version}"
    texts = [MIT.format(holder="The Rust Project contributors")]
    return [*found, Component("rust-std", version, "MIT OR Apache-2.0", purl, texts=texts)]


def zig():
    """Return the compiler's version, and its folder where it is installed."""
    text = (ROOT / "tools" / "wasm_requirements.txt").read_text()
    version = re.search(r"^ziglang==(\S+)", text, re.MULTILINE)[1]
    return version, next(ZIG.glob("lib/python3*/site-packages/ziglang"), None)


def compiler(libraries=("libcxx", "libcxxabi", "libunwind")):
    """Return zig, of which LLVM's LIBRARIES and the compiler's own routines are linked."""
    version, home = zig()
    names = ["LICENSE", *(f"lib/{library}/LICENSE.TXT" for library in libraries)]
    return Component(
        "ziglang",
        version,
        "MIT AND Apache-2.0 WITH LLVM-exception",
        f"pkg:pypi/ziglang@{version}",
        texts=read_texts(home, names) if home else [],
        scope=f"{', '.join(libraries)} and compiler-rt of LLVM, as shipped with it",
    )


def c_runtime(system):
    """Return what is linked of a C library: on Windows mingw-w64's part, elsewhere nothing."""
    if system != "Windows":
        return []
    version, home = zig()
    texts = read_texts(home, ["lib/libc/mingw/COPYING"]) if home else []
    return [
        Component(
            "mingw-w64",
            f"of-zig-{version}",
            "ZPL-2.1 AND MIT",
            f"pkg:pypi/ziglang@{version}#lib/libc/mingw",
            texts=[*texts, MIT.format(holder="2011-2016 mingw-w64 project")],
            scope="start-up code, threads and what Windows's C library lacks, as shipped with zig",
        )
    ]


def npm_texts(name):
    """Return the licence texts of an npm package of web/."""
    folder = ROOT / "web" / "node_modules" / name
    files = sorted(path.name for path in folder.glob("*") if LICENSE_FILE.match(path.name))
    if not files and name.startswith("onnxruntime-"):
        return [MIT.format(holder="Microsoft Corporation")]
    return read_texts(folder, files)


def npm_packages():
    """Return what the npm package depends on, and what its files hold of others."""
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())["packages"]
    sources = (ROOT / "web" / "src").rglob("*.ts")
    imports = set(
        re.findall(
            r'(?:from |import\()"((?:@[^"/]+/)?[^"./][^"/]*)',
            "".join(p.read_text() for p in sources),
        )
    )
    found = []
    for key, row in sorted(lock.items()):
        name = key.rpartition("node_modules/")[2]
        bundled = row.get("dev") and name in imports and key == f"node_modules/{name}"
        if not key or (row.get("dev") and not bundled):
            continue
        inside = bundled or name in NPM_FILES
        scope = NPM_FILES.get(
            name, "inside the modules" if bundled else "a dependency that npm installs"
        )
        purl = f"pkg:npm/{name.replace('@', '%40')}@{row['version']}"
        texts = npm_texts(name) if inside else []
        license_id = row.get("license", "")
        found.append(Component(name, row["version"], license_id, purl, "", texts, scope, inside))
    return [*found, compiler(["libcxx"])]


def sbom(name, components, commit, package="pypi/lorapress"):
    """Return the SBOM of one artifact as JSON; the same components give the same bytes."""
    root = f"pkg:{package}@{project_version()}"
    rows = []
    for part in components:
        row = {
            "type": "library",
            "bom-ref": part.purl,
            "name": part.name,
            "version": part.version,
            "purl": part.purl,
        }
        if part.license:
            row["licenses"] = [{"expression": part.license}]
        if part.sha256:
            row["hashes"] = [{"alg": "SHA-256", "content": part.sha256}]
        if part.scope:
            row["description"] = part.scope
        rows.append(row)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "lorapress",
                "version": project_version(),
                "purl": root,
                "licenses": [{"expression": "Apache-2.0"}],
                "properties": [
                    {"name": "lorapress:artifact", "value": name},
                    {"name": "lorapress:commit", "value": commit},
                ],
            }
        },
        "components": rows,
        "dependencies": [{"ref": root, "dependsOn": [part.purl for part in components]}],
    }
    return json.dumps(document, indent=1) + "\n"


def sbom_of_same_parts(document, name, package):
    """Return DOCUMENT, the SBOM of a wheel, as that of another artifact with the same programs."""
    document = json.loads(document)
    root = f"pkg:{package}@{project_version()}"
    component = document["metadata"]["component"]
    component |= {"bom-ref": root, "purl": root}
    component["properties"][0]["value"] = name
    document["dependencies"][0]["ref"] = root
    return json.dumps(document, indent=1) + "\n"


def notice(components, introduction=WHEEL_INTRODUCTION):
    """Return NOTICE: what is inside, under which licence, and where its source is."""
    lines = [introduction]
    for part in components:
        scope = f" ({part.scope})" if part.scope else ""
        lines.append(f"{part.name} {part.version}: {part.license}; {part.purl}{scope}")
    return "\n".join(lines) + "\n"


def license_texts(components):
    """Return all licence texts, each once, above it the components that it is of."""
    owners = {}
    for part in components:
        for text in part.texts:
            owners.setdefault(text.strip().replace("\r\n", "\n"), []).append(part.name)
    parts = []
    for text, names in owners.items():
        parts.append(
            "=" * 78 + "\n" + ", ".join(dict.fromkeys(names)) + "\n" + "=" * 78 + f"\n{text}\n"
        )
    return "\n".join(parts)


def commit():
    """Return the commit of the source tree, with "-dirty" where tracked files differ."""
    if given := os.environ.get("LORAPRESS_COMMIT"):
        return given
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        return "unknown"
    clean = subprocess.run([*git, "diff", "--quiet", "HEAD"]).returncode == 0
    return head.stdout.strip() + ("" if clean else "-dirty")
