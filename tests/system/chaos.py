"""make chaos SEED=N MINUTES=M - everything at once, on one state directory that grows.

A server cuts, rewinds, doubles and leaves out; between it and the program a proxy stalls, slices, cuts and resets; the program is killed,
stopped, ended, and struck at failpoints, at random. At the end it may follow in peace until it has the last event. Then the oracle
judges: every event from the first received on is journalled once, rows and ledgers are what the journal says, all checks pass. A run in
which something that should have happened did not happen fails too.

Needs a build with failpoints (WIKITALLY_CHECKED). The seed decides what is done, the machine when: the same seed is the same campaign, not
the same run.
"""
import argparse
import collections
import json
import os
import re
import shutil
import signal
import sys
import time
import unittest

import wikitally
from test_resume import Resume

sys.path.insert(0, str(wikitally.ROOT / 'tests/fake'))
from proxy import Faults, Proxy                         # noqa: E402  (after the path)

RATE = 100
SERVER = ('--rate', RATE, '--cut-after', '5s', '--canaries', '--faults',
          'hole:every=1500,times=20,connection=1;duplicate:every=90;rewind:every=900,by=40;comments:every=700')
CALM = ('--set', 'source.overlap=10s', '--set', 'journal.commit_every=20ms', '--set', 'task.commit_every=50ms')
POINTS = ('journal.before_commit', 'journal.after_commit', 'journal.in_append', 'journal.in_open', 'results.before_commit', 'results.after_commit',
          'sink.in_commit', 'sink.in_lane', 'sink.in_schema', 'ingest.appended', 'task.committed', 'task.loaded', 'task.reread',
          'follow.connected', 'heal.asked', 'heal.admitted', 'lock.taken', 'db.in_fill', 'db.after_rename')
ENDS = (0, -signal.SIGKILL, 71, 74, 75)                 # of a run that was struck
EXPECTED = ('killed', 'ended', 'stopped', 'struck', 'cut', 'reset', 'stall', 'slice', 'duplicate')


class Chaos(Resume):
    program = wikitally.CHECKED
    seed, minutes = None, 1.0

    def setUp(self):
        super().setUp()
        os.environ['WIKITALLY_SEED'] = str(self.seed)
        self.random = wikitally.seed('chaos')
        self.counts = collections.Counter()
        self.peace = False

    # ------------------------------------------------------------------------------------------------- what goes wrong

    def faults(self, _number):
        if self.peace or self.random.random() < 0.3:
            return Faults()
        after = self.random.randrange(1000, 5_000_000)
        return self.random.choice((Faults(cut_after=after), Faults(reset_after=after), Faults(slice=self.random.randrange(200, 2000), cut_after=after),
                                   Faults(stall_after=after // 4, stall_for=self.random.uniform(0.2, 3)), Faults(refuse=True)))

    def kill(self, client):
        time.sleep(self.random.uniform(0.1, 3))
        self.alive(client)
        client.kill()
        client.wait()
        self.counts['killed'] += 1

    def end(self, client):
        time.sleep(self.random.uniform(0.5, 3))
        self.alive(client)
        self.stop(client, timeout=30)
        self.counts['ended'] += 1

    def freeze(self, client):
        time.sleep(self.random.uniform(0.5, 2))
        self.alive(client)
        client.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.2, 4))
        client.send_signal(signal.SIGCONT)
        self.counts['stopped'] += 1
        self.kill(client)

    def strike(self, client):
        """It was begun with a failpoint: whatever it ends with must be one of the manual's codes."""
        deadline = time.monotonic() + 6
        while client.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self.counts['struck'] += client.poll() is not None or 'failpoint ' in client.log.read_text(errors='replace')
        if client.poll() is None:
            client.kill()
            client.wait()
        self.assertIn(client.returncode, ENDS, client.log.read_text(errors='replace')[-3000:])

    def alive(self, client):
        self.assertIsNone(client.poll(), f'ended by itself\n{client.log.read_text(errors="replace")[-3000:]}')

    def once(self, url):
        what = self.random.choice((self.kill, self.end, self.freeze, self.strike, self.strike))
        struck = {}
        if what == self.strike:
            times = self.random.choice((1, 1, 2, 5, 20))
            struck['WIKITALLY_FAILPOINT'] = f'{self.random.choice(POINTS)}:{self.random.choice(("kill", "after", "error"))}@{times}'
        with self.running(*self.run_arguments(url, *CALM, until=None), env=struck) as client:
            what(client)

    # ------------------------------------------------------------------------------------------------------ the campaign

    def test_campaign(self):
        start = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 2))
        file = self.synth(int(RATE * (self.minutes * 60 + 5)), self.random.randrange(1 << 30), event_rate=RATE, start=start, late=0.01, duplicates=0.01)
        held = [json.loads(line)['meta']['id'] for line in file.read_bytes().splitlines()]
        with self.running('upstream', file, '--listen', '127.0.0.1:0', '--connections', '0', *SERVER) as server:
            port = int(re.search(r':(\d+)/', self.url(server))[1])
            with Proxy(port, self.faults) as proxy:
                url = re.sub(r':\d+/', f':{proxy.port}/', self.url(server))
                deadline = time.monotonic() + self.minutes * 60
                while time.monotonic() < deadline:
                    self.once(url)
                self.peace = True
                with self.running(*self.run_arguments(url, *CALM, until=None)) as client:
                    self.wait_for(lambda: client.poll() is not None or not self.missing(held), timeout=300, what='what is missing', pause=2)
                    self.alive(client)
                    self.stop(client, timeout=30)
                self.counts.update(proxy.counts)
        self.counts['duplicate'] = self.source_ledger()['duplicate']
        total = self.judge(list(dict.fromkeys(held)))
        self.wikitally('journal', 'verify', '--data-dir', self.directory)
        self.wikitally('ledger', '--check', '--data-dir', self.directory)
        print(f'{total} events, lost 0, doubled 0: {dict(sorted(self.counts.items()))}', flush=True)
        missing = [name for name in EXPECTED if not self.counts[name]]
        self.assertEqual(missing, [], 'never happened, so nothing is proven of it')

    def missing(self, held):
        """What the server held since the first that was received."""
        got = self.journal_ids()
        first = next((number for number, one in enumerate(held) if one in got), 0)
        left = [one for one in held[first:] if one not in got]
        print(f'{len(left)} of {len(held) - first} are missing', flush=True)
        return left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seed', type=int, default=time.time_ns() % 1_000_000_007)
    parser.add_argument('--minutes', type=float, default=5)
    options = parser.parse_args()
    Chaos.seed, Chaos.minutes = options.seed, options.minutes
    if not os.path.exists(wikitally.CHECKED) or not shutil.which(wikitally.CHECKED):
        parser.error('WIKITALLY_CHECKED names no program')
    suite = unittest.TestSuite([Chaos('test_campaign')])
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
