"""Every failpoint that the program lists, in a run and in the commands that write: killed there, killed at whatever failpoint comes
next, and an error returned there. Afterwards all is as after a run that nothing happened to (R3, R8, R10-R15; A2 of the goal table).
A failpoint that is new and that nobody named here is taken in a plain run, and the test fails if that never comes by.

All three at each place take ten minutes: one of them, by the seed. A night takes all, three times; WIKITALLY_RUNS as often as it says."""
import collections
import json
import os
import pathlib
import re
import shutil
import time
import unittest

import wikitally
from test_cli import change, corrupt_a_batch
from test_kill import MIX, Killed


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class Failpoints(Killed):
    """Each failpoint that the program lists, in each situation that names it, and in a plain run if none does; with each action."""

    program = wikitally.CHECKED
    SMALL = ('--set', 'task.commit_every=10ms', '--set', 'journal.commit_every=1ms')
    ACTIONS = ('kill', 'after', 'error')
    CODES = (70, 71, 74, 75)                            # with which an error at a failpoint may end a command; 0: it was overcome
    COMMITS = ('journal.before_commit', 'journal.after_commit')
    SITUATIONS = {
        'read_again': ('task.reread', 'task.loaded'),
        'retention': ('journal.in_retain', 'journal.retained'),
        'repair': ('journal.in_skip', *COMMITS),
        'retry': ('deadletters.admitted', 'ingest.appended', 'journal.in_append', 'journal.in_retried', *COMMITS),
        'adoption': ('journal.in_adopt',),
        'rebuild': ('sink.in_schema', 'sink.in_begin', 'sink.in_show', 'task.generation_begun'),
        'full_journal': ('journal.in_reopen',),
        'full_results': ('sink.in_reopen',),
        'large_commits': ('db.in_checkpoint',),
        'comparison': ('sink.before_commit',),
        'config_test': ('journal.full',),
        'recording': ('record.in_write',),
        'stream': ('follow.connected', 'heal.asked', 'heal.admitted'),
        'server': ('upstream.sending',),
        # in test_kafka.py, for they need a broker, or one that is away
        'kafka': ('kafka.in_append', 'kafka.committed'),
        'kafka_away': ('kafka.spooled', 'kafka.drained'),
        'on_topics': ('kafka_sink.in_commit', 'kafka_sink.committed'),      # struck in test_kafka_stats.py
    }
    ALSO_IN_PLAIN_RUN = {'task.loaded', 'ingest.appended', 'journal.in_append', 'sink.in_schema', 'sink.in_begin', 'sink.in_show',
                         'task.generation_begun', *COMMITS}

    def setUp(self):
        super().setUp()
        self.judged = {}
        self.random = wikitally.seed('failpoints')
        self.file = self.synth(6000, self.random.randrange(1 << 30), **{**MIX, 'poison': 0.01})

    def judge(self, file):
        """The first of a kind by the oracle; all that follow must end as that one did, to the byte."""
        letters = sorted((letter['stage'], letter['position'], letter['reason']) for letter in self.tsv('deadletters', 'list'))
        end = (self.dump().read_bytes(), self.wikitally('results', '-o', 'tsv', '--data-dir', self.directory).out, letters)
        key = (file, self.config)
        if key in self.judged:
            self.assertTrue(end == self.judged[key], 'does not end as another run of the same did, which the oracle found right')
            self.assert_balanced()
        else:
            super().judge(file)
            self.judged[key] = end

    # ------------------------------------------------------------------------------------------------- being struck

    def plain_run(self, *more):
        return self.run_arguments(f'replay:{self.file}', *self.SMALL, *more)

    def strike(self, point, action, command, prepared=None, first=''):
        """At the failpoint: the N-th time that it comes by, or else the first; each in a directory as it was. -> how it ended"""
        for nth in (self.random.randrange(2, 9), 1):
            shutil.rmtree(self.directory, ignore_errors=True)
            (self.folder / 'recording.zst').unlink(missing_ok=True)
            if prepared:
                shutil.copytree(prepared, self.directory)
            done = self.wikitally(*command, code=None, env={'WIKITALLY_FAILPOINT': f'{first}{point}:{action}@{nth}'})
            if self.was_struck(point, action, done):
                return done
        self.fail('it never comes by here')

    def was_struck(self, point, action, done):
        """The program says where it lets something happen; a kill needs no word."""
        if action == 'kill':
            return done.code == -9
        allowed = (-9, 0) if action == 'after' else (0, *self.CODES)
        self.assertIn(done.code, allowed, done.err[-2000:])
        return f'failpoint {point}: {action}' in done.err

    def prepare(self, *more, **options):
        """A finished run in a directory of its own, to begin with."""
        prepared = self.folder / 'prepared'
        if not prepared.exists():
            self.follow(f'replay:{self.file}', '--set', 'journal.commit_every=1ms', *more, directory=prepared, **options)
        return prepared

    # --------------------------------------------------------------------------------------------------- situations

    def in_plain_run(self, point, action):
        self.strike(point, action, self.plain_run())
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_read_again(self, point, action):
        self.strike(point, action, self.plain_run(), self.prepare(until='4000'))
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_retention(self, point, action):
        """A small journal over eleven hours: most of it is gone in the end, and rows and ledger are as if all were there."""
        file = self.synth(20_000, 77, event_rate=0.5, **MIX)
        limits = ('--set', 'journal.max_bytes=1200KiB', '--set', 'journal.retention_bytes=1MiB', '--set', 'journal.retention_age=60m')
        arguments = self.run_arguments(f'replay:{file}', *self.SMALL, *limits)
        self.strike(point, action, arguments)
        self.wikitally(*arguments)
        whole = self.folder / 'whole.ndjson'
        if not whole.exists():
            self.oracle('admit', file, '-o', os.devnull, '--journal', whole, '--totals-out', os.devnull)
        left = self.dump().read_bytes()
        self.assertTrue(whole.read_bytes().endswith(left), 'what is left is not the end of what there was')
        self.assertLess(left.count(b'\n'), 15_000, 'nothing was removed')
        self.assert_letters(self.source_ledger()['dead'], self.assert_counted(whole))

    def in_repair(self, point, action):
        """Killed, the corrupt batch is there whole, or gone; the command once more, and it is as after one that nobody killed."""
        prepared = self.prepare()
        if not (self.folder / 'twin').exists():
            self.offset = corrupt_a_batch(prepared)
            for file in prepared.glob('results.db*'):
                file.unlink()                           # so that the task has to read what is corrupt
            shutil.copytree(prepared, self.folder / 'twin')
            self.wikitally('journal', 'repair', '--skip', self.offset, '--data-dir', self.folder / 'twin')
            self.follow(f'replay:{self.file}', directory=self.folder / 'twin')
        done = self.strike(point, action, ['journal', 'repair', '--skip', self.offset, '--data-dir', self.directory], prepared)
        gone = point == 'journal.after_commit' or done.code == 0 or (action == 'after' and point == 'journal.before_commit')
        self.wikitally('journal', 'verify', '--data-dir', self.directory, code=0 if gone else 65)
        self.wikitally('journal', 'repair', '--skip', self.offset, '--data-dir', self.directory, code=1 if gone else 0)
        self.wikitally('journal', 'verify', '--data-dir', self.directory)
        self.follow(f'replay:{self.file}')
        self.assert_like_twin()
        self.assert_balanced()

    def in_retry(self, point, action):
        """Letters that can be read now are admitted, each once, also by a second try after a kill between the two databases."""
        prepared = self.prepare()
        if not (self.folder / 'twin').exists():
            self.mend_letters(prepared)
            shutil.copytree(prepared, self.folder / 'twin')
            self.wikitally('deadletters', 'retry', '--data-dir', self.folder / 'twin')
            self.follow(f'replay:{self.file}', directory=self.folder / 'twin')
        self.strike(point, action, ['deadletters', 'retry', '--data-dir', self.directory], prepared)
        self.wikitally('deadletters', 'retry', '--data-dir', self.directory)
        self.follow(f'replay:{self.file}')
        self.assertEqual([row['id'] for row in self.tsv('deadletters', 'list') if (row['stage'], row['retried']) == ('source', '-')], [])
        ids = self.journal_ids()
        self.assertEqual([ids[one] for one in self.mended], [1] * 3)
        self.assertEqual(ids, self.journal_ids(self.folder / 'twin'))
        self.assert_letters(3, self.assert_counted(self.dump()))

    def mend_letters(self, directory):
        """Behind the program's back: three letters, of which each has become an event."""
        events = [json.loads(line) for line in self.synth(3, 78).read_bytes().splitlines()]
        for number, event in enumerate(events):
            event['id'] = 9_000_000_000 + number        # no (wiki, id) of the run's
        self.mended = [event['meta']['id'] for event in events]
        change(directory / 'journal.db', 'delete from dead_letters where id > 3')
        for number, event in enumerate(events, 1):
            change(directory / 'journal.db', 'update dead_letters set bytes = ? where id = ?', json.dumps(event).encode(), number)

    def in_adoption(self, point, action):
        """Before the epoch is raised nothing is adopted; after it all is counted anew, with revisions above the old ones."""
        self.strike(point, action, self.plain_run('--adopt'), self.prepare())
        self.follow(f'replay:{self.file}')
        super().judge(self.file)                         # revisions say which

    def in_rebuild(self, point, action):
        """R15: another definition, told to count anew."""
        prepared = self.prepare()
        config, self.config = self.config, self.folder / 'rebuild.yaml'
        self.config.write_text(self.DECLARED.replace('[wiki]', '[bot]') + '    on_change: rebuild\n')
        self.PICKY = ('--name', 'picky', '--group-by', 'bot', '--time-field', 'log_action')
        try:
            self.strike(point, action, self.plain_run(), prepared)
            self.follow(f'replay:{self.file}')
            self.judge(self.file)
        finally:
            self.config = config
            del self.PICKY

    def in_full_journal(self, point, action):
        """What is full is closed and opened again before it is written again."""
        self.strike(point, action, self.plain_run(), first='journal.before_commit:error@3,')
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_full_results(self, point, action):
        self.strike(point, action, self.plain_run(), first='results.before_commit:error@8,')
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_large_commits(self, point, action):
        """So many that the log is moved into the file meanwhile."""
        file = self.synth(60_000, 79, event_rate=500, **{**MIX, 'poison': 0})
        self.strike(point, action, self.run_arguments(f'replay:{file}', *self.SMALL, '--set', 'journal.commit_bytes=32KiB'))
        self.follow(f'replay:{file}')
        self.judge(file)

    def in_recording(self, point, action):
        """What was written before can be played; the file is not taken for the whole, nor written over."""
        recording = self.folder / 'recording.zst'
        command = ['record', recording, '--source', f'replay:{self.file}']
        self.strike(point, action, command)
        done = self.wikitally(*command, code=73)
        self.assertIn('File exists', done.err)
        self.follow(f'replay:{recording}', code=(0, 65))
        self.assert_balanced()
        values, _ = self.expected(self.file)
        self.assertEqual(sum((self.values() - values).values()), 0, 'records that are not of the source')

    def values(self):
        return collections.Counter(line.split(b'"value":', 1)[1] for line in self.dump().read_bytes().splitlines())

    # ----------------------------------------------------------------------------------------- with a server of its own

    RATE, EVENTS = 400, 2400

    def begin_stream(self):
        """Events that begin now; far behind it would follow otherwise."""
        shutil.rmtree(self.directory, ignore_errors=True)
        start = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 1))
        self.stream = self.synth(self.EVENTS, self.random.randrange(1 << 30), event_rate=self.RATE, start=start)
        self.held = [json.loads(line)['meta']['id'] for line in self.stream.read_bytes().splitlines()]

    def serve(self, *options, env=None, listen='127.0.0.1:0'):
        return self.running('upstream', self.stream, '--listen', listen, *options, env=env)

    def follow_arguments(self, url):
        return self.run_arguments(url, '--set', 'journal.commit_every=1ms', until=None)

    def in_stream(self, point, action):
        """The server leaves records out on its first connections; the client asks for them once more."""
        self.begin_stream()
        with self.serve('--rate', self.RATE, '--faults', 'hole:every=150,times=3,connection=1') as server:
            arguments = self.follow_arguments(self.url(server))
            with self.running(*arguments, env={'WIKITALLY_FAILPOINT': f'{point}:{action}@1'}) as client:
                self.wait_for(lambda: client.poll() is not None or self.said(client, point, action), what=f'{point}:{action}', timeout=60)
                self.wait_for(lambda: client.poll() is not None or self.all_there(), timeout=90, what='all events', pause=0.3)
                self.assertTrue(client.poll() == -9 or (action != 'kill' and self.said(client, point, action)))
                self.assertIn(client.poll(), (None, -9, *self.CODES))
            with self.running(*arguments) as client:
                self.wait_for(self.all_there, timeout=90, what='all events', pause=0.3)
                self.stop(client)
        self.judge_stream()

    def in_server(self, point, action):
        """The server dies or cuts; another one takes its place, and nothing is missing."""
        self.begin_stream()
        struck = {'WIKITALLY_FAILPOINT': f'{point}:{action}@{self.random.randrange(20, 90)}'}
        with self.serve('--rate', self.RATE, '--cut-after', '500ms', env=struck) as server:
            url = self.url(server)
            with self.running(*self.follow_arguments(url)) as client:
                self.wait_for(lambda: server.poll() is not None or self.said(server, point, action), what=f'{point}:{action}', timeout=60)
                server.kill()
                server.wait()
                with self.serve(listen=re.search(r'//([^/]+)', url)[1]):
                    self.wait_for(self.all_there, timeout=90, what='all events', pause=0.3)
                    self.stop(client)
        self.judge_stream()

    def said(self, process, point, action):
        return f'failpoint {point}: {action}' in process.log.read_text(errors='replace')

    def wanted(self, got):
        """From the first that it has on: a first connection begins with what is new."""
        first = next((number for number, one in enumerate(self.held) if one in got), len(self.held) - 1)
        return self.held[first:]

    def all_there(self):
        if not (self.directory / 'journal.db').exists():
            return False
        got = self.journal_ids()
        return all(one in got for one in self.wanted(got))

    def judge_stream(self):
        got = self.journal_ids()
        got.pop(None, None)
        self.assertEqual(got, dict.fromkeys(self.wanted(got), 1))
        self.assertGreater(len(got), 500)
        self.assert_rows()
        self.assert_balanced()

    # ------------------------------------------------------------------------------------------------- commands that read

    def in_comparison(self, point, action):
        command = ['replay', '--diff', 'sqlite', '--data-dir', self.directory, '-c', self.config]
        self.strike(point, action, command, self.prepare())
        self.wikitally(*command)
        self.judge(self.file)

    def in_config_test(self, point, action):
        command = ['config', 'test', wikitally.ROOT / 'examples/event-time-tests.yaml']
        self.strike(point, action, command)
        self.wikitally(*command)
        self.assertFalse(self.directory.exists())

    def assert_like_twin(self):
        for command in (['results', aggregation] for aggregation in (*wikitally.BUILT_IN, 'picky')):
            self.assertEqual(self.tsv(*command), self.tsv(*command, directory=self.folder / 'twin'), command)
        self.assertEqual(self.tsv('ledger', '--total'), self.tsv('ledger', '--total', directory=self.folder / 'twin'))

    # -------------------------------------------------------------------------------------------------------- tests

    def places(self):
        """-> {situation: its failpoints}. Every failpoint of the program is in one; one that nobody named is in the plain run."""
        points = wikitally.failpoints()
        named = {point for some in self.SITUATIONS.values() for point in some}
        self.assertEqual(named - set(points), set(), 'the program has no such failpoint')
        return {**self.SITUATIONS, 'plain_run': tuple(point for point in points if point not in named or point in self.ALSO_IN_PLAIN_RUN)}

    def all_of(self, *situations):
        places, runs = self.places(), int(os.environ.get('WIKITALLY_RUNS') or wikitally.size(0, 3))
        for situation in situations:
            for point in places[situation]:
                for action in self.ACTIONS * runs if runs else self.random.sample(self.ACTIONS, 1):
                    with self.subTest(situation=situation, point=point, action=action):
                        getattr(self, f'in_{situation}')(point, action)
            shutil.rmtree(self.folder / 'prepared', ignore_errors=True)
            shutil.rmtree(self.folder / 'twin', ignore_errors=True)
            print(f'{", ".join(self.ACTIONS) if runs else "struck"} in {situation} at', ', '.join(places[situation]), flush=True)

    def test_A2_every_failpoint_of_the_program_has_its_situation(self):
        reached = {point for some in self.places().values() for point in some}
        self.assertEqual(reached, set(wikitally.failpoints()))
        self.assertGreaterEqual(len(reached), 30)

    def test_A2_struck_at_every_failpoint_of_a_run(self):
        self.all_of('plain_run', 'read_again')

    def test_R13_struck_at_every_failpoint_of_retention(self):
        self.all_of('retention', 'full_journal', 'full_results', 'large_commits')

    def test_R15_struck_at_every_failpoint_of_what_counts_anew(self):
        self.all_of('adoption', 'rebuild')

    def test_R3_R4_struck_at_every_failpoint_of_a_stream(self):
        self.all_of('stream', 'server')

    def test_A2_struck_at_every_failpoint_of_the_other_commands(self):
        self.all_of('repair', 'retry', 'comparison', 'config_test', 'recording')

    def test_B10_a_commit_that_fails_for_want_of_room_is_tried_again(self):
        """Full, once: it says so, waits, and goes on by itself. In a start there is nothing to wait with: 74. Nothing is lost."""
        begun = 1 + len(wikitally.BUILT_IN) + 1         # commits of a first start: the tables, and a generation each
        for point, nth, code, said in (('journal.before_commit', 1, 0, 'there is room again'),
                                       ('journal.before_commit', 3, 0, 'there is room again'),
                                       ('results.before_commit', begun, 74, ''), ('results.before_commit', begun + 1, 0, 'trying again')):
            with self.subTest(point=point, nth=nth):
                shutil.rmtree(self.directory, ignore_errors=True)
                done = self.wikitally(*self.plain_run(), code=code, env={'WIKITALLY_FAILPOINT': f'{point}:error@{nth}'})
                self.assertIn("the disk or the file's maximum is full; nothing was written", done.err)
                self.assertIn(said, done.err)
                self.follow(f'replay:{self.file}')
                self.judge(self.file)


class Release(unittest.TestCase):
    """What is delivered holds no failpoint and no seeded fault: not their names, not the calls, not the variables that switch them."""

    MARKS = {b'WIKITALLY_FAULTS', b'WIKITALLY_FAILPOINT', b'--list-failpoints', b'failpoint_reached'}

    def marks(self, program):
        names = {name.encode() for name in (*wikitally.failpoints(), *self.faults())}
        self.assertGreater(len(names), 60)
        binary = pathlib.Path(program).read_bytes()
        return {mark for mark in names | self.MARKS if mark in binary}

    def faults(self):
        sources = (wikitally.ROOT / 'src').rglob('*.c')
        return {name for file in sources for name in re.findall(r'\bfault\("([^"]+)"\)', file.read_text())}

    @unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
    def test_A2_the_release_holds_none_and_the_test_build_all(self):
        self.assertEqual(self.marks(wikitally.PROGRAM), set())
        self.assertGreater(len(self.marks(wikitally.CHECKED)), 60)


if __name__ == '__main__':
    unittest.main()
