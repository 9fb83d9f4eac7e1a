# Raydio: `make up` and `make test` are all the set-up there is. `make help` lists the rest.

PYTHON ?=
ARGS ?=
RUNNER := $(or $(PYTHON),python3)
BIN := .venv/bin
BOOTSTRAP = $(RUNNER) scripts/bootstrap.py $(if $(PYTHON),--python $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help python venv up venv-test chromium test lint types format bench screenshots test-coqui \
	test-sentence-transformers clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-28s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

python:
	@command -v $(RUNNER) >/dev/null || { \
	  echo "Raydio needs Python 3.11 or later, and there is no $(RUNNER) on the PATH: apt-get install python3"; exit 1; }

venv: python
	@$(BOOTSTRAP)

up: venv ## Set up everything, start everything, print one URL (ARGS="--detach --no-browser --port 8710")
	@$(BIN)/raydio up $(ARGS)

venv-test: python
	@$(BOOTSTRAP) --extra test

chromium: venv-test
	@$(BIN)/python scripts/chromium.py >/dev/null

test: lint types chromium ## Set up what tests need, run them all (ARGS="-k voice" chooses)
	@$(BIN)/pytest -q tests/test_layering.py
	@RAYDIO_CHROMIUM="$$($(BIN)/python scripts/chromium.py)" $(BIN)/pytest $(ARGS)

lint: venv-test ## Lint and formatting, checked
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: venv-test ## Strict types
	@$(BIN)/mypy

format: venv-test ## Lint and formatting, repaired where that is safe
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: venv-test ## Benchmarks, side by side with peers: JSON and a plot
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: chromium ## Take the README's screenshots again
	@RAYDIO_CHROMIUM="$$($(BIN)/python scripts/chromium.py)" PYTHONPATH=. $(BIN)/python scripts/screenshots.py $(ARGS)

test-coqui: python ## Test the coqui engine in a virtual environment of its own
	@sh scripts/test_coqui.sh

test-sentence-transformers: python ## Test the sentence-transformers engine in one of its own
	@sh scripts/test_sentence_transformers.sh

clean: ## Remove what is made: .venv, caches, build files
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
