"""wikitally topics and groups: what stands in Kafka and in the embedded journal, to the byte, and how far readers are behind."""
import contextlib
import ctypes
import io
import json
import pathlib
import re
import shutil
import socketserver
import struct
import tempfile
import threading
import time
import unittest

import kafka
import wikitally

AT = 1_780_000_000_000          # ms; timestamps count from here
METADATA, LIST_OFFSETS = 3, 2   # API keys of the protocol

# As in kafka.py.
MORE = """
i commit p p i              i subscribe p p             p consumer_poll p i         i consumer_close p
i assignment p p
"""


def library():
    """kafka.library() and what these tests want more of it."""
    ours = kafka.ROOT / 'deps/librdkafka/lib/librdkafka.so.1'
    found = ctypes.CDLL(str(ours) if ours.exists() else 'librdkafka.so.1')
    for returns, name, takes in kafka.SIGNATURE.findall(MORE):
        kafka.library()[name] = function = getattr(found, f'rd_kafka_{name}')
        function.restype = kafka.TYPES[returns]
        function.argtypes = [kafka.TYPES[letter] for letter in takes.split()]
    return kafka.library()


rd = kafka.rd


def group_commit(bootstrap, group, topic, offsets):
    """What a group without members has committed: {partition: offset}."""
    with kafka.client(kafka.CONSUMER, bootstrap, {'group_id': group, 'enable_auto_commit': 'false'}) as handle:
        with kafka.partition_list(topic, offsets) as wanted:
            kafka.wait_until(lambda: not rd('commit', handle, wanted, 0), f'group "{group}" cannot commit')


@contextlib.contextmanager
def group_member(bootstrap, group, topic):
    """A consumer that was assigned something."""
    conf = {'group_id': group, 'enable_auto_commit': 'false', 'client_id': 'a \x1b[31mclient'}
    with kafka.client(kafka.CONSUMER, bootstrap, conf) as handle, kafka.partition_list(topic, {-1: 0}) as wanted:
        kafka.must(rd('subscribe', handle, wanted))

        def assigned():
            message = rd('consumer_poll', handle, 50)
            if message:
                rd('message_destroy', message)
            found = ctypes.c_void_p()
            kafka.must(rd('assignment', handle, ctypes.byref(found)))
            count = kafka.seen(kafka.PartitionList, found)[0].count
            rd('topic_partition_list_destroy', found)
            return count
        kafka.wait_until(assigned, 'nothing is assigned')
        yield
        rd('consumer_close', handle)


@contextlib.contextmanager
def open_transaction(bootstrap, topic, records):
    with kafka.client(kafka.PRODUCER, bootstrap, {'transactional_id': f'open-{topic}', 'linger_ms': 1}) as handle:
        kafka.must_not_fail(rd('init_transactions', handle, kafka.TIMEOUT_MS))
        kafka.must_not_fail(rd('begin_transaction', handle))
        for record in records:
            kafka.produce_one(handle, topic.encode(), *record)
        kafka.must(rd('flush', handle, kafka.TIMEOUT_MS))
        yield
        kafka.must_not_fail(rd('abort_transaction', handle, kafka.TIMEOUT_MS))


def value(number):
    return json.dumps({'meta': {'id': str(number)}, 'wiki': 'dewiki' if number % 2 else 'enwiki', 'n': number}).encode()


def records(numbers, partition=0):
    return [(partition, None, value(n), (), AT + 1000 * n) for n in numbers]


def stamp(ms):
    text = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))
    return f'{text}.{ms % 1000:03d}000Z' if ms % 1000 else f'{text}Z'


class Looking(wikitally.Case):
    def rows(self, *arguments, **options):
        return [json.loads(line) for line in self.ask(*arguments, '-o', 'jsonl', **options).out.splitlines()]

    def raw(self, *arguments, **options):
        return self.ask(*arguments, **options).out.encode('utf-8', 'surrogateescape')

    def offsets(self, *arguments, **options):
        return [(row['partition'], row['offset']) for row in self.rows('topics', 'messages', *arguments, **options)]

    def err(self, *arguments, **options):
        return self.ask(*arguments, **options).err


class Cluster(Looking):
    @classmethod
    def setUpClass(cls):
        library()
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix='wikitally-topics-'))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.broker = kafka.Broker(cls.home / 'kafka').start()
        cls.addClassCleanup(cls.broker.kill)
        cls.at = cls.broker.bootstrap

    def ask(self, *arguments, **options):
        return self.wikitally(*arguments, '--set', f'kafka.brokers={self.at}', **options)

    def topic(self, count=1, made=(), **options):
        """A new topic with these records in it."""
        name = self.id().rsplit('.', 1)[1].removeprefix('test_')[:60]
        kafka.topics_create(self.at, name, count, **options)
        if made:
            kafka.produce(self.at, name, made)
        return name

    # ------------------------------------------------------------------------------------------------- list, show

    def test_list(self):
        name = self.topic(3, records(range(5), 0) + records(range(2), 2))
        rows = {row['topic']: row for row in self.rows('topics', 'list')}
        self.assertEqual(rows[name], {'topic': name, 'partitions': 3, 'replication': 1, 'records': 7, 'under_replicated': 0,
                                      'internal': False})
        self.assertEqual(list(rows), sorted(rows))
        self.assertRegex(self.err('topics'), rf'^cluster "{kafka.CLUSTER}": \d+ topics, 1 broker, controller 1\n$')
        self.assertEqual(self.err('topics', 'list', '-q'), '')

    def test_0_looking_makes_no_topics(self):
        """Not even __consumer_offsets, as a client does that asks for its group's coordinator. Comes first: others have groups."""
        self.assertEqual(self.rows('topics', 'list'), [])
        self.ask('topics', 'show', 'nowhere', code=66)
        self.assertEqual(self.rows('groups', 'list'), [])
        time.sleep(0.3)
        self.assertEqual(self.rows('topics', 'list'), [])

    def test_show(self):
        name = self.topic(2, records(range(4), 1), config={'retention.ms': 86400000, 'max.message.bytes': 5000})
        self.assertEqual(self.rows('topics', 'show', name), [
            {'partition': p, 'leader': 1, 'replicas': '1', 'in_sync': '1', 'head': 0, 'end': end, 'high': end}
            for p, end in ((0, 0), (1, 4))])
        settings = {row['setting']: (row['value'], row['origin']) for row in self.rows('topics', 'show', name, '--settings')}
        self.assertEqual(settings['retention.ms'], ('86400000', 'topic'))
        self.assertEqual(settings['max.message.bytes'], ('5000', 'topic'))
        self.assertNotIn('segment.bytes', settings)
        text = self.ask('topics', 'show', name).out
        self.assertIn('\n\nsetting ', text)
        done = self.ask('topics', 'show', name + 'x', code=66)
        self.assertEqual((done.out, done.err),
                         ('', f'wikitally: there is no topic "{name}x" in the cluster; see "wikitally topics list"\n'))

    def test_the_end_is_before_an_open_transaction(self):
        name = self.topic(1, records(range(3)))
        with open_transaction(self.at, name, records([7, 8])):
            row, = self.rows('topics', 'show', name)
            self.assertEqual((row['head'], row['end'], row['high']), (0, 3, 5))
            self.assertEqual(self.offsets(name), [(0, 0), (0, 1), (0, 2)])

        def settled():          # the mark of the abort is written behind the answer to it
            row, = self.rows('topics', 'show', name)
            return (row['head'], row['end'], row['high']) == (0, 6, 6)
        self.wait_for(settled)
        self.assertEqual(self.offsets(name), [(0, 0), (0, 1), (0, 2)])

    # --------------------------------------------------------------------------------------------------- messages

    ODD = ((0, b'k\x00\n', b'\xff\x00v\n\r\x1b[31m', [('wikitally.kind', b'change')], AT), (0, None, b'', [], AT + 1),
           (0, b'', None, [], AT + 1000), (0, 'ключ'.encode(), '{"ü": "\u202e"}\n'.encode(), [('other', b'x')], AT + 2000))

    def test_bytes_are_exact(self):
        name = self.topic(1, self.ODD)
        values = [record[2] for record in self.ODD if record[2] is not None]
        self.assertEqual(self.raw('topics', 'messages', name, '-o', 'raw'), b''.join(v + b'\n' for v in values))
        self.assertEqual(self.raw('topics', 'messages', name, '-o', 'raw', '-0'), b''.join(v + b'\0' for v in values))
        self.assertEqual(self.raw('topics', 'export', name, '-'), b''.join(v + b'\n' for v in values))
        file = self.folder / 'values'
        said = self.err('topics', 'export', name, file)
        self.assertEqual(file.read_bytes(), b''.join(v + b'\n' for v in values))
        self.assertEqual(said, 'looked at 4 records, offsets 0..3 of partition 0\nleft out 1 records that have no value\n'
                               f'3 values, {len(file.read_bytes())} bytes\n')
        self.assertIn('File exists', self.err('topics', 'export', name, file, code=73))
        self.assertEqual(file.read_bytes(), b''.join(v + b'\n' for v in values))
        self.assertIn('| zstd', self.err('topics', 'export', name, self.folder / 'x.zst', code=2))
        self.assertFalse((self.folder / 'x.zst').exists())

    def test_a_full_disk_leaves_no_half_a_file(self):
        name = self.topic(1, [(0, None, bytes(100_000), (), AT)] * 20)
        with self.small_disk('512k') as disk:
            self.assertIn('No space left', self.err('topics', 'export', name, disk / 'values', code=74))
            self.assertEqual(list(disk.iterdir()), [])

    def test_rows(self):
        name = self.topic(1, self.ODD)
        common = {'partition': 0, 'kind': None}
        self.assertEqual(self.rows('topics', 'messages', name), [
            {**common, 'offset': 0, 'timestamp': stamp(AT), 'key': 'k\x00\n', 'kind': 'change', 'size': 10,
             'value': '\ufffd\x00v\n\r\x1b[31m'},
            {**common, 'offset': 1, 'timestamp': stamp(AT + 1), 'key': None, 'size': 0, 'value': ''},
            {**common, 'offset': 2, 'timestamp': stamp(AT + 1000), 'key': '', 'size': None, 'value': None},
            {**common, 'offset': 3, 'timestamp': stamp(AT + 2000), 'key': 'ключ', 'size': 14, 'value': '{"ü": "\u202e"}\n'}])
        table = self.ask('topics', 'messages', name).out
        self.assertEqual(re.findall(r'[^\n\x20-\x7eа-яü]', table), [])
        self.assertEqual(len(table.splitlines()), 5)

    def test_aborted_records_are_not_shown(self):
        name = self.topic()
        for numbers, end in ((range(3), 'commit'), (range(3, 8), 'abort'), (range(8, 10), 'commit'), (range(10, 12), 'abort')):
            kafka.produce(self.at, name, records(numbers), transaction=end)     # a mark behind each
        wanted = [0, 1, 2, 10, 11]
        done = self.ask('topics', 'messages', name, '-o', 'jsonl')
        self.assertEqual([json.loads(line)['offset'] for line in done.out.splitlines()], wanted)
        self.assertEqual(done.err, 'looked at 5 records, offsets 0..15 of partition 0\n')
        for last in (1, 2, 3, 5, 6):
            self.assertEqual(self.offsets(name, '--last', last), [(0, offset) for offset in wanted[-last:]])
        self.assertEqual(self.raw('topics', 'export', name, '-'), b''.join(value(n) + b'\n' for n in (0, 1, 2, 8, 9)))

    def test_where_it_begins_and_ends(self):
        name = self.topic(2, records(range(10), 0) + records(range(10, 14), 1))
        both = [(0, n) for n in range(10)] + [(1, n) for n in range(4)]
        for arguments, wanted in (([], both), (['--from', 'earliest'], both), (['--partition', 1], both[10:]),
                                  (['--from', 8], both[8:10]), (['--from', stamp(AT + 9000)], both[9:]),
                                  (['--from', stamp(AT + 8001)], both[9:]), (['--last', 2], both[8:10] + both[12:]),
                                  (['--last', 100], both), (['-n', 3], both[:3]), (['-n', 12], both[:12]),
                                  (['--from', 3, '-n', 1, '--partition', 0], both[3:4])):
            with self.subTest(arguments):
                self.assertEqual(self.offsets(name, *arguments), wanted)
        for arguments in (['--from', 'latest'], ['--from', 10], ['--from', '5000']):
            self.assertEqual(self.offsets(name, *arguments, code=1), [])
        self.assertEqual(self.err('topics', 'messages', name, '-n', 3),
                         'looked at 3 records, offsets 0..2 of partition 0\nlooked at 0 records of 1 other partition\n')
        for arguments in (['--from', 'soon'], ['--from', '-1'], ['--from', '1', '--last', '1'], ['--last', '1000001']):
            self.assertEqual(self.ask('topics', 'messages', name, *arguments, code=2).out, '')
        self.assertIn('there are 2, from 0', self.err('topics', 'messages', name, '--partition', 2, code=66))
        self.ask('topics', 'messages', 'nowhere', code=66)

    def test_what_retention_took_is_said(self):
        name = self.topic(1, records(range(6)))
        kafka.delete_records(self.at, name, {0: 4})
        self.assertEqual(self.offsets(name), [(0, 4), (0, 5)])
        self.assertEqual(self.offsets(name, '--last', 5), [(0, 4), (0, 5)])
        done = self.ask('topics', 'messages', name, '--from', 3, '-o', 'jsonl', code=3)
        self.assertEqual([json.loads(line)['offset'] for line in done.out.splitlines()], [4, 5])
        self.assertIn('offset 3 is gone', done.err)
        self.assertEqual(self.offsets(name, '--from', 4), [(0, 4), (0, 5)])

    def test_filter(self):
        name = self.topic(1, [*records(range(6)), (0, None, b'no JSON', (), AT), (0, None, None, (), AT)])
        self.assertEqual(self.offsets(name, 'wiki:enwiki'), [(0, 0), (0, 2), (0, 4)])
        self.assertEqual(self.offsets(name, 'wiki:dewiki', 'n:>2'), [(0, 3), (0, 5)])
        self.assertEqual(self.offsets(name, 'NOT wiki:dewiki', '-n', 2), [(0, 0), (0, 2)])
        self.assertEqual(self.offsets(name, 'wiki:frwiki', code=1), [])
        self.assertEqual(self.raw('topics', 'export', name, '-', 'n:4'), value(4) + b'\n')
        self.assertIn('column', self.err('topics', 'messages', name, '(wiki:enwiki', code=2))
        self.assertEqual(self.err('topics', 'messages', name, 'n:4'), 'looked at 8 records, offsets 0..7 of partition 0\n')

    def test_follow(self):
        name = self.topic(2, records(range(3)))
        command = ['topics', 'messages', name, '--follow', '-n', '3', '-o', 'raw', '--set', f'kafka.brokers={self.at}']
        with self.running(*command) as process:
            time.sleep(0.5)
            for number in (3, 4):
                kafka.produce(self.at, name, records([number], number % 2), transaction='commit')
            kafka.produce(self.at, name, records([5], 1), transaction='abort')
            kafka.produce(self.at, name, records([6], 1), transaction='commit')
            out = process.stdout.read()
            self.assertEqual(process.wait(10), 0)
        self.assertEqual(sorted(out.splitlines()), [value(n) for n in (3, 4, 6)])

    # ----------------------------------------------------------------------------------------------------- groups

    def test_lag(self):
        name = self.topic(3, records(range(10), 0) + records(range(10, 15), 1))
        group_commit(self.at, 'readers of it', name, {0: 4, 1: 5, 2: 0})
        self.assertEqual(self.rows('groups', 'lag', 'readers of it'), [
            {'group': 'readers of it', 'topic': name, 'partition': p, 'committed': committed, 'end': end, 'messages': messages,
             'seconds': seconds, 'since': since}
            for p, committed, end, messages, seconds, since in ((0, 4, 10, 6, 5, stamp(AT + 4000)), (1, 5, 5, 0, 0, None),
                                                                (2, 0, 0, 0, 0, None))])
        for limits, code in ((['--max-messages', 6], 0), (['--max-messages', 5], 1), (['--max-seconds', 5], 0),
                             (['--max-seconds', 4], 1), (['--max-seconds', 5, '--max-messages', 0], 1)):
            with self.subTest(limits):
                self.assertEqual(self.err('groups', 'lag', 'readers of it', *limits, code=code),
                                 'group "readers of it": 6 messages, 5 s behind\n')
        self.assertIn({'group': 'readers of it', 'state': 'Empty'}, self.rows('groups', 'list'))
        row, = self.rows('groups', 'show', 'readers of it')
        self.assertEqual((row['state'], row['member'], row['partitions']), ('Empty', None, None))

    def test_lag_ends_at_0_behind_a_mark(self):
        name = self.topic(2)
        kafka.produce(self.at, name, records(range(3)), transaction='commit')
        kafka.produce(self.at, name, records(range(3, 300)), transaction='abort')
        kafka.produce(self.at, name, records(range(300, 501), 1), transaction='commit')
        kafka.produce(self.at, name, records(range(501, 800), 1), transaction='abort')
        group_commit(self.at, 'behind marks', name, {0: 3, 1: 0})
        self.wait_for(lambda: kafka.end_offsets(self.at, name) == {0: 302, 1: 502})
        rows = self.rows('groups', 'lag', 'behind marks')
        self.assertEqual([(row['committed'], row['end'], row['messages'], row['seconds']) for row in rows],
                         [(3, 302, 0, 0), (0, 502, 502, 200)])      # the newest stands far before the end
        group_commit(self.at, 'behind marks', name, {1: 201})
        self.ask('groups', 'lag', 'behind marks', '--max-messages', 0, '--max-seconds', 0)
        with open_transaction(self.at, name, records([999])):
            self.ask('groups', 'lag', 'behind marks', '--max-messages', 0)

    def test_lag_of_what_is_gone(self):
        name = self.topic(1, records(range(6)))
        group_commit(self.at, 'late', name, {0: 1})
        kafka.delete_records(self.at, name, {0: 4})
        row, = self.rows('groups', 'lag', 'late')
        self.assertEqual((row['committed'], row['end'], row['messages'], row['since']), (1, 6, 2, stamp(AT + 4000)))

    def test_a_group_that_is_not_there(self):
        """A check must not pass because of a misspelt name."""
        self.ask('groups', 'lag', 'nobody', '--max-messages', 5, code=66)
        self.ask('groups', 'show', 'nobody', code=66)
        self.ask('groups', 'lag', code=2)
        self.ask('groups', 'eat', code=2)

    def test_members(self):
        name = self.topic(2)
        with group_member(self.at, 'team', name):
            row, = self.rows('groups', 'show', 'team')
            self.assertEqual((row['group'], row['state'], row['client'], row['partitions']),
                             ('team', 'Stable', 'a \x1b[31mclient', f'{name}/0,{name}/1'))
            self.assertNotIn('\x1b', self.ask('groups', 'show', 'team').out)
            self.assertIn({'group': 'team', 'state': 'Stable'}, self.rows('groups', 'list'))


class FakeBroker(socketserver.ThreadingTCPServer):
    """As much of Kafka's protocol as a list of topics needs, of a cluster of any size, with the requests that came. A real broker
    takes half a minute to make a thousand topics."""
    daemon_threads, allow_reuse_address = True, True
    SPOKEN = {18: (0, 3), METADATA: (0, 2), LIST_OFFSETS: (2, 2)}

    def __init__(self, cluster):
        super().__init__(('127.0.0.1', 0), FakeConnection)
        self.cluster, self.node = cluster, len(cluster.brokers)
        cluster.brokers.append(self)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class FakeConnection(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(4):
            request = io.BytesIO(self.rfile.read(int.from_bytes(head, 'big')))
            key, version, number, size = struct.unpack('>hhih', request.read(10))
            request.read(size)
            self.server.cluster.requests.append(key)
            body = {18: self.versions, METADATA: self.metadata, LIST_OFFSETS: self.offsets}[key](request, version)
            self.wfile.write(struct.pack('>ii', len(body) + 4, number) + body)

    def versions(self, _request, version):
        listed = [struct.pack('>hhh', key, *span) for key, span in FakeBroker.SPOKEN.items()]
        if version < 3:
            return struct.pack('>hi', 0, len(listed)) + b''.join(listed)
        return struct.pack('>hB', 0, len(listed) + 1) + b''.join(one + b'\0' for one in listed) + bytes(5)

    def metadata(self, request, _version):
        cluster = self.server.cluster
        count = struct.unpack('>i', request.read(4))[0]
        names = cluster.topics if count < 0 else [request.read(struct.unpack('>h', request.read(2))[0]) for _ in range(count)]
        nodes = [struct.pack('>i', broker.node) + string(b'127.0.0.1') + struct.pack('>ih', broker.server_address[1], -1)
                 for broker in cluster.brokers]
        topics = [struct.pack('>h', 0) + string(name) + struct.pack('>bi', 0, cluster.partitions)
                  + b''.join(struct.pack('>hiiiiiiii', 0, p, cluster.leader(p), 2, 0, 1, 2, 0, 1) for p in range(cluster.partitions))
                  for name in names]
        return (struct.pack('>i', len(nodes)) + b''.join(nodes) + string(b'fake') + struct.pack('>ii', 0, len(topics))
                + b''.join(topics))

    def offsets(self, request, _version):
        cluster, out = self.server.cluster, []
        _replica, isolation, count = struct.unpack('>ibi', request.read(9))
        for _ in range(count):
            name = request.read(struct.unpack('>h', request.read(2))[0])
            asked = [struct.unpack('>iq', request.read(12)) for _ in range(struct.unpack('>i', request.read(4))[0])]
            out.append(string(name) + struct.pack('>i', len(asked)) + b''.join(
                struct.pack('>ihqq', p, 6 if (name, p) in cluster.lost else 0, -1, 5 if at == -2 else 25 + isolation)
                for p, at in asked))
        return struct.pack('>ii', 0, count) + b''.join(out)


def string(text):
    return struct.pack('>h', len(text)) + text


class FakeCluster:
    def __init__(self, topics, partitions, nodes, lost=()):
        self.topics, self.partitions, self.lost = topics, partitions, lost      # lost: what its broker does not lead any more
        self.brokers, self.requests = [], []
        for _ in range(nodes):
            FakeBroker(self)

    def leader(self, partition):
        return partition % len(self.brokers)


class Requests(Looking):
    def ask(self, *arguments, **options):
        return self.wikitally(*arguments, '--set', f'kafka.brokers={self.at}', **options)

    def cluster(self, *arguments):
        cluster = FakeCluster(*arguments)
        self.at = f'127.0.0.1:{cluster.brokers[0].server_address[1]}'
        for broker in cluster.brokers:
            self.addCleanup(broker.server_close)
            self.addCleanup(broker.shutdown)
        return cluster

    def test_a_thousand_topics_are_a_request_per_broker_not_per_row(self):
        topics = [b'topic-%04d' % number for number in range(1000)]
        cluster = self.cluster(topics[::-1], 10, 3)
        begun = time.monotonic()
        rows = self.rows('topics', 'list')
        took = time.monotonic() - begun
        self.assertEqual(rows, [{'topic': name.decode(), 'partitions': 10, 'replication': 2, 'records': 10 * 21, 'internal': False,
                                 'under_replicated': 0} for name in topics])
        self.assertEqual(cluster.requests.count(LIST_OFFSETS), 2 * 3)
        self.assertLess(cluster.requests.count(METADATA), 10)
        self.assertLess(took, 5)

    def test_a_partition_that_moves_takes_nothing_else_with_it(self):
        self.cluster([b'here', b'moving', b'there'], 2, 1, {(b'moving', 1)})
        self.assertEqual([(row['topic'], row['records']) for row in self.rows('topics', 'list')],
                         [('here', 42), ('moving', None), ('there', 42)])

    def test_no_cluster(self):
        self.at = '127.0.0.1:1'
        done = self.ask('topics', 'list', '--timeout', '20s', code=69)
        self.assertRegex(done.err, r'^wikitally: kafka 127\.0\.0\.1:1: asking for the topics: [^\n]+\n$')


class Embedded(Looking):
    """The journal of the data directory, as one topic; the aggregations, as groups."""

    TOPIC = 'wikimedia.recentchange'

    def setUp(self):
        super().setUp()
        self.file = self.synth(2000, 12)

    def ask(self, *arguments, **options):
        return self.wikitally(*arguments, '--data-dir', self.directory, **options)

    def test_topics(self):
        self.follow(f'replay:{self.file}', '--set', 'journal.partitions=2')
        stored = self.envelopes()
        ends = [sum(row['partition'] == p for row in stored) for p in (0, 1)]
        row, = self.rows('topics', 'list')
        self.assertEqual(row, {'topic': self.TOPIC, 'partitions': 2, 'replication': None, 'records': len(stored),
                               'under_replicated': None, 'internal': False})
        self.assertEqual([(row['partition'], row['head'], row['end']) for row in self.rows('topics', 'show', self.TOPIC)],
                         [(p, 0, ends[p]) for p in (0, 1)])
        self.assertEqual(self.rows('topics', 'show', self.TOPIC, '--settings'), [])
        dumped = self.raw('journal', 'dump', '--raw')
        self.assertEqual(self.raw('topics', 'export', self.TOPIC, '-'), dumped)
        self.assertEqual(self.raw('topics', 'messages', self.TOPIC, '-o', 'raw'), dumped)
        self.assertEqual(self.offsets(self.TOPIC), [(row['partition'], row['offset']) for row in stored])
        self.assertEqual(self.offsets(self.TOPIC, '--last', 3),
                         [(p, offset) for p in (0, 1) for offset in range(ends[p] - 3, ends[p])])
        bots = [(row['partition'], row['offset']) for row in stored if row['value'].get('bot') is True]
        self.assertTrue(bots)
        self.assertEqual(self.offsets(self.TOPIC, 'bot:true'), bots)
        self.assertIn(f'looked at {ends[0]} records, offsets 0..{ends[0] - 1} of partition 0\n',
                      self.err('topics', 'messages', self.TOPIC, '-o', 'raw'))
        self.ask('topics', 'show', 'another', code=66)
        self.ask('topics', 'messages', 'another', code=66)

    def test_groups(self):
        self.follow(f'replay:{self.file}', until='500')
        before = self.folder / 'before'
        shutil.copytree(self.directory, before)
        self.follow(f'replay:{self.file}')
        self.assertEqual(sorted(row['group'] for row in self.rows('groups', 'list')), sorted(wikitally.BUILT_IN))
        end = len(self.envelopes())
        row, = self.rows('groups', 'lag', 'titles')
        self.assertEqual((row['topic'], row['committed'], row['end'], row['messages'], row['seconds']),
                         (self.TOPIC, end, end, 0, 0))
        for file in self.directory.glob('results.db*'):
            file.unlink()
        for file in before.glob('results.db*'):
            shutil.copy(file, self.directory)
        row, = self.rows('groups', 'lag', 'titles')
        self.assertEqual((row['committed'], row['end'], row['messages']), (500, end, end - 500))
        self.assertIsNotNone(row['since'])
        self.ask('groups', 'lag', 'titles', '--max-messages', end - 500)
        self.ask('groups', 'lag', 'titles', '--max-messages', end - 501, code=1)
        row, = self.rows('groups', 'show', 'titles')
        self.assertEqual((row['state'], row['partitions']), ('shown', f'{self.TOPIC}/0'))
        self.ask('groups', 'lag', 'title', code=66)

    def test_nothing_there(self):
        self.ask('topics', 'list', code=66)
        self.ask('groups', 'list', code=66)
        self.assertFalse(self.directory.exists())


if __name__ == '__main__':
    unittest.main()
