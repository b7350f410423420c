# `make help` lists the targets.
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PYTHONNOUSERSITE := 1

.PHONY: help setup demo demo-vrft test accept check format bench test-gpu bench-gpu clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## build .venv (CPU profile where no NVIDIA GPU is found, else GPU); does nothing the second time
	@bash requirements/install.sh

demo: setup ## MedGR2 end to end on phantoms: two rounds of generate, filter, SFT, GRPO, reward model; about 15 minutes
	@$(PY) -m medical_rl.main conf=medgr2 conf/scale=tiny $(ARGS)

demo-vrft: setup ## VRFT-Aug end to end on phantoms: warm start, then GRPO; about 6 minutes
	@$(PY) -m medical_rl.main conf=vrft_aug conf/scale=tiny $(ARGS)

test: setup ## all tests: units and contracts with verl in one process, end-to-end runs in another beside it
	@$(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not accept and not bench and not gpu" $(ARGS)

accept: setup ## the long proofs (seeds, controls, kills), resumable; figures go to benchmarks/
	@$(PY) -m pytest -m accept tests/accept tests/examples -o addopts="-ra --import-mode=importlib" -s $(ARGS)

check: setup ## formatting and lint
	@$(PY) -m ruff format --check . && $(PY) -m ruff check .

format: setup ## apply formatting and the lint's own fixes
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

bench: setup ## measurements against named rivals; tables go to benchmarks/
	@$(PY) -m pytest -m bench tests/bench -o addopts="-ra --import-mode=importlib" -s $(ARGS)

test-gpu: setup ## the tests that need a GPU
	@$(PY) -m pytest -m gpu tests/gpu $(ARGS)

bench-gpu: bench ## the same measurements on a host with a GPU, whose engine they then use

clean: ## remove caches and builds; runs and .venv stay
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
