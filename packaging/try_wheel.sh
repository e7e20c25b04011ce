#!/usr/bin/env bash
# Installs a wheel as a user would, in a new Debian without a compiler, and presses, captions, quantizes and verifies the demo there.
# usage: packaging/try_wheel.sh WHEEL [SUITE [ARCHITECTURE]]   bookworm and this machine's by default; another one runs under qemu-user
# Needs root and debootstrap, for another architecture qemu-user-static and binfmt-support. Systems are kept in $FOLDER (/var/tmp/lorapress-systems).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
wheel=$(realpath "$1") suite=${2:-bookworm} architecture=${3:-$(dpkg --print-architecture)}
cd "$(dirname "$0")/.."
folder=${FOLDER:-/var/tmp/lorapress-systems} base=$folder/$suite-$architecture root=$folder/run-$suite-$architecture

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
cp "$wheel" "$root/root/"
mount -t proc proc "$root/proc"
# shellcheck disable=SC2016
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/bin:/bin WHEEL="/root/$(basename "$wheel")" /bin/bash -euc '
  cd /root
  ! command -v cc g++ gcc clang cargo
  python3 -m venv env
  env/bin/pip --version
  now() { date +%s.%N; }
  start=$(now)
  env/bin/pip install --quiet --no-index --no-deps "$WHEEL"
  env/bin/lorapress press demo web --dtype fp32,q4
  env/bin/lorapress caption web demo/images/scene-10000000.png
  echo "try_wheel: pip install to a caption: $(echo "$(now) $start" | awk "{ printf \"%.1f\", \$1 - \$2 }") s"
  env/bin/lorapress quantize web/onnx/encoder_model.onnx encoder_q8.onnx --dtype q8
  env/bin/lorapress verify demo web --images demo/images
  env/bin/lorapress --version --json
'
