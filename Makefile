# `make demo` and `make test` work as the very first command on a fresh Debian machine; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
# Runs a command with a Java that Spark accepts.
WITH_JAVA = JAVA_HOME="$$(deploy/setup.sh java)" && export JAVA_HOME &&
TREE ?= ../shared/real_logs
LINES ?= 1000000 10000000
SOURCES ?= vmware-esxi

.PHONY: help demo test check bench eval realcheck screenshot generate clean

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

.venv/.installed: requirements.lock pyproject.toml
	@deploy/setup.sh venv
	@touch $@

# Java starts faster from an archive of the classes that it will load (pipeline/classes.py).
.venv/hypervigil-classes.jsa: .venv/.installed
	@echo "setup: keeping Java's classes, so that every later start is faster (a minute)" >&2
	@$(WITH_JAVA) $(BIN)/python -m hypervigil.classes

demo: .venv/.installed .venv/hypervigil-classes.jsa  ## Sample logs in, alerts and build/demo-report.html out
	@$(WITH_JAVA) $(BIN)/hypervigil run sample_logs --context sample_logs/_context --lake build/demo-lake --report build/demo-report.html

test: .venv/.installed lint .venv/hypervigil-classes.jsa  ## Everything: check, and the tests on Spark, real servers and in the browser
	@deploy/setup.sh chromium
	$(WITH_JAVA) $(BIN)/pytest --numprocesses 2 --dist loadfile --durations 25

check: .venv/.installed lint  ## Lint, types and the fast tests (no Spark, no browser, no servers)
	$(BIN)/pytest -m "not spark and not browser and not integration"

.PHONY: lint
lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.installed .venv/hypervigil-classes.jsa  ## Measure: results.json against baseline.json, rules.json, correlate.json (LINES="1000000" SOURCES="vmware-esxi")
	@$(WITH_JAVA) for lines in $(LINES); do $(BIN)/python -m tests.bench.run --lines $$lines $(foreach s,$(SOURCES),--source $(s)); done
	@$(BIN)/python -m tests.bench.rules
	@$(WITH_JAVA) $(BIN)/python -m tests.bench.correlate

eval: .venv/.installed  ## Evaluate the jobs on 30 generated data centres: recall, precision, time to alert, what each signal is worth
	@$(BIN)/python -m tests.scenarios.evaluate

realcheck: .venv/.installed  ## Measure the parsers on the real logs in TREE (default ../shared/real_logs)
	@$(BIN)/hypervigil realcheck $(TREE)

screenshot: demo  ## Take deploy/report.png of the demo report with Chromium
	@deploy/setup.sh chromium
	@$(BIN)/python deploy/screenshot.py build/demo-report.html deploy/report.png

generate: .venv/.installed  ## Rewrite deploy/schema.md and the Elasticsearch template from pipeline/schema.py
	@$(BIN)/python deploy/generate.py

clean:  ## Remove what builds, runs and tests leave behind (not .venv)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log artifacts
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
