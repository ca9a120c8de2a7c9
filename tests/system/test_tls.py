"""TLS is verified: a certificate that nobody vouches for, one of another name, one that is over, an old protocol: each is
refused with its sentence, and nothing is read. One that is good is read."""
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest
import warnings

import wikitally

EVENTS = 5


def event(number):
    now = time.time()
    stamp = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now)) + '.%03dZ' % (now % 1 * 1000)
    return json.dumps({'$schema': '/mediawiki/recentchange/1.0.0',
                       'meta': {'id': f'00000000-0000-4000-8000-{number:012}', 'dt': stamp, 'domain': 'en.wikipedia.org',
                                'stream': 'mediawiki.recentchange', 'topic': 'eqiad.mediawiki.recentchange', 'partition': 0,
                                'offset': number},
                       'id': 1000 + number, 'type': 'edit', 'namespace': 0, 'title': 'A', 'user': 'B', 'bot': False,
                       'timestamp': int(now), 'wiki': 'enwiki', 'server_name': 'en.wikipedia.org'})


class Server:
    """One page of a stream over TLS, as often as it is asked for."""

    def __init__(self, context):
        self.context, self.requests = context, 0
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.url = f'https://127.0.0.1:{self.socket.getsockname()[1]}/v2/stream/recentchange'
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(plain,), daemon=True).start()

    def answer(self, plain):
        try:
            connection = self.context.wrap_socket(plain, server_side=True)
            self.open.append(connection)                # stays open and silent
            if b'\r\n\r\n' not in connection.recv(65536):
                return
            self.requests += 1
            date = time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())
            connection.sendall(f'HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/event-stream; charset=utf-8\r\n'
                               'Connection: close\r\n\r\n:ok\n\n'.encode())
            for number in range(EVENTS):
                connection.sendall(f'event: message\nid: []\ndata: {event(number)}\n\n'.encode())
        except (OSError, ssl.SSLError):
            plain.close()

    def close(self):
        self.socket.close()
        for connection in self.open:
            connection.close()


@unittest.skipUnless(shutil.which('openssl'), 'openssl is not there to make certificates')
class Tls(wikitally.Case):
    def certificate(self, name, *more):
        key, cert = self.folder / f'{name}.key', self.folder / f'{name}.pem'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-subj',
                        '/CN=wikitally test', *more], check=True, capture_output=True)
        return key, cert

    def expired(self):
        """One that was good for a day in 2020; `openssl req` makes none that begin in the past."""
        key, request, cert, config = (self.folder / name for name in ('over.key', 'over.csr', 'over.pem', 'over.cnf'))
        config.write_text(f'[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index\nnew_certs_dir={self.folder}\n'
                          'default_md=sha256\npolicy=p\nserial=' f'{self.folder}/serial\nx509_extensions=x\n'
                          '[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\n')
        (self.folder / 'index').write_text('')
        (self.folder / 'serial').write_text('01\n')
        subprocess.run(['openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', request, '-subj',
                        '/CN=wikitally test'], check=True, capture_output=True)
        subprocess.run(['openssl', 'ca', '-batch', '-selfsign', '-config', config, '-keyfile', key, '-in', request, '-out',
                        cert, '-startdate', '20200101000000Z', '-enddate', '20200102000000Z', '-notext'], check=True,
                       capture_output=True)
        return key, cert

    def server(self, key, cert, maximum=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if maximum:
            warnings.simplefilter('ignore', DeprecationWarning)
            context.set_ciphers('ALL:@SECLEVEL=0')
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, maximum
        server = Server(context)
        self.addCleanup(server.close)
        return server

    def refused(self, server, *more):
        """Ends at once, says that it is the certificate or the protocol, and has asked for nothing."""
        done = self.follow(server.url, '--set', 'source.connect_timeout=5s', *more, code=None, until=1, timeout=60)
        self.assertNotEqual(done.code, 0, done.err)
        self.assertEqual(server.requests, 0)
        return done.err.lower()

    def test_a_good_certificate_is_read(self):
        key, cert = self.certificate('good', '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1')
        server = self.server(key, cert)
        self.follow(server.url, '--set', f'source.ca_file={cert}', until=EVENTS, timeout=60)
        self.assertEqual(sum(self.journal_ids().values()), EVENTS)

    def test_one_that_nobody_vouches_for(self):
        server = self.server(*self.certificate('self', '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1'))
        self.assertIn('certificate', self.refused(server))

    def test_one_of_another_name(self):
        key, cert = self.certificate('other', '-days', '2', '-addext', 'subjectAltName=DNS:example.org')
        server = self.server(key, cert)
        self.assertIn('certificate', self.refused(server, '--set', f'source.ca_file={cert}'))

    def test_one_that_is_over(self):
        key, cert = self.expired()
        server = self.server(key, cert)
        self.assertIn('certificate', self.refused(server, '--set', f'source.ca_file={cert}'))

    def test_an_old_protocol(self):
        key, cert = self.certificate('old', '-days', '2', '-addext', 'subjectAltName=IP:127.0.0.1')
        server = self.server(key, cert, ssl.TLSVersion.TLSv1_1)
        with self.running(*self.run_arguments(server.url, '--set', f'source.ca_file={cert}', until=1)) as process:
            time.sleep(3)                               # it may try again later: the server may learn a newer one
            self.assertEqual(server.requests, 0)
            self.assertRegex(process.log.read_text(errors='replace').lower(), 'ssl|tls|protocol')

    def test_plain_http_only_to_this_machine(self):
        done = self.wikitally(*self.run_arguments('http://192.0.2.1/v2/stream/recentchange', until=1), code=None, timeout=30)
        self.assertNotEqual(done.code, 0)
        self.assertIn('https', done.err)


if __name__ == '__main__':
    unittest.main()
