"""The rows of the configuration: D7 (bad ones are refused at once, with file, line and key, and `config check` says what the
start says), D8 (secrets are in no output, no file, no command line)."""
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import signal
import socket
import time
import unittest
import urllib.error
import urllib.request

import wikitally

SECONDS = 1.0 if 'asan' not in wikitally.PROGRAM else 5.0
# Every key: a good value, one of a wrong type, one out of its range (None: there is none).
KEYS = {
    'data_dir': ('/tmp', None, 'x' * 5000),
    'source.url': ('https://example.org/v2/stream/recentchange', 'stream.wikimedia.org', 'https://' + 'x' * 2100),
    'source.contact': ('me@example.org', None, 'c' * 201),
    'source.overlap': ('60s', 'soon', '2h'),
    'source.horizon': ('130s', '2 minutes', '8d'),
    'source.skew': ('60s', '-5s', '61m'),
    'source.delay': ('120s', '1.5m', '25h'),
    'source.idle_after': ('30s', 'idle', '16m'),
    'source.heal': ('true', 'yes', None),
    'source.gzip': ('false', '1', None),
    'source.ca_file': ('', None, 'x' * 5000),
    'source.proxy': ('http://127.0.0.1:3128', 'gopher://127.0.0.1:70', 'http://' + 'p' * 2100),
    'source.connect_timeout': ('15s', 'x', '6m'),
    'ingest.filter': ('wiki:enwiki', 'wiki:', 'x' * 5000),
    'journal.kind': ('sqlite', 'redis', None),
    'journal.retention_age': ('7d', 'a week', '1m'),
    'journal.retention_bytes': ('20GiB', '20G', '1KiB'),
    'journal.max_bytes': ('0', '-1', None),
    'journal.on_full': ('wait', 'block', None),
    'journal.commit_every': ('200ms', 'often', '2m'),
    'journal.commit_bytes': ('1MiB', '1mb', '65MiB'),
    'journal.partitions': ('1', 'one', '65'),
    'journal.topic': ('wiki-changes', None, 'x' * 250),
    'journal.create_topics': ('false', 'no', None),
    'journal.replication': ('3', 'three', '101'),
    'journal.compression': ('zstd', 'brotli', None),
    'journal.linger': ('5ms', 'soon', '11s'),
    'journal.batch_size': ('64KiB', '64 KB', '17MiB'),
    'kafka.brokers': ('127.0.0.1:9092', None, 'x' * 2100),
    'kafka.username': ('wikitally', None, 'x' * 201),
    'kafka.group': ('mine', None, 'x' * 101),
    'kafka.instance': ('first', None, 'x' * 101),
    'kafka.static_membership': ('false', 'no', None),
    'journal.spool_bytes': ('0', '1 GB', '1025TiB'),
    'stats.state_topic': ('mine.state', None, 'x' * 241),
    'stats.create_topics': ('false', 'no', None),
    'stats.replication': ('3', 'three', '101'),
    'kafka.password_file': ('', None, 'x' * 5000),
    'kafka.insecure': ('true', 'yes', None),
    'task.commit_every': ('1s', '1sec', '6m'),
    'task.max_pending_rows': ('2000', '2k', '1'),
    'task.max_keys_total': ('2000', '1e6', '0'),
    'serve.listen': ('127.0.0.1:0', 'localhost', '127.0.0.1:65536'),
    'serve.token_file': ('', None, 'x' * 5000),
    'serve.max_clients': ('10', 'many', '0'),
    'log.level': ('info', 'warning', None),
    'log.format': ('text', 'xml', None),
}
AGGREGATION = {
    'enabled': ('true', 'on', None), 'size': ('60s', 'minute', '367d'), 'slide': ('0s', 'x', '367d'), 'delay': ('2m', 'x', '400d'),
    'skew': ('60s', 'x', '2h'), 'late': ('amend', 'side', None), 'lateness': ('15m', 'x', '400d'), 'max_keys': ('10', 'x', '0'),
    'on_change': ('refuse', 'ignore', None), 'where': ('bot:true', 'type:(', None), 'time_field': ('meta.dt', '', None),
}
HEAD = '# a comment, so that the mistake is not in the first line\n'


def yaml(key, value):
    """-> (text, line and column of the value)"""
    text = value if value.startswith(('[', '{', '"')) else json.dumps(value)
    parts = key.split('.')
    lines = [f'{"  " * depth}{part}:' for depth, part in enumerate(parts)]
    lines[-1] += f' {text}'
    return HEAD + '\n'.join(lines) + '\n', f'{len(parts) + 1}:{len(lines[-1]) - len(text) + 1}'


def table():
    """(what, text, "LINE:COLUMN" or None, what the sentence must have)"""
    every = [(key, *values) for key, values in KEYS.items()]
    every += [(f'aggregations.bots.{key}', *values) for key, values in AGGREGATION.items()]
    for key, good, wrong, beyond in every:
        last = key.split('.')[-1]
        section = key.rpartition('.')[0]
        for what, value in (('type', wrong), ('range', beyond)):
            if value is not None:
                text, at = yaml(key, value)
                yield f'{what} of {key}', text, at, last if not section.startswith('aggregations') else 'bots'
        text, at = yaml(key, '{a: b}')
        yield f'a mapping for {key}', text, at, f'"{key}"'
        text, _ = yaml(key, good)
        again = text.splitlines()[-1]
        yield f'{key} twice', text + again + '\n', f'{len(text.splitlines()) + 1}:{len(again) - len(again.lstrip()) + 1}', f'"{last}" is there already'
        if section:
            text, _ = yaml(f'{section}.{last}x', good)
            line = text.splitlines()[-1]
            yield f'unknown {key}x', text, f'{len(text.splitlines())}:{len(line) - len(line.lstrip()) + 1}', f'unknown key "{last}x"'
    for what, text, at, says in (
            ('an unknown section', 'sauce:\n  url: x\n', '1:1', 'unknown key "sauce"'),
            ('a tab', 'source:\n\turl: x\n', '2:1', 'tab'),
            ('an alias', 'source:\n  contact: *me\n', '2:12', 'quotes'),
            ('two documents', 'source: {}\n---\nlog: {}\n', '2:1', 'second document'),
            ('no mapping', '- source\n', '1:1', 'mapping'),
            ('no YAML', 'source: {overlap: 1s\n', '2:1', ''),
            ('no UTF-8', b'source:\n  contact: "\xff"\n', '2:1', 'UTF-8'),
            ('bytes of something else', bytes(range(256)), None, ''),
            ('a variable that is not there', 'source:\n  contact: ${NOBODY_HAS_THIS}\n', '2:12', 'NOBODY_HAS_THIS'),
            ('no topic', 'source:\n  topics: ["a b"]\n', '2:11', 'source.topics'),
            ('the horizon', 'source:\n  horizon: 100s\n', '2:12', 'twice'),
            ('retention', 'journal:\n  retention_age: 20m\n  commit_every: 1s\n', None, 'aggregation'),
            ('the hard limit', 'journal:\n  max_bytes: 1GiB\n', '2:14', 'hard limit'),
            ('plain http to another machine', 'source:\n  url: http://192.0.2.1/v2/stream/recentchange\n', '2:8', 'https'),
            ('a password in the URL', 'source:\n  url: https://a:b@example.org/v2/stream/recentchange\n', '2:8', 'password'),
            ('a URL that is none', 'source:\n  url: "https://"\n', '2:8', 'source.url'),
            ('a contact of two lines', 'source:\n  contact: "a\\r\\nX-Evil: 1"\n', '2:12', 'one line'),
            ('certificates that are not there', 'source:\n  ca_file: /nonexistent/ca.pem\n', '2:12', '/nonexistent/ca.pem'),
            ('a proxy of no kind', 'source:\n  proxy: "ftp://127.0.0.1"\n', '2:10', 'source.proxy'),
            ('a proxy without a host', 'source:\n  proxy: "http://"\n', '2:10', 'source.proxy'),
            ('a page that is not there', 'serve:\n  web_dir: /nonexistent\n', '2:12', 'web_dir'),
            ('a name with a port', 'serve:\n  hosts: [tally.example.org:8787]\n', '2:10', 'serve.hosts'),
            ('a name that is a URL', 'serve:\n  hosts: ["http://tally.example.org"]\n', '2:10', 'serve.hosts'),
            ('any name', 'serve:\n  hosts: ["*"]\n', '2:10', 'serve.hosts'),
            ('a token in a file that all can read', 'serve:\n  token: "a long enough token"\n', '2:10', 'mode 0600'),
            ('open to all without a token', 'serve:\n  listen: 0.0.0.0:8787\n', '2:11', 'no token'),
            ('open to all on IPv6', 'serve:\n  listen: "[::]:8787"\n', '2:11', 'no token'),
            ('a token file that is not there', 'serve:\n  token_file: /nonexistent/token\n', None, 'serve.token_file'),
            ('a token file that is a directory', 'serve:\n  token_file: /\n', None, 'serve.token_file'),
            ('no such measure', 'aggregations:\n  bots:\n    measures: [median(length.new)]\n', '3:15', 'bots'),
            ('too many keys', 'aggregations:\n  bots:\n    keys: [a, b, c, d, e, f, g, h, i]\n', '3:11', 'bots'),
            ('a name of no aggregation', 'aggregations:\n  "x; drop table": {}\n', '2:3', 'is no name'),
            ('a test of nobody', 'tests:\n  - name: n\n    aggregation: nobody\n    steps: [at: 12:00]\n', None, 'nobody')):
        yield what, text, at, says


class Refused(wikitally.Case):
    """D7: exit code 78 within a second; the sentence names the file, the line, the column and the key."""

    def both(self, *arguments, env=None):
        """What `config check` says, and what the start says: the same."""
        said = []
        for command in (('config', 'check'), ('run', '--source', 'live', '--until', '1', '--data-dir', self.directory)):
            began = time.monotonic()
            done = self.wikitally(*command, *arguments, code=None, timeout=20, env=env)
            self.assertLess(time.monotonic() - began, SECONDS + 0.5 * (os.getloadavg()[0] > 4), command)
            said.append(done)
            if not done.code:
                return 0, ''                            # the caller says what it thinks of that
        self.assertEqual(said[0].code, said[1].code, 'config check and the start differ')
        sentence = said[1].err.strip().splitlines()[-1].partition(': ')[2].partition(': ')[2]
        self.assertIn(sentence, said[0].err, 'config check and the start differ')
        self.assertFalse(self.directory.exists(), 'a bad configuration made a state directory')
        return said[0].code, said[0].err

    def test_D7_bad_files(self):
        wrong, every = [], list(table())
        self.assertGreaterEqual(len(every), 150)
        for number, (what, text, at, says) in enumerate(every):
            file = self.folder / f'bad-{number}.yaml'
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            file.chmod(0o644)
            try:
                code, err = self.both('-c', file)
            except AssertionError as error:
                wrong.append(f'{what}: {str(error)[-600:]}')
                continue
            place = f'{file}:{at}: ' if at else ''
            if code != 78 or place not in err or says not in err:
                wrong.append(f'{what}: code {code}, wanted {place}... {says}, got {err[:400]}')
        self.assertEqual(wrong, [], '\n'.join(wrong))

    def test_D7_bad_variables_and_arguments(self):
        for key, (_, bad, _) in KEYS.items():
            if bad is None:
                continue
            name = 'WIKITALLY_' + key.upper().replace('.', '_')
            code, err = self.both(env={name: bad})
            self.assertEqual(code, 78, (name, err))
            self.assertIn(name, err)
            code, err = self.both('--set', f'{key}={bad}')
            self.assertEqual(code, 78, (key, err))
            self.assertIn(key.split('.')[-1], err)
        for arguments in (('--set', 'nothing'), ('--set', 'source.nothing=1'), ('--set', '=1'), ('--set', 'serve.token=a long enough token')):
            self.assertEqual(self.both(*arguments)[0], 78, arguments)
        code, err = self.both(env={'WIKITALLY_SOURCE_OVERLAPP': '1s'})
        self.assertEqual((code, 'did you mean' in err), (78, True), err)

    def test_D7_files_that_cannot_be_read(self):
        for file, says in (('/nonexistent/x.yaml', 'No such file'), (self.folder, 'directory'), ('/dev/zero', 'more than')):
            code, err = self.both('-c', file)
            self.assertEqual((code, says in err, str(file) in err), (78, True, True), err)
        code, err = self.both('--env-file', '/nonexistent/env')
        self.assertEqual((code, '/nonexistent/env' in err), (78, True), err)

    def test_D7_secrets_that_others_can_read(self):
        token = self.folder / 'token'
        token.write_text('a long enough token\n')
        for mode in (0o644, 0o640, 0o604, 0o660, 0o602):
            token.chmod(mode)
            code, err = self.both('--set', f'serve.token_file={token}')
            self.assertEqual((code, 'mode 0600' in err), (78, True), f'{mode:o}: {err}')
        token.chmod(0o600)
        for text in ('', 'short', 'two lines\nof a token\n', '\xff\xfe long enough'):
            token.write_bytes(text.encode('latin-1'))
            self.assertEqual(self.both('--set', f'serve.token_file={token}')[0], 78, text)

    def test_D7_all_mistakes_are_said_at_once(self):
        file = self.folder / 'many.yaml'
        file.write_text('source:\n  overlap: x\n  heal: yes\njournal:\n  partitions: 0\nsauce: {}\n')
        code, err = self.both('-c', file)
        self.assertEqual(code, 78)
        for at in ('2:12', '3:9', '5:15', '6:1'):
            self.assertIn(f'{file}:{at}: ', err)

    def test_D7_the_good_values_are_good(self):
        """Else the table above would prove nothing."""
        for key, (good, _, _) in KEYS.items():
            file = self.folder / 'good.yaml'
            file.write_text(yaml(key, good)[0])
            self.wikitally('config', 'check', '-c', file)
        for key, (good, _, _) in AGGREGATION.items():
            file.write_text(yaml(f'aggregations.bots.{key}', good)[0])
            self.wikitally('config', 'check', '-c', file)


# ------------------------------------------------------------------------------------------------------------ D8

TOKEN = 'marker-TOKEN-0b8e4f7d'
PASSWORD = 'marker-PASSWORD-91c2aa'
BARE = 'marker-BARE-77d1'
GUESS = 'marker-GUESS-5e01'
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MARKERS = [one.encode() for one in (TOKEN, PASSWORD, BARE, GUESS)]


class Secrets(wikitally.Case):
    """D8: every field that can hold a secret (serve.token in a file of its own, in the configuration, in the environment, as the
    service's credential; a proxy's password, a proxy's user) holds a marker; no output, no file and no command line has one."""

    def setUp(self):
        super().setUp()
        self.said = []
        self.token_file = self.secret('token', TOKEN + '\n')
        self.config = self.secret('wikitally.yaml', f'serve:\n  token_file: {self.token_file}\nsource:\n  proxy: "http://ann:{PASSWORD}@127.0.0.1:9"\n'
                                  'log:\n  level: debug\n')
        self.secrets = {self.token_file, self.config}

    def secret(self, name, text):
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o600)
        return file

    def hear(self, *arguments, env=None, code=None):
        done = self.wikitally(*arguments, code=code, timeout=30, env=env)
        self.said.append((arguments, done.out + done.err))
        return done

    def nothing_said(self):
        for source, text in self.said:
            data = text if isinstance(text, bytes) else text.encode('utf-8', 'surrogateescape')
            for marker in MARKERS:
                self.assertNotIn(marker, data, f'{source}: {data[:1500]}')

    def nothing_stored(self):
        found = [str(file) for file in self.folder.rglob('*') if file.is_file() and not file.is_symlink() and file not in self.secrets
                 and any(marker in file.read_bytes() for marker in MARKERS)]
        self.assertEqual(found, [])

    def commands(self):
        config = ('-c', self.config, '--data-dir', self.directory)
        for words in (['config', 'show'], ['config', 'show', '--origin'], ['config', 'show', '-o', 'json'], ['config', 'diff'], ['config', 'check'], ['config', 'init'],
                      ['config', 'explain', 'serve.token'], ['config', 'explain', 'source.proxy'], ['config', 'explain', 'serve.token_file'], ['config', 'schema'],
                      ['doctor', '--timeout', '8s'], ['ledger'], ['audit'], ['deadletters', 'list'], ['results'], ['journal', 'verify'], ['explain', 'watermark'], ['health']):
            yield [*words, *config]

    def test_D8_commands(self):
        file = self.synth(300, 1, poison=0.05)
        self.follow(f'replay:{file}', '-c', self.config)
        for command in self.commands():
            self.hear(*command, '-vv')
        self.assertGreater(sum(len(text) for _, text in self.said), 3000)
        self.nothing_said()
        self.nothing_stored()

    def test_D8_wherever_the_token_comes_from(self):
        own = self.secret('own.yaml', f'serve:\n  token: "{TOKEN}"\nsource:\n  proxy: "{BARE}@127.0.0.1:9"\n')
        credentials = self.folder / 'credentials'
        credentials.mkdir()
        (credentials / 'serve.token').write_text(TOKEN)
        env_file = self.secret('env', f'WIKITALLY_SERVE_TOKEN={TOKEN}\nWIKITALLY_SOURCE_PROXY=socks5://{BARE}@127.0.0.1:9\n')
        self.secrets |= {own, env_file, credentials / 'serve.token'}
        for arguments, env in ((['-c', own], {}), ([], {'CREDENTIALS_DIRECTORY': str(credentials)}), (['--env-file', env_file], {}),
                               ([], {'WIKITALLY_SERVE_TOKEN': TOKEN, 'WIKITALLY_SOURCE_PROXY': f'http://{BARE}@127.0.0.1:9'}),
                               ([], {'WIKITALLY_SOURCE_PROXY': f'ann:{PASSWORD}@127.0.0.1:9'})):
            for words in (['config', 'show'], ['config', 'show', '--origin'], ['config', 'show', '-o', 'json'], ['config', 'diff'], ['config', 'check'], ['config', 'explain', 'source.proxy']):
                done = self.hear(*words, *arguments, env=env, code=0)
                if words == ['config', 'show'] and 'CREDENTIALS_DIRECTORY' not in env:
                    self.assertIn('***', done.out)
        self.nothing_said()

    def test_D8_mistakes_do_not_repeat_it(self):
        """A value that is refused is a secret all the same."""
        for text in (f'source:\n  proxy: "gopher://ann:{PASSWORD}@127.0.0.1"\n', f'source:\n  proxy: "http://ann:{PASSWORD}@[127.0.0.1"\n',
                     f'source:\n  proxy: "http://ann:{PASSWORD}@127.0.0.1:99999"\n', f'source:\n  url: "ftp://ann:{PASSWORD}@example.org/x"\n',
                     f'source:\n  url: "https://ann:{PASSWORD}@example.org/x"\n', f'source:\n  url: "https://ann:{PASSWORD}@[/x"\n',
                     f'serve:\n  token: ["{TOKEN}"]\n', f'serve:\n  token: {{"{TOKEN}": 1}}\n', f'serve:\n  token: "{TOKEN * 300}"\n', f'serve:\n  token: "{TOKEN}${{NOBODY}}"\n',
                     f'serve:\n  token: "{TOKEN}\\0"\n', f'serve:\n  token: "{TOKEN}\n', f'source:\n  proxy: "http://ann:{PASSWORD}{"x" * 2000}@127.0.0.1"\n'):
            file = self.secret('bad.yaml', text)
            self.secrets.add(file)
            self.assertEqual(self.hear('config', 'check', '-c', file).code, 78, text)
            self.assertEqual(self.hear('run', '-c', file, '--data-dir', self.directory).code, 78, text)
        self.secret('token', f'{TOKEN}\n{TOKEN}\n')
        self.assertEqual(self.hear('config', 'check', '-c', self.config).code, 78)
        for proxy in (f'gopher://ann:{PASSWORD}@127.0.0.1:9', f'http://ann:{PASSWORD}@[127.0.0.1'):     # curl's own words
            self.hear('run', '--source', 'http://127.0.0.2:9/v2/stream/recentchange', '--until', '1', '--timeout', '3s', '--data-dir', self.directory,
                      env={'https_proxy': proxy, 'http_proxy': proxy, 'all_proxy': proxy})
            self.hear('run', '--source', 'https://192.0.2.1/v2/stream/recentchange', '--until', '1', '--timeout', '3s', '--data-dir', self.directory,
                      env={'https_proxy': proxy, 'all_proxy': proxy})
        self.nothing_said()

    def ask(self, url, **headers):
        try:
            with OPENER.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
                return answer.status, answer.read() + str(answer.headers).encode()
        except urllib.error.HTTPError as error:
            return error.code, error.read() + str(error.headers).encode()

    def test_D8_a_server_that_runs_and_crashes(self):
        """Logs at their loudest, the page, the API, metrics, the dead letters, /proc, and no core file."""
        events = self.synth(300, 1, poison=0.05)
        fifo = self.folder / 'fifo'
        os.mkfifo(fifo)

        def before():
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            os.chdir(self.folder)
        arguments = self.run_arguments(f'replay:{fifo}', '-c', self.config, '-vv', until=None, listen='0.0.0.0:0')
        with self.running(*arguments, before=before) as process:
            writer = os.open(fifo, os.O_RDWR)
            self.addCleanup(os.close, writer)
            os.write(writer, events.read_bytes()[:60_000].rpartition(b'\n')[0] + b'\n')
            port = re.search(r':(\d+)', self.url(process)[7:])[1]
            url = f'http://127.0.0.1:{port}'
            time.sleep(1.5)
            for path in ('/', '/plain', '/livez', '/readyz', '/metrics', '/api/v1', '/api/v1/state', '/api/v1/now', '/api/v1/config', '/api/v1/results', '/api/v1/windows',
                         '/api/v1/ledger', '/api/v1/results/bots', f'/?token={GUESS}'):
                for headers in ({}, {'Authorization': f'Bearer {TOKEN}'}, {'Authorization': f'Bearer {GUESS}'}, {'Authorization': f'Basic {GUESS}'}):
                    self.said.append(((path, str(headers)[:25]), self.ask(url + path, **headers)[1]))
            self.said.append(('status of /proc', pathlib.Path(f'/proc/{process.pid}/cmdline').read_bytes() + pathlib.Path(f'/proc/{process.pid}/comm').read_bytes()))
            process.send_signal(signal.SIGABRT)
            process.wait(10)
            self.said.append(('its log', process.log.read_bytes()))
        self.assertIn(b'listening on', self.said[-1][1])
        shown = b''.join(text for source, text in self.said if source[0] == '/api/v1/config')
        self.assertIn(b'ann:***@127.0.0.1', shown)
        self.nothing_said()
        self.nothing_stored()
        self.assertEqual([str(file) for file in self.folder.rglob('core*')], [], 'a core file holds all secrets')

    def test_D8_the_token_is_what_opens(self):
        """Else the markers above would be those of nothing."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(('192.0.2.1', 9))             # sends nothing, but knows from where it would
                host = s.getsockname()[0]
            except OSError:
                host = '127.0.0.1'
        if host.startswith('127.'):
            self.skipTest('this machine has no address but loopback')
        fifo = self.folder / 'fifo'
        os.mkfifo(fifo)
        with self.running(*self.run_arguments(f'replay:{fifo}', '-c', self.config, until=None, listen='0.0.0.0:0')) as process:
            writer = os.open(fifo, os.O_RDWR)
            self.addCleanup(os.close, writer)
            port = re.search(r':(\d+)', self.url(process)[7:])[1]
            codes = []
            for headers in ({}, {'Authorization': f'Bearer {TOKEN}'}, {'Authorization': f'Bearer {GUESS}'}):
                codes.append(self.ask(f'http://{host}:{port}/livez', **headers)[0])
            self.assertEqual(codes, [401, 200, 401])


if __name__ == '__main__':
    unittest.main()
