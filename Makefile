# make lab         JupyterLab on the course's map         ARGS="--no-browser --port 8899" passes options
# make test        every notebook and tests/, as tests    TESTS=nbs/02-gabor.ipynb, PYTEST_ARGS="-x -k Cell" select
#                                                         WORKERS=0 runs one after the other, with all cores for each
#                                                         RECORD=nbs/results/machine.json keeps the seconds it took
# make quick       in two minutes: ruff, the export, the ground and its tests, one lesson    LESSON=nbs/02-gabor.ipynb
# make test-elsewhere  the lessons as tests, with the instructions of other processors and other numbers of threads
# make export      nbs/ -> transfer_course/
# make outputs     runs the lessons and rooms and stores their outputs    NOTEBOOKS=nbs/02-gabor.ipynb
# make site        the website, into _site/               make benchmarks    speed, side by side
# make slides LESSON=07    slides for a class, into _slides/; without LESSON, of every lesson
# make licences    LICENCES.md: what pip brings           make dist          the wheel and the sdist, into dist/
# The first call makes .venv (minutes, several GB); later calls take it as it is.
SHELL   = /bin/bash
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
TESTS  ?= nbs tests
WORKERS ?= 2
PYTEST_ARGS ?=
ROOMS   = workbench checks programs
NOTEBOOKS ?= $(wildcard nbs/[0-9]*.ipynb $(ROOMS:%=nbs/%/[0-9]*.ipynb))
RUN     = $(VENV)/bin/python
STAMP   = $(VENV)/.installed
WHEELS := $(shell $(PYTHON) -c 'import configparser; c = configparser.ConfigParser(delimiters=["="]); c.read("settings.ini"); print(*c["DEFAULT"]["wheels"].split())' | sed "s/[^ ]*/'&'/g")
NEED   := $(shell sed -n 's/^min_python *= *//p' settings.ini)

# Threads give a core back when they have waited for a moment: a lesson beside other programs is then slower by their share, not by ten times.
ifndef OMP_WAIT_POLICY
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT ?= 5000
endif

.PHONY: lab test quick licences dist test-elsewhere export outputs benchmarks site slides
.DELETE_ON_ERROR:

lab: $(STAMP)
	$(RUN) -m jupyter lab nbs/index.ipynb $(ARGS)

test: $(STAMP)
	$(RUN) -m pytest -ra --nbval --nbval-current-env --nbval-cell-timeout=300 \
	    --nbval-sanitize-with=tests/sanitize.cfg -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) $(TESTS)

# For a contributor: what is below the lessons, and one of them.
LESSON ?= nbs/01-learning_curves.ipynb
QUICK   = $(LESSON) $(wildcard nbs/workbench/0*.ipynb) tests/course/test_house.py tests/course/test_release.py \
    tests/course/test_notebooks.py::test_export_is_in_sync tests/course/test_cli.py tests/wrong_calls/test_wrong_calls.py \
    tests/wrong_calls/test_wrong_calls_data.py $(QUICK_ROOMS:%=tests/workbench/test_%.py)
QUICK_ROOMS = backbones closed data downloads fingerprint folders lazy texts

quick: $(STAMP)
	$(VENV)/bin/ruff check .
	$(MAKE) test TESTS="$(QUICK)"

# Training is chaotic in the last bits, and another processor has other last bits. So the lessons are run with other
# instruction sets and threads: what is compared as text must be the same there, and assertions must hold.
ELSEWHERE ?= default:SSE41:1 avx2:AVX2:2 default:AVX:2
LESSONS   ?= $(wildcard nbs/[0-9]*.ipynb)

test-elsewhere: $(STAMP)
	@for how in $(ELSEWHERE); do IFS=: read -r aten dnnl threads <<< "$$how"; \
	    echo "== ATEN_CPU_CAPABILITY=$$aten DNNL_MAX_CPU_ISA=$$dnnl, $$threads threads"; \
	    ATEN_CPU_CAPABILITY=$$aten DNNL_MAX_CPU_ISA=$$dnnl OMP_NUM_THREADS=$$threads $(RUN) -m pytest -ra --nbval \
	        --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/sanitize.cfg $(PYTEST_ARGS) $(LESSONS) || exit 1; done

export: $(STAMP)
	$(VENV)/bin/nbdev-export

# A warning on stderr is not a result: it is dropped, as the tests want it.
outputs: $(STAMP)
	TQDM_DISABLE=1 HF_HUB_OFFLINE=1 IN_TEST=1 $(RUN) -m jupyter nbconvert --to notebook --execute --inplace $(NOTEBOOKS)
	$(RUN) -c "$$DROP_STDERR" $(NOTEBOOKS)
	$(VENV)/bin/nbdev-clean

define DROP_STDERR
import sys, nbformat
for path in sys.argv[1:]:
    nb = nbformat.read(path, 4)
    for cell in nb.cells:
        if cell.cell_type == "code": cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(nb, path)
endef
export DROP_STDERR

licences: $(STAMP)
	$(RUN) deploy/licences.py

dist: $(STAMP)
	rm -rf dist && $(RUN) -m build

benchmarks: $(STAMP)
	$(RUN) benchmarks/run.py $(if $(ONLY),--only $(ONLY)) $(if $(ARCHIVE),--archive $(ARCHIVE)) $(if $(FASTAI),--fastai $(FASTAI))

site: $(STAMP)
	@if command -v quarto >/dev/null; then echo "The site, by Quarto:"; PATH="$(abspath $(VENV))/bin:$$PATH" quarto render; \
	else echo "The site, by smalldocs, as no Quarto is on the PATH:"; $(RUN) site/render.py; fi

slides: $(STAMP)
	$(RUN) site/slides.py $(if $(filter file,$(origin LESSON)),,$(LESSON))

# Written last, so that an installation that broke off is taken up again.
$(STAMP): settings.ini setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = tuple(map(int, "$(NEED)".split("."))); sys.exit(sys.version_info < v)' || { \
	    echo "The course needs Python $(NEED) or later, and $(PYTHON) is not ($$($(PYTHON) --version 2>&1)). Name another one: make lab PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make a virtual environment: its modules venv and ensurepip are missing. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Installing the course into $(VENV): this takes minutes and several GB, and happens once."
	$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -e ".[dev]" -c constraints.txt
	$(RUN) -m pip install --no-deps --only-binary :all: $(WHEELS) -c constraints.txt || \
	    echo "Some files of lessons 05, 06, 07, 10, 11, 13 and 20 are missing; the lessons say which, and show stored results: transfer-course doctor"
	@touch $@
