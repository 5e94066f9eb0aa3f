PYTHON ?= python3
PORT ?= 8000
RUN = .venv/bin/python

.PHONY: help setup demo run test check pictures fix dev

help:  ## What there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup:  ## Make .venv, install, write .env
	@$(PYTHON) jobsite/bootstrap.py

demo: setup  ## Set everything up, run it, and work four example jobs (PORT=8000)
	@$(RUN) manage.py demo --port $(PORT)

run: setup  ## Web, cluster and, without an API key, the stand-in (PORT=8000)
	@$(RUN) manage.py setup
	@$(RUN) manage.py run --port $(PORT)

dev:
	@$(PYTHON) jobsite/bootstrap.py --dev

test: dev  ## All tests: SQLite, PostgreSQL, Chromium (ARGS for pytest)
	@$(RUN) -m tests $(ARGS)

check: dev  ## Format, lint, types, templates, migrations, diagrams; changes nothing
	@.venv/bin/ruff format --check --quiet . || (echo "Run make fix." && false)
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@git ls-files -z 'templates/*.html' | xargs -0r .venv/bin/djade --check --target-version 5.2
	@ENV_FILE= SECRET_KEY=check DEBUG=true $(RUN) manage.py makemigrations --check --dry-run
	@ENV_FILE= SECRET_KEY=check DEBUG=true $(RUN) manage.py diagrams --check
	@ENV_FILE= SECRET_KEY=check DEBUG=true $(RUN) manage.py check --fail-level WARNING

pictures: dev  ## Draw the pictures in docs/ anew
	@PICTURES=1 $(RUN) -m pytest -q tests/browser/test_pictures.py

fix: dev  ## Mend format, lint and diagrams
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --fix --quiet .
	@git ls-files -z 'templates/*.html' | xargs -0r .venv/bin/djade --target-version 5.2
	@ENV_FILE= SECRET_KEY=check DEBUG=true $(RUN) manage.py diagrams
