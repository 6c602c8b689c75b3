#!/usr/bin/env bash
# Installs into a folder, to be put on PYTHONPATH, what fairseq 0.12.2 itself asks for and NeMo
# excludes. Does nothing where it is there.
#   scripts/old_hydra.sh PYTHON FOLDER
set -euo pipefail

PACKAGES=(omegaconf==2.0.6 hydra-core==1.0.7 antlr4-python3-runtime==4.8)
PIP=pip==24.0 # later ones refuse omegaconf 2.0.6, which asks for "PyYAML (>=5.1.*)"

python=${1:?usage: scripts/old_hydra.sh PYTHON FOLDER}
folder=${2:?usage: scripts/old_hydra.sh PYTHON FOLDER}
missing=()
for package in "${PACKAGES[@]}"; do
    name=${package%%==*}
    [ -d "$folder/${name//-/_}-${package##*==}.dist-info" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The old pip holds what it builds with to PIP_CONSTRAINT, in which old packages have no place.
if [ -n "${PIP_BUILD_CONSTRAINT:-}" ]; then
    grep -E '^(setuptools|wheel)==' "$PIP_BUILD_CONSTRAINT" >"$work/constraint.txt"
    export PIP_CONSTRAINT=$work/constraint.txt
fi
install() { # FOLDER PACKAGE ...
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$@"
}
install "$work/pip" "$PIP"
PYTHONPATH=$work/pip install "$folder" "${missing[@]}"
