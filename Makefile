# Needs make and Python 3.11 or newer with its venv module; everything else is installed into .venv.
# Choose another Python with `make PYTHON=/path/to/python …`.

usable = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	$$python -c '$(usable)' 2>/dev/null && echo $$python && break; done)
no_python = rdahw needs Python 3.11 or newer with its venv module: install one (Debian: apt install python3-venv), \
or say where one is with make PYTHON=/path/to/python
pip = .venv/bin/python -m pip --disable-pip-version-check --quiet install

.DELETE_ON_ERROR:
.PHONY: help demo test quick lint types docs docs-serve docs-walk mutants bench estimates clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 12

demo: .venv/installed  ## the paper's bits on Iris, a model of Iris that is over 95 % right, and pictures of it
	@mkdir -p build/demo
	@echo "the paper's experiments on Iris: is every bit the same?"
	@.venv/bin/rdahw reproduce --data iris
	@echo
	@echo "an ensemble, on ten random splits: 120 flowers to learn from, 30 held out to test it"
	@.venv/bin/rdahw train --data iris --model ensemble --split 0.2 --seeds 10 --quiet --out build/demo/iris.rdahw
	@echo
	@.venv/bin/rdahw report build/demo/iris-seed0.rdahw --out build/demo/iris.html --pictures build/demo

test: .venv/installed-dev  ## run the tests on all cores
	.venv/bin/pytest -n auto --dist worksteal

quick: .venv/installed-dev  ## run the quick tests, under two minutes: no compiler, no solver, no long simulation
	.venv/bin/pytest -n auto --dist worksteal -m "not slow"

lint: .venv/installed-dev  ## check style and formatting
	.venv/bin/ruff check
	.venv/bin/ruff format --check

# The types are checked in a built copy: in the checkout the folder rdahw/ hides the layers beside it.
# build/lib goes first, since setuptools would pack files that were deleted from the source since the last build.
types: .venv/installed-dev  ## check types in a built copy
	@rm -rf build/lib build/types
	$(pip) --no-deps --target build/types .
	cd build/types && ../../.venv/bin/mypy --config-file ../../pyproject.toml --cache-dir ../mypy_cache -p rdahw

docs: .venv/installed-docs  ## make the documentation site, build/docs/index.html; a warning is an error
	@rm -rf build/docs docs/generated
	.venv/bin/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet -d build/doctrees docs build/docs

docs-serve: docs  ## … and show it at http://127.0.0.1:8000 until Ctrl-C
	.venv/bin/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

# After a new row or signal, `.venv/bin/python tests/mutants.py --write --new` is quicker.
docs-walk: .venv/installed-walk  ## check links, headings, widths and contrast of that site in Chromium (PAGES=part of names)
	.venv/bin/python docs/walk.py $(PAGES)

mutants: .venv/installed-dev  ## make all mutants and write their list: some 25 minutes
	.venv/bin/python tests/mutants.py --write

bench: .venv/installed-dev .venv-bench/installed  ## measure beside peers and write docs/benchmarks.md (BENCH=--full for all)
	.venv/bin/python bench/run.py $(BENCH)

# Seeds 11 and 12 are of the devices, and seed 11 of the designs, that a draw of all has too few of.
rare = ecp5,gowin,gatemate
estimates: .venv/installed-dev  ## build the designs of rdahw estimate anew, and fit it to them: over four hours of one core
	rm -f bench/builds.jsonl
	.venv/bin/python bench/estimates.py build --seed 1 --count 93
	.venv/bin/python bench/estimates.py build --seed 2 --count 39
	.venv/bin/python bench/estimates.py build --seed 11 --count 15 --families $(rare) \
		--kinds grown,layers_predictor,ensemble_predictor,small_predictor,forest,netlist
	.venv/bin/python bench/estimates.py build --seed 12 --count 19 --families $(rare)
	.venv/bin/python bench/estimates.py build --seed 3 --count 40
	.venv/bin/python bench/estimates.py build --seed 4 --count 40
	.venv/bin/python bench/estimates.py build --seed 5 --count 40
	.venv/bin/python bench/estimates.py build --seed 6 --count 40
	.venv/bin/python bench/estimates.py fit

clean:  ## remove the virtual environment and everything built
	rm -rf .venv .venv-bench build dist docs/generated *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	@.venv/bin/python -c 'import pip; $(usable)' 2>/dev/null || { \
		python='$(PYTHON)'; "$$python" -c '$(usable)' 2>/dev/null || { echo "$(no_python)" >&2; exit 1; }; \
		echo "making .venv with $$python"; "$$python" -m venv --clear .venv; }
	$(pip) --editable '.[plot]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(pip) --editable '.[dev]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(pip) --editable '.[docs]'
	@touch $@

.venv/installed-walk: .venv/installed-docs
	$(pip) --editable '.[walk]'
	@touch $@

.venv-bench/installed: bench/peers.txt bench/install_peers.py | .venv/installed
	.venv/bin/python bench/install_peers.py .venv-bench
	@touch $@
