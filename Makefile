# `make figures` and `make test` do everything, on a machine with Python >= 3.11.

PROFILE = paper
JOBS = 2
ARGS =
export PYTHONUTF8 = 1
# hundreds of processes read the same modules, whatever the user's setting is
unexport PYTHONDONTWRITEBYTECODE
PYTHON = $(shell for python in python3.11 python3 python3.12 python3.13 python; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)

NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
BIN = .venv/bin/python
REFUSE = { echo "error: $(1)" >&2; exit 1; }

# A .venv that came along when its folder was copied or moved still points to the old place.
ifneq ($(shell cat .venv/.stamp 2>/dev/null),$(shell pwd))
.PHONY: .venv/.stamp
endif

.PHONY: help install figures test test-all claims bench bench-rivals bill site lab notebooks requirements relative clean clean-all
.DELETE_ON_ERROR:

help:  ## this list (ARGS="..." goes to the command behind a target)
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' Makefile | awk -F'|' '{ printf "make %-14s%s\n", $$1, $$2 }'

install: .venv/.stamp  ## the pinned packages in .venv; every other target does this first

figures: .venv/.stamp  ## every figure and table, from stored records (PROFILE=quick trains small networks, resumable)
	@$(BIN) -m lib figures --profile $(PROFILE) --jobs $(JOBS) $(ARGS)

# Two processes more than cores: a test that waits for a process of its own leaves its core to others.
WORKERS = $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 6 ? cores + 2 : 8)))

test: .venv/.stamp  ## the tests of seconds, and the stored outputs of the notebooks that train nothing
	@test -n "$(findstring -m,$(ARGS))" || echo "make test leaves out notebooks that train or in the profile smoke, numbers of texts, site and wheel (.ci/run), and minutes of faults (make test-all)"
	@$(BIN) -m tests.compile_loops
	@$(BIN) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-all:  ## every test, also those that take minutes
	@$(MAKE) --no-print-directory test ARGS="-m 'slow or not slow' $(ARGS)"

claims: .venv/.stamp  ## the published claims and our verdicts
	@$(BIN) -m lib claims $(ARGS)

bench: .venv/.stamp  ## sparse against dense, in milliseconds
	@$(BIN) -m lib bench $(ARGS)

# The setup of SparseProp calls pip and python3 by these names, and wants a C++ compiler.
bench-rivals: .venv/.stamp  ## sparselab and SparseProp into .venv, to measure against them
	@$(BIN) -m pip install --quiet --disable-pip-version-check --no-deps \
		sparselab==0.2.2 pybind11==3.1.0
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(BIN) -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation sparseprop==0.1.14

bill: .venv/.stamp  ## a bill of materials (CycloneDX) of the pinned packages: build/materials.cdx.json
	@$(BIN) -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	@mkdir -p build
	@$(BIN) -m cyclonedx_py requirements requirements.txt --output-reproducible -o build/materials.cdx.json

site: .venv/.stamp  ## the notebooks, pages and explorer as a site: build/site/html/index.html
	@$(BIN) -m sphinx -q -E -W --keep-going -c docs -d build/site/doctrees . build/site/html
	@echo "see build/site/html/index.html"

lab: .venv/.stamp  ## the notebooks, in JupyterLab
	@$(BIN) -m jupyterlab $(ARGS)

# The stamp is written last, so that an interrupted installation is taken up again. The pins are
# installed as they are, what builds the package among them. Then comes what a platform needs besides:
# on macOS, or for a build of torch for GPUs.
.venv/.stamp: pyproject.toml requirements.txt
	@test -n '$(PYTHON)' || $(call REFUSE,no Python 3.11 or newer found: install one or name it with PYTHON=python3.12)
	@rm -f $@
	@$(BIN) -c '' 2>/dev/null || { '$(PYTHON)' -c '$(NEW_ENOUGH)' 2>/dev/null \
		|| $(call REFUSE,$(PYTHON) is not Python 3.11 or newer: name another with PYTHON=python3.12); \
		'$(PYTHON)' -m venv --clear .venv; }
	@$(BIN) -c '$(NEW_ENOUGH)' || $(call REFUSE,.venv holds a Python older than 3.11: remove it with make clean-all and try again)
	@$(BIN) -m pip --version >/dev/null 2>&1 || $(BIN) -m ensurepip >/dev/null
	@echo "Installing the pinned packages into .venv: once, 1 to 3 minutes, and 2 GB with the CPU build of torch (see docs/REPRODUCE.md#install); then seconds when a pin changes."
	@$(BIN) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r requirements.txt
	@$(BIN) -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@$(BIN) -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true  # on all cores; some files are of other Pythons
	@$(BIN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(MAKE) --no-print-directory relative
	@pwd > $@

# Where pip has noted the place of the project, Python reads in the encoding of the locale, and ends
# if it cannot: a path from there to here has no letter of the folder's name.
relative:
	@for file in .venv/lib/python3.*/site-packages/_sparse_adaptive.pth; do \
		test ! -f "$$file" || printf '%s\n' ../../../.. ../../../../notebooks > "$$file"; done

BOOKS = $(if $(ONLY),$(foreach number,$(ONLY),$(wildcard notebooks/$(number)*.ipynb)),$(wildcard notebooks/*.ipynb))

notebooks: .venv/.stamp  ## store the outputs of notebooks (ONLY="13 16", or all), the tables of the pages and the verdicts anew
	@test -n '$(BOOKS)' || $(call REFUSE,no notebook begins with $(ONLY): see notebooks/)
	@SPARSE_RENDERS=1 $(BIN) -m nbconvert --log-level=ERROR --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False \
		--KernelManager.transport_encryption=auto $(BOOKS)
	@$(BIN) -c 'import sys; sys.path.insert(0, "docs"); from tools import pages; pages.update()'

requirements:  ## pin the whole tree again, from pyproject.toml, in a fresh environment
	@test -n '$(PYTHON)' || $(call REFUSE,no Python 3.11 or newer found: name one with PYTHON=python3.12)
	@rm -rf .venv-requirements && '$(PYTHON)' -m venv .venv-requirements
	@.venv-requirements/bin/python -m pip install --quiet --disable-pip-version-check '.[companion,test]'
	@{ sed -n '1,2p' requirements.txt; .venv-requirements/bin/python -m pip freeze \
		| sed -e '/^sparse-adaptive/d' -e 's/+cpu$$//' | LC_ALL=C sort -f; } > .venv-requirements/pins
	@mv .venv-requirements/pins requirements.txt && rm -rf .venv-requirements

clean:  ## remove caches and figures of untracked profiles; records and data stay
	@rm -rf .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find lib docs tests notebooks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	@find . -name .ipynb_checkpoints -not -path './.venv/*' -prune -exec rm -rf {} +
	@test ! -d figures || find figures -mindepth 1 -maxdepth 1 -type d ! -name paper -exec rm -rf {} +

clean-all: clean  ## the same, and .venv
	@rm -rf .venv
