"""Rows of the goal table about what the machine does to the program: asked to end at any moment (A5), two of them in one directory
(A10), too few files (B11)."""
import contextlib
import os
import re
import resource
import socket
import subprocess
import time
import unittest

import wikitally
from test_kill import MIX
from wikitally import size


class Row(wikitally.Case):
    def received(self, file):
        """Every line of the file was received, and none a second time."""
        self.assertEqual(self.source_ledger()['received'], sum(1 for line in file.read_bytes().splitlines() if line.strip()))

    def assert_whole(self, file):
        """After a last run to the end: as if nothing had happened (I0)."""
        self.follow(f'replay:{file}')
        self.received(file)
        journal = self.dump()
        self.assertGreater(self.assert_rows(journal=journal), 0)
        self.assert_ledger(journal=journal)
        self.assert_balanced()

    def journal_end(self):
        with contextlib.suppress(AssertionError, IndexError, subprocess.CalledProcessError):
            return self.source_ledger()['received']
        return 0

    def log_of(self, process):
        return process.log.read_text(errors='replace')


class Ends(Row):
    def test_A5_terminated_at_any_moment_ends_cleanly(self):
        """Code 0 within 10 s, all that was journalled is counted, and the next start asks for nothing again."""
        random = wikitally.seed('A5')
        times = size(10, 100)
        file = self.synth(1000 * times, random.randrange(1 << 30), **MIX)
        longest = 0
        for number in range(times):
            with self.running(*self.run_arguments(f'replay:{file}', '--speed', random.choice((1, 20, 200)))) as process:
                self.wait_for(lambda: 'data directory' in self.log_of(process) or process.poll() is not None, what='the start', pause=0.002)
                time.sleep(random.choice((0, 1)) * random.random() * 0.7)
                began = time.monotonic()
                self.stop(process)
                longest = max(longest, time.monotonic() - began)
            self.assertNotIn('still behind', self.log_of(process))
            self.assert_balanced()
            self.assertEqual(self.in_flight(), 0, f'stop {number}: journalled and not counted')
        print(f'A5: {times} times SIGTERM: code 0, the longest took {longest:.2f} s', flush=True)
        self.assert_whole(file)

    def in_flight(self):
        rows = {row['ledger']: row for row in self.tsv('ledger', '--total')}
        return max((int(rows['source']['journalled']) - int(row['records']) for name, row in rows.items() if name != 'source'), default=0)


class Two(Row):
    def test_A10_two_in_one_directory_have_one_winner(self):
        """The loser says who it is and ends with its code within 2 s; the winner does not notice."""
        wikitally.seed('A10')
        races = size(50, 50)
        slowest = 0
        for number in range(races):
            if number % 10 == 0:                        # some begin with nothing
                self.directory = self.folder / f'state-{number}'
            arguments = self.run_arguments('synthetic:200', until=None)
            with self.running(*arguments) as one, self.running(*arguments) as other:
                began = time.monotonic()
                self.wait_for(lambda: one.poll() is not None or other.poll() is not None, timeout=10, what='that one gives up', pause=0.005)
                slowest = max(slowest, time.monotonic() - began)
                loser, winner = (one, other) if one.poll() is not None else (other, one)
                self.assertEqual(loser.returncode, 80, self.log_of(loser))
                self.assertRegex(self.log_of(loser), r'the state directory "\S+" is in use by (process \d+|another process)')
                self.wait_for(lambda: 'data directory' in self.log_of(winner) or winner.poll() is not None, what='the winner')
                self.stop(winner)
            self.wikitally('journal', 'verify', '--data-dir', self.directory)
            self.assert_balanced()
        self.assertLess(slowest, 2)
        self.assert_rows()
        print(f'A10: {races} races, one winner each; the slowest loser took {slowest:.2f} s', flush=True)


class Files(Row):
    CLIENTS, SECONDS = 500, 4

    def test_B11_few_files_and_many_clients(self):
        """The source goes on, the loop that accepts does not spin, the log does not fill."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for limit in (32, 64, 128):
            with self.subTest(files=limit):
                self.directory = self.folder / f'state-{limit}'
                self.few_files(limit)

    def few_files(self, limit):
        arguments = self.run_arguments('synthetic:100', until=None, listen='127.0.0.1:0')
        with self.running(*arguments, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) as process:
            address = self.wait_for(lambda: re.search(r'http://127.0.0.1:(\d+)', self.log_of(process)), what='the page')
            self.wait_for(lambda: self.journal_end() > 0, what='records')
            idle = self.burns(process, 2)
            with contextlib.ExitStack() as clients:
                for number in range(self.CLIENTS):
                    clients.enter_context(self.client(int(address[1]), number))
                time.sleep(1)
                before, lines = self.journal_end(), len(self.log_of(process).splitlines())
                busy = self.burns(process, self.SECONDS)
                self.assertIsNone(process.poll(), self.log_of(process))
                self.assertGreater(self.journal_end(), before + 50 * self.SECONDS, 'the source stands still')
                said = len(self.log_of(process).splitlines()) - lines
            self.assertLess(busy - idle, 0.2, f'{limit} files: it spins')
            self.assertLessEqual(said, 2 * self.SECONDS + 2, self.log_of(process)[-2000:])
            self.wait_for(lambda: b'wikitally' in self.page(int(address[1])), what='the page, after they have gone')
            self.stop(process)
        self.assert_balanced()
        print(f'B11: {limit} files, {self.CLIENTS} clients: {100 * busy:.0f} % of a core ({100 * idle:.0f} % without), {said} lines',
              flush=True)

    @contextlib.contextmanager
    def client(self, port, number):
        """One that asks for the live stream, or for a page, or says nothing; whether it is let in or not."""
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.connect_ex(('127.0.0.1', port))
            path = ('/api/v1/live', '/', '/api/v1/ledger', None)[number % 4]
            with contextlib.suppress(OSError):
                if path:
                    connection.send(f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())
            yield

    def page(self, port):
        with contextlib.suppress(OSError):
            return wikitally.get(f'http://127.0.0.1:{port}/')
        return b''

    def burns(self, process, seconds):
        """Cores that it uses."""
        def ticks():
            with open(f'/proc/{process.pid}/stat', encoding='utf-8') as stat:
                return sum(map(int, stat.read().rsplit(')', 1)[1].split()[11:13]))
        before = ticks()
        time.sleep(seconds)
        return (ticks() - before) / os.sysconf('SC_CLK_TCK') / seconds


if __name__ == '__main__':
    unittest.main()
