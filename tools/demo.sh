#!/usr/bin/env bash
# The main job on the bundled model: what is in the checkpoint, press it, caption the bundled images, and
# the page that does so in a browser. Serves that page until Ctrl-C on a terminal only: in a pipe, or with
# --no-serve, it ends by saying how.
# usage: tools/demo.sh PROGRAM [--no-serve]   DEMO_OUT: folder to write to instead of build
set -euo pipefail

program=$1
model=models/demo
mkdir -p "${DEMO_OUT:-build}"
out=${DEMO_OUT:-build}/demo
page=${DEMO_OUT:-build}/demo-page
serve=no
[ -t 1 ] && [ -t 0 ] && serve=yes
case ${2:-} in
  --no-serve) serve=no ;;
  '') ;;
  *) sed -n '5s/^# //p' "$0" >&2; exit 2 ;;
esac

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step "$program" inspect "$model"
step "$program" press "$model" "$out" --force

printf '\n%-20s %-62s %s\n' image caption "expected (PyTorch)"
"$program" caption "$out" "$model"/images/*.{png,jpg,webp} --json >"$out-captions.json"
python3 - "$model/images/captions.json" "$out-captions.json" <<'PYTHON'
import json, os, sys

expected = json.load(open(sys.argv[1]))
captions = json.load(open(sys.argv[2]))["captions"]
wrong = 0
for row in captions:
    name = os.path.basename(row["image"])
    equal = row["text"] == expected[name]
    wrong += not equal
    print(f"{name:<20} {row['text']:<62} {'equal' if equal else expected[name]}")
tokens = sum(len(row["ids"]) for row in captions)
seconds = sum(row["encode_ms"] + row["prefill_ms"] + row["decode_ms"] for row in captions) / 1000
print(f"\n{len(captions)} images, {tokens} tokens in {seconds:.2f} s")
sys.exit(1 if wrong else 0)
PYTHON

# The page, and beside it the folder that was just pressed.
echo
tools/npm_install.sh web
step node web/tools/bundle.mjs --demo "$page"
cp -r "$out" "$page/model"

if [ $serve = no ]; then
  printf '\nThe page: %s serve %s, then open the address that it names.\n' "$program" "$page"
  exit 0
fi
printf '\nOpen the address below in a browser and drop an image on the page; Ctrl-C ends it.\n'
port=8080
(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && port=0 # taken: any other
step "$program" serve "$page" --port $port
