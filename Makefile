# Every target makes or updates $(VENV) first; what is up to date is not touched.
VENV ?= .venv
PYTHON ?=
STAGES ?=
BENCHMARKS ?=
ALL := lab napari book dev
as_root = $(if $(filter 0,$(shell id -u)),--allow-root)
bootstrap = PYTHON="$(PYTHON)" sh scripts/bootstrap.sh $(VENV)
.DEFAULT_GOAL := help
.PHONY: help demo lab test install-test bench book handout clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' Makefile \
		| while IFS='|' read -r name text; do printf 'make %-13s %s\n' "$$name" "$$text"; done

demo:  ## from nothing to the demo's report in demo/
	@$(bootstrap)
	@$(VENV)/bin/limsup demo --out demo

lab:  ## open JupyterLab at chapter 0
	@$(bootstrap) lab napari
	@$(VENV)/bin/jupyter labextension disable --level=sys_prefix \
		@jupyterlab/apputils-extension:announcements >/dev/null 2>&1
	@$(VENV)/bin/jupyter lab $(as_root) --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/start/00-tour.ipynb $(LAB_OPTIONS)

test: install-test  ## lint, types, import rules, all tests, chapters, book, links
	@$(VENV)/bin/python scripts/run_tests.py $(STAGES)

install-test:  ## install what `make test` needs; afterwards it needs no network
	@$(bootstrap) $(ALL)
	@$(VENV)/bin/python scripts/system_packages.py

bench: install-test  ## speed against the usual ways, and against the last records
	@$(VENV)/bin/python benchmarks/run.py $(BENCHMARKS)

book:  ## build the site in build/book/
	@$(bootstrap) $(ALL)
	@$(VENV)/bin/python scripts/build_book.py build/book --check

handout:  ## the chapters without their solutions, in build/handout/
	@$(bootstrap) lab
	@for part in notebooks/*/; do \
		$(VENV)/bin/jupyter nbconvert --log-level=WARN --to notebook \
			--TagRemovePreprocessor.enabled=True \
			--TagRemovePreprocessor.remove_cell_tags=solution \
			--output-dir "build/handout/$$(basename $$part)" $$part*.ipynb || exit 1; done
	@echo "handout: $(CURDIR)/build/handout"

clean:  ## remove build outputs and caches (never sessions, demo/ or .venv)
	@rm -rf build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	@find . -name '.venv' -prune -o -name __pycache__ -prune -exec rm -rf {} +
