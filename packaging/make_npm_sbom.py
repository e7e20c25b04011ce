"""Writes the SBOM of each npm package (*.tgz) in a folder beside it, and SHA256SUMS.

usage: python3 packaging/make_npm_sbom.py FOLDER
"""

import json
import sys
import tarfile
from pathlib import Path

import inventory
from make_wheels import write_sums

OF_WHEEL = "package/lorapress.cdx.json"  # in a package whose program a wheel has, too


def sbom_of(path):
    """Return the SBOM of one package."""
    with tarfile.open(path) as archive:
        name = json.load(archive.extractfile("package/package.json"))["name"]
        package = f"npm/{name.replace('@', '%40')}"
        if OF_WHEEL in archive.getnames():
            document = archive.extractfile(OF_WHEEL).read()
            return inventory.sbom_of_same_parts(document, path.name, package)
    parts = inventory.npm_packages() if name == "lorapress" else []  # @lorapress/cli is one file
    return inventory.sbom(path.name, parts, inventory.commit(), package)


def main():
    """Write FOLDER/NAME.cdx.json for each FOLDER/NAME.tgz."""
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    folder = Path(sys.argv[1])
    packages = sorted(folder.glob("*.tgz"))
    if not packages:
        sys.exit(f"make_npm_sbom: no .tgz in {folder}")
    for path in packages:
        (folder / f"{path.stem}.cdx.json").write_text(sbom_of(path))
    write_sums(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
