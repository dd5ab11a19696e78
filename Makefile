# Two commands a newcomer needs: `make demo` and `make test`. Everything else is a part of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := PYTHON=$(PYTHON) docker/install.sh $(VENV)

.PHONY: demo test install-test lint types lab bench clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) --editable '.[test]'
	touch $@

$(VENV)/installed-view: $(VENV)/installed
	$(INSTALL) --editable '.[view]'
	touch $@

demo: $(VENV)/installed-view
	$(BIN)/histoscribe demo --out demo_result

test: lint types
	$(BIN)/pytest -n 2 --dist worksteal --durations 40

# the steps of the Dockerfile in a fresh environment: minutes, most of them downloads
install-test: $(VENV)/installed-test
	$(BIN)/pytest -m install

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed-test
	$(BIN)/mypy

$(VENV)/installed-lab: $(VENV)/installed
	$(INSTALL) --editable '.[lab]'
	touch $@

lab: $(VENV)/installed-lab
	HISTOSCRIBE_VENV=$(VENV) docker/start.sh lab

bench: $(VENV)/installed-test
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) demo_result
