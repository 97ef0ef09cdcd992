PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS := build/photos

.PHONY: try test check photos clean

try: $(BIN)/visavis $(PHOTOS)/obama.jpg  ## set up, and compare two photos
	$(BIN)/visavis verify $(PHOTOS)/obama.jpg $(PHOTOS)/obama2.jpg --draw build/verify.png
	-$(BIN)/visavis verify $(PHOTOS)/obama.jpg $(PHOTOS)/biden.jpg
	@echo
	@echo 'Now yours:  $(BIN)/visavis verify YOUR_A.jpg YOUR_B.jpg'

test: build/test-ready photos check  ## everything quick, from nothing but Python
	$(BIN)/pytest -m 'not slow'

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

$(PHOTOS)/obama.jpg: $(BIN)/pip
	@mkdir -p $(PHOTOS)
	$(BIN)/pip download --quiet --no-deps --no-binary :all: --dest build face_recognition==1.3.0
	tar -xzf build/face_recognition-1.3.0.tar.gz -C $(PHOTOS) --strip-components=3 \
	  --wildcards 'face_recognition-1.3.0/tests/test_images/*'
	@touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache
