# make demo: see it work · make test: everything, from nothing · make check: format, lint, types, imports
# PYTHON=/path/to/python3.11 says which Python to install with; otherwise the fastest build of those on the PATH is taken.
BIN := .venv/bin
READY := .venv/.installed
NATIVE := .venv/.compiled

.PHONY: install demo check format test browser faults bench beside growth deadlines pages intake rebuilding alerting contract clean

install: $(NATIVE)

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || { python="$$(python3 deploy/fastest_python.py $(PYTHON))" && "$$python" -m venv .venv; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

# The folds as machine code; without a compiler they are interpreted, and that is said.
$(NATIVE): $(READY) deploy/native.py events/native.py $(wildcard events/*.py projections/*.py services/projector/*.py)
	@$(BIN)/python -m deploy.native
	@touch $(NATIVE)

demo: $(NATIVE)
	@$(BIN)/parcours demo

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(NATIVE) browser
	$(BIN)/pytest tests

# The browser tests need Debian's chromium; where it cannot be installed they are skipped, and say so.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		{ apt-get install -qq -y chromium >/dev/null 2>&1 || { apt-get update -qq && apt-get install -qq -y chromium; } >/dev/null 2>&1; }; } || \
		echo "no chromium here: the browser tests are skipped"

faults: $(NATIVE)
	$(BIN)/python -m tests.faults.long_run

bench: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.bench
	$(BIN)/python -m tests.benchmarks.alerting

growth: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.growth

pages: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.pages

intake: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.intake

# Quix and Pathway are installed into the cache, not here; Kafka Streams needs a Java compiler.
beside: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.beside.run

rebuilding: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.rebuilding

alerting: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.alerting

deadlines: $(NATIVE)
	$(BIN)/python -m tests.benchmarks.deadlines

contract: $(READY)
	$(BIN)/python -m events.contract

clean:
	rm -rf .venv .parcours .mypy_cache .ruff_cache .pytest_cache .hypothesis
