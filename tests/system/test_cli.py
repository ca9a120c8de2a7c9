"""The contract of the command line: exit codes one by one, what is said with them, formats, a clean end."""
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import time
import unittest

import wikitally

COMMANDS = ('run', 'upstream', 'synth', 'record', 'replay', 'tail', 'results', 'ledger', 'audit', 'explain', 'journal',
            'deadletters', 'topics', 'groups', 'config', 'doctor', 'health', 'version', 'help')


class Stored(wikitally.Case):
    """With a directory that holds a small finished run."""

    def setUp(self):
        super().setUp()
        self.file = self.synth(3000, 11, duplicates=0.02, poison=0.003, late=0.01)
        self.follow(f'replay:{self.file}', '--set', 'journal.commit_every=1ms')

    def data(self, *arguments, **options):
        return self.wikitally(*arguments, '--data-dir', self.directory, **options)


class Usage(wikitally.Case):
    def test_every_command_has_help_with_examples_first(self):
        for command in COMMANDS:
            with self.subTest(command):
                text = self.wikitally(command, '--help').out
                self.assertTrue(text.startswith('wikitally'))
                if command not in ('help', 'version'):
                    self.assertRegex(text.split('\n\n')[1], rf'^  wikitally {command}')
                self.assertIn(command, self.wikitally('help').out)

    def test_exit_0_version(self):
        self.assertRegex(self.wikitally('version').out, r'\d+\.\d+\.\d+')
        self.assertRegex(self.wikitally('--version').out, r'\d+\.\d+\.\d+')
        parts = json.loads(self.wikitally('version', '-o', 'json').out)
        self.assertEqual(parts[0]['part'], 'wikitally')

    def test_exit_2_unknown_flag_with_suggestion(self):
        done = self.wikitally('run', '--untill', 'end', code=2)
        self.assertIn('--until', done.err)
        self.assertEqual(done.out, '')

    def test_exit_2_unknown_command_with_suggestion(self):
        self.assertIn('ledger', self.wikitally('leger', code=2).err)

    def test_exit_2_other_usage(self):
        for arguments in (['run', '--until', 'some-day'], ['run', '--source', 'ftp://x'], ['results', 'a', 'b'],
                          ['synth', '-n', 'many'], ['synth', '-n'], ['journal', 'eat'], ['deadletters', 'show'],
                          ['ledger', '--by', 'colour'], ['version', '-o', 'tabel'], ['run', '--source', 'synthetic:fast']):
            with self.subTest(arguments):
                done = self.wikitally(*arguments, '--data-dir', self.directory, code=2)
                self.assertEqual(done.out, '')
                self.assertRegex(done.err, r'^wikitally: [^\n]+\n$')
        self.assertFalse(self.directory.exists())

    def test_messages_carry_no_terminal_escapes(self):
        done = self.wikitally('results', '--\x1b[31mred', code=2)
        self.assertNotIn('\x1b', done.err)

    def test_a_closed_pipe_is_quiet(self):
        process = subprocess.Popen([self.program, 'synth', '-n', '200000'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=wikitally.environment())
        process.stdout.read(1000)
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
        self.assertEqual((process.wait(20), errors), (0, b''))


class Codes(Stored):
    def test_exit_0_and_1_ledger_check(self):
        self.assertIn('balanced', self.data('ledger', '--check').out)
        change(self.directory / 'journal.db', 'update tally set count = count + 1 where bucket = (select max(bucket) from tally)'
                                              ' and side = 0')
        done = self.data('ledger', '--check', code=1)
        self.assertIn('does not balance', done.err)

    def test_exit_1_there_is_no_such_thing(self):
        self.assertIn('there is no dead letter "999999"', self.data('deadletters', 'show', '999999', code=1).err)
        self.assertEqual(self.data('tail', 'wiki:nosuchwiki', '--since', '2000-01-01', '--until', 'end', code=1).out, '')

    def test_exit_65_corrupt_batch_is_named_by_offset_never_skipped(self):
        offset = corrupt_a_batch(self.directory)
        for arguments in (['journal', 'verify'], ['journal', 'dump']):
            done = self.data(*arguments, code=65)
            self.assertRegex(done.err, rf'\b{offset}\b', arguments)
        # A task that has to read it again stops there as well, and says so.
        for file in self.directory.glob('results.db*'):
            file.unlink()
        done = self.follow(f'replay:{self.file}', code=65)
        self.assertRegex(done.err, rf'\b{offset}\b')
        self.assertIn('repair', done.err)

    def test_journal_repair_makes_a_gap_that_the_ledger_counts(self):
        offset = corrupt_a_batch(self.directory)
        for file in self.directory.glob('results.db*'):
            file.unlink()
        self.data('journal', 'repair', '--skip', offset)
        self.data('journal', 'verify')
        self.follow(f'replay:{self.file}')
        totals = [row for row in self.tsv('ledger', '--total') if row['ledger'] == 'titles']
        self.assertGreater(int(totals[0]['gap']), 0)
        self.assert_balanced()

    def take_out(self, bases):
        """Repairs these batches away, results.db too; runs on twice (a recorded file brings nothing more); -> the ledgers."""
        for file in self.directory.glob('results.db*'):
            file.unlink()
        for base in bases:
            self.data('journal', 'repair', '--skip', base)
        for _ in range(2):
            self.follow(f'replay:{self.file}')
        self.assertIn('; 0 in flight', self.data('ledger', '--check').out)
        return [row for row in self.tsv('ledger', '--total') if row['ledger'] != 'source']

    def test_R12_a_repaired_end_of_the_journal_is_a_gap(self):
        file = self.directory / 'journal.db'
        last = change(file, 'select max(base) from batches')
        count = change(file, 'select count from batches where base = ?', last)
        for row in self.take_out([last]):
            self.assertEqual((int(row['gap']), int(row['records'])), (count, last + count), row)

    def test_R12_a_journal_of_which_nothing_is_left_is_a_gap(self):
        file = self.directory / 'journal.db'
        bases = change(file, 'select group_concat(base) from batches').split(',')
        end = change(file, 'select next_offset from partitions')
        for row in self.take_out(bases):
            self.assertEqual((int(row['gap']), int(row['records'])), (end, end), row)

    def test_exit_66_no_such_file(self):
        done = self.follow('replay:/nonexistent/day.ndjson', directory=self.folder / 'other', code=66)
        self.assertIn('"/nonexistent/day.ndjson": No such file', done.err)
        self.assertFalse((self.folder / 'other').exists(), 'a directory was made for nothing')
        nothing = self.folder / 'nothing'
        nothing.mkdir()
        for command in (['results'], ['journal', 'dump'], ['journal', 'verify'], ['ledger'], ['audit'], ['deadletters', 'list']):
            with self.subTest(command):
                self.assertIn(f'"{nothing}', self.wikitally(*command, '--data-dir', nothing, code=66).err)
                self.assertEqual(list(nothing.iterdir()), [])

    def test_exit_69_nobody_answers(self):
        with socket.socket() as reserved:               # bound, not listening: refused, and nobody else gets the port
            reserved.bind(('127.0.0.1', 0))
            url = f'http://127.0.0.1:{reserved.getsockname()[1]}'
            self.assertIn(f'no answer from "{url}', self.wikitally('health', '--url', url, code=69).err)

    def test_exit_73_cannot_create(self):
        done = self.follow(f'replay:{self.file}', directory=self.file / 'below-a-file', code=73)
        self.assertRegex(done.err, r'cannot make the data directory ".*below-a-file": Not a directory\n$')

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to become somebody else')
    def test_exit_77_not_allowed(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.directory, 0o700)
        program = shutil.copy(self.program, self.folder / 'wikitally')      # the checkout may be out of his reach, too
        os.chmod(program, 0o755)
        done = subprocess.run([program, 'results', '--data-dir', str(self.directory)], capture_output=True,
                              env=wikitally.environment(), user=65534, group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn(b'Permission denied', done.stderr)

    def test_exit_80_second_instance(self):
        big = self.synth(3000, 13)
        with self.running(*self.run_arguments(f'replay:{big}', '--speed', '20', directory=self.folder / 'busy', until=None)) as first:
            self.wait_for(lambda: (self.folder / 'busy' / 'journal.db').exists(), what='journal.db')
            time.sleep(0.3)
            began = time.monotonic()
            done = self.follow(f'replay:{big}', directory=self.folder / 'busy', code=80)
            self.assertLess(time.monotonic() - began, 2)
            self.assertIn(str(first.pid), done.err)
            self.wikitally('ledger', '--check', '--data-dir', self.folder / 'busy')     # reading is allowed
            self.stop(first)

    def test_exit_81_newer_state_is_left_untouched(self):
        for name in ('journal.db', 'results.db'):
            with self.subTest(name):
                file = self.directory / name
                version = change(file, 'pragma user_version')
                change(file, 'pragma user_version = 9999')
                before = hashlib.sha256(file.read_bytes()).hexdigest()
                self.assertIn('9999', self.follow(f'replay:{self.file}', code=81).err)
                self.assertEqual(hashlib.sha256(file.read_bytes()).hexdigest(), before)
                self.data(*(['journal', 'verify'] if name == 'journal.db' else ['results']), code=81)
                change(file, f'pragma user_version = {version}')

    def test_exit_78_another_source(self):
        other = self.synth(100, 14)
        done = self.follow(f'replay:{other}', code=78)
        self.assertIn(str(self.file.name), done.err)

    def test_exit_124_timeout(self):
        began = time.monotonic()
        done = self.wikitally('synth', '-n', '1000', '--rate', '10', '--timeout', '1s', code=124)
        self.assertIn('--timeout is over', done.err)
        self.assertLess(time.monotonic() - began, 5)

    def test_R15_a_changed_aggregation_is_refused_or_rebuilt(self):
        config = self.folder / 'changed.yaml'
        config.write_text('aggregations:\n  bots:\n    size: 2m\n')
        done = self.follow(f'replay:{self.file}', '-c', config, code=78)
        self.assertIn('bots', done.err)
        config.write_text('aggregations:\n  bots:\n    size: 2m\n    on_change: rebuild\n')
        self.follow(f'replay:{self.file}', '-c', config)
        self.assert_rows('--agg', 'bots', '--size', '2m', aggregation='bots')


class Config(wikitally.Case):
    def bad(self, text, *words):
        file = self.folder / 'bad.yaml'
        file.write_text(text)
        for arguments in (['config', 'check', file], self.run_arguments('synthetic', '-c', file)):
            began = time.monotonic()
            done = self.wikitally(*arguments, code=78)
            self.assertLess(time.monotonic() - began, 1)
            for word in (str(file), *words):
                self.assertIn(word, done.err)
        self.assertFalse(self.directory.exists())

    def test_exit_78_file_line_column_suggestion(self):
        self.bad('source:\n  overlapp: 60s\n', ':2:3', 'overlap')

    def test_exit_78_bad_values(self):
        self.bad('source:\n  overlap: soon\n', ':2:12')
        self.bad('journal:\n  partitions: 0\n', ':2:15')
        self.bad('journal:\n  partitions: 1\n  partitions: 2\n', ':3:3')
        self.bad('source: [1\n', ':')

    def test_exit_78_what_cannot_be_bounded_or_merged(self):
        self.bad('aggregations:\n  x:\n    keys: [user]\n    measures: [median(length.new)]\n', 'median')
        self.bad('aggregations:\n  bots:\n    lateness: 6d\n', 'bots')

    def test_check_show_explain_init_schema(self):
        self.wikitally('config', 'check')
        shown = self.wikitally('config', 'show').out
        file = self.folder / 'shown.yaml'
        file.write_text(shown)
        self.wikitally('config', 'check', file)
        self.assertIn('source.overlap', self.wikitally('config', 'explain', 'source.overlap').out)
        self.wikitally('config', 'explain', 'source.overlp', code=2)
        file.write_text(self.wikitally('config', 'init').out)
        self.wikitally('config', 'check', file)
        self.assertEqual(json.loads(self.wikitally('config', 'schema').out)['type'], 'object')

    def test_origins(self):
        done = self.wikitally('config', 'show', '--origin', '--set', 'source.overlap=90s', env={'WIKITALLY_SOURCE_HORIZON': '200s'})
        self.assertRegex(done.out, r'overlap: 90s .*--set')
        self.assertRegex(done.out, r'horizon: 200s .*WIKITALLY_SOURCE_HORIZON')


class Formats(Stored):
    def test_results_formats_hold_the_same_rows(self):
        rows = list(csv.reader(io.StringIO(self.data('results', 'titles', '-o', 'tsv').out), delimiter='\t', quoting=csv.QUOTE_NONE))
        self.assertEqual(rows[0], ['aggregation', 'partition', 'window_start', 'window_end', 'key', 'count', 'state', 'revision',
                                   'closed_by'])
        lines = [json.loads(line) for line in self.data('results', 'titles', '-o', 'jsonl').out.splitlines()]
        self.assertEqual(len(lines), len(rows) - 1)
        self.assertEqual([row[4] for row in rows[1:]], [json.dumps(line['key'], ensure_ascii=False, separators=(',', ':')) for line in lines])
        table = list(csv.reader(io.StringIO(self.data('results', 'titles', '-o', 'csv').out)))
        self.assertEqual([row[4] for row in table[1:]], [row[4] for row in rows[1:]])
        self.assertEqual(len(self.data('results', 'titles', '-o', 'tsv', '--no-header').out.splitlines()), len(lines))
        some = self.data('results', 'titles', '-o', 'tsv', '--columns', 'count,key').out.splitlines()
        self.assertEqual(some[0], 'count\tkey')

    def test_results_span_and_limit(self):
        rows = self.tsv('results', 'bots')
        start = rows[len(rows) // 2]['window_start']
        later = self.tsv('results', 'bots', '--from', start)
        self.assertEqual(later, [row for row in rows if row['window_start'] >= start])
        self.assertEqual(self.tsv('results', 'bots', '-n', '3'), rows[:3])
        self.data('results', 'botz', code=2)

    def test_results_without_name_wants_equal_measures(self):
        config = self.folder / 'more.yaml'
        config.write_text('aggregations:\n  bytes:\n    keys: [wiki]\n    measures: [sum(length.new)]\n')
        self.follow(f'replay:{self.file}', '-c', config, directory=self.folder / 'more')
        self.wikitally('results', '-o', 'tsv', '--data-dir', self.folder / 'more', code=2)
        self.assert_rows('--name', 'bytes', '--group-by', 'wiki', '--measures', 'sum(length.new)', aggregation='bytes',
                         directory=self.folder / 'more')

    def test_journal_dump_is_exact(self):
        lines = self.file.read_bytes().splitlines()
        raw = subprocess.run([self.program, 'journal', 'dump', '--raw', '--data-dir', self.directory], capture_output=True,
                             check=True, env=wikitally.environment()).stdout.splitlines()
        position = iter(lines)
        self.assertTrue(all(line in position for line in raw), 'not the same bytes in the same order')
        part = self.data('journal', 'dump', '--from', '100', '--to', '110').out.splitlines()
        self.assertEqual([json.loads(line)['offset'] for line in part], list(range(100, 110)))
        verified = self.data('journal', 'verify').out
        self.assertIn(str(len(raw)), verified)

    def test_R2_dead_letters_list_and_show(self):
        letters = self.tsv('deadletters', 'list')
        self.assertTrue(letters)
        lines = self.file.read_bytes().splitlines()
        for letter in letters:
            shown = subprocess.run([self.program, 'deadletters', 'show', letter['id'], '--data-dir', self.directory],
                                   capture_output=True, check=True, env=wikitally.environment()).stdout
            number = int(letter['position'].rsplit(':', 1)[1])
            self.assertEqual(shown, lines[number - 1])
            self.assertIn(letter['reason'], ('too-large', 'bad-utf8', 'too-deep', 'syntax', 'surrogate', 'not-object',
                                             'bad-time', 'no-time'))
        done = self.data('deadletters', 'retry', code=1)    # nothing has changed: they stay what they are
        self.assertEqual(done.out.count('still dead') + done.err.count('still dead'), len(letters))
        self.assertEqual(self.tsv('deadletters', 'list'), letters)
        self.assert_balanced()


class Replay(Stored):
    def planted(self):
        """Changes one final row behind the program's back; -> its key text."""
        key = change(self.directory / 'results.db', 'select key from titles_rows where final order by key limit 1 offset 5')
        change(self.directory / 'results.db', 'update titles_rows set count = count + 1 where key = ?', key)
        return key

    def test_replay_of_the_journal_gives_the_same_rows(self):
        done = self.data('replay', '--diff', 'sqlite')
        self.assertEqual(done.code, 0)

    def test_replay_diff_names_a_planted_wrong_row_and_only_that(self):
        key = self.planted()
        done = self.data('replay', '--diff', 'sqlite', '-o', 'tsv', code=1)
        found = list(csv.DictReader(io.StringIO(done.out), delimiter='\t', quoting=csv.QUOTE_NONE))
        self.assertEqual([(row['what'], row['aggregation'], row['key']) for row in found], [('different', 'titles', key)])
        self.assertNotEqual(found[0]['computed'], found[0]['stored'])

    def test_a_missing_and_an_extra_row_are_named_too(self):
        file = self.directory / 'results.db'
        some = change(file, "select window_start from bots_rows where key = '[true]'")
        change(file, "delete from bots_rows where key = '[true]' and window_start = ?", some)
        some = change(file, "select window_start from timeseries_rows where key = '[\"edit\"]'")
        change(file, "update timeseries_rows set key = '[\"edits\"]' where key = '[\"edit\"]' and window_start = ?", some)
        done = self.data('replay', '--diff', 'sqlite', '-o', 'tsv', code=1)
        found = list(csv.DictReader(io.StringIO(done.out), delimiter='\t', quoting=csv.QUOTE_NONE))
        self.assertEqual(sorted((row['what'], row['key']) for row in found),
                         [('extra', '["edits"]'), ('missing', '["edit"]'), ('missing', '[true]')])


class Ending(wikitally.Case):
    def test_sigterm_ends_cleanly_and_nothing_is_done_twice(self):
        file = self.synth(20_000, 21, duplicates=0.02, poison=0.001)
        arguments = self.run_arguments(f'replay:{file}', '--speed', '60', until=None)
        for _ in range(4):
            with self.running(*arguments) as process:
                time.sleep(1.0)
                began = time.monotonic()
                self.stop(process)
                self.assertLess(time.monotonic() - began, 10)
        received = self.source_ledger()['received']
        self.assertGreater(received, 100)
        self.assertLess(received, 20_000)
        self.assert_rows()                              # what was journalled has been counted, to the last record
        self.follow(f'replay:{file}')
        self.assertEqual(self.source_ledger()['received'], sum(1 for line in file.read_bytes().splitlines() if line.strip()))
        self.assert_rows()
        self.assert_ledger()
        self.assert_balanced()

    def test_until_a_number_and_a_time(self):
        self.follow('synthetic:max', until='500')
        self.assertEqual(self.source_ledger()['received'], 500)
        other = self.folder / 'other'
        began = time.monotonic()
        until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 3))
        self.follow('synthetic:50', directory=other, until=until)
        self.assertLess(time.monotonic() - began, 8)
        self.assert_balanced(other)


class Server(wikitally.Case):
    def test_metrics_hold_and_promtool_agrees(self):
        with self.running(*self.run_arguments('synthetic:200', until=None, listen='127.0.0.1:0')) as process:
            url = self.wait_for(lambda: address(process), what='the address')
            self.wait_for(lambda: self.wikitally('health', '--url', url, code=None).code == 0, what='health')
            self.wait_for(lambda: b'wikitally_source_events_total' in wikitally.get(f'{url}/metrics'), what='events')
            metrics = wikitally.get(f'{url}/metrics')
            checked = subprocess.run(['promtool', 'check', 'metrics'], input=metrics, capture_output=True)
            self.assertEqual((checked.returncode, checked.stderr.strip(), checked.stdout.strip()), (0, b'', b''))
            names = set(re_metric_names(pathlib.Path(wikitally.ROOT / 'src/base/metrics.def').read_text()))
            self.assertTrue(names)
            self.assertFalse({name for name in names if f'# TYPE {name} '.encode() not in metrics})
            self.assertIn(b'title', wikitally.get(f'{url}/plain').lower())
            self.stop(process)


def re_metric_names(text):
    return [line.split('"')[1] for line in text.splitlines() if line.startswith('METRIC(')]


def address(process):
    for word in process.log.read_text(errors='replace').split():
        if word.startswith('http://127.0.0.1:'):
            return word.rstrip('/')
    return None


def change(file, statement, *values):
    """Behind the program's back; -> the first value of the answer, if there is one. Leaves no -wal behind, nor checksums of rows
    that say something else now."""
    db = sqlite3.connect(file)
    try:
        row = db.execute(statement, values).fetchone()
        if not statement.startswith(('select', 'pragma')):
            forget_sums(db)
        db.commit()
        db.execute('pragma wal_checkpoint(truncate)')
        return row and row[0]
    finally:
        db.close()


def forget_sums(db):
    """What a person does who changes a row by hand: its checksum is not known any more."""
    summed = "select t.name from sqlite_schema t, pragma_table_info(t.name) c where t.type = 'table' and c.name = 'row_sum'"
    for table, in db.execute(summed).fetchall():
        db.execute(f'update "{table}" set row_sum = null')


def corrupt_a_batch(directory):
    """Flips a bit in the middle of a batch in the middle; -> its first offset."""
    file = directory / 'journal.db'
    number = change(file, 'select id from batches where base > 1000 order by base limit 1')
    blob = bytearray(change(file, 'select blob from batches where id = ?', number))
    blob[len(blob) // 2] ^= 0x10
    change(file, 'update batches set blob = ? where id = ?', bytes(blob), number)
    return change(file, 'select base from batches where id = ?', number)


if __name__ == '__main__':
    unittest.main()
