"""Resume without loss (R3, R4), on the wire: `wikitally upstream` cuts, forgets, rewinds and switches; nothing is lost and
nothing doubled, by meta.id against what it held. Beside it the textbook client, and how many it loses."""
import collections
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import time
import unittest

import wikitally

TEXTBOOK = pathlib.Path(__file__).with_name('textbook_client.py')
CUTS = 50                                               # of each schedule; four of them make the 200
RATE = 500                                              # events a second, of event time and of the server alike
CUT_AFTER_MS = 300


def now(ahead=0):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + ahead))


class Resume(wikitally.Case):
    def events(self, count, number, **options):
        """Events that become available as fast as their own time runs, from about now on."""
        return self.synth(count, number, event_rate=RATE, start=now(1), **options)

    def ids(self, file):
        """meta.id of every event, in the server's order."""
        return [json.loads(line)['meta']['id'] for line in file.read_bytes().splitlines()]

    def upstream(self, file, *options):
        return self.running('upstream', file, '--listen', '127.0.0.1:0', '--rate', RATE, *options)

    def follow_live(self, url, *more):
        return self.running(*self.run_arguments(url, *more, until=None, listen='127.0.0.1:0'))

    def page(self, process):
        def found():
            match = re.search(r'listening on (http://\S+)', process.log.read_text(errors='replace'))
            return match and match[1].rstrip('/')
        return self.wait_for(found, what='the address of the page')

    def reconnects(self, process):
        text = wikitally.get(self.page(process) + '/metrics').decode()
        return sum(float(n) for n in re.findall(r'^wikitally_source_reconnects_total(?:\{[^}]*\})? (\S+)$', text, re.M))

    def journalled(self):
        return self.source_ledger()['journalled']

    def wait_until_still(self, seconds=4, timeout=120):
        """Until nothing has been journalled for a while."""
        last, since, began = -1, time.monotonic(), time.monotonic()
        while time.monotonic() - since < seconds:
            if time.monotonic() - began > timeout:
                self.fail(f'still journalling after {timeout} s')
            number = self.journalled()
            if number != last:
                last, since = number, time.monotonic()
            time.sleep(0.3)
        return last

    def judge(self, held):
        """Every event that the server held from the first one received on is in the journal, once."""
        got = self.journal_ids()
        got.pop(None, None)
        first = next(index for index, one in enumerate(held) if one in got)
        wanted = held[first:]
        lost = [one for one in wanted if one not in got]
        doubled = [one for one, number in got.items() if number > 1]
        self.assertEqual((len(lost), len(doubled)), (0, 0), f'lost {lost[:5]}, doubled {doubled[:5]} of {len(wanted)}')
        self.assert_rows()
        self.assert_ledger()
        self.assert_balanced()
        return len(wanted)


class TwoHundredCuts(Resume):
    def schedule(self, number, *options):
        count = int(RATE * CUTS * CUT_AFTER_MS / 1000 * 1.6)
        file = self.events(count, number)
        held = self.ids(file)
        options = ['--cut-after', f'{CUT_AFTER_MS}ms', *options]
        with self.textbook(file, *options) as textbook:    # a server of its own, so that the two do not share a limit
            with self.upstream(file, *options) as server, self.follow_live(self.url(server)) as client:
                self.wait_for(lambda: (self.directory / 'journal.db').exists(), what='journal.db')
                self.wait_until_still()
                cuts = self.reconnects(client)
                self.stop(client)
            total = self.judge(held)
            lost, doubled = textbook(held)
        self.assertGreaterEqual(cuts, CUTS)
        self.assertGreater(lost, 0, 'the textbook client loses nothing here, so this proves nothing')
        print(f'{cuts:.0f} cuts, {total} events: lost 0, doubled 0; the textbook client: lost {lost}, doubled {doubled}', flush=True)

    @contextlib.contextmanager
    def textbook(self, file, *options):
        """The usual client beside ours. Gives a function that says how many it lost, and how many it counted twice."""
        out = self.folder / 'textbook.ids'
        with self.upstream(file, *options) as server:
            client = subprocess.Popen([sys.executable, TEXTBOOK, self.url(server), out, '--seconds', '90', '--idle', '3'],
                                      stdout=subprocess.DEVNULL)

            def judge(held):
                client.wait(120)
                got = collections.Counter(out.read_text().split())
                first = next(index for index, one in enumerate(held) if one in got)
                return sum(one not in got for one in held[first:]), sum(number - 1 for number in got.values())
            try:
                yield judge
            finally:
                client.kill()
                client.wait()

    def test_R3_ids_in_milliseconds(self):
        self.schedule(101)

    def test_R3_ids_in_whole_seconds(self):
        self.schedule(102, '--seconds')

    def test_R3_a_data_centre_switch_between_cuts(self):
        self.schedule(103, '--switch-at', str(RATE * 5))

    def test_R3_a_switch_and_whole_seconds_and_canaries(self):
        self.schedule(104, '--seconds', '--switch-at', str(RATE * 7), '--canaries')


class Holes(Resume):
    """R4: the server leaves records out; each hole is reported once, filled where the server has it after all."""

    COUNT = 15_000                                      # the stream goes on while it heals, as the real one does

    def holes(self):
        rows = self.tsv('audit', directory=self.directory) if (self.directory / 'journal.db').exists() else []
        return [row for row in rows if row['what'] == 'hole']

    def tsv(self, *arguments, directory=None):
        if arguments[0] != 'audit':
            return super().tsv(*arguments, directory=directory)
        text = self.wikitally('audit', '--data-dir', self.directory, '-o', 'tsv', code=(0, 1)).out.splitlines()
        return [dict(zip(text[0].split('\t'), line.split('\t'))) for line in text[1:]]

    def follow_holes(self, number, faults, planted, outcome):
        file = self.events(self.COUNT, number)
        with self.upstream(file, '--faults', faults) as server, self.follow_live(self.url(server)) as client:
            self.wait_for(lambda: (self.directory / 'journal.db').exists(), what='journal.db')
            self.wait_until_still()
            self.wait_for(lambda: len(self.holes()) >= planted and all(row['outcome'] == outcome for row in self.holes()),
                          timeout=90, what=f'{planted} holes that are {outcome}; there are {self.holes()}', pause=0.5)
            self.stop(client)
        return file

    def test_R4_holes_that_can_be_filled_are_filled(self):
        file = self.follow_holes(201, 'hole:every=600,times=5,connection=1', 5, 'healed')
        self.assertEqual(len(self.holes()), 5)
        self.assertEqual(self.wikitally('audit', '--data-dir', self.directory).code, 0)
        self.judge(self.ids(file))

    def test_R4_holes_of_the_server_s_own_are_reported_once(self):
        file = self.follow_holes(202, 'hole:every=700,times=4,keep=yes,connection=1', 4, 'unfilled')
        held = {json.loads(line)['meta']['id']: json.loads(line)['meta'] for line in file.read_bytes().splitlines()}
        got = self.journal_ids()
        ids = list(held)
        first = next(index for index, one in enumerate(ids) if one in got)
        missing = sorted((held[one]['topic'], held[one]['offset']) for one in ids[first:] if one not in got)
        said = sorted((row['topic'], offset) for row in self.holes() for offset in range(int(row['from']), int(row['to']) + 1))
        self.assertEqual(said, missing)
        self.assertEqual(len(missing), 4)
        self.assertEqual([one for one, number in got.items() if number > 1], [])
        self.assert_balanced()


class Mishaps(Resume):
    """What else a server does, all at once: nothing lost, nothing doubled, the ledger balances."""

    def run_through(self, number, *options, count=6000):
        file = self.events(count, number)
        with self.upstream(file, *options) as server, self.follow_live(self.url(server)) as client:
            self.wait_for(lambda: (self.directory / 'journal.db').exists(), what='journal.db')
            self.wait_until_still(seconds=15)          # longer than it may wait before it connects again
            self.stop(client)
        return self.judge(self.ids(file))

    def test_R2_duplicates_and_rewinds(self):
        self.run_through(301, '--cut-after', '2s', '--faults', 'duplicate:every=50;rewind:every=300,by=40')
        self.assertGreater(self.source_ledger()['duplicate'], 100)

    def test_cuts_anywhere_garbage_and_refusals(self):
        self.run_through(302, '--cut-after', '3s', '--faults',
                         'cut:at=900;cut:at=9000;reset:at=2500;bad-utf8:at=700;comments:every=500;error-event:at=5000;5xx:at=3;gzip')
        self.assertEqual(self.source_ledger()['dead'], 1)

    def test_killed_between_cuts(self):
        """kill -9 of ours while the server cuts: what was not durable comes again, what was does not."""
        random = wikitally.seed('killed between cuts')
        file = self.events(9000, 303)
        with self.upstream(file, '--cut-after', '700ms', '--switch-at', '3000') as server:
            url = self.url(server)
            for _ in range(10):
                with self.follow_live(url) as client:
                    time.sleep(random.uniform(0.3, 1.5))
                    client.kill()
            with self.follow_live(url) as client:
                self.wait_until_still(seconds=6)
                self.stop(client)
        self.judge(self.ids(file))


if __name__ == '__main__':
    unittest.main()
