# make run    the app in a browser, on the bundled weights and samples
# make test   checks and the whole test suite
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

run: $(VENV)/run.stamp
	RESUNET_FOLDERS=1 $(BIN)/streamlit run app.py

test: lint browser
	$(BIN)/pytest

test-quick: $(VENV)/dev.stamp
	$(BIN)/pytest -m "not slow and not browser"

test-all: test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Chromium for the browser test: the system's, else Debian's package, else Playwright's own download.
browser: $(VENV)/dev.stamp
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || \
	  $(BIN)/playwright install chromium

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.latency

$(VENV)/run.stamp: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.PHONY: run test test-quick test-all lint browser bench
