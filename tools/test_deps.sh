#!/usr/bin/env bash
# Installs once what the tests run with, before any test, so that no test's time is an installation: npm packages of the browser
# tests, Python environments of the oracle (torch, PEFT, transformers), of the bundles' clients, of Ray, of the WebAssembly compiler and of the docs' site. Quick when all is there.
# usage: tools/test_deps.sh
set -euo pipefail
cd "$(dirname "$0")/.."

tools/npm_install.sh web tests/e2e tests/bundlers
tests/bundles/run.sh --install
tests/ray/run.sh --install
tools/python_env.sh .venv-wasm tools/wasm_requirements.txt
tools/python_env.sh .venv-site tools/site_requirements.txt
train/setup.sh
