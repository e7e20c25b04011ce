# shellcheck shell=bash disable=SC2154
# Sourced by the scripts here: sets `python` to .venv-peers, which holds requirements.txt and sees torch and
# transformers of the training environment; makes both when they are missing. REQUIRES: root, here.
"$root/train/setup.sh"
python="$root/.venv-peers/bin/python"
stamp="$root/.venv-peers/READY"
if ! cmp -s "$here/requirements.txt" "$stamp"; then
  "$root/.venv-train/bin/python" -m venv --clear "$root/.venv-peers"
  "$python" -m pip install -q --no-deps -r "$here/requirements.txt"
  "$root/.venv-train/bin/python" -c 'import site; print(site.getsitepackages()[0])' \
    >"$("$python" -c 'import site; print(site.getsitepackages()[0])')/train.pth"
  cp "$here/requirements.txt" "$stamp"
fi
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1

make_once() { # FOLDER COMMAND...: the folder appears only when the command succeeds
  local target=$1
  shift
  [[ -e $target ]] && return
  echo "bench: making $(basename "$target")" >&2
  rm -rf "$target.part"
  "$@" >"$target.log" 2>&1 || { cat "$target.log" >&2; exit 1; }
  mv "$target.part" "$target"
}
