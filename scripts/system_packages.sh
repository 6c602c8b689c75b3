#!/usr/bin/env bash
# Installs system packages where that is possible (Debian, as root) and says how where it is not.
#   scripts/system_packages.sh libc++          what TEN VAD needs
#   scripts/system_packages.sh tests           what the tests need besides
set -euo pipefail

missing=()
have_library() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q "$1"
}
if [ "$(uname -s)" = Linux ] && ! have_library 'libc++\.so\.1'; then
    missing+=(libc++1)
fi
if [ "${1:-}" = tests ]; then
    command -v ffmpeg >/dev/null || missing+=(ffmpeg)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    command -v parallel >/dev/null || missing+=(parallel)
    if [ "$(uname -s)" = Linux ]; then # as root; else in sbin, out of the path
        PATH=$PATH:/usr/sbin
        for name in slurmctld slurmd munged:munge sbatch:slurm-client; do
            command -v "${name%:*}" >/dev/null || missing+=("${name#*:}")
        done
    fi
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # the packages' own services stay off
    if { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
        exit 0
    fi
fi
conda=${missing[*]//libc++1/libcxx}
echo "Not installed: ${missing[*]}. One of these installs them:" >&2
echo "    sudo apt-get install ${missing[*]}" >&2
echo "    conda install -c conda-forge $conda" >&2
if [[ " ${missing[*]} " == *" libc++1 "* ]]; then
    echo "Without libc++1, 'speechkit vad' runs with --engine silero (or auto)." >&2
fi
