#!/usr/bin/env bash
# House rules that a machine can check: the same script in CI, pre-commit and `make check`.
# usage: tools/check.sh [--format | --format-check]
set -euo pipefail
shopt -s lastpipe # complain runs in this shell, so that it can set status
cd "$(dirname "$0")/.."

if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  echo "check: not a git working tree; skipped" >&2
  [ "${CI:-}" != true ] || exit 1
  exit 77
fi
PATH=$PWD/.venv-lint/bin:$PWD/web/node_modules/.bin:$PATH # ruff, mypy and biome, each of a pinned version
cpp=(include src cli fuzz tests bench tokenizer examples)
max_lines=400
max_kib=500
status=0

files() { git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
  if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done; }
cpp_files() { files "${cpp[@]/%//**.h}" "${cpp[@]/%//**.cc}"; }

complain() { # TITLE, lines on stdin
  local lines
  lines=$(cat)
  if [ -n "$lines" ]; then
    printf 'check: %s\n' "$1" >&2
    printf '  %s\n' "${lines//$'\n'/$'\n'  }" >&2
    status=1
  fi
}
# Matches in files git knows or would add; no match is no error.
grep_files() { git grep --untracked "$@" || [ $? = 1 ]; }
code_grep() { # PATTERN, PATHS...: outside of comments
  local pattern=$1
  shift
  grep_files -nP "^(?!\\s*(//|\\*|/\\*))(?:(?!//).)*?(?:$pattern)" -- "$@"
}

# Whether a linter is there. One that is not is named, and in CI that is a failure.
have() { # COMMAND, what installs it
  command -v "$1" >/dev/null && return 0
  echo "check: $1 is not installed ($2); what it checks is not checked" >&2
  [ "${CI:-}" != true ] || status=1
  return 1
}
have_clang_format() { have clang-format-19 "tools/setup.sh test"; }
have_ruff() { have ruff "make check"; }
have_biome() { have biome "tools/npm_install.sh web"; }

format_check() {
  have_clang_format || return 0
  # One file per call, so that the answer is a list of files and not pages of columns.
  # shellcheck disable=SC2016
  cpp_files | { xargs -0 -r -n 1 -P "$(nproc)" sh -c \
    'clang-format-19 --dry-run --Werror "$0" 2>/dev/null || echo "$0"' || true; } |
    sort | complain "not formatted (make format)"
}

ruff_format_check() {
  have_ruff || return 0
  { ruff format --check --quiet --output-format concise . || true; } | complain "not formatted (make format)"
}

case ${1:-} in
  --format)
    if have_clang_format; then cpp_files | xargs -0 -r clang-format-19 -i; fi
    if have_ruff; then ruff format --quiet .; fi
    if have_biome; then (cd web && biome check --write . ../examples/extension ../examples/upload-form); fi
    exit $status
    ;;
  --format-check) format_check; ruff_format_check; exit $status ;;
  '') ;;
  *) sed -n '3s/^# //p' "$0" >&2; exit 2 ;;
esac

# The library is silent and never exits; programs and tests may do both.
library=(include/ src/ ':!*_test.cc' ':!src/test_*')
code_grep 'std::(cout|cerr|clog)\b|(?<![\w.>])(printf|fprintf|vprintf|puts|fputs|putchar|abort|exit|_exit|quick_exit|terminate)\s*\(' \
  "${library[@]}" | complain "the library must not print, abort or exit"

code_grep '#include\s*[<"](onnxruntime|onnxruntime/.*)?onnxruntime_\w+\.h' '*.h' '*.cc' \
  ':!src/runtime/ort/ort.h' ':!src/runtime/ort/ort.cc' | complain "ONNX Runtime headers belong in src/runtime/ort/ort.*"

code_grep '#include\s*[<"]microhttpd\.h' '*.h' '*.cc' ':!src/serve/server.cc' |
  complain "libmicrohttpd's header belongs in src/serve/server.cc"

code_grep "(from|import\\()\\s*[\"']onnxruntime-web" 'web/src/*' ':!web/src/engine/*' |
  complain "onnxruntime-web belongs in web/src/engine/"

# Who may include whom: the table of rooms in docs/architecture.md, "| `src/ROOM/` | holds | room, room |". "all" is any room.
cpp_files | xargs -0 -r grep -HnoE '^#include\s*"[a-z_0-9/]+/[a-z_0-9.]+"' | awk -F '[:"]' '
  FILENAME != "-" {
    if (split($0, cell, /[[:space:]]*\|[[:space:]]*/) > 3 && cell[2] ~ /^`src\/.*\/`$/) {
      room = substr(cell[2], 6, length(cell[2]) - 7)
      known[room] = 1
      for (n = split(cell[4], names, /,[[:space:]]*/); n > 0; n--) may[room, names[n]] = 1
    }
    next
  }
  $1 ~ /^src\// && $1 !~ /_test(_util)?\.(cc|h)$/ {
    from = $1; sub(/^src\//, "", from); sub(/\/[^\/]*$/, "", from)
    to = $4; sub(/\/[^\/]*$/, "", to)
    if (!(from in known)) { print $1 ": src/" from "/ has no row" }
    else if (from != to && (to in known) && !((from, to) in may) && !((from, "all") in may)) {
      print $1 ":" $2 ": src/" from "/ includes " $4
    }
  }' docs/architecture.md - | sort -u | complain "not in the table of rooms of docs/architecture.md"
# Its table of web/src: a room imports from "../ROOM/" what its row names.
files 'web/src/*/*.ts' | xargs -0 -r grep -HnoE '(from |import\()"\.\./[a-z_]+/' | awk -F '[:"]' '
  FILENAME != "-" {
    if (split($0, cell, /[[:space:]]*\|[[:space:]]*/) > 3 && cell[2] ~ /^`web\/src\/.+\/`$/) {
      for (n = split(cell[4], names, /,[[:space:]]*/); n > 0; n--) may[substr(cell[2], 2, length(cell[2]) - 2) names[n]] = 1
    }
    next
  }
  { from = $1; sub(/[^\/]*$/, "", from); to = $4; gsub(/\.\.\/|\//, "", to) }
  !((from to) in may) { print $1 ":" $2 ": " from " imports " to "/" }' docs/architecture.md - |
  complain "not in the table of web/src of docs/architecture.md"
code_grep '#include\s*"(?!(lorapress|base|checkpoint|weights|verify)/)[a-z_0-9]+/' 'src/verify/reference*' |
  complain "the reference forward shares nothing with what it checks"
code_grep '#include\s*"(?!lorapress/)[a-z_0-9]+/' include/ |
  complain "public headers include only lorapress/*.h"
code_grep '#include\s*"(?!lorapress/)[a-z_0-9]+/' cli/ |
  complain "cli/ sees include/lorapress/ only"

code_grep '[^\x00-\x7F]' '*.h' '*.cc' '*.rs' '*.ts' '*.mjs' '*.js' ':!tests/goldens' |
  complain "code is ASCII outside of comments (write \\u escapes)"

grep_files -nIP '[ \t]+$' -- . ':!*.md' ':!LICENSE' ':!models' ':!tests/goldens' ':!tests/hostile' ':!fuzz/corpus' ':!*.svg' |
  complain "trailing white space"
grep_files -lIP '\r$' -- . ':!models' ':!tests/goldens' ':!tests/hostile' ':!fuzz/corpus' |
  complain "CRLF line ends"

allowed=$(sed -n 's/^\([^# ][^ ]*\) .*/\1/p' tools/long_files.txt)
files '*.h' '*.cc' '*.rs' '*.ts' '*.mjs' '*.py' ':!tests/goldens' | xargs -0 -r wc -l |
  awk -v max=$max_lines '$1 > max && $2 != "total" { print $2, $1 }' | while read -r file lines; do
  grep -qxF "$file" <<<"$allowed" || echo "$file: $lines lines"
done | complain "at most $max_lines lines per file; tools/long_files.txt lists the exceptions with reasons"

files . ':!models' ':!tests/goldens' | xargs -0 -r du -k --apparent-size |
  awk -v max=$max_kib '$1 > max { print }' | complain "files above $max_kib kB (allowed in models/ and tests/goldens/)"

# The lock of the training environment is a `pip freeze`, which spells names in its own way.
pins() { sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;]*\).*/\1/p' "$1" | tr 'A-Z_' 'a-z-' | sort; }
comm -23 <(pins train/requirements.txt) <(pins train/requirements.lock) |
  complain "train/requirements.lock has not these pins of train/requirements.txt"

# Tests are not switched off; those that cannot run everywhere are in Python, where tests/hostile/runner.py counts them.
grep_files -nE 'GTEST_SKIP|DISABLED_[A-Z]|\b(it|test|describe)\.(skip|only|todo|skipIf|runIf)\b|\b(skip|only|todo): *true' -- \
  'src/*_test.cc' 'tests/*.cc' 'tests/*.mjs' 'web/test/*.ts' | complain "tests are not skipped"

# One version: CMake gives it to the program, the package and lorapress.pc.
version=$(sed -n 's/^project(lorapress VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)
{
  grep -Hn '"lorapress": "' examples/*/package.json examples/bundlers/*/package.json
  grep -HnoE 'lorapress-[0-9]+\.[0-9.]*[0-9]' docs/*.md examples/*/README.md
  grep -Hn -m 1 '"version":' web/package.json web/package-lock.json
  grep -Hn -m 1 '^version = ' tokenizer/Cargo.toml
  grep -Hn -A1 '^name = "lorapress-tokenizer"' tokenizer/Cargo.lock | grep version
} | { grep -vF "$version" || true; } | complain "not the version of CMakeLists.txt, which is $version"

format_check
ruff_format_check
if have_ruff; then
  { ruff check --quiet --output-format concise . || true; } | complain "ruff"
fi
if have mypy "make check"; then # the package; how strictly, python/pyproject.toml says
  { (cd python && mypy --cache-dir /dev/null --no-error-summary) || true; } | complain "mypy (cd python && mypy)"
fi
if have shellcheck "tools/setup.sh test"; then
  { files '*.sh' .ci/run | xargs -0 -r shellcheck --format gcc || true; } | complain "shellcheck"
fi
if have_biome; then # which skips what is no file of a kind that it knows
  { (cd web && biome check --reporter=github . ../examples/extension ../examples/upload-form 2>/dev/null) || true; } | complain "biome (cd web && npm run check)"
fi
exit $status
