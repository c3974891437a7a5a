# Every target is a command of tools/dev.py; on Windows: py tools\dev.py demo
PYTHON ?= python3
COMMANDS := setup demo studio test check build screenshots clean torture openapi

.PHONY: help $(COMMANDS)

help:
	@$(PYTHON) tools/dev.py --help

# ARGS passes options on: make demo ARGS="--seed 3", make torture MINUTES=30
$(COMMANDS):
	@$(PYTHON) tools/dev.py $@ $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)
