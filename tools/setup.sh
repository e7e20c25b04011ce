#!/usr/bin/env bash
# Installs the Debian packages (12 or 13) that LoraPress is built with; quick and silent when all are there.
# usage: tools/setup.sh [build|test|dev]
#   build  compiler, CMake, libraries, Rust, Python, Node (default)
#   test   build + clang-format-19, shellcheck, chromium, firefox-esr
#   dev    test + clang-19, clang-tidy-19, the fuzzer runtime, ccache
set -euo pipefail

level=${1:-build}
packages=(g++ make cmake ninja-build pkg-config libprotobuf-dev protobuf-compiler libfmt-dev
  nlohmann-json3-dev libcli11-dev libjpeg62-turbo-dev libpng-dev libgif-dev libtiff-dev libwebp-dev libexif-dev libssl-dev
  libpcre2-dev libcurl4-openssl-dev libmicrohttpd-dev libgtest-dev libeigen3-dev python3 python3-pip python3-venv debian-archive-keyring)
case $level in
  build) ;;
  test) packages+=(clang-format-19 shellcheck chromium firefox-esr) ;;
  dev) packages+=(clang-format-19 shellcheck chromium firefox-esr clang-19 clang-tidy-19 libclang-rt-19-dev ccache) ;;
  *) sed -n '2,6s/^# //p' "$0" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is not a Debian system; install the equivalents of: ${packages[*]} cargo nodejs npm" >&2
  exit 0
fi

# Rust and Node count as present wherever they come from (rustup, another repository).
cargo_needed=1.80 # rust-version of tokenizer/Cargo.toml
cargo_version() { cargo --version 2>/dev/null | cut -d' ' -f2; }
have_cargo() {
  local version
  version=$(cargo_version) && [ -n "$version" ] && dpkg --compare-versions "$version" ge "$cargo_needed"
}
# The answer is read whole before anything looks at it: under pipefail, `apt-cache | grep -q` fails when grep leaves first.
has_candidate() {
  local policy
  policy=$(apt-cache policy "$1" 2>/dev/null) && [[ $policy =~ Candidate:\ [0-9] ]]
}

missing() {
  local installed
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package} ' 2>/dev/null) "
  for package in "${packages[@]}"; do
    case $installed in *" ii $package "* | *" hi $package "*) ;; *) echo "$package" ;; esac
  done
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
}

need=$(missing | tr '\n' ' ')
rust=
have_cargo || rust=missing
if [ -z "$need" ] && [ -z "$rust" ]; then
  exit 0
fi

root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    root=(sudo -n)
  else
    [ -n "$rust" ] && need+="cargo-web rustc-web "
    echo "setup: these packages are missing and this user cannot install them. Run as root:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends $need" >&2
    exit 1
  fi
fi

export DEBIAN_FRONTEND=noninteractive
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
"${apt[@]}" update
if [ -n "$rust" ]; then # Debian 12 has a newer Rust, made for its browsers, in place of its own
  if has_candidate cargo-web; then need+="cargo-web rustc-web"; else need+="cargo rustc"; fi
fi
echo "setup: installing $need"
# shellcheck disable=SC2086
"${apt[@]}" install -y --no-install-recommends $need

hash -r
if ! have_cargo; then
  echo "setup: cargo is $(cargo_version || echo missing), expected $cargo_needed or newer for tokenizer/; Debian 12 has it as" \
    "cargo-web and rustc-web in its updates (enable bookworm-updates and bookworm-security), or install Rust by rustup" >&2
  exit 1
fi
