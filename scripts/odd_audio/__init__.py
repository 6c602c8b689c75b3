"""Audio of every kind, whole and damaged: for compare_with_ffmpeg.py and fuzz_audio.py."""
