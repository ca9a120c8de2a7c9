"""Row A9 of the goal table: stored state that was damaged, swapped, taken away or put under other rights. A start on it is either
refused, with an exit code and a sentence, or ends with what an undamaged run has; a command that reads says the truth or fails. A
wrong answer without a word is what this is here to find."""
import collections
import contextlib
import os
import re
import shutil
import sqlite3
import unittest

import wikitally
from test_kill import MIX

RUNS = wikitally.size(50, 500)
EVENTS = 6000
NOBODY = 65534
REFUSALS = (65, 66, 70, 73, 74, 77, 78, 80, 81)         # of err.h: what state that cannot be used may end with
FILES = ('journal.db', 'results.db', 'journal.db-wal', 'results.db-wal')
READING = (['results', '-o', 'tsv'], ['journal', 'dump'], ['ledger', '-o', 'tsv'], ['deadletters', 'list', '-o', 'tsv'])


class Damage:
    """What can be done to a copy of the state. Each draws its place from the seed and says what it did."""

    def __init__(self, random, state, others):
        self.random, self.state, self.others = random, state, others

    def file(self):
        """One of the four, the databases more often."""
        there = [name for name in (*FILES, *FILES[:2]) if (self.state / name).stat().st_size > 0]
        return self.state / self.random.choice(there)

    @contextlib.contextmanager
    def bytes_of(self, file):
        data = bytearray(file.read_bytes())
        yield data
        file.write_bytes(data)

    def bit(self):
        file = self.file()
        with self.bytes_of(file) as data:
            at, bit = self.random.randrange(len(data)), self.random.randrange(8)
            data[at] ^= 1 << bit
        return f'bit {bit} of byte {at} of {file.name}'

    def digit(self):
        """A digit of a text becomes another: what stands there still looks right."""
        file = self.state / self.random.choice(FILES[:2])
        with self.bytes_of(file) as data:
            digit = re.search(rb'[0-9]', data[self.random.randrange(100, len(data) // 2):])
            at = digit.start() + len(data) - len(digit.string)
            data[at] = 0x30 + (data[at] - 0x30 + self.random.randrange(1, 10)) % 10
        return f'digit at byte {at} of {file.name}'

    def burst(self):
        file = self.file()
        with self.bytes_of(file) as data:
            at = self.random.randrange(len(data))
            data[at:at + 64] = self.random.randbytes(len(data[at:at + 64]))
        return f'64 bytes from {at} of {file.name}'

    def truncated(self):
        file = self.file()
        size = self.random.randrange(file.stat().st_size)
        os.truncate(file, size)
        return f'{file.name} cut to {size}'

    def zero_page(self):
        file = self.file()
        with self.bytes_of(file) as data:
            at = self.random.randrange(max(len(data) // 4096, 1)) * 4096
            data[at:at + 4096] = bytes(len(data[at:at + 4096]))
        return f'4096 zero bytes at {at} of {file.name}'

    def missing_log(self):
        name = self.random.choice(FILES[2:])
        (self.state / name).unlink()
        return f'no {name}'

    def swapped_logs(self):
        journal, results = self.state / FILES[2], self.state / FILES[3]
        one, other = journal.read_bytes(), results.read_bytes()
        journal.write_bytes(other)
        results.write_bytes(one)
        return 'logs swapped'

    def foreign_log(self):
        name = self.random.choice(FILES[2:])
        shutil.copy(self.others / 'foreign' / name, self.state / name)
        return f'{name} of another directory'

    def old_log(self):
        name = self.random.choice(FILES[2:])
        shutil.copy(self.others / 'earlier' / name, self.state / name)
        return f'{name} of an earlier day'

    def foreign_file(self):
        name = self.random.choice(FILES[:2])
        what = self.random.choice(('text', 'noise', 'empty', 'sqlite', 'the other one', 'of another directory'))
        file = self.state / name
        if what == 'the other one':
            shutil.copy(self.others / 'earlier' / FILES[1 - FILES.index(name)], file)
        elif what == 'of another directory':
            shutil.copy(self.others / 'foreign' / name, file)
        elif what == 'sqlite':
            file.unlink()
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute('create table t (a)')
                db.commit()
        else:
            file.write_bytes({'text': b'see you later\n' * 500, 'noise': self.random.randbytes(70_000), 'empty': b''}[what])
        if self.random.random() < 0.5:
            (self.state / f'{name}-wal').unlink(missing_ok=True)
            what += ', no log'
        return f'{name}: {what}'

    def old_file(self):
        name = self.random.choice(FILES[:2])
        log = self.random.choice((True, False))
        shutil.copy(self.others / 'earlier' / name, self.state / name)
        if log:
            shutil.copy(self.others / 'earlier' / f'{name}-wal', self.state / f'{name}-wal')
        else:
            (self.state / f'{name}-wal').unlink()
        return f'{name} of an earlier day, {"with" if log else "without"} its log'

    def missing_file(self):
        name = self.random.choice(FILES[:2])
        (self.state / name).unlink()
        return f'no {name}'

    def in_the_way(self):
        """A directory, or a link to nowhere, where a file should be."""
        name = self.random.choice((*FILES, 'lock'))
        (self.state / name).unlink(missing_ok=True)
        if self.random.random() < 0.5:
            (self.state / name).mkdir()
            return f'{name} is a directory'
        (self.state / name).symlink_to('/nonexistent/file')
        return f'{name} is a link to nowhere'


CONTENT = (Damage.bit, Damage.digit, Damage.burst, Damage.truncated, Damage.zero_page)
PLACES = (Damage.missing_log, Damage.swapped_logs, Damage.foreign_log, Damage.old_log, Damage.foreign_file, Damage.old_file,
          Damage.missing_file, Damage.in_the_way)
# Where what is left is the state of another moment, or of another directory, the truth of now is not what is to be read: SQLite
# takes a log that does not hold together as ending there.
OTHER_STATE = ('-wal', ' log', 'logs ', 'earlier', 'another', 'no ')


class HalfPages(wikitally.Case):
    def test_A9_zeros_in_any_half_page_of_results_are_noticed(self):
        """A sector's worth of nothing: in the middle of a page it leaves rows in which there is nothing, nor a checksum."""
        self.follow(f'replay:{self.synth(1000, 3, **MIX)}', directory=self.folder / 'whole')
        wanted = self.wikitally('results', '-o', 'tsv', '--data-dir', self.folder / 'whole').out
        whole = (self.folder / 'whole' / 'results.db').read_bytes()
        shutil.copytree(self.folder / 'whole', self.directory)
        noticed = 0
        for at in range(0, len(whole), 4096):
            with self.subTest(at=at):
                (self.directory / 'results.db').write_bytes(whole[:at] + bytes(4096) + whole[at + 4096:])
                done = self.wikitally('results', '-o', 'tsv', '--data-dir', self.directory, code=None)
                noticed += done.code != 0
                if done.code != 0:
                    self.assertIn(done.code, REFUSALS, done.err)
                else:
                    self.assertEqual(done.out, wanted)      # it was in free space
        self.assertGreater(noticed, len(whole) // 4096 // 2)


class Corruption(wikitally.Case):
    """The state: a clean run's first part, then a second part killed at work, so that there is much in the databases and much
    in their logs. Beside it: itself at an earlier moment, and another directory's."""

    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('A9')
        number = self.random.randrange(1 << 30)
        self.file = self.synth(EVENTS, number, **MIX, rare=True, event_rate=3)
        self.others = self.folder / 'others'
        self.make(self.others / 'earlier', self.file, EVENTS // 3)
        self.make(self.others / 'foreign', self.synth(EVENTS // 2, number + 1, **MIX, event_rate=3), EVENTS // 3)
        shutil.copytree(self.others / 'earlier', self.folder / 'base')
        self.make(self.folder / 'base', self.file, EVENTS // 3)
        self.directory = shutil.copytree(self.folder / 'base', self.folder / 'truth')
        self.truth = self.answers()
        self.directory = self.folder / 'reference'
        self.follow(f'replay:{self.file}')
        self.assert_rows()
        self.assert_ledger()
        self.assert_balanced()
        self.expected = self.answers()

    def make(self, directory, file, count):
        """A clean part, then one killed with something in both logs."""
        small = ('--set', 'journal.commit_every=1ms', '--set', 'task.commit_every=20ms')
        self.follow(f'replay:{file}', *small, directory=directory, until=count)
        before = self.journalled(directory)
        with self.running(*self.run_arguments(f'replay:{file}', *small, '--speed', EVENTS / 3 / 4, directory=directory)) as process:
            self.wait_for(lambda: process.poll() is not None or self.journalled(directory) > before + 300, what='records', pause=0.01)
            self.assertIsNone(process.poll(), 'came to its end before it could be killed')
            process.kill()
            process.wait()
        for name in FILES:
            self.assertGreater((directory / name).stat().st_size, 4096, name)

    def journalled(self, directory):
        try:
            with contextlib.closing(sqlite3.connect(f'file:{directory}/results.db?mode=ro', uri=True, timeout=10)) as db:
                return db.execute('select coalesce(min(position), 0) from wt_lines').fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    def answers(self):
        """What the reading commands say, in the order of READING; of one that fails: its code."""
        done = [self.wikitally(*command, '--data-dir', self.directory, code=None) for command in READING]
        return [one.out if one.code == 0 else one.code for one in done]

    def assert_refused(self, done, what):
        self.assertIn(done.code, REFUSALS, f'{what}\n{done.err[-2000:]}')
        sentence = done.err.strip().splitlines()[-1]
        self.assertRegex(sentence, r'^wikitally: \S.{20,}', what)

    def assert_same_end(self, what):
        """The rows, the journal, the task's ledger and the dead letters of an undamaged run. What was *received* depends on
        what was asked for again (R12)."""
        self.assert_balanced()
        for command, got, wanted in zip(READING, self.answers(), self.expected):
            if command[0] == 'ledger':
                got, wanted = (tuple(line for line in text.splitlines() if not line.startswith('source')) for text in (got, wanted))
            if got != 65 or command[:2] != ['journal', 'dump']:    # a batch that no window needs any more may be corrupt, and says so
                self.assertEqual(got, wanted, f'{what}: {command}')

    # ----------------------------------------------------------------------------------------------------------- the row

    def one(self, damage, counts):
        self.directory = self.folder / 'state'
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.folder / 'base', self.directory)
        what = damage(Damage(self.random, self.directory, self.others))
        with self.subTest(what):
            if not any(word in what for word in OTHER_STATE):
                for command, got, wanted in zip(READING, self.answers(), self.truth):
                    if not isinstance(got, int):
                        self.assertEqual(got, wanted, f'{what}: {command} says something else, and not that anything is wrong')
                    else:
                        self.assertIn(got, REFUSALS, f'{what}: {command}')
            done = self.wikitally(*self.run_arguments(f'replay:{self.file}'), code=None)
            counts[damage.__name__, 'went on' if done.code == 0 else 'refused'] += 1
            if done.code != 0:
                self.assert_refused(done, what)
                self.answers()
            else:
                self.assert_same_end(what)

    def test_A9_corruptions_are_refused_or_recovered(self):
        counts = collections.Counter()
        kinds = [kind for _ in range(RUNS) for kind in (*CONTENT, *CONTENT, *PLACES)][:RUNS]
        for kind in kinds:
            self.one(kind, counts)
        ends = collections.Counter(end for (_, end), number in counts.items() for _ in range(number))
        print(f'A9: {RUNS} corruptions: {dict(ends)}', {f'{kind} {end}': n for (kind, end), n in sorted(counts.items())}, flush=True)
        self.assertGreater(ends['refused'], RUNS // 10)
        self.assertGreater(ends['went on'], RUNS // 10)


if __name__ == '__main__':
    unittest.main()
