PYTHON ?= python3
PIP = .venv/bin/python -m pip install --disable-pip-version-check

demo: .venv/demo    ## train an MLP with BatchNorm on handwritten digits
	.venv/bin/python examples/train_mlp.py

lessons: .venv/demo    ## run every lesson, and write docs/lessons.md: eight minutes
	.venv/bin/python docs/lessons.py

# a process for each core; matrices as small as those of the tests are slower with BLAS threads
PYTEST = OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile

test: .venv/test    ## lint, types, and the tests
	.venv/bin/python -m ruff check
	.venv/bin/python -m mypy
	$(PYTEST) -m "not slow"

test-all: test    ## and every lesson, the pages in a browser, peak memory, and the GPU's half
	$(PYTEST) -m slow
	$(MAKE) test-cuda

test-cuda: .venv/cuda    ## the tests for a GPU, without one: tests/cuda_on_cpu/README.md
	CUDA_ON_CPU=exact $(PYTEST) --dist load -m cuda
	CUDA_ON_CPU=ulps $(PYTEST) -m cuda tests/test_activations.py tests/test_losses.py \
	tests/test_normal.py tests/test_norms.py tests/test_attention.py \
	tests/test_adam.py tests/test_optim.py

clean:    ## remove what was installed and what tools left behind; runs/ stays
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later \
	is needed, $(PYTHON) is older: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[examples,viz]'
	touch $@

.venv/test: .venv/demo
	$(PIP) -e '.[dev]'
	touch $@

.venv/cuda: .venv/test
	$(PIP) -e '.[cuda-on-cpu]'
	touch $@

.PHONY: demo lessons test test-all test-cuda clean
