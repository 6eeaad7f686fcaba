# Two commands matter: `make demo` and `make test`. Everything else serves them.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps

# Two processes, as most tests wait for servers and clocks; a folder of tests stays in one of them.
SUITE := $(BIN)/python -m pytest -q -n 2 --no-loadscope-reorder

.PHONY: install demo test check bench lock clean

install: .venv/.installed

demo: install
	@$(BIN)/python -m app demo

test: .venv/.tools
	$(SUITE)

check: .venv/.tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SUITE)

bench: .venv/.tools
	$(BIN)/python -m tests.bench

# pip alone. The locked pip comes first, as it reads the index twice as fast as older ones. Steelyard itself is a step
# of its own: an editable install is refused in hash mode.
.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Steelyard needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "Installing the locked packages into .venv; this takes about half a minute."
	@$(PYTHON) -m venv .venv
	@sed -n '/^pip==/,/# via/p' requirements.lock > .venv/pip.lock
	@$(PIP) --require-hashes -r .venv/pip.lock
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation -e .
	@touch $@

# What the tests and the checks need on top.
.venv/.tools: .venv/.installed tests/requirements.lock
	@echo "Installing the locked development tools."
	@$(PIP) --require-hashes -r tests/requirements.lock
	@touch $@

# Needs uv. The locks carry hashes and no addresses, and hold for every platform.
LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
lock:
	$(LOCK) --extra install --extra solver pyproject.toml -o requirements.lock
	$(LOCK) --extra install --extra solver --extra alpaca --extra dev -c requirements.lock pyproject.toml -o tests/requirements.lock

clean:
	rm -rf .venv .cache build *.egg-info
