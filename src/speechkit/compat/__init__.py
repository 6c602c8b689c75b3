"""Makes speech models of 2021 run today; the only place that imports fairseq and textlesslib.

``checkpoint`` reads fairseq's files without fairseq. ``shims`` are the patches that fairseq itself
needs, each with the error it prevents. ``patched_imports`` imports fairseq and textlesslib with the
shims applied. ``home_folder`` keeps NeMo's imports from writing into the home folder.
"""

INSTALL_FAIRSEQ = "pip install --no-deps fairseq==0.12.2 bitarray"
INSTALL_TEXTLESS = (
    "pip install --no-deps git+https://github.com/facebookresearch/textlesslib && "
    "pip install AMFM_decompy unidecode inflect npy-append-array"
)
