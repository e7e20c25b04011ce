#!/usr/bin/env bash
# Fetches what Debian 12 does not package, pinned and checked, through pip and apt clients:
#   onnxruntime/lib      libonnxruntime.so from the PyPI wheel (loaded with dlopen, never linked)
#   onnxruntime/include  C and C++ API headers from Debian 13's libonnxruntime-dev (header only)
#   onnx                 ONNX sources and .proto files from the PyPI wheel
# usage: tools/fetch_deps.sh [DEST]    (default .deps; does nothing when DEST already holds these pins)
set -euo pipefail
cd "$(dirname "$0")/.."
dest=${1:-.deps}

ort=1.32.0 # one line per machine type: tools/fetch_deps.sh knows the wheel by its hash
# shellcheck disable=SC2034
ort_x86_64=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
# shellcheck disable=SC2034
ort_aarch64=2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
onnx=1.23.2 # sources only, so every machine takes the x86_64 wheel
onnx_hash=c03ecf6b835d136108eeaeeafbd0026fc7b3cf98661409fbc6b63d5a29361348
headers=1.21.0 # Debian's version starts with this
headers_hash=85e733da5cad0e8a2c7bf035279904ae0795c54a3a82a989f6139965b419e528 # of all headers, in name order

machine=$(uname -m)
ort_hash_name=ort_$machine
ort_hash=${!ort_hash_name:-}
if [ -z "$ort_hash" ]; then
  echo "fetch_deps: no pinned ONNX Runtime for machine type '$machine' (known: x86_64, aarch64)" >&2
  exit 1
fi
pins="onnxruntime $ort $ort_hash
onnx $onnx $onnx_hash
headers $headers $headers_hash
layout 1"
if [ "$(cat "$dest/stamp" 2>/dev/null)" = "$pins" ]; then
  exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/lorapress-deps.XXXXXX")
trap 'rm -rf "$work"' EXIT
new=$work/new
mkdir -p "$work/wheels" "$new/onnxruntime/lib" "$new/onnxruntime/include" "$new/onnx"
echo "fetch_deps: ONNX Runtime $ort, ONNX $onnx, ONNX Runtime headers $headers"

# One Python version and platform is named, so any python3 fetches the same two files.
wheel() { # NAME VERSION SHA256 MACHINE
  printf '%s==%s --hash=sha256:%s\n' "$1" "$2" "$3" >"$work/requirements.txt"
  PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip download -q --no-deps --only-binary :all: \
    --require-hashes -r "$work/requirements.txt" -d "$work/wheels" --implementation cp \
    --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$4"
}
unzip_to() { mkdir -p "$2" && (cd "$2" && cmake -E tar xf "$1"); }

wheel onnxruntime "$ort" "$ort_hash" "$machine"
unzip_to "$(echo "$work"/wheels/onnxruntime-*.whl)" "$work/onnxruntime"
cp "$work/onnxruntime/onnxruntime/capi/libonnxruntime.so.$ort" "$new/onnxruntime/lib/"
cp "$work/onnxruntime/onnxruntime/LICENSE" "$work/onnxruntime/onnxruntime/ThirdPartyNotices.txt" \
  "$new/onnxruntime/"

wheel onnx "$onnx" "$onnx_hash" x86_64
unzip_to "$(echo "$work"/wheels/onnx-*.whl)" "$work/onnx"
(cd "$work/onnx" && find onnx \( -name test -o -name backend \) -prune -o \
  \( -name '*.cc' -o -name '*.h' -o -name '*.proto' \) -print0 | tar cf - --null -T -) |
  tar xf - -C "$new/onnx"

# apt with a private state folder: the system's sources and lists stay as they are.
apt_dir=$work/apt
mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" "$apt_dir/sources"
: >"$apt_dir/status"
# shellcheck disable=SC2016
targets=$(apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(REPO_URI)' 'Created-By: Packages')
mirror=$(awk '$1 == "Debian/Debian" { print $2; exit }' <<<"$targets")
if [ -z "$mirror" ]; then # lists were never fetched: no origin is known yet
  mirror=$(awk '$NF !~ /security/ { print $NF; exit }' <<<"$targets")
fi
printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$mirror" \
  /usr/share/keyrings/debian-archive-keyring.gpg >"$apt_dir/sources/trixie.sources"
apt() {
  apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt_dir/sources" \
    -o Dir::State::Lists="$apt_dir/lists" -o Dir::State::status="$apt_dir/status" \
    -o Dir::Cache="$apt_dir/cache" -o Acquire::Languages=none -o Acquire::Retries=3 \
    -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$work" && apt download "libonnxruntime-dev=$headers*")
dpkg -x "$work"/libonnxruntime-dev_*.deb "$work/deb"
cp -r "$work/deb/usr/include/onnxruntime/." "$new/onnxruntime/include/"
found=$(cd "$new/onnxruntime/include" && find . -type f -print0 | LC_ALL=C sort -z |
  xargs -0 cat | sha256sum | cut -d' ' -f1)
if [ "$found" != "$headers_hash" ]; then
  echo "fetch_deps: ONNX Runtime headers have sha256 $found, expected $headers_hash" >&2
  exit 1
fi

# DEST appears complete or not at all: copied beside it, stamped last, then renamed.
rm -rf "$dest.new"
mkdir -p "$(dirname "$dest")"
cp -r "$new" "$dest.new"
printf '%s\n' "$pins" >"$dest.new/stamp"
rm -rf "$dest"
mv "$dest.new" "$dest"
