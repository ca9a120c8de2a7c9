"""What the system tests share: running the program, and asking the oracle. Flags stand here and nowhere else.

WIKITALLY          the program (build/wikitally)
WIKITALLY_CHECKED  the same with sanitizers, seeded faults and failpoints (build-asan/src/cli/wikitally); may be missing
WIKITALLY_SHARED   real captures in data/ (../shared); may be missing
WIKITALLY_SEED     of what is random (the clock); every test prints the one it used
WIKITALLY_ROWS     N: the rows of the goal table at the size of a night (make night), else at that of every commit
"""
import collections
import contextlib
import csv
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/oracle'))
import oracle                                           # noqa: E402  (after the path)

PROGRAM = os.environ.get('WIKITALLY') or str(ROOT / 'build/wikitally')
CHECKED = os.environ.get('WIKITALLY_CHECKED') or str(ROOT / 'build-asan/src/cli/wikitally')
DATA = pathlib.Path(os.environ.get('WIKITALLY_SHARED') or ROOT.parent / 'shared') / 'data'
ORACLE = ROOT / 'tests/oracle/oracle.py'
BUILT_IN = ('bots', 'timeseries', 'titles', 'user_edit_counts', 'website')

signal.signal(signal.SIGINT, signal.default_int_handler)    # who starts the tests in the background has it ignored for all

Done = collections.namedtuple('Done', 'code out err')


def seed(name):
    """A seed for this test, printed, so that a failure can be had again: WIKITALLY_SEED=N."""
    number = int(os.environ.get('WIKITALLY_SEED') or time.time_ns() % 1_000_000_007)
    print(f'{name}: WIKITALLY_SEED={number}', file=sys.stderr)
    return random.Random(number)


NIGHT = os.environ.get('WIKITALLY_ROWS') == 'N'


def size(commit, night):
    """How much of a row of the goal table a test does: for every commit (F), or that of a night (N)."""
    return night if NIGHT else commit


def environment(**more):
    """Nothing of the caller's configuration reaches the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('WIKITALLY', 'XDG_', 'ENVIRONMENT'))}
    return {**kept, 'HOME': '/nonexistent', **more}


class Case(unittest.TestCase):
    """A test with a folder of its own, which goes away with it."""

    maxDiff = 4000
    program = PROGRAM

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='wikitally-test-'))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.directory = self.folder / 'state'

    @contextlib.contextmanager
    def small_disk(self, size):
        """A real one, of memory. Needs root."""
        disk = self.folder / 'disk'
        disk.mkdir()
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', disk], capture_output=True).returncode != 0:
            self.skipTest('may not mount a disk here')
        try:
            yield disk
        finally:
            subprocess.run(['umount', disk], check=True)

    # ---------------------------------------------------------------------------------- running the program

    def command(self, *arguments):
        """The whole line; for tests that want the same options with every command."""
        return [self.program, *map(str, arguments)]

    def wikitally(self, *arguments, code=0, timeout=120, env=None, stdin=None):
        """Runs it to its end and wants this exit code (None: any; a tuple: one of these)."""
        done = subprocess.run(self.command(*arguments), capture_output=True, timeout=timeout,
                              env=environment(**(env or {})), input=stdin)
        done = Done(done.returncode, done.stdout.decode('utf-8', 'surrogateescape'),
                    done.stderr.decode('utf-8', 'surrogateescape'))
        if code is not None:
            self.assertIn(done.code, code if isinstance(code, tuple) else (code,),
                          f'wikitally {" ".join(map(str, arguments))}\n{done.err[-3000:]}')
        self.assertNotIn('ERROR: AddressSanitizer', done.err)
        self.assertNotIn('runtime error:', done.err)
        return done

    def run_arguments(self, source, *more, directory=None, until='end', listen='none'):
        arguments = ['run', '--source', source, '--data-dir', directory or self.directory, '--listen', listen]
        return [*arguments, *(['--until', until] if until else []), *more]

    def follow(self, source, *more, directory=None, code=0, timeout=300, env=None, until='end'):
        """`run` to the end of a source, without a page."""
        return self.wikitally(*self.run_arguments(source, *more, directory=directory, until=until), code=code,
                              timeout=timeout, env=env)

    @contextlib.contextmanager
    def running(self, *arguments, env=None, before=None):
        """The program in the background; killed at the end of the block if it is still there. `before`: called in its process."""
        log = self.folder / f'stderr-{time.time_ns()}'
        with open(log, 'wb') as stderr:
            process = subprocess.Popen(self.command(*arguments), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=stderr, env=environment(**(env or {})), preexec_fn=before)
            process.log = log
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                process.stdout.close()

    def stop(self, process, code=0, timeout=10):
        """SIGTERM; wants a clean end within 10 s (ux.md section 6)."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.fail(f'still running {timeout} s after SIGTERM\n{process.log.read_text(errors="replace")[-3000:]}')
        self.assertEqual(process.returncode, code, process.log.read_text(errors='replace')[-3000:])

    def wait_for_end(self, process, code=0, timeout=120, beside=None):
        """It comes to its end by itself; `beside` is one whose log helps to see why it did not."""
        logs = lambda: ''.join(f'\n{p.returncode}: {p.log.read_text(errors="replace")[-3000:]}' for p in (process, beside) if p)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.fail(f'still running after {timeout} s{logs()}')
        self.assertEqual(process.returncode, code, logs())

    def wait_for(self, condition, timeout=30, what='', pause=0.05):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                self.fail(f'not within {timeout} s: {what() if callable(what) else what or condition}')
            time.sleep(pause)

    def url(self, process):
        """Where a server that runs in the background says that it is."""
        def found():
            match = re.search(r'http://\S+', process.log.read_text(errors='replace'))
            return match and match[0]
        return self.wait_for(found, what='the address of the server')

    # ------------------------------------------------------------------------------------- what it has stored

    def synth(self, count, number, **options):
        """A file of made-up events. Options are synth's, with _ for -; True for a flag."""
        file = self.folder / f'synth-{count}-{number}.ndjson'
        flags = []
        for name, value in options.items():
            flags += [f'--{name.replace("_", "-")}'] + ([] if value is True else [value])
        with open(file, 'wb') as out:
            subprocess.run([self.program, 'synth', '-n', str(count), '--seed', str(number), *map(str, flags)], stdout=out,
                           check=True, env=environment())
        return file

    def dump(self, directory=None):
        """`journal dump` to a file, all partitions."""
        file = self.folder / f'journal-{time.time_ns()}.ndjson'
        with open(file, 'wb') as out:
            subprocess.run(self.command('journal', 'dump', '--data-dir', directory or self.directory), stdout=out,
                           check=True, env=environment())
        return file

    def envelopes(self, directory=None):
        return [json.loads(line) for line in self.dump(directory).read_bytes().splitlines()]

    def journal_ids(self, directory=None):
        """Multiset of the meta.id of what was journalled."""
        return collections.Counter(e['value'].get('meta', {}).get('id') for e in self.envelopes(directory)
                                   if isinstance(e['value'], dict))

    def tsv(self, *arguments, directory=None):
        """Rows of a command that prints tables, as dictionaries."""
        text = self.wikitally(*arguments, '--data-dir', directory or self.directory, '-o', 'tsv').out
        return list(csv.DictReader(io.StringIO(text), delimiter='\t', quoting=csv.QUOTE_NONE))

    def results_file(self, aggregation=None, directory=None):
        file = self.folder / f'results-{time.time_ns()}.tsv'
        arguments = ['results', *([aggregation] if aggregation else []), '--data-dir', directory or self.directory, '-o', 'tsv']
        with open(file, 'wb') as out:
            subprocess.run(self.command(*arguments), stdout=out, check=True, env=environment())
        return file

    # -------------------------------------------------------------------------------------------- the oracle

    def oracle(self, *arguments, code=0):
        done = subprocess.run([sys.executable, ORACLE, *map(str, arguments)], capture_output=True, text=True,
                              errors='surrogateescape')
        self.assertEqual(done.returncode, code, f'oracle.py {" ".join(map(str, arguments))}\n{done.stdout[-4000:]}{done.stderr[-2000:]}')
        return done.stdout

    def assert_rows(self, *counting, aggregation=None, journal=None, directory=None, ignore=()):
        """The stored rows equal what the oracle counts over the journal: every cell, state, revision, closed_by."""
        journal = journal or self.dump(directory)
        expected = self.folder / f'expected-{time.time_ns()}.tsv'
        self.oracle('windows', '--enveloped', journal, '-o', expected, '--totals-out', os.devnull, *counting)
        got = self.results_file(aggregation, directory)
        self.oracle('compare', expected, got, *(word for column in ignore for word in ('--ignore', column)))
        return expected.read_bytes().count(b'\n') - 1

    def assert_ledger(self, aggregations=BUILT_IN, journal=None, directory=None, windows=None, by='event'):
        """The task's ledger equals the oracle's, minute by minute; returns the oracle's sums."""
        journal = journal or self.dump(directory)
        expected, first = ledger_of(journal, windows or default_windows(), by)
        got = collections.defaultdict(collections.Counter)
        for row in self.tsv('ledger', '--by', by, directory=directory):
            if row['minute'] == 'total' or row['ledger'] not in aggregations:
                continue
            for bucket in BUCKETS:
                if int(row[bucket]):
                    got[row['ledger']][fold(row['minute'], first), bucket] += int(row[bucket])
        for name in aggregations:
            self.assertEqual(dict(got[name]), dict(expected), f'ledger of {name} by {by}')
        return collections.Counter({bucket: sum(n for (_, b), n in expected.items() if b == bucket) for bucket in BUCKETS})

    def source_ledger(self, directory=None):
        """Sums of the source's ledger: received, duplicate, filtered, dead, journalled."""
        names = {'received': 'records', 'duplicate': 'duplicate', 'filtered': 'filtered', 'dead': 'dead_source',
                 'journalled': 'journalled'}
        rows = [row for row in self.tsv('ledger', '--total', directory=directory) if row['ledger'] == 'source']
        return {name: sum(int(row[column]) for row in rows) for name, column in names.items()}

    def assert_balanced(self, directory=None):
        self.wikitally('ledger', '--check', '--data-dir', directory or self.directory)


class Twin(Case):
    """Beside the directory a twin that nothing happens to: what can still be counted is counted as there."""

    def prepare(self, count, rate):
        self.file = self.synth(count, 41, event_rate=rate, late=0.01)
        self.twin = self.folder / 'twin'
        shutil.rmtree(self.twin, ignore_errors=True)
        self.follow(f'replay:{self.file}', directory=self.twin)
        self.assert_rows(directory=self.twin)

    def rows(self, directory=None):
        """{row's key: what it says}."""
        return {tuple(row[name] for name in ('aggregation', 'partition', 'window_start', 'key')): (row['count'], row['state'])
                for row in self.tsv('results', directory=directory)}

    def gaps(self):
        return {row['ledger']: int(row['gap']) for row in self.tsv('ledger', '--total') if row['ledger'] != 'source'}

    def assert_like_twin_but_torn(self, torn, between=False):
        """The same rows with the same numbers, but for those of torn windows, which say so; `between`: and for the windows between
        these, of which nothing is left. -> how many rows are torn."""
        got, wanted = self.rows(), self.rows(self.twin)
        starts = {at[2] for at, (_, state) in got.items() if state == 'torn'}
        if between:
            starts |= {at[2] for at in wanted if min(starts) < at[2] < max(starts)}
        self.assertTrue({at: row for at, row in got.items() if at[2] not in starts} ==
                        {at: row for at, row in wanted.items() if at[2] not in starts}, 'other rows where nothing is torn')
        self.assertEqual(bool(starts), torn)
        return sum(state == 'torn' for _, state in got.values())


BUCKETS = ('dead', 'canary', 'tick', 'unmatched', 'future', 'counted', 'late', 'gap')
OLDER_MINUTES = 32 * 1440


def default_windows(**options):
    """The oracle's windows with the program's defaults."""
    options = {'late': 'amend', 'allowed_lateness': 15 * oracle.MINUTE, **options}
    return oracle.Windows({name: oracle.BUILT_IN[name] for name in BUILT_IN}, **options)


def ledger_of(journal, windows, by='event'):
    """-> ({(minute, bucket): records}, first minute of its own): the oracle's verdicts by minute, with the rows `older` and
    `ahead` of R12, which the oracle's own table lacks. When a minute falls behind by 32 days its row joins `older`; that may
    have been done at any time since, so both sides are compared as they are at the end."""
    verdicts, latest = [], None
    args = oracle.parser().parse_args(['windows', '--enveloped', str(journal)])
    for partition, offset, arrival_ms, value, reason in oracle.journal_records(args):
        verdict, at = windows.feed(partition, offset, arrival_ms, value, reason)
        arrival = None if arrival_ms is None else arrival_ms * 1000
        clock = windows.partitions[partition].stream.now if arrival is None else arrival
        latest = max((t for t in (latest, clock) if t is not None), default=None)
        verdicts.append((ledger_minute(arrival if by == 'arrival' else at, clock), verdict))
    first = None if latest is None else oracle.show_time((latest // oracle.MINUTE - OLDER_MINUTES) * oracle.MINUTE)
    return collections.Counter((fold(minute, first), verdict) for minute, verdict in verdicts), first


def ledger_minute(at, clock, skew=oracle.MINUTE):
    if at is None:
        return 'null'
    if clock is not None and at > clock + skew:
        return 'ahead'
    return oracle.show_time(at // oracle.MINUTE * oracle.MINUTE)


def fold(minute, first):
    """Times of one length compare as text; the other rows' names begin with a letter."""
    return 'older' if first and minute[0].isdigit() and minute < first else minute


def get(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


def capture(name):
    """A real capture, or the test is skipped."""
    file = DATA / name
    if not file.exists():
        raise unittest.SkipTest(f'{name} is not here (WIKITALLY_SHARED)')
    return file


def failpoints():
    """Names of the places where a test may have the process killed, as the program lists them."""
    done = subprocess.run([CHECKED, '--list-failpoints'], stdout=subprocess.PIPE, check=True, text=True, env=environment())
    return sorted(set(done.stdout.split()))
