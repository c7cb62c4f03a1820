# Every target is one command of the project; `make help` explains them. Stages run only when their inputs changed.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
# A lab's own measurements (docs/own-measurements.md) instead of a device model: RECORDINGS=runs.csv [WINDOW=LOW,HIGH]
RECORDINGS ?=
WINDOW ?=
BUILD  := $(if $(RECORDINGS),build/recorded,build)

# What to build, e.g. `make firmware BOARD=openmena NOISE=prototype SEED=2`.
BOARD  ?= generic
NOISE  ?= ouroboros
SEED   ?= 1
PAIRS  ?= 10000
TRIALS ?= 10000
EVALUATION_SEED ?= 20240312
# Which network becomes the firmware: PRESET=best, PRESET=paper, PRESET=table (a look-up table) or PRESET=voltage (which chooses the pulse's voltage,
# and records some minutes first), or any of them by name with DEPLOY=NAME.
PRESET ?= best
DEPLOY_best  := log_expected
DEPLOY_paper := ft_smoothed
DEPLOY_table := table_16x16
DEPLOY_voltage := log_voltage
DEPLOY ?= $(if $(RECORDINGS),recorded,$(or $(DEPLOY_$(PRESET)),$(error PRESET=$(PRESET): choose best, paper, table or voltage)))
# What the firmware is to be good at: size, balanced or speed.
PROFILE ?= balanced
PAPER_SEEDS ?= 5

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help firmware elf size flash verify report paper ranges front devices readme faults misra eva test lint format bench calibrate clean distclean no-page FORCE

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  variables: BOARD=$(BOARD) NOISE=$(NOISE) SEED=$(SEED) PAIRS=$(PAIRS) TRIALS=$(TRIALS) PRESET=$(PRESET) DEPLOY=$(DEPLOY) PROFILE=$(PROFILE)"

# --- environment ------------------------------------------------------------------------------------------
READY := $(VENV)/.ready
$(READY): pyproject.toml setup.py $(wildcard sim/kernel/*.[ch]) sim/kernel/build_kernel.py
	@scripts/environment.sh $(PYTHON) $(VENV)
	@touch $@

# --- the main job -----------------------------------------------------------------------------------------
NETWORK_NAMES := mlp_rpd_t mlp_rpd_g ft_unsmoothed ft_smoothed log_mlp log_smoothed log_expected table_16x16
VOLTAGE       := $(BUILD)/networks/log_voltage.onnx
RECORDED      := $(BUILD)/networks/recorded.onnx
NETWORKS      := $(NETWORK_NAMES:%=$(BUILD)/networks/%.onnx) $(if $(filter log_voltage,$(DEPLOY)),$(VOLTAGE))
TRAINED       := $(BUILD)/networks/.trained
DATASET       := $(BUILD)/dataset.h5
RESPONSES     := $(BUILD)/responses.h5
FIRMWARE      := $(BUILD)/firmware/$(BOARD)
VERIFIED      := $(BUILD)/verified/$(BOARD).json
SIM_CODE      := $(wildcard sim/*.py sim/kernel/*.[ch] sim/presets/*.toml)
TRAIN_CODE    := $(filter-out train/report%,$(wildcard train/*.py)) codegen/metadata.py codegen/onnx_import.py codegen/table.py
CODEGEN_CODE  := $(wildcard codegen/*.py) $(shell find firmware_templates -type f -not -path '*__pycache__*')

# A variable counts as an input: its stamp file changes when its value does.
stamp = $(BUILD)/.inputs/$(1)
$(BUILD)/.inputs/%: FORCE
	@mkdir -p $(@D); echo '$($*)' | cmp -s - $@ || echo '$($*)' >$@
inputs = $(foreach name,$(1),$(call stamp,$(name)))

firmware: $(BUILD)/results.json $(if $(RECORDINGS),,$(BUILD)/demo/convergence.json) ## from an empty folder to verified C in build/firmware/BOARD, with the proof beside it
	@cat $(BUILD)/report.txt
	@echo
	@echo "firmware:        $(FIRMWARE)  ($(DEPLOY), profile $(PROFILE))"
	@echo "co-simulation:   $(BUILD)/results.json, $(BUILD)/accuracy.png$(if $(RECORDINGS),,, $(BUILD)/demo/)"

$(DATASET): $(SIM_CODE) $(call inputs,NOISE SEED PAIRS) | $(READY)
	$(PY) -m sim dataset --noise $(NOISE) --seed $(SEED) --pairs $(PAIRS) --force -o $@
	@touch $@

$(BUILD)/floor.json: $(SIM_CODE) train/responses.py train/floor.py $(call inputs,NOISE SEED) | $(READY)
	$(PY) -m train floor --noise $(NOISE) --seed $(SEED) --responses $(RESPONSES) -o $@

$(TRAINED): $(DATASET) $(BUILD)/floor.json $(TRAIN_CODE)
	$(PY) -m train networks $(DATASET) --responses $(RESPONSES) --seed $(SEED) -o $(BUILD)/networks
	@touch $@

$(VOLTAGE): $(SIM_CODE) $(TRAIN_CODE) $(call inputs,NOISE SEED) | $(READY)
	$(PY) -m train voltage --noise $(NOISE) --seed $(SEED) --responses $(BUILD)/voltage -o $@
	@touch $@

# What networks are made from and tried on: a device model with noise, or recorded devices.
ifdef RECORDINGS
NETWORKS   := $(RECORDED)
MADE       := $(RECORDED)
TRIED_ON   := --recordings $(RECORDINGS) $(if $(WINDOW),--window $(WINDOW))
QUANTISED  :=
BASELINES  :=
FLOOR      :=
else
MADE       := $(TRAINED) $(filter $(VOLTAGE),$(NETWORKS))
TRIED_ON   := --noise $(NOISE)
QUANTISED  := --calibration $(DATASET)
BASELINES  := $(BUILD)/baselines.json
FLOOR      := $(BUILD)/floor.json
endif

$(RECORDED): $(RECORDINGS) $(TRAIN_CODE) sim/recordings.py $(call inputs,SEED RECORDINGS WINDOW) | $(READY)
	$(PY) -m train recorded $(RECORDINGS) $(if $(WINDOW),--window $(WINDOW)) --seed $(SEED) -o $@
	@touch $@

$(BUILD)/baselines.json: $(TRAINED) train/baselines.py
	$(PY) -m train baselines $(DATASET) -o $@

$(BUILD)/evaluation.json: $(MADE) $(BASELINES) $(call inputs,BOARD TRIALS EVALUATION_SEED)
	$(PY) -m train evaluate $(NETWORKS) $(BASELINES:%=--baselines %) --board $(BOARD) $(TRIED_ON) \
	    --trials $(TRIALS) --seed $(EVALUATION_SEED) -o $@

# Narrow weights have an accuracy of their own; the other two profiles compute the same numbers.
ACCURACY      := $(BUILD)/cosimulation$(if $(filter size,$(PROFILE)),_size).json

$(FIRMWARE)/manifest.json: $(ACCURACY) $(call inputs,DEPLOY PROFILE)
	$(PY) -m codegen firmware $(BUILD)/networks/$(DEPLOY).onnx --board $(BOARD) $(QUANTISED) \
	    --profile $(PROFILE) $(TRIED_ON) --results $(ACCURACY) --force -o $(FIRMWARE)

$(BUILD)/host/$(BOARD).so: $(FIRMWARE)/manifest.json
	$(PY) -m codegen host $(FIRMWARE) -o $@

$(BUILD)/cosimulation.json: $(MADE) $(CODEGEN_CODE) $(call inputs,BOARD TRIALS EVALUATION_SEED)
	$(PY) -m codegen cosim $(NETWORKS) --board $(BOARD) $(TRIED_ON) $(QUANTISED) \
	    --trials $(TRIALS) --seed $(EVALUATION_SEED) -o $@

$(BUILD)/cosimulation_size.json: $(MADE) $(CODEGEN_CODE) $(call inputs,BOARD TRIALS EVALUATION_SEED DEPLOY)
	$(PY) -m codegen cosim $(BUILD)/networks/$(DEPLOY).onnx --board $(BOARD) $(TRIED_ON) $(QUANTISED) \
	    --profile size --trials $(TRIALS) --seed $(EVALUATION_SEED) -o $@

$(BUILD)/demo/convergence.json: $(FIRMWARE)/manifest.json $(call inputs,NOISE)
	$(PY) -m codegen demo $(FIRMWARE) --noise $(NOISE) --seed $(EVALUATION_SEED) -o $(BUILD)/demo

$(BUILD)/results.json: $(BUILD)/evaluation.json $(BUILD)/cosimulation.json $(BUILD)/host/$(BOARD).so $(FLOOR) $(wildcard train/report*.py)
	$(PY) -m train report $(BUILD)/evaluation.json $(BUILD)/cosimulation.json $(FLOOR:%=--floor %) --figure $(BUILD)/accuracy.png -o $@ >$(BUILD)/report.txt

# --- what is flashed --------------------------------------------------------------------------------------
elf: $(FIRMWARE)/manifest.json ## what is flashed on BOARD: ELF, HEX, BIN, map and sizes in build/elf/BOARD
	$(PY) -m codegen elf $(FIRMWARE) --board $(BOARD) -o $(BUILD)/elf/$(BOARD)

flash: $(if $(DRY_RUN),$(READY),$(FIRMWARE)/manifest.json) ## write it to the BOARD and verify, through PROBE where there are several
	@$(PY) -m codegen flash --board $(BOARD) --firmware $(FIRMWARE) --elf $(BUILD)/elf/$(BOARD) \
	    $(if $(PROBE),--probe '$(PROBE)') $(if $(METHOD),--method $(METHOD)) $(if $(DRY_RUN),--dry-run)

size: $(FIRMWARE)/manifest.json ## flash, RAM and instructions of an inference on BOARD's core; fails over budget
	$(PY) -m codegen size $(FIRMWARE) --default-budget

# The network in docs/examples is the default one of one `make firmware`, kept so that this page can be repeated anywhere.
FAULTS := $(BUILD)/faults
faults: $(READY) ## break the simulated hardware around the firmware, fault by fault: docs/faults.md
	$(PY) -m codegen firmware docs/examples/log_expected.onnx --board generic --force -o $(FAULTS)
	$(PY) -m codegen faults $(FAULTS) --page docs/faults.md

# --- proof and checks -------------------------------------------------------------------------------------
verify: $(FIRMWARE)/manifest.json ## compare C and integer reference on all 16.7 million pairs of 12-bit codes
	$(PY) -m codegen verify $(FIRMWARE) -o $(VERIFIED)

$(VERIFIED): $(FIRMWARE)/manifest.json
	$(PY) -m codegen verify $(FIRMWARE) -o $@

report: $(if $(RECORDINGS),no-page) firmware $(VERIFIED) ## the build as one HTML page that opens offline: build/report.html
	@$(PY) -m codegen size $(FIRMWARE) --json >$(BUILD)/size.json || { rm -f $(BUILD)/size.json; echo "the page goes without instruction counts"; }
	$(PY) -m train page $(BUILD) --board $(BOARD) -o $(BUILD)/report.html

no-page:
	@echo "the page is that of a build on a device model; what RECORDINGS gave is in $(BUILD)/report.txt" >&2; exit 2

front: $(TRAINED) $(VOLTAGE) ## precision against delay with the voltage as a knob: build/front/, docs/voltage.md
	$(PY) -m train front $(BUILD)/networks/log_expected.onnx $(VOLTAGE) --noise $(NOISE) --responses $(BUILD)/voltage \
	    --board $(BOARD) --trials $(TRIALS) --page docs/voltage.md -o $(BUILD)/front
	cp $(BUILD)/front/front.png $(BUILD)/front/wishes.png docs/figures/

misra: $(READY) ## MISRA C:2012 by cppcheck's addon, C of every board and kernel: docs/misra.md (a minute)
	$(PY) -m codegen misra docs/examples/log_expected.onnx --page docs/misra.md

AWARE := $(BUILD)/devices/ouroboros-devices/device_aware.onnx
eva: $(READY) ## no run-time error in predictor and controller, whatever the input: Frama-C Eva (a minute)
	@scripts/frama_c.sh
	$(PY) -m codegen eva docs/examples/log_expected.onnx
	@if [ -f $(AWARE) ]; then $(PY) -m codegen eva $(AWARE); \
	else echo "states of devices left out: no $(AWARE), make devices trains it"; fi

DEVICES := $(BUILD)/devices
devices: $(READY) ## devices that differ: floors, the network that is told, write-and-verify methods; docs/device-aware.md
	$(PY) -m train floor --noise ouroboros-devices --known-devices 16 --pairs 256 --devices 48 --longest 1e-2 -o $(DEVICES)/floor.json
	$(PY) -m train devices --noise ouroboros-devices --floor $(DEVICES)/floor.json --page docs/device-aware.md -o $(DEVICES)/ouroboros-devices
	$(PY) -m train programming $(DEVICES)/ouroboros-devices --page docs/device-aware.md

test: $(READY) lint ## lint, types and every test
	@scripts/targets.sh || echo "tests that need what is missing are skipped, with the reason"
	$(VENV)/bin/pytest -n auto --maxprocesses 8 --dist loadfile

lint: $(READY) ## formatting, lint and strict types, of Python and C
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h' ':!tests/golden')
	$(VENV)/bin/mypy

format: $(READY) ## rewrite Python and C in the project's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $$(git ls-files '*.c' '*.h' ':!tests/golden')

bench: $(READY) ## speed of the device models and of the predictor, instructions of an inference by core
	$(PY) -m sim bench
	$(PY) benchmarks/campaign_scaling.py
	$(PY) benchmarks/predictor_speed.py
	$(PY) benchmarks/instruction_counts.py

calibrate: $(READY) ## find the noise amplitude at which the paper's recipe gives the paper's accuracy (ten minutes)
	$(PY) -m train calibrate -o $(BUILD)/calibration

paper: $(READY) ## reproduce the paper's figures and statements over five seeds: docs/paper.md (a quarter of an hour, resumable)
	$(PY) -m train paper --seeds $(PAPER_SEEDS) --pairs $(PAIRS) --trials $(TRIALS) --noise $(NOISE) --board $(BOARD) \
	    --document docs/paper.md -o $(BUILD)/paper

ranges: $(READY) ## networks for ranges of the start against one larger network: docs/paper.md (a quarter of an hour, resumable)
	$(PY) -m train ranges --seeds $(PAPER_SEEDS) --pairs $(PAIRS) --trials $(TRIALS) --noise $(NOISE) --board $(BOARD) \
	    --document docs/paper.md -o $(BUILD)/paper

readme: firmware ## rewrite the results in README.md and docs from a run
	$(PY) -m train report $(BUILD)/evaluation.json $(BUILD)/cosimulation.json --floor $(BUILD)/floor.json --readme README.md \
	    --figure docs/figures/accuracy.png -o docs/results.json
	cp $(BUILD)/demo/write_and_verify.png docs/figures/write_and_verify.png

clean: ## remove everything built, keep the environment
	rm -rf $(BUILD)

distclean: clean ## remove the environment too
	rm -rf $(VENV)
