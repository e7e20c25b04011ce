"""What a program asks of the system: libraries and symbol versions, read from its bytes.

ELF (Linux), Mach-O (macOS) and PE (Windows) by their public descriptions: System V gABI,
mach-o/loader.h, Microsoft's PE format.
"""

import struct
from dataclasses import dataclass, field

# The C library's own parts, as manylinux policies list them.
LINUX_LIBRARIES = {
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}
MACOS_PREFIXES = ("/usr/lib/libSystem.", "/usr/lib/libresolv.")
WINDOWS_LIBRARIES = {
    "advapi32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "kernel32.dll",
    "ntdll.dll",
    "shell32.dll",
    "user32.dll",
    "userenv.dll",
    "ws2_32.dll",
}


@dataclass
class Binary:
    """The facts of one binary."""

    kind: str  # "elf", "macho" or "pe"
    machine: str  # as Target.processor
    libraries: list = field(default_factory=list)
    versions: set = field(default_factory=set)  # of ELF symbols, as "GLIBC_2.17"


def text_at(data, offset):
    """Return the NUL-terminated string at OFFSET."""
    return data[offset : data.index(b"\0", offset)].decode()


def read_elf(data):
    """Read a 64-bit little-endian ELF file."""
    if data[4] != 2 or data[5] != 1:
        raise ValueError("an ELF file that is not 64-bit little-endian")
    machine = struct.unpack_from("<H", data, 18)[0]
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
    found = Binary("elf", {62: "x86_64", 183: "aarch64"}.get(machine, str(machine)))
    for _, kind, _, _, offset, size, link, info, _, _ in sections:
        strings = sections[link][4] if link < count else 0
        if kind == 6:  # SHT_DYNAMIC
            for at in range(offset, offset + size, 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                if tag == 1:  # DT_NEEDED
                    found.libraries.append(text_at(data, strings + value))
        elif kind == 0x6FFFFFFE:  # SHT_GNU_verneed
            at = offset
            for _ in range(info):
                _, names, _, first, following = struct.unpack_from("<HHIII", data, at)
                name_at = at + first
                for _ in range(names):
                    _, _, _, name, next_name = struct.unpack_from("<IHHII", data, name_at)
                    found.versions.add(text_at(data, strings + name))
                    name_at += next_name
                at += following
    return found


def read_macho(data):
    """Read a 64-bit Mach-O file of one architecture."""
    cpu, count = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    found = Binary("macho", {0x01000007: "x86_64", 0x0100000C: "arm64"}.get(cpu, str(cpu)))
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command & 0x7FFFFFFF in (0x0C, 0x18, 0x1F):  # LC_LOAD_DYLIB, weak, re-exported
            found.libraries.append(text_at(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        at += size
    return found


def read_pe(data):
    """Read the import table of a 64-bit PE file."""
    header = struct.unpack_from("<I", data, 0x3C)[0]
    machine, count = struct.unpack_from("<HH", data, header + 4)
    optional = header + 24
    imports = struct.unpack_from("<I", data, optional + 120)[0]
    sections_at = optional + struct.unpack_from("<H", data, header + 20)[0]
    sections = [struct.unpack_from("<IIII", data, sections_at + 40 * i + 8) for i in range(count)]

    def offset(address):
        for size, start, raw_size, raw in sections:
            if start <= address < start + max(size, raw_size):
                return raw + address - start
        raise ValueError(f"no section holds the address {address:#x}")

    found = Binary("pe", {0x8664: "AMD64", 0xAA64: "ARM64"}.get(machine, str(machine)))
    at = offset(imports) if imports else None
    while at is not None and (name := struct.unpack_from("<I", data, at + 12)[0]):
        found.libraries.append(text_at(data, offset(name)))
        at += 20
    return found


def read_binary(data):
    """Return the facts of a binary, or None where DATA is none."""
    if data[:4] == b"\x7fELF":
        return read_elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return read_macho(data)
    if data[:2] == b"MZ":
        return read_pe(data)
    return None


def numbers(text):
    """Return the version after the last underscore as a tuple: "GLIBC_2.17" is (2, 17)."""
    return tuple(int(part) for part in text.rpartition("_")[2].split("."))


def complaints(binary, target, own=()):
    """Yield what keeps BINARY from running on every machine that the target's tag names.

    OWN are names of libraries that lie in the same wheel.
    """
    binary.libraries = [name for name in binary.libraries if name.rpartition("/")[2] not in own]
    if binary.machine != target.processor:
        yield f"is for {binary.machine}, expected {target.processor}"
    if binary.kind == "elf":
        for library in sorted(set(binary.libraries) - LINUX_LIBRARIES):
            yield f"needs {library}, which is not part of the C library"
        newest = tuple(int(part) for part in target.zig.rpartition("gnu.")[2].split("."))
        for version in sorted(binary.versions):
            name = version.rpartition("_")[0]
            if name != "GLIBC":
                yield f"needs symbols of {version}"
            elif numbers(version) > newest:
                yield f"needs {version}, newer than that of {target.zig}"
    elif binary.kind == "macho":
        for library in binary.libraries:
            if not library.startswith(MACOS_PREFIXES):
                yield f"needs {library}"
    else:
        for library in binary.libraries:
            name = library.lower()
            if name not in WINDOWS_LIBRARIES and not name.startswith("api-ms-win-"):
                yield f"needs {library}"
