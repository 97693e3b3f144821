# Needs Python 3.11 or newer, a C compiler and pip's index; everything is
# installed into .venv. Another Python: make serve PYTHON=python3.12

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

SITE := examples/django_site
VENV := .venv
BIN := $(VENV)/bin
# The first of these that is new enough; empty when none is.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
SOURCES := setup.cfg pyproject.toml $(wildcard setup.py) $(shell find -H backends -name '*.[ch]')
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help serve check-port system test lint ruff-check ruff-format mypy imports bench-ops bench-raw bench-raw-peers docs clean clean-all

help:  ## list the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ {printf "  make %-10s%s\n", $$1, $$2}' Makefile

# --- the environment: a stamp for each set of packages ----------------------

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed, and none was found:" \
			"$$(python3 --version 2>&1 || true)." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; fi
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"Python 3.11 or newer is needed; $(PYTHON) is " + sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: install its venv package" \
			"(Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-serve: $(BIN)/python $(SOURCES) $(SITE)/requirements.txt
	@echo "Installing Chaussette and what the example site needs ..."
	@$(PIP) -e '.[django,waitress,gevent,uvicorn]' -r $(SITE)/requirements.txt
	@touch $@

# meinheld pins a greenlet that does not build any more, hence --no-deps; it and
# bjoern are built from source, and the tests of a backend that is not there say so.
$(VENV)/.stamp-test: $(VENV)/.stamp-serve
	@echo "Installing all backends and what the tests need ..."
	@$(PIP) -e '.[backends,meinheld,redis,reload,paste,django,lint,test]' \
		-r $(SITE)/requirements.txt 'coverage >= 7.10'
	@$(PIP) --no-deps meinheld || echo "NOTE: meinheld cannot be built here; its tests are skipped."
	@$(PIP) bjoern || echo "NOTE: bjoern cannot be built here (libev-dev?); its tests are skipped."
	@touch $@

$(VENV)/.stamp-docs: $(BIN)/python setup.cfg
	@$(PIP) -e '.[docs]'
	@touch $@

# --- the example site -------------------------------------------------------

check-port:
	@$(PYTHON) -c 'import socket; s = socket.socket(); \
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 8000))' \
		2>/dev/null || { echo "Port 8000 of 127.0.0.1 is taken:" \
		"end what listens there (ss -ltnp 'sport = :8000' shows it) and try again." >&2; exit 1; }

serve: $(VENV)/.stamp-serve check-port  ## the Django example on http://127.0.0.1:8000
	@cd $(SITE) && export PYTHONWARNINGS=ignore && manage=(../../$(BIN)/python manage.py) \
		&& "$${manage[@]}" migrate --verbosity 0 \
		&& echo "Data for the site:" && "$${manage[@]}" seed \
		&& "$${manage[@]}" collectstatic --noinput --verbosity 0
	@echo
	@echo "  The site:     http://127.0.0.1:8000"
	@echo "  To stop it:   Ctrl-C, or  $(BIN)/circusctl quit"
	@echo "  Look inside:  $(BIN)/circusctl status      from another terminal"
	@echo "  New code:     $(BIN)/circusctl reload web"
	@echo
	@PATH="$(abspath $(BIN)):$$PATH" exec circusd $(SITE)/circus.ini

# --- checks -----------------------------------------------------------------

system:
	@missing=(); \
	[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx-light); \
	[ -e /usr/include/ev.h ] || missing+=(libev-dev); \
	command -v redis-server >/dev/null || missing+=(redis-server); \
	if [ $${#missing[@]} -eq 0 ]; then exit 0; fi; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $${missing[*]} ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null && exit 0; fi; \
	echo "NOTE: not installed: $${missing[*]}. The tests that need nginx, bjoern or Redis are skipped;"; \
	echo "      with root: apt-get install $${missing[*]}"

lint: ruff-check ruff-format mypy imports  ## ruff, mypy and the layers of the imports

ruff-check: $(VENV)/.stamp-test
	@$(BIN)/ruff check .
ruff-format: $(VENV)/.stamp-test
	@$(BIN)/ruff format --check .
mypy: $(VENV)/.stamp-test
	@$(BIN)/mypy
imports: $(VENV)/.stamp-test
	@$(BIN)/lint-imports

# Everything is run whatever fails before it, and the verdict comes last. A test that
# fails is run once more, because these drive real processes on a machine that others
# use, too; the closing lines name each that needed it, and such a test is to be mended.
test: system $(VENV)/.stamp-test  ## all checks and tests, with coverage
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory --keep-going lint; lint=$$?; \
		PATH="$(abspath $(BIN)):$$PATH" $(BIN)/coverage run -m pytest -n 3 --dist loadfile --reruns 1 -rR $(PYTEST_ARGS); tests=$$?; \
		$(BIN)/coverage combine --quiet; $(BIN)/coverage report; \
		[ $$lint -eq 0 ] || echo "make lint failed: see above."; \
		[ $$tests -eq 0 ] || echo "pytest failed: see above."; \
		exit $$((lint || tests))

bench-ops: $(VENV)/.stamp-test  ## process figures beside circus, supervisord and gunicorn
	@$(BIN)/python -m benchmarks.ops $(BENCH_ARGS)

bench-raw: $(VENV)/.stamp-test  ## HTTP servers beside the floor, CPU per request (BENCH_ARGS)
	@$(BIN)/python -m benchmarks.raw $(BENCH_ARGS)

bench-raw-peers: $(VENV)/.stamp-test
	@$(BIN)/python -m benchmarks.raw peers

docs: $(VENV)/.stamp-docs  ## build the documentation into site/
	@$(BIN)/mkdocs build --strict

clean:  ## remove what was built and cached
	@rm -rf build dist site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean  ## and the virtual environment and the example site's data
	@rm -rf $(VENV) $(SITE)/var
