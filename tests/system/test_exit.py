"""The exit codes that are hard to come by, each provoked as the world would (no code is made up by the test), and the table:
what err.h has, wikitally(1) documents, and here or in test_cli.py a test is named after."""
import ast
import os
import re
import resource
import signal
import sqlite3
import subprocess
import unittest

import wikitally
from test_cli import change, forget_sums

FILES_ALWAYS = 4            # a program with three open files and one more cannot even load its libraries
FILE_MAX = 160_000          # bytes; less than any run needs
DISK, ROOM = 64 << 20, 1_500_000
FULL = "the disk or the file's maximum is full; nothing was written"
OTHER_COMMANDS = (['help'], ['version'], ['--version'], ['run', '--help'], ['config', 'show'], ['config', 'init'], ['config', 'schema'],
                  ['config', 'explain', 'source.overlap'], ['config', 'check'], ['synth', '-n', '5'], ['synth', '-n', '20000'])
READING_COMMANDS = (['results', '-o', 'tsv'], ['results', 'bots'], ['ledger'], ['ledger', '--check'], ['audit'], ['explain', 'watermark'],
                    ['journal', 'verify'], ['journal', 'dump'], ['journal', 'dump', '--raw'], ['deadletters', 'list'],
                    ['deadletters', 'show', '1'], ['tail', '--since', '2000-01-01', '--until', 'end'], ['replay', '--diff', 'sqlite'])


class Table(unittest.TestCase):
    def test_every_code_is_in_the_program_in_the_manual_and_in_a_test(self):
        header = (wikitally.ROOT / 'src/base/err.h').read_text()
        codes = {int(n) for n in re.findall(r'^\s+EXIT_[A-Z_]+ = (\d+),', header, re.M)}
        manual = (wikitally.ROOT / 'man/wikitally.1.scd').read_text().split('# EXIT STATUS')[1].split('\n# ')[0]
        self.assertGreater(len(codes), 15)
        self.assertEqual({int(n) for n in re.findall(r'^\|  (\d+)$', manual, re.M)}, codes)
        tests = set()
        for name in ('test_cli.py', 'test_exit.py'):
            tree = ast.parse((wikitally.ROOT / 'tests/system' / name).read_text())
            functions = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
            tests |= {int(n) for function in functions if function.startswith('test_exit_') for n in re.findall(r'_(\d+)(?=_)', function)}
        self.assertEqual(tests, codes)


class Small(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.file = self.synth(3000, 31, duplicates=0.02, poison=0.003, late=0.01)

    def small_run(self, *more, **options):
        return self.follow(f'replay:{self.file}', '--set', 'journal.commit_every=1ms', *more, **options)

    def limited(self, what, soft, arguments):
        """Runs it with a limit of the system's (soft: it can be raised from outside)."""
        def set_limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, timeout=120, preexec_fn=set_limit,
                              env=wikitally.environment())
        return wikitally.Done(done.returncode, done.stdout, done.stderr)

    def assert_whole(self):
        """After a last run to the end: nothing was lost, nothing counted twice."""
        self.small_run()
        self.assertEqual(self.source_ledger()['received'], sum(1 for line in self.file.read_bytes().splitlines() if line.strip()))
        self.assertGreater(self.assert_rows(), 0)
        self.assert_ledger()
        self.assert_balanced()

    def journal_end(self):
        return look(self.directory / 'journal.db', 'select coalesce(sum(next_offset), 0) from partitions')

    def position(self):
        return look(self.directory / 'results.db', 'select coalesce(min(position), -1) from wt_lines')


class Answers(Small):
    def test_exit_3_the_journal_begins_too_late_for_a_whole_answer(self):
        self.small_run()
        self.wikitally('journal', 'repair', '--skip', '0', '--data-dir', self.directory)
        head = min(envelope['offset'] for envelope in self.envelopes())
        self.assertGreater(head, 0)
        done = self.wikitally('replay', '--diff', 'sqlite', '--data-dir', self.directory, code=3)
        self.assertRegex(done.err, rf'records from offset 0 on are needed, the journal begins at {head}; take a later --from')

    def test_exit_70_what_the_program_did_not_reckon_with(self):
        self.small_run()
        change(self.directory / 'results.db', 'drop table wt_marks')
        done = self.small_run(code=70)
        self.assertRegex(done.err, r'results: .*no such table: wt_marks')

    def test_exit_71_too_many_open_files_wherever_the_limit_falls(self):
        """Each start has room for one file more, in the same directory: refused with 71, until one goes through."""
        refused = []
        for limit in range(FILES_ALWAYS, 64):
            done = self.limited(resource.RLIMIT_NOFILE, limit, self.run_arguments(f'replay:{self.file}'))
            if done.code == 0:
                break
            self.assertEqual(done.code, 71, f'with {limit} files: {done.err}')
            self.assertRegex(done.err, r'Too many open files\n$', f'with {limit} files')
            refused.append(limit)
        self.assertGreater(len(refused), 8)
        self.assertLess(len(refused), 59)
        self.assert_whole()

    def test_exit_75_somebody_else_writes_in_the_database(self):
        self.small_run()
        with held(self.directory / 'results.db'):
            done = self.small_run(code=75)
            self.assertIn('results: busy', done.err)
        self.assert_whole()

    def test_exit_82_another_instance_took_over(self):
        """What another owner of the results leaves behind: a line with a version that is not the task's."""
        with self.running(*self.run_arguments('synthetic:200', '--set', 'task.commit_every=50ms', until=None)) as process:
            self.wait_for(lambda: self.position() > 0, what='a commit')
            change_now(self.directory / 'results.db', "update wt_lines set version = version + 1 where aggregation = 'titles'")
            self.assertEqual(process.wait(10), 82)
            said = process.log.read_text()
            self.assertRegex(said, r"aggregation 'titles', generation 0, partition 0: .*another instance took over")
        self.follow('synthetic:200', until='1')
        self.assertGreater(self.assert_rows(), 0)
        self.assert_balanced()


class Stored(Small):
    """State that passes for sound piece by piece."""

    def test_A9_what_is_not_of_one_moment_is_refused_at_the_start(self):
        self.follow(f'replay:{self.file}')
        change(self.directory / 'results.db', 'update bots_rows set count = count + 1 where count = (select max(count) from bots_rows)')
        done = self.wikitally(*self.run_arguments(f'replay:{self.file}'), code=65)
        self.assertRegex(done.err, r'is not of one moment: bots: its rows hold \d+, counted were \d+; .* move results.db away')
        (self.directory / 'results.db').unlink()
        self.follow(f'replay:{self.file}')
        self.assert_rows()
        self.assert_balanced()

    def test_A9_a_link_to_nowhere_is_not_a_file_to_be_made(self):
        self.follow(f'replay:{self.file}')
        for name in ('journal.db', 'results.db'):
            file = self.directory / name
            kept = file.rename(self.directory / f'{name}.kept')
            file.symlink_to('/nonexistent/file')
            for command in (self.run_arguments(f'replay:{self.file}'), ['ledger', '--data-dir', self.directory]):
                self.assertIn(self.wikitally(*command, code=None).code, (66, 73, 74), f'{name}: {command[0]}')
            self.assertTrue(file.is_symlink())
            file.unlink()
            kept.rename(file)
        self.follow(f'replay:{self.file}')
        self.assert_balanced()


class Outputs(Small):
    def test_exit_74_no_command_says_done_when_its_answer_is_lost(self):
        self.small_run()
        commands = [*OTHER_COMMANDS, *([*command, '--data-dir', self.directory] for command in READING_COMMANDS)]
        for command in commands:
            with self.subTest(command), open('/dev/full', 'wb') as full:
                done = subprocess.run([self.program, *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      env=wikitally.environment())
                self.assertEqual((done.returncode, done.stderr.splitlines()[-1]),
                                 (74, 'wikitally: cannot write to standard output: No space left on device'))

    def test_exit_74_a_recording_that_does_not_fit(self):
        done = self.limited(resource.RLIMIT_FSIZE, 20_000, ['record', self.folder / 'r.zst', '--source', 'synthetic:max', '--count', 5000])
        self.assertEqual(done.code, 74, done.err)
        self.assertIn('cannot write', done.err)

    def test_exit_74_the_disk_fails_in_the_middle(self):
        """What can never be written is no full disk (SQLite says "I/O error" to EFBIG), and nothing to wait for."""
        done = self.limited(resource.RLIMIT_FSIZE, FILE_MAX, self.run_arguments(f'replay:{self.file}', '--set', 'journal.commit_every=1ms'))
        self.assertEqual(done.code, 74, done.err)
        self.assertIn('disk I/O error', done.err)
        self.assert_whole()

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to make a small disk')
    def test_B10_a_full_disk_is_waited_for(self):
        """It waits, says so, and goes on by itself when there is room; the code is 0, and 0 on a signal while it waits."""
        with self.small_disk(DISK) as disk:
            for signalled in (False, True):
                with self.subTest(signalled=signalled):
                    self.full_for_a_while(disk, signalled)

    def full_for_a_while(self, disk, signalled):
        self.directory = disk / f'state-{signalled}'
        with open(disk / 'ballast', 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, DISK - used(disk) - ROOM)
        with self.running(*self.run_arguments(f'replay:{self.file}', '--set', 'journal.commit_every=1ms')) as process:
            self.wait_for(lambda: FULL in process.log.read_text() or process.poll() is not None, what='a full disk')
            self.assertIsNone(process.poll(), process.log.read_text())
            if signalled:
                self.stop(process)
            (disk / 'ballast').unlink()
            self.assertEqual(process.wait(60), 0, process.log.read_text())
        self.assert_whole()

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to make a small disk')
    def test_exit_74_no_room_to_begin_with(self):
        with self.small_disk(DISK) as disk:
            self.directory = disk / 'state'
            with open(disk / 'ballast', 'wb') as file:
                os.posix_fallocate(file.fileno(), 0, DISK - used(disk) - 4096 * 8)
            self.assertIn(FULL, self.small_run(code=74).err)
            (disk / 'ballast').unlink()
            self.assert_whole()


class Interrupted(Small):
    def held_up(self, first, second):
        """A run that cannot end after its first signal, because the results are held by somebody else; -> after the second."""
        with self.running(*self.run_arguments('synthetic:200', until=None)) as process:
            self.wait_for(lambda: self.position() > 0, what='a commit')
            with held(self.directory / 'results.db'):
                position = self.position()
                self.wait_for(lambda: self.journal_end() > position, what='something that is not counted yet')
                process.send_signal(first)
                self.wait_for(lambda: f'ending on signal {first:d}' in process.log.read_text(), what='that it heard')
                self.assertIsNone(process.poll(), 'ended at the first signal, with something left to do')
                process.send_signal(second)
                return process.wait(3)

    def test_exit_130_a_second_signal_ends_at_once(self):
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)):
            with self.subTest((first, second)):
                self.directory = self.folder / f'{first}-{second}'
                self.assertEqual(self.held_up(first, second), 130)
                self.follow('synthetic:200', until='1')             # the next start makes good
                self.assertGreater(self.assert_rows(), 0)
                self.assert_balanced()

    def test_exit_0_the_first_signal_ends_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.directory = self.folder / f'{number}'
                with self.running(*self.run_arguments('synthetic:200', until=None)) as process:
                    self.wait_for(lambda: self.position() > 0, what='a commit')
                    process.send_signal(number)
                    self.assertEqual(process.wait(10), 0, process.log.read_text())
                self.assertEqual(self.position(), self.journal_end(), 'what was journalled was not counted')
                self.assertGreater(self.assert_rows(), 0)
                self.assert_balanced()

    def test_what_only_reads_ends_as_the_system_ends_it(self):
        """130 and 143 in a shell."""
        self.small_run()
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), self.running('tail', '--since', '2000-01-01', '--data-dir', self.directory) as process:
                self.assertTrue(process.stdout.readline())
                process.send_signal(number)
                self.assertEqual(process.wait(10), -number)


def used(disk):
    system = os.statvfs(disk)
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def look(file, question):
    """The first value of the answer; -1 as long as there is no such database."""
    if not os.path.exists(file):
        return -1
    db = sqlite3.connect(f'file:{file}?mode=ro', uri=True, timeout=10)
    try:
        return db.execute(question).fetchone()[0]
    finally:
        db.close()


def change_now(file, statement):
    """Beside a running program."""
    db = sqlite3.connect(file, timeout=30)
    try:
        db.execute(statement)
        forget_sums(db)
        db.commit()
    finally:
        db.close()


class held:
    """Holds the database's write lock for the length of a block."""

    def __init__(self, file):
        self.db = sqlite3.connect(file, timeout=30, isolation_level=None)

    def __enter__(self):
        self.db.execute('begin immediate')

    def __exit__(self, *_):
        self.db.execute('rollback')
        self.db.close()


if __name__ == '__main__':
    unittest.main()
