# make demo and make test are all a newcomer needs; both make the virtual environment first if it is missing.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
# What open3d's wheel links and a slim Linux lacks. Everything but the comparisons with Open3D works without it.
LIBRARIES := libusb-1.0-0 libgl1 libegl1 libx11-6 libudev1 libidn2-0 libgomp1
export MPLBACKEND := Agg

.PHONY: demo test lint format wheel install system compiled clean

demo: install compiled
	$(BIN)/tap demo --out $(DEMO)

# Files in turn on up to four processes with one thread each: most tests wait or use one core.
test: install compiled
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses logical --maxprocesses 4 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: install
	rm -rf build
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make $(VENV); on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(MAKE) --no-print-directory system
	touch $@

system:
	@$(BIN)/python -c 'import open3d' 2>/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "open3d lacks a system library: installing $(LIBRARIES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(LIBRARIES); } >/dev/null || true; \
	fi; \
	$(BIN)/python -c 'import open3d' 2>/dev/null || \
	  echo "open3d does not import here, and is not needed to render or train; to have it: sudo apt-get install $(LIBRARIES)"

# numba keeps compiled code beside the sources and does not see a change in a function that another file calls: what is older
# than the newest source is compiled anew.
compiled:
	@find render tap -name '*.nb[ic]' ! -newer "$$(find render tap -name '*.py' -exec ls -t {} + | head -n 1)" -delete

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
