"""kill -9 at every failpoint that the program lists, in a run and in the commands that write: afterwards all is as after a run that
nothing happened to (R3, R8, R10-R15; A2 of the goal table). A failpoint that is new and that nobody named here is killed at in a
plain run, and the test fails if that never comes by."""
import json
import os
import shutil
import unittest

import wikitally
from test_cli import change, corrupt_a_batch
from test_kill import MIX, Killed


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class Failpoints(Killed):
    """Each failpoint that the program lists, in each situation that names it, and in a plain run if none does."""

    program = wikitally.CHECKED
    SMALL = ('--set', 'task.commit_every=10ms', '--set', 'journal.commit_every=1ms')
    COMMITS = ('journal.before_commit', 'journal.after_commit')
    SITUATIONS = {
        'read_again': ('task.reread', 'task.loaded'),
        'retention': ('journal.in_retain', 'journal.retained'),
        'repair': ('journal.in_skip', *COMMITS),
        'retry': ('deadletters.admitted', 'ingest.appended', 'journal.in_append', *COMMITS),
        'comparison': ('sink.before_commit',),
        'config_test': ('journal.full',),
    }
    ELSEWHERE = {'task.reread', 'journal.in_retain', 'journal.retained', 'journal.in_skip', 'deadletters.admitted', 'sink.before_commit',
                 'journal.full'}                        # a plain run does not come by there

    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('failpoints')
        self.file = self.synth(6000, self.random.randrange(1 << 30), **{**MIX, 'poison': 0.01})

    # ------------------------------------------------------------------------------------------------- being killed

    def plain_run(self, *more):
        return self.run_arguments(f'replay:{self.file}', *self.SMALL, *more)

    def killed(self, point, command, prepared=None):
        """At the failpoint: the N-th time that it comes by, or else the first; each in a directory as it was."""
        for nth in (self.random.randrange(2, 9), 1):
            shutil.rmtree(self.directory, ignore_errors=True)
            if prepared:
                shutil.copytree(prepared, self.directory)
            done = self.wikitally(*command, code=None, env={'WIKITALLY_FAILPOINT': f'{point}:kill@{nth}'})
            if done.code == -9:
                return
        self.fail('it never comes by here')

    def prepare(self, *more, **options):
        """A finished run in a directory of its own, to begin with."""
        prepared = self.folder / 'prepared'
        if not prepared.exists():
            self.follow(f'replay:{self.file}', '--set', 'journal.commit_every=1ms', *more, directory=prepared, **options)
        return prepared

    # --------------------------------------------------------------------------------------------------- situations

    def in_plain_run(self, point):
        self.killed(point, self.plain_run())
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_read_again(self, point):
        self.killed(point, self.plain_run(), self.prepare(until='4000'))
        self.follow(f'replay:{self.file}')
        self.judge(self.file)

    def in_retention(self, point):
        """A small journal over eleven hours: most of it is gone in the end, and rows and ledger are as if all were there."""
        file = self.synth(20_000, 77, event_rate=0.5, **MIX)
        limits = ('--set', 'journal.max_bytes=1200KiB', '--set', 'journal.retention_bytes=1MiB', '--set', 'journal.retention_age=60m')
        arguments = self.run_arguments(f'replay:{file}', *self.SMALL, *limits)
        self.killed(point, arguments)
        self.wikitally(*arguments)
        whole = self.folder / 'whole.ndjson'
        if not whole.exists():
            self.oracle('admit', file, '-o', os.devnull, '--journal', whole, '--totals-out', os.devnull)
        left = self.dump().read_bytes()
        self.assertTrue(whole.read_bytes().endswith(left), 'what is left is not the end of what there was')
        self.assertLess(left.count(b'\n'), 15_000, 'nothing was removed')
        self.assert_letters(self.source_ledger()['dead'], self.assert_counted(whole))

    def in_repair(self, point):
        """Killed, the corrupt batch is there whole, or gone; the command once more, and it is as after one that nobody killed."""
        prepared = self.prepare()
        if not (self.folder / 'twin').exists():
            self.offset = corrupt_a_batch(prepared)
            for file in prepared.glob('results.db*'):
                file.unlink()                           # so that the task has to read what is corrupt
            shutil.copytree(prepared, self.folder / 'twin')
            self.wikitally('journal', 'repair', '--skip', self.offset, '--data-dir', self.folder / 'twin')
            self.follow(f'replay:{self.file}', directory=self.folder / 'twin')
        self.killed(point, ['journal', 'repair', '--skip', self.offset, '--data-dir', self.directory], prepared)
        gone = point == 'journal.after_commit'
        self.wikitally('journal', 'verify', '--data-dir', self.directory, code=0 if gone else 65)
        self.wikitally('journal', 'repair', '--skip', self.offset, '--data-dir', self.directory, code=1 if gone else 0)
        self.wikitally('journal', 'verify', '--data-dir', self.directory)
        self.follow(f'replay:{self.file}')
        self.assert_like_twin()
        self.assert_balanced()

    def in_retry(self, point):
        """Letters that can be read now are admitted, each once, also by a second try after a kill between the two databases."""
        prepared = self.prepare()
        if not (self.folder / 'twin').exists():
            self.mend_letters(prepared)
            shutil.copytree(prepared, self.folder / 'twin')
            self.wikitally('deadletters', 'retry', '--data-dir', self.folder / 'twin')
            self.follow(f'replay:{self.file}', directory=self.folder / 'twin')
        self.killed(point, ['deadletters', 'retry', '--data-dir', self.directory], prepared)
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

    def in_comparison(self, point):
        command = ['replay', '--diff', 'sqlite', '--data-dir', self.directory, '-c', self.config]
        self.killed(point, command, self.prepare())
        self.wikitally(*command)
        self.judge(self.file)

    def in_config_test(self, point):
        command = ['config', 'test', wikitally.ROOT / 'examples/event-time-tests.yaml']
        self.killed(point, command)
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
        return {**self.SITUATIONS, 'plain_run': tuple(point for point in points if point not in self.ELSEWHERE)}

    def all_of(self, *situations):
        places = self.places()
        for situation in situations:
            for point in places[situation]:
                with self.subTest(situation=situation, point=point):
                    getattr(self, f'in_{situation}')(point)
            shutil.rmtree(self.folder / 'prepared', ignore_errors=True)
            shutil.rmtree(self.folder / 'twin', ignore_errors=True)
            print(f'killed in {situation} at', ', '.join(places[situation]), flush=True)

    def test_every_failpoint_of_the_program_has_its_situation(self):
        reached = {point for some in self.places().values() for point in some}
        self.assertEqual(reached, set(wikitally.failpoints()))
        self.assertGreater(len(reached), 20)

    def test_A2_killed_at_every_failpoint_of_a_run(self):
        self.all_of('plain_run', 'read_again')

    def test_R13_killed_at_every_failpoint_of_retention(self):
        self.all_of('retention')

    def test_A2_killed_at_every_failpoint_of_the_other_commands(self):
        self.all_of('repair', 'retry', 'comparison', 'config_test')

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


if __name__ == '__main__':
    unittest.main()
