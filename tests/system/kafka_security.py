"""A broker that wants to know who is there: TLS, SASL, client certificates, an authorizer; and all that a client can meet wrong.

    with kafka_security.broker(folder) as secured: secured.at['SASL'] ...; secured.tls.ca, ...

| listener  | protocol | what is with it                                                               |
|-----------|----------|-------------------------------------------------------------------------------|
| PLAINTEXT | plain    | for the tests themselves: whoever comes that way may do everything            |
| SASL      | SASL_SSL | SCRAM-SHA-512 and PLAIN                                                       |
| MTLS      | SSL      | wants a certificate of the client's                                           |
| OTHER     | SSL      | its certificate is of another name                                            |
| OVER      | SSL      | its certificate has expired                                                   |
| LOST      | plain    | gives as its own address a port where nothing listens                         |
| NAMELESS  | plain    | gives as its own address a name that does not exist                           |

Users of SASL are `wikitally` and `limited` (SCRAM), `plain` (PLAIN), all with PASSWORD; CN=wikitally is who comes with the client's
certificate. `limited` may do only what allow() gave it, all others everything.
"""
import collections
import pathlib
import shutil
import subprocess
import unittest

import kafka

PASSWORD = 'Xq7-geheim-marker-9Zt'
LISTENERS = {'SASL': 'SASL_SSL', 'MTLS': 'SSL', 'OTHER': 'SSL', 'OVER': 'SSL', 'LOST': 'PLAINTEXT', 'NAMELESS': 'PLAINTEXT'}
EVERYBODY = 'DNS:localhost,IP:127.0.0.1'
Tls = collections.namedtuple('Tls', 'ca other_ca client stranger broker other over')


def openssl(*arguments):
    subprocess.run(['openssl', *map(str, arguments)], check=True, capture_output=True)


def new_key(file):
    return '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file


def certificates(folder):
    """Throwaway ones, as PEM files: an authority's certificate alone, all others behind their key, which anybody takes."""
    if not shutil.which('openssl'):
        raise unittest.SkipTest('openssl is not there to make certificates')
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)

    def authority(name):
        cert = folder / f'{name}.pem'
        openssl('req', '-x509', *new_key(folder / f'{name}.key'), '-days', 2, '-out', cert, '-subj', f'/CN={name}')
        return cert

    def certificate(name, ca, subject='broker', names=EVERYBODY, days=2):
        key, request, signed, both = (folder / f'{name}.{suffix}' for suffix in ('key', 'csr', 'crt', 'pem'))
        openssl('req', '-new', *new_key(key), '-out', request, '-subj', f'/CN={subject}', '-addext', f'subjectAltName={names}')
        openssl('x509', '-req', '-in', request, '-CA', ca, '-CAkey', ca.with_suffix('.key'), '-CAcreateserial', '-days', days,
                '-copy_extensions', 'copy', '-out', signed)
        both.write_text(key.read_text() + signed.read_text())
        both.chmod(0o600)
        return both

    ca, other_ca = authority('ca'), authority('other-ca')
    return Tls(ca, other_ca, certificate('client', ca, 'wikitally'), certificate('stranger', other_ca, 'wikitally'),
               certificate('broker', ca), certificate('other', ca, names='DNS:other.example'),
               certificate('over', ca, days=0))           # over in the second in which it begins


def broker(folder, **options):
    folder = pathlib.Path(folder)
    tls = certificates(folder / 'tls')
    login = 'org.apache.kafka.common.security'
    properties = {
        'ssl.keystore.type': 'PEM', 'ssl.keystore.location': tls.broker,
        'ssl.truststore.type': 'PEM', 'ssl.truststore.location': tls.ca,
        'listener.name.other.ssl.keystore.location': tls.other, 'listener.name.over.ssl.keystore.location': tls.over,
        'listener.name.other.ssl.keystore.type': 'PEM', 'listener.name.over.ssl.keystore.type': 'PEM',
        'listener.name.mtls.ssl.client.auth': 'required',
        'sasl.enabled.mechanisms': 'SCRAM-SHA-512,PLAIN',
        'listener.name.sasl.scram-sha-512.sasl.jaas.config': f'{login}.scram.ScramLoginModule required;',
        'listener.name.sasl.plain.sasl.jaas.config': f'{login}.plain.PlainLoginModule required user_plain="{PASSWORD}";',
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS;User:wikitally;User:plain;User:CN=wikitally',
    }
    users = [word for name in ('wikitally', 'limited')
             for word in ('--add-scram', f'SCRAM-SHA-512=[name={name},password={PASSWORD}]')]
    nowhere = kafka.free_ports(1)[0]
    made = kafka.Broker(folder / 'broker', properties=properties, listeners=LISTENERS, format=users,
                        advertised={'LOST': f'127.0.0.1:{nowhere}', 'NAMELESS': 'broker.invalid:9092'}, **options)
    made.tls, made.nowhere = tls, nowhere
    return made


def allow(secured, *what):
    """Gives `limited` rights, in the words of Kafka's own tool: '--operation', 'Read', '--topic', 'x'."""
    secured.tool('org.apache.kafka.tools.AclCommand', '--add', '--allow-principal', 'User:limited', *what)
