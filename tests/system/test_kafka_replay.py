"""The replay of several partitions that others lose (R5, R6): a topic whose partitions are read hours of event time apart, and each
count is what was produced. Where one clock is merged over partitions, what comes of the slower ones is late, and gone.

Each partition at its own speed, and really: one is there from the start, of one half in crumbs, one comes in transactions (with
some that are taken back) when the first was read to its end, and one last. What has to come out is counted here, from the bytes
that are produced. A night does it with as many changes as engines were compared by."""
import collections
import contextlib
import itertools
import json
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import unittest
import zlib

import kafka
import wikitally

COUNT = wikitally.size(200_000, 2_000_000)
SECONDS = 69_000                                        # of event time, whatever the number: 29 a second at night
PARTITIONS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3)             # of ten pages: no two partitions are alike
DELAY_S, LATENESS_S = 120, 900
COUNTED_BUCKET = 5                                      # of wt_ledger (src/base/record.h)
# What is stored, by what of a change: the aggregations that are built in, but for titles, which are as many as changes.
COUNTED = {'user_edit_counts': ('user_name', 'edit_count', lambda e: e['user']), 'bots': ('bot', 'count', lambda e: int(e['bot'])),
           'website': ('server_name', 'count', lambda e: e['server_name']), 'timeseries': ('type', 'count', lambda e: e['type'])}
CRUMBS = {'linger_ms': 0, 'batch_num_messages': wikitally.size(7, 70), 'compression_type': 'none'}
LOAVES = {'linger_ms': 50, 'batch_size': 1_000_000, 'compression_type': 'lz4'}

broker = house = None


def setUpModule():
    global broker, house
    house = tempfile.mkdtemp(prefix='wikitally-replay-')
    unittest.addModuleCleanup(shutil.rmtree, house, ignore_errors=True)
    broker = kafka.Broker(pathlib.Path(house) / 'kafka')
    unittest.addModuleCleanup(broker.kill)
    broker.start()


class Produced:
    """What goes into the partitions, in files; and what has to come out."""

    def __init__(self, folder, lines):
        self.files = [folder / f'partition-{p}' for p in range(4)]
        self.counts = {name: collections.Counter() for name in COUNTED}
        self.sizes, self.times = [0] * 4, [[] for _ in range(4)]
        with contextlib.ExitStack() as stack:
            outs = [stack.enter_context(open(file, 'wb')) for file in self.files]
            for line in lines:
                event = json.loads(line)
                p = PARTITIONS[zlib.crc32(f'{event["wiki"]}:{event["title"]}'.encode()) % len(PARTITIONS)]
                outs[p].write(line)
                self.sizes[p] += 1
                self.times[p].append(event['timestamp'])
                minute = event['timestamp'] // 60 * 60
                for name, (_, _, key) in COUNTED.items():
                    self.counts[name][minute, key(event)] += 1

    def records(self, p, first=0, last=None):
        """They arrived a second after they were made, and never earlier than the one before."""
        arrived = 0
        with open(self.files[p], 'rb') as file:
            for line, made in itertools.islice(zip(file, self.times[p]), first, last):
                arrived = max(arrived, 1000 * (made + 1))
                yield p, None, line.rstrip(b'\n'), (), arrived

    def lost_by_one_clock(self, order):
        """How many changes are too late by a clock over all partitions, if they are read in this order of (partition, first, last)."""
        clock = lost = 0
        for p, first, last in order:
            for made in self.times[p][first:last]:
                clock = max(clock, made)
                lost += made // 60 * 60 + 60 + LATENESS_S <= clock - DELAY_S
        return lost


class Replay(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.topic = 'replay'
        kafka.topics_create(broker.bootstrap, self.topic, 4, {'retention.ms': -1})
        self.addCleanup(kafka.delete_topic, broker.bootstrap, self.topic)

    def command(self, *arguments):
        settings = {'journal.kind': 'kafka', 'journal.topic': self.topic, 'kafka.brokers': broker.bootstrap,
                    'journal.retention_age': '3660d', 'aggregations.titles.enabled': 'false'}
        return super().command(*arguments, *(word for name, value in settings.items() for word in ('--set', f'{name}={value}')))

    def select(self, query):
        """What is stored; [] while nothing is."""
        with contextlib.suppress(sqlite3.Error), \
                contextlib.closing(sqlite3.connect(f'file:{self.directory}/results.db?mode=ro', uri=True)) as database:
            return database.execute(query).fetchall()
        return []

    def counted(self, partition=None):
        """Records that stand in the ledger as counted, the least of all aggregations."""
        where = '' if partition is None else f' AND partition = {partition}'
        found = dict(self.select(f'SELECT aggregation, sum(count) FROM wt_ledger WHERE side = 0 AND bucket = {COUNTED_BUCKET}{where} '
                                 'GROUP BY 1'))
        return min((found.get(name, 0) for name in COUNTED), default=0)

    def wait_for_count(self, process, wanted, partition=None):
        """Until they are counted, or nothing more is for a while: what is missing, the end shows better."""
        counted, since = -1, time.monotonic()
        while counted < wanted and time.monotonic() < since + 15:
            self.assertIsNone(process.poll(), process.log.read_text(errors='replace')[-2000:])
            before, counted = counted, self.counted(partition)
            since = since if counted == before else time.monotonic()
            time.sleep(0.2)

    def clock(self, partition):
        """Stream time of a partition as it is stored, in seconds."""
        return max(time_us for time_us, in self.select(f'SELECT now_stream_us FROM wt_lines WHERE partition = {partition}')) // 1_000_000

    def produce(self, produced, p, first=0, last=None, **conf):
        kafka.produce(broker.bootstrap, self.topic, produced.records(p, first, last), **conf)

    def produce_in_transactions(self, produced, p, size):
        """Each third time some of them are produced first and taken back."""
        for n, first in enumerate(range(0, produced.sizes[p], size)):
            if n % 3 == 0:
                self.produce(produced, p, first, first + size // 10, transaction='abort', **LOAVES)
            self.produce(produced, p, first, first + size, transaction='commit', **LOAVES)

    def test_R6_four_partitions_each_at_its_own_speed(self):
        with open(self.synth(COUNT, 31, event_rate=COUNT / SECONDS, late=0), 'rb') as lines:
            produced = Produced(self.folder, lines)
        self.assertEqual(sum(produced.sizes), COUNT)
        half = produced.sizes[1] // 2
        lost = produced.lost_by_one_clock([(0, 0, None), (1, 0, half), (2, 0, None), (1, half, None), (3, 0, None)])
        self.assertGreater(lost, COUNT // 2, 'this order would be no test')
        self.produce(produced, 0, **LOAVES)
        self.produce(produced, 1, 0, half, **CRUMBS)
        with self.running('run', '--roles', 'tasks', '--data-dir', self.directory, '--listen', 'none') as process:
            self.wait_for_count(process, produced.sizes[0], 0)
            beside = threading.Thread(target=self.produce, args=(produced, 1, half), kwargs=CRUMBS)
            beside.start()
            self.produce_in_transactions(produced, 2, max(produced.sizes[2] // 10, 1))
            beside.join()
            self.assertEqual(self.clock(0), max(produced.times[0]))
            self.wait_for_count(process, produced.sizes[2], 2)
            self.assertEqual(self.counted(3), 0)
            self.produce(produced, 3, linger_ms=5)
            self.wait_for_count(process, COUNT)
            self.stop(process)
        self.assert_exact(produced)
        rows = len(produced.counts['user_edit_counts'])
        print(f'{rows:,} rows of (minute, user) sum to {COUNT:,}; a clock over all partitions would have lost '
              f'{100 * lost / COUNT:.0f} %', file=sys.stderr)

    def assert_exact(self, produced):
        """Each count, not their sums: shards of a row added up, and nothing else. In the ledger all is counted and nothing late."""
        for name, (column, count, _) in COUNTED.items():
            got = {(start, key): n for start, key, n in self.select(
                f"SELECT unixepoch(window_start), \"{column}\", sum(\"{count}\") FROM \"{name}\" GROUP BY 1, 2")}
            other = {at for at in got.keys() | produced.counts[name].keys() if got.get(at) != produced.counts[name].get(at)}
            self.assertEqual(len(other), 0, [(at, got.get(at), produced.counts[name].get(at)) for at in sorted(other)[:5]])
            self.assertEqual(sum(got.values()), COUNT)
        buckets = self.select('SELECT aggregation, bucket, sum(count) FROM wt_ledger WHERE side = 0 GROUP BY 1, 2')
        self.assertEqual({(name, bucket): n for name, bucket, n in buckets if n}, {(name, COUNTED_BUCKET): COUNT for name in COUNTED})


if __name__ == '__main__':
    unittest.main()
