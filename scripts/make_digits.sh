#!/usr/bin/env bash
# Makes examples/digits: VOICE-RATE.flac, the ten digits with silence between, and digits.jsonl,
# which says where each lies. The middle rate of each voice is held out of training.
# Needs flite, espeak-ng, sox and soxi:
#   apt-get install flite espeak-ng sox
set -euo pipefail

WORDS=(zero one two three four five six seven eight nine)
VOICES=(awb kal16 rms slt espeak-m3 espeak-f2)
RATES=(slow even fast) # "even" is held out
GAP=0.25               # seconds of silence after each digit
LEVEL=-9               # dBFS, the peak of each digit

for tool in flite espeak-ng sox soxi; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install flite espeak-ng sox" >&2; exit 1; }
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/digits"

declare -A stretch=([slow]=1.15 [even]=1.0 [fast]=0.85)  # of flite's durations
declare -A pace=([slow]=120 [even]=140 [fast]=165)       # espeak-ng's words a minute

say() { # VOICE RATE WORD OUT.wav
    case $1 in
    espeak-*) espeak-ng -v "en-us+${1#espeak-}" -s "${pace[$2]}" -w "$work/said.wav" -- "$3" ;;
    *) flite -voice "$1" --setf "duration_stretch=${stretch[$2]}" -t "$3" -o "$work/said.wav" ;;
    esac
    sox -D -V1 "$work/said.wav" -b 16 "$4" gain -n "$LEVEL" \
        silence 1 0.01 0.4% reverse silence 1 0.01 0.4% reverse rate 8000 gain -n "$LEVEL"
}

for voice in "${VOICES[@]}"; do
    for rate in "${RATES[@]}"; do
        name=$voice-$rate.flac offset=0 parts=() held=
        [[ $rate == even ]] && held=', "held_out": true'
        for word in "${WORDS[@]}"; do
            part=$work/$word.wav
            say "$voice" "$rate" "$word" "$work/tight.wav"
            duration=$(soxi -D "$work/tight.wav")
            sox -D -V1 "$work/tight.wav" "$part" pad 0 "$GAP"
            printf '{"audio_filepath": "%s", "offset": %.4f, "duration": %.4f, "text": "%s"%s}\n' \
                "$name" "$offset" "$duration" "$word" "$held" >>"$work/digits/digits.jsonl"
            offset=$(awk -v a="$offset" -v b="$(soxi -D "$part")" 'BEGIN { printf "%.6f", a + b }')
            parts+=("$part")
        done
        sox -D -V1 "${parts[@]}" -C 8 "$work/digits/$name"
    done
done
rm -rf examples/digits
mv "$work/digits" examples/digits
chmod 755 examples/digits
