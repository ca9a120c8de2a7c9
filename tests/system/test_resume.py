"""Resume without loss (R3, R4), on the wire: `wikitally upstream` cuts, forgets, rewinds and switches; nothing is lost and
nothing doubled, by meta.id against what it held. Beside it the textbook client, and how many it loses."""
import collections
import json
import pathlib
import re
import signal
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

    def url(self, process):
        def found():
            match = re.search(r'http://\S+', process.log.read_text(errors='replace'))
            return match and match[0]
        return self.wait_for(found, what='the address of the server')

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
    def schedule(self, number, *options, textbook=True):
        count = int(RATE * CUTS * CUT_AFTER_MS / 1000 * 1.6)
        file = self.events(count, number)
        held = self.ids(file)
        options = ['--cut-after', f'{CUT_AFTER_MS}ms', *options]
        with self.upstream(file, *options) as server:
            with self.follow_live(self.url(server)) as client:
                self.wait_for(lambda: (self.directory / 'journal.db').exists(), what='journal.db')
                self.wait_until_still()
                cuts = self.reconnects(client)
                self.stop(client)
        total = self.judge(held)
        self.assertGreaterEqual(cuts, CUTS)
        said = f'{cuts:.0f} cuts, {total} events: lost 0, doubled 0'
        if textbook and TEXTBOOK.exists():
            lost, doubled = self.textbook(file, held, *options)
            said += f'; the textbook client: lost {lost}, doubled {doubled}'
        print(said, flush=True)

    def textbook(self, file, held, *options):
        out = self.folder / 'textbook.ids'
        with self.upstream(file, *options) as server:
            with open(out, 'wb') as ids:
                client = subprocess.Popen([sys.executable, TEXTBOOK, self.url(server)], stdout=ids, stderr=subprocess.DEVNULL)
            time.sleep(len(held) / RATE + 3)
            client.send_signal(signal.SIGTERM)
            client.wait(10)
        got = collections.Counter(out.read_text().split())
        if not got:
            return 'nothing received', 0
        first = next(index for index, one in enumerate(held) if one in got)
        return sum(one not in got for one in held[first:]), sum(number - 1 for number in got.values())

    def test_R3_ids_in_milliseconds(self):
        self.schedule(101)

    def test_R3_ids_in_whole_seconds(self):
        self.schedule(102, '--seconds')

    def test_R3_a_data_centre_switch_between_cuts(self):
        self.schedule(103, '--switch-at', str(RATE * 5))

    def test_R3_a_switch_and_whole_seconds_and_canaries(self):
        self.schedule(104, '--seconds', '--switch-at', str(RATE * 7), '--canaries')


if __name__ == '__main__':
    unittest.main()
