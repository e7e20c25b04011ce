"""Writes the SBOM of each npm package (*.tgz) in a folder beside it, and SHA256SUMS.

usage: python3 packaging/make_npm_sbom.py FOLDER
"""

import sys
from pathlib import Path

import inventory
from make_wheels import write_sums


def main():
    """Write FOLDER/NAME.cdx.json for each FOLDER/NAME.tgz."""
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    folder = Path(sys.argv[1])
    packages = sorted(folder.glob("*.tgz"))
    if not packages:
        sys.exit(f"make_npm_sbom: no .tgz in {folder}")
    parts = inventory.npm_packages()
    for path in packages:
        bom = inventory.sbom(path.name, parts, inventory.commit(), kind="npm")
        (folder / f"{path.stem}.cdx.json").write_text(bom)
    write_sums(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
