#!/usr/bin/env bash
# Installs Debian's packages where it may (as root) and says which are missing where it may not.
#   scripts/system_packages.sh light [PYTHON]    what the light core needs: venv, TEN VAD's library
#   scripts/system_packages.sh tests [PYTHON]    what fairseq's build and the tests need besides
set -euo pipefail

level=${1:?usage: scripts/system_packages.sh light|tests [PYTHON]}
python=${2:-python3}
missing=()

need() { # PACKAGE COMMAND...: the package where the command fails
    "${@:2}" >/dev/null 2>&1 || missing+=("$1")
}
has_library() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -qF "$1"
}
has_headers() {
    [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]
}

version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
need "$version-venv" "$python" -c 'import ensurepip, venv'
if [ "$(uname -s)" = Linux ]; then
    need libc++1 has_library libc++.so.1
fi
if [ "$level" = tests ]; then
    need g++ command -v c++
    need "$version-dev" has_headers
    for name in curl ffmpeg shellcheck parallel chromium; do
        need $name command -v $name
    done
    if [ "$(uname -s)" = Linux ]; then
        PATH=$PATH:/usr/sbin # where the daemons are, for those who aren't root
        need slurmctld command -v slurmctld
        need slurmd command -v slurmd
        need slurm-client command -v sbatch
        need munge command -v munged
        need strace command -v strace
        need libportaudio2 has_library libportaudio.so.2
    fi
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # the packages' own services stay off
    echo "Installing ${missing[*]}"
    if { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
        exit 0
    fi
fi
echo "Not installed: ${missing[*]}; on Debian: sudo apt-get install ${missing[*]}" >&2
case " ${missing[*]} " in
*" libc++1 "*)
    echo "Without libc++1 (conda install -c conda-forge libcxx), 'speechkit vad' runs with --engine silero." >&2
    ;;
esac
