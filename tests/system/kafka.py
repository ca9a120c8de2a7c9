"""A real Kafka broker for tests, and what tests put into it and read from it without our own program.

    with kafka.Broker(folder / 'kafka') as broker:
        kafka.topics_create(broker.bootstrap, 'changes', 4)

The jars are those of `tools/deps test` (deps/kafka/VERSION/lib); where they are missing, Broker raises SkipTest. The client is
librdkafka itself by ctypes (deps/librdkafka/lib, else the system's): keys, values and headers are exact to the byte, and a call
takes milliseconds where Kafka's own tools take a second. Only `group_describe` and `tool` start those.

Every function of the client takes `**conf`: options of librdkafka with _ for . (security_protocol='SSL').

`python3 tests/system/kafka.py` tries it all out and prints the times.
"""
import atexit
import collections
import contextlib
import ctypes
import functools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
JARS = ROOT / 'deps/kafka'
VERSION, OLDER = '4.3.1', '3.9.2'       # as in tools/deps
CLUSTER = 'MkU3OEVBNTcwNTJENDM2Qg'
JAVA = ('setpriv', '--pdeathsig', 'KILL', 'java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-XX:-UsePerfData')


# -------------------------------------------------------------------------------------------------------------- the broker

SETTINGS = {
    'process.roles': 'broker,controller', 'node.id': '1',
    'inter.broker.listener.name': 'PLAINTEXT', 'controller.listener.names': 'CONTROLLER',
    # one broker: without these, groups and transactions never become available
    'offsets.topic.replication.factor': '1', 'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1', 'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    # no 3 s wait at the first join; no topics by accident; events carry their own old timestamps
    'group.initial.rebalance.delay.ms': '0', 'auto.create.topics.enable': 'false', 'log.retention.ms': '-1',
    # after a kill the old registration must time out first: 9 s by default
    'broker.session.timeout.ms': '3000', 'broker.heartbeat.interval.ms': '500',
    'controller.quorum.election.timeout.ms': '200', 'controller.quorum.fetch.timeout.ms': '500',
    'num.network.threads': '2', 'num.io.threads': '4',
    'log.cleaner.dedupe.buffer.size': '16777216',
}
SETTINGS_4 = {'share.coordinator.state.topic.replication.factor': '1', 'share.coordinator.state.topic.min.isr': '1'}
# Without these 4.x prints errors only. 3.9 speaks log4j 1.
LOGGING_4 = '''status = error
appender.c.type = Console
appender.c.name = c
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.c.ref = c
'''
LOGGING_3 = '''log4j.rootLogger = INFO, c
log4j.appender.c = org.apache.log4j.ConsoleAppender
log4j.appender.c.layout = org.apache.log4j.PatternLayout
log4j.appender.c.layout.ConversionPattern = %d %p %c{1} %m%n
'''
running = set()


@atexit.register
def kill_all():
    for process in list(running):
        process.kill()
        process.wait()


class Broker:
    """One broker with its controller in one process (KRaft), on 127.0.0.1, in a folder of its own.

    start() returns when it answers; after stop() or kill() it starts again with the same data and ports. It dies with the
    thread that started it, so start it from the test's main thread. `properties` come last and so win. `listeners` are more,
    {name: protocol}: their addresses stand in `at`, others that they give in `advertised`. `format`: arguments of StorageTool.
    """

    def __init__(self, folder, version=None, properties=None, heap='512m', listeners=None, advertised=None, format=()):
        self.folder = pathlib.Path(folder).resolve()
        version = version or os.environ.get('WIKITALLY_KAFKA', VERSION)
        self.version, self.process = version, None
        if not (JARS / version / 'lib').is_dir() or not shutil.which('java'):
            raise unittest.SkipTest(f'no Kafka {version} here (tools/deps test)')
        (self.folder / 'tmp').mkdir(parents=True, exist_ok=True)
        self.log = self.folder / 'broker.log'
        protocols = {'PLAINTEXT': 'PLAINTEXT', 'CONTROLLER': 'PLAINTEXT', **(listeners or {})}
        self.at = {name: f'127.0.0.1:{port}' for name, port in zip(protocols, free_ports(len(protocols)))}
        self.bootstrap, self.format = self.at['PLAINTEXT'], format
        told = {**self.at, **(advertised or {})}
        settings = {**SETTINGS, **({} if version.startswith('3.') else SETTINGS_4),
            'listeners': ','.join(f'{name}://{address}' for name, address in self.at.items()),
            'advertised.listeners': ','.join(f'{name}://{address}' for name, address in told.items() if name != 'CONTROLLER'),
            'listener.security.protocol.map': ','.join(f'{name}:{protocol}' for name, protocol in protocols.items()),
            'controller.quorum.voters': '1@' + self.at['CONTROLLER'],
            'log.dirs': str(self.folder / 'data'),
            **(properties or {}),
        }
        self.settings = self.folder / 'server.properties'
        self.settings.write_text(''.join(f'{name}={value}\n' for name, value in settings.items()))
        logging = self.folder / 'log4j.properties'
        logging.write_text(LOGGING_3 if version.startswith('3.') else LOGGING_4)
        self.java = [*JAVA, f'-Xmx{heap}', f'-Djava.io.tmpdir={self.folder}/tmp', f'-Dlog4j.configuration=file:{logging}',
                     f'-Dlog4j2.configurationFile={logging}', '-cp', f'{JARS}/{version}/lib/*']

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def start(self, timeout=60):
        with open(self.log, 'ab') as log:
            how = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log, 'env': environment(), 'cwd': self.folder}
            if not (self.folder / 'data/meta.properties').exists():
                subprocess.run([*self.java, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER, '-c', self.settings, *self.format],
                               check=True, timeout=timeout, **how)
            self.process = subprocess.Popen([*self.java, 'kafka.Kafka', self.settings], start_new_session=True, **how)
        running.add(self.process)
        deadline = time.monotonic() + timeout
        while not answers(self.bootstrap):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f'Kafka {self.version} does not answer\n{self.log.read_text(errors="replace")[-4000:]}')
            time.sleep(0.05)
        return self

    def stop(self, timeout=30):
        """In order: the clients are told, the logs are closed."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.ended(timeout)

    def kill(self):
        if self.process:
            self.process.kill()
            self.ended()

    def ended(self, timeout=None):
        self.process.wait(timeout)
        running.discard(self.process)
        self.process = None

    def pause(self):
        """It keeps its connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def tool(self, name, *arguments, timeout=60):
        """What one of Kafka's own tools prints, by the name of its class; half a second to two each."""
        own = [*JAVA, '-cp', f'{JARS}/{self.version}/lib/*', name, '--bootstrap-server', self.bootstrap, *map(str, arguments)]
        done = subprocess.run(own, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment(), timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f'{name} {" ".join(map(str, arguments))}\n{done.stdout}{done.stderr}')
        return done.stdout

    def group_describe(self, group, *more):
        """Its rows as dictionaries: TOPIC, PARTITION, CURRENT-OFFSET, LOG-END-OFFSET, LAG, CONSUMER-ID...; [] without any.
        `more`: --members, whose rows are others."""
        said = self.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--describe', '--group', group, *more)
        lines = [line.split() for line in said.splitlines()]
        names = next((line for line in lines if line[:1] == ['GROUP']), [])
        return [dict(zip(names, line)) for line in lines if line[:1] == [group]]


def environment():
    return {name: os.environ[name] for name in ('PATH', 'JAVA_HOME') if name in os.environ} | {'LC_ALL': 'C.UTF-8'}


def free_ports(count):
    """Below those that connections come from: else a client that tries again and again while the broker is down could be given
    its port, and even connect to itself."""
    low = int(pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    with contextlib.ExitStack() as stack:
        ports = []
        while len(ports) < count:
            bound = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                bound.bind(('127.0.0.1', random.SystemRandom().randrange(low * 2 // 3, low)))
                ports.append(bound.getsockname()[1])
        return ports


# ----------------------------------------------------------------------------------------------------- librdkafka, by ctypes

# What it returns, rd_kafka_NAME, what it takes: v nothing, i int, l int64, n size_t, p pointer, s string.
SIGNATURES = """
v conf_destroy p            p conf_new                      i conf_set p s s s n            v conf_set_dr_msg_cb p p
p new i p s n               v destroy p                     s err2str i                     i poll p i
s error_string p            v error_destroy p               i flush p i                     i producev p
p headers_new n             i header_add p s n s n          i message_headers p p           i header_get_all p n p p p
p topic_new p s p           v topic_destroy p               l message_timestamp p p         v message_destroy p
i consume_start p i l       i consume_stop p i              p consume p i i                 i metadata p i p p i
v metadata_destroy p        i query_watermark_offsets p s i p p i                           i committed p p i
p init_transactions p i     p begin_transaction p           p commit_transaction p i        p abort_transaction p i
p topic_partition_list_new i            p topic_partition_list_add p s i        v topic_partition_list_destroy p
p queue_new p               v queue_destroy p               p queue_poll p i                v event_destroy p
i event_error p             s event_error_string p          s topic_result_error_string p   i topic_result_error p
p NewTopic_new s i i s n    i NewTopic_set_config p s s     v CreateTopics p p n p p        v NewTopic_destroy p
p DeleteTopic_new s         v DeleteTopics p p n p p        v DeleteTopic_destroy p
p DeleteRecords_new p       v DeleteRecords p p n p p       v DeleteRecords_destroy p
p CreateTopics_result_topics p p        p DeleteTopics_result_topics p p        p DeleteRecords_result_offsets p
"""
SIGNATURE = re.compile(r'([vilnps]) (\w\w+)((?: [ilnps]\b)*)')
TYPES = {'v': None, 'i': ctypes.c_int, 'l': ctypes.c_int64, 'n': ctypes.c_size_t, 'p': ctypes.c_void_p, 's': ctypes.c_char_p}
PRODUCER, CONSUMER = 0, 1
END, TOPIC, PARTITION, VALUE, KEY, FLAGS, TIMESTAMP, HEADERS = 0, 1, 3, 4, 5, 7, 8, 10      # rd_kafka_vtype_t
COPY_AND_BLOCK = 2 | 4
BEGINNING, PARTITION_EOF, TIMED_OUT, UNKNOWN_TOPIC = -2, -191, -185, -188
TIMEOUT_MS = 30_000


def structure(**fields):
    return type('structure', (ctypes.Structure,), {'_fields_': [(name, TYPES[letter]) for name, letter in fields.items()]})


Message = structure(error='i', topic='p', partition='i', value='p', value_size='n', key='p', key_size='n', offset='l')
Partition = structure(topic='s', partition='i', offset='l', metadata='p', metadata_size='n', opaque='p', error='i',
                      private='p')
PartitionList = structure(count='i', size='i', at='p')
TopicMetadata = structure(name='s', partition_count='i', partitions='p', error='i')
Metadata = structure(broker_count='i', brokers='p', topic_count='i', topics='p')
DELIVERED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Message), ctypes.c_void_p)


class KafkaError(Exception):
    """`code`: below zero librdkafka's own, above zero the broker's."""

    def __init__(self, code, message=''):
        super().__init__(f'{message or rd("err2str", code).decode()} ({code})')
        self.code = code


@functools.cache
def library():
    """{NAME: function}. Ours is newer than the system's, as is the program's."""
    ours = ROOT / 'deps/librdkafka/lib/librdkafka.so.1'
    found = ctypes.CDLL(str(ours) if ours.exists() else 'librdkafka.so.1')
    functions = {}
    for returns, name, takes in SIGNATURE.findall(SIGNATURES):
        functions[name] = function = getattr(found, f'rd_kafka_{name}')
        function.restype = TYPES[returns]
        function.argtypes = [TYPES[letter] for letter in takes.split()]
    return functions


def rd(name, *arguments):
    return library()[name](*arguments)


def must(code):
    if code:
        raise KafkaError(code)


def must_not_fail(error):
    """For calls that return an rd_kafka_error_t."""
    if error:
        message = rd('error_string', error).decode()
        rd('error_destroy', error)
        raise KafkaError(-1, message)


@contextlib.contextmanager
def client(kind, bootstrap, conf, delivered=None):
    text = ctypes.create_string_buffer(512)
    options = rd('conf_new')
    conf = {'bootstrap_servers': bootstrap, 'log_level': 0, 'reconnect_backoff_ms': 20, 'reconnect_backoff_max_ms': 100, **conf}
    for name, value in conf.items():
        name = name if name == 'log_level' else name.replace('_', '.')
        if rd('conf_set', options, name.encode(), str(value).encode(), text, 512):
            rd('conf_destroy', options)
            raise ValueError(text.value.decode())
    if delivered:
        rd('conf_set_dr_msg_cb', options, ctypes.cast(delivered, ctypes.c_void_p))
    handle = rd('new', kind, options, text, 512)
    if not handle:
        rd('conf_destroy', options)
        raise ValueError(text.value.decode())
    try:
        yield handle
    finally:
        rd('destroy', handle)


def answers(bootstrap, timeout_ms=500, **conf):
    """A metadata reply came: an open port alone is too early."""
    with client(PRODUCER, bootstrap, conf) as handle:
        try:
            topics(handle, timeout_ms)
        except KafkaError:
            return False
        return True


def topics(handle, timeout_ms=TIMEOUT_MS):
    """{topic: number of partitions}."""
    found = ctypes.c_void_p()
    must(rd('metadata', handle, 1, None, ctypes.byref(found), timeout_ms))
    metadata = seen(Metadata, found)[0]
    counts = {topic.name.decode(): topic.partition_count for topic in seen(TopicMetadata, metadata.topics)[:metadata.topic_count]
              if not topic.error}
    rd('metadata_destroy', found)
    return counts


def partitions(handle, topic):
    count = topics(handle).get(topic)
    if count is None:
        raise KafkaError(UNKNOWN_TOPIC, f'no topic "{topic}"')
    return range(count)


def watermarks(handle, topic, partition):
    low, high = ctypes.c_int64(), ctypes.c_int64()
    must(rd('query_watermark_offsets', handle, topic.encode(), partition, ctypes.byref(low), ctypes.byref(high), TIMEOUT_MS))
    return low.value, high.value


def seen(kind, address):
    """A C structure or array as Python sees it."""
    return ctypes.cast(address, ctypes.POINTER(kind))


def listed(address):
    """The elements of a partition list."""
    made = seen(PartitionList, address)[0]
    return seen(Partition, made.at)[:made.count]


def copied(address, size):
    return ctypes.string_at(address, size) if address else None


@contextlib.contextmanager
def partition_list(topic, offsets_by_partition):
    made = rd('topic_partition_list_new', len(offsets_by_partition))
    try:
        for partition, offset in offsets_by_partition.items():
            added = rd('topic_partition_list_add', made, topic.encode(), partition)
            seen(Partition, added)[0].offset = offset
        yield made
    finally:
        rd('topic_partition_list_destroy', made)


# ------------------------------------------------------------------------------------------------------------- administration

def administer(handle, operation, item):
    """One item; an error of it is raised."""
    queue = rd('queue_new', handle)
    event = None
    try:
        rd(operation, handle, (ctypes.c_void_p * 1)(item), 1, None, queue)
        event = rd('queue_poll', queue, TIMEOUT_MS)
        if not event:
            raise KafkaError(TIMED_OUT)
        if rd('event_error', event):
            raise KafkaError(rd('event_error', event), rd('event_error_string', event).decode())
        if operation == 'DeleteRecords':        # an event is its result, in C too
            for partition in listed(rd('DeleteRecords_result_offsets', event)):
                must(partition.error)
            return
        count = ctypes.c_size_t()
        result = seen(ctypes.c_void_p, rd(f'{operation}_result_topics', event, ctypes.byref(count)))[0]
        if rd('topic_result_error', result):
            raise KafkaError(rd('topic_result_error', result), (rd('topic_result_error_string', result) or b'').decode())
    finally:
        if event:
            rd('event_destroy', event)
        rd('queue_destroy', queue)


def wait_until(condition, what, timeout=20):
    """What the broker says in between does not matter."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(KafkaError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise KafkaError(TIMED_OUT, what)
        time.sleep(0.02)


def topics_create(bootstrap, name, count=1, config=None, replicas=1, **conf):
    """Returns when each partition has a leader. `config`: the topic's, {'retention.ms': -1}."""
    text = ctypes.create_string_buffer(512)
    with client(PRODUCER, bootstrap, conf) as handle:
        new = rd('NewTopic_new', name.encode(), count, replicas, text, 512)
        if not new:
            raise ValueError(text.value.decode())
        try:
            for option, value in (config or {}).items():
                must(rd('NewTopic_set_config', new, option.encode(), str(value).encode()))
            administer(handle, 'CreateTopics', new)
        finally:
            rd('NewTopic_destroy', new)
        wait_until(lambda: topics(handle).get(name) == count, f'no topic "{name}"')
        for partition in range(count):
            wait_until(lambda at=partition: watermarks(handle, name, at), f'no leader of "{name}" {partition}')


def delete_topic(bootstrap, name, **conf):
    with client(PRODUCER, bootstrap, conf) as handle:
        old = rd('DeleteTopic_new', name.encode())
        try:
            administer(handle, 'DeleteTopics', old)
        finally:
            rd('DeleteTopic_destroy', old)
        wait_until(lambda: name not in topics(handle), f'"{name}" is still there')


def delete_records(bootstrap, topic, before, **conf):
    """`before`: {partition: the first offset that stays}; -1 for its end."""
    with client(PRODUCER, bootstrap, conf) as handle, partition_list(topic, before) as wanted:
        old = rd('DeleteRecords_new', wanted)
        try:
            administer(handle, 'DeleteRecords', old)
        finally:
            rd('DeleteRecords_destroy', old)


def offsets(bootstrap, topic, **conf):
    """{partition: (first offset, end offset)}. The end counts transactions' markers: never compute numbers of records from it."""
    with client(PRODUCER, bootstrap, conf) as handle:
        return {partition: watermarks(handle, topic, partition) for partition in partitions(handle, topic)}


def end_offsets(bootstrap, topic, **conf):
    return {partition: end for partition, (_, end) in offsets(bootstrap, topic, **conf).items()}


def committed(bootstrap, group, topic, **conf):
    """{partition: (offset, metadata)} of what a group has committed; partitions without are left out."""
    with client(CONSUMER, bootstrap, {'group_id': group, **conf}) as handle:
        with partition_list(topic, dict.fromkeys(partitions(handle, topic), -1)) as wanted:
            wait_until(lambda: not rd('committed', handle, wanted, TIMEOUT_MS), f'no answer about the group "{group}"')
            return {at.partition: (at.offset, copied(at.metadata, at.metadata_size) or b'') for at in listed(wanted)
                    if at.offset >= 0}


# --------------------------------------------------------------------------------------------------------------------- records

Record = collections.namedtuple('Record', 'partition offset timestamp key value headers')


def produce(bootstrap, topic, records, transaction=None, **conf):
    """Records are (partition, key, value, headers) or (partition, key, value, headers, timestamp in ms); partition -1 lets
    the key choose. Returns when the broker has them all. `transaction`: 'commit' or 'abort'; all of them in one of that end."""
    failed = []

    @DELIVERED
    def delivered(_handle, message, _opaque):
        if message[0].error:
            failed.append(message[0].error)

    if transaction:
        conf.setdefault('transactional_id', f'test-{os.getpid()}-{time.time_ns()}')
    with client(PRODUCER, bootstrap, {'linger_ms': 1, 'max_in_flight': 1, **conf}, delivered) as handle:
        if transaction:
            must_not_fail(rd('init_transactions', handle, TIMEOUT_MS))
            must_not_fail(rd('begin_transaction', handle))
        for record in records:
            produce_one(handle, topic.encode(), *record)
        must(rd('flush', handle, TIMEOUT_MS))
        must(failed[0] if failed else 0)
        if transaction:
            must_not_fail(rd(f'{transaction}_transaction', handle, TIMEOUT_MS))


def produce_in_transactions(bootstrap, topic, batches, **conf):
    """As produce(), a transaction each, one right behind the other."""
    conf.setdefault('transactional_id', f'test-{os.getpid()}-{time.time_ns()}')
    with client(PRODUCER, bootstrap, {'linger_ms': 0, **conf}) as handle:
        must_not_fail(rd('init_transactions', handle, TIMEOUT_MS))
        for records in batches:
            must_not_fail(rd('begin_transaction', handle))
            for record in records:
                produce_one(handle, topic.encode(), *record)
            must_not_fail(rd('commit_transaction', handle, TIMEOUT_MS))


def produce_one(handle, topic, partition, key, value, headers=(), timestamp=0):
    number, size, address = ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
    made = rd('headers_new', len(headers))
    for name, content in headers:
        must(rd('header_add', made, name.encode(), len(name.encode()), content, len(content or b'')))
    must(rd('producev', handle, number(TOPIC), address(topic), number(PARTITION), number(partition), number(FLAGS),
            number(COPY_AND_BLOCK), number(KEY), address(key), size(len(key or b'')), number(VALUE), address(value),
            size(len(value or b'')), number(TIMESTAMP), ctypes.c_int64(timestamp), number(HEADERS), ctypes.c_void_p(made),
            number(END)))
    rd('poll', handle, 0)


def consume(bootstrap, topic, isolation='read_committed', **conf):
    """All that is there, as Records in order of (partition, offset). timestamp: ms; key and value: bytes or None; headers: a
    list of (name, bytes or None). read_committed ends before the first open transaction. No group has anything to do with it."""
    options = {'isolation_level': isolation, 'enable_partition_eof': 'true', 'fetch_wait_max_ms': 10, **conf}
    found = []
    with client(CONSUMER, bootstrap, options) as handle:
        numbers = partitions(handle, topic)
        source = rd('topic_new', handle, topic.encode(), None)
        try:
            for partition in numbers:
                must(-1 if rd('consume_start', source, partition, BEGINNING) else 0)
            for partition in numbers:
                found += consume_partition(source, partition)
                rd('consume_stop', source, partition)
        finally:
            rd('topic_destroy', source)
    return found


def consume_partition(source, partition):
    while True:
        address = rd('consume', source, partition, TIMEOUT_MS)
        if not address:
            raise KafkaError(TIMED_OUT, f'partition {partition} does not come to its end')
        try:
            message = seen(Message, address)[0]
            if message.error == PARTITION_EOF:
                return
            must(message.error)
            kind = ctypes.c_int()
            timestamp = rd('message_timestamp', address, ctypes.byref(kind))
            yield Record(message.partition, message.offset, timestamp if kind.value else None,
                         copied(message.key, message.key_size), copied(message.value, message.value_size), headers_of(address))
        finally:
            rd('message_destroy', address)


def headers_of(message):
    headers, name, value, size = ctypes.c_void_p(), ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
    found = []
    if rd('message_headers', message, ctypes.byref(headers)) == 0:
        while rd('header_get_all', headers, len(found), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)) == 0:
            found.append((name.value.decode(), copied(value.value, size.value)))
    return found


# ------------------------------------------------------------------------------------------------------------------ try it out

SENT = ((0, b'k\x00\n', b'\xff\x00v', [('h', b'\x00,='), ('none', None), ('empty', b'')], 1_700_000_000_123),
        (1, None, b'', [], 1_700_000_000_124), (1, b'', None, [('h', b'1'), ('h', b'2')], 1_700_000_000_125))


def try_out(broker, step):
    at = broker.bootstrap
    expected = [Record(partition, offset, time_ms, key, value, headers)
                for (partition, key, value, headers, time_ms), offset in zip(SENT, (0, 0, 1))]
    topics_create(at, 'try', 2, {'retention.ms': -1})
    step('topic made')
    produce(at, 'try', SENT)
    step('3 records produced')
    assert consume(at, 'try') == expected, consume(at, 'try')
    step('consumed, equal to the byte')
    broker.kill()
    broker.start()
    step('kill -9, ready again')
    assert consume(at, 'try') == expected
    step('consumed again')
    produce(at, 'try', [(0, None, b'gone', [])], transaction='abort')
    produce(at, 'try', [(0, None, b'kept', [])], transaction='commit')
    step('two transactions')
    assert [record.value for record in consume(at, 'try') if record.partition == 0] == [SENT[0][2], b'kept']
    assert len(consume(at, 'try', 'read_uncommitted')) == 5
    assert offsets(at, 'try') == {0: (0, 5), 1: (0, 2)}
    step('consumed at both levels, offsets')
    broker.pause()
    assert not answers(at)
    broker.resume()
    wait_until(lambda: answers(at), 'no answer after the pause')
    step('paused, resumed')
    assert committed(at, 'nobody', 'try') == {}
    delete_records(at, 'try', {1: 1})
    assert offsets(at, 'try')[1] == (1, 2)
    delete_topic(at, 'try')
    step('committed offsets, records and topic deleted')
    assert '__consumer_offsets' in broker.tool('org.apache.kafka.tools.TopicCommand', '--list').split()
    step("one of Kafka's tools")


def main():
    begun = time.monotonic()

    def step(what):
        nonlocal begun
        print(f'{time.monotonic() - begun:6.2f} s  {what}', flush=True)
        begun = time.monotonic()

    with tempfile.TemporaryDirectory(prefix='wikitally-kafka-') as folder:
        for version in (VERSION, OLDER):
            with Broker(pathlib.Path(folder) / version, version) as broker:
                step(f'{version} formatted, ready')
                try_out(broker, step)
                broker.stop()
                step('stopped')


if __name__ == '__main__':
    main()
