# make pretrain   set everything up and run the main job on the embedded corpus
# make test       set everything up and pass the tests
# make help       the other targets

SHELL := bash
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Processes that share the tests, file by file.
WORKERS ?= $(if $(filter 1,$(CORES)),1,2)
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# One process a GPU, or one on the CPU.
GPUS := $(shell nvidia-smi -L 2>/dev/null | grep -c ^GPU)
PROCESSES ?= $(if $(filter-out 0,$(GPUS)),$(GPUS),1)
# Accelerate starts several CPU processes by --multi_gpu, too.
LAUNCH = $(if $(filter-out 0,$(GPUS)),,ACCELERATE_USE_CPU=true) $(BIN)/accelerate launch --num_processes $(PROCESSES) --num_machines 1 --mixed_precision no \
	--dynamo_backend no --num_cpu_threads_per_process $(CORES) $(if $(filter-out 1,$(PROCESSES)),--multi_gpu,)
RECIPE ?= recipes/simclr_multidomain.yaml

.DEFAULT_GOAL := help
.PHONY: help setup pretrain test test-fast min-deps look lint format bench results reproduce docs wheel-check fuzz slurm-test clean

help:
	@echo "make pretrain   set everything up and run the main job (RECIPE=..., ARGS='key=value ...')"
	@echo "make test       set everything up and pass the tests"
	@echo "make test-fast  the tests that take no time: no training, no network of processes"
	@echo "make min-deps   install every dependency at its declared minimum, apart, and use the package there"
	@echo "make look       both report pages in headless Chromium, phone and desktop: pictures in runs/look"
	@echo "make lint       ruff and mypy"
	@echo "make format     let ruff tidy the code"
	@echo "make results    regenerate results/ from the real scenes (SSLHSI_DATA must name their folder)"
	@echo "make reproduce  the papers' tables and figures: commands, published values beside ours, missing data"
	@echo "make bench      speed and memory, as ratios against a peer"
	@echo "make docs       build the site into site/"
	@echo "make wheel-check   build the wheel and use it in an empty environment (RUN=..., SSLHSI_DATA)"
	@echo "make fuzz       30,000 malformed or contradictory files: only clean errors may come of them"
	@echo "make slurm-test the job scripts on a real Slurm of two nodes here (root, slurm-wlm, munge)"
	@echo "make clean      remove the virtual environment, corpora and runs"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("sslhsi needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

pretrain: $(READY)
	$(LAUNCH) sslhsi/pretrain.py $(RECIPE) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

min-deps:
	$(PYTHON) tests/min_deps.py $(ARGS)

look: $(READY)
	@$(BIN)/python tests/report/browser.py
	SSLHSI_LOOK=runs/look $(BIN)/python -m pytest tests/report/test_browser.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/backbones.py
	$(BIN)/python benchmarks/preparation.py
	$(BIN)/python benchmarks/profile_step.py
	$(BIN)/python benchmarks/training_loop.py
	$(BIN)/python benchmarks/usual_way.py
	$(BIN)/python benchmarks/knn.py
	$(BIN)/python benchmarks/probes.py
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/maps.py
	$(BIN)/python benchmarks/micro_batch.py
	$(BIN)/python benchmarks/stream_large.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/scaling.py

results: $(READY)
	$(BIN)/python results/make_results.py --fresh $(ARGS)

reproduce: $(READY)
	$(BIN)/python results/reproduce.py $(ARGS)

docs: $(VENV)/.docs-ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site
	@echo site/index.html

$(VENV)/.docs-ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# A finished run whose corpus holds neither NEON, AVIRIS-NG nor Salinas-A; make results leaves this one.
RUN ?= runs/results/pixel-only-muufl
wheel-check: $(READY)
	$(BIN)/python tests/check_wheel.py $(RUN) $(ARGS)

fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz.py $(ARGS)

slurm-test: $(READY)
	$(BIN)/python tests/slurm/slurm_test.py

clean:
	rm -rf $(VENV) site corpora runs build *.egg-info
