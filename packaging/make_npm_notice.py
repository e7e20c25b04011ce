"""Writes NOTICE and THIRD_PARTY_LICENSES of the npm package `lorapress`.

usage: python3 packaging/make_npm_notice.py FOLDER
"""

import sys
from pathlib import Path

import inventory


def main():
    """Write both files, of what is inside the package; what npm installs beside it has its own."""
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    folder = Path(sys.argv[1])
    parts = [part for part in inventory.npm_packages() if part.inside]
    if bare := ", ".join(part.name for part in parts if not part.texts):
        sys.exit(f"make_npm_notice: no licence text of {bare}; is web/node_modules there?")
    (folder / "NOTICE").write_text(inventory.notice(parts, inventory.NPM_INTRODUCTION))
    (folder / "THIRD_PARTY_LICENSES").write_text(inventory.license_texts(parts))


if __name__ == "__main__":
    main()
