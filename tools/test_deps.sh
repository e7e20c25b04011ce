#!/usr/bin/env bash
# Installs once what the tests run with, before any test, so that no test's time is an installation: npm packages of the browser
# tests, Python environments of the oracle (torch, PEFT, transformers) and of the bundles' clients. Quick when all is there.
# usage: tools/test_deps.sh
set -euo pipefail
cd "$(dirname "$0")/.."

tools/npm_install.sh web tests/e2e tests/bundlers
tests/bundles/run.sh --install
train/setup.sh
