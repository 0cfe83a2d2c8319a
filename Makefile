# Each target does its own set-up, in .venv, and uses it again when it is there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a cloud model becomes a bundle and answers on this machine"
	@echo "make test    all tests"
	@echo "make check   format, types and the rules of the house"
	@echo "make bench   what the SDK costs over the bare engines here, and the CIFAR-10 student beside a ResNet8"
	@echo "make clean   remove the environment and everything that was built"

.venv/ready: pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else 'edgeinfer needs Python 3.11 or newer, found ' + sys.version.split()[0] + ': make PYTHON=python3.11')"
	@echo "Setting up .venv: PyTorch and the exporters, about 2.4 GB; some 2 minutes the first time, longer on a slow network."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: .venv/ready
	@$(BIN)/python sample_apps/digits/demo.py

# Two at a time, whole files each; then those that want the machine for themselves.
test: .venv/ready
	$(BIN)/pytest -m "not alone" --numprocesses 2 --dist loadfile
	$(BIN)/pytest -m alone

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/rules

bench: .venv/ready
	@test -e build/demo/digits.eib || $(MAKE) --no-print-directory demo
	@$(BIN)/python -m device_tests.benchmarks
	@$(BIN)/python -m device_tests.benchmarks.students

clean:
	rm -rf .venv build
