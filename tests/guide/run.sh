#!/usr/bin/env bash
# Runs the commands of docs/guide.md as they stand there, one after another, in an empty folder where "run" is
# the demo's checkpoint, "old-run" a VisionEncoderDecoder, "photos" the demo's pictures, and lorapress is on the path.
# usage: tests/guide/run.sh [PROGRAM]
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
program=$(realpath "${1:-$root/build/lorapress}")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin"
ln -s "$program" "$scratch/bin/lorapress"
export PATH=$scratch/bin:$PATH
[[ -d $root/web/build/demo ]] || make -s -C "$root" page >/dev/null
cd "$scratch"
ln -s "$root/models/demo" run
ln -s "$root/models/demo/images" photos
ln -s "$root/tests/goldens/cross/vitgpt2" old-run

count=0
# shellcheck disable=SC2016 # Markdown's fences
while IFS= read -r command; do
  count=$((count + 1))
  echo "\$ $command"
  bash -euo pipefail -c "$command" >log 2>&1 || { cat log; echo "guide: failed: $command" >&2; exit 1; }
done < <(sed -n '/^```sh$/,/^```$/{/^```/!p}' "$root/docs/guide.md")
[[ $count -ge 10 ]] || { echo "guide: only $count commands found in docs/guide.md" >&2; exit 1; }

# What the commands left is what the page says.
for file in merged/model.safetensors onnx_loop/onnx/model.onnx onnx_parts/prefix_init.onnx model_quantized.onnx \
  onnx_small/onnx/decoder_model_merged_q4.onnx web/onnx/encoder_model_quantized.onnx old-web/onnx/encoder_model.onnx site/index.html; do
  [[ -s $file ]] || { echo "guide: $file is missing" >&2; exit 1; }
done
python3 - "$root/models/demo/images/captions.json" captions.jsonl <<'PYTHON'
import json, sys

expected = json.load(open(sys.argv[1]))
rows = [json.loads(line) for line in open(sys.argv[2])]
said = {row["image"].rsplit("/", 1)[-1]: row.get("text") for row in rows}
wrong = {name: text for name, text in expected.items() if said.get(name) != text}
sys.exit(f"guide: other captions than {wrong}" if wrong else 0)
PYTHON
[[ $(wc -c <model_quantized.onnx) -lt $(($(wc -c <onnx_loop/onnx/model.onnx) * 2 / 5)) ]]
grep -q '<html' verify.html
echo "guide: $count commands"
