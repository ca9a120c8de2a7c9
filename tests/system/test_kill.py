"""kill -9 at random points, at work and in recovery: afterwards ids, rows, task ledger and dead letters are those of a run that
nothing happened to (R3, R8, R10-R12; A2 of the goal table)."""
import collections
import functools
import os
import sqlite3
import subprocess
import time
import unittest

import wikitally

EVENTS = 100_000
IN_RECOVERY = 10            # kills at a record that is read again after a start
AT_WORK = 10                # kills at a random time after the first commit since the start
AMENDED_LATER = 8           # of either sort: at least so many with a window closed by then and amended afterwards
MIX = {'late': 0.02, 'duplicates': 0.02, 'poison': 0.001, 'future': 0.001, 'canaries': True}


class Killed(wikitally.Case):
    """With an aggregation more, whose time no log event can have: the task writes a dead letter for each (R2)."""

    DECLARED = 'aggregations:\n  picky:\n    keys: [wiki]\n    measures: [count]\n    time_field: log_action\n'
    PICKY = ('--name', 'picky', '--group-by', 'wiki', '--time-field', 'log_action')

    def setUp(self):
        super().setUp()
        self.config = self.folder / 'picky.yaml'
        self.config.write_text(self.DECLARED)

    def run_arguments(self, source, *more, **options):
        return super().run_arguments(source, '-c', self.config, *more, **options)

    def results_file(self, aggregation=None, directory=None):
        """The built-in ones if none is named: the oracle counts those."""
        file = super().results_file(aggregation, directory)
        if not aggregation:
            lines = file.read_bytes().splitlines(keepends=True)
            file.write_bytes(b''.join(line for line in lines if not line.startswith(b'picky\t')))
        return file

    def assert_counted(self, journal):
        """Rows and task ledgers of all aggregations; -> how many records had no time for the picky one."""
        self.assert_rows(journal=journal)
        self.assert_rows(*self.PICKY, aggregation='picky', journal=journal)
        self.assertEqual(self.assert_ledger(journal=journal)['dead'], 0)
        self.assert_ledger(journal=journal, by='arrival')
        windows = wikitally.default_windows(time_path=wikitally.oracle.path_of('log_action'))
        dead = self.assert_ledger(('picky',), journal=journal, windows=windows)['dead']
        self.assertGreater(dead, 50)
        self.assert_balanced()
        return dead

    @functools.lru_cache(maxsize=4)
    def expected(self, file):
        """What an undisturbed run journals: multiset of the records' texts, and how many dead letters."""
        outcomes, journal = self.folder / 'outcomes.tsv', self.folder / 'admitted.ndjson'
        self.oracle('admit', file, '-o', outcomes, '--journal', journal, '--totals-out', os.devnull)
        values = collections.Counter(line.split(b'"value":', 1)[1] for line in journal.read_bytes().splitlines())
        with open(outcomes, encoding='utf-8', errors='surrogateescape') as lines:
            dead = sum(1 for line in lines if line.split('\t')[1] == 'dead')
        return values, dead

    def judge(self, file):
        """After the last start has run to the end."""
        values, dead = self.expected(file)
        journal = self.dump()
        got = collections.Counter(line.split(b'"value":', 1)[1] for line in journal.read_bytes().splitlines())
        self.assertEqual(sum((values - got).values()), 0, 'records lost')
        self.assertEqual(sum((got - values).values()), 0, 'records doubled')
        self.assert_letters(dead, self.assert_counted(journal))

    def assert_letters(self, of_source, of_task):
        letters = self.tsv('deadletters', 'list')
        stages = collections.Counter(letter['stage'] == 'source' for letter in letters)
        self.assertEqual((stages[True], stages[False]), (of_source, of_task))
        self.assertEqual(len({letter['id'] for letter in letters}), len(letters))
        self.assertEqual(len({(letter['stage'], letter['position']) for letter in letters}), len(letters), 'a letter twice')

    def look(self, question):
        """All rows of an answer from the results; none before there are any."""
        try:
            db = sqlite3.connect(f'file:{self.directory}/results.db?mode=ro', uri=True, timeout=10)
            try:
                return db.execute(question).fetchall()
            finally:
                db.close()
        except sqlite3.OperationalError:
            return []


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class RandomKills(Killed):
    """As fast as it goes it would be over before it could be killed: 30 s of its own time line, small commits."""

    OFTEN = ('--set', 'task.commit_every=100ms')
    AT_LEAST = 2000                                     # records newly counted before each kill at work

    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('kills')
        self.file = self.synth(EVENTS, self.random.randrange(1 << 30), **MIX)
        self.closed = []                                # of each kill: the rows that were final then, and their revisions

    def line(self):
        """-> (the first record that is read again after a start, the first that is new)."""
        found = self.look('select min(replay_from), min(position) from wt_lines')
        return found[0] if found and found[0][0] is not None else (-1, -1)

    def final(self):
        return {row[:3]: row[3] for row in self.look('select window_start, key, partition, revision from timeseries_rows where final')}

    def kill_at_work(self):
        """At a random time after it has committed something new; fails if it comes to its end before."""
        before = self.line()[1]
        with self.running(*self.run_arguments(f'replay:{self.file}', '--speed', EVENTS / 45 / 30, *self.OFTEN)) as process:
            self.wait_for(lambda: process.poll() is not None or self.line()[1] > before + self.AT_LEAST, what='a commit', pause=0.01)
            time.sleep(self.random.uniform(0, 0.3))
            self.assertIsNone(process.poll(), 'came to its end before it could be killed')
            process.kill()
            process.wait()
        self.closed.append(self.final())

    def kill_in_recovery(self):
        """At the N-th record that the task reads for the second time: the process itself says where it is, and dies there."""
        again, new = self.line()
        self.assertGreater(new - again, 1000, 'there is nothing to speak of to read again')
        arguments = self.run_arguments(f'replay:{self.file}', '--speed', 1, *self.OFTEN)
        nth = self.random.randint(1, new - again)
        done = subprocess.run([wikitally.CHECKED, *map(str, arguments)], timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=wikitally.environment(WIKITALLY_FAILPOINT=f'task.reread:kill@{nth}'))
        self.assertEqual(done.returncode, -9, f'record {nth} of {new - again} was not read again\n{done.stderr[-2000:]}')
        self.assertEqual(self.line(), (again, new), 'something was committed before all was read again')
        self.closed.append(self.final())

    def test_A2_ten_kills_at_work_and_ten_in_recovery(self):
        self.kill_at_work()                             # the first start has nothing to recover
        kinds = ['work'] * (AT_WORK - 1) + ['recovery'] * IN_RECOVERY
        self.random.shuffle(kinds)
        for kind in kinds:
            self.kill_at_work() if kind == 'work' else self.kill_in_recovery()
        self.follow(f'replay:{self.file}')
        self.judge(self.file)
        end, kinds = self.final(), ['work', *kinds]
        amended = [sum(end[row] > revision for row, revision in closed.items()) for closed in self.closed]
        hit = collections.Counter(kind for kind, rows in zip(kinds, amended) if rows)
        print(f'kills: {kinds.count("recovery")} in recovery, {kinds.count("work")} at work; with rows closed before and amended after: '
              f'{hit["recovery"]} and {hit["work"]} ({sum(amended)} rows)', flush=True)
        self.assertEqual((kinds.count('work'), kinds.count('recovery')), (AT_WORK, IN_RECOVERY))
        self.assertGreaterEqual(hit['recovery'], AMENDED_LATER)
        self.assertGreaterEqual(hit['work'], AMENDED_LATER)

if __name__ == '__main__':
    unittest.main()
