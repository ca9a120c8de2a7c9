"""The rows of the source that a server, a stranger or a clock can spoil: C1 (hostile server), C6 (times), B16 (poison).

WIKITALLY_SEED=N repeats what a failure printed. Of C1 WIKITALLY_BEHAVIOUR=NAME runs one behaviour, WIKITALLY_SEEDS=N so many seeds
of each.
"""
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import unittest

import wikitally
from test_cli import forget_sums
from wikitally import oracle

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'fake'))
import certificates                                     # noqa: E402  (after the path)
import hostile_sse                                      # noqa: E402

IS_CHECKED = 'asan' in wikitally.PROGRAM
MIB = 1 << 20


def metrics(page):
    """{name and labels: value}"""
    text = wikitally.get(page + '/metrics').decode()
    return {name: float(value) for name, value in re.findall(r'^(\w+(?:\{.*\})?) (\S+)$', text, re.M)}


def summed(values, name, label=''):
    return sum(value for key, value in values.items() if key.split('{')[0] == name and label in key)


class Watched(wikitally.Case):
    """Following a server, watched by its own metrics and by /proc."""

    def page(self, process):
        def found():
            match = re.search(r'listening on (http://\S+)', process.log.read_text(errors='replace'))
            self.assertIsNone(process.poll(), process.log.read_text(errors='replace')[-2000:])
            return match and match[1].rstrip('/')
        return self.wait_for(found, what='the address of the page')

    def follow_live(self, url, *more):
        return self.running(*self.run_arguments(url, *more, until=None, listen='127.0.0.1:0'))

    def letters(self, directory=None):
        return self.tsv('deadletters', 'list', directory=directory)

    def bytes_of(self, letter):
        return subprocess.run([self.program, 'deadletters', 'show', letter, '--data-dir', self.directory], check=True,
                              stdout=subprocess.PIPE, env=wikitally.environment()).stdout


class Peak:
    """The largest RSS of a process so far, in bytes."""

    def __init__(self, process):
        self.process, self.bytes = process, 0

    def look(self):
        try:
            status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
            self.bytes = max(self.bytes, 1024 * int((re.search(r'VmHWM:\s+(\d+)', status) or [0, 0])[1]))
        except OSError:
            pass
        return self.bytes


# ------------------------------------------------------------------------------------------------------------ C1

class HostileRun(Watched):
    """One behaviour with one seed. Not a test by itself: C1 runs many at once."""

    RSS_MAX = 128 * MIB
    PATIENCE = wikitally.size(30, 180)                  # seconds until all is there
    TRIES_SECONDS = wikitally.size(12, 60)
    TRIES_MAX = 6                                       # connections a minute, after the first

    def hostile(self, plan, number):
        context, trusted = certificates.context(self.folder, plan.tls) if plan.tls else (None, None)
        server = hostile_sse.Server(plan, random.Random(f'{plan.name} {number}'), context,
                                    large=4 if wikitally.NIGHT and number % 5 == 0 else 1)
        options = [f'--set={one}' for one in (*plan.options, *([f'source.ca_file={trusted}'] if trusted else []))]
        try:
            {'ends': self.ends, 'tries': self.tries}.get(plan.then, self.recovers)(plan, server, options)
            self.assertEqual(server.failures, [])
            self.assertEqual(server.trap_hits, 0, 'it went where it was sent to')
            for request in server.requests:
                self.check_request(request)
        finally:
            server.close()

    def check_request(self, request):
        """What it sends back is its own: topics and whole numbers; nothing that the server could have planted."""
        self.assertNotIn(b'injected', request.head.lower())
        self.assertEqual(request.head.count(b'\r\n\r\n'), 1)
        for place in json.loads(request.last_event_id or '[]'):
            self.assertIn(place['topic'], (hostile_sse.TOPIC, 'codfw.mediawiki.recentchange'))
            self.assertIn(set(place), ({'topic', 'partition', 'timestamp'}, {'topic', 'partition', 'offset'}))
            self.assertLessEqual(place.get('timestamp', 0), time.time() * 1000)

    def ends(self, plan, server, options):
        done = self.follow(server.url, *options, code=78, until=1, timeout=self.PATIENCE)
        self.assertRegex(done.err, plan.says)
        self.assertLessEqual(len(server.requests), 1)
        self.assertEqual(sum(self.journal_ids().values()), 0)

    def tries(self, plan, server, options):
        with self.follow_live(server.url, *options) as process:
            self.page(process)
            time.sleep(self.TRIES_SECONDS)
            values = metrics(self.page(process))
            self.stop(process)
            log = process.log.read_text(errors='replace')
        self.assertRegex(log, plan.says)
        tried = len(re.findall('next try in', log))
        self.assertGreaterEqual(tried, 2, log)
        self.assertLessEqual(max(len(server.requests), tried) - 1, self.TRIES_MAX)
        self.assertEqual(summed(values, 'wikitally_source_events_total', 'result="journalled"'), 0)

    def recovers(self, plan, server, options):
        wanted = [hostile_sse.id_of(event) for event in server.events]
        with self.follow_live(server.url, *options) as process:
            page, peak = self.page(process), Peak(process)

            def all_there():
                peak.look()
                self.assertIsNone(process.poll(), process.log.read_text(errors='replace')[-2000:])
                got = metrics(page)
                return (server.struck and summed(got, 'wikitally_journal_end_offset') >= len(wanted) + len(server.extra)
                        and summed(got, 'wikitally_dead_letters_total') >= len(server.dead))
            self.wait_for(all_there, timeout=self.PATIENCE, pause=0.1, what=f'all of {plan.name}: {server.failures}')
            time.sleep(0.3)                             # does more come than should?
            values, rss = metrics(page), peak.look()
            self.stop(process)
            log = process.log.read_text(errors='replace')
        self.assertNotRegex(log, 'AddressSanitizer|runtime error:')
        self.check_kept(wanted + server.extra, server.dead)
        self.check_counters(plan, server, values, log)
        if not IS_CHECKED:
            self.assertLessEqual(rss, self.RSS_MAX)

    def check_kept(self, wanted, dead):
        got = collections.Counter(envelope['value']['meta']['id'] for envelope in self.envelopes()
                                  if envelope['value']['meta'].get('stream') != 'wikitally.tick')
        self.assertEqual(got, collections.Counter(wanted))
        letters = self.letters()
        self.assertEqual(sorted(letter['reason'] for letter in letters), sorted(reason for reason, _ in dead))
        for letter, (reason, data) in zip(letters, dead):
            self.assertEqual(letter['reason'], reason)
            if data is not None:
                self.assertEqual(self.bytes_of(letter['id']), data)
        for one in dead:
            if one[1] is not None:                      # the oracle thinks so too
                self.assertIsNone(oracle.decode(one[1])[0] if one[0] not in ('bad-time', 'no-time') else None)
        ledger = self.source_ledger()
        self.assertEqual((ledger['dead'], ledger['filtered']), (len(dead), 0))
        self.assert_balanced()

    def check_counters(self, plan, server, values, log):
        if plan.says:
            self.assertRegex(log, plan.says)
        if plan.then == 'stays':
            self.assertEqual(len(server.requests), 1, log)
            return
        self.assertGreaterEqual(summed(values, 'wikitally_source_reconnects_total', f'reason="{plan.then}"')
                                or (plan.then == 'refused' and len(re.findall('next try in', log))), 1,
                                [({key: value for key, value in values.items() if 'reconnects' in key}), log])
        self.assertGreaterEqual(len(server.requests), 1 if plan.name.startswith('reset_before') else 2)
        self.assertLessEqual(len(server.requests), 1 + self.TRIES_MAX)
        if plan.name == 'status_429':
            self.assertGreaterEqual(server.requests[1].at - server.requests[0].at, 3)


class Hostile(unittest.TestCase):
    SEEDS = int(os.environ.get('WIKITALLY_SEEDS') or wikitally.size(2, 25))
    AT_ONCE = 12                                        # they wait more than they work

    def one(self, plan, number):
        """-> what went wrong, or None. A case of its own each, so that many can run at once."""
        run = HostileRun('hostile')
        run.setUp()
        try:
            run.hostile(plan, number)
            if number % self.SEEDS == 0 and plan.then not in ('ends', 'tries'):
                run.assert_rows()
                run.assert_ledger()
            return None
        except Exception as error:                      # noqa: BLE001  (an AssertionError, or what it stumbled over)
            text = f'{plan.name}, WIKITALLY_SEED={number}: {type(error).__name__}: {str(error)[:1500]}'
            print(text, file=sys.stderr, flush=True)
            return text
        finally:
            run.doCleanups()

    def test_C1_hostile_server(self):
        first = wikitally.seed(self.id()).randrange(1_000_000) if not os.environ.get('WIKITALLY_SEED') else int(os.environ['WIKITALLY_SEED'])
        only = os.environ.get('WIKITALLY_BEHAVIOUR')
        plans = [plan for plan in hostile_sse.BEHAVIOURS.values() if only in (None, plan.name)
                 and (not plan.tls or shutil.which('openssl'))]
        runs = [(plan, first + step) for step in range(self.SEEDS) for plan in plans]
        runs.sort(key=lambda run: run[0].then != 'tries')      # begin with those that wait
        with concurrent.futures.ThreadPoolExecutor(self.AT_ONCE) as pool:
            failures = [text for text in pool.map(lambda run: self.one(*run), runs) if text]
        print(f'{len(plans)} behaviours, {len(runs)} runs from seed {first}', file=sys.stderr)
        self.assertEqual(failures, [], '\n'.join(failures))
        self.assertGreaterEqual(len(plans), 1 if only else 40)


# ------------------------------------------------------------------------------------------------------------ C6

YEAR = 365 * 86400
# Times that are none, each with the dead letter that it is (oracle.md section 3); None: it is one after all.
ODD_TIMES = [(0, None), (1, None), (-1, 'bad-time'), (253_370_764_799, None), (253_370_764_800, 'bad-time'), (10 ** 18, 'bad-time'), (1.0, 'bad-time'),
             (1e9, 'bad-time'), ('', 'bad-time'), ('now', 'bad-time'), ('2026-02-30T00:00:00Z', 'bad-time'), ('2026-06-01T00:00:00', 'bad-time'),
             ('2026-06-01T00:00:60Z', 'bad-time'), ('2026-06-01t00:00:00z', 'bad-time'), ('2026-06-01T00:00:00+00:00', None), (True, 'bad-time'),
             ([], 'bad-time'), ({}, 'bad-time'), ('1780272000', 'bad-time'), (1780272000000, 'bad-time')]


class Times(wikitally.Case):
    """C6: late, early and out of order. Everything is judged by the oracle, minute by minute and row by row."""

    COUNT = wikitally.size(5_000, 100_000)

    def events(self, number, **options):
        return [json.loads(line) for line in self.synth(self.COUNT, number, event_rate=50, **options).read_bytes().splitlines()]

    def file(self, values, name='events'):
        file = self.folder / f'{name}.ndjson'
        file.write_bytes(b''.join((value if isinstance(value, bytes) else json.dumps(value).encode()) + b'\n' for value in values))
        return file

    def judge(self, file, *more):
        """-> (sums of the oracle's ledger, final rows)"""
        self.follow(f'replay:{file}', *more)
        journal = self.dump()
        self.assert_rows(journal=journal)
        sums = self.assert_ledger(journal=journal)
        self.assert_balanced()
        return sums

    def rows(self, directory=None):
        """{(aggregation, window, key): (state, counts)}: without revisions, which are places in the journal."""
        return {(row['aggregation'], row['window_start'], row['key']): (row['state'], row.get('count') or row.get('edit_count'))
                for row in self.tsv('results', directory=directory)}

    def test_C6_one_event_from_next_year_closes_no_window(self):
        number = wikitally.seed(self.id()).randrange(1 << 30)
        values = self.events(number)
        self.judge(self.file(values, 'plain'))
        plain, self.directory = self.rows(), self.folder / 'ahead'
        ahead = random.Random(number)
        for _ in range(3):
            at = ahead.randrange(100, len(values))
            event = json.loads(json.dumps(values[at]))
            event['timestamp'] += ahead.choice([YEAR, 3600, 61 + 60, 4 * YEAR])
            event['id'] = ahead.getrandbits(40)
            event['meta']['id'] = f'00000000-0000-4000-8000-{ahead.getrandbits(48):012x}'
            values.insert(at, event)
        sums = self.judge(self.file(values, 'ahead'))
        self.assertEqual(sums['future'], 3)
        self.assertEqual(self.rows(), plain)

    def test_C6_late_ones_are_amended_or_counted_as_late(self):
        number = wikitally.seed(self.id()).randrange(1 << 30)
        source = random.Random(number)
        values = self.events(number, late=0.02)
        for step in range(self.COUNT // 100):           # by minutes, by hours, by years, and 1970
            event = json.loads(json.dumps(values[source.randrange(len(values))]))
            event['timestamp'] = source.choice([event['timestamp'] - source.randrange(3600), event['timestamp'] - 40 * 86400, 0, 1])
            event['id'] = source.getrandbits(40)
            event['meta']['id'] = f'00000000-0000-4000-8001-{step:012x}'
            values.insert(source.randrange(len(values)), event)
        sums = self.judge(self.file(values))
        self.assertGreater(sums['late'], self.COUNT // 500)
        late = sum(int(row['late']) for row in self.tsv('ledger', '--total') if row['ledger'] == 'bots')
        self.assertEqual(late, sums['late'])            # counted, not lost silently

    def test_C6_shuffled_within_what_is_allowed(self):
        """Out of order by less than the delay: nothing is late, and the rows are those of the order."""
        number = wikitally.seed(self.id()).randrange(1 << 30)
        source = random.Random(number)
        values = [value for value in self.events(number, late=0)]
        self.judge(self.file(values, 'plain'))
        plain, self.directory = self.rows(), self.folder / 'shuffled'
        order = sorted(range(len(values)), key=lambda at: (values[at]['meta']['dt'], at))
        values = [values[at] for at in sorted(order, key=lambda at: at + source.randrange(1000))]     # 20 s at 50 a second
        sums = self.judge(self.file(values, 'shuffled'), '--close')
        self.assertEqual(sums['late'], 0)
        self.assertEqual({key: row[1] for key, row in self.rows().items()}, {key: row[1] for key, row in plain.items()})

    def test_C6_times_that_are_none(self):
        number = wikitally.seed(self.id()).randrange(1 << 30)
        values, wanted = self.events(number), []
        for step, (time_, reason) in enumerate(ODD_TIMES):
            event = json.loads(json.dumps(values[100 + step]))
            event['timestamp'], event['id'] = time_, 1 << 40 | step
            event['meta']['id'] = f'00000000-0000-4000-8002-{step:012x}'
            values.insert(200 + step, json.dumps(event).encode())
            wanted += [reason] if reason else []
        gone = json.loads(json.dumps(values[0]))
        gone.update(timestamp=None, id=1 << 41)
        gone['meta'].update(id='00000000-0000-4000-8003-000000000000', dt=None)
        values.insert(300, gone)                        # no time at all
        self.judge(self.file(values))
        self.assertEqual([row['reason'] for row in self.tsv('deadletters', 'list')], [*wanted, 'no-time'])

    def test_C6_a_partition_that_stands_still(self):
        """Its windows wait for it, the others' do not; merged, a row is final only when all are past it. --close ends that."""
        number = wikitally.seed(self.id()).randrange(1 << 30)
        values = self.events(number)
        half = len(values) // 2
        for value in values[half:]:
            value['wiki'], value['title'] = 'enwiki', 'One page'        # one page, one partition
        four = ('--set', 'journal.partitions=4')
        self.judge(self.file(values), *four)
        states = collections.Counter(state for state, _ in self.rows().values())
        self.assertGreater(states['open'], 0)
        self.directory = self.folder / 'closed'
        self.judge(self.file(values, 'closed'), *four, '--close')
        self.assertEqual({state for state, _ in self.rows().values()}, {'final'})

    def test_C6_a_live_partition_that_stands_still_gets_ticks(self):
        """R7 (a): the source moves, one partition is quiet for idle_after: its windows close by a tick, as the oracle says."""
        events = [value for value in self.events(11) if value['meta']['domain'] != 'canary']
        now, values = time.time(), []
        for step, value in enumerate(events[:2400]):
            at = now - 20 + step / 60                   # forty seconds, sixty a second
            value['timestamp'] = int(at)
            value['meta']['dt'] = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at)) + f'.{int(at % 1 * 1000):03}Z'
            if step > 300:
                value['wiki'], value['title'] = 'enwiki', 'One page'
            values.append(value)
        live = Watched.follow_live
        with self.running('upstream', self.file(values), '--listen', '127.0.0.1:0', '--rate', 600) as server, \
                live(self, self.url(server), '--set=journal.partitions=4', '--set=source.idle_after=1s') as process:
            self.wait_for(lambda: (self.directory / 'journal.db').exists() and self.ticks() >= {0, 1, 2, 3} - {self.busy()}, timeout=40, pause=0.5,
                          what='ticks in the partitions that stand still')
            self.stop(process)
        self.assert_rows()
        self.assert_ledger()
        self.assert_balanced()

    def ticks(self):
        return {one['partition'] for one in self.envelopes() if one['value']['meta'].get('stream') == 'wikitally.tick'
                and one['offset'] > 0}

    def busy(self):
        return next((one['partition'] for one in self.envelopes() if one['value'].get('title') == 'One page'), -1)


# ------------------------------------------------------------------------------------------------------------ B16

class Poison(Watched):
    COUNT, POISON, BATCH = wikitally.size((20_000, 20, 500), (1_000_000, 1_000, 500))
    STALL_SECONDS = 5
    MENDED = 26                                         # each so many-th letter is mended later

    def poison(self, event, source, kind):
        """-> (bytes of it spoiled, the reason); what is spoiled can be mended by whoever knows what it was."""
        text = json.dumps(event, ensure_ascii=False).encode()
        wrong = json.loads(text)
        wrong['timestamp'] = 'yesterday'
        spoiled = [('syntax', text[:-1]), ('bad-utf8', text[:1] + b'"x":"\xe9",' + text[1:]), ('syntax', text + b'}'),
                   ('surrogate', text[:1] + b'"x":"\\udc00",' + text[1:]), ('not-object', b'[' + text + b']'),
                   ('too-deep', text[:1] + b'"x":' + b'[' * 70 + b']' * 70 + b',' + text[1:]), ('bad-time', json.dumps(wrong).encode()),
                   ('syntax', text[:1] + b'"x":"\x01",' + text[1:]), ('syntax', text[:1] + b'"x":NaN,' + text[1:])]
        return spoiled[kind % len(spoiled)]

    def make(self, number):
        """Events, of which some are spoiled, and one run of BATCH in a row: -> (lines, [(reason, bytes, the event)])"""
        source = random.Random(number)
        now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - self.COUNT / 50 - 5))
        lines = self.synth(self.COUNT, number, event_rate=50, start=now, late=0).read_bytes().splitlines()
        batch = source.randrange(len(lines) // 4, len(lines) // 2)
        places = sorted({*range(batch, batch + self.BATCH), *source.sample(range(100, batch), self.POISON // 2),
                         *source.sample(range(batch + self.BATCH, len(lines) - 100), self.POISON - self.POISON // 2)})
        letters = []
        for kind, place in enumerate(places):
            event = json.loads(lines[place])
            reason, lines[place] = self.poison(event, source, kind)
            letters.append((reason, lines[place], event))
        return lines, letters

    def test_B16_poison(self):
        number = wikitally.seed(self.id()).randrange(1 << 30)
        lines, letters = self.make(number)
        good = self.COUNT - len(letters)
        server = hostile_sse.Server(hostile_sse.BEHAVIOURS['nothing_wrong'], random.Random(number), events=lines)
        self.addCleanup(server.close)
        with self.follow_live(server.url, '--set=source.heal=false') as process:    # its numbers have holes, for good
            stall = self.longest_stall(self.page(process), good, len(letters))
            self.stop(process)
        self.assertLess(stall, self.STALL_SECONDS)
        print(f'{good} events, {len(letters)} dead letters, longest stall {stall:.2f} s', file=sys.stderr)
        self.check_letters(letters)
        self.check_replayed(letters)
        self.assertEqual((len(server.requests), server.failures), (1, []))

    def longest_stall(self, page, good, dead):
        """Until all is there: the longest time without any progress."""
        last, since, longest, deadline = -1, time.monotonic(), 0, time.monotonic() + 600
        while last < good + dead:
            values = metrics(page)
            done = summed(values, 'wikitally_journal_end_offset') + summed(values, 'wikitally_dead_letters_total')
            if done > last:
                last, since = done, time.monotonic()
            longest = max(longest, time.monotonic() - since)
            self.assertLess(time.monotonic(), deadline, f'{last} of {good + dead}')
            self.assertLess(longest, 30, f'{last} of {good + dead}')
            time.sleep(0.05)
        return longest

    def check_letters(self, letters):
        """Each once, with its reason, its place and its bytes."""
        with contextlib.closing(sqlite3.connect(self.directory / 'journal.db')) as db:
            kept = {str(row[0]): bytes(row[1]) for row in db.execute('select id, bytes from dead_letters')}
        rows = self.letters()
        got, wanted = (collections.Counter(row['reason'] for row in rows), collections.Counter(reason for reason, _, _ in letters))
        self.assertEqual(got, wanted)
        got = collections.Counter((row['reason'], kept[row['id']]) for row in rows)
        wanted = collections.Counter((reason, data) for reason, data, _ in letters)
        self.assertEqual((list((got - wanted).items())[:2], list((wanted - got).items())[:2]), ([], []))
        for row in rows[::97]:
            self.assertEqual(self.bytes_of(row['id']), kept[row['id']])
        self.assertEqual(self.source_ledger()['dead'], len(letters))
        self.assert_rows()
        self.assert_ledger()
        self.assert_balanced()

    def check_replayed(self, letters):
        """A retry of what is still spoiled changes nothing. Mended (a later program can read it), each is admitted once."""
        before, mended = self.journal_ids(), letters[::self.MENDED]
        self.wikitally('deadletters', 'retry', '--data-dir', self.directory, code=(0, 1))
        self.assertEqual(self.journal_ids(), before)
        with contextlib.closing(sqlite3.connect(self.directory / 'journal.db')) as db, db:
            db.executemany('update dead_letters set bytes = ? where bytes = ?',
                           [(json.dumps(event).encode(), data) for _, data, event in mended])
            forget_sums(db)
        for _ in range(2):                              # the second finds nothing to do
            self.wikitally('deadletters', 'retry', '--data-dir', self.directory, code=(0, 1))
        self.assertEqual(self.journal_ids() - before, collections.Counter(event['meta']['id'] for _, _, event in mended))
        self.assertEqual(sum(row['retried'] == '-' for row in self.letters()), len(letters) - len(mended))
        self.assert_balanced()


if __name__ == '__main__':
    unittest.main()
