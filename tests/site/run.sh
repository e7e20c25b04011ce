#!/usr/bin/env bash
# The docs as a site, with every link; Dockerfile and workflow files by their linters.
# usage: tests/site/run.sh
set -euo pipefail
exec "$(dirname "$(realpath "$0")")/../../tools/site.sh"
