#!/usr/bin/env bash
# Installs a wheel as a user would, in a new Debian without a compiler, and presses, captions, quantizes and verifies the demo there.
# usage: packaging/try_wheel.sh [--extra ort] WHEEL [SUITE [ARCHITECTURE]]   bookworm and this machine's by default; another one runs under qemu-user
# --extra ort installs lorapress[ort] and captions by ONNX Runtime too. The last line is a digest of all that was made, the same on every machine.
# Needs root and debootstrap, for another architecture qemu-user-static and binfmt-support. Systems are kept in $FOLDER (/var/tmp/lorapress-systems).
set -euo pipefail
extra=
if [ "${1:-} ${2:-}" = "--extra ort" ]; then
  extra=$2
  shift 2
fi
if [ $# -eq 0 ] || [ ! -f "$1" ]; then
  sed -n '3s/^# //p' "$0" >&2
  exit 2
fi
wheel=$(realpath "$1") suite=${2:-bookworm} own=$(dpkg --print-architecture)
architecture=${3:-$own}
cd "$(dirname "$0")/.."
folder=${FOLDER:-/var/tmp/lorapress-systems} base=$folder/$suite-$architecture root=$folder/run-$suite-$architecture
machine=$(dpkg-architecture -f -a "$architecture" -q DEB_HOST_GNU_CPU 2>/dev/null)

if [ "$architecture" != "$own" ]; then
  mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  update-binfmts --enable "qemu-$machine"
fi
if [ ! -f "$base/READY" ]; then
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian$' | head -1)
  rm -rf "$base"
  mkdir -p "$folder"
  debootstrap --variant=minbase --arch="$architecture" --include=ca-certificates,python3-venv "$suite" "$base" "$mirror" >"$folder/debootstrap.log"
  touch "$base/READY"
fi
leave() { if mountpoint -q "$root/proc"; then umount "$root/proc"; fi; rm -rf "$root"; }
trap leave EXIT
leave
cp -a "$base" "$root"
cp -r models/demo "$root/root/demo"
mkdir "$root/root/wheels"
cp "$wheel" "$root/root/wheels/"
if [ -n "$extra" ]; then # the machine's own pip knows the package index; the new system has none
  # shellcheck disable=SC2016
  version=$(chroot "$root" /usr/bin/python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
  python3 -m pip download --quiet --only-binary :all: --python-version "$version" --platform "manylinux_2_28_$machine" \
    --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" --dest "$root/root/wheels" "lorapress[$extra] @ file://$wheel"
fi
mount -t proc proc "$root/proc"
# shellcheck disable=SC2016
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/bin:/bin EXTRA="$extra" /bin/bash -euo pipefail -c '
  cd /root
  ! command -v cc g++ gcc clang cargo
  uname -m
  python3 -m venv env
  env/bin/pip --version
  now() { date +%s.%N; }
  start=$(now)
  env/bin/pip install --quiet --no-index --find-links wheels "lorapress${EXTRA:+[$EXTRA]}"
  env/bin/lorapress press demo web --dtype fp32,q4
  env/bin/lorapress caption web demo/images/scene-10000000.png
  echo "try_wheel: pip install to a caption: $(echo "$(now) $start" | awk "{ printf \"%.1f\", \$1 - \$2 }") s"
  env/bin/lorapress quantize web/onnx/encoder_model.onnx encoder_q8.onnx --dtype q8
  env/bin/lorapress verify demo web --images demo/images
  env/bin/lorapress --version --json
  env/bin/lorapress caption web demo/images/*.png >captions
  if [ "$EXTRA" = ort ]; then
    env/bin/pip freeze | grep onnxruntime
    env/bin/lorapress caption web demo/images/*.png --engine ort >captions-ort
    cmp captions captions-ort
    echo "try_wheel: --engine ort gives the same $(wc -l <captions) captions"
  fi
  echo "try_wheel: sha256 of the pressed folder, the quantized graph and the captions: $(find web encoder_q8.onnx captions -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d" " -f1)"
'
