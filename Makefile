# speechkit. `make demo` and `make test` need nothing done before; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SPEECHKIT := $(BIN)/speechkit
TORCH ?= torch==2.13.0
# What pip installs, and what it builds with, is as locked: make PIP_CONSTRAINT= takes the newest.
export PIP_CONSTRAINT := locks/all.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Python itself compiles what is imported: few of all the files.
INSTALL := $(PIP) install --no-compile
export HF_HUB_OFFLINE ?= 1
# Hundreds of processes would each compile anew what they import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test setup setup-light pipeline models models-whisper models-nemo models-s2s \
    test-fast test-slurm test-gpu test-pythons test-newest check docs bench lock clean

help:
	@echo "make demo          set up the light core, then VAD, ASR and score on the bundled speech"
	@echo "make test          set up everything, then run all tests"
	@echo "make setup-light   the command line and its embedded engines, without torch"
	@echo "make setup         all engines, and what the tests and benchmarks need"
	@echo "make pipeline INPUT=folder OUTPUT=folder    manifest, VAD, ASR and score of a folder"
	@echo
	@echo "make check         lint, types, shell scripts, links of the documentation"
	@echo "make docs          the generated pages, then the site of the documentation in build/docs"
	@echo "make test-fast     the tests of the light core that are quick, in a minute"
	@echo "make test-pythons  demo and fast tests on every other Python that is found (3.10 to 3.13)"
	@echo "make test-slurm    the tests on a SLURM cluster of one node, which they start and stop"
	@echo "make test-gpu      the tests that need a GPU, on this machine's"
	@echo "make test-newest   all tests on the newest of everything that pyproject.toml allows"
	@echo "make models        get and train the models that tests and benchmarks use (minutes, once)"
	@echo "make bench         speed beside the peers, in one run"
	@echo "make lock          renew locks/, the versions that all of the above install"
	@echo
	@echo "make test SEED=123 (or test-fast) repeats what a test did by chance; a failure tells the seed."
	@echo "VENV=.venv-3.12 PYTHON=python3.12 sets up another Python beside the usual one."

# ---------------------------------------------------------------- set-up
$(VENV)/.light: pyproject.toml locks/all.txt scripts/system_packages.sh
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 10) and f"speechkit needs Python 3.10 or newer, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.11 …")'
	@scripts/system_packages.sh light $(PYTHON)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	$(INSTALL) -e ".[base]"
	touch $@

$(VENV)/.test-light: $(VENV)/.light
	$(INSTALL) -e ".[base,test-light]"
	touch $@

# fairseq would take NeMo's requirements away and silero-vad bring torchaudio, so both come without
# theirs. fairseq is built meanwhile; what it asks for goes into a folder of its own, for a test.
$(VENV)/.full: $(VENV)/.light scripts/old_hydra.sh
	@scripts/system_packages.sh tests $(PYTHON)
	$(PIP) wheel --no-deps --wheel-dir .cache/wheels fairseq==0.12.2 & built=$$!; \
	    $(INSTALL) "$(TORCH)" -e ".[test,dev]" && \
	    $(INSTALL) --no-deps silero-vad==6.2.3 bitarray==3.12.3 resemblyzer==0.1.4 && \
	    scripts/old_hydra.sh $(BIN)/python .cache/old-hydra && \
	    if wait $$built; then \
	        $(INSTALL) --no-deps --find-links .cache/wheels fairseq==0.12.2 && touch $@; \
	    else echo "No fairseq: it takes a C++ compiler. Its tests are skipped." >&2; fi

setup-light: $(VENV)/.light
setup: $(VENV)/.full

# The only use of uv. Universal: one lock for Python 3.10 and newer, and every platform.
lock:
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip install --quiet uv==0.13.9
	echo "$(TORCH)" | $(COMPILE) --all-extras --constraint - --output-file locks/all.txt
	$(COMPILE) --extra base --constraint locks/all.txt --output-file locks/light.txt
lock: COMPILE := .cache/uv/bin/uv pip compile pyproject.toml --group build --universal \
    --python-version 3.10 --upgrade --quiet --custom-compile-command "make lock"

# ---------------------------------------------------------------- demo
demo: $(VENV)/.light
	$(SPEECHKIT) vad examples/speech --engine auto --output-dir output/demo --format csv --one-file
	@echo; echo "Segments (seconds):"; cat output/demo/vad.csv; echo
	$(SPEECHKIT) asr output/demo/vad.jsonl --output-dir output/demo --format txt --one-file
	@echo; echo "Transcripts:"; cat output/demo/asr.txt; echo
	$(SPEECHKIT) score output/demo/asr.jsonl --worst 2 --summary output/demo/score.json
	@echo; echo "Everything is in output/demo:"; ls output/demo

# ---------------------------------------------------------------- a folder, end to end
# Only what changed is computed anew, and a stage that was interrupted goes on where it stopped.
INPUT ?=
OUTPUT ?=
VAD_ENGINE ?= auto
export INPUT

pipeline: $(if $(OUTPUT),$(OUTPUT)/asr.jsonl)
	@test -n "$(INPUT)" -a -n "$(OUTPUT)" || { echo "usage: make pipeline INPUT=folder OUTPUT=folder" >&2; exit 2; }
	@if grep -q '"text": ' "$(OUTPUT)/manifest.jsonl"; then \
	    $(SPEECHKIT) score "$(OUTPUT)/asr.jsonl" --summary "$(OUTPUT)/score.json"; \
	else echo "no references beside the audio, so no score"; fi
	@echo "results: $(OUTPUT)/asr.jsonl"

ifneq ($(and $(INPUT),$(OUTPUT)),)
ifneq ($(words $(OUTPUT)),1)
$(error OUTPUT can't contain spaces)
endif

.PHONY: always
# Rewritten only when a file has come, gone or changed.
$(OUTPUT)/.inputs: always
	@mkdir -p "$(OUTPUT)"
	@test -e "$$INPUT" || { echo "make pipeline: no $$INPUT" >&2; exit 2; }
	@{ echo "$(VAD_ENGINE)"; find -L "$$INPUT" -path "$(abspath $(OUTPUT))" -prune -o \
	    -path "$(OUTPUT)" -prune -o -type f -printf '%p %s %T@\n' | LC_ALL=C sort; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# A stage that is out of date starts anew, one that was interrupted goes on; exit code 3 (some
# utterances failed) is for the score.
define stage
	@rm -f $@; test $@.part -nt $< || rm -f $@.part
	$(SPEECHKIT) $(1) -o $@ || test $$? -eq 3
endef

$(OUTPUT)/manifest.jsonl: $(OUTPUT)/.inputs | $(VENV)/.light
	$(call stage,manifest "$$INPUT")
$(OUTPUT)/vad.jsonl: $(OUTPUT)/manifest.jsonl
	$(call stage,vad $< --engine $(VAD_ENGINE))
$(OUTPUT)/asr.jsonl: $(OUTPUT)/vad.jsonl
	$(call stage,asr $<)
endif

# ---------------------------------------------------------------- developers
DATA ?= ../shared/data
SEED ?=
SEEDED := $(if $(SEED),--seed $(SEED) --hypothesis-seed $(SEED))

# Real Whispers, tiny NeMo models of spoken digits, and tiny HuBERTs and vocoders; made anew where what
# they are made of has changed.
models: models-whisper models-nemo models-s2s

models-whisper: $(VENV)/.full
	$(BIN)/python scripts/real_models.py base tiny.en
models-nemo models-s2s: models-%: $(VENV)/.full
	$(BIN)/python scripts/make_tiny_models.py $* --data "$(DATA)"

test: models
	@scripts/system_packages.sh tests $(PYTHON)
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(SEEDED)

# To be run all day. tests/unit and tests/cli import nothing beyond the light core; what takes long is
# marked slow (pyproject.toml says from where on), and left to `make test`.
FAST ?= tests/unit tests/cli
test-fast: $(VENV)/.test-light
	$(BIN)/python -m pytest $(FAST) -m "not slow" -n 2 --dist loadfile $(SEEDED)

test-slurm: $(VENV)/.full
	@scripts/system_packages.sh tests $(PYTHON)
	$(BIN)/python -m pytest tests/slurm

# `make test` runs them, too; where PyTorch sees no GPU they are skipped.
test-gpu: models
	$(BIN)/python -m pytest tests/gpu -n 4 --dist loadfile

test-pythons:
	scripts/test_pythons.sh $(VENV) $(ONLY)

# Fails where a test does; what warns of the future, in whichever process, is counted at the end.
test-newest:
	rm -rf .venv-newest .cache/warnings
	$(MAKE) setup VENV=.venv-newest PIP_CONSTRAINT=
	PYTHONPATH=$(CURDIR)/scripts/newest WARNINGS_LOG=$(CURDIR)/.cache/warnings \
	    $(MAKE) test VENV=.venv-newest PIP_CONSTRAINT=; tested=$$?; \
	    sort .cache/warnings | uniq -c | sort -rn | head -n 40; exit $$tested

check: $(VENV)/.full
	@scripts/system_packages.sh tests $(PYTHON)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	shellcheck scripts/*.sh slurm/* .ci/run
	$(BIN)/mkdocs build --strict

docs: $(VENV)/.full
	for script in scripts/*_reference.py; do $(BIN)/python $$script || exit; done
	$(BIN)/mkdocs build --strict

bench: models
	$(BIN)/python scripts/bench/startup.py
	@if test -d "$(DATA)/vad"; then $(BIN)/python scripts/bench/vad.py --data "$(DATA)"; \
	    $(BIN)/python scripts/bench/vad_accuracy.py --data "$(DATA)"; \
	else echo "no VAD benchmark: make bench DATA=folder, with vad/ and digits/ in it" >&2; fi
	$(BIN)/python scripts/bench/asr.py
	$(BIN)/python scripts/bench/whisper.py --data "$(DATA)"
	$(BIN)/python scripts/bench/word_times.py
	$(BIN)/python scripts/bench/stream.py --data "$(DATA)"
	$(BIN)/python scripts/bench/memory.py
	$(BIN)/python scripts/bench/nemo_asr.py --model ctc --data "$(DATA)"
	$(BIN)/python scripts/bench/nemo_asr.py --data "$(DATA)"
	$(BIN)/python scripts/bench/s2s.py --data "$(DATA)"
	$(BIN)/python scripts/bench/s2s.py --data "$(DATA)" --memory
	$(BIN)/python scripts/bench/split_merge.py
	$(BIN)/python scripts/bench/slurm.py

clean:
	rm -rf .venv* .cache output build dist
