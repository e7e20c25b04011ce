"""Makes the symbols of static archives for macOS private: a library made of them exports none.

On Linux a version script does so for the whole library; zig's linker for macOS follows no list.
"""

import struct

ARCHIVE = b"!<arch>\n"
MACHO = 0xFEEDFACF
SYMTAB = 2  # LC_SYMTAB
STAB, PRIVATE, TYPE, EXTERNAL = 0xE0, 0x10, 0x0E, 0x01  # bits of nlist_64's n_type


def members(data):
    """Yield (offset, size) of the files in an archive, BSD's long names left out."""
    at = len(ARCHIVE)
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode(), int(data[at + 48 : at + 58])
        skipped = int(name[3:]) if name.startswith("#1/") else 0
        yield at + 60 + skipped, size - skipped
        at += 60 + size + size % 2


def make_private(data):
    """Set N_PEXT in DATA, an archive, on what its objects define; return how many symbols."""
    changed = 0
    for start, size in members(data):
        if size < 32 or struct.unpack_from("<I", data, start)[0] != MACHO:
            continue
        at = start + 32
        for _ in range(struct.unpack_from("<I", data, start + 16)[0]):
            command, length, symbols, count = struct.unpack_from("<4I", data, at)
            at += length
            if command != SYMTAB:
                continue
            for kind_at in range(start + symbols + 4, start + symbols + 16 * count, 16):
                kind = data[kind_at]
                defined = not kind & STAB and kind & TYPE and kind & EXTERNAL
                if defined and not kind & PRIVATE:
                    data[kind_at] = kind | PRIVATE
                    changed += 1
    return changed


def hide(folder):
    """Do so with every archive in FOLDER."""
    for path in sorted(folder.glob("*.a")):
        data = bytearray(path.read_bytes())
        if data.startswith(ARCHIVE) and make_private(data):
            path.write_bytes(data)
