"""A batch taken out by `journal repair`, and the windows that it tore (R10): what can still be counted is counted as if nothing had
happened; the rest is a gap, once, in the ledger, and its windows keep their rows, marked."""
import unittest

import wikitally
from test_cli import change, corrupt_a_batch
from test_exit import look

SMALL = ('--set', 'journal.commit_every=1ms', '--set', 'journal.commit_bytes=64KiB', '--set', 'task.commit_every=10ms')


class Repair(wikitally.Twin):
    def setUp(self):
        super().setUp()
        self.prepare(6000, 1)                            # 100 minutes

    def journal_end(self):
        return look(self.directory / 'journal.db', 'select coalesce(sum(next_offset), 0) from partitions')

    # ----------------------------------------------------------------------------------------------------------- repair

    def test_R10_repair_takes_out_what_is_corrupt_and_marks_what_it_tore(self):
        """A batch that a start has to read again: refused, named, taken out; its windows keep their rows, marked, and its records are
        in the ledger as they were counted."""
        self.follow(f'replay:{self.file}', *SMALL, until=4000)
        before = self.rows()
        again, new = (look(self.directory / 'results.db', f'select min({column}) from wt_lines') for column in ('replay_from', 'position'))
        self.assertLess(again + 300, new)
        base = self.corrupt_batch_after(again + 100)
        self.assertLess(base, new)
        for command in (['journal', 'verify'], ['run', '--source', f'replay:{self.file}', '--listen', 'none', '--until', 'end']):
            self.assertRegex(self.wikitally(*command, '--data-dir', self.directory, code=65).err, rf'offsets {base} to \d+')
        self.wikitally('journal', 'repair', '--skip', base, '--data-dir', self.directory)
        self.assertIn('1 holes', self.wikitally('journal', 'verify', '--data-dir', self.directory).out)
        self.wikitally('journal', 'repair', '--skip', base, '--data-dir', self.directory, code=1)
        self.follow(f'replay:{self.file}')
        self.assert_balanced()
        torn = self.assert_like_twin_but_torn(True)
        kept = {at: count for at, (count, state) in self.rows().items() if state == 'torn'}
        self.assertEqual(kept, {at: before[at][0] for at in kept if at in before}, 'a torn row was touched')
        print(f'R10: batch {base} taken out: {torn} rows kept and marked, gaps {self.gaps()}', flush=True)

    def test_R10_repair_of_what_no_window_needs_tears_nothing(self):
        self.follow(f'replay:{self.file}', *SMALL, until=5000)
        base = corrupt_a_batch(self.directory)
        self.assertLess(base, look(self.directory / 'results.db', 'select min(replay_from) from wt_lines'))
        self.wikitally('journal', 'repair', '--skip', base, '--data-dir', self.directory)
        self.follow(f'replay:{self.file}')
        self.assert_like_twin_but_torn(False)
        self.assertEqual(set(self.gaps().values()), {0})
        self.assert_balanced()

    def test_A10_repair_leaves_a_running_program_alone(self):
        with self.running(*self.run_arguments('synthetic:100', until=None)) as process:
            self.wait_for(lambda: self.journal_end() > 0, what='records')
            done = self.wikitally('journal', 'repair', '--skip', 0, '--data-dir', self.directory, code=80)
            self.assertIn(f'in use by process {process.pid}', done.err)
            self.stop(process)

    def corrupt_batch_after(self, offset):
        file = self.directory / 'journal.db'
        base = change(file, 'select min(base) from batches where base >= ?', offset)
        blob = bytearray(change(file, 'select blob from batches where base = ?', base))
        blob[len(blob) // 2] ^= 1
        change(file, 'update batches set blob = ? where base = ?', bytes(blob), base)
        return base


if __name__ == '__main__':
    unittest.main()
