# What people and CI call; the building itself is Meson's (meson.build). `make help` lists the goals.
.DEFAULT_GOAL := help
.PHONY: help build demo test check bench fuzz install clean

PREFIX ?= /usr/local

help:
	@echo 'make build     build/wikitally, as released'
	@echo 'make demo      installs what is missing, builds, follows the live stream (or test data), shows the page'
	@echo 'make test      everything: sanitizer builds, all tests, the checks of the house; under half an hour'
	@echo 'make check     what needs no server and no browser; under two minutes'
	@echo 'make bench     figures, each beside its bar: held or missed'
	@echo 'make fuzz      each fuzz target for FUZZ_SECONDS (60) seconds'
	@echo 'make install   to PREFIX ($(PREFIX)), below DESTDIR'
	@echo 'make clean     removes build and its siblings'

build:
	@command -v meson >/dev/null || { echo 'meson is missing: tools/deps demo installs what the build needs' >&2; exit 77; }
	@[ -f build/build.ninja ] || meson setup build --buildtype=release
	@ninja -C build src/cli/wikitally
	@ln -sfn src/cli/wikitally build/wikitally

demo:
	@tools/deps demo
	@$(MAKE) --no-print-directory build
	@tools/demo

test:
	@tools/deps test
	@tools/test

check:
	@tools/deps test
	@tools/test --quick

bench: build
	@tools/bench

fuzz:
	@tools/deps test
	@tools/fuzz

install: build
	@meson configure build -Dprefix=$(PREFIX)
	@meson install -C build --quiet

clean:
	rm -rf build build-asan build-tsan build-check build-fuzz
