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

unset INPUT_DIR SPLIT_OFFSET
mkdir -p "$results/logs"
: >"$results/nothing.jsonl" # whether ASR would run is known before VAD has run for hours
speechkit asr "$results/nothing.jsonl" "$@" >/dev/null 2>"$results/logs/options.log" || {
    cat "$results/logs/options.log" >&2
    exit 2
}
export SPLITS_DIR=$results/splits
speechkit split-manifest --input "$manifest" --splits "$splits"
submit() { # NAME SBATCH-OPTION... SCRIPT [OPTION...]
    local name=$1
    shift
    sbatch --parsable --export=ALL --output="${results//%/%%}/logs/$name.log" "$@" | cut -d ';' -f 1
}
read -ra tasks <<<"--array=0-$((10#$splits - 1)) ${SBATCH_OPTIONS:-}"

export OUTPUT_DIR=$results/vad
vad=$(submit vad-%A_%a "${tasks[@]}" "$scripts/vad.slurm")
export INPUT_DIR=$results/vad OUTPUT_DIR=$results/asr
asr=$(submit asr-%A_%a "${tasks[@]}" --dependency="afterany:$vad" "$scripts/asr.slurm" "$@")
export MERGED=$results/final.jsonl
merge=$(submit merge-%j --dependency="afterany:$asr" "$scripts/merge.slurm")

echo "jobs $vad (vad), $asr (asr), $merge (merge into $MERGED)"
printf 'how far they are: SPLITS_DIR=%q speechkit slurm status %q\n' "$SPLITS_DIR" "$OUTPUT_DIR"
