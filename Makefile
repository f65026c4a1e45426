# rvhv: `make demo` and `make test` do everything; the first call sets up .venv, later ones set nothing up again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PINS   := requirements.txt pyproject.toml
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help demo test bench setup clean

help:
	@echo "make demo    host four guest kernels side by side"
	@echo "make test    run all tests                          (ARGS=\"-k sbi\" selects some)"
	@echo "make bench   measure speed and memory, beside QEMU where it is installed"
	@echo "make setup   only set up $(VENV)                      (PYTHON=python3.12 chooses the Python)"
	@echo "make clean   remove $(VENV) and what tools left behind"

demo: $(VENV)/.ready-run
	@$(BIN)/rvhv demo $(ARGS)

test: $(VENV)/.ready-test
	@$(BIN)/python -m pytest -n 2 $(ARGS)

bench: $(VENV)/.ready-run
	@$(BIN)/rvhv bench $(ARGS)

setup: $(VENV)/.ready-run

# A stamp is newer than the pins exactly when the last setup finished with them. pip compiles nothing ahead (most of numba is
# never imported) and says nothing but its errors.
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --progress-bar off -c requirements.txt
# Python 3.12 and newer say at the first import that fdt's source has an odd escape: let that be now, unheard.
QUIET_FDT = $(BIN)/python -W ignore -c 'import fdt'

$(VENV)/.ready-run: $(PINS)
	@$(check-python)
	@echo "rvhv: setting up $(VENV) (only this time; some seconds and 300 MB) ..." >&2
	@$(make-venv)
	@$(INSTALL) -e .
	@$(QUIET_FDT)
	@touch $@

$(VENV)/.ready-test: $(PINS)
	@$(check-python)
	@echo "rvhv: setting up $(VENV) for the tests (only this time; some seconds and 500 MB) ..." >&2
	@$(make-venv)
	@$(INSTALL) -e '.[test]'
	@$(QUIET_FDT)
	@touch $(VENV)/.ready-run $@

define check-python
command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "rvhv: error: no '$(PYTHON)' here: install Python 3.11 or newer, \
or say which one: make PYTHON=/path/to/python3" >&2; exit 2; }; \
"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo "rvhv: error: '$(PYTHON)' is \
$$("$(PYTHON)" -V 2>&1), and rvhv needs 3.11 to 3.14: make PYTHON=python3.12" >&2; exit 2; }; \
"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "rvhv: error: '$(PYTHON)' cannot make virtual environments: \
install its venv module (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
endef

# A .venv that no longer works (its Python was removed or the folder was moved) is made anew.
define make-venv
{ [ "$$($(BIN)/python -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$$(pwd -P)/$(VENV)" ] && $(BIN)/python -m pip -V >/dev/null 2>&1; } \
|| "$(PYTHON)" -m venv --clear $(VENV)
endef

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find rvhv tests -name __pycache__ -type d -prune -exec rm -rf {} +
