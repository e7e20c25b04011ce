"""Fetches the pinned source packages of Debian through apt, with a state of its own."""

import hashlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build-wheels"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def pins():
    """Return the tables of pins.toml in the order of their builds."""
    with (ROOT / "packaging" / "pins.toml").open("rb") as file:
        return tomllib.load(file)["library"]


def dsc_name(package):
    """Return the name of the .dsc of NAME=VERSION; Debian leaves the epoch out."""
    name, version = package.split("=")
    return f"{name}_{version.rpartition(':')[2]}.dsc"


def upstream_version(package):
    """Return upstream's version of NAME=VERSION: without epoch, repacking and revision."""
    version = package.split("=")[1].rpartition(":")[2].rpartition("-")[0]
    return re.split(r"[.+](dfsg|ds)", version)[0]


def sha256(path):
    """Return the digest of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed_files(dsc):
    """Yield (name, sha256) of the archives that the text of a .dsc lists."""
    section = dsc.partition("\nChecksums-Sha256:")[2]
    for line in section.splitlines()[1:]:
        if not line.startswith(" "):
            return
        digest, _, name = line.split()
        yield name, digest


def check_source(folder, pin):
    """Stop unless FOLDER holds the pinned .dsc and the archives that it lists."""
    dsc = folder / dsc_name(pin["package"])
    if sha256(dsc) != pin["sha256"]:
        raise SystemExit(f"sources: {dsc.name} is not the pinned file (packaging/pins.toml)")
    for name, digest in listed_files(dsc.read_text(errors="replace")):
        if (folder / name).is_file() and sha256(folder / name) != digest:
            raise SystemExit(f"sources: {name} is not the file that {dsc.name} lists")


class Apt:
    """apt over Debian 12's sources; the system's own lists and sources stay as they are."""

    def __init__(self, folder):
        self.options = []
        for key, value in {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": folder / "sources",
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
        }.items():
            self.options += ["-o", f"{key}={value}"]
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        source = "".join(
            f"Types: deb-src\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
            f"Signed-By: {KEYRING}\n\n"
            for uri, suite in self.mirrors()
        )
        (folder / "sources" / "bookworm.sources").write_text(source)
        subprocess.run(["apt-get", "-qq", *self.options, "update"], check=True)

    @staticmethod
    def mirrors():
        """Return the machine's own mirror and, where it has one, its security archive."""
        listing = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        main = [uri for uri in listing if "security" not in uri][:1]
        security = [uri for uri in listing if "security" in uri][:1]
        return [(uri, "bookworm") for uri in main] + [
            (uri, "bookworm-security") for uri in security
        ]

    def fetch(self, package, folder):
        """Download the .dsc and the archives of NAME=VERSION into FOLDER."""
        command = ["apt-get", "-qq", *self.options, "source", "--download-only", package]
        if subprocess.run(command, cwd=folder).returncode != 0:
            raise SystemExit(
                f"sources: apt has no source {package}; where Debian has replaced it by a"
                " security update, packaging/pins.toml wants the new version and its SHA-256"
            )


def fetch_all():
    """Return {name: unpacked folder} of all pinned sources."""
    archives, unpacked = WORK / "archives", WORK / "sources"
    archives.mkdir(parents=True, exist_ok=True)
    unpacked.mkdir(parents=True, exist_ok=True)
    apt = None
    folders = {}
    for pin in pins():
        folder = unpacked / f"{pin['name']}-{pin['sha256'][:12]}"
        folders[pin["name"]] = folder
        if folder.is_dir():
            continue
        if not (archives / dsc_name(pin["package"])).is_file():
            apt = apt or Apt(WORK / "apt")
            apt.fetch(pin["package"], archives)
        check_source(archives, pin)
        scratch = unpacked / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        dsc = archives / dsc_name(pin["package"])
        subprocess.run(
            ["dpkg-source", "--no-check", "-x", dsc, scratch], check=True, stdout=subprocess.DEVNULL
        )
        scratch.rename(folder)
    return folders
