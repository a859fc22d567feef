# Everything below sets itself up: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Extra arguments for pip, e.g. an index with CPU-only wheels of torch.
PIP_ARGS ?=

# Tests run two at a time.
PYTEST_ARGS ?= -n 2
# The interpreter that has MIT Meep, beside our own: Debian's build needs the system's Python and its numpy.
MEEP_PYTHON ?= /usr/bin/python3
MEEP := $(VENV)/meep
AUTOGRAD := 1.9.1
MEEP_HAS = -W ignore -c 'import sys, matplotlib, meep, scipy; sys.exit(not hasattr(meep, "MaterialGrid"))' >/dev/null
AS_ROOT = $$(test $$(id -u) = 0 || echo sudo)

.PHONY: demo test test-all setup setup-meep lint types format clean

demo: $(READY)
	$(BIN)/invdesign run examples/waveguide_bend.py --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "slow or not slow"

setup: $(READY)

# MIT Meep on Debian and Ubuntu, with autograd for meep.adjoint in an environment that `invdesign` finds by itself.
setup-meep: $(READY)
	@if test -e $(MEEP)/.ready && $(MEEP)/bin/python $(MEEP_HAS) 2>/dev/null; then echo "Meep is there already."; \
	elif command -v apt-get >/dev/null; then $(MAKE) --no-print-directory $(MEEP)/.ready; \
	else echo "Expected apt-get (Debian, Ubuntu). Elsewhere: conda create -n meep -c conda-forge pymeep, then" \
	  "export INVDESIGN_MEEP_PYTHON=\$$(conda run -n meep which python)" >&2; exit 1; fi
	$(BIN)/invdesign doctor

$(MEEP)/.ready: $(READY)
	$(MEEP_PYTHON) $(MEEP_HAS) 2>/dev/null || { $(AS_ROOT) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(AS_ROOT) apt-get install -y -qq --no-install-recommends \
	  python3-meep python3-matplotlib python3-scipy; }
	$(MEEP_PYTHON) -m venv --clear --without-pip --system-site-packages $(MEEP)
	$(BIN)/python -m pip --python $(MEEP)/bin/python install --quiet --disable-pip-version-check $(PIP_ARGS) \
	  --no-deps autograd==$(AUTOGRAD)
	$(MEEP)/bin/python $(MEEP_HAS)
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Expected Python 3.11 or newer. Got %s; run make PYTHON=/path/to/python." % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[dev]' -c constraints.txt
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
