#!/usr/bin/env bash
# Runs the program and the library of a Windows wheel under Wine: presses, captions, quantizes, verifies and serves the demo, and compares every byte with
# what this machine's program makes of it. usage: packaging/try_windows.sh WHEEL [PROGRAM]   PROGRAM: build/lorapress, or that of a Linux wheel
# Needs the compiler of `make wheels` and Debian's wine64, which it installs where it is missing. All else lies in a folder that is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=${1:-} own=$(realpath "${2:-build/lorapress}")
if [ ! -f "$wheel" ] || [ ! -x "$own" ]; then
  sed -n '3s/.*usage/usage/p' "$0" >&2
  exit 2
fi
find_wine() { find /usr/lib/wine -name wine64 2>/dev/null | grep . || command -v wine64 || command -v wine; }
if ! wine=$(find_wine); then
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends wine64 >/dev/null
  wine=$(find_wine)
fi
tools/python_env.sh .venv-wasm tools/wasm_requirements.txt
zig=$(echo "$PWD"/.venv-wasm/lib/python3*/site-packages/ziglang/zig)
export ZIG_GLOBAL_CACHE_DIR=$PWD/build-wheels/zig-cache ZIG_LOCAL_CACHE_DIR=$PWD/build-wheels/zig-cache

scratch=$(mktemp -d "${TMPDIR:-/tmp}/lorapress-windows.XXXXXX")
export WINEPREFIX=$scratch/prefix WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
server=
leave() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  "$wine" wineboot --kill 2>/dev/null || true
  for _ in 1 2 3 4 5; do # Wine's server writes its registry last
    if rm -rf "$scratch" 2>/dev/null; then break; fi
    sleep 1
  done
}
trap leave EXIT
python3 -m zipfile -e "$wheel" "$scratch/wheel"
bin=$scratch/wheel/lorapress/bin
"$wine" wineboot --init >/dev/null 2>&1
if [ ! -f "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" ]; then # Windows has it; Rust's library takes random numbers from it
  cat >"$scratch/random.c" <<'END'
#include <stddef.h>
__declspec(dllimport) unsigned char SystemFunction036(void* bytes, unsigned long count);
__declspec(dllexport) int ProcessPrng(unsigned char* bytes, size_t count) { return SystemFunction036(bytes, (unsigned long)count); }
END
  (cd "$scratch" && "$zig" cc -target x86_64-windows-gnu -O2 -s -shared random.c -ladvapi32 -o "$bin/bcryptprimitives.dll")
  echo "try_windows: this Wine has no bcryptprimitives.dll; one with ProcessPrng alone stands in for it"
fi
"$zig" cc -target x86_64-windows-gnu -O2 -s -Iinclude packaging/try_c_api.c -o "$bin/try_c_api.exe"

plain() { tr -d '\r'; } # what is printed ends its lines as the system does
steps() { # FOLDER COMMAND...
  mkdir "$1"
  cp -r models/demo "$1/demo"
  cp -r models/demo/images "$1/zwei Bücher"
  cd "$1"
  shift
  "$@" press demo web --dtype fp32,q4
  "$@" caption web demo/images/scene-10000000.png
  "$@" quantize web/onnx/encoder_model.onnx encoder_q8.onnx --dtype q8
  "$@" verify demo web --images demo/images
  "$@" --version --json
  "$@" caption web demo/images/*.png | plain >captions
  local status=0
  "$@" caption web "zwei Bücher"/*.webp "zwei Bücher"/*.jpg | plain >others
  "$@" inspect --json web | plain >>others
  "$@" inspect no-such-folder 2>&1 | plain >>others || status=$?
  echo "status $status" >>others
}
digest() { (cd "$1" && find web encoder_q8.onnx captions -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d" " -f1); }
(steps "$scratch/windows" "$wine" "$bin/lorapress.exe")
(steps "$scratch/here" "$own") >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
echo "try_windows: sha256 of the pressed folder, the quantized graph and the captions: $(digest "$scratch/windows")"
echo "try_windows: of those that $own makes:                               $(digest "$scratch/here")"
diff -r "$scratch/windows" "$scratch/here"
echo "try_windows: the same bytes"

cd "$scratch/windows"
"$wine" "$bin/try_c_api.exe" "$bin/lorapress_c.dll" web demo/images/scene-10000000.png | plain
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$wine" "$bin/lorapress.exe" serve web --port "$port" &
server=$!
python3 - "$port" <<'END'
import pathlib, sys, time, urllib.error, urllib.request
file = pathlib.Path("web/onnx/encoder_model.onnx")
def fetch(part):
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/onnx/{file.name}", headers={"Range": part} if part else {})
    with urllib.request.urlopen(request) as answer:
        return answer.read()
for wait in range(100):
    try:
        assert fetch("") == file.read_bytes() and fetch("bytes=1000-1999") == file.read_bytes()[1000:2000]
        print("try_windows: serve sends a file and a part of it")
        sys.exit()
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            raise
        time.sleep(0.2)
sys.exit("try_windows: serve does not answer")
END
