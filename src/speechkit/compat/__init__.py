"""What makes speech models of 2021 run today: the one door to fairseq and textlesslib.

``checkpoint`` reads fairseq's files without fairseq; ``shims`` are what fairseq itself needs, each
with the error it answers; ``door`` imports fairseq and textlesslib with them applied.
"""
