# make run    the app in a browser, on the bundled weights and samples
# make test   checks and the tests, the browser's included; make test-all adds the long ones
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

run: $(VENV)/run.stamp
	RESUNET_FOLDERS=1 $(BIN)/streamlit run app.py

test: browser
	$(MAKE) --jobs=2 lint test-quick

test-quick: $(VENV)/dev.stamp
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(VENV)/dev.stamp
	$(BIN)/pytest -m slow

test-all: test test-slow

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Chromium for the browser test: the system's, else Debian's package, else Playwright's own download.
browser: $(VENV)/dev.stamp
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || \
	  $(BIN)/playwright install chromium

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.latency

api: $(VENV)/dev.stamp
	$(BIN)/pdoc resunet --docformat google --output-directory build/api

# The same packages with the hashes of every build of them, for pip install --require-hashes.
lock: $(VENV)/dev.stamp
	$(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --quiet requirements.txt --output-file requirements-hashed.txt

$(VENV)/run.stamp: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements-train.txt $(VENV)/run.stamp pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.PHONY: run test test-quick test-slow test-all lint browser bench api lock
