# SPDX-License-Identifier: MIT
"""certificates.py - keys and certificates for a TLS server that is not to be trusted, or is; made by openssl."""
import pathlib
import ssl
import subprocess
import warnings

ALTERNATIVE = {'wrong_name': 'DNS:example.org'}         # of the others: the address that the tests use


def openssl(*arguments):
    subprocess.run(['openssl', *map(str, arguments)], check=True, capture_output=True)


def make(folder, kind):
    """-> (key, certificate) of this kind: good, wrong_name, expired, self_signed, old_protocol."""
    name = ALTERNATIVE.get(kind, 'IP:127.0.0.1')
    key, certificate = (pathlib.Path(folder) / f'{kind}.{end}' for end in ('key', 'pem'))
    subject = ('-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-subj', '/CN=wikitally test')
    if kind != 'expired':
        openssl('req', '-x509', *subject, '-out', certificate, '-days', 2, '-addext', f'subjectAltName={name}')
        return key, certificate
    home = pathlib.Path(folder) / 'authority'           # `openssl req` makes none that is over already
    home.mkdir()
    (home / 'index').write_text('')
    (home / 'serial').write_text('01\n')
    (home / 'conf').write_text(f'[ca]\ndefault_ca=d\n[d]\ndatabase={home}/index\nnew_certs_dir={home}\nserial={home}/serial\n'
                               f'default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName={name}\n')
    openssl('req', *subject, '-out', home / 'request')
    openssl('ca', '-batch', '-selfsign', '-config', home / 'conf', '-keyfile', key, '-in', home / 'request', '-out', certificate,
            '-startdate', '20200101000000Z', '-enddate', '20200102000000Z', '-notext')
    return key, certificate


def context(folder, kind):
    """A server's context that shows it; and whether the client is to be told to trust it (-> its file, or None)."""
    key, certificate = make(folder, kind)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    if kind == 'old_protocol':
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            made.set_ciphers('ALL:@SECLEVEL=0')
            made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return made, None if kind == 'self_signed' else certificate
