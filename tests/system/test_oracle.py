"""The stored results equal what tests/oracle/oracle.py works out by itself, row by row: every cell, state, revision and
closed_by; the task's ledger minute by minute; what admission did with each record; the journal byte by byte."""
import collections
import csv
import os
import unittest

import wikitally
from wikitally import oracle

# name: counted, late (oracle.md section 8), so that two programs that are wrong alike are noticed as well
CAPTURES = {
    'recentchange-6rzan-firehose-2026-05-05.ndjson.gz': (2476, 0),
    'recentchange-pdm-2026-06-20.ndjson.gz': (384, 0),
    'sse-pdm-2026-06-20.txt.gz': (383, 0),
    'recentchange-editgroups-wikidata-2018-03-07-1616.ndjson.gz': (3818, 0),
    'recentchange-editgroups-wikidata-2018-03-07-1659.ndjson.gz': (1789, 0),
    'recentchange-editgroups-wikidata-misc-2018-2019.ndjson.gz': (200, 6),
    'recentchange-avrojson-cpdemo-2020-10-14.ndjson.gz': (0, 0),
    'eventstreams-other-wmfsdk-2020-2024.ndjson.gz': (1, 0),
    'actionapi-recentchanges-kosovojs-lvwiki-2020-04.ndjson.gz': (3, 97),
    'revisions-enwiki-hotpages-dattathreya.ndjson.gz': (7086, 114331),
    'wikipedia-edits-mirkan1-2016-06-27.ndjson.gz': (472, 0),
    'wikiticker-mirkan1-2015-09-12.ndjson.gz': (0, 0),
}
# What makes a run nasty; each random run takes one of these.
MIXES = ({}, {'late': 0.02, 'duplicates': 0.03}, {'future': 0.01, 'late': 0.01}, {'poison': 0.01, 'duplicates': 0.02},
         {'canaries': True, 'rare': True, 'event_rate': 2}, {'late': 0.3, 'event_rate': 1, 'canaries': True},
         {'rare': True, 'poison': 0.02, 'future': 0.02, 'late': 0.05, 'duplicates': 0.05, 'event_rate': 5})


class Equal(wikitally.Case):
    def admitted(self, file, *filters):
        """What the oracle's admission says of a file: outcome -> records, and the journal it makes (partition 0)."""
        outcomes, journal = self.folder / 'outcomes.tsv', self.folder / 'admitted.ndjson'
        self.oracle('admit', file, '-o', outcomes, '--journal', journal, '--totals-out', os.devnull, *filters)
        with open(outcomes, encoding='utf-8', errors='surrogateescape', newline='') as text:
            rows = csv.DictReader(text, delimiter='\t', quoting=csv.QUOTE_NONE)
            return collections.Counter(row['outcome'] for row in rows), journal

    def judge(self, file, *more, filters=()):
        """Runs the file to its end and compares all there is; -> (sums of the task's ledger, result rows)."""
        self.follow(f'replay:{file}', *more)
        outcomes, admitted = self.admitted(file, *filters)
        self.assertEqual({name: n for name, n in self.source_ledger().items() if n and name != 'received'}, dict(outcomes))
        journal = self.dump()
        if 'journal.partitions=3' not in more:          # one partition: the same bytes in the same order
            self.assertEqual(journal.read_bytes(), admitted.read_bytes())
        rows = self.assert_rows(journal=journal)
        sums = self.assert_ledger(journal=journal)
        self.assert_ledger(journal=journal, by='arrival')
        self.assert_balanced()
        letters = self.tsv('deadletters', 'list')
        self.assertEqual(len(letters), outcomes['dead'] + sums['dead'])
        return sums, rows


class Captures(Equal):
    def test_every_capture(self):
        for name, (counted, late) in CAPTURES.items():
            with self.subTest(name):
                self.directory = self.folder / name
                sums, _ = self.judge(wikitally.capture(name))
                self.assertEqual((sums['counted'], sums['late']), (counted, late))

    def test_every_capture_in_three_partitions(self):
        for name, (counted, late) in CAPTURES.items():
            if counted + late > 100_000:
                continue                                # no new shape, and the longest by far
            with self.subTest(name):
                self.directory = self.folder / name
                sums, _ = self.judge(wikitally.capture(name), '--set', 'journal.partitions=3')
                self.assertEqual(sums['counted'] + sums['late'], counted + late)

    def test_arrivals_from_a_file(self):
        """R5: recorded arrivals are what the guard and the ledger go by."""
        file = wikitally.capture('recentchange-6rzan-firehose-2026-05-05.ndjson.gz')
        arrivals = wikitally.capture('recentchange-6rzan-firehose-2026-05-05.arrival.tsv.gz')
        self.follow(f'replay:{file}', '--arrival-tsv', arrivals, '--arrival-base-ms', 1777979860000)
        journal = self.dump()
        self.assert_rows(journal=journal)
        self.assert_ledger(journal=journal, by='arrival')


class MadeUp(Equal):
    def test_fifty_random_runs(self):
        random = wikitally.seed('fifty random runs')
        for run in range(50):
            number = random.randrange(1 << 30)
            mix = MIXES[run % len(MIXES)]
            more = ['--set', 'journal.partitions=3'] if run % 3 == 2 else []
            with self.subTest(seed=number, mix=mix, more=more):
                self.directory = self.folder / f'run-{run}'
                file = self.synth(random.choice([50, 700, 3000]), number, **mix)
                self.judge(file, *more)
                file.unlink()

    def test_nothing_at_all(self):
        file = self.folder / 'empty.ndjson'
        file.write_bytes(b'')
        self.follow(f'replay:{file}')
        self.assertEqual(self.dump().read_bytes(), b'')
        self.assert_balanced()

    def test_absurd_times(self):
        """Times from the future, from 1970, of a negative year: none of them moves what is honest (R5, R6)."""
        file = self.synth(2000, 7, late=0)
        lines = file.read_bytes().splitlines()
        for at, stamp in ((300, b'4102444800'), (600, b'0'), (900, b'1'), (1200, b'-5'), (1500, b'253370764799')):
            lines[at] = restamp(lines[at], stamp)
        file.write_bytes(b'\n'.join(lines) + b'\n')
        sums, _ = self.judge(file)
        self.assertEqual((sums['future'], sums['late']), (2, 2))
        self.assertEqual(self.source_ledger()['dead'], 1)


def restamp(line, stamp):
    """The same bytes but for the timestamp."""
    event = oracle.decode(line)[0]
    return line.replace(b'"timestamp":%d' % event['timestamp'], b'"timestamp":' + stamp, 1)


# Aggregations as people declare them, and the same for the oracle.
DECLARED = (
    ({'keys': '[wiki, user]', 'measures': '[count, sum(length.new), min(length.new), max(length.new)]', 'where': 'type:edit,new',
      'size': '10m', 'slide': '5m', 'delay': '30s', 'late': 'drop'},
     ['--group-by', 'wiki,user', '--measures', 'count,sum(length.new),min(length.new),max(length.new)', '--where', 'type=edit|new',
      '--size', '10m', '--slide', '5m', '--delay', '30s', '--late', 'drop']),
    ({'keys': '[server_name]', 'measures': '[count, distinct(user)]', 'time_field': 'meta.dt', 'lateness': '1m', 'delay': '5s'},
     ['--group-by', 'server_name', '--measures', 'count,distinct(user)', '--time-field', 'meta.dt', '--allowed-lateness', '1m',
      '--delay', '5s']),
    ({'keys': '[type, bot, namespace]', 'size': '7m', 'slide': '2m', 'delay': '1m', 'lateness': '10m'},
     ['--group-by', 'type,bot,namespace', '--size', '7m', '--slide', '2m', '--delay', '1m', '--allowed-lateness', '10m']),
    ({'keys': '[log_type, minor, revision.new]', 'size': '1s', 'delay': '0s', 'late': 'drop', 'skew': '5s'},
     ['--group-by', 'log_type,minor,revision.new', '--size', '1s', '--delay', '0s', '--late', 'drop', '--skew', '5s']),
)


class Declared(Equal):
    def test_declared_aggregations(self):
        """Hopping windows, drop and amend, where, other measures, other clocks: the same rows as the oracle's."""
        random = wikitally.seed('declared aggregations')
        config = self.folder / 'declared.yaml'
        with open(config, 'w', encoding='utf-8') as out:
            print('aggregations:', file=out)
            for number, (keys, _) in enumerate(DECLARED):
                print(f'  declared_{number}:', *(f'    {key}: {value}' for key, value in keys.items()), sep='\n', file=out)
        for run in range(8):
            mix = MIXES[1 + run % (len(MIXES) - 1)]
            more = ['--set', 'journal.partitions=3'] if run % 2 else []
            number = random.randrange(1 << 30)
            with self.subTest(seed=number, mix=mix, more=more):
                self.directory = self.folder / f'run-{run}'
                file = self.synth(3000, number, **mix)
                self.follow(f'replay:{file}', '-c', config, *more)
                journal = self.dump()
                for which, (_, counting) in enumerate(DECLARED):
                    name = f'declared_{which}'
                    self.assertGreater(self.assert_rows('--name', name, *counting, aggregation=name, journal=journal), 0)
                self.assert_balanced()


class Ingest(Equal):
    def test_R2_a_filter_is_counted_not_stored(self):
        file = self.synth(3000, 5, duplicates=0.02)
        self.judge(file, '--set', 'ingest.filter=wiki:wikidatawiki', filters=('--wiki', 'wikidatawiki'))
        self.assertGreater(self.source_ledger()['filtered'], 100)


if __name__ == '__main__':
    unittest.main()
