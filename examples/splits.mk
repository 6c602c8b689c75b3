# The splits of a manifest through a stage on one machine, as many at once as make is told:
#
#   speechkit split-manifest --input data.jsonl --splits 30
#   make -j 4 -k -f examples/splits.mk STAGE=asr OPTIONS="--engine nemo"
#   speechkit merge-results --input-pattern "output/*_split_*.jsonl" --output final.jsonl
#
# Again, it runs what isn't done yet. A split in which utterances failed (exit code 3) is done.
# Other folders: make … SPLITS_DIR=parts OUTPUT_DIR=results; the environment changes neither.
STAGE = asr
OPTIONS =
SPLITS_DIR = splits
OUTPUT_DIR = output

names := $(patsubst $(SPLITS_DIR)/%,%,$(wildcard $(SPLITS_DIR)/*_split_*.json*))
results := $(patsubst %,$(OUTPUT_DIR)/%,$(names:.gz=))

.PHONY: all
all: $(results)
	@test -n "$(results)" || { echo "no splits in $(SPLITS_DIR)" >&2; exit 2; }

# A result that is there is done, whatever the age of its split.
$(results): $(OUTPUT_DIR)/%:
	speechkit $(STAGE) $(wildcard $(SPLITS_DIR)/$* $(SPLITS_DIR)/$*.gz) --output $@ \
	    --workers 1 $(OPTIONS) || test $$? -eq 3
