"""What makes speech models of 2021 run today: the one door to fairseq and textlesslib.

``checkpoint`` reads fairseq's files without fairseq; ``shims`` are what fairseq itself needs, each
with the error it answers; ``patched_imports`` imports fairseq and textlesslib with them applied.
"""

INSTALL_FAIRSEQ = "pip install --no-deps fairseq==0.12.2 bitarray"
INSTALL_TEXTLESS = (
    "pip install --no-deps git+https://github.com/facebookresearch/textlesslib && "
    "pip install AMFM_decompy unidecode inflect npy-append-array"
)
