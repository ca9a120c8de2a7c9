"""kill -9 at random points, and at every failpoint: afterwards ids, rows, task ledger and dead letters are those of a run
that nothing happened to (R3, R8, R10-R12; A2 of the goal table)."""
import collections
import os
import sqlite3
import subprocess
import time
import unittest

import wikitally

EVENTS = 100_000
KILLS = 20
IN_RECOVERY = 10            # of them before the first commit after a start
MIX = {'late': 0.02, 'duplicates': 0.02, 'poison': 0.001, 'future': 0.001, 'canaries': True}


class Killed(wikitally.Case):
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
        self.assert_rows(journal=journal)
        sums = self.assert_ledger(journal=journal)
        self.assert_ledger(journal=journal, by='arrival')
        self.assert_balanced()
        letters = self.tsv('deadletters', 'list')
        self.assertEqual(len(letters), dead + sums['dead'])
        self.assertEqual(len({letter['id'] for letter in letters}), len(letters))
        self.assertEqual(len({(letter['stage'], letter['position']) for letter in letters}), len(letters), 'a letter twice')
        return sums

    def stored(self):
        """A number that every commit of the task moves; -1 before there is a database."""
        try:
            db = sqlite3.connect(f'file:{self.directory}/results.db?mode=ro', uri=True, timeout=5)
            try:
                return db.execute('select coalesce(sum(version), 0) from wt_lines').fetchone()[0]
            finally:
                db.close()
        except sqlite3.OperationalError:
            return -1

    def start_and_kill(self, file, seconds, after_commit, *more):
        """Kills it that long after its start, or after its first commit. Fails if it comes to its end before."""
        process = subprocess.Popen([self.program, *map(str, self.run_arguments(f'replay:{file}', *more))],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=wikitally.environment())
        before = self.stored()
        try:
            if after_commit:
                self.wait_for(lambda: process.poll() is not None or self.stored() != before, what='a commit', pause=0.01)
            time.sleep(seconds)
            self.assertIsNone(process.poll(), 'came to its end before it could be killed')
        finally:
            process.kill()
            process.communicate()
        return self.stored() != before


class RandomKills(Killed):
    def test_A2_twenty_kills_ten_of_them_in_recovery(self):
        random = wikitally.seed('kills')
        file = self.synth(EVENTS, random.randrange(1 << 30), **MIX)
        # As fast as it goes it would be over before it could be killed: about 20 s of its own time line, small commits.
        pace = ['--speed', str(EVENTS / 45 / 20), '--set', 'task.commit_every=100ms']
        self.start_and_kill(file, 0.3, True, *pace)
        early, late = 0, 0
        while early < IN_RECOVERY or early + late < KILLS:
            want_early = early < IN_RECOVERY and (early <= late or late >= KILLS - IN_RECOVERY)
            committed = self.start_and_kill(file, random.uniform(0.005, 0.08) if want_early else random.uniform(0, 0.3),
                                            not want_early, *pace)
            early, late = early + (not committed), late + committed
            self.assertLess(late, 5 * KILLS, 'its recovery is too quick to be killed in')
        self.follow(f'replay:{file}')
        sums = self.judge(file)
        self.assertGreater(sums['late'] + sums['counted'], 0)
        print(f'kills: {early} in recovery, {late} others', flush=True)


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class Failpoints(Killed):
    program = wikitally.CHECKED

    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('failpoints')
        self.file = self.synth(6000, self.random.randrange(1 << 30), **MIX)

    def hurt(self, point, how):
        """Runs into the failpoint: the N-th time that it comes by, or else the first; -> how that run ended."""
        more = ['--set', 'task.commit_every=10ms', '--set', 'journal.commit_every=1ms']
        for nth in (self.random.randrange(2, 9), 1):
            self.directory = self.folder / f'{point}-{how}-{nth}'
            done = self.follow(f'replay:{self.file}', *more, code=None, env={'WIKITALLY_FAILPOINT': f'{point}:{how}@{nth}'})
            if done.code != 0:
                break
        return done

    def test_A2_killed_at_every_failpoint(self):
        points = wikitally.failpoints()
        for point in points:
            with self.subTest(point):
                self.assertEqual(self.hurt(point, 'kill').code, -9, 'a run never comes by here')
                self.follow(f'replay:{self.file}')
                self.judge(self.file)
        print('killed at', ', '.join(points), flush=True)

    def test_B10_a_commit_that_fails_for_want_of_room_is_tried_again(self):
        """Full, once: it waits and goes on by itself, or ends with 74 and the next start makes good. Nothing is lost."""
        for point in ('journal.before_commit', 'results.before_commit'):
            with self.subTest(point):
                done = self.hurt(point, 'error')
                self.assertIn(done.code, (0, 74), done.err)
                self.follow(f'replay:{self.file}')
                self.judge(self.file)


if __name__ == '__main__':
    unittest.main()
