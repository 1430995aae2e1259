# Two commands are enough: `make run` and `make test`. Python 3.11 or newer and make are all that has to be there.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# One more than a small machine has cores: many tests wait for processes and clocks.
WORKERS ?= 3

ifdef PORT
export SMSGW_PORT := $(PORT)
endif

.DEFAULT_GOAL := help
.PHONY: help setup lock wheel deb try-deb run test lint demo chaos fuzz powercut bench bench-full bench-quick bench-peers wrk kannel

help:
	@echo "make run [PORT=8000]   install what is needed, prepare the database, serve"
	@echo "make test [ARGS=...]   run all tests; ARGS goes to pytest"
	@echo "make lint              ruff and mypy"
	@echo "make demo [PORT=8000]  a drop-in for cht-gateway's demo server"
	@echo "make chaos             rounds of faults for ten minutes, on both databases; CHAOS_SECONDS=... or CHAOS_ROUNDS=1000"
	@echo "make fuzz              send wrong input to all there is for an hour, and print the seed; FUZZ_EXAMPLES=... FUZZ_SEED=..."
	@echo "make powercut          cut the power at 2,000 moments, on a disk that fails now and then"
	@echo "make bench             measure, as ratios, in 15 minutes; bench-full takes hours, bench-quick a minute"
	@echo "make bench-peers       measure against Debian's Kannel, in five minutes"
	@echo "make setup             only install, into .venv"
	@echo "make wheel             build the package, install it elsewhere and run it"
	@echo "make deb               build a Debian package; try-deb installs, runs and removes it, as root"
	@echo "make lock              write requirements*.txt anew from pyproject.toml"

setup: .venv/installed

# Exact versions of everything, with hashes and without addresses, from the lists in pyproject.toml.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" pyproject.toml

lock: .venv/installed-dev
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) --extra rabbitmq --output-file requirements-rabbitmq.txt
	@$(LOCK) --extra rabbitmq --group dev --output-file requirements-dev.txt

run: .venv/installed
	@$(BIN)/python -m smsgw init
	@exec $(BIN)/python app.py

# With Python's cache, wherever it is switched off: the tests start some hundred processes.
test: .venv/installed-dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

powercut: .venv/installed-dev
	@POWER_CUTS=$${POWER_CUTS:-2000} POWER_CUT_ROUNDS=$${POWER_CUT_ROUNDS:-200} $(BIN)/python -m pytest -s tests/powercut $(ARGS)

lint: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Installs what `pip install .` would into an empty environment, and runs it from another folder.
wheel: .venv/installed-dev
	@set -e; uv=$$PWD/$(BIN)/uv; made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	$$uv build --quiet --wheel --out-dir $$made; \
	$$uv venv --quiet $$made/venv; \
	$$uv pip install --quiet --python $$made/venv --require-hashes -r requirements.txt; \
	$$uv pip install --quiet --python $$made/venv --no-deps $$made/*.whl; \
	cd $$made; export HOME=$$made; \
	venv/bin/smsgw --version; venv/bin/smsgw --help >/dev/null; venv/bin/smsgw init >/dev/null; venv/bin/smsgw db check

deb: .venv/installed-dev
	@deploy/debian/build

try-deb: deb
	@deploy/debian/try

demo:
	@exec $(PYTHON) demo/server.py $(PORT)

chaos: .venv/installed-dev
	@CHAOS_SECONDS=$${CHAOS_SECONDS:-$$([ "$$CHAOS_ROUNDS" ] && echo inf || echo 300)} \
		$(BIN)/python -m pytest -s tests/chaos $(ARGS)

# Of each kind of input so many; the reports in all orders are always the same.
fuzz: .venv/installed-dev
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-2000} FUZZ_EVERY=1 $(BIN)/python -m pytest -s --timeout 0 \
		tests/fuzz tests/api/test_fuzz.py tests/phones/test_report_model.py tests/server/test_slow_clients.py $(ARGS)

# With Python's cache too, as whoever installs the server has it.
bench: .venv/installed-dev wrk
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m bench.run $(ARGS)

bench-full: .venv/installed-dev wrk
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m bench.run --full $(ARGS)

bench-quick: .venv/installed-dev wrk
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m bench.run --quick $(ARGS)

bench-peers: .venv/installed-dev wrk kannel
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m bench.run $(ARGS) peers

wrk:
	@command -v wrk >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get install -y -qq --no-install-recommends wrk >/dev/null; } || \
		{ echo "wrk makes the load and is missing; on Debian and Ubuntu: sudo apt install wrk"; exit 1; }

# In runlevel 1 the package does not start its own gateway.
kannel:
	@command -v bearerbox >/dev/null && command -v strace >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		RUNLEVEL=1 apt-get install -y -qq --no-install-recommends kannel strace >/dev/null; } || \
		{ echo "Kannel or strace is missing; on Debian and Ubuntu: sudo apt install kannel strace"; exit 1; }

# The stamps make the second start quick; a changed list of packages installs again.
.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into .venv ..."
	@$(PYTHON) -m venv .venv || \
		{ echo "Python's venv is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-rabbitmq.txt
	@echo "Installing what the tests need ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
