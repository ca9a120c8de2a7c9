"""Rows that are written to topics, with a real broker (kafka.py): librdkafka reads them here without a line of the program. Whatever is
killed, cut or taken over, the last record of each key is the row of results.db to the byte, no row is doubled or taken back, and a
reader of what is committed sees nothing else meanwhile (R8, R11, R15; rows A1, A2, A10, A12, B1 of the goal table; C-K1, C-K6, C-K10).

One broker for all of it, topics for each test. Nearly all of a short run is waiting for the broker: what can, runs side by side."""
import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
import unittest

import kafka
import kafka_proxy
import test_failpoints
import wikitally
from kafka_proxy import END, INIT, PRODUCE

CAPTURE = 'recentchange-6rzan-firehose-2026-05-05.ndjson.gz'
MIX = {'late': 0.02, 'duplicates': 0.01, 'poison': 0.001, 'canaries': True, 'rare': True}
KILLS = wikitally.size(8, 100)
BROKER_KILLS, BROKER_STOPS = wikitally.size(1, 10), wikitally.size(1, 10)
CONFIG, FENCED = 78, 82
RECOVERY = 30                                           # seconds from the broker's return to the next commit, at most

# Columns with their types, as sink/kafka.h says; what else a value holds stands in assert_schema.
BUILT_IN = {
    'bots': {'bot': bool, 'count': int},
    'website': {'server_name': str, 'count': int},
    'timeseries': {'type': str, 'count': int},
    'user_edit_counts': {'user_name': str, 'edit_count': int},
    'titles': {'wiki': str, 'title': str, 'count': int},
}
MIXED = {'mixed': {'wiki': str, 'user': str, 'bot': bool, 'count': int, 'sum_length_new': int, 'min_id': int, 'distinct_user': int,
                   'top_user_3': str}}
DECLARED = {'mixed': {'keys': ['wiki', 'user', 'bot'], 'max_keys': 40,
                      'measures': ['count', 'sum(length.new)', 'min(id)', 'distinct(user)', 'top(user,3)']}}
MEASURES = {'mixed': 5}                                 # the last columns; else one
MAY_BE_NULL = ('min_id',)
ANY = (str, bool, int, type(None))                      # events have in their fields what they like
NARROW = {name: BUILT_IN[name] for name in ('bots', 'timeseries', 'user_edit_counts')}

broker = None
proxy = None
holds = {}                                              # {transactional.id: Hold}; who is not in it is let through


def pass_on(request):
    hold = next((hold for name, hold in list(holds.items()) if request.api in (PRODUCE, INIT, END) and request.names(name)), None)
    (hold.handle if hold else kafka_proxy.Request.send)(request)


def setUpModule():
    global broker, proxy
    house = tempfile.mkdtemp(prefix='wikitally-stats-')
    unittest.addModuleCleanup(shutil.rmtree, house, ignore_errors=True)
    proxy = kafka_proxy.Proxy(pass_on)
    unittest.addModuleCleanup(proxy.close)
    broker = kafka.Broker(house, listeners={'PROXIED': 'PLAINTEXT'}, advertised={'PROXIED': proxy.address})
    proxy.behind = broker.at['PROXIED']
    unittest.addModuleCleanup(broker.kill)
    broker.start()


# --------------------------------------------------------------------------------------------------------------------- reading

Seen = collections.namedtuple('Seen', 'offset key value')


class Reader(threading.Thread):
    """Reads topics while they are written, what is committed only; waits for those that are not there yet. read: {topic: [Seen]}"""

    def __init__(self, topics):
        super().__init__(daemon=True)
        self.read = {topic: [] for topic in topics}
        self.waves = 0                                  # how often there was something new
        self.until = None                               # {topic: where it ends, once that is known}
        self.error = None

    def run(self):
        try:
            conf = {'enable_partition_eof': 'true', 'fetch_wait_max_ms': 10, 'isolation_level': 'read_committed'}
            with kafka.client(kafka.CONSUMER, broker.bootstrap, conf) as handle:
                self.follow(handle)
        except Exception as error:                      # the test says it
            self.error = error

    def follow(self, handle):
        sources = {}
        while True:
            with contextlib.suppress(kafka.KafkaError):
                found = kafka.topics(handle, 1000) if len(sources) < len(self.read) else ()
                for topic in self.read.keys() & set(found) - sources.keys():
                    sources[topic] = kafka.rd('topic_new', handle, topic.encode(), None)
                    kafka.must(-1 if kafka.rd('consume_start', sources[topic], 0, kafka.BEGINNING) else 0)
            self.waves += any([self.take(source, self.read[topic]) for topic, source in sources.items()])
            if self.is_over():
                break
            time.sleep(0.01)
        for source in sources.values():
            kafka.rd('consume_stop', source, 0)
            kafka.rd('topic_destroy', source)

    def is_over(self):
        return self.until is not None and (time.monotonic() > self.deadline or all(
            seen[-1].offset >= self.until[topic] if seen else self.until[topic] < 0 for topic, seen in self.read.items()))

    def take(self, source, into):
        """-> whether there was anything."""
        before = len(into)
        while address := kafka.rd('consume', source, 0, 5):
            message = kafka.seen(kafka.Message, address)[0]
            if not message.error:
                into.append(Seen(message.offset, kafka.copied(message.key, message.key_size),
                                 kafka.copied(message.value, message.value_size)))
            kafka.rd('message_destroy', address)
        return len(into) > before

    def finish(self, until):
        self.deadline = time.monotonic() + 20
        self.until = until
        self.join()
        if self.error:
            raise self.error


def text_of(value):
    """As the program writes JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode()


def pairs_once(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs), f'a name twice: {pairs}'
    return found


def rank_of(value):
    return value['generation'], value['epoch'], value['revision'], value['final']


OFTEN = ('--set', 'task.commit_every=10ms', '--set', 'journal.commit_every=10ms')


class OnTopics(wikitally.Case):
    """self.name begins the names of its topics; all options stand in a file that every command is given."""

    schema = {**BUILT_IN, **MIXED}

    def setUp(self):
        super().setUp()
        if broker.process is None:                      # a test failed while it was away
            broker.start()
        self.configs = {}
        self.name = re.sub(r'\W', '-', self._testMethodName)
        self.declare()

    def tearDown(self):
        holds.clear()

    # --------------------------------------------------------------------------------------------- configuration

    def declare(self, directory=None, name=None, brokers=None, journal=None, stats=None, kafka=None, **aggregations):
        """A directory's file. aggregations: {name: options}, besides the topics."""
        directory, name = directory or self.directory, name or self.name
        declared = {aggregation: {**DECLARED.get(aggregation, {}), 'topic': f'{name}.{aggregation}', **aggregations.get(aggregation, {})}
                    for aggregation in self.schema}
        options = {
            'journal': {'retention_age': '3660d', **(journal or {})},
            'kafka': {'brokers': brokers or broker.bootstrap, **(kafka or {})},
            'stats': {'state_topic': f'{name}.state', **(stats or {})},
            'aggregations': declared,
        }
        file = self.folder / f'{directory.name}.yaml'
        file.write_text(json.dumps(options))            # JSON is YAML
        self.configs[str(directory)] = file
        return directory

    def declare_on_kafka(self, directory, name, partitions=4, **more):
        return self.declare(directory, name, journal={'kind': 'kafka', 'topic': f'{name}-journal', 'partitions': partitions}, **more)

    def command(self, *arguments):
        words = [str(word) for word in arguments]
        where = words[words.index('--data-dir') + 1] if '--data-dir' in words else None
        return super().command(*words, *(['-c', self.configs[where]] if where in self.configs else []))

    def together(self, *calls):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    @contextlib.contextmanager
    def reading(self, *names):
        """Readers at work during the block; afterwards each has read what the topics hold, no more and no less."""
        readers = {name: Reader([f'{name}.{aggregation}' for aggregation in self.schema]) for name in names or [self.name]}
        for reader in readers.values():
            reader.start()
        held = {}
        try:
            yield readers
            held = {topic: [Seen(r.offset, r.key, r.value) for r in kafka.consume(broker.bootstrap, topic)]
                    for reader in readers.values() for topic in reader.read}
        finally:
            for reader in readers.values():
                reader.finish({topic: held[topic][-1].offset if held.get(topic) else -1 for topic in reader.read})
        self.judge_readers(readers, held)

    def judge_readers(self, readers, all_held):
        for reader in readers.values():
            for topic, seen in reader.read.items():
                held = all_held[topic]
                self.assertEqual(len(seen), len(held), f'what a reader saw of {topic}, and what it holds')
                self.assertTrue(seen == held, f'a reader saw something else in {topic}')

    # ------------------------------------------------------------------------------------------------ state topic

    def state(self, name=None):
        """[(key, value)] in order, texts."""
        return [(r.key.decode(), r.value.decode()) for r in kafka.consume(broker.bootstrap, f'{name or self.name}.state')]

    def lines(self, name=None):
        """{(aggregation, generation, partition): position}, as the last lines say."""
        return {(words[1], int(words[2]), int(words[3])): number_in(value, 'position')
                for key, value in self.state(name) for words in [key.split('/')] if words[0] == 'line'}

    def commits(self, name=None):
        """A measure of progress only: marks count."""
        try:
            return sum(kafka.end_offsets(broker.bootstrap, f'{name or self.name}.state').values())
        except kafka.KafkaError:
            return 0

    def wait_for_commit(self, process, more=1, timeout=RECOVERY, name=None):
        """-> seconds until the state has grown by so many records."""
        begun, before = time.monotonic(), self.commits(name)
        self.wait_for(lambda: process.poll() is not None or self.commits(name) >= before + more, timeout, f'a commit, {self.log_of(process)[-2000:]}')
        self.assertIsNone(process.poll(), f'came to its end too early\n{self.log_of(process)[-2000:]}')
        return time.monotonic() - begun

    def aborted(self, name=None):
        """Records of transactions that were not committed."""
        return sum(len(kafka.consume(broker.bootstrap, topic, 'read_uncommitted')) - len(kafka.consume(broker.bootstrap, topic))
                   for topic in (f'{name or self.name}.{aggregation}' for aggregation in self.schema))

    def log_of(self, process):
        return process.log.read_text(errors='replace')

    # ------------------------------------------------------------------------------------------------- the judge

    def assert_schema(self, aggregation, value):
        columns = self.schema[aggregation]
        wanted = {'aggregation': str, 'window_start': str, 'window_end': str, 'key': (list, str), **columns, 'shard': int, 'revision': int,
                  'final': bool, 'epoch': int, 'generation': int}
        keys = list(columns)[:len(columns) - MEASURES.get(aggregation, 1)]
        self.assertEqual(list(value), list(wanted))
        for name, kind in wanted.items():
            kinds = kind if isinstance(kind, tuple) else ANY if name in keys else (kind, type(None)) if name in MAY_BE_NULL else (kind,)
            self.assertIn(type(value[name]), kinds, (name, value))
        self.assertEqual(value['aggregation'], aggregation)
        for name in ('window_start', 'window_end'):
            self.assertRegex(value[name], r'\A\d{4}-\d\d-\d\dT\d\d:\d\d:00Z\Z')
        cells = [value[name] for name in keys]
        self.assertEqual(cells, [None] * len(keys) if value['key'] == '(other)' else value['key'])

    def assert_log(self, aggregation, records):
        """Of each key (epoch, revision, final) rises strictly, in the order of the log: nothing doubled, nothing taken back. -> the
        last of each: {key: value}, bytes; and how many were replaced"""
        last, ranks = {}, {}
        for r in records:
            value = json.loads(r.value, object_pairs_hook=pairs_once)
            self.assert_schema(aggregation, value)
            self.assertEqual(r.key, text_of([value['window_start'], value['key'], value['shard']]))
            self.assertEqual(r.value, text_of(value))
            if r.key in ranks:
                self.assertLess(ranks[r.key], rank_of(value), f'doubled or taken back at offset {r.offset}: {r.value}')
            last[r.key], ranks[r.key] = r.value, rank_of(value)
        return last, len(records) - len(last)

    def stored(self, aggregation, directory, generation):
        """The rows of results.db as the topic would have them."""
        columns = self.schema[aggregation]
        names = ', '.join(f'"{name}"' for name in columns)
        with contextlib.closing(sqlite3.connect(f'file:{directory}/results.db?mode=ro', uri=True, timeout=10)) as db:
            rows = db.execute(f'select window_start, window_end, key, partition, revision, final, epoch, generation, {names} '
                              f'from {aggregation}_rows where generation = ?', (generation,)).fetchall()
        found = {}
        for start, end, key, shard, revision, final, epoch, number, *cells in rows:
            start, end = (text.replace(' ', 'T') + 'Z' for text in (start, end))
            key = json.loads(key) if key.startswith('[') else key
            cells = {name: cell if cell is None else kind(cell) for (name, kind), cell in zip(columns.items(), cells)}
            if key != '(other)':
                for name, cell in zip(columns, key):        # a TEXT column makes a text of a number
                    cells[name] = cell if str(cells[name]) == str(cell) else cells[name]
            value = {'aggregation': aggregation, 'window_start': start, 'window_end': end, 'key': key, **cells, 'shard': shard,
                     'revision': revision, 'final': bool(final), 'epoch': epoch, 'generation': number}
            found[text_of([start, key, shard])] = text_of(value)
        return found

    def judge(self, directory=None, name=None, generation=0):
        """After a run to the end. -> ({aggregation: {key: value}}, how many records were replaced by later ones)"""
        directory, name = directory or self.directory, name or self.name
        found, replaced = {}, 0
        for aggregation in self.schema:
            last, more = self.assert_log(aggregation, kafka.consume(broker.bootstrap, f'{name}.{aggregation}'))
            if generation:
                last = {key: value for key, value in last.items() if json.loads(value)['generation'] == generation}
            stored = self.stored(aggregation, directory, generation)
            other = {key: (last.get(key), stored.get(key)) for key in last.keys() | stored.keys() if last.get(key) != stored.get(key)}
            self.assertEqual(len(other), 0, f'{aggregation}: of {len(stored)} rows, for example {list(other.items())[:3]}')
            self.assertGreater(len(stored), 0)
            found[aggregation], replaced = last, replaced + more
        return found, replaced

    def assert_not_ahead(self, reader, name=None):
        """Rows and line came in one transaction: no row that can be seen comes from a record that is not behind the line."""
        ahead = collections.defaultdict(lambda: -1)
        for seen in list(reader.read.values()):
            for r in list(seen):
                value = json.loads(r.value)
                at = value['aggregation'], value['generation'], value['shard']
                ahead[at] = max(ahead[at], value['revision'])
        def behind():
            lines = self.lines(name)                    # of one commit, topics end one after the other
            return all(lines.get(at, 0) > revision for at, revision in ahead.items())
        self.wait_for(behind, 5, f'lines behind {dict(ahead)}')


def number_in(text, name):
    return int(re.search(rf'^{name}=(-?\d+)$', text, re.M)[1])


# ----------------------------------------------------------------------------------------------------------------------- tests

class Content(OnTopics):
    """What the topics hold is what results.db holds."""

    def judge_both(self, file, *more):
        """With the embedded journal and with one on Kafka, side by side. -> all last values of either"""
        four, name = self.folder / 'four', f'{self.name}-4'
        self.declare_on_kafka(four, name)
        with self.reading(self.name, name) as readers:
            self.together(lambda: self.follow(f'replay:{file}', *OFTEN, *more), lambda: self.follow(f'replay:{file}', *OFTEN, *more, directory=four))
        self.assertGreater(min(reader.waves for reader in readers.values()), 1)
        (one, _), (other, _) = self.judge(), self.judge(four, name)
        one, other = ([json.loads(value) for rows in found.values() for value in rows.values()] for found in (one, other))
        self.assertEqual(({value['shard'] for value in one}, {value['shard'] for value in other}), ({0}, set(range(4))))
        for directory in (self.directory, four):
            self.assert_balanced(directory)
        return one, other

    def assert_has_all(self, values):
        """What is rare, or the test would say little."""
        keys = [value['key'] for value in values]
        self.assertIn('(other)', keys)
        self.assertTrue(any(None in key for key in keys if key != '(other)'), 'no null key')
        self.assertEqual({value['final'] for value in values}, {True, False})
        self.assertEqual({value.get('bot') for value in values}, {True, False, None})

    def test_R8_R11_made_up_events_with_all_that_is_rare(self):
        file = self.synth(6000, 301, event_rate=12, **MIX)
        for values in self.judge_both(file, '--speed', 200):
            self.assert_has_all(values)
        _, replaced = self.judge()
        self.assertGreater(replaced, 500, 'hardly a row was ever replaced')

    def test_R8_R11_a_capture(self):
        for values in self.judge_both(wikitally.capture(CAPTURE)):
            self.assertGreater(len(values), 300)


class Oracle(OnTopics):
    schema = BUILT_IN

    def test_R8_the_rows_are_the_oracle_s(self):
        """results.db alone is no judge: its rows and those of the topics come from the same code."""
        file = self.synth(3000, 302, event_rate=10, late=0.02)
        self.follow(f'replay:{file}')
        self.judge()
        self.assert_rows()


class Kills(OnTopics):
    SECONDS = 15                                        # that it would take if nobody killed it

    def test_A1_killed_at_random(self):
        """At work, and while it starts; at each kill the rows that can be seen are those behind the line."""
        random = wikitally.seed('kills of rows to topics')
        count = wikitally.size(20_000, 200_000)
        file = self.synth(count, random.randrange(1 << 30), event_rate=20, late=0.02, duplicates=0.01, poison=0.001)
        arguments = self.run_arguments(f'replay:{file}', '--speed', count / 20 / wikitally.size(self.SECONDS, 600), *OFTEN)
        kinds = ['start'] * (KILLS * 3 // 10) + ['work'] * (KILLS - KILLS * 3 // 10)
        random.shuffle(kinds)
        with self.reading() as readers:
            for kind in ['work', *(kinds[1:])]:
                with self.running(*arguments) as process:
                    if kind == 'work':
                        self.wait_for_commit(process, 30)
                    time.sleep(random.uniform(0, 0.6 if kind == 'work' else 1.2))
                    self.assertIsNone(process.poll(), f'came to its end before it could be killed\n{self.log_of(process)}')
                    process.kill()
                    process.wait()
                self.assert_not_ahead(readers[self.name])
            self.assertLess(max(self.lines().values()), count * 9 // 10, 'nothing is left to do after the last kill')
            self.follow(f'replay:{file}')
        found, replaced = self.judge()
        aborted = self.aborted()
        self.assert_balanced()
        print(f'{len(kinds)} kills ({kinds.count("start")} in a start): {sum(map(len, found.values()))} rows, {replaced} records replaced, 0 doubled; '
              f'{aborted} of aborted transactions; {readers[self.name].waves} looks of a reader with something new', flush=True)


class Outages(OnTopics):
    schema = NARROW

    def tearDown(self):
        super().tearDown()
        if broker.process is None:
            broker.start()

    def position(self):
        """Of the other task, whose rows go to results.db."""
        with contextlib.closing(sqlite3.connect(f'file:{self.directory}/results.db?mode=ro', uri=True, timeout=10)) as db:
            return db.execute('select min(position) from wt_lines').fetchone()[0]

    def test_B1_the_broker_is_killed_and_restarted_under_it(self):
        """The process stays; meanwhile the rows of results.db go on, and afterwards those of the topics catch up."""
        random = wikitally.seed('broker under rows to topics')
        events = ['kill'] * BROKER_KILLS + ['stop'] * BROKER_STOPS
        random.shuffle(events)
        rate = 400
        file = self.synth(rate * (8 * len(events) + 4), 311, event_rate=20, late=0.01)
        waits, ahead = [], []
        with self.reading() as readers, \
                self.running(*self.run_arguments(f'replay:{file}', '--speed', rate / 20, *OFTEN)) as process:
            self.wait_for_commit(process, 30)
            for event in events:
                time.sleep(random.uniform(0, 1))
                getattr(broker, event)()
                position, before = self.position(), time.monotonic()
                time.sleep(random.uniform(2, 3))
                ahead.append(self.position() - position)
                self.assertGreater(ahead[-1], rate * (time.monotonic() - before) / 2, 'results.db does not go on while the broker is away')
                self.assertIsNone(process.poll(), self.log_of(process)[-2000:])
                broker.start()
                waits.append(self.wait_for_commit(process, 10))
                self.assert_not_ahead(readers[self.name])
            self.wait_for_end(process)
        self.judge()
        self.assert_balanced()
        print(f'broker: {", ".join(f"{event} {wait:.1f} s" for event, wait in zip(events, waits))} until the next commit; '
              f'{", ".join(map(str, ahead))} records into results.db meanwhile', flush=True)

    def test_B1_SIGTERM_while_the_broker_is_away(self):
        """It ends in time; what was not written to the topics is written after the next start."""
        file = self.synth(6000, 312, event_rate=20, late=0.01)
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 40, *OFTEN)) as process:
            self.wait_for_commit(process, 60)
            broker.kill()
            time.sleep(1)
            self.stop(process, timeout=12)              # 10 s and what is left of a call
        broker.start()
        with self.reading():
            self.follow(f'replay:{file}')
        self.judge()
        self.assert_balanced()

    def test_B1_the_broker_is_away_at_the_start(self):
        """Everything else starts; what the topics miss is kept in the journal, and written when the broker comes."""
        file = self.synth(6000, 313, event_rate=20, late=0.01)
        broker.kill()
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 40, *OFTEN)) as process:
            self.wait_for(lambda: process.poll() is not None or 'trying again until it is there' in self.log_of(process), 60, 'the wait for it')
            self.wait_for(lambda: process.poll() is not None or (self.directory / 'results.db').exists() and (self.position() or 0) > 1000, 60, 'rows in results.db')
            broker.start()
            self.wait_for_end(process)
        self.judge()
        self.assert_balanced()


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class Failpoints(OnTopics):
    """As test_failpoints.py, which leaves these to us."""

    program = wikitally.CHECKED
    schema = NARROW
    POINTS = test_failpoints.Failpoints.SITUATIONS['on_topics']
    # a start commits who writes, and a generation each: 1 to 4; then rows
    PLACES = {'kafka_sink.in_commit': (1, 4), 'kafka_sink.committed': (1, 3, 8)}

    def strike(self, file, point, action, nth):
        """-> (directory, how it ended)"""
        directory = self.declare(self.folder / f'{point}-{action}-{nth}', f'{point}-{action}-{nth}')
        done = self.follow(f'replay:{file}', *OFTEN, '--speed', 300, directory=directory, code=None,
                           env={'WIKITALLY_FAILPOINT': f'{point}:{action}@{nth}'})
        if done.code != 0:
            self.follow(f'replay:{file}', directory=directory)
        return directory, done

    def test_A2_CK6_struck_at_every_failpoint_of_a_commit(self):
        file = self.synth(2500, 321, event_rate=10, late=0.01, duplicates=0.02, poison=0.002)
        self.assertEqual({point for point in wikitally.failpoints() if point.startswith('kafka_sink.')}, set(self.POINTS))
        self.assertEqual(set(self.PLACES), set(self.POINTS))
        cases = [(point, action, nth) for point in self.POINTS for action in ('kill', 'after', 'error') for nth in self.PLACES[point]]
        done = self.together(*(lambda case=case: self.strike(file, *case) for case in cases))
        for (point, action, nth), (directory, end) in zip(cases, done):
            with self.subTest(point=point, action=action, nth=nth):
                self.assertIn(end.code, (0, *test_failpoints.Failpoints.CODES) if action == 'error' else (-9,), end.err[-2000:])
                if action != 'kill':
                    self.assertIn(f'failpoint {point}: {action}', end.err)
                self.judge(directory, directory.name)


class Twice(OnTopics):
    schema = NARROW

    def test_CK10_one_that_is_refused_harms_nobody(self):
        """Another journal under the same name: it does not start, and who writes goes on."""
        file = self.synth(6000, 333, event_rate=20)
        other = self.declare(self.folder / 'other', self.name)
        with self.reading(), self.running(*self.run_arguments(f'replay:{file}', '--speed', 40, *OFTEN)) as first:
            self.wait_for_commit(first, 20)
            done = self.follow(f'replay:{file}', directory=other, code=CONFIG)
            self.assertIn('--adopt', done.err)
            self.wait_for_end(first)
        self.judge()


class Poison(OnTopics):
    schema = NARROW

    def refuse(self, limit, reason, faults=''):
        """A limit that is lowered under a run. A batch's head is 61 bytes, most rows have 258 to 270."""
        topic = f'{self.name}.user_edit_counts'
        file = self.synth(4000, 371, event_rate=10, late=0.01)
        self.declare(kafka={'properties': ['compression.type=none']})
        kafka.topics_create(broker.bootstrap, topic, 1, {'cleanup.policy': 'compact', 'max.message.bytes': 2000})
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 40), env={'WIKITALLY_FAULTS': faults} if faults else None) as process:
            self.wait_for_commit(process, 3)
            broker.tool('kafka.admin.ConfigCommand', '--alter', '--entity-type', 'topics', '--entity-name', topic,
                        '--add-config', f'max.message.bytes={limit}')
            self.wait_for_end(process)
            said = self.log_of(process)
        held = {row.key: row.value for row in kafka.consume(broker.bootstrap, topic)}
        dead = kafka.consume(broker.bootstrap, f'{self.name}.state.dead')
        last = {row.key: row.value for row in dead}
        self.assertIn('Message size too large', said)
        self.assertEqual({tuple(row.headers) for row in dead}, {(('wikitally.reason', reason), ('wikitally.topic', topic.encode()))})
        missing = {key: value for key, value in self.stored('user_edit_counts', self.directory, 0).items() if held.get(key) != value}
        self.assertGreater(len(missing), 0)
        self.assertEqual(missing, {key: last.get(key) for key in missing}, 'rows that are neither in the topic nor in the dead letters')
        self.assertGreater(len(held), 0)
        self.assert_balanced()
        return said

    def test_CK9_rows_that_are_too_large_for_their_topic(self):
        self.refuse(345, b'too-large')

    @unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with seeded faults')
    def test_CK9_rows_that_are_refused_for_no_reason_that_is_known(self):
        """They are looked for: the others of their transactions are written."""
        self.program = wikitally.CHECKED
        self.assertIn(f'the row goes to "{self.name}.state.dead"', self.refuse(358, b'refused', 'CK9.limits'))


class Generations(OnTopics):
    schema = NARROW

    def test_R15_a_changed_definition(self):
        """Refused, unless it was told to count anew: then the new generation is shown as soon as its line has passed where the old one
        stood, and not before."""
        file = self.synth(6000, 341, event_rate=10, late=0.01)
        self.follow(f'replay:{file}', until='4000')
        self.judge()
        before = self.state()
        self.declare(bots={'size': '2m'})
        done = self.follow(f'replay:{file}', code=CONFIG)
        self.assertRegex(done.err, '(?s)bots.*on_change')
        self.assertEqual(self.rows_of(self.state()), self.rows_of(before), 'the state has changed')
        changed = {name: {'size': '2m', 'on_change': 'rebuild'} for name in self.schema}
        self.declare(**changed)
        with self.reading():
            self.follow(f'replay:{file}', '--speed', 300, *OFTEN)
        found, _ = self.judge(generation=1)
        for aggregation in self.schema:
            for value in map(json.loads, found[aggregation].values()):
                self.assertRegex(value['window_start'], r':\d[02468]:00Z$')
                self.assertNotEqual(value['window_start'][:-3], value['window_end'][:-3])
            self.assert_shown_in_time(aggregation)

    def rows_of(self, state):
        return [(key, value) for key, value in state if key != 'batch']

    def assert_shown_in_time(self, aggregation):
        target, position, shown = None, -1, []
        for key, value in self.state():
            if key == f'generation/{aggregation}/1':
                target = int(re.search(r'^begins=.*:(\d+)$', value, re.M)[1])
                self.assertEqual(target, 4000)
            elif key == f'line/{aggregation}/1/0':
                position = number_in(value, 'position')
            elif key == f'shown/{aggregation}':
                shown.append(value)
                if value == '1':
                    self.assertGreaterEqual(position, target, 'shown before it had caught up')
        self.assertEqual(shown, ['0', '1'])
        self.assertEqual(position, 6000 if target is None else position)
        self.assertEqual(self.lines()[aggregation, 1, 0], max(self.lines().values()))


class Refusals(OnTopics):
    schema = {'bots': BUILT_IN['bots'], 'website': BUILT_IN['website']}

    def test_no_topic_and_none_may_be_made(self):
        """Of the state, or of one aggregation: nothing is made in either case."""
        file = self.synth(10, 351)
        self.declare(stats={'create_topics': False})
        for there, missing in (((), 'state'), (('state',), 'bots'), (('bots',), 'website')):
            for topic in there:
                kafka.topics_create(broker.bootstrap, f'{self.name}.{topic}', 1, {'cleanup.policy': 'compact'})
            done = self.follow(f'replay:{file}', code=CONFIG)
            self.assertIn(f'there is no topic "{self.name}.{missing}", and stats.create_topics is false', done.err)
            self.assertRaises(kafka.KafkaError, kafka.offsets, broker.bootstrap, f'{self.name}.{missing}')
        kafka.topics_create(broker.bootstrap, f'{self.name}.website')
        self.follow(f'replay:{file}')
        self.judge()

    def refused(self, pattern, **more):
        directory = self.declare(self.folder / 'refused', **more)
        file = self.configs[str(directory)]
        for command in (['config', 'check', file], self.run_arguments(f'replay:{self.folder}/none', directory=directory)):
            done = self.wikitally(*command, code=CONFIG, timeout=20)
            self.assertRegex(done.err, pattern)
        self.assertFalse(directory.exists())

    def test_topics_that_are_taken(self):
        name = f'{self.name}.taken'
        self.refused('aggregations.website.topic.*taken', bots={'topic': name}, website={'topic': name})
        self.refused('aggregations.bots.topic.*taken', bots={'topic': name}, stats={'state_topic': name})
        on_kafka = {'kind': 'kafka', 'topic': name}
        self.refused('aggregations.bots.topic.*taken', bots={'topic': name}, journal=on_kafka)
        self.refused('aggregations.bots.topic.*taken.dead', bots={'topic': f'{name}.dead'}, journal=on_kafka)
        self.refused('stats.state_topic.*taken', stats={'state_topic': name}, journal=on_kafka)
        self.refused('stats.state_topic.*taken.state', stats={'state_topic': f'{name}.state'}, journal=on_kafka)
        self.refused('aggregations.bots.topic', bots={'topic': 'a/b'})
        self.refused('stats.state_topic', stats={'state_topic': ''})

    def test_no_cluster(self):
        directory = self.declare(self.folder / 'refused')
        file = self.configs[str(directory)]
        options = json.loads(file.read_text())
        del options['kafka']
        file.write_text(json.dumps(options))
        done = self.wikitally('config', 'check', file, code=CONFIG)
        self.assertRegex(done.err, 'aggregations.bots.topic.*kafka.brokers')
        self.follow(f'replay:{self.folder}/none', directory=directory, code=CONFIG)


# ----------------------------------------------------------------------------------------------------------------- a stale end

class Hold:
    """What becomes of one transactional.id's requests from its N-th end on. `what`: that request is held back, or its answer is lost, or
    the answers of all ends are until the producer is replaced. A request is sent `when` the next transaction is 'open' (its first
    records are there) or at its own 'end', or 'open' after a 'restart' of the program, which was killed meanwhile."""

    def __init__(self, what, when, nth):
        self.what, self.when, self.nth = what, when, nth
        self.ends = 0
        self.held = None                                # the request
        self.again = self.inits = 0                     # ends and INITs since then
        self.released = False
        self.lost = 0

    def handle(self, request):
        api = request.api
        self.ends += api == END
        if api == END and self.ends == self.nth:
            self.held = request
            if self.what == 'request':
                return
        elif self.held is None or self.released or self.what != 'request':
            self.count(api)
        else:
            self.among_others(request)
            return
        if self.loses(api):
            self.lost += 1
            request.lose_answer()
        request.send()

    def among_others(self, request):
        """What is held goes out behind the first records of a transaction, or before its end."""
        due = (self.inits if self.when == 'restart' else self.again) and request.api == (END if self.when == 'end' else PRODUCE)
        self.count(request.api)
        if due and request.api == PRODUCE:
            request.send(answered=True)
        if due:
            self.released = True
            self.held.send(answered=True)
        if not due or request.api == END:
            request.send()

    def count(self, api):
        self.again += self.held is not None and api == END
        self.inits += self.held is not None and api == INIT

    def loses(self, api):
        """Is the answer to the request that is passed on lost?"""
        return api == END and (self.what == 'answer' and self.ends == self.nth or
                               self.what == 'answers' and self.ends >= self.nth and not self.inits)


class StaleEnd(OnTopics):
    """A request that ends a transaction is held back until librdkafka has sent it again, and arrives in the next one."""

    program = wikitally.CHECKED if os.path.exists(wikitally.CHECKED) else wikitally.PROGRAM
    schema = NARROW
    ENDS = wikitally.size((7,), (1, 3, 7, 9, 12))       # a start has 1 to 4: who writes, and a generation each
    SCHEDULES = (('request', 'open'), ('request', 'end'), ('request', 'restart'), ('answer', ''), ('answers', ''))

    def name_of(self, what, when, nth, faults=''):
        return f'{self.name}-{what}-{when}-{nth}{faults}'

    def one(self, file, what, when, nth, faults=''):
        """-> (its directory, its log, what was held)"""
        name = self.name_of(what, when, nth, faults)
        directory = self.declare(self.folder / name, name, brokers=proxy.address)
        hold = holds[f'wikitally.stats.{name}.state'.encode()] = Hold(what, when, nth)
        arguments = self.run_arguments(f'replay:{file}', '--speed', 40, *OFTEN, directory=directory)
        said = ''
        if when == 'restart':
            with self.running(*arguments) as process:
                self.wait_for(lambda: process.poll() is not None or hold.held, 120, 'the end of a transaction')
                process.kill()
                said = self.log_of(process)
        said += self.wikitally(*arguments, env={'WIKITALLY_FAULTS': faults} if faults else None).err
        self.assertTrue(hold.held and (hold.again or when == 'restart'), f'{name}: nothing was held, or it was not sent again')
        self.assertTrue(hold.released if what == 'request' else hold.lost, f'{name}: what was held was never sent')
        return directory, said, hold

    def all_of(self, cases, file):
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            done = [pool.submit(self.one, file, *case) for case in cases]
            return dict(zip(cases, [future.result() for future in done]))

    def test_A12_CK1_CK6_the_end_of_one_transaction_arrives_in_the_next(self):
        """A new producer was made, whose epoch is higher: the broker refuses the old request. Where no answer comes at all, the state says
        that what seemed to fail is there. Without the guard the broker takes the old request for the open transaction's: half of it is
        committed, and then the whole is written again."""
        file = self.synth(6000, 361, event_rate=10, late=0.01)
        self.assertTrue(any(nth > 4 for nth in self.ENDS))
        for nth in self.ENDS:
            cases = [(*schedule, nth) for schedule in self.SCHEDULES]
            unguarded = [('request', 'open', nth, 'CK1.taint')] if nth > 4 and os.path.exists(wikitally.CHECKED) else []
            with self.reading(*(self.name_of(*case) for case in cases)):
                done = self.all_of([*cases, *unguarded], file)
            for case in cases:
                directory, said, hold = done[case]
                with self.subTest(case=case):
                    self.assertGreaterEqual(hold.inits, 1, 'the producer was not replaced')
                    if case[1] == 'restart' and nth > 4:
                        self.assertGreater(self.aborted(self.name_of(*case)), 0)
                    if case[0] == 'answers' and nth > 4:
                        self.assertIn('that seemed to fail is there', said)
                    self.judge(directory, self.name_of(*case))
            for case in unguarded:
                with self.subTest(case=case), self.assertRaisesRegex(AssertionError, 'doubled or taken back'):
                    self.judge(done[case][0], self.name_of(*case))


if __name__ == '__main__':
    unittest.main()
