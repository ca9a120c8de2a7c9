"""Topics, messages and groups over the API: what the commands say and what stands in Kafka, to the byte; and what it says when no
broker answers."""
import base64
import concurrent.futures
import contextlib
import gzip
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import kafka
import kafka_security
import test_topics as topics
import wikitally

AT, records, value, stamp = topics.AT, topics.records, topics.value, topics.stamp
SECONDS = 6                     # ASK_US of src/serve/ask.h, the second beyond it, and two for a busy machine


def numbers(row, *names):
    """The API's 64-bit numbers are text: as the command has them."""
    return {name: int(cell) if name in names and cell is not None else cell for name, cell in row.items()}


def exact(message, name):
    """The bytes of a key or a value, however they are written."""
    coded = message.get(f'{name}_b64')
    text = message[name]
    assert coded is None or text is None, message
    return base64.b64decode(coded, validate=True) if coded is not None else None if text is None else text.encode()


class Api(topics.Looking):
    def rows(self, *arguments, **options):
        """Python takes more than LF for the end of a line."""
        return [json.loads(line) for line in self.ask(*arguments, '-o', 'jsonl', **options).out.split('\n')[:-1]]

    @contextlib.contextmanager
    def serving(self, *options, directory=None):
        """`run` with a source that has nothing to say and stays; what is asked goes to it."""
        fifo = self.folder / f'quiet-{time.time_ns()}.ndjson'
        os.mkfifo(fifo)
        arguments = self.run_arguments(f'replay:{fifo}', *options, until=None, listen='127.0.0.1:0', directory=directory)
        with self.running(*arguments) as process:
            writer = os.open(fifo, os.O_RDWR)
            try:
                self.base = self.url(process).rstrip('/')
                yield process
                if process.poll() is None:
                    self.stop(process)
            finally:
                os.close(writer)

    def get(self, path, timeout=15, **parameters):
        """-> (status, body, headers)"""
        query = '?' + urllib.parse.urlencode(parameters) if parameters else ''
        request = urllib.request.Request(f'{self.base}/api/v1/{path}{query}', headers={'Accept-Encoding': 'gzip'})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, body, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, body, headers = error.code, error.read(), error.headers
        if headers.get('Content-Encoding') == 'gzip':
            body = gzip.decompress(body)
        wanted = 'application/json' if status == 200 else 'application/problem+json'
        self.assertEqual(headers['Content-Type'], wanted, body)
        self.assertNotRegex(body, rb'[<>&\x7f]')
        return status, json.loads(body), headers

    def api(self, path, status=200, **parameters):
        got, body, _ = self.get(path, **parameters)
        self.assertEqual(got, status, body)
        return body

    def pages(self, topic, **parameters):
        """All messages, page by page, and all that was looked at: {partition: [(from, next, records, matched)]}."""
        found, looked, cursor = [], {}, {}
        while True:
            body = self.api(f'messages/{topic}', **parameters, **cursor)
            found += body['messages']
            for row in body['coverage']:
                looked.setdefault(row['partition'], []).append(tuple(int(row[name]) for name in ('from', 'next', 'records', 'matched')))
            self.assertEqual(int(body['matched']), len(body['messages']))
            self.assertEqual(body['complete'], body['next'] is None)
            self.assertEqual(body['complete'], body['ended_by'] == 'end')
            if body['complete']:
                return found, looked
            cursor = {'cursor': body['next']}

    def places(self, topic, **parameters):
        return [(row['partition'], int(row['offset'])) for row in self.pages(topic, **parameters)[0]]

    def same_list(self):
        rows = [numbers(row, 'records') for row in self.api('topics')['topics']]
        self.assertEqual(rows, self.rows('topics', 'list'))
        return {row['topic']: row for row in rows}

    def same_topic(self, name):
        """Partitions and settings as the command has them."""
        body = self.api(f'topics/{name}')
        listed = lambda numbers: ','.join(map(str, numbers)) or None
        partitions = [{**numbers(row, 'head', 'end', 'high'), 'replicas': listed(row['replicas']), 'in_sync': listed(row['in_sync'])}
                      for row in body['partitions']]
        self.assertEqual(partitions, self.rows('topics', 'show', name))
        self.assertEqual(body['settings'], self.rows('topics', 'show', name, '--settings'))
        return body

    def same_messages(self, name, **parameters):
        """As the command's rows; the command has no way to say bytes that are no text in JSON, so these as text."""
        found, looked = self.pages(name, **parameters)
        shown = [{**{key: cell for key, cell in numbers(row, 'offset').items() if not key.endswith('_b64')},
                  **{key: None if exact(row, key) is None else exact(row, key).decode('utf-8', 'replace')
                     for key in ('key', 'kind', 'value')}} for row in found]
        self.assertEqual(shown, self.rows('topics', 'messages', name, code=(0, 1)))
        return found, looked

    def same_group(self, name):
        body = self.api('group', name=name)
        lag = [{'group': name, **numbers(row, 'committed', 'end', 'messages', 'seconds')} for row in body['lag']]
        self.assertEqual(lag, self.rows('groups', 'lag', name))
        members = [{**{key: row[key] for key in ('member', 'client', 'host', 'instance')}, 'group': name, 'state': body['state'],
                    'partitions': ','.join(f'{at["topic"]}/{at["partition"]}' for at in row['partitions'])}
                   for row in body['members']]
        self.assertEqual(members, [row for row in self.rows('groups', 'show', name) if row['partitions']])
        self.assertEqual((int(body['messages']), int(body['seconds'])),
                         (sum(row['messages'] for row in lag), max(row['seconds'] for row in lag)))
        return body

    def same_groups(self):
        self.assertEqual(self.api('groups')['groups'], self.rows('groups', 'list'))


class Cluster(Api):
    """One broker and one server for all of them."""

    @classmethod
    def setUpClass(cls):
        topics.library()
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix='wikitally-api-'))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.broker = kafka.Broker(cls.home / 'kafka').start()
        cls.addClassCleanup(cls.broker.kill)
        cls.at = cls.broker.bootstrap

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.process = stack.enter_context(self.serving('--set', f'kafka.brokers={self.at}'))

    def ask(self, *arguments, **options):
        return self.wikitally(*arguments, '--set', f'kafka.brokers={self.at}', **options)

    topic = topics.Cluster.topic

    def assert_as_consumed(self, name, found):
        consumed = [(r.partition, r.offset, stamp(r.timestamp), r.key, r.value) for r in kafka.consume(self.at, name)]
        self.assertEqual([(row['partition'], int(row['offset']), row['timestamp'], exact(row, 'key'), exact(row, 'value'))
                          for row in found], consumed)

    # ------------------------------------------------------------------------------------------------- what there is

    def test_cluster(self):
        name = self.topic(3)
        body = self.api('cluster')
        host, port = self.at.split(':')
        self.assertEqual((body['kind'], body['id'], body['controller'], body['brokers']),
                         ('kafka', kafka.CLUSTER, 1, [{'id': 1, 'host': host, 'port': int(port)}]))
        rows = self.same_list()
        self.assertEqual((body['topics'], body['partitions'], body['under_replicated'], body['without_leader']),
                         (len(rows), sum(row['partitions'] for row in rows.values()), 0, 0))
        self.assertIn(name, rows)

    def test_topics(self):
        name = self.topic(2, records(range(5), 0) + records(range(2), 1),
                          config={'retention.ms': 86400000, 'max.message.bytes': 5000})
        self.assertEqual(self.same_list()[name], {'topic': name, 'partitions': 2, 'replication': 1, 'records': 7,
                                                  'under_replicated': 0, 'internal': False})
        body = self.same_topic(name)
        self.assertEqual([(row['partition'], row['leader'], row['replicas'], row['in_sync'], row['head'], row['end'], row['high'])
                          for row in body['partitions']], [(0, 1, [1], [1], '0', '5', '5'), (1, 1, [1], [1], '0', '2', '2')])
        self.assertIn({'setting': 'retention.ms', 'value': '86400000', 'origin': 'topic'}, body['settings'])
        with topics.open_transaction(self.at, name, records([7, 8])):
            self.assertEqual([row['high'] for row in self.same_topic(name)['partitions']], ['7', '2'])

    def test_a_list_comes_in_pages(self):
        first = self.topic(1)
        for letter in 'abc':
            kafka.topics_create(self.at, f'{first}-{letter}', 1)
        whole = self.api('topics')
        found, cursor = [], {}
        while True:
            body = self.api('topics', limit=2, **cursor)
            self.assertLessEqual(len(body['topics']), 2)
            self.assertEqual(body['count'], whole['count'])
            found += body['topics']
            if body['next'] is None:
                break
            cursor = {'cursor': body['next']}
        self.assertEqual(found, whole['topics'])
        self.assertEqual(len(found), whole['count'])

    # ------------------------------------------------------------------------------------------------------ messages

    def test_bytes_are_exact(self):
        odd = [*topics.Cluster.ODD, (0, b'\xc3', b'\xed\xa0\x80', [('wikitally.kind', b'\xfe')], AT + 3000),
               (0, None, bytes(range(256)) * 3, [], AT + 3000), (0, b'<b>&"\\', b'</script><!--\xe2\x80\xa8', [], AT + 3000)]
        name = self.topic(1, odd)
        found, looked = self.same_messages(name)
        self.assert_as_consumed(name, found)
        self.assertEqual([(exact(row, 'key'), exact(row, 'value')) for row in found], [(row[1], row[2]) for row in odd])
        self.assertEqual([row['size'] for row in found], [None if row[2] is None else len(row[2]) for row in odd])
        self.assertEqual([exact(row, 'kind') for row in found], [b'change', None, None, None, b'\xfe', None, None])
        self.assertEqual((found[0]['value'], found[0]['value_b64']), (None, base64.b64encode(odd[0][2]).decode()))
        self.assertNotIn('value_b64', found[1])
        self.assertNotIn('value_b64', found[2])
        self.assertEqual(looked, {0: [(0, len(odd), len(odd), len(odd))]})

    def test_where_it_begins_and_ends(self):
        name = self.topic(2, records(range(10), 0) + records(range(10, 14), 1))
        both = [(0, n) for n in range(10)] + [(1, n) for n in range(4)]
        for parameters, wanted in (({}, both), ({'from': 'earliest'}, both), ({'partition': 1}, both[10:]), ({'from': 8}, both[8:10]),
                                   ({'from': stamp(AT + 9000)}, both[9:]), ({'from': stamp(AT + 8001)}, both[9:]),
                                   ({'last': 2}, both[8:10] + both[12:]), ({'last': 100}, both), ({'count': 3}, both),
                                   ({'count': 1, 'last': 3}, both[7:10] + both[11:]), ({'from': 3, 'count': 2, 'partition': 0}, both[3:10]),
                                   ({'from': 'latest'}, []), ({'from': 10}, []), ({'from': 5000}, [])):
            with self.subTest(parameters):
                self.assertEqual(self.places(name, **parameters), wanted)
                if 'count' not in parameters:
                    options = [f'--{name}={value}' for name, value in parameters.items()]
                    self.assertEqual(self.offsets(name, *options, code=None), wanted)
        body = self.api(f'messages/{name}', count=3)
        self.assertEqual((body['coverage'], body['ended_by'], body['next']),
                         ([{'partition': 0, 'from': '0', 'next': '3', 'end': '10', 'records': '3', 'matched': '3', 'gone': False}],
                          'count', '0.3'))
        body = self.api(f'messages/{name}', count=10)
        self.assertEqual((len(body['coverage']), body['next']), (1, '1'))
        body = self.api(f'messages/{name}', cursor='0.9')
        self.assertEqual([(row['partition'], int(row['offset'])) for row in body['messages']], both[9:])

    def test_marks_and_what_was_aborted(self):
        name = self.topic()
        for some, end in ((range(3), 'commit'), (range(3, 8), 'abort'), (range(8, 10), 'commit'), (range(10, 12), 'abort')):
            kafka.produce(self.at, name, records(some), transaction=end)
        found, looked = self.same_messages(name)
        self.assert_as_consumed(name, found)
        self.assertEqual([int(row['offset']) for row in found], [0, 1, 2, 10, 11])
        self.assertEqual(looked, {0: [(0, 16, 5, 5)]})
        for last in (1, 2, 3, 5, 6):
            self.assertEqual([offset for _, offset in self.places(name, last=last)], [0, 1, 2, 10, 11][-last:])

    def test_filter(self):
        name = self.topic(2, [*records(range(500)), *records(range(500, 700), 1), (0, None, b'no JSON', (), AT), (0, None, None, (), AT)])
        for query, wanted in (('wiki:enwiki', [n for n in range(700) if n % 2 == 0]), ('wiki:dewiki n:>650', range(651, 700, 2)),
                              ('wiki:frwiki', []), ('NOT wiki:dewiki -n:<600', range(600, 700, 2))):
            with self.subTest(query):
                found, looked = self.pages(name, filter=query, count=70)
                self.assertEqual([json.loads(exact(row, 'value'))['n'] for row in found], list(wanted))
                self.assertEqual({p: (spans[0][0], spans[-1][1], sum(span[2] for span in spans)) for p, spans in looked.items()},
                                 {0: (0, 502, 502), 1: (0, 200, 200)})
                self.assertEqual(sum(span[3] for spans in looked.values() for span in spans), len(wanted))
        self.assertIn('column 1', self.api(f'messages/{name}', 400, filter='(wiki:enwiki')['detail'])

    def test_pages_of_bytes(self):
        big = [(0, None, bytes([65 + number]) * 700_000, (), AT + number) for number in range(20)]
        name = self.topic(1, big)
        body = self.api(f'messages/{name}')
        self.assertEqual((body['ended_by'], len(body['messages']), body['next']), ('bytes', 6, '0.6'))
        found, looked = self.pages(name)
        self.assert_as_consumed(name, found)
        self.assertEqual(sum(span[2] for span in looked[0]), 20)

    def test_what_is_too_large_is_said(self):
        name = self.topic(1, config={'max.message.bytes': 12_000_000})
        kafka.produce(self.at, name, [(0, b'k', bytes(9_000_000), (), AT), (0, b'k', b'small', (), AT)], message_max_bytes=12_000_000)
        first, second = self.api(f'messages/{name}')['messages']
        self.assertEqual((first['value'], first['value_left_out'], first['size'], second['value']), (None, True, 9_000_000, 'small'))

    def test_what_retention_took_is_said(self):
        name = self.topic(1, records(range(6)))
        kafka.delete_records(self.at, name, {0: 4})
        for parameters, gone in (({'from': 3}, True), ({'from': 4}, False), ({}, False), ({'cursor': '0.2'}, True)):
            body = self.api(f'messages/{name}', **parameters)
            self.assertEqual([int(row['offset']) for row in body['messages']], [4, 5])
            row, = body['coverage']
            self.assertEqual((row['from'], row['gone']), ('4', gone))

    def test_going_on_with_what_comes(self):
        name = self.topic(1, records(range(3)))
        row, = self.api(f'messages/{name}', **{'from': 'latest'})['coverage']
        self.assertEqual(row['next'], '3')
        kafka.produce(self.at, name, records([3, 4]), transaction='commit')     # its mark is written behind the answer to it
        come = self.wait_for(lambda: self.api(f'messages/{name}', partition=0, **{'from': row['next']})['messages'])
        self.assertEqual([json.loads(exact(message, 'value'))['n'] for message in come], [3, 4])

    # -------------------------------------------------------------------------------------------------------- groups

    def test_groups(self):
        name, group = self.topic(3, records(range(10), 0) + records(range(10, 15), 1)), 'a/b <ü> &% ?'
        topics.group_commit(self.at, group, name, {0: 4, 1: 5, 2: 0})
        self.same_groups()
        body = self.same_group(group)
        self.assertEqual((body['group'], body['state'], body['messages'], body['seconds'], body['complete']), (group, 'Empty', '6', '5', True))
        self.assertEqual(body['lag'][0], {'topic': name, 'partition': 0, 'committed': '4', 'end': '10', 'messages': '6',
                                          'seconds': '5', 'since': stamp(AT + 4000)})
        with topics.group_member(self.at, 'team', name):
            member, = self.api('group', name='team')['members']
            self.assertEqual((member['client'], member['instance'], member['partitions']),
                             ('a \x1b[31mclient', None, [{'topic': name, 'partition': p} for p in range(3)]))
        self.assertIn('team', [row['group'] for row in self.api('groups')['groups']])
        self.assertEqual([row['group'] for row in self.api('groups', limit=1, cursor=group)['groups']],
                         [sorted(row['group'] for row in self.api('groups')['groups'] if row['group'] > group)[0]])
        self.assertIn('there is no group', self.api('group', 404, name='nobody')['detail'])

    # --------------------------------------------------------------------------------------------------- what is refused

    def test_bad_questions(self):
        name = self.topic(2, records(range(3)))
        for path, parameters in (('topics', {'limit': 0}), ('topics', {'limit': 10001}), ('topics', {'limit': 'x'}), ('topics', {'x': 1}),
                                 ('cluster', {'limit': 1}), (f'topics/{name}', {'limit': 1}), ('groups', {'limit': -1}), ('group', {}),
                                 ('group', {'name': ''}), ('group', {'group': 'x'})):
            self.assertIn('instance', self.api(path, 400, **parameters))
        for parameters in ({'count': 0}, {'count': 1001}, {'count': ''}, {'last': 0}, {'last': 1001}, {'partition': -1}, {'partition': 'a'},
                           {'from': 'soon'}, {'from': -1}, {'from': ''}, {'from': 1, 'last': 1}, {'cursor': ''}, {'cursor': 'x'}, {'cursor': '-1'},
                           {'cursor': '0.-1'}, {'cursor': '0.1.2'}, {'cursor': '1.0', 'partition': 0}, {'filter': 'n:>'}, {'filter': 'x' * 1500 + ')'},
                           {'follow': 1}):
            with self.subTest(parameters):
                self.api(f'messages/{name}', 400, **parameters)
        self.assertEqual(self.get(f'messages/{name}?count=1&count=2')[0], 400)
        self.assertEqual(self.get(f'messages/{name}?filter=%ff')[0], 400)
        self.assertEqual(self.get('group?name=%00')[0], 400)
        self.assertEqual(self.get('topics?cursor=%ff')[0], 400)
        for path in ('topics/nowhere', 'messages/nowhere', 'topics/..', 'messages/a/b', 'topics/%2e', 'messages/' + 'x' * 250,
                     f'messages/{name}?partition=2', f'messages/{name}?cursor=2', f'topics/{name}/'):
            self.assertEqual(self.get(path)[0], 404, path)
        self.assertNotIn('nowhere', self.same_list())

    def test_routes_are_listed(self):
        listed = {route['path'] for route in json.loads(wikitally.get(f'{self.base}/api/v1'))['routes']}
        for path in ('cluster', 'topics', 'topics/', 'messages/', 'groups', 'group'):
            self.assertIn(f'/api/v1/{path}', listed)

    # ------------------------------------------------------------------------------------------------------- no answer

    def test_a_broker_that_hangs_keeps_nobody_waiting(self):
        name = self.topic(1, records(range(3)))
        self.assertEqual(len(self.api(f'messages/{name}')['messages']), 3)
        paths = ['topics', f'messages/{name}', 'groups', 'cluster', f'topics/{name}', 'group?name=x'] * 3
        self.broker.pause()
        try:
            with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
                begun = time.monotonic()
                asked = [pool.submit(self.get, path) for path in paths]
                time.sleep(0.3)
                for path in ('state', 'config', 'results', 'windows', 'ledger'):        # these wait for nobody
                    before = time.monotonic()
                    self.assertIn(self.get(path)[0], (200, 503), path)
                    self.assertLess(time.monotonic() - before, 1, path)
                for answer in asked:
                    status, body, headers = answer.result()
                    self.assertEqual((status, body['status']), (503, 503), body)
                    self.assertGreater(int(headers['Retry-After']), 0)
                self.assertLess(time.monotonic() - begun, SECONDS)
            before = time.monotonic()                       # it is known that nobody answers
            self.assertEqual(self.get('topics')[0], 503)
            self.assertLess(time.monotonic() - before, 0.5)
        finally:
            self.broker.resume()
        self.wait_for(lambda: self.get('topics')[0] == 200)
        self.assertEqual(len(self.api(f'messages/{name}')['messages']), 3)


class Away(Api):
    def test_no_broker_at_all(self):
        with self.serving('--set', 'kafka.brokers=127.0.0.1:1'):
            for path in ('cluster', 'topics', 'topics/x', 'messages/x', 'groups', 'group?name=x'):
                begun = time.monotonic()
                status, body, headers = self.get(path)
                self.assertEqual((status, body['title']), (503, 'Not available yet'), body)
                self.assertIn('127.0.0.1:1', body['detail'])
                self.assertGreater(int(headers['Retry-After']), 0)
                self.assertLess(time.monotonic() - begun, SECONDS)
            self.assertEqual(self.get('messages/x?count=x')[0], 400)


class Secured(Api):
    """Shut in as every run is, with the journal embedded: only the page wants the cluster."""

    @classmethod
    def setUpClass(cls):
        topics.library()
        home = tempfile.mkdtemp(prefix='wikitally-api-')
        cls.addClassCleanup(shutil.rmtree, home, ignore_errors=True)
        cls.broker = kafka_security.broker(home)
        cls.addClassCleanup(cls.broker.kill)
        cls.broker.start()

    def options(self, user, password=kafka_security.PASSWORD):
        file = self.folder / f'password-{user}'
        file.write_text(password + '\n')
        file.chmod(0o600)
        properties = f'security.protocol=SASL_SSL,sasl.mechanism=SCRAM-SHA-512,ssl.ca.location={self.broker.tls.ca}'
        return [word for option in (f'kafka.brokers={self.broker.at["SASL"]}', f'kafka.properties={properties}',
                                    f'kafka.username={user}', f'kafka.password_file={file}') for word in ('--set', option)]

    def test_who_may_sees_and_who_may_not_is_told(self):
        name = 'secret'
        kafka.topics_create(self.broker.bootstrap, name, 1)
        kafka.produce(self.broker.bootstrap, name, records(range(3)))
        with self.serving(*self.options('wikitally')):
            self.assertEqual(len(self.api(f'messages/{name}')['messages']), 3)
            self.assertIn(name, [row['topic'] for row in self.api('topics')['topics']])
        self.directory = self.folder / 'second'
        with self.serving(*self.options('limited')):
            self.assertEqual([row['topic'] for row in self.api('topics')['topics']], [])
            for path in (f'topics/{name}', f'messages/{name}', 'group?name=x'):
                status, body, _ = self.get(path)
                self.assertEqual((status, body['title']), (502, 'The cluster refuses'), body)
        self.directory = self.folder / 'third'
        with self.serving(*self.options('wikitally', 'no' + kafka_security.PASSWORD)):
            for path in ('topics', f'messages/{name}'):
                status, body, _ = self.get(path)
                self.assertEqual((status, body['title']), (502, 'The cluster refuses'), body)
                self.assertNotIn(kafka_security.PASSWORD, body['detail'])


class Never:
    def __contains__(self, _):
        time.sleep(30)


class Requests(Api):
    def cluster(self, *arguments):
        cluster = topics.FakeCluster(*arguments)
        for broker in cluster.brokers:
            self.addCleanup(broker.server_close)
            self.addCleanup(broker.shutdown)
        return cluster, f'kafka.brokers=127.0.0.1:{cluster.brokers[0].server_address[1]}'

    def assert_unknown(self, status, body, headers):
        if status == 200:
            self.assertEqual([row['records'] for row in body['topics']], [None])
        else:
            self.assertEqual(status, 503)
            self.assertGreater(int(headers['Retry-After']), 0)

    def test_the_end_does_not_wait_for_those_that_wait(self):
        """A broker that says what topics there are and nothing more: nobody can know of the next that it will not answer."""
        _, brokers = self.cluster([b'topic'], 1, 1, Never())
        with self.serving('--set', brokers) as process, concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(self.get, 'topics') for _ in range(8)]
            time.sleep(0.5)
            self.assertEqual([answer.result()[1]['title'] for answer in asked if answer.done()], ['Busy', 'Busy'])
            self.stop(process, timeout=SECONDS)
            for answer in asked:
                with contextlib.suppress(OSError):
                    self.assert_unknown(*answer.result())

    def test_those_that_wait_have_their_answer(self):
        _, brokers = self.cluster([b'topic'], 1, 1, Never())
        with self.serving('--set', brokers), concurrent.futures.ThreadPoolExecutor(6) as pool:
            for answer in [pool.submit(self.get, 'topics') for _ in range(6)]:
                self.assert_unknown(*answer.result())           # and not: cut off

    def test_a_thousand_topics_are_a_request_per_broker_not_per_row(self):
        names = [b'topic-%04d' % number for number in range(1000)]
        cluster, brokers = self.cluster(names[::-1], 10, 3)
        with self.serving('--set', brokers):
            begun = time.monotonic()
            rows = self.api('topics')['topics']
            took = time.monotonic() - begun
            self.assertEqual(rows, [{'topic': name.decode(), 'partitions': 10, 'replication': 2, 'records': '210', 'internal': False,
                                     'under_replicated': 0} for name in names])
            self.assertEqual(cluster.requests.count(topics.LIST_OFFSETS), 2 * 3)
            self.assertLess(cluster.requests.count(topics.METADATA), 10)
            self.assertLess(took, 3)


class Journal(Api):
    """What the program itself keeps: embedded, and as topics."""

    TOPIC = topics.Embedded.TOPIC

    def setUp(self):
        super().setUp()
        self.file = self.synth(2000, 12)
        self.cluster = []

    def ask(self, *arguments, **options):
        return self.wikitally(*arguments, '--data-dir', self.directory, *self.cluster, **options)

    def test_embedded(self):
        self.follow(f'replay:{self.file}', '--set', 'journal.partitions=2')
        stored = self.envelopes()
        with self.same_directory('--set', 'journal.partitions=2'):
            body = self.api('cluster')
            self.assertEqual((body['kind'], body['controller'], body['brokers'], body['topics'], body['partitions']), ('embedded', None, [], 1, 2))
            self.assertEqual(self.same_list()[self.TOPIC]['records'], len(stored))
            self.same_topic(self.TOPIC)
            found, looked = self.pages(self.TOPIC, count=300)
            self.assertEqual(b''.join(exact(row, 'value') + b'\n' for row in found), self.raw('journal', 'dump', '--raw'))
            self.assertEqual([(row['partition'], int(row['offset'])) for row in found], [(row['partition'], row['offset']) for row in stored])
            self.assertEqual(sum(span[2] for spans in looked.values() for span in spans), len(stored))
            bots = [(row['partition'], row['offset']) for row in stored if row['value'].get('bot') is True]
            self.assertTrue(bots)
            self.assertEqual(self.places(self.TOPIC, filter='bot:true'), bots)
            for parameters in ({'last': 3}, {'from': 5}, {'from': 'latest'}, {'partition': 1}, {'from': found[700]['timestamp']}):
                options = [f'--{name}={value}' for name, value in parameters.items()]
                self.assertEqual(self.places(self.TOPIC, **parameters), self.offsets(self.TOPIC, *options, code=None), parameters)
            self.same_groups()
            ends = [sum(row['partition'] == p for row in stored) for p in (0, 1)]
            for group in wikitally.BUILT_IN:
                self.assertEqual([(row['topic'], row['partition'], row['committed'], row['end'], row['messages'], row['seconds'])
                                  for row in self.same_group(group)['lag']],
                                 [(self.TOPIC, p, str(ends[p]), str(ends[p]), '0', '0') for p in (0, 1)])
            for path in ('topics/another', 'messages/another', 'group?name=another', f'messages/{self.TOPIC}?partition=2'):
                self.assertEqual(self.get(path)[0], 404, path)

    @contextlib.contextmanager
    def same_directory(self, *options):
        """The source of before, which has nothing more: the directory knows it by its name."""
        with self.running(*self.run_arguments(f'replay:{self.file}', *options, until=None, listen='127.0.0.1:0')) as process:
            self.base = self.url(process).rstrip('/')
            yield process

    def test_on_kafka(self):
        topics.library()
        with kafka.Broker(self.folder / 'kafka') as broker:
            self.cluster = ['--set', f'kafka.brokers={broker.bootstrap}', '--set', 'journal.kind=kafka', '--set', 'journal.partitions=2']
            self.follow(f'replay:{self.file}', *self.cluster)
            with self.same_directory(*self.cluster):
                self.same_list()
                self.same_topic(self.TOPIC)
                found, _ = self.pages(self.TOPIC)
                consumed = kafka.consume(broker.bootstrap, self.TOPIC)
                self.assertEqual([(row['partition'], int(row['offset']), exact(row, 'key'), exact(row, 'value')) for row in found],
                                 [(r.partition, r.offset, r.key, r.value) for r in consumed])
                self.assertTrue(all(row['kind'] in ('change', 'canary', 'tick') for row in found))
                self.same_group('wikitally.results')


if __name__ == '__main__':
    unittest.main()
