"""Resume through a connection that is slow, sliced, stalled, cut in the middle of a line and reset (R3): nothing is lost, nothing doubled."""
import re
import sys
import unittest

import wikitally
from test_resume import RATE, Resume

sys.path.insert(0, str(wikitally.ROOT / 'tests/fake'))
from proxy import Faults, Proxy                         # noqa: E402  (after the path)

COUNT = 4000


class Proxied(Resume):
    def each(self, number):
        """In turn, then none. Where in a record it strikes is up to chance. The stream has some 6 MB, and after a resume comes all of it
        again: what strikes within 2 MB comes by before the last event does; the last fault may strike anywhere."""
        after = self.random.randrange(1000, 2_000_000)
        faults = (Faults(cut_after=after), Faults(reset_after=after), Faults(slice=self.random.randrange(300, 700), cut_after=after // 10),
                  Faults(latency=0.002, reset_after=after), Faults(stall_after=after // 10, stall_for=1.5, cut_after=after),
                  Faults(cut_after=self.random.randrange(1, 300)), Faults(cut_after=self.random.randrange(1000, 6_000_000)))
        return faults[number] if number < len(faults) else Faults()

    def test_R3_every_fault_of_a_connection(self):
        self.random = wikitally.seed('proxy')
        file = self.events(COUNT, 401)
        held = self.ids(file)
        with self.upstream(file) as server, Proxy(int(re.search(r':(\d+)/', self.url(server))[1]), self.each) as proxy:
            url = re.sub(r':\d+/', f':{proxy.port}/', self.url(server))
            with self.follow_live(url) as client:
                self.wait_for(lambda: (self.directory / 'journal.db').exists(), what='journal.db')
                self.wait_for(lambda: held[-1] in self.journal_ids(), timeout=120, what='the last event', pause=1)
                self.stop(client)
        self.assertGreater(self.judge(held), COUNT // 2)
        print(f'{COUNT / RATE:.0f} s of stream: {dict(proxy.counts)}', flush=True)
        for fault in ('cut', 'reset', 'slice', 'latency', 'stall'):
            self.assertGreater(proxy.counts[fault], 0, f'no {fault} came by')


if __name__ == '__main__':
    unittest.main()
