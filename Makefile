# `make demo` and `make test` do all of their own set-up; PYTHON chooses the interpreter, PARALLEL
# how many processes share the work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL ?= 2

.PHONY: demo test lint types docs clean

demo: $(VENV)/.installed
	test -d demo/phantom || $(BIN)/brainssl phantom demo/phantom --patients 110 --size 96
	$(BIN)/brainssl study demo/phantom demo/study --preset quick \
	  --methods simclr --protocols grouped --label-fractions 0.1,1.0 --seeds 2 --jobs $(PARALLEL)

test: $(VENV)/.installed lint types
	scripts/browser
	# One thread a process: two test processes with two threads each would fight for two cores.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PARALLEL)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Installed again whenever the declared dependencies change.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) demo site .pytest_cache .mypy_cache .ruff_cache
