#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh MOCK_BROKER UPSTREAM_PEER - holds our upstream server against the real kafka-sse, over a real broker where
# tools/deps has brought one, else over librdkafka's mock. Exit 77: it cannot be had here.
# The packages are those of package-lock.json; node-rdkafka is built against the system's librdkafka, with the headers
# that lie beside the installed Node.
set -u
absolute() { case $1 in -|/*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
broker=$(absolute "$1")
peer=$(absolute "$2")
cd "$(dirname "$0")" || exit 1
skip() { echo "SKIP: $1"; exit 77; }

[ "$broker" != - ] || skip 'librdkafka is not installed'
command -v node >/dev/null || skip 'node is not installed'
command -v npm >/dev/null || skip 'npm is not installed'
built=node_modules/node-rdkafka/build/Release/node-librdkafka.node
if [ ! -e "$built" ] || [ package-lock.json -nt "$built" ]; then
    npm_config_nodedir=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
    export npm_config_nodedir BUILD_LIBRDKAFKA=0
    log=$(mktemp) || exit 1
    if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
        tail -5 "$log"; rm -f "$log"
        skip 'the npm packages of kafka-sse cannot be installed'
    fi
    (npm rebuild node-rdkafka --foreground-scripts >>"$log" 2>&1) || true
    if [ ! -e "$built" ]; then
        tail -5 "$log"; rm -f "$log"
        skip 'node-rdkafka cannot be built (wants g++, make, python3, librdkafka-dev and the headers of Node)'
    fi
    rm -f "$log"
    touch "$built"
fi
kind=mock
if [ -d ../../../deps/kafka ] && command -v java >/dev/null; then
    broker=$PWD/broker.py kind=real
fi
exec node test.mjs "$broker" "$peer" "$kind"
