# Everything from a bare clone: python3 (3.11 or newer, with venv) and make are enough.
# One virtual environment, one lock, one stamp: about 20 seconds the first time, nothing afterwards.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check proof bench man pictures format lock clean

help:
	@echo "make demo     a real sync on a local user table and a local Mixpanel sandbox"
	@echo "make test     every test"
	@echo "make check    formatting, lint, types, the floors of the house"
	@echo "make proof    the long proofs: many seeds, every crash point"
	@echo "make bench    throughput, cost per row, memory"
	@echo "make man      write the man page from the commands"
	@echo "make pictures paint the terminal of the README from a real run"
	@echo "make format   format the code and fix what can be fixed"
	@echo "make lock     resolve the dependencies anew into requirements.lock"
	@echo "make clean    remove .venv and every cache"

demo: $(STAMP)
	@$(BIN)/sync-profiles demo

test: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --color=no

proof: $(STAMP)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --color=no -m proof --timeout 3600

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

man: $(STAMP)
	@$(BIN)/python docs/manual.py

pictures: $(STAMP)
	@$(BIN)/python docs/pictures.py

check: export NO_COLOR = 1
check: $(STAMP)
	@$(BIN)/ruff format --quiet --check . || { echo "cure: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.txt || { cat $(VENV)/lint-imports.txt; exit 1; }
	@echo "formatting, lint, types and floors are in order"

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

# The lock pins every package, the installer and the build backend included, by hash and names no index:
# the one that pip is set up with serves it. uv only resolves; it lives in an environment of its own.
lock:
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(PYTHON) -m venv "$$dir"; \
	"$$dir/bin/pip" install -qq --disable-pip-version-check uv; \
	"$$dir/bin/uv" pip compile pyproject.toml --group dev --extra mysql --extra dask --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade -o "$$dir/lock"; \
	{ echo "# Made by 'make lock' from pyproject.toml; do not edit."; cat "$$dir/lock"; } > requirements.lock; \
	echo "requirements.lock: $$(grep -c '==' requirements.lock) packages"

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer; cure: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv; cure on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "building $(VENV) (once, about 20 seconds)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
