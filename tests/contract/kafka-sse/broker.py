#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""broker.py TOPIC... - a real Kafka broker with these topics (tests/system/kafka.py). Prints its address; ends with its standard
input."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'system'))
import kafka                                            # noqa: E402  (after the path)

with tempfile.TemporaryDirectory(prefix='wikitally-broker-') as folder, kafka.Broker(folder) as broker:
    for topic in sys.argv[1:]:
        kafka.topics_create(broker.bootstrap, topic, 1)
    print(broker.bootstrap, flush=True)
    sys.stdin.read()
