"""Writes a wheel: the same files give the same bytes, whatever the user and the day."""

import base64
import hashlib
import zipfile

# The oldest time that a zip file can hold; SOURCE_DATE_EPOCH is for those who want another.
EPOCH = (1980, 1, 1, 0, 0, 0)
EXECUTABLE, PLAIN = 0o100755, 0o100644


def record_line(name, data):
    """Return the row of RECORD for one file (PEP 376, PEP 427)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def wheel_text(tag):
    """Return the file WHEEL."""
    lines = ["Wheel-Version: 1.0", "Generator: lorapress packaging", "Root-Is-Purelib: false"]
    return "\n".join([*lines, f"Tag: py3-none-{tag}"]) + "\n"


def metadata_text(project, version, license_files, readme):
    """Return METADATA (2.4) from the [project] table of python/pyproject.toml."""
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {version}"]
    lines.append(f"Summary: {project['description']}")
    if project.get("keywords"):
        lines.append(f"Keywords: {','.join(project['keywords'])}")
    lines.append("License-Expression: Apache-2.0")
    lines += [f"License-File: {name}" for name in license_files]
    lines.append(f"Requires-Python: {project['requires-python']}")
    lines += [f"Requires-Dist: {need}" for need in project.get("dependencies", ())]
    for extra, needs in sorted(project.get("optional-dependencies", {}).items()):
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {need}; extra == "{extra}"' for need in needs]
    lines.append("Description-Content-Type: text/markdown")
    return "\n".join(lines) + "\n\n" + readme


def entry_points_text(project):
    """Return entry_points.txt, or nothing where the project has no scripts."""
    scripts = project.get("scripts", {})
    if not scripts:
        return ""
    rows = [f"{name} = {call}" for name, call in sorted(scripts.items())]
    return "\n".join(["[console_scripts]", *rows]) + "\n"


def is_executable(name):
    """Whether a file of the wheel is a program."""
    return name.startswith("lorapress/bin/")


def write_wheel(path, version, tag, files, metadata):
    """Write PATH of FILES {name in the wheel: bytes} and METADATA {name in dist-info: text}."""
    info = f"lorapress-{version}.dist-info"
    entries = dict(files)
    entries |= {f"{info}/{name}": text.encode() for name, text in metadata.items() if text}
    entries[f"{info}/WHEEL"] = wheel_text(tag).encode()
    names = sorted(entries, key=lambda name: (name.startswith(info), name))
    record = "".join(record_line(name, entries[name]) + "\n" for name in names)
    entries[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*names, f"{info}/RECORD"]:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whose permissions follow
            entry.external_attr = (EXECUTABLE if is_executable(name) else PLAIN) << 16
            archive.writestr(entry, entries[name], compresslevel=9)
