#!/usr/bin/env bash
# Makes build-site/site, the docs as a site, and fails for a link to a page or heading that is not there; then lints Dockerfile and workflows.
# Links out of docs/ lead to $SOURCE, an address of this tree's files on the web; without it they are text.
# usage: [SOURCE=https://HOST/PATH] tools/site.sh
set -euo pipefail
cd "$(dirname "$0")/.."
tools/python_env.sh .venv-site tools/site_requirements.txt
PATH=$PWD/.venv-site/bin:$PATH

for page in docs/*.md; do # a page outside of the menu is found by nobody
  grep -qF "\"$(basename "$page")\"" zensical.toml || { echo "site: $page is not in the nav of zensical.toml" >&2; exit 1; }
done
rm -rf build-site
mkdir -p build-site
cp -r docs build-site/docs
cp zensical.toml build-site/
if [ -n "${SOURCE:-}" ]; then
  link="](${SOURCE%/}/\\1)"
  find build-site/docs -name '*.md' -exec sed -i "s#](\\.\\./\\([^)]*\\))#$link#g" {} +
else
  find build-site/docs -name '*.md' -exec sed -i 's#\[\([^]]*\)\](\.\./[^)]*)#\1#g' {} +
fi
(cd build-site && zensical build --clean --strict)
hadolint Dockerfile
zizmor --offline --no-progress --quiet .github/workflows
