"""Kafka behind TLS, passwords and ACLs, with a real broker (kafka_security.py): a run works with each way to log in; whatever is
wrong, `doctor kafka` says it in words with what to change, and `run` ends or waits as it should; a password is seen nowhere (D8), and
that brokers are verified cannot be lost by accident (reliability.md section 5)."""
import concurrent.futures
import csv
import io
import json
import re
import shutil
import socket
import tempfile
import time
import unittest

import kafka
import kafka_security
import wikitally

NO, NOPERM, CONFIG = 1, 77, 78
EVENTS = 300
PASSWORD = kafka_security.PASSWORD
DOCTOR_AT_MOST = 11

secured = None


def setUpModule():
    global secured
    house = tempfile.mkdtemp(prefix='wikitally-kafka-')
    unittest.addModuleCleanup(shutil.rmtree, house, ignore_errors=True)
    secured = kafka_security.broker(house)
    unittest.addModuleCleanup(secured.kill)
    secured.start()


class Secured(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.files = {}
        for name, text, mode in (('right', PASSWORD, 0o600), ('wrong', 'no' + PASSWORD, 0o600), ('open', PASSWORD, 0o644)):
            self.files[name] = self.folder / f'{name}-password'
            self.files[name].write_text(text + '\n')
            self.files[name].chmod(mode)

    def settings(self, at, *properties, user=None, password='right', ca='ca', topic='security', **more):
        """As words of a command line; `at` is a listener of ours, or an address. `more`: journal_create_topics='false'."""
        if 'SSL' in ' '.join(properties):
            properties = (*properties, f'ssl.ca.location={getattr(secured.tls, ca)}')
        own = {'journal.kind': 'kafka', 'kafka.brokers': secured.at.get(at, at), 'kafka.properties': ','.join(properties),
               'journal.topic': topic, 'journal.retention_age': '3660d',
               **({'kafka.username': user, 'kafka.password_file': self.files[password]} if user else {}),
               **{name.replace('_', '.', 1): value for name, value in more.items()}}
        return [word for name, value in own.items() for word in ('--set', f'{name}={value}')]

    def scram(self, at='SASL', *more, user='wikitally', **options):
        return self.settings(at, 'security.protocol=SASL_SSL', 'sasl.mechanism=SCRAM-SHA-512', *more, user=user, **options)

    def plain(self, **options):
        return self.settings('SASL', 'security.protocol=SASL_SSL', 'sasl.mechanism=PLAIN', user='plain', **options)

    def tls(self, at, *more, **options):
        return self.settings(at, 'security.protocol=SSL', *more, **options)

    def mutual(self, which='client', **options):
        file = getattr(secured.tls, which)
        return self.tls('MTLS', f'ssl.certificate.location={file}', f'ssl.key.location={file}', **options)

    def doctor(self, settings, code=None):
        """-> [(verdict, finding, next)]; it ends in time and says no secret. What it warned of stands in `warned`."""
        begun = time.monotonic()
        done = self.wikitally('doctor', 'kafka', '--data-dir', self.directory, '-o', 'json', *settings, code=code, timeout=60)
        self.assertLess(time.monotonic() - begun, DOCTOR_AT_MOST)
        self.assertNotIn(PASSWORD, done.out + done.err)
        self.warned = done.err
        rows = [(row['verdict'], row['finding'], row['next']) for row in json.loads(done.out)]
        self.assertEqual(done.code, NO if any(verdict == 'fail' for verdict, _, _ in rows) else 0, rows)
        for verdict, finding, after in rows:
            self.assertTrue(verdict == 'ok' or after, finding)
        return rows

    def assert_found(self, rows, verdict, finding, after):
        """One of them has this verdict, and these words in it."""
        self.assertTrue(any(row[0] == verdict and re.search(finding, row[1]) and re.search(after, row[2] or '') for row in rows),
                        f'no "{verdict}" of "{finding}" with "{after}" in\n' + '\n'.join(map(str, rows)))

    def run_once(self, settings, *more, code=0, **options):
        return self.follow('synthetic:max', *settings, *more, until=EVENTS, code=code, timeout=60, **options)

    def assert_all_there(self, settings, directory=None):
        options = [*settings, '--data-dir', directory or self.directory]
        self.wikitally('ledger', '--check', *options)
        table = self.wikitally('ledger', '--total', '-o', 'tsv', *options).out
        rows = list(csv.DictReader(io.StringIO(table), delimiter='\t'))
        self.assertEqual([int(row['journalled']) for row in rows if row['ledger'] == 'source'], [EVENTS], table)


class LoggedIn(Secured):
    def test_each_way_in_works_from_end_to_end(self):
        """Shut in as every run is."""
        ways = {'by-scram': self.scram, 'by-plain': self.plain, 'by-certificate': self.mutual}
        with concurrent.futures.ThreadPoolExecutor(len(ways)) as side_by_side:
            done = {topic: side_by_side.submit(self.logged_in, way(topic=topic), topic) for topic, way in ways.items()}
            for topic, way in done.items():
                with self.subTest(topic):
                    way.result()
        tls = {'security_protocol': 'SSL', 'ssl_ca_location': secured.tls.ca, 'ssl_key_location': secured.tls.client,
               'ssl_certificate_location': secured.tls.client}
        self.assertEqual(len(kafka.consume(secured.at['MTLS'], 'by-certificate', **tls)), EVENTS)

    def logged_in(self, settings, name):
        self.run_once(settings, directory=self.folder / name)
        self.assert_all_there(settings, self.folder / name)
        rows = self.doctor(settings)
        self.assertNotIn('fail', {verdict for verdict, _, _ in rows}, rows)
        self.assert_found(rows, 'ok', 'topic ".*": 1 partition in 1 copy each', '')
        self.assert_found(rows, 'ok', 'transactions work', '')


class Wrong(Secured):
    """What is wrong is said, and what to change; nobody has to read a log."""

    def faults(self):
        """what is wrong: (settings, what the finding says, what comes next, how run ends; None: it waits for the broker)"""
        refused = 'nothing listens there'
        away = f'127.0.0.1:{secured.nowhere}'
        return {
            'the port': (self.settings(away), f'{away}.*{refused}', 'kafka.brokers', None),
            'the name': (self.settings('broker.invalid:9092'), 'broker.invalid.*no such name', 'getent hosts', None),
            'who signed it': (self.scram(ca='other_ca'), "nobody whom we trust vouches for the broker's certificate",
                              'ssl.ca.location', NOPERM),
            'whose it is': (self.tls('OTHER'), "the broker's certificate is of another name", 'kafka.brokers', NOPERM),
            'until when': (self.tls('OVER'), "the broker's certificate has expired", 'renewed', NOPERM),
            'no certificate': (self.tls('MTLS'), "no client's certificate is set.*wants a client's certificate",
                               'ssl.certificate.location', NOPERM),
            'a foreign one': (self.mutual('stranger'), "client's certificate that is set is refused", 'ssl.certificate.location',
                              NOPERM),
            'TLS to plain': (self.tls('PLAINTEXT'), 'TLS is spoken.*may speak none', 'security.protocol=PLAINTEXT', None),
            'plain to TLS': (self.settings('SASL'), 'TLS is not spoken.*may want it', 'security.protocol=SSL', None),
            'nobody logs in': (self.tls('SASL'), 'may want a user and a password', 'security.protocol=SASL_SSL', None),
            'SCRAM password': (self.scram(password='wrong'), 'user or password is wrong', 'kafka.password_file|PLAIN', NOPERM),
            'PLAIN password': (self.plain(password='wrong'), 'user or password is wrong', 'kafka.password_file', NOPERM),
            'the user': (self.scram(user='nobody'), 'user or password is wrong', 'kafka.username|PLAIN', NOPERM),
            'the mechanism': (self.settings('SASL', 'security.protocol=SASL_SSL', 'sasl.mechanism=SCRAM-SHA-256', user='wikitally'),
                              'does not know this way to log in.*SCRAM-SHA-512', 'sasl.mechanism', NOPERM),
            'advertised port': (self.settings('LOST'), f'broker 1 gives "{away}" .*advertised.listeners.*{refused}',
                                'advertised.listeners', None),
            'advertised name': (self.settings('NAMELESS'), 'broker 1 gives "broker.invalid:9092" .*advertised.listeners.*no such',
                                'advertised.listeners', None),
        }

    def test_said_by_doctor_and_by_run(self):
        with concurrent.futures.ThreadPoolExecutor(6) as side_by_side:
            faults = self.faults()
            found = {name: side_by_side.submit(self.doctor, fault[0]) for name, fault in faults.items()}
            runs = {name: side_by_side.submit(self.run_that_ends, name, fault[0]) for name, fault in faults.items() if fault[3]}
            for name, (_, finding, after, code) in faults.items():
                with self.subTest(name):
                    self.assert_found(found[name].result(), 'fail', finding, after)
                if code:
                    with self.subTest(name, of='run'):
                        words = finding.split('.*')[-1] if 'set is refused' not in finding else "wants a client's certificate"
                        self.assertEqual(runs[name].result().code, code)
                        self.assertRegex(runs[name].result().err, words)

    def run_that_ends(self, name, settings):
        """At once, not only when its patience with a broker that is away is over; and without the secret."""
        begun = time.monotonic()
        done = self.run_once(settings, code=None, directory=self.folder / name.replace(' ', '-'))
        self.assertLess(time.monotonic() - begun, 20)
        self.assertNotIn(PASSWORD, done.out + done.err)
        return done

    def test_a_run_says_what_it_waits_for(self):
        with self.running(*self.run_arguments('synthetic:max', *self.settings(f'127.0.0.1:{secured.nowhere}'))) as process:
            self.wait_for(lambda: 'nothing listens there' in process.log.read_text(), timeout=15)
            self.assertIsNone(process.poll())

    def test_who_says_nothing(self):
        with socket.create_server(('127.0.0.1', 0)) as mute:
            at = f'127.0.0.1:{mute.getsockname()[1]}'
            rows = self.doctor(self.settings(','.join([at] * 7)))
        self.assert_found(rows, 'fail', 'does not answer: a firewall', 'kafka.brokers')
        self.assert_found(rows, 'warn', '1 more addresses', 'kafka.brokers')

    def test_one_of_two_brokers(self):
        rows = self.doctor(self.settings(f'127.0.0.1:{secured.nowhere},{secured.bootstrap}'))
        self.assert_found(rows, 'fail', 'nothing listens there', '')
        self.assert_found(rows, 'ok', f'"{secured.bootstrap}" answers', '')
        self.assert_found(rows, 'ok', 'there is no topic "security" yet: a run makes it', 'wikitally run')

    def test_not_configured(self):
        self.assertEqual(self.doctor([], code=0), [('ok', 'none is configured', 'wikitally config explain kafka.brokers')])


class Topics(Secured):
    def test_none(self):
        self.assert_found(self.doctor(self.scram(topic='none')), 'ok', 'no topic "none" yet: a run makes it', 'wikitally run')
        rows = self.doctor(self.scram(topic='none', journal_create_topics='false'))
        self.assert_found(rows, 'fail', 'no topic "none", and journal.create_topics is false', 'kafka-topics.sh .*--create')
        self.assertNotIn('none', kafka_topics())
        rows = self.doctor(self.scram(topic='none', journal_replication='3'))
        self.assert_found(rows, 'fail', 'could not make it: .*replication factor', 'journal.replication')

    def test_too_many_partitions(self):
        kafka.topics_create(secured.bootstrap, 'many', 65)
        self.assert_found(self.doctor(self.scram(topic='many')), 'fail', '65 partitions; a journal has at most 64', 'journal.topic')

    def test_too_few(self):
        kafka.topics_create(secured.bootstrap, 'few', 2)
        rows = self.doctor(self.scram(topic='few', journal_partitions='4', journal_create_topics='false'))
        self.assert_found(rows, 'fail', '2 partitions, journal.partitions wants 4', 'journal.partitions')

    def test_rights(self):
        """What is missing is named one by one; the transactional.id of a run cannot be tried without taking it from one."""
        for name in ('acl', 'acl.state', 'acl.dead'):
            kafka.topics_create(secured.bootstrap, name)
        settings = self.scram(user='limited', topic='acl')
        rows = self.doctor(settings)
        self.assert_found(rows, 'fail', 'topic "acl".*an ACL is missing', "kafka-acls.sh .*User:limited.* --topic 'acl'")
        self.assert_found(rows, 'warn', 'transactional.id "wikitally.acl.doctor" is refused', "--transactional-id 'wikitally.acl'")
        self.assertRegex(self.run_once(settings, code=NOPERM).err, 'topic "acl.*an ACL is missing')
        self.assert_found(self.doctor(self.scram(user='limited', topic='acl-none')), 'fail', 'topic "acl-none"',
                          "kafka-acls.sh .*'acl-none'")

        kafka_security.allow(secured, '--operation', 'Read', '--operation', 'Describe', '--topic', 'acl',
                             '--resource-pattern-type', 'prefixed')
        rows = self.wait_for(lambda: [row for row in self.doctor(settings) if 'missing for' in row[1]], what='the rights')
        self.assert_found(rows, 'fail', 'topic "acl" .*missing for Write, DescribeConfigs$',
                          "--operation Write --operation DescribeConfigs --topic 'acl'")

        kafka_security.allow(secured, '--operation', 'Write', '--operation', 'DescribeConfigs', '--topic', 'acl',
                             '--resource-pattern-type', 'prefixed')
        self.wait_for(lambda: not any(verdict == 'fail' for verdict, _, _ in self.doctor(settings)), what='the rights')
        self.assertRegex(self.run_once(settings, code=NOPERM).err, 'may not use the transactional.id: an ACL is missing')

        kafka_security.allow(secured, '--operation', 'Write', '--operation', 'Describe', '--transactional-id', 'wikitally.acl',
                             '--resource-pattern-type', 'prefixed')
        self.wait_for(lambda: [row for row in self.doctor(settings) if row[1] == 'transactions work'], what='the rights')
        self.assert_found(self.doctor(settings), 'warn', 'the group "wikitally.results", because an ACL is missing', '--group')

        kafka_security.allow(secured, '--operation', 'Read', '--group', 'wikitally.results')
        self.wait_for(lambda: {verdict for verdict, _, _ in self.doctor(settings)} == {'ok'}, what='the rights')
        self.run_once(settings)
        self.assert_all_there(settings)


def kafka_topics():
    with kafka.client(kafka.PRODUCER, secured.bootstrap, {}) as handle:
        return kafka.topics(handle)


class Secrets(Secured):
    def test_D8_the_password_is_seen_nowhere(self):
        settings = self.scram('SASL', 'debug=all', topic='secrets')
        seen = {}
        with self.running('run', '--source', 'synthetic:100', '--data-dir', self.directory, '--listen', '127.0.0.1:0', '-v',
                          *settings) as process:
            url = self.url(process)
            self.wait_for(lambda: b'journal' in wikitally.get(f'{url}/metrics'), what='metrics')
            for page in ('metrics', 'api/v1/config', 'api/v1/state'):
                seen[page] = wikitally.get(f'{url}/{page}')
            for name in ('cmdline', 'environ'):
                with open(f'/proc/{process.pid}/{name}', 'rb') as file:
                    seen[name] = file.read()
            self.stop(process)
            seen['log'] = process.log.read_bytes()
        for words in (['config', 'show'], ['config', 'show', '-o', 'json'], ['config', 'diff'], ['config', 'check'],
                      ['config', 'explain', 'kafka.password'], ['config', 'explain', 'kafka.password_file'],
                      ['doctor', 'kafka', '-v']):
            done = self.wikitally(*words, *settings, '--data-dir', self.directory, code=None)
            seen[' '.join(words)] = (done.out + done.err).encode()
        failed = self.run_once(self.scram('SASL', 'debug=all', password='wrong'), '-v', code=NOPERM,
                               directory=self.folder / 'failed')
        seen['a run that failed'] = (failed.out + failed.err).encode()
        for file in self.directory.rglob('*'):
            if file.is_file():
                seen[file.name] = file.read_bytes()
        self.assertIn(b'debug kafka: ', seen['log'])
        for name, content in seen.items():
            with self.subTest(name):
                self.assertTrue(content or name in ('environ', 'config diff', 'lock'), 'nothing was seen of it')
                self.assertNotIn(PASSWORD.encode(), content)

    def test_a_file_that_others_read(self):
        for words in (['config', 'check'], ['doctor', 'kafka']):
            done = self.wikitally(*words, *self.scram(password='open'), code=CONFIG)
            self.assertIn('make its mode 0600', done.err)
        self.assertIn('0600', self.run_once(self.scram(password='open'), code=CONFIG).err)

    def test_not_by_other_ways(self):
        for settings in (['--set', f'kafka.password={PASSWORD}'], ['--set', f'kafka.properties=sasl.password={PASSWORD}'],
                         ['--set', f'kafka.properties=ssl.key.pem={PASSWORD}']):
            done = self.wikitally('config', 'check', *settings, code=CONFIG)
            self.assertIn('password_file', done.err)
            self.assertNotIn(PASSWORD, done.out + done.err)
        self.assertIn('password: "***"', self.wikitally('config', 'show', env={'WIKITALLY_KAFKA_PASSWORD': PASSWORD}).out)
        done = self.wikitally('doctor', 'user', env={'WIKITALLY_KAFKA_PASSWORD': PASSWORD})
        self.assertIn('can be read by others', done.err)
        self.assertNotIn(PASSWORD, done.out + done.err)

    def test_a_key_that_others_read(self):
        key = self.folder / 'client.pem'
        key.write_bytes(secured.tls.client.read_bytes())
        key.chmod(0o644)
        rows = self.doctor(self.tls('MTLS', f'ssl.certificate.location={key}', f'ssl.key.location={key}'))
        self.assert_found(rows, 'warn', 'others may read the private key', f"chmod 600 '{key}'")


class Verified(Secured):
    """That a broker's certificate and name are verified is the default (Wrong has the refusals); who wants less says it twice."""

    OFF = {'ssl.endpoint.identification.algorithm=none': 'name is not verified',
           'enable.ssl.certificate.verification=false': 'certificate is not verified'}

    def test_only_by_an_explicit_setting(self):
        for off, words in self.OFF.items():
            with self.subTest(off):
                done = self.wikitally('config', 'check', *self.tls('OTHER', off), code=CONFIG)
                self.assertIn('kafka.insecure', done.err)
                self.assertIn(words, done.err)
        on = [word.split('=')[0] for word in self.OFF]
        self.wikitally('config', 'check', *self.tls('OTHER', f'{on[0]}=https', f'{on[1]}=true'))

    def test_then_it_works_and_is_said(self):
        for number, (off, words) in enumerate(self.OFF.items()):
            with self.subTest(off):
                settings = self.tls('OTHER', off, kafka_insecure='true', topic=f'unverified-{number}')
                kafka.topics_create(secured.bootstrap, f'unverified-{number}')
                rows = self.doctor(settings)
                self.assert_found(rows, 'warn', words, 'kafka.insecure')
                self.assert_found(rows, 'ok', 'answers', '')
                self.assertRegex(self.warned, f'warn config: kafka.insecure is true.*{words}.*can read and change everything')

    def test_a_user_without_sasl_and_sasl_without_tls(self):
        rows = self.doctor(self.settings('PLAINTEXT', user='wikitally'))
        self.assert_found(rows, 'warn', 'kafka.username is set, but security.protocol is plaintext', 'SASL_SSL')
        rows = self.doctor(self.settings('PLAINTEXT', 'security.protocol=SASL_PLAINTEXT', 'sasl.mechanism=PLAIN', user='plain'))
        self.assert_found(rows, 'warn', 'can read what is sent, with PLAIN also the password', 'SASL_SSL')
        self.assert_found(rows, 'fail', 'wants no user and password', 'security.protocol')


if __name__ == '__main__':
    unittest.main()
