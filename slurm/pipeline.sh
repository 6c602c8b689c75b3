#!/usr/bin/env bash
# A manifest through VAD, ASR and merge, as job arrays that depend on each other.
#
#   slurm/pipeline.sh data.jsonl 30 results [ASR-OPTION...]
#
# SBATCH_OPTIONS="--partition=gpu --gres=gpu:1" holds for the tasks of both stages. A cluster has a
# limit of tasks in an array (often 1001); `speechkit slurm submit` goes beyond it.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: slurm/pipeline.sh MANIFEST SPLITS RESULTS [ASR-OPTION...]" >&2
    exit 2
fi
manifest=$1 splits=$2 results=$(realpath -m "$3")
shift 3
scripts=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

unset INPUT_DIR SPLIT_OFFSET SPEECHKIT_INPUT_DIR SPEECHKIT_SPLIT_OFFSET
mkdir -p "$results/logs"
: >"$results/nothing.jsonl" # whether ASR would run is known before VAD has run for hours
speechkit asr "$results/nothing.jsonl" "$@" >/dev/null 2>"$results/logs/options.log" || {
    cat "$results/logs/options.log" >&2
    exit 2
}
export SPEECHKIT_SPLITS_DIR=$results/splits
speechkit split-manifest --input "$manifest" --splits "$splits"
submit() { # NAME SBATCH-OPTION... SCRIPT [STAGE [OPTION...]]
    local name=$1
    shift
    sbatch --parsable --export=ALL --job-name="speechkit-${name%%-*}" \
        --output="${results//%/%%}/logs/$name.log" "$@" | cut -d ';' -f 1
}
read -ra tasks <<<"--array=0-$((10#$splits - 1)) ${SBATCH_OPTIONS:-}"

export SPEECHKIT_OUTPUT_DIR=$results/vad
vad=$(submit vad-%A_%a "${tasks[@]}" "$scripts/stage.slurm" vad)
export SPEECHKIT_INPUT_DIR=$results/vad SPEECHKIT_OUTPUT_DIR=$results/asr
after=--dependency=afterany
asr=$(submit asr-%A_%a "${tasks[@]}" "$after:$vad" "$scripts/stage.slurm" asr "$@")
export SPEECHKIT_MERGED=$results/final.jsonl SPEECHKIT_RERUNS=0
merge=$(submit merge-%j "$after:$asr" "$scripts/merge.slurm")

echo "jobs $vad (vad), $asr (asr), $merge (merge into $SPEECHKIT_MERGED)"
printf 'how far they are: speechkit slurm status %q --splits-dir %q\n' \
    "$SPEECHKIT_OUTPUT_DIR" "$SPEECHKIT_SPLITS_DIR"
