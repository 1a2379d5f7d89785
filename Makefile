# `make` alone lists what can be made. Everything runs in .venv, which is made from requirements.txt.
PYTHON ?= python3
BIN := .venv/bin
CHAPTERS ?= $(sort $(wildcard chapters/*.ipynb appendix/*.ipynb))

# Two processes of one thread each: more would fight over two cores.
WORKERS ?= 2
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS

.PHONY: help book test pages lint unit notebooks chapters variants colab plain address clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

.venv/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

book: .venv/.ready  ## build the book; warnings are errors
	$(BIN)/jupyter-book build . --all --quiet -W -n --keep-going
	$(BIN)/python tools/offline.py _build/html
	@echo "Open file://$(CURDIR)/_build/html/index.html"

test: lint unit notebooks book pages  ## everything that CI checks

pages: book  ## look at the built pages in a browser, as on a phone
	$(BIN)/pytest -q -m browser

lint: .venv/.ready  ## style, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

unit: .venv/.ready  ## tests of the library, the tools and the form of the chapters
	$(BIN)/pytest -q -n $(WORKERS)

notebooks: .venv/.ready  ## run every chapter and compare all that it prints
	$(BIN)/pytest -q -n $(WORKERS) --dist=loadfile --nbval --nbval-current-env --nbval-cell-timeout=300 chapters appendix

chapters: .venv/.ready  ## run chapters in place; CHAPTERS=chapters/02_svd.ipynb for one
	$(BIN)/python tools/execute.py $(CHAPTERS)

variants: .venv/.ready  ## the notebooks with 1 and 2 threads and each instruction set
	$(BIN)/python tools/variants.py

colab: .venv/.ready  ## run every chapter as Colab would, outside the repository
	$(BIN)/python tools/colab.py

plain: .venv/.ready  ## write the notebooks as Colab shows them into _build/plain
	$(BIN)/python tools/plain.py _build/plain

address: .venv/.ready  ## copy the repository's address from pyproject.toml to where it is shown
	$(BIN)/python tools/address.py

clean:  ## remove the environment and everything built
	rm -rf .venv _build .pytest_cache .ruff_cache .import_linter_cache
