# One command sets up and runs the main job (`make demo`), one sets up and runs the tests (`make test`).
PYTHON ?= python3.11
VENV ?= .venv
RUN ?= runs/demo
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The wheel torch 2.13.0 that CPU-only mirrors serve as 2.13.0+cpu; the index's own hash stands in the lock beside it.
TORCH_CPU_SHA256 := $(shell sed -n 's/^# torch-cpu-wheel: //p' requirements.lock 2>/dev/null)

# Two workers on two cores: a library that starts two threads in each makes every one wait for a core, by turns.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1

.PHONY: demo test env images lint lock clean
.DEFAULT_GOAL := demo

demo: $(STAMP)  ## environment, then the main job on the embedded default voice
	$(BIN)/toolkit convert --delegate nnapi --out $(RUN)

test: $(STAMP)  ## environment, then lint and all tests
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	# In their order: the end-to-end files are long and few, and small ones behind them keep both workers busy to the end.
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml docker/install.sh
	$(PYTHON) -m venv $(VENV)
	docker/install.sh $(BIN)/python requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

images: $(STAMP)  ## both container images twice, without a daemon; the default voice inside and outside (root, Debian's buildah)
	$(PYTHON) docker/reproduce.py --python $(BIN)/python

lock:  ## rewrites requirements.lock from pyproject.toml, keeping the pins that still fit (needs uv)
	grep -v 'hash=\|^#' requirements.lock | sed 's/ *\\$$//' > lock.tmp
	uv pip compile pyproject.toml --all-extras --generate-hashes --python-version 3.11 --no-header --no-annotate -q -o lock.tmp
	{ echo '# Every wheel of the one environment, with hashes; made by `make lock`, installed with --no-deps (README: Environment).'; \
	  sed 's|^torch==2.13.0 \\|# torch-cpu-wheel: $(TORCH_CPU_SHA256)\ntorch==2.13.0 \\\n    --hash=sha256:$(TORCH_CPU_SHA256) \\|' lock.tmp; } > lock.new
	rm lock.tmp && mv lock.new requirements.lock

clean:
	rm -rf $(VENV) runs build dist *.egg-info
