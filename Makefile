# The commands that people learn. Each works from a clean clone.
.PHONY: up down deps check test simulate bench cluster lint venv venv-dev
PORT ?= 30000
HOME_DIR ?= ./var
# Within quotes, for a folder with a space in its name; there no shell knows what ~ is.
FOLDER = $(HOME_DIR:~/%=$(HOME)/%)
NODES ?= 5
DO ?= up
SEEDS ?= 1000
BIN := .venv/bin
PACKAGES := $(addprefix -p cronkeeper.,api cli common manager worker)

up: venv
	@exec $(BIN)/cronkeeper up --home "$(FOLDER)" --port $(PORT)

down: venv
	@$(BIN)/cronkeeper down --home "$(FOLDER)"

# The distribution's packages that the tests and the test-bed need.
deps:
	@deploy/deps.sh

# Lint, types and unit tests: seconds.
check: lint
	@$(BIN)/pytest -q tests/unit

lint: venv-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES)
	@MYPYPATH=deploy/testbed $(BIN)/mypy -p testbed

# Everything, on the real servers and on hosts made of namespaces; two files at a time, since much of it is waiting.
test: deps lint
	@$(BIN)/pytest tests -n 2 --dist loadfile

# Whole fleets in trouble, on a virtual clock and all cores: make simulate SEEDS=100000. A seed that fails is printed;
# SEED=4711 plays that one alone and shrinks it, PLANTED=no_epoch_check plants a bug (tests/simulation/planted.py).
simulate: venv-dev
	@$(BIN)/python tests/simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(PLANTED),--planted $(PLANTED))

# make bench WHAT=latency|burst|idle|upload|lists|posts|claims|leader|failover|faults runs one of them.
bench: deps venv-dev
	@$(BIN)/python -m bench $(WHAT)

# A whole cluster on this machine (root): make cluster [NODES=5] [GALERA=1]. It says what it can be told from a second
# terminal: make cluster DO=status, make cluster DO="kill zk2", make cluster DO=down
cluster: deps venv-dev
	@PYTHONPATH=deploy/testbed $(BIN)/python -m testbed --nodes $(NODES) $(if $(filter 1,$(GALERA)),--galera) $(DO)

venv:
	@deploy/venv.sh run

venv-dev:
	@deploy/venv.sh dev
