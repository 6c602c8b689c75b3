# speechkit. `make demo` and `make test` need nothing done before; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEECHKIT := $(BIN)/speechkit
TORCH ?= torch==2.13.0
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Python itself compiles what is imported: few of all the files.
INSTALL := $(PIP) install --no-compile
export HF_HUB_OFFLINE ?= 1
# Hundreds of processes would each compile anew what they import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-light demo models test test-slurm check bench pipeline clean

help:
	@echo "make demo        set up the light core, then VAD, ASR and score on the bundled speech"
	@echo "make test        set up everything, then run all tests"
	@echo "make test-slurm  run the tests on a SLURM cluster of one node, which they start and stop"
	@echo "make pipeline INPUT=folder OUTPUT=folder    manifest, VAD, ASR and score of a folder"
	@echo "make setup-light the command line and its embedded engines, without torch"
	@echo "make setup       all engines, and what the tests and benchmarks need"
	@echo "make check       lint, types, shell scripts"
	@echo "make models      get and train the models that the tests and benchmarks use (minutes, once)"
	@echo "make bench       speed beside the peers, in one run"

# ---------------------------------------------------------------- set-up
$(VENV)/.light: pyproject.toml scripts/system_packages.sh
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 10) and f"speechkit needs Python 3.10 or newer, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.11 …")'
	@scripts/system_packages.sh libc++
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

# torch first and pinned: everything after takes the one that is there. fairseq, built meanwhile,
# last and without what it asks for, which would take NeMo's away; that goes into a folder of its
# own, for a test.
$(VENV)/.full: $(VENV)/.light scripts/old_hydra.sh
	$(PIP) wheel --no-deps --wheel-dir .cache/wheels fairseq==0.12.2 & built=$$!; \
	    $(INSTALL) "$(TORCH)" && $(INSTALL) -e ".[test,dev]" && wait $$built
	$(INSTALL) --no-deps silero-vad==6.2.3 bitarray .cache/wheels/fairseq-0.12.2-*.whl
	scripts/old_hydra.sh .cache/old-hydra
	touch $@

setup-light: $(VENV)/.light
setup: $(VENV)/.full

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

# Real Whispers, tiny NeMo models of spoken digits, and tiny HuBERTs and vocoders; made anew where what
# they are made of has changed.
models: $(VENV)/.full
	$(BIN)/python scripts/real_models.py base tiny.en
	$(BIN)/python scripts/make_tiny_models.py nemo --data "$(DATA)"
	$(BIN)/python scripts/make_tiny_models.py s2s --data "$(DATA)"

test: models
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slurm: $(VENV)/.full
	$(BIN)/python -m pytest tests/slurm

check: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	shellcheck scripts/*.sh slurm/* .ci/run

bench: models
	$(BIN)/python scripts/bench/startup.py
	@if test -d "$(DATA)/vad"; then $(BIN)/python scripts/bench/vad.py --data "$(DATA)"; \
	else echo "no VAD benchmark: make bench DATA=folder, with vad/ and digits/ in it" >&2; fi
	$(BIN)/python scripts/bench/asr.py
	$(BIN)/python scripts/bench/whisper.py --data "$(DATA)"
	$(BIN)/python scripts/bench/memory.py
	$(BIN)/python scripts/bench/nemo_asr.py --model ctc --data "$(DATA)"
	$(BIN)/python scripts/bench/nemo_asr.py --data "$(DATA)"
	$(BIN)/python scripts/bench/s2s.py --data "$(DATA)"
	$(BIN)/python scripts/bench/s2s.py --data "$(DATA)" --memory
	$(BIN)/python scripts/bench/split_merge.py
	$(BIN)/python scripts/bench/slurm.py

clean:
	rm -rf $(VENV) .cache output build dist
