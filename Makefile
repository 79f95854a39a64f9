# Two commands for a newcomer: `make run` for a spoken conversation, `make test` for every test.
.DEFAULT_GOAL := help
.PHONY: help install install-dev install-gpu run test check bench doctor page clean
ARGS ?=

help:
	@echo "make run      install what is missing, then serve the page on http://127.0.0.1:7860   (ARGS='--port 8080')"
	@echo "make test     every check and test"
	@echo "make install  what both begin with: .venv with everything pinned"
	@echo "make install-gpu  the same for a machine with an NVIDIA GPU: with torch and Chatterbox, about 5.5 GB more"
	@echo "make doctor   what is missing on this machine, and how to mend it"
	@echo "make bench    how fast the agent answers on this machine"
	@echo "make page     rebuild the page (needs Node)"
	@echo "make clean    remove .venv"

install:
	@scripts/install

install-dev:
	@scripts/install dev

install-gpu:
	@scripts/install gpu

run: install
	@exec .venv/bin/voice-agent serve $(ARGS)

test: install-dev
	@scripts/check $(ARGS)

bench: install
	@.venv/bin/python scripts/bench_turns.py $(ARGS)

doctor: install
	@.venv/bin/voice-agent doctor $(ARGS)

page:
	@scripts/build-page

clean:
	rm -rf .venv
