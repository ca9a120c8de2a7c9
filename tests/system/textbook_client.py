#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""textbook_client.py URL OUT [--seconds N] [--idle N] - the usual Python client of EventStreams, to show beside ours.

It does what the documentation of Server-Sent Events says and what most clients do: it keeps the last `id:` it saw, and when
the connection ends or stays silent it reconnects and sends that id back as Last-Event-ID, and nothing else. No overlap, no
removal of duplicates, no audit of offsets. Each event's meta.id goes to OUT, one a line, in the order received.

Ends after --seconds, or when nothing new came for --idle seconds over reconnects, and prints one line: how many lines,
how many of them distinct, how many connections. What it lost is what the server had and OUT lacks.
"""
import argparse
import http.client
import json
import sys
import time
import urllib.parse


def messages(response):
    """Yields (id or None, data) of each message, as the standard's parser would for lines that end with LF."""
    event_id, data = None, []
    for raw in response:
        line = raw.decode('utf-8', 'replace').rstrip('\r\n')
        if not line:
            if data:
                yield event_id, '\n'.join(data)
            data = []
        elif line.startswith('id:'):
            event_id = line[3:].lstrip(' ')
        elif line.startswith('data:'):
            data.append(line[5:].removeprefix(' '))


class Client:
    def __init__(self, url, timeout):
        self.url = urllib.parse.urlsplit(url)
        self.timeout = timeout
        self.last_id = None
        self.connections = 0

    def connect(self):
        kind = http.client.HTTPSConnection if self.url.scheme == 'https' else http.client.HTTPConnection
        connection = kind(self.url.hostname, self.url.port, timeout=self.timeout)
        headers = {'User-Agent': 'textbook-client/1.0 (wikitally tests)', 'Accept': 'text/event-stream'}
        if self.last_id:
            headers['Last-Event-ID'] = self.last_id
        target = self.url.path + (f'?{self.url.query}' if self.url.query and not self.last_id else '')
        connection.request('GET', target, headers=headers)
        response = connection.getresponse()
        self.connections += 1
        if response.status != 200:
            connection.close()
            raise OSError(f'status {response.status}')
        return connection, response

    def events(self):
        """One connection's events, until it ends in whatever way."""
        connection = None
        try:
            connection, response = self.connect()
            for event_id, data in messages(response):
                self.last_id = event_id or self.last_id
                yield data
        except (OSError, http.client.HTTPException):
            pass
        finally:
            if connection:
                connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('url')
    parser.add_argument('out')
    parser.add_argument('--seconds', type=float, default=3600, help='stop after that long')
    parser.add_argument('--idle', type=float, default=10, help='stop when nothing new came for so long')
    parser.add_argument('--timeout', type=float, default=2, help='a connection that is silent so long is given up')
    parser.add_argument('--retry', type=float, default=0.2, help='wait before connecting again')
    args = parser.parse_args()
    client, seen, lines = Client(args.url, args.timeout), set(), 0
    began = newest = time.monotonic()
    with open(args.out, 'w', encoding='utf-8') as out:
        while time.monotonic() - began < args.seconds and time.monotonic() - newest < args.idle:
            for data in client.events():
                try:
                    meta_id = json.loads(data)['meta']['id']
                except (ValueError, KeyError, TypeError):
                    continue
                out.write(f'{meta_id}\n')
                lines += 1
                if meta_id not in seen:
                    seen.add(meta_id)
                    newest = time.monotonic()
                if time.monotonic() - began >= args.seconds:
                    break
            out.flush()
            time.sleep(args.retry)
    print(f'lines {lines} distinct {len(seen)} connections {client.connections}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
