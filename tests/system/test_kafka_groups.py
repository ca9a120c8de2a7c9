"""Several instances that share the partitions of a journal on Kafka and write to the same statistics topics (R6, R10, C-K7, C-K8).

The judge is test_kafka_stats's: what the topics hold is what one that read everything has in its results.db, and no reader of what
is committed saw a row twice or taken back. WIKITALLY_ROWS=N runs the night's size."""

import collections
import contextlib
import re
import signal
import threading
import time
import unittest

import kafka
import kafka_proxy
import test_kafka_stats as stats
import wikitally
from kafka_proxy import END, PRODUCE

setUpModule = stats.setUpModule
PARTITIONS = 4
FENCED = 82
ADD_PARTITIONS, ADD_OFFSETS, OFFSETS = 24, 25, 28       # api keys
JOIN = 60                                               # seconds until the group has settled, at most


class OnGroups(stats.OnTopics):
    schema = stats.NARROW

    def setUp(self):
        super().setUp()
        self.stack = self.enterContext(contextlib.ExitStack())
        self.ingester = self.configure('ingest')

    def configure(self, name, partitions=PARTITIONS, brokers=None, **options):
        """A directory. options: of kafka."""
        return self.declare(self.folder / name, self.name, brokers=brokers, kafka=options,
                            journal={'kind': 'kafka', 'topic': f'{self.name}-journal', 'partitions': partitions})

    def ingest(self, rate=400):
        process = self.stack.enter_context(self.running(*self.run_arguments(f'synthetic:{rate}', '--roles', 'ingest', directory=self.ingester, until=None)))
        self.wait_for(lambda: process.poll() is not None or self.journalled(), 60, 'the journal')
        return process

    def start(self, directory, *more, env=None):
        return self.stack.enter_context(self.running(*self.run_arguments('synthetic:1', '--roles', 'tasks', *more, directory=directory, until=None),
                                                     env=env))

    def journalled(self):
        with contextlib.suppress(kafka.KafkaError):
            return sum(kafka.end_offsets(stats.broker.bootstrap, f'{self.name}-journal').values())
        return 0

    def owned(self, process):
        """Its partitions, as it said last."""
        found = set()
        for number, what in re.findall(r'stats: partition (\d+) is (ours|another)', self.log_of(process)):
            (found.add if what == 'ours' else found.discard)(int(number))
        return found

    def wait_until_shared(self, *processes, partitions=PARTITIONS):
        """Each partition is somebody's, nobody has more than his part, and each writes."""
        def shared():
            ended = [p for p in processes if p.poll() is not None]
            self.assertEqual(ended, [], ''.join(self.log_of(p)[-2000:] for p in ended))
            owned = [self.owned(p) for p in processes]
            most = -(-partitions // len(processes))
            return sum(map(len, owned)) == partitions == len(set().union(*owned)) and max(map(len, owned)) <= most
        self.wait_for(shared, JOIN, lambda: f'partitions shared by all\n{[self.log_of(p)[-3000:] for p in processes]}', 0.2)
        before = self.lines()
        self.wait_for(lambda: len([k for k, position in self.lines().items() if position > before.get(k, -1)]) == partitions * len(self.schema), JOIN,
                      lambda: f'progress in all partitions\n{[self.log_of(p)[-3000:] for p in processes]}', 0.5)

    def finish(self, ingest, *processes, whole):
        """Nothing more comes; all of it is counted; everybody stops; `whole`: of one that stopped now, whose results.db holds it all."""
        self.stop(ingest)
        last = {r.partition: r.offset for r in kafka.consume(stats.broker.bootstrap, f'{self.name}-journal')}
        self.wait_for(lambda: all(position > last[partition] for (_, _, partition), position in self.lines().items()), JOIN, 'all of the journal counted', 0.5)
        for process in processes:
            self.stop(process, timeout=20)
        self.judge(whole)


class Sharing(OnGroups):
    def test_R6_CK8_instances_come_and_go(self):
        """One, two, three; one is stopped, one is killed and comes again: each partition is somebody's, and each event counted once."""
        one, two, three = (self.configure(name) for name in ('one', 'two', 'three'))
        with self.reading():
            ingest = self.ingest()
            first = self.start(one)
            self.wait_until_shared(first)
            second = self.start(two)
            self.wait_until_shared(first, second)
            third = self.start(three)
            self.wait_until_shared(first, second, third)
            second.kill()
            second.wait()
            self.wait_until_shared(first, third)
            second = self.start(two)
            self.wait_until_shared(first, second, third)
            self.stop(third, timeout=20)
            self.wait_until_shared(first, second)
            rows = stats.broker.group_describe(f'wikitally.{self.name}.state')
            self.assertEqual({(row['TOPIC'], int(row['PARTITION'])) for row in rows}, {(f'{self.name}-journal', p) for p in range(PARTITIONS)})
            self.assertEqual(len({row['CONSUMER-ID'] for row in rows}), 2)
            self.finish(ingest, first, second, whole=one)

    def test_static_membership_who_comes_again_finds_its_partitions(self):
        one, two = (self.configure(name) for name in ('one', 'two'))
        with self.reading():
            ingest = self.ingest()
            first, second = self.start(one), self.start(two)
            self.wait_until_shared(first, second)
            before, said = self.owned(second), self.log_of(first)
            second.kill()
            second.wait()
            second = self.start(two)
            self.wait_until_shared(first, second)
            self.assertEqual(self.owned(second), before)
            self.assertNotIn('partition', self.log_of(first)[len(said):])
            self.finish(ingest, first, second, whole=one)

    def test_dynamic_members_leave_at_once(self):
        properties = ['session.timeout.ms=45000']       # nobody waits for it
        one, two = (self.configure(name, static_membership=False, properties=properties) for name in ('one', 'two'))
        with self.reading():
            ingest = self.ingest()
            first, second = self.start(one), self.start(two)
            self.wait_until_shared(first, second)
            began = time.monotonic()
            self.stop(second, timeout=20)
            self.wait_until_shared(first)
            self.assertLess(time.monotonic() - began, 40)
            self.finish(ingest, first, whole=one)

    def test_CK10_the_same_name_twice(self):
        """A copy of a data directory, or a name given twice: the later one goes on."""
        one, two = (self.configure(name, instance='same') for name in ('one', 'two'))
        with self.reading():
            ingest = self.ingest()
            first = self.start(one)
            self.wait_until_shared(first)
            second = self.start(two)
            self.wait_for_end(first, FENCED, beside=second)
            self.wait_until_shared(second)
            self.finish(ingest, second, whole=two)

    def test_partitions_that_are_added_later(self):
        often = ['topic.metadata.refresh.interval.ms=1000']
        one, two = (self.configure(name, properties=often) for name in ('one', 'two'))
        with self.reading():
            ingest = self.ingest()
            first, second = self.start(one), self.start(two)
            self.wait_until_shared(first, second)
            self.stop(ingest)
            self.ingester = self.configure('ingest', PARTITIONS + 2)
            ingest = self.ingest()
            self.wait_until_shared(first, second, partitions=PARTITIONS + 2)
            self.finish(ingest, first, second, whole=one)


class Fenced(OnGroups):
    """Requests of the first instance are held back until another one has its partitions."""

    def hold(self, directory, *apis):
        """-> (held, go): the first request of these kinds, and all that follow it, wait for `go`."""
        name = f'wikitally.stats.{self.name}.state.{(directory / "instance").read_text().strip()}'.encode()
        held, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def handle(request):
            if request.api in apis and request.names(name):
                held.set()
                go.wait()
            stats.pass_on(request)

        self.addCleanup(setattr, stats.proxy, 'handle', stats.proxy.handle)
        stats.proxy.handle = handle
        return held, go

    def silent_while_it_writes(self, faults=None):
        """Its transaction is on the way when it stops; the other one counts the same records; then it arrives. All of it before a record
        would be too old to be sent (message.timeout.ms): that is not the fence."""
        properties = ['session.timeout.ms=6000', 'heartbeat.interval.ms=500']
        one, two = self.configure('one', 1, brokers=stats.proxy.address, properties=properties), self.configure('two', 1, properties=properties)
        self.ingester = self.configure('ingest', 1)
        ingest = self.ingest()
        first = self.start(one, *stats.OFTEN, env={'WIKITALLY_FAULTS': faults} if faults else None)
        self.wait_until_shared(first, partitions=1)
        second = self.start(two, *stats.OFTEN)
        self.wait_for(lambda: [(row['STATE'], row['#MEMBERS']) for row in stats.broker.group_describe(f'wikitally.{self.name}.state', '--state')] ==
                      [('Stable', '2')], JOIN, 'a second member', 0.5)
        held, go = self.hold(one, PRODUCE, ADD_PARTITIONS, ADD_OFFSETS, OFFSETS, END)
        self.assertTrue(held.wait(JOIN))
        time.sleep(0.2)
        first.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: self.owned(second), JOIN, lambda: f'that the other one has it\n{self.log_of(second)[-3000:]}', 0.02)
        self.wait_for_commit(second, 4)
        go.set()
        time.sleep(0.1)
        first.send_signal(signal.SIGCONT)
        self.wait_for(lambda: first.poll() is not None or re.search('lost|another', self.log_of(first)), JOIN, 'that it notices')
        time.sleep(2)
        self.finish(ingest, *[p for p in (first, second) if p.poll() is None], whole=two)

    def test_CK7_what_a_silent_one_wanted_to_write_is_refused(self):
        with self.reading():
            self.silent_while_it_writes()

    @unittest.skipUnless(stats.os.path.exists(wikitally.CHECKED), 'needs the build with seeded faults')
    def test_CK7_without_the_fence_rows_are_doubled(self):
        self.program = wikitally.CHECKED
        with self.assertRaisesRegex(AssertionError, 'doubled or taken back|wikitally_rows|rows, for example'), self.reading():
            self.silent_while_it_writes('CK7.offsets')

    def test_CK8_longer_silent_than_max_poll_interval(self):
        """It hangs in a commit: it is thrown out, and joins again."""
        properties = ['session.timeout.ms=6000', 'max.poll.interval.ms=8000']
        one, two = self.configure('one', brokers=stats.proxy.address, properties=properties), self.configure('two', properties=properties)
        with self.reading():
            ingest = self.ingest()
            first, second = self.start(one, *stats.OFTEN), self.start(two)
            self.wait_until_shared(first, second)
            held, go = self.hold(one, END)
            self.assertTrue(held.wait(JOIN))
            self.wait_for(lambda: len(self.owned(second)) == PARTITIONS, JOIN, 'that the other one has all')
            go.set()
            self.wait_until_shared(first, second)
            self.finish(ingest, first, second, whole=two)


if __name__ == '__main__':
    unittest.main()
