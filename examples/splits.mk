# The splits of a manifest through a stage on one machine, as many at once as make is told:
#
#   speechkit split-manifest --input data.jsonl --splits 30
#   make -j 4 -k -f examples/splits.mk STAGE=asr OPTIONS="--engine nemo"
#   speechkit merge-results --input-pattern "output/*_split_*.jsonl" --output final.jsonl
#
# Again, it runs what isn't done yet. A split in which utterances failed (exit code 3) is done.
STAGE ?= asr
OPTIONS ?=
SPLITS_DIR ?= splits
OUTPUT_DIR ?= output

splits := $(wildcard $(SPLITS_DIR)/*_split_*.jsonl)
results := $(splits:$(SPLITS_DIR)/%=$(OUTPUT_DIR)/%)

.PHONY: all
all: $(results)

# A result that is there is done, whatever the age of its split.
$(OUTPUT_DIR)/%.jsonl: | $(SPLITS_DIR)/%.jsonl
	speechkit $(STAGE) $| --output $@ --workers 1 $(OPTIONS) || test $$? -eq 3
