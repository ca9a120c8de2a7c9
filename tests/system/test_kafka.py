"""The journal on Kafka, with a real broker (kafka.py), whose topics librdkafka reads here without a line of the program: what came is
there, each once, whatever is killed; rows and ledger are those of a twin whose journal is embedded, and the oracle's (R3, R8, R11-R15;
rows A1, A2, A10, B1 of the goal table; C-K6, C-K9, C-K10).

One broker for all of it, a topic for each test. Nearly all of a short run is waiting for the broker: what can, runs side by side."""
import base64
import collections
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
import unittest

import kafka
import kafka_proxy
import test_failpoints
import test_resume
import wikitally

CAPTURE = 'recentchange-6rzan-firehose-2026-05-05.ndjson.gz'
AVRO = 'recentchange-avrojson-cpdemo-2020-10-14.ndjson.gz'
MIX = {'late': 0.02, 'duplicates': 0.02, 'poison': 0.002, 'future': 0.001, 'canaries': True, 'rare': True, 'event_rate': 3}
KILLS = wikitally.size(10, 200)
STREAM_KILLS = wikitally.size(4, 40)
BROKER_KILLS, BROKER_STOPS, BROKER_PAUSES = wikitally.size(2, 20), wikitally.size(1, 20), wikitally.size(0, 20)
ROUNDS = wikitally.size(2, 20)
CONFIG, UNAVAILABLE, FENCED = 78, 69, 82
RECOVERY = 30                                           # seconds from the broker's return to the next commit, at most

broker = proxy = None
house = None


def setUpModule():
    global broker, house, proxy
    house = tempfile.mkdtemp(prefix='wikitally-kafka-')
    unittest.addModuleCleanup(shutil.rmtree, house, ignore_errors=True)
    proxy = kafka_proxy.Proxy()
    unittest.addModuleCleanup(proxy.close)
    broker = kafka.Broker(house, listeners={'PROXIED': 'PLAINTEXT'}, advertised={'PROXIED': proxy.address})
    proxy.behind = broker.at['PROXIED']
    unittest.addModuleCleanup(broker.kill)
    broker.start()


Sent = collections.namedtuple('Sent', 'value kind arrival_ms')


class OnKafka(wikitally.Case):
    """Directories with a topic get its options with every command; all others have embedded journals."""

    SETTINGS = {'journal.kind': 'kafka', 'journal.retention_age': '3660d'}      # recordings are older than a week

    def setUp(self):
        super().setUp()
        self.options = {}
        self.topic = self.on_kafka(self.directory, self._testMethodName)
        if broker.process is None:                      # a test failed while it was away
            broker.start()

    def on_kafka(self, directory, topic, brokers=None, **settings):
        """Settings of journal.*."""
        settings = {**self.SETTINGS, 'kafka.brokers': brokers or broker.bootstrap, 'journal.topic': topic,
                    **{f'journal.{name}': value for name, value in settings.items()}}
        self.options[str(directory)] = [word for name, value in settings.items() for word in ('--set', f'{name}={value}')]
        return topic

    def command(self, *arguments):
        words = [str(word) for word in arguments]
        where = words[words.index('--data-dir') + 1] if '--data-dir' in words else None
        return super().command(*words, *self.options.get(where, ()))

    def together(self, *calls):
        """Side by side; -> what they returned."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    def consume(self, topic=None, **options):
        return kafka.consume(broker.bootstrap, topic or self.topic, **options)

    def count(self, topic=None):
        """A measure of progress only: marks count."""
        try:
            return sum(kafka.end_offsets(broker.bootstrap, topic or self.topic).values())
        except kafka.KafkaError:
            return 0

    def log_of(self, process):
        return process.log.read_text(errors='replace')

    def wait_for_log(self, process, pattern, timeout=30):
        self.wait_for(lambda: process.poll() is not None or re.search(pattern, self.log_of(process)), timeout, pattern)
        self.assertTrue(re.search(pattern, self.log_of(process)), f'{pattern}: ended with {process.poll()}\n{self.log_of(process)[-2000:]}')

    def wait_for_progress(self, process, more=1, timeout=60, topic=None):
        """-> seconds until the topic has grown."""
        begun, before = time.monotonic(), self.count(topic)
        self.wait_for(lambda: process.poll() is not None or self.count(topic) >= before + more, timeout, 'records in the topic', 0.1)
        self.assertIsNone(process.poll(), f'came to its end too early\n{self.log_of(process)[-2000:]}')
        return time.monotonic() - begun

    # ------------------------------------------------------------------------------------------------ the topic

    def sent(self, file):
        """What the oracle says of a recording: -> ([Sent] as they have to be journalled, [bytes of dead letters])."""
        args = wikitally.oracle.parser().parse_args(['admit', str(file)])
        admission, sent, dead = wikitally.oracle.admission_of(args), [], []
        for line, arrival_ms in wikitally.oracle.raw_records(args):
            said = admission.offer(line, arrival_ms)
            if said.outcome == 'journalled':
                sent.append(Sent(line, said.reason, said.arrival_ms))
            elif said.outcome == 'dead':
                dead.append(line)
        return sent, dead

    def assert_topic(self, file, topic=None):
        """Each line once, to the byte, with key, kind and time; in each partition in the order in which they came. -> the records"""
        sent, dead = self.sent(file)
        records = self.consume(topic)
        came, wanted = collections.Counter(r.value for r in records), collections.Counter(one.value for one in sent)
        lost, doubled = (wanted - came).total(), (came - wanted).total()
        self.assertEqual((lost, doubled), (0, 0), f'lost and doubled of {len(sent)}')
        ids = collections.Counter(id_of(r.value) for r in records)
        ids.pop(None, None)
        self.assertLessEqual(set(ids.values()), {1}, 'a meta.id twice')
        self.assertEqual(ids.keys(), {id_of(one.value) for one in sent} - {None})
        self.assert_labels(records, sent)
        letters = self.consume((topic or self.topic) + '.dead')
        self.assertEqual([letter.value for letter in letters], dead, 'dead letters')
        for letter in letters:
            self.assertEqual(dict(letter.headers)['stage'], b'source')
        return records

    def assert_labels(self, records, sent):
        about = {one.value: (number, one) for number, one in enumerate(sent)}       # none is there twice
        last, home = {}, {}
        for r in records:
            number, one = about[r.value]
            headers = dict(r.headers)
            said = (r.key, headers.get('wikitally.kind'), None if headers.get('wikitally.arrival') == b'none' else r.timestamp)
            self.assertEqual(said, (key_of(one), one.kind.encode(), one.arrival_ms), r.value)
            self.assertLess(last.get(r.partition, -1), number, 'not in the order in which they came')
            last[r.partition] = number
            if r.key is not None:
                self.assertEqual(home.setdefault(r.key, r.partition), r.partition, 'a page in two partitions')

    def assert_position(self, records, topic=None):
        """The last record of the last transaction says which it was, and the position; so does the last of any other."""
        batches = [(int(dict(r.headers)['wikitally.batch']), r) for r in records if 'wikitally.batch' in dict(r.headers)]
        newest = max(batch for batch, _ in batches)
        ends = {r.partition: r for r in records}
        final = [r for batch, r in batches if batch == newest]
        self.assertTrue(final)
        for r in final:
            self.assertEqual(r, ends[r.partition])
            self.assertEqual(json.loads(dict(r.headers)['wikitally.position'])['version'], 1)
        for r in records:
            self.assertEqual('wikitally.batch' in dict(r.headers), 'wikitally.position' in dict(r.headers), r)
        state = {r.key: r.value for r in self.consume((topic or self.topic) + '.state')}
        self.assertGreaterEqual(int(re.search(rb'^batch=(\d+)$', state[b'batch'], re.M)[1]), newest)

    # --------------------------------------------------------------------------------------- rows and ledger

    def twin_of(self, file, *more):
        """A directory with an embedded journal and the same input."""
        directory = self.folder / f'twin-{file.name}-{"-".join(more).replace("=", "-")}'
        if not directory.exists():
            self.follow(f'replay:{file}', *more, directory=directory)
        return directory

    def rows(self, directory, apart=True):
        """{row: count and state}, or {row without its partition: the sum of all counts}."""
        found = collections.Counter()
        for row in self.tsv('results', directory=directory):
            key = tuple(row[name] for name in ('aggregation', 'window_start', 'window_end', 'key'))
            if apart:
                self.assertNotIn((*key, row['partition']), found)
                found[*key, row['partition']] = (int(row['count']), row['state'])
            else:
                found[key] += int(row['count'])
        return dict(found)

    def assert_like(self, twin, directory=None, ledger=True):
        """Rows and ledger; revision and closed_by are offsets."""
        directory = directory or self.directory
        got, wanted = self.rows(directory), self.rows(twin)
        other = {row for row in got.keys() | wanted.keys() if got.get(row) != wanted.get(row)}
        self.assertEqual(len(other), 0, [(row, got.get(row), wanted.get(row)) for row in sorted(other)[:5]])
        self.assertGreater(len(got), 0)
        if ledger:
            self.assertEqual(self.tsv('ledger', directory=directory), self.tsv('ledger', directory=twin))

    def assert_balanced(self, directory=None):
        done = self.wikitally('ledger', '--check', '--data-dir', directory or self.directory)
        self.assertRegex(done.out, r'^balanced: .*; 0 in flight\n$')

    def judge(self, file, directory=None, topic=None, twin=None, oracle=True):
        """After a run to the end of the file, whatever happened before. -> the topic's records"""
        directory = directory or self.directory
        records = self.assert_topic(file, topic)
        self.assert_like(twin or self.twin_of(file), directory)
        self.assert_balanced(directory)
        self.assertEqual(self.source_ledger(directory)['journalled'], len(records))
        if oracle:
            journal = self.dump(directory)
            self.assertEqual(envelopes_of(journal), [(r.partition, r.offset, r.timestamp, r.value) for r in records])
            self.assert_rows(journal=journal, directory=directory)
            self.assert_ledger(journal=journal, directory=directory)
        return records


def fields_of(value):
    try:
        event = json.loads(value)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def id_of(value):
    return fields_of(value).get('meta', {}).get('id')


def key_of(one):
    """wiki:Title as the event has them, escapes undone; of a change only."""
    event = fields_of(one.value)
    wiki, title = event.get('wiki'), event.get('title')
    return f'{wiki}:{title}'.encode() if one.kind == 'change' and wiki and title else None


def envelopes_of(dump):
    """`journal dump` -> [(partition, offset, arrival, bytes)]."""
    pattern = re.compile(rb'\{"partition":(\d+),"offset":(\d+),"arrival_ms":(\d+|null),"value":(.*)\}', re.S)
    found = []
    for line in dump.read_bytes().splitlines():
        partition, offset, arrival, value = pattern.fullmatch(line).groups()
        letter = re.fullmatch(rb'null,"value_b64":"(.*)"', value)
        found.append((int(partition), int(offset), None if arrival == b'null' else int(arrival),
                      base64.b64decode(letter[1]) if letter else value))
    return found


class Content(OnKafka):
    """The topic holds what came, and what was counted is what a journal in a file would have given."""

    def run_both(self, file):
        """In one partition and in four, on Kafka and in a file, side by side. -> the directories on Kafka"""
        one, four = self.directory, self.folder / 'four'
        self.on_kafka(four, f'{self.topic}-4', partitions=4)
        self.together(lambda: self.follow(f'replay:{file}'), lambda: self.follow(f'replay:{file}', directory=four),
                      lambda: self.twin_of(file), lambda: self.twin_of(file, '--set', 'journal.partitions=4'))
        return one, four

    def judge_both(self, file):
        one, four = self.run_both(file)
        records = self.judge(file)
        self.assert_position(records)
        of_four = self.judge(file, four, f'{self.topic}-4', self.twin_of(file, '--set', 'journal.partitions=4'))
        self.assert_position(of_four, f'{self.topic}-4')
        self.assertEqual({r.partition for r in of_four}, set(range(4)))
        return one, four

    def test_R3_a_capture_is_in_the_topic_to_the_byte(self):
        self.judge_both(wikitally.capture(CAPTURE))

    def test_R3_R8_made_up_events_with_all_that_is_rare(self):
        file = self.synth(4000, 51, **MIX)
        self.judge_both(file)
        letters = self.tsv('deadletters', 'list')
        self.assertGreater(len(letters), 3)
        self.assertGreater(self.source_ledger()['duplicate'], 20)

    def test_R5_an_arrival_that_nobody_knows_is_no_timestamp(self):
        """Events of a recording that say neither when they arrived nor when they were sent, among others."""
        bare = [json.dumps({'type': 'edit', 'wiki': 'enwiki', 'title': f'T {n}', 'id': n, 'timestamp': 1_780_000_000 + n, 'bot': False, 'user': 'U'}).encode()
                for n in range(30)]
        lines = [line for pair in zip(bare, self.synth(30, 53, late=0, duplicates=0).read_bytes().splitlines()) for line in pair]
        file = self.folder / 'bare.ndjson'
        file.write_bytes(b''.join(line + b'\n' for line in lines))
        self.follow(f'replay:{file}')
        records = self.assert_topic(file)
        self.assertEqual({r.timestamp == -1 for r in records if r.value in bare}, {True})
        self.assertEqual({r.timestamp > 0 for r in records if r.value not in bare}, {True})
        self.assertEqual([arrival is None for _, _, arrival, _ in envelopes_of(self.dump())], [r.value in bare for r in records])

    def test_R6_partitions_change_no_sum_where_nothing_is_late(self):
        file = self.synth(4000, 52, late=0)
        one, four = self.judge_both(file)
        for directory in (one, four):
            self.assertEqual({row['late'] for row in self.tsv('ledger', '--total', directory=directory)}, {'-', '0'})
        self.assertEqual(self.rows(one, apart=False), self.rows(four, apart=False))


class Kills(OnKafka):
    SIDES = 2                                           # each with half of the kills, side by side: most of it is waiting
    SECONDS = 30                                        # that a side would take if nobody killed it

    def side(self, number, random):
        """-> what happened to one run, killed at work and while it starts."""
        count = wikitally.size(12_000, 200_000)
        file = self.synth(count, random.randrange(1 << 30), late=0.02, duplicates=0.02, poison=0.001, canaries=True)
        directory = self.folder / f'side-{number}'
        topic = self.on_kafka(directory, f'{self.topic}-{number}', partitions=1 + number)
        arguments = self.run_arguments(f'replay:{file}', '--speed', count / 45 / wikitally.size(self.SECONDS, 600), directory=directory)
        kinds = ['start' if n % 3 == 0 else 'work' for n in range(KILLS // self.SIDES - 1)]
        random.shuffle(kinds)
        kinds = ['work', *kinds]
        for kind in kinds:
            with self.running(*arguments) as process:
                if kind == 'work':
                    self.wait_for_progress(process, 200, topic=topic)
                time.sleep(random.uniform(0, 0.8 if kind == 'work' else 1.8))
                self.assertIsNone(process.poll(), f'came to its end before it could be killed\n{self.log_of(process)}')
                process.kill()
        self.assertLess(self.count(topic), count, 'nothing is left to do after the last kill')
        self.follow(f'replay:{file}', directory=directory)
        return file, directory, topic, kinds

    def test_A1_killed_at_random(self):
        random = wikitally.seed('kills on kafka')
        sides = self.together(*(lambda n=n, r=type(random)(random.random()): self.side(n, r) for n in range(self.SIDES)))
        for number, (file, directory, topic, kinds) in enumerate(sides):
            twin = self.twin_of(file, '--set', f'journal.partitions={1 + number}')
            records = self.judge(file, directory, topic, twin, oracle=False)
            print(f'{len(kinds)} kills ({kinds.count("start")} in a start): {len(records)} records, lost 0, doubled 0', flush=True)


class Streams(OnKafka, test_resume.Resume):
    def test_A1_R3_killed_while_a_stream_is_cut(self):
        """What was not committed comes again with the overlap; what was is known by the topic's own tail."""
        random = wikitally.seed('kills of a stream on kafka')
        file = self.events(wikitally.size(6000, 30_000), 303, duplicates=0.01)
        with self.upstream(file, '--cut-after', '900ms', '--switch-at', '2500') as server:
            url = self.url(server)
            for _ in range(STREAM_KILLS):
                with self.follow_live(url) as client:
                    self.wait_for_progress(client)
                    time.sleep(random.uniform(0, 0.8))
                    client.kill()
            with self.follow_live(url) as client:
                self.wait_until_still(seconds=5)
                self.stop(client)
        total = self.judge(self.ids(file))
        ids = collections.Counter(id_of(r.value) for r in self.consume())
        ids.pop(None, None)
        self.assertEqual(set(ids.values()), {1})
        print(f'{STREAM_KILLS} kills: {total} events, lost 0, doubled 0', flush=True)

    def test_B1_R4_a_stream_goes_on_while_the_broker_is_away(self):
        """Cut again and again, with holes to ask for and nobody to write to: what came waits on the disk, and none of it is lost."""
        file = self.events(wikitally.size(9000, 60_000), 304, duplicates=0.01)
        with self.upstream(file, '--cut-after', '3s', '--faults', 'hole:every=150,times=9,connection=1') as server, \
                self.follow_live(self.url(server)) as client:
            self.wait_for_progress(client)
            broker.kill()
            self.wait_for_log(client, 'what comes waits in the data directory')
            time.sleep(6)
            self.assertIsNone(client.poll(), self.log_of(client)[-2000:])
            broker.start()
            self.wait_for_log(client, 'the broker answers again')
            self.wait_until_still(seconds=5)
            self.stop(client)
        self.judge(self.ids(file))

    def judge(self, held):
        held = list(dict.fromkeys(held))
        return test_resume.Resume.judge(self, held)


class Outages(OnKafka):
    """The broker goes and comes; the process stays."""

    def away(self, how, random):
        """Killed, or stopped in order, or silent for longer than an append may take: then nobody knows what became of it (C-K6)."""
        if how == 'pause':
            broker.pause()
            time.sleep(random.uniform(8.5, 10))
            broker.resume()
        else:
            getattr(broker, how)()
            time.sleep(random.uniform(0, 2))
            broker.start()

    def test_B1_CK6_the_broker_goes_and_comes_under_it(self):
        random = wikitally.seed('broker')
        ways = ['kill'] * BROKER_KILLS + ['stop'] * BROKER_STOPS + ['pause'] * BROKER_PAUSES
        random.shuffle(ways)
        file = self.synth(4500 * len(ways), 61, late=0.01, poison=0.001)
        waits = []
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 10)) as process:
            self.wait_for_progress(process, 300)
            for how in ways:
                time.sleep(random.uniform(0, 0.5))
                self.away(how, random)
                waits.append(self.wait_for_progress(process, 100, timeout=RECOVERY))
            self.stop(process)
        self.follow(f'replay:{file}')
        self.judge(file, oracle=False)
        print(f'broker: {", ".join(f"{how} {wait:.1f} s" for how, wait in zip(ways, waits))} until the next commit', flush=True)

    def test_B1_no_broker_yet(self):
        """It stays and says so; goes on when there is one; SIGTERM ends it while it waits."""
        file = self.synth(1500, 62)
        broker.stop()
        other = self.folder / 'other'
        self.on_kafka(other, f'{self.topic}-other')
        with self.running(*self.run_arguments(f'replay:{file}', directory=other)) as gone, \
                self.running(*self.run_arguments(f'replay:{file}')) as process:
            for one in (gone, process):
                self.wait_for_log(one, r'error (journal|kafka): .*trying again')
                self.assertIsNone(one.poll())
            self.stop(gone)
            broker.start()
            self.wait_for_end(process)
        self.judge(file)

    def test_B1_SIGTERM_while_the_broker_is_away_from_a_run(self):
        """What was not committed then comes with the next start."""
        file = self.synth(4000, 63)
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 20)) as process:
            self.wait_for_progress(process, 300)
            broker.kill()
            time.sleep(1)
            self.stop(process)
        broker.start()
        self.follow(f'replay:{file}')
        self.judge(file)


class Twice(OnKafka):
    def test_A10_CK10_a_second_ingester_takes_the_topic_over(self):
        """One goes on, the other ends with its own code, and nothing of it is in the topic that the other one has not read."""
        file = self.synth(2000 * ROUNDS + 2500, 71, late=0.01)
        directories = [self.directory, self.folder / 'second']
        self.on_kafka(directories[1], self.topic)
        arguments = [self.run_arguments(f'replay:{file}', '--speed', 8, directory=directory) for directory in directories]
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(self.running(*arguments[0]))
            self.wait_for_progress(first, 300)
            for number in range(ROUNDS):
                second = stack.enter_context(self.running(*arguments[(number + 1) % 2]))
                self.wait_for_end(first, FENCED, beside=second)
                self.assertRegex(self.log_of(first), f'another instance took topic "{self.topic}" over')
                self.wait_for_progress(second, 300)
                first = second
            self.wait_for_end(first)
        self.judge(file, directories[ROUNDS % 2], oracle=False)
        self.follow(f'replay:{file}', directory=directories[(ROUNDS + 1) % 2])      # it only has to count
        self.assert_like(self.twin_of(file), directories[(ROUNDS + 1) % 2])


    def test_CK10_the_first_does_not_fence_who_comes_second(self):
        """Who was fenced looks whether somebody else is there: so it must be told before the other one's first transaction is through."""
        file = self.synth(8000, 72, late=0)
        directory = self.folder / 'second'
        self.on_kafka(directory, self.topic, brokers=proxy.address)
        name, held = f'wikitally.{self.topic}'.encode(), []

        def handle(request):
            if request.api == kafka_proxy.PRODUCE and request.names(name) and not held:
                held.append(request)
                time.sleep(4)
            request.send()

        self.addCleanup(setattr, proxy, 'handle', proxy.handle)
        proxy.handle = handle
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 8)) as first:
            self.wait_for_progress(first, 300)
            with self.running(*self.run_arguments(f'replay:{file}', '--speed', 8, directory=directory)) as second:
                self.wait_for_end(first, FENCED, beside=second)
                self.wait_for_progress(second, 300)
                self.stop(second)
        self.assertTrue(held)


class Stopped(OnKafka):
    def test_SIGTERM_and_on(self):
        file = self.synth(6000, 81, late=0.01, duplicates=0.01, poison=0.002)
        with self.running(*self.run_arguments(f'replay:{file}', '--speed', 20)) as process:
            self.wait_for_progress(process, 500)
            self.stop(process)
        self.assert_balanced()
        left = len(self.consume())
        self.assertLess(left, 5000)
        self.assertEqual(self.source_ledger()['journalled'], left)
        self.follow(f'replay:{file}')
        self.judge(file)


@unittest.skipUnless(os.path.exists(wikitally.CHECKED), 'needs the build with failpoints')
class Failpoints(OnKafka):
    """As test_failpoints.py, which leaves these to us."""

    program = wikitally.CHECKED
    SITUATIONS = test_failpoints.Failpoints.SITUATIONS

    def cases(self, situation):
        return [(point, action) for point in self.SITUATIONS[situation] for action in ('kill', 'after', 'error')]

    def place(self, point, action, **settings):
        directory = self.folder / f'{point}-{action}'
        self.on_kafka(directory, directory.name, **settings)
        return directory

    def struck(self, point, action):
        return {'WIKITALLY_FAILPOINT': f'{point}:{action}@3'}

    def assert_struck(self, point, action, code, said):
        """An error ends it, or is overcome."""
        self.assertIn(code, (0, 74) if action == 'error' else (-9,), said[-2000:])
        if action != 'kill':
            self.assertIn(f'failpoint {point}: {action}', said)

    def test_A2_every_failpoint_of_kafka_is_struck_here(self):
        named = {point for situation in ('kafka', 'kafka_away') for point in self.SITUATIONS[situation]}
        self.assertEqual({point for point in wikitally.failpoints() if point.startswith('kafka.')}, named)

    def test_A2_CK6_struck_at_every_failpoint_of_an_append(self):
        file = self.synth(3000, 91, late=0.01, duplicates=0.02, poison=0.002)

        def strike(point, action):
            directory = self.place(point, action, commit_every='1ms', commit_bytes='64KiB')
            arguments = self.run_arguments(f'replay:{file}', '--set', 'task.commit_every=10ms', '--speed', 200, directory=directory)
            done = self.wikitally(*arguments, code=None, env=self.struck(point, action))
            if done.code != 0:
                self.follow(f'replay:{file}', directory=directory)
            return directory, done

        cases = self.cases('kafka')
        done = self.together(lambda: self.twin_of(file), *(lambda case=case: strike(*case) for case in cases))[1:]
        for (point, action), (directory, end) in zip(cases, done):
            with self.subTest(point=point, action=action):
                self.assert_struck(point, action, end.code, end.err)
                self.judge(file, directory, directory.name, oracle=False)

    def test_A2_struck_while_batches_wait_for_the_broker(self):
        """Written to the disk meanwhile, and from there to the topic."""
        file = self.synth(2400, 92, late=0.01, duplicates=0.02, poison=0.002)
        with contextlib.ExitStack() as stack:
            runs = []
            for point, action in self.cases('kafka_away'):
                directory = self.place(point, action, commit_every='100ms')
                arguments = self.run_arguments(f'replay:{file}', '--speed', 4, directory=directory)
                runs.append((point, action, directory, stack.enter_context(self.running(*arguments, env=self.struck(point, action)))))
            for *_, directory, process in runs:
                self.wait_for(lambda topic=directory.name: self.count(topic) > 50, what='records in the topic')
            broker.kill()
            for *_, process in runs:
                self.wait_for(lambda process=process: process.poll() is not None or 'what comes waits' in self.log_of(process), 40, 'a batch that waits')
            time.sleep(1)
            broker.start()
            for point, action, directory, process in runs:
                with self.subTest(point=point, action=action):
                    self.assert_struck(point, action, process.wait(60), self.log_of(process))
        self.together(lambda: self.twin_of(file), *(lambda at=directory: self.follow(f'replay:{file}', directory=at) for _, _, directory, _ in runs))
        for point, action, directory, _ in runs:
            with self.subTest(point=point, action=action):
                self.judge(file, directory, directory.name, oracle=False)


class Quiet(OnKafka):
    def test_R7_partitions_that_get_nothing_more(self):
        """What stands behind their last record are marks: they are at their end, nothing is waited for, and no gap is booked."""
        more = ('--set', 'journal.partitions=4')
        for until in (200, 202):
            done = self.follow('synthetic:max', *more, until=until)
            self.assertNotIn('trying again', done.err)
        self.assert_balanced()
        self.assertEqual({(row['records'], row['gap']) for row in self.tsv('ledger', '--total') if row['ledger'] != 'source'}, {('202', '0')})


class Refusals(OnKafka):
    def refused(self, file, pattern, code=CONFIG, directory=None, more=()):
        done = self.follow(f'replay:{file}', *more, directory=directory, code=code)
        self.assertRegex(done.err, pattern)
        return done

    def test_R15_a_topic_made_anew_under_old_results(self):
        """The topic alone, and with what stands beside it: whoever goes by offsets must not go on. --adopt counts anew."""
        file = self.synth(1500, 101)
        self.follow(f'replay:{file}')
        for suffixes in (('',), ('', '.state', '.dead')):
            with self.subTest(deleted=suffixes):
                for suffix in suffixes:
                    kafka.delete_topic(broker.bootstrap, self.topic + suffix)
                kafka.topics_create(broker.bootstrap, self.topic)
                self.refused(file, f'(?s)(topic "{self.topic}".*|)--adopt')
                self.assertEqual(self.consume(), [])

    def test_R15_a_topic_made_anew_is_adopted(self):
        """Once told so: a new journal, and all counted anew."""
        file = self.synth(1500, 102)
        topics = {('',): self.topic + '-alone', ('', '.state', '.dead'): self.topic + '-all'}
        for suffixes, topic in topics.items():
            with self.subTest(deleted=suffixes):
                directory = self.folder / topic
                self.on_kafka(directory, topic)
                self.follow(f'replay:{file}', directory=directory)
                for suffix in suffixes:
                    kafka.delete_topic(broker.bootstrap, topic + suffix)
                self.follow(f'replay:{file}', '--adopt', directory=directory)
                records = self.assert_topic(file, topic)
                self.assert_like(self.twin_of(file), directory, ledger=False)  # minutes before the new journal are `older`
                self.assert_balanced(directory)
                self.assertEqual(self.source_ledger(directory)['journalled'], len(records))

    def test_R2_another_source_on_the_same_topic(self):
        file, other = self.synth(800, 103), self.synth(800, 104)
        self.follow(f'replay:{file}')
        self.on_kafka(self.folder / 'second', self.topic)
        self.refused(other, 'replay:|source|files:', directory=self.folder / 'second')
        self.judge(file, oracle=False)

    def test_no_topic_and_none_may_be_made(self):
        file = self.synth(10, 105)
        self.on_kafka(self.directory, self.topic, create_topics='false')
        self.refused(file, f'there is no topic "{self.topic}')
        self.assertRaises(kafka.KafkaError, self.consume)

    def test_CK9_a_record_larger_than_the_topic_takes(self):
        """It becomes a dead letter with its bytes; what is just small enough, and all the rest, is journalled."""
        kafka.topics_create(broker.bootstrap, self.topic, 1, {'max.message.bytes': 60_000, 'retention.ms': -1})
        file = self.synth(1200, 106)
        lines = file.read_bytes().splitlines()
        large = {300: 50_000, 700: 500_000}
        for at, size in large.items():
            lines[at] = padded(lines[at], size)
        lines[500] = padded(lines[500], 20_000)
        file.write_bytes(b'\n'.join(lines) + b'\n')
        self.follow(f'replay:{file}', timeout=30)
        rest = [line for at, line in enumerate(lines) if at not in large]
        self.assertEqual([r.value for r in self.consume()], rest)
        letters = self.consume(self.topic + '.dead')
        self.assertEqual([letter.value for letter in letters], [lines[at] for at in large])
        self.assertEqual([dict(letter.headers)['reason'] for letter in letters], [b'too-large'] * 2)
        self.assertEqual([(row['reason'], row['bytes']) for row in self.tsv('deadletters', 'list')],
                         [('too-large', str(size)) for size in large.values()])
        self.assertEqual((self.source_ledger()['dead'], self.source_ledger()['journalled']), (2, 1198))
        self.assert_balanced()
        self.assert_rows()

    def test_a_wrong_port(self):
        port = kafka.free_ports(1)[0]
        self.on_kafka(self.directory, self.topic, brokers=f'127.0.0.1:{port}')
        file = self.synth(10, 107)
        with self.running(*self.run_arguments(f'replay:{file}')) as process:
            self.wait_for_log(process, rf'error \w+: kafka 127\.0\.0\.1:{port}: .*trying again')
            time.sleep(2)
            self.assertIsNone(process.poll())
            for command in (['journal', 'verify'], ['ledger', '--check']):
                done = self.wikitally(*command, '--data-dir', self.directory, code=(UNAVAILABLE, 66))
                self.assertRegex(done.err, rf'127\.0\.0\.1:{port}|no ')
            self.stop(process)


def padded(line, size):
    """The same event, so many bytes long."""
    assert line.endswith(b'}')
    filling = b',"padding":"'
    return line[:-1] + filling + b'x' * (size - len(line) - len(filling) - 1) + b'"}'


class Foreign(OnKafka):
    """A topic that others fill can be read: nothing of it is ours but the bytes."""

    def fill(self, records, count=1):
        kafka.topics_create(broker.bootstrap, self.topic, count, {'retention.ms': -1})
        kafka.produce(broker.bootstrap, self.topic, records)

    def tail(self, *more, **options):
        return self.wikitally('tail', '--since', '2001-01-01T00:00:00Z', '--until', 'end', '-o', 'raw', *more, '--data-dir', self.directory,
                              **options)

    def judge_foreign(self):
        """dump is the topic, in all its partitions; verify has nothing against it."""
        records = self.consume()
        self.assertEqual(envelopes_of(self.dump()), [(r.partition, r.offset, r.timestamp, r.value or b'') for r in records])
        self.assertIn(f'{len(records)} records, 0 holes', self.wikitally('journal', 'verify', '--data-dir', self.directory).out)
        return records

    def test_events_and_junk_of_others(self):
        lines = self.synth(300, 111).read_bytes().splitlines()
        junk = [b'', None, b'\xff\xfe\x00', b'{', b'[]', b'null', b'\r\n', b'{"meta":{}}', bytes(range(256)) * 300]
        records = [(n % 2, None if n % 3 else b'\xffkey\x00', line, [], 1_780_000_000_000 + n) for n, line in enumerate(lines)]
        for n, value in enumerate(junk):
            records.insert(30 * n, (n % 2, b'', value, [('wikitally.batch', b'x'), ('other', None)], 1_700_000_000_000 + n))
        self.fill(records, 2)
        kafka.produce(broker.bootstrap, self.topic, [(0, None, lines[0], [])], transaction='abort')
        kafka.produce(broker.bootstrap, self.topic, [(0, None, lines[1], [], 1_790_000_000_000)], transaction='commit')
        self.assertEqual(len(self.judge_foreign()), len(records) + 1)
        said = self.tail().out.encode('utf-8', 'surrogateescape').splitlines()
        self.assertEqual(collections.Counter(said) & collections.Counter(lines), collections.Counter([*lines, lines[1]]) & collections.Counter(lines))
        wanted = collections.Counter([*lines, lines[1]])
        self.assertEqual({line: n for line, n in collections.Counter(said).items() if line in wanted}, dict(wanted))

    def test_R12_what_is_committed_while_the_end_is_looked_at(self):
        """The end that was seen is not the end any more when the broker says where it is: what came in between is not gone."""
        lines = self.synth(100, 113, late=0, duplicates=0).read_bytes().splitlines()
        batches = [[(0, None, line, []) for line in lines[n:n + 10]] for n in range(0, len(lines), 10)]
        self.fill(batches.pop())
        self.on_kafka(self.directory, self.topic, brokers=proxy.address)
        committing = threading.Lock()

        def handle(request):
            """Asked for the end: everything fetched is there; then something is committed, which is fetched a little later."""
            if request.api == kafka_proxy.LIST_OFFSETS and request.names(self.topic.encode()) and committing.acquire(blocking=False):
                with contextlib.suppress(IndexError):
                    records = batches.pop()
                    request.settle()
                    kafka.produce(broker.bootstrap, self.topic, records, transaction='commit')
                request.send(answered=True)
                time.sleep(0.3)
                committing.release()
                return
            request.send()

        self.addCleanup(setattr, proxy, 'handle', proxy.handle)
        proxy.handle = handle
        with self.running('run', '--roles', 'tasks', '--data-dir', self.directory, '--listen', 'none') as process:
            self.wait_for(lambda: process.poll() is not None or not batches, 120, 'that the end is asked for ten times', 0.5)
            self.wait_for(lambda: process.poll() is not None or self.total('records') + self.total('gap') >= len(lines), 60, 'all of it', 0.5)
            self.stop(process)
        self.assertEqual((self.total('records'), self.total('gap')), (len(lines), 0))
        self.wikitally('ledger', '--check', '--data-dir', self.directory)
        self.assertIn('others write it, without ticks', self.wikitally('explain', 'watermark', '--data-dir', self.directory).out)

    def total(self, column):
        return {row['ledger']: int(row[column] or 0) for row in self.tsv('ledger', '--total')}.get('bots', 0)

    def test_changes_in_avro_s_json(self):
        file = wikitally.capture(AVRO)
        with wikitally.oracle.open_input(file) as text:
            lines = list(wikitally.oracle.ndjson_records(text))
        self.fill([(0, None, line, [], 1_602_701_192_000 + n) for n, line in enumerate(lines)])
        self.assertEqual([r.value for r in self.judge_foreign()], lines)
        self.tail(code=(0, 1))

    def test_nothing_in_it(self):
        self.fill([], 3)
        self.assertEqual(self.judge_foreign(), [])
        self.tail(code=1)

    def test_no_such_topic(self):
        for command in (['journal', 'dump'], ['journal', 'verify'], ['tail', '--since', '1h', '--until', 'end']):
            done = self.wikitally(*command, '--data-dir', self.directory, code=66)
            self.assertRegex(done.err, f'there is no topic "{self.topic}"')


if __name__ == '__main__':
    unittest.main()
