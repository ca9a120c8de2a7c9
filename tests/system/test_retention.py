"""What leaves the journal, and what is said of it: retention and a full journal (R13). What can still be counted is counted as if
nothing had happened; the rest is a gap, once, in the ledger, and its windows are marked."""
import unittest

import wikitally
from test_exit import held, look

SMALL = ('--set', 'journal.commit_every=1ms', '--set', 'task.commit_every=10ms')


class Retention(wikitally.Twin):
    FULL = 'the source waits until there is room'

    def setUp(self):
        super().setUp()
        self.prepare(20_000, 3)                          # 111 minutes, some 3 MiB

    def test_R13_old_records_go_and_rows_stay(self):
        """By age and by size; the rows and the ledger are those of a journal that keeps all."""
        for limit in ('journal.retention_age=40m', 'journal.retention_bytes=1MiB'):
            with self.subTest(limit):
                self.directory = self.folder / limit
                # Full, the ingester asks retention at once, and not every minute.
                self.follow(f'replay:{self.file}', *SMALL, '--set', 'journal.retention_bytes=2MiB', '--set', limit,
                            '--set', 'journal.max_bytes=2200KiB')
                head = min(envelope['offset'] for envelope in self.envelopes())
                self.assertGreater(head, 500)
                self.assert_like_twin_but_torn(False)
                self.assertEqual(set(self.gaps().values()), {0})
                self.assert_balanced()
                self.wikitally('journal', 'verify', '--data-dir', self.directory)

    def test_R13_on_full_wait_keeps_all_and_goes_on(self):
        """A journal that may not grow and has nothing to give: the source waits, says so, and goes on when the task does."""
        small = ('--set', 'journal.retention_bytes=2MiB', '--set', 'journal.max_bytes=2200KiB')
        self.follow(f'replay:{self.file}', *SMALL, until=100)
        with self.running(*self.run_arguments(f'replay:{self.file}', *SMALL, *small)) as process:
            self.wait_for(lambda: look(self.directory / 'results.db', 'select min(position) from wt_lines') > 100, what='a commit', pause=0.005)
            with held(self.directory / 'results.db'):
                self.wait_for(lambda: self.FULL in process.log.read_text() or process.poll() is not None, what='a full journal')
                self.assertIsNone(process.poll(), process.log.read_text())
            self.assertEqual(process.wait(60), 0, process.log.read_text())
            self.assertIn('there is room again', process.log.read_text())
        self.assert_like_twin_but_torn(False)
        self.assertEqual(set(self.gaps().values()), {0})
        self.assert_balanced()

    def test_R13_on_full_release_costs_the_slowest_a_gap_that_is_counted(self):
        """The task cannot commit while somebody holds its file, and the journal lets go of what it has not read: more than
        waits in memory."""
        self.prepare(80_000, 12)
        small = ('--set', 'journal.retention_bytes=1MiB', '--set', 'journal.max_bytes=1200KiB', '--set', 'journal.on_full=release',
                 '--set', 'task.max_pending_rows=10000')
        self.follow(f'replay:{self.file}', *SMALL, *small, until=1000)
        with self.running(*self.run_arguments(f'replay:{self.file}', *SMALL, *small, '--speed', 1000)) as process:
            position = look(self.directory / 'results.db', 'select min(position) from wt_lines')
            self.wait_for(lambda: look(self.directory / 'results.db', 'select min(position) from wt_lines') > position, what='a commit')
            with held(self.directory / 'results.db'):
                position = look(self.directory / 'results.db', 'select min(position) from wt_lines')
                self.wait_for(lambda: self.head() > position + 50_000 or process.poll() is not None, what='records that go unread')
                self.assertIsNone(process.poll(), process.log.read_text())
            self.assertEqual(process.wait(60), 0, process.log.read_text())
        gaps = self.gaps()
        self.assertGreater(min(gaps.values()), 0)
        self.assert_balanced()
        torn = self.assert_like_twin_but_torn(True, between=True)
        print(f'R13: released while unread: gaps {gaps}, {torn} rows marked', flush=True)

    def head(self):
        return look(self.directory / 'journal.db', 'select min(base) from batches')


if __name__ == '__main__':
    unittest.main()
