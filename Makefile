# What a person or CI does with a clone of AdaSpring. `make help` lists it.

PYTHON ?= python3
DEMO_SECONDS ?= 60
CONSTRAINTS ?= $(shell sh scripts/constraints.sh)
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --prefer-binary

.DEFAULT_GOAL := help
.PHONY: help run setup-run setup test check bench deb sbom site pictures clean

help: ## list the targets
	@echo "Usage: make TARGET [PYTHON=python3] [DEMO_SECONDS=60] [CONSTRAINTS=deploy/constraints/FILE.txt]"
	@echo
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

run: setup-run ## serve real frames while the context of a day passes in a minute
	@$(BIN)/adaspring demo --seconds $(DEMO_SECONDS)

setup-run: $(VENV)/.setup-run ## install what serving needs into .venv (no torch, no compiler)

setup: $(VENV)/.setup ## install what training, tests and benchmarks need as well

test: setup ## run the tests; branch coverage must hold its floor (PYTEST_ARGS="-k search" passes options on)
	@$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

check: setup ## lint, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup ## list the benchmarks
	@echo "Each starts the daemon it needs and ends with one JSON object:"
	@for file in $$(grep -l '^ *finish(' benchmarks/*.py); do \
		name=$${file#benchmarks/}; \
		printf '  %s -m benchmarks.%-12s %s\n' "$(BIN)/python" "$${name%.py}" "$$(sed -n '1s/^"""//;1s/"""$$//;1p' "$$file")"; \
	done

deb: setup ## build the Debian package into dist (root; DEB_ARCH=arm64 under qemu-user)
	@sh scripts/build-deb.sh $(BIN)/python $(DEB_ARCH)

sbom: setup-run ## write the bill of materials and the licences of the Debian package into dist
	@$(BIN)/python scripts/sbom.py --output dist

site: setup ## build the documentation as a site into build/site
	@$(BIN)/mkdocs build --strict --quiet

pictures: setup-run ## draw the pictures of the documentation anew (a minute)
	@$(BIN)/python scripts/pictures.py --output docs/pictures

clean: ## remove what builds, tests and checks leave behind; .venv stays
	rm -rf build dist daemon/*.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/.setup-run: pyproject.toml setup.py
	@sh scripts/system-packages.sh run $(PYTHON)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing AdaSpring into $(VENV): a few dozen megabytes the first time"
	@$(PIP_INSTALL) --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/.setup: $(VENV)/.setup-run $(wildcard deploy/constraints/*.txt)
	@sh scripts/system-packages.sh all $(PYTHON)
	@echo "Installing training, tests and checks into $(VENV): torch is a few hundred megabytes"
	@$(PIP_INSTALL) --constraint $(CONSTRAINTS) --constraint deploy/constraints/dev.txt --editable '.[train,systemd,dev]'
	@touch $@
