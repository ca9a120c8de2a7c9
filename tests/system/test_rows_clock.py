"""B13: the wall clock lies, the server's Date and the monotonic clock do not (R5)."""
import calendar
import pathlib
import time
import unittest

import wikitally

LIBRARY = next((file for folder in pathlib.Path('/usr/lib').glob('*-linux-gnu') for file in folder.glob('faketime/libfaketime.so.1')), None)


@unittest.skipUnless(LIBRARY, 'libfaketime is not here')
class Clock(wikitally.Case):
    EVENTS, RATE = 3000, 1000                           # of the server; so a run takes three seconds
    CLOCKS = ('+1h', '-1h', '+1d', '-1d', '@2039-02-01 00:00:00', '+0 x10', '10 min back')
    JUMPS = 20

    def setUp(self):
        super().setUp()
        self.number = 0

    def faked(self, clock):
        """The environment of a program that is shown this clock."""
        kept = {'LD_PRELOAD': str(LIBRARY), 'DONT_FAKE_MONOTONIC': '1', 'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
        if clock != '10 min back':
            return {**kept, 'FAKETIME': clock}
        (self.folder / 'clock').write_text('+0')        # read again and again, which the sandbox would not let it
        return {**kept, 'FAKETIME_TIMESTAMP_FILE': str(self.folder / 'clock'), 'FAKETIME_NO_CACHE': '1', 'WIKITALLY_SECURITY_SANDBOX': 'off'}

    def jump(self, process, random):
        """Ten minutes back, and back again, at random moments until it ends. -> how often"""
        jumps, offset = 0, 0
        while process.poll() is None and jumps < 10 * self.JUMPS:
            time.sleep(random.uniform(0.01, 0.06))
            offset = 0 if offset else -600
            (self.folder / 'new').write_text(f'{offset:+d}')
            (self.folder / 'new').rename(self.folder / 'clock')
            jumps += offset < 0
        return jumps

    def followed(self, file, random, clock=None):
        """-> what a run that follows a server through all of this has stored: journalled values, rows, ledger."""
        self.directory = self.folder / f'state-{self.number}'
        self.number += 1
        with self.running('upstream', file, '--listen', '127.0.0.1:0', '--rate', self.RATE) as server:     # another machine: not lied to
            arguments = self.run_arguments(self.url(server) + '?since=2000-01-01T00:00:00Z', until=self.EVENTS)
            with self.running(*arguments, env=self.faked(clock) if clock else None) as process:
                if clock == '10 min back':
                    self.assertGreaterEqual(self.jump(process, random), self.JUMPS)
                process.wait(60)
                log = process.log.read_text(errors='replace')
                self.assertEqual(process.returncode, 0, f'{clock}: {log[-2000:]}')
        if clock in self.CLOCKS[:5]:                    # was it shown that clock?
            self.assertGreater(abs(calendar.timegm(time.strptime(log[:19], '%Y-%m-%dT%H:%M:%S')) - time.time()), 3000, log[:200])
        self.assert_balanced()
        values = [line.split(b'"value":', 1)[1] for line in self.dump().read_bytes().splitlines()]
        return values, self.results_file().read_bytes(), self.tsv('ledger')

    def test_B13_a_clock_that_lies(self):
        """The same journal, rows and ledger by event time, to the byte."""
        random = wikitally.seed('B13')
        start = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 3600))
        file = self.synth(self.EVENTS, random.randrange(1 << 30), event_rate=3, start=start, late=0.02)
        quiet = self.followed(file, random)
        self.assertEqual(len(quiet[0]), self.EVENTS)
        self.assertGreater(self.assert_rows(), 0)
        self.assert_ledger()
        for clock in self.CLOCKS * wikitally.size(1, 5):
            with self.subTest(clock=clock):
                for was, now in zip(quiet, self.followed(file, random, clock)):
                    self.assertEqual(now, was)
        print(f'B13: the same {quiet[1].count(10) - 1} rows with each of {len(self.CLOCKS)} clocks', flush=True)


if __name__ == '__main__':
    unittest.main()
