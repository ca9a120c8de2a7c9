"""The rows of the HTTP server that strangers can try: D3 (paths, malformed requests), D4 (Host and Origin), against the
program itself with the page compiled in. tests/unit/serve has more of the same kind against the room alone."""
import collections
import os
import re
import shutil
import socket
import subprocess
import time
import unittest
import urllib.parse

import wikitally

REFUSED = {400, 404, 413, 414, 431, 505}                # D3; 505 for HTTP/2.0 in the words of HTTP/1.1; and 0: closed
THREADS = sum(int(n) for n in re.findall(r'(?:POOL|ASKER)_THREADS = (\d+)', (wikitally.ROOT / 'src/serve/pool.h').read_text()))
GOOD = b'GET /livez HTTP/1.1\r\nHost: localhost\r\n'


def ask(port, data, host='127.0.0.1', timeout=3, patience=0.25):
    """Sends bytes -> the status of the first answer; 0: closed, or silent once it could have answered."""
    with socket.create_connection((host, port), timeout) as s:
        try:
            s.sendall(data)
        except OSError:
            pass                                        # it closed while we were writing: what it said counts
        s.settimeout(patience)
        got = b''
        try:
            while b'\r\n' not in got:
                part = s.recv(4096)
                if not part:
                    break
                got += part
        except OSError:
            pass
        found = re.match(rb'HTTP/1\.[01] (\d{3})', got)
        return int(found[1]) if found else 0


def get(path, host='localhost', more=b''):
    path = path if isinstance(path, bytes) else path.encode('utf-8', 'surrogateescape')
    return b'GET ' + path + b' HTTP/1.1\r\nHost: ' + host.encode() + b'\r\nConnection: close\r\n' + more + b'\r\n'


class Web(wikitally.Case):
    """One server for all tests of a class; strace counts what it opens."""

    before = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = cls('run_server')
        cls.home.setUp()
        cls.addClassCleanup(cls.home.doCleanups)
        events = cls.home.synth(50, 1)
        fifo = cls.home.folder / 'quiet.ndjson'          # a source that has had its say, and stays open
        os.mkfifo(fifo)
        arguments = cls.home.run_arguments(f'replay:{fifo}', '--set=serve.hosts=tally.example.org,[::1]', until=None,
                                           listen='127.0.0.1:0')
        log = cls.home.folder / 'stderr'
        with open(log, 'wb') as stderr:
            cls.process = subprocess.Popen([*cls.before, cls.program, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=stderr, env=wikitally.environment())
        cls.process.log = log
        cls.addClassCleanup(cls.end)
        cls.writer = os.open(fifo, os.O_RDWR)
        os.write(cls.writer, events.read_bytes()[:60_000].rpartition(b'\n')[0] + b'\n')
        cls.port = urllib.parse.urlsplit(cls.home.url(cls.process)).port
        time.sleep(2.5)                                 # the task has committed: nothing more to do

    def run_server(self):
        """Not a test: names the instance that the class keeps."""

    @classmethod
    def end(cls):
        cls.process.terminate()
        try:
            cls.process.wait(10)
        except subprocess.TimeoutExpired:
            cls.process.kill()
        os.close(cls.writer)
        if not cls.before and cls.process.returncode != 0:      # a sanitizer's report among them
            raise AssertionError(cls.process.log.read_text(errors='replace')[-3000:])

    def alive(self):
        self.assertIsNone(self.process.poll(), self.process.log.read_text(errors='replace')[-2000:])
        self.assertEqual(ask(self.port, GOOD + b'Connection: close\r\n\r\n'), 200)


# ----------------------------------------------------------------------------------------------------- D3, paths

def paths():
    """Ways up and out, in every spelling that some server has fallen for."""
    dots = ['..', '%2e%2e', '%2E%2E', '.%2e', '%2e.', '%252e%252e', '%c0%ae%c0%ae', '%e0%80%ae%e0%80%ae', '%uff0e%uff0e',
            '..%00', '..%0a', '..;', '...', '%2e%2e%00', '．．', '%ef%bc%8e%ef%bc%8e', '..%ff', '%f0%80%80%ae.']
    slashes = ['/', '%2f', '%2F', '\\', '%5c', '%252f', '%c0%af', '%e0%80%af', '//', '/./', '%u2215', ';/']
    for dot in dots:
        for slash in slashes:
            for base in ('/', '/assets/', '/plain/'):
                yield f'{base}{slash.join([dot] * 4)}{slash}etc{slash}passwd'
    for file in ('/etc/passwd', '//etc/passwd', '/proc/self/environ', '/journal.db', '/results.db', '/index.html', '/.env',
                 '/.git/config', '/assets//etc/passwd', '/assets/index.html', '/assets/', '/assets', '/livez/', '/LIVEZ', '/livez%00',
                 '/%6civez', '/livez%20', '/./livez', '/x/../livez', '//livez', '/livez;x', '/api/v1/', '/api//v1/now',
                 'file:///etc/passwd', 'http://localhost/livez', 'livez', '*', '/livez#x', '/\x01', '/ä', '/%', '/%zz', '/livez\\'):
        yield file


def malformed():
    """Requests that two servers could read in two ways, or none can read. -> {name: bytes}"""
    sent = collections.OrderedDict()

    def add(name, data):
        sent[f'{len(sent)} {name}'] = data
    chunk = b'0\r\n\r\n'
    for value in (b'-1', b'+4', b'4x', b'0x4', b'4,4', b'4, 5', b'', b' ', b'4 4', b'4;4', b'1e1', b'99999999999999999999', b'\xb2', b'"4"',
                  b'4\t4', b'00x', b'- 1', b'--1', b'4\x0b', b'18446744073709551616', b'18446744073709551620', b'4.0', b'NaN', b'0,0'):
        add('length', GOOD + b'Content-Length: ' + value + b'\r\n\r\nabcd')
    for one, two in ((b'4', b'5'), (b'4', b'4'), (b'0', b'0'), (b'0', b'4'), (b'4', b'0'), (b'0', b'')):
        add('two lengths', GOOD + b'Content-Length: ' + one + b'\r\nContent-Length: ' + two + b'\r\n\r\nabcd')
    for value in (b'chunked', b'identity', b'Chunked', b'chunked, chunked', b'gzip, chunked', b'chunked, gzip', b'\x0bchunked', b'chunked\x0b',
                  b'xchunked', b'chunked;x=y', b'"chunked"', b' chunked', b'\tchunked', b'', b'chunked,', b',chunked', b'chunke', b'CHUNKED'):
        add('length and coding', GOOD + b'Content-Length: 4\r\nTransfer-Encoding: ' + value + b'\r\n\r\n' + chunk)
        add('coding', GOOD + b'Transfer-Encoding: ' + value + b'\r\n\r\n' + chunk)
        add('two codings', GOOD + b'Transfer-Encoding: ' + value + b'\r\nTransfer-Encoding: chunked\r\n\r\n' + chunk)
    for size in (b'ffffffffffffffffff', b'-1', b'0x5', b'5;' + b'x' * 9000, b'g', b'', b' 5', b'5 ', b'100000000', b'+5', b'5\n', b'FFFFFFFFFFFFFFFF'):
        add('chunk', GOOD + b'Transfer-Encoding: chunked\r\n\r\n' + size + b'\r\nabcde\r\n' + chunk)
    for byte in [*range(0, 9), 11, 12, *range(14, 32), 127]:
        add('byte in a value', GOOD + b'X: a' + bytes([byte]) + b'b\r\n\r\n')
        add('byte in a name', GOOD + b'X' + bytes([byte]) + b'y: a\r\n\r\n')
    for byte in b'"(),/;<=>?@[\\]{} \x80\xff':
        add('sign in a name', GOOD + b'X' + bytes([byte]) + b': a\r\n\r\n')
    for fold in (b'X: a\r\n b', b'X: a\r\n\tb', b' X: a', b'\tX: a', b'X : a', b'X\t: a', b'X', b': a', b':', b'X: a\rY: b', b'X: a\nY: b', b'X: a\r\r',
                 b'\0: a', b'X\r\n : a', b'X: a\r\n \r\nY: b', b'X: a\n\r\nY: b'):
        add('field', GOOD + fold + b'\r\n\r\n')
    for line in (b'GET /livez', b'GET', b'', b'GET  /livez HTTP/1.1', b'GET /livez  HTTP/1.1', b'GET /livez HTTP/1.1 ', b' GET /livez HTTP/1.1',
                 b'GET /livez x HTTP/1.1', b'GET\t/livez\tHTTP/1.1', b'GET /livez\0 HTTP/1.1', b'GET\0 /livez HTTP/1.1', b'GET /livez HTTP/1.1\0',
                 b'GET /livez HTTP/1.2', b'GET /livez HTTP/2.0', b'GET /livez HTTP/0.9', b'GET /livez HTTP/1.10', b'GET /livez HTTP/01.1', b'GET /livez HTTP/1.',
                 b'GET /livez HTTP/1', b'GET /livez http/1.1', b'GET /livez XTTP/1.1', b'GET /livez HTTP /1.1', b'GET /livez HTTP/1.1x', b'G@T /livez HTTP/1.1',
                 b'G T /livez HTTP/1.1', b'\x16\x03\x01\x02\x00 / HTTP/1.1', b'GET /li vez HTTP/1.1', b'GET /livez\x7f HTTP/1.1', b'GET /livez?\xff HTTP/1.1',
                 b'GET /livez HTTP/1.1\rX: y', b'GET ?x HTTP/1.1', b'GET # HTTP/1.1'):
        add('line', line + b'\r\nHost: localhost\r\n\r\n')
    add('http/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    add('LF only', b'GET /livez HTTP/1.1\nHost: localhost\n\n')
    add('CR only', b'GET /livez HTTP/1.1\rHost: localhost\r\r')
    add('LF at the end', b'GET /livez HTTP/1.1\r\nHost: localhost\r\n\n')
    for size in (7_000, 20_000, 64 << 10, 1 << 20):
        add('long header', GOOD + b'X: ' + b'a' * size + b'\r\n\r\n')
        add('long name', GOOD + b'a' * size + b': x\r\n\r\n')
        add('long target', b'GET /livez?' + b'a' * size + b' HTTP/1.1\r\nHost: localhost\r\n\r\n')
        add('long method', b'G' * size + b' /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
    for count in (100, 1000, 10_000):
        add('many headers', GOOD + b''.join(b'X-%d: y\r\n' % number for number in range(count)) + b'\r\n')
    return sent


# What is odd, but could pass: where we let it pass, another careful server has to do so too.
BORDER = [
    b'\r\n' + GOOD + b'\r\n', b'\r\n\r\n' + GOOD + b'\r\n', GOOD + b'X:a\r\n\r\n', GOOD + b'X: \r\n\r\n', GOOD + b'X:\r\n\r\n', GOOD + b'X:\ta\t\r\n\r\n',
    GOOD + b'X: a\tb\r\n\r\n', GOOD + b'X: caf\xc3\xa9\r\n\r\n', GOOD + b'X: caf\xe9\r\n\r\n', GOOD + b"!#$%&'*+-.^_`|~: a\r\n\r\n", GOOD + b'x-y: a\r\n\r\n',
    GOOD + b'X_Y: a\r\n\r\n', GOOD + b'Content-Length: 0\r\n\r\n', GOOD + b'Content-Length: 00\r\n\r\n', GOOD + b'Expect: 100-continue\r\n\r\n', GOOD + b'Expect: x\r\n\r\n',
    GOOD + b'Connection: keep-alive, close\r\n\r\n', GOOD + b'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n',
    GOOD + b'Range: bytes=0-0\r\n\r\n', GOOD + b'Range: bytes=-1,0-,5-4\r\n\r\n', GOOD + b'Accept-Encoding: gzip;q=9\r\n\r\n',
    b'HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n', b'GET /livez HTTP/1.0\r\n\r\n',
    b'GET /livez HTTP/1.1\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost:\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n',
    b'GET /livez HTTP/1.1\r\nHost: local host\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: localhost:\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: localhost:x\r\n\r\n',
    b'GET /livez HTTP/1.1\r\nHost: localhost:99999\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: localhost.\r\n\r\n',
    b'GET /livez HTTP/1.1\r\nHost: localhost/x\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: user@localhost\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: localhost,localhost\r\n\r\n',
    b'get /livez HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET http://evil/livez HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n', b'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', b'TRACE /livez HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n', b'GET /livez? HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET /livez?&& HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'GET /livez?%00 HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: [::1]\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: [::1\r\n\r\n',
    b'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: 127.1\r\n\r\n', b'GET /livez HTTP/1.1\r\nHost: 0177.0.0.1\r\n\r\n',
]


class Strict(Web):
    def refuse_all(self, requests):
        wrong = {}
        for name, data in requests:
            status = ask(self.port, data)
            if status not in REFUSED and status != 0:
                wrong[name] = status
        self.assertEqual(wrong, {})
        self.alive()

    def test_D3_paths(self):
        every = list(dict.fromkeys(paths()))
        self.assertGreaterEqual(len(every), 500)
        self.refuse_all((path, get(path)) for path in every)

    def test_D3_malformed_requests(self):
        every = malformed()
        self.assertGreaterEqual(len(every), 200)
        self.refuse_all(every.items())

    def test_D3_malformed_requests_in_two_pieces(self):
        """The same when it comes in two packets, the second a moment later; nothing of the first is an answer."""
        for name, data in list(malformed().items())[::7]:
            if len(data) > 2000:
                continue
            with socket.create_connection(('127.0.0.1', self.port), 3) as s:
                try:
                    s.sendall(data[:len(data) // 2])
                    time.sleep(0.01)
                    s.sendall(data[len(data) // 2:])
                    s.settimeout(0.25)
                    got = s.recv(4096)
                except OSError:
                    got = b''
                self.assertNotIn(b' 200 ', got.partition(b'\r\n')[0], name)

    def test_D3_what_follows_a_malformed_request_is_no_request(self):
        """Smuggling: bytes behind a request that was refused are never answered as a second one."""
        for name, data in malformed().items():
            if not name.split()[1] in ('length', 'two', 'coding', 'chunk') or len(data) > 2000:
                continue
            with socket.create_connection(('127.0.0.1', self.port), 3) as s:
                s.settimeout(0.2)
                try:
                    s.sendall(data + GOOD + b'X-Smuggled: yes\r\nConnection: close\r\n\r\n')
                    got = b''.join(iter(lambda: s.recv(65536), b''))
                except OSError:
                    got = b''
                self.assertNotRegex(got, rb'HTTP/1\.1 200', name)


NGINX = shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin')


@unittest.skipUnless(NGINX, 'nginx is not there to compare with')
class Leniency(Web):
    """D3: never more lenient than nginx on the same bytes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with socket.create_server(('127.0.0.1', 0)) as free:
            cls.other = free.getsockname()[1]
        home = cls.home.folder / 'nginx'
        home.mkdir()
        (home / 'conf').write_text(
            f'daemon off; master_process off; pid {home}/pid; error_log {home}/log; events {{}}\n'
            f'http {{ access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n'
            f'uwsgi_temp_path {home}/u; scgi_temp_path {home}/s; server {{ listen 127.0.0.1:{cls.other}; server_name localhost;\n'
            'location = /livez { return 200 "ok"; } location / { return 404; } } }\n')
        cls.nginx = subprocess.Popen([NGINX, '-p', str(home), '-c', str(home / 'conf'), '-e', str(home / 'log')], stderr=subprocess.DEVNULL)
        cls.addClassCleanup(lambda: (cls.nginx.terminate(), cls.nginx.wait(10)))
        cls.home.wait_for(lambda: cls.answers(), what='nginx')

    @classmethod
    def answers(cls):
        try:
            return ask(cls.other, GOOD + b'\r\n') == 200
        except OSError:
            return False

    def test_D3_never_more_lenient_than_nginx(self):
        more, passed = [], 0
        for data in [*BORDER, *malformed().values()]:
            if len(data) > 30_000:
                continue
            ours = ask(self.port, data)
            passed += ours == 200
            if ours == 200 and ask(self.other, data) != 200:
                more.append(data[:200])
        self.assertEqual(more, [])
        self.assertGreaterEqual(passed, 10, 'hardly anything passed: nothing was compared')


def strace_works():
    done = subprocess.run(['strace', '-f', '-e', 'trace=openat', 'true'], capture_output=True) if shutil.which('strace') else None
    return done is not None and done.returncode == 0


@unittest.skipUnless(strace_works(), 'strace cannot trace here')
class Opens(Web):
    """D3: with the page compiled in, no request makes the program open a file."""

    @classmethod
    def setUpClass(cls):
        cls.trace = f'/tmp/wikitally-strace-{os.getpid()}'
        cls.addClassCleanup(lambda: os.path.exists(cls.trace) and os.unlink(cls.trace))
        cls.before = ('strace', '-f', '-qq', '-e', 'trace=open,openat,openat2,execve', '-o', cls.trace)
        super().setUpClass()

    @classmethod
    def end(cls):
        child = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(cls.process.pid)], capture_output=True, text=True).stdout.split()
        for pid in child:
            os.kill(int(pid), 15)
        super().end()

    def opened(self):
        with open(self.trace, encoding='utf-8', errors='replace') as file:
            return [line.strip() for line in file if re.search(r'open(at2?)?\(', line)]

    def test_D3_no_request_opens_a_file(self):
        self.assertTrue(self.opened(), 'strace saw nothing')
        html = subprocess.run(['curl', '-s', f'http://127.0.0.1:{self.port}/'], capture_output=True, text=True).stdout if shutil.which('curl') else ''
        assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', html)
        routes = ['/', '/livez', '/readyz', '/plain', '/plain.css', '/favicon.svg', '/metrics', '/api/v1', '/api/v1/state', '/api/v1/now',
                  '/api/v1/config', '/api/v1/results', '/api/v1/results/bots', '/api/v1/windows', '/api/v1/ledger',
                  '/api/v1/cluster', '/api/v1/topics', '/api/v1/topics/wikimedia.recentchange', '/api/v1/messages/wikimedia.recentchange',
                  '/api/v1/groups', '/api/v1/group?name=bots', *assets]
        for path in routes * 3:                         # each thread that reads the databases opens them once: mostly now
            self.assertIn(ask(self.port, get(path)), (200, 204, 302, 503), path)
        known = len(self.opened())
        for path in [*paths(), *routes]:
            ask(self.port, get(path))
        for data in malformed().values():
            ask(self.port, data, patience=0.05)
        more = self.opened()[known:]
        own = [line for line in more if re.search(rf'"{re.escape(str(self.home.directory))}/(journal|results)\.db(-wal|-shm)?"', line)]
        self.assertEqual([line for line in more if line not in own], [])
        self.assertLessEqual(len(own), THREADS * 2 * 3, 'a thread opened its databases more than once')


# ----------------------------------------------------------------------------------------------------- D4

class Names(Web):
    FOREIGN = ['evil.example', 'evil.example:80', 'localhost.evil.example', 'localhost:80.evil.example', 'evil.localhost.com', '127.0.0.1.nip.io', '127-0-0-1.evil.example',
               'rebind.evil.example', '127.0.0.2', '10.0.0.1', '0.0.0.0', '0', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '[::]', '[::ffff:127.0.0.1]',
               'tally.example.org.', 'xtally.example.org', 'tally.example.org.evil.example', 'tally-example.org', 'user@localhost', 'localhost@evil.example',
               'localhost:8787:80', 'localhost:', 'localhost:-1', 'localhost:0', 'localhost:65536', 'localhost x', 'localhost/', 'local\\host', 'löcalhost', '*', '']
    OWN = ['localhost', 'LOCALHOST', 'localhost:8787', 'localhost:1', '127.0.0.1', '127.0.0.1:80', 'tally.example.org', 'Tally.Example.Org:443']

    def test_D4_foreign_names(self):
        self.assertGreaterEqual(len(self.FOREIGN), 20)
        for route in ('/livez', '/', '/api/v1/state', '/metrics', '/nothing'):
            answered = {host: ask(self.port, get(route, host)) for host in self.FOREIGN}
            self.assertEqual({host: status for host, status in answered.items() if status not in (421, 403, 400)}, {}, route)
            self.assertGreaterEqual(sum(status == 421 for status in answered.values()), 20)

    def test_D4_no_name_and_two_names(self):
        for head in (b'', b'Host: localhost\r\nHost: localhost\r\n', b'Host: localhost\r\nHost: evil.example\r\n', b'Host: evil.example\r\nhost: localhost\r\n'):
            self.assertIn(ask(self.port, b'GET /livez HTTP/1.1\r\n' + head + b'\r\n'), (400, 421), head)
        self.assertIn(ask(self.port, b'GET /livez HTTP/1.0\r\n\r\n'), (400, 421))
        self.assertIn(ask(self.port, b'GET http://localhost/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n'), (400, 421))

    def test_D4_own_names(self):
        for host in self.OWN:
            self.assertEqual(ask(self.port, get('/livez', host)), 200, host)

    def test_D4_origins(self):
        for origin in ('http://evil.example', 'https://localhost.evil.example', 'null', 'file://', 'http://', '', 'localhost', 'ftp://localhost', 'http://localhost@evil.example',
                       'http://localhost/', 'http://localhost http://evil.example', 'chrome-extension://x', 'http://[::1', 'HTTP://localhost'):
            status = ask(self.port, get('/api/v1/state', more=f'Origin: {origin}\r\n'.encode()))
            self.assertEqual(status, 403, origin)
        for origin in ('http://localhost', 'http://localhost:3000', 'https://tally.example.org', 'http://127.0.0.1:8787'):
            self.assertEqual(ask(self.port, get('/api/v1/state', more=f'Origin: {origin}\r\n'.encode())), 200, origin)
        self.assertEqual(ask(self.port, get('/api/v1/state', more=b'Sec-Fetch-Site: cross-site\r\n')), 403)
        self.assertEqual(ask(self.port, get('/api/v1/state', more=b'Sec-Fetch-Site: same-origin\r\n')), 200)


if __name__ == '__main__':
    unittest.main()
