# What people and CI call; the building itself is Meson's (meson.build). `make help` lists the goals.
.DEFAULT_GOAL := help
.PHONY: help build demo test check night bench bench-long bench-kafka fuzz chaos chaos-kafka coverage install clean

PREFIX ?= /usr/local

help:
	@echo 'make build     build/wikitally, as released'
	@echo 'make demo      installs what is missing, builds, follows the live stream (or test data), shows the page'
	@echo 'make test      everything: sanitizer builds, all tests, the checks of the house; under half an hour'
	@echo 'make check     what needs no server and no browser; under two minutes'
	@echo 'make night     the rows of the goal table at the size of a night, which it takes'
	@echo 'make bench     figures, each beside its bar and its limit: held or missed; bench-long: up to 10 M events'
	@echo 'make bench-kafka  of the journal on Kafka, beside a bare librdkafka: a broker of its own, KAFKA_EVENTS (2000000)'
	@echo 'make fuzz      each fuzz target for FUZZ_SECONDS (60) seconds'
	@echo 'make coverage  what of src/ the tests reach, beside its bars; some fifteen minutes'
	@echo 'make chaos     SEED=N MINUTES=M (5): kills, cuts, failpoints and a bad line at random; the oracle judges'
	@echo 'make chaos-kafka SEED=N EVENTS=N KILLS=N RESTARTS=N STORM=N: the same on Kafka, with several instances'
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

night:
	@tools/deps test
	@tools/test --night

bench: build
	@tools/bench

bench-long: build
	@tools/bench --long

bench-kafka: build
	@tools/deps test
	@tools/bench kafka

fuzz:
	@tools/deps test
	@tools/fuzz

coverage:
	@tools/deps test
	@tools/coverage

chaos:
	@tools/deps test
	@[ -f build-chaos/build.ninja ] || meson setup build-chaos --buildtype=release -Dfaults=true -Dweb=false
	@ninja -C build-chaos src/cli/wikitally
	@WIKITALLY=$(CURDIR)/build-chaos/src/cli/wikitally WIKITALLY_CHECKED=$(CURDIR)/build-chaos/src/cli/wikitally \
		python3 tests/system/chaos.py $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

chaos-kafka: build
	@tools/deps test
	@WIKITALLY=$(CURDIR)/build/wikitally python3 tests/system/chaos_kafka.py $(if $(SEED),--seed $(SEED)) \
		$(if $(EVENTS),--events $(EVENTS)) $(if $(KILLS),--kills $(KILLS)) $(if $(RESTARTS),--restarts $(RESTARTS)) \
		$(if $(STORM),--storm $(STORM))

install: build
	@meson configure build -Dprefix=$(PREFIX)
	@meson install -C build --quiet

clean:
	rm -rf build build-chaos build-old build-asan build-tsan build-check build-fuzz build-coverage
