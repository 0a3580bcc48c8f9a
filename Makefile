# Everything a person or CI runs. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
PY := .venv/bin/python
INSTALLED := .venv/.installed
DEMO := demo
# What the built-in checkpoint is fitted to: graded clips and camera footage, which are not in this repository.
DATA ?= ../shared/data
BUILTIN := build/builtin

.DEFAULT_GOAL := help
.PHONY: help install docs demo audit-demo builtin test test-long test-cluster test-all check format bench bench-rest bench-scale bench-audit media-table sbom lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED) ## make .venv and install the pinned packages

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is not Python 3.11 to 3.13; give one with make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -r requirements.lock
	$(PY) -m pip install --quiet --no-deps -e .
	@touch $@

demo: $(INSTALLED) ## make a small corpus, score it, show the result table
	.venv/bin/artifactscan demo --output $(DEMO)

AUDIT := jobs/audit.py --corpus $(DEMO)/audit/corpus --store $(DEMO)/audit/store --groups "{generator}" \
  --checkpoint $(DEMO)/audit/checkpoint --canary-clips 4 --resample-share 0.1 --quiet
AUDIT_LOG := 2>>$(DEMO)/audit/log.txt

audit-demo: $(INSTALLED) ## four nights over a small corpus: new, nothing new, worse, a decoder that changed
	rm -rf $(DEMO)/audit
	$(PY) -m artifactscan.demo.marks $(DEMO)/audit first
	@echo; echo "first night (under a minute or two each; progress is in $(DEMO)/audit/log.txt)"; $(PY) $(AUDIT) $(AUDIT_LOG)
	@echo; echo "second night, nothing new"; $(PY) $(AUDIT) $(AUDIT_LOG)
	$(PY) -m artifactscan.demo.marks $(DEMO)/audit second
	@echo; echo "third night: beta got worse, a file each was replaced, removed and damaged; exit code 1 is wanted"
	@$(PY) $(AUDIT) $(AUDIT_LOG); test $$? -eq 1
	@echo; echo "fourth night: a decoder that makes everything brighter; exit code 4 is wanted"
	@PYTHONPATH=tests/shims/brighter $(PY) $(AUDIT) $(AUDIT_LOG); test $$? -eq 4
	@echo; echo "open $(DEMO)/audit/store/latest.html; what was done meanwhile is in $(DEMO)/audit/log.txt"

builtin: $(INSTALLED) ## fit the built-in checkpoint anew to DATA (half an hour on two cores)
	@rm -rf $(BUILTIN)/fit
	$(PY) benchmarks/lite2_weights.py $(BUILTIN)/tf_efficientnet_lite2.safetensors
	$(PY) benchmarks/builtin_labels.py $(DATA) $(BUILTIN)/labels
	$(PY) jobs/finetune.py --train head --backbone tf_efficientnet_lite2 --half --unit-length --height 224 --width 384 \
	  --init $(BUILTIN)/tf_efficientnet_lite2.safetensors --labels $(addprefix $(BUILTIN)/labels/,$(addsuffix .csv,gen85 sora15 sora35 camera)) \
	  --clips $(addprefix $(DATA)/,gen85 sora15 sora35 mixed/camera) --protocol all --device cpu --cache $(BUILTIN) --output $(BUILTIN)/fit
	cp $(BUILTIN)/fit/tf_efficientnet_lite2/checkpoint/* src/artifactscan/model/builtin/
	$(PY) benchmarks/builtin_model_card.py src/artifactscan/model/builtin

test: $(INSTALLED) ## run the tests (about 15 minutes on 2 cores)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(INSTALLED) ## run trainings and an audit's nights from beginning to end (15 minutes)
	$(PY) -m pytest -m 'long and not slow' -n 2 --dist loadfile

test-cluster: $(INSTALLED) ## run the tests on clusters of several nodes, and those of `ray up` (9 minutes)
	$(PY) -m pytest -m 'cluster and not slow'

test-all: $(INSTALLED) ## run the tests, the slow ones too
	$(PY) -m pytest -m ''

check: $(INSTALLED) ## ruff, pyright, and the contracts of which module may import which
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright
	.venv/bin/lint-imports --no-logo

format: $(INSTALLED) ## let ruff fix what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: $(INSTALLED) ## build the documentation as a site: build/site/index.html
	$(PY) -m pip install --quiet -r docs/requirements.txt
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

PEER_TOOLS := build/peer-tools

bench: $(INSTALLED) ## measure this job against its bound and its peers in turns (an hour; BENCH=--quick: whether it works)
	@$(PYTHON) -m venv $(PEER_TOOLS)  # of its own: they are no dependencies; without them they have no figures
	@$(PEER_TOOLS)/bin/python -m pip install --quiet --no-deps daft==0.7.26 torchcodec==0.17.0 || true
	$(PY) benchmarks/bench.py --tools $(PEER_TOOLS) $(BENCH)

bench-rest: $(INSTALLED) ## fine-tuning against a bare loop; memory, seconds a clip and planning as clips grow in number
	$(PY) benchmarks/bench_rest.py

bench-scale: $(INSTALLED) ## the job on up to 8 simulated nodes, over 100,000 videos, its tail; `ray job submit` (an hour)
	$(PY) benchmarks/scale_cluster.py
	$(PY) benchmarks/submit.py

MEDIA_TOOLS := build/media-tools

media-table: $(INSTALLED) ## what PyAV alone, decord, torchcodec and artifactscan make of odd media (three minutes)
	@$(PYTHON) -m venv $(MEDIA_TOOLS)  # of its own: torchcodec is no dependency; without it its column stays empty
	@$(MEDIA_TOOLS)/bin/python -m pip install --quiet --no-deps torchcodec==0.17.0 || true
	$(PY) benchmarks/media_table.py --torchcodec $(MEDIA_TOOLS)

bench-audit: $(INSTALLED) ## how often quiet nights in a row fail, and which rises are found (half an hour)
	$(PY) benchmarks/audit_power.py --consecutive 300
	$(PY) benchmarks/audit_power.py --faults

SBOM_TOOLS := build/sbom-tools

sbom: $(INSTALLED) ## what is installed and under which licences: build/sbom.cdx.json (CycloneDX), build/licences.md
	@mkdir -p build
	$(PYTHON) -m venv $(SBOM_TOOLS)  # of its own, so that the tool is not in what it lists
	$(SBOM_TOOLS)/bin/python -m pip install --quiet cyclonedx-bom==7.5.0
	$(SBOM_TOOLS)/bin/cyclonedx-py environment $(PY) --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json
	$(PY) deploy/licences.py build/licences.md

lock: ## pin every package anew
	$(PY) -m pip install --quiet uv
	$(PY) -m uv pip compile pyproject.toml --extra test --extra lint --universal --python-version 3.11 \
	  --no-header --no-annotate --output-file requirements.lock

clean: ## remove the virtual environment and the demo
	rm -rf .venv $(DEMO)
