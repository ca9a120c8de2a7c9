"""R8, R10: killed between a window's close and its amendment. The late change must find its window again, with all that was in
it, and the row must be the oracle's, revision included."""
import signal
import unittest

import wikitally

CLOSED_FOR = 3                                          # windows that are final before the kill
SPEED = 40                                              # ten minutes take 15 s


class Amend(wikitally.Case):
    def events(self):
        """Ten minutes, then a change of the second minute (late, but not beyond 15 minutes), then ten minutes more."""
        lines = self.synth(2400, 4, event_rate=2).read_bytes().splitlines(keepends=True)
        first, late, rest = lines[:1200], lines[200], lines[1200:]
        late = late.replace(b'"id":"', b'"id":"late-', 1)          # another event; its (wiki, id) too
        at = late.index(b'},"id":') + len(b'},"id":') if b'},"id":' in late else None
        if at:
            late = late[:at] + b'9' + late[at:]
        return first, late, rest

    def final_windows(self):
        if not (self.directory / 'results.db').exists():
            return set()
        done = self.wikitally('results', 'timeseries', '--data-dir', self.directory, '-o', 'tsv', '--columns',
                              'window_start,state', '--no-header', code=None)
        return {line.split('\t')[0] for line in done.out.splitlines() if line.endswith('\tfinal')}

    def test_R10_killed_between_a_window_s_close_and_its_amendment(self):
        file = self.folder / 'events.ndjson'
        first, late, rest = self.events()
        file.write_bytes(b''.join([*first, late, *rest]))
        paced = self.run_arguments(f'replay:{file}', '--speed', SPEED, '--set', 'task.commit_every=100ms')
        with self.running(*paced) as process:
            self.wait_for(lambda: len(self.final_windows()) >= CLOSED_FOR, timeout=60, what='windows that are final')
            process.send_signal(signal.SIGKILL)
            process.wait()
        before = self.final_windows()
        self.assertGreaterEqual(len(before), CLOSED_FOR)
        self.assertLess(len(self.envelopes()), len(first), 'killed too late: the late one was there already')

        self.follow(f'replay:{file}')
        self.assertGreater(self.assert_rows(), 0)
        self.assert_ledger()
        rows = self.tsv('results', 'timeseries')
        amended = [row for row in rows if row['closed_by'] != '-' and int(row['revision']) > int(row['closed_by'])]
        self.assertIn(True, [row['window_start'] in before for row in amended], 'nothing was amended: the test shows nothing')
        self.wikitally('ledger', '--check', '--data-dir', self.directory)


if __name__ == '__main__':
    unittest.main()
