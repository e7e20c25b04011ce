#!/usr/bin/env bash
# Builds the wheel of this commit a second time, from nothing and in another folder, and compares all bytes of what lies in dist/.
# usage: packaging/compare.sh [TARGET]   linux-x86_64 by default; takes as long as the first build
set -euo pipefail
target=${1:-linux-x86_64}
cd "$(dirname "$0")/.."
git diff --quiet HEAD || { echo "compare: a file differs from the commit, and only commits are compared" >&2; exit 2; }
second=$(mktemp -d "${TMPDIR:-/tmp}/lorapress-compare-in-another-folder.XXXXXX")
trap 'rm -rf "$second"' EXIT
git clone -q . "$second/tree"
make wheels TARGETS="$target"
make -C "$second/tree" wheels TARGETS="$target"
status=0
for file in "$second"/tree/dist/*lorapress*; do
  name=$(basename "$file")
  if cmp "dist/$name" "$file"; then
    echo "compare: $(sha256sum "$file" | cut -d' ' -f1)  $name: the same bytes"
  else
    status=1
    python3 -c "import sys, zipfile
one, two = (dict((row.filename, row.CRC) for row in zipfile.ZipFile(path).infolist()) for path in sys.argv[1:])
print(*('compare: differs: ' + name for name in sorted(one | two) if one.get(name) != two.get(name)), sep='\\n')" "dist/$name" "$file"
  fi
done
exit $status
