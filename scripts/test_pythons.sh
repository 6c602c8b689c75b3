#!/usr/bin/env bash
# Demo and fast tests on the Pythons that speechkit promises and this machine has, each in a set-up of
# its own, .venv-3.12 and so on; the one that VENV is made of has had its tests.
#   scripts/test_pythons.sh VENV [newest]
# With SPEECHKIT_REQUIRE_ALL=1 it is a failure that there is none.
set -euo pipefail

VERSIONS=(3.13 3.12 3.11 3.10)

venv=${1:?usage: scripts/test_pythons.sh VENV [newest]}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version() { # PYTHON: prints its version, such as 3.12
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() { # VERSION: prints the path of such a Python
    local path
    for path in "$HOME"/.pyenv/versions/"$1".*/bin/python "$(type -P "python$1")" /usr/bin/"python$1"; do
        if [ "$(version "$path")" = "$1" ]; then
            echo "$path"
            return
        fi
    done
    return 1
}

own=$(version "$venv/bin/python") || own=
found=() missing=()
declare -A path
for version in "${VERSIONS[@]}"; do
    [ "$version" = "$own" ] && continue
    if path[$version]=$(find_python "$version"); then found+=("$version"); else missing+=("$version"); fi
done
echo "Other Pythons: ${found[*]:-none}; not on this machine: ${missing[*]:-none}."
if [ ${#found[@]} -eq 0 ] && [ "${SPEECHKIT_REQUIRE_ALL:-}" = 1 ]; then exit 1; fi
[ "${2:-}" = newest ] && found=("${found[@]:0:1}")
for version in "${found[@]}"; do
    echo "Python $version: ${path[$version]}"
    rm -rf output/demo # so that it is computed anew
    make demo test-fast VENV=".venv-$version" PYTHON="${path[$version]}"
done
