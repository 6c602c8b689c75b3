#!/usr/bin/env bash
# Makes examples/speech from examples/sentences.tsv: VOICE/NAME.flac and, beside it, NAME.txt.
# A " | " in a sentence is a pause. Needs flite, espeak-ng and sox:
#   apt-get install flite espeak-ng sox
set -euo pipefail

LEAD=0.5   # seconds before the first word
PAUSE=0.8  # seconds for each " | " and after the last word
LEVEL=-3   # dBFS, the peak of the speech
NOISE=-48  # dB of pink noise: a quiet room, -62 dBFS RMS
PACE=130   # words a minute, of espeak-ng

for tool in flite espeak-ng sox; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install $tool" >&2; exit 1; }
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { # VOICE TEXT OUT.wav
    case $1 in
    espeak-*) espeak-ng -v "en-us+${1#espeak-}" -s "$PACE" -w "$work/said.wav" -- "$2" ;;
    *) flite -voice "$1" -t "$2" -o "$work/said.wav" ;;
    esac
    sox -D -V1 "$work/said.wav" "$3" gain -6 rate 16000 pad 0 "$PAUSE"
}

make_one() { # VOICE NAME RATE CHANNELS TEXT
    local folder=$work/speech/$1 parts=() rest=$5
    mkdir -p "$folder"
    rm -f "$work"/part*.wav
    while [[ -n $rest ]]; do
        parts+=("$work/part${#parts[@]}.wav")
        say "$1" "${rest%% | *}" "${parts[-1]}"
        [[ $rest == *" | "* ]] && rest=${rest#* | } || rest=
    done
    # The right channel of a stereo recording is the quieter one.
    local mix=(1) length
    [[ $4 == 2 ]] && mix=(1 1v0.6)
    sox -D -V1 "${parts[@]}" "$work/clean.wav" gain -n "$LEVEL" rate "$3" remix "${mix[@]}" \
        pad "$LEAD"
    length=$(soxi -s "$work/clean.wav")
    sox -R -D -r "$3" -n -b 16 -c "$4" "$work/noise.wav" synth "${length}s" pinknoise vol "${NOISE}dB"
    sox -D -V1 -m -v 1 "$work/clean.wav" -v 1 "$work/noise.wav" --comment "" "$folder/$2.flac"
    printf '%s\n' "${5// | / }" >"$folder/$2.txt"
}

while IFS=$'\t' read -r voice name rate channels text; do
    make_one "$voice" "$name" "$rate" "$channels" "$text"
done < <(tail -n +2 examples/sentences.tsv)

rm -rf examples/speech
mv "$work/speech" examples/speech
