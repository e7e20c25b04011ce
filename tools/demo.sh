#!/usr/bin/env bash
# The main job on the bundled model: what is in the checkpoint, press it, caption the bundled images.
# usage: tools/demo.sh PROGRAM
set -euo pipefail

program=$1
model=models/demo
out=build/demo

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step "$program" inspect "$model"
step "$program" press "$model" "$out" --force

printf '\n%-20s %-62s %s\n' image caption "expected (PyTorch)"
"$program" caption "$out" "$model"/images/*.{png,jpg,webp} --json >build/demo-captions.json
python3 - "$model/images/captions.json" <<'PYTHON'
import json, os, sys

expected = json.load(open(sys.argv[1]))
captions = json.load(open("build/demo-captions.json"))["captions"]
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
printf '\nThe folder %s runs in a browser: see docs/bundles.md.\n' "$out"
