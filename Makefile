# `make demo` and `make test` do all of their own set-up; PYTHON chooses the interpreter, PARALLEL
# how many processes share the work, BUDGET how long the demo's study may take.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL ?= 2
BUDGET ?= 5m
# Of the packages a tenth of the modules is ever imported: each is compiled when it is.
PIP := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable

.PHONY: demo test thorough checks browser lint types docs clean

# A quarter of so few patients is tested: with less nothing can be told apart from chance.
demo: $(VENV)/.installed
	test -d demo/phantom || $(BIN)/brainssl phantom demo/phantom --patients 200 --size 64
	$(BIN)/brainssl study demo/phantom demo/study --methods simclr --budget $(BUDGET) \
	  --jobs $(PARALLEL) --set split.test_fraction=0.25

test: checks
	# One thread a process: two test processes with two threads each would fight for two cores.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PARALLEL) -m "not thorough"

# All tests, with as many examples of each property as Hypothesis draws by itself: for a release.
thorough: checks
	HYPOTHESIS_PROFILE=thorough OMP_NUM_THREADS=1 $(BIN)/pytest -n $(PARALLEL)

checks: $(VENV)/.developing
	$(MAKE) --no-print-directory --jobs 3 lint types browser

browser:
	scripts/browser
	scripts/axe

lint: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.developing
	$(BIN)/mypy

docs: $(VENV)/.developing
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What is installed is installed again whenever the declared dependencies change.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP) '.[scans,serve]'
	touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(PIP) '.[dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) demo site .pytest_cache .mypy_cache .ruff_cache
