"""What a program asks of the system: libraries and symbol versions, read from its bytes.

ELF (Linux), Mach-O (macOS) and PE (Windows) by their public descriptions: System V gABI,
mach-o/loader.h, Microsoft's PE format.
"""

import hashlib
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
WINDOWS_LIBRARIES = {  # of Windows 10, besides the universal C runtime (api-ms-win-...)
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
    system: str = ""  # the oldest macOS that loads it, as "11.0"
    signature: str = ""  # of Mach-O: "none", "ad hoc", or what is wrong with it


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


def check_signature(data, start):
    """Return "ad hoc" where the code signature at START holds the digests of DATA's pages.

    Its numbers are big-endian (xnu's osfmk/kern/cs_blobs.h). macOS on arm64 ends a program whose
    pages have other digests than its signature says.
    """
    magic, _, count = struct.unpack_from(">III", data, start)
    if magic != 0xFADE0CC0:
        return "is no signature"
    slots = [struct.unpack_from(">II", data, start + 12 + 8 * i) for i in range(count)]
    directory = next((start + offset for kind, offset in slots if kind == 0), None)
    if directory is None:
        return "has no code directory"
    _, _, _, flags, hashes, _, _, pages, end = struct.unpack_from(">9I", data, directory)
    length, kind, _, page_bits = struct.unpack_from(">4B", data, directory + 36)
    if (length, kind) != (32, 2):
        return f"has digests of kind {kind}, expected SHA-256"
    if end != start:
        return f"covers {end} bytes of the {start} before it"
    page = 1 << page_bits
    if pages != -(-end // page):
        return f"has {pages} digests, expected {-(-end // page)}"
    for i in range(pages):
        digest = hashlib.sha256(data[i * page : min((i + 1) * page, end)]).digest()
        at = directory + hashes + 32 * i
        if data[at : at + 32] != digest:
            return f"has another digest of page {i}"
    return "ad hoc" if flags & 2 else "is not ad hoc"


def read_macho(data):
    """Read a 64-bit Mach-O file of one architecture."""
    cpu, count = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    found = Binary("macho", {0x01000007: "x86_64", 0x0100000C: "arm64"}.get(cpu, str(cpu)))
    found.signature = "none"
    at = 32
    for _ in range(count):
        command, size, first, second = struct.unpack_from("<4I", data, at)
        if command & 0x7FFFFFFF in (0x0C, 0x18, 0x1F):  # LC_LOAD_DYLIB, weak, re-exported
            found.libraries.append(text_at(data, at + first))
        elif command == 0x32 and first == 1:  # LC_BUILD_VERSION, PLATFORM_MACOS
            found.system = f"{second >> 16}.{second >> 8 & 255}"
        elif command == 0x24:  # LC_VERSION_MIN_MACOSX
            found.system = f"{first >> 16}.{first >> 8 & 255}"
        elif command == 0x1D:  # LC_CODE_SIGNATURE
            found.signature = check_signature(data, first)
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


def elf_complaints(binary, target):
    """Yield what a Linux of the target's C library lacks."""
    for library in sorted(set(binary.libraries) - LINUX_LIBRARIES):
        yield f"needs {library}, which is not part of the C library"
    newest = numbers(target.zig.rpartition("gnu.")[2])
    for version in sorted(binary.versions):
        name = version.rpartition("_")[0]
        if name != "GLIBC":
            yield f"needs symbols of {version}"
        elif numbers(version) > newest:
            yield f"needs {version}, newer than that of {target.zig}"


def macho_complaints(binary, target):
    """Yield what keeps macOS of the target's version from loading it."""
    for library in binary.libraries:
        if not library.startswith(MACOS_PREFIXES):
            yield f"needs {library}"
    oldest = target.zig.rpartition("macos.")[2]
    if not binary.system or numbers(binary.system) > numbers(oldest):
        yield f"is for macOS {binary.system or 'of no version'}, expected {oldest}"
    if binary.signature == "none" and target.processor == "arm64":
        yield "has no signature, without which macOS on arm64 runs nothing"
    elif binary.signature not in ("none", "ad hoc"):
        yield f"has a signature that {binary.signature}"


def pe_complaints(binary, _):
    """Yield what Windows 10 lacks."""
    for library in binary.libraries:
        name = library.lower()
        if name not in WINDOWS_LIBRARIES and not name.startswith("api-ms-win-"):
            yield f"needs {library}"


def complaints(binary, target, own=()):
    """Yield what keeps BINARY from running on every machine that the target's tag names.

    OWN are names of libraries that lie in the same wheel.
    """
    binary.libraries = [name for name in binary.libraries if name.rpartition("/")[2] not in own]
    if binary.machine != target.processor:
        yield f"is for {binary.machine}, expected {target.processor}"
    of_kind = {"elf": elf_complaints, "macho": macho_complaints, "pe": pe_complaints}
    yield from of_kind[binary.kind](binary, target)
