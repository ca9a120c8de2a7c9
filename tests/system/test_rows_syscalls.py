"""A6 of the goal table: the n-th system call of a kind fails, of whatever thread, in what the program does to its state and on the
network. Code 0 only if all is there; a code of the table otherwise, no signal; a file whose sync failed is not written again; and the
next start makes good: journal and results are those of a run that nothing happened to.

WIKITALLY_RUNS: how many calls fail. WIKITALLY_SEED repeats them. Needs strace, and leave to trace."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import time
import unittest

import wikitally

INJECTIONS = int(os.environ.get('WIKITALLY_RUNS') or wikitally.size(100, 2000))
ON_STATE = ('write', 'pwrite64', 'fsync', 'fdatasync', 'openat', 'ftruncate', 'rename')
ERRORS = ('EIO', 'ENOSPC', 'EINTR', 'EMFILE', 'ENOMEM', 'EPIPE', 'ETIMEDOUT')
ON_NETWORK = (('connect', 'ETIMEDOUT'), ('connect', 'EINTR'), ('connect', 'ENOMEM'), ('sendto', 'EPIPE'), ('sendto', 'EINTR'), ('sendto', 'EIO'),
              ('recvfrom', 'ETIMEDOUT'), ('recvfrom', 'EINTR'), ('recvfrom', 'ENOMEM'))
CALL = re.compile(r'^\d+ +(\w+)\((?:\d+|AT_FDCWD)<([^>]*)>(?:, "([^"]*)")?')


def may_trace():
    try:
        return subprocess.run(['strace', '-o', os.devnull, 'true'], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@unittest.skipUnless(may_trace(), 'no strace, or no leave to trace')
class Syscalls(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('syscalls')
        header = (wikitally.ROOT / 'src/base/err.h').read_text()
        self.codes = {int(n) for n in re.findall(r'^\s+EXIT_[A-Z_]+ = (\d+),', header, re.M)} - {70}

    def traced(self, log, what, arguments, **options):
        """Runs it with strace's expression; -> how it ended, lines of the trace."""
        done = subprocess.run(['strace', '-f', '-y', '-s', '0', '-o', log, *what, self.program, *map(str, arguments)], capture_output=True,
                              text=True, errors='replace', timeout=300, env=wikitally.environment(), **options)
        lines = log.read_text(errors='replace').splitlines()
        log.unlink()
        return done, lines

    # ------------------------------------------------------------------------------------------------------- the state

    def commands(self):
        """-> name: (command, directory to begin with)"""
        return {
            'first run': (lambda d: self.run_arguments(f'replay:{self.file}', '--set', 'journal.commit_every=1ms', directory=d), None),
            'next run': (lambda d: self.run_arguments(f'replay:{self.file}', '--set', 'journal.commit_every=1ms', directory=d), self.half),
            'results': (lambda d: ['results', '-o', 'tsv', '--data-dir', d], self.whole),
            'retry': (lambda d: ['deadletters', 'retry', '--data-dir', d], self.whole),
        }

    def prepare(self):
        self.file = self.synth(600, 61, late=0.02, duplicates=0.02, poison=0.01)
        self.half, self.whole = self.folder / 'half', self.folder / 'whole'
        self.follow(f'replay:{self.file}', directory=self.half, until='300')
        self.follow(f'replay:{self.file}', directory=self.whole)
        self.end = self.stored(self.whole)

    def stored(self, directory):
        """What must be the same whatever happened: the journal's bytes, and all rows."""
        return (self.dump(directory).read_bytes(),
                self.wikitally('results', '-o', 'tsv', '--data-dir', directory).out, self.wikitally('ledger', '-o', 'tsv', '--data-dir', directory).out)

    def places(self, name):
        """-> of each kind of call: how many the busiest thread makes; those of the loader are left out."""
        command, begin = self.commands()[name]
        directory = self.directory_for(f'count-{name}', begin)
        done, lines = self.traced(self.folder / 'count.trace', ['-e', 'trace=' + ','.join(ON_STATE)], command(directory))
        self.assertIn(done.returncode, (0, 1), done.stderr)
        counts, loader = {}, None
        for line in lines:
            thread, call = line.split()[0], CALL.match(line) or re.match(r'^\d+ +(rename)\(', line)
            if not call:
                continue
            if call[1] == 'openat' and loader is None and str(self.folder) in line:
                loader = counts.get(('openat', thread), 0)
            counts[call[1], thread] = counts.get((call[1], thread), 0) + 1
        most = {kind: max(n for (k, _), n in counts.items() if k == kind) for kind in {k for k, _ in counts}}
        return {kind: range((loader or 0) + 1 if kind == 'openat' else 1, n + 1) for kind, n in most.items()}

    def directory_for(self, name, begin):
        directory = self.folder / name.replace(' ', '-')
        if begin:
            shutil.copytree(begin, directory)
        return directory

    def fail_one(self, number, name, call, error, nth):
        """-> True if it came by"""
        command, begin = self.commands()[name]
        directory = self.directory_for(f'state-{number}', begin)
        what = ['-e', 'trace=' + ','.join(dict.fromkeys((call, 'pwrite64', 'fsync', 'fdatasync'))), f'--inject={call}:error={error}:when={nth}']
        done, lines = self.traced(self.folder / f'{number}.trace', what, command(directory))
        told = f'{name}: {call} {nth} fails with {error}: code {done.returncode}\n{done.stderr[-1500:]}'
        came = any('(INJECTED)' in line for line in lines)
        self.assertIn(done.returncode, self.codes if came else (0, 1), told)
        self.assert_not_written_after_failed_sync(lines, told)
        if name == 'results' and done.returncode == 0 and error != 'EPIPE':    # who closes the pipe has read enough
            self.assertEqual(done.stdout, self.end[1], told)
        elif name.endswith('run') and done.returncode == 0:
            self.assertEqual(self.stored(directory), self.end, f'said that all was well\n{told}')
        self.follow(f'replay:{self.file}', directory=directory)
        self.assertEqual(self.stored(directory), self.end, f'after the next start\n{told}')
        self.wikitally('journal', 'verify', '--data-dir', directory)
        self.wikitally('ledger', '--check', '--data-dir', directory)
        shutil.rmtree(directory)
        return came

    def assert_not_written_after_failed_sync(self, lines, told):
        """C-S3: nobody knows what is on the disk, and a second sync would say that all is well."""
        failed = set()
        for line in lines:
            call = CALL.match(line)
            if call and call[1] in ('fsync', 'fdatasync') and '(INJECTED)' in line:
                failed |= {call[2], call[2].removesuffix('-wal')}       # nor moved from the log into the file
            elif call and call[1] == 'pwrite64' and not call[2].endswith(('-shm', '.new')):     # what is only being made is removed
                self.assertNotIn(call[2], failed, f'written after its sync failed\n{told}')

    def test_A6_a_call_on_the_state_fails(self):
        self.prepare()
        all_places = [(name, call, error, nth) for name in self.commands() for call, places in self.places(name).items()
                      for error in ERRORS for nth in places]
        self.random.shuffle(all_places)
        kinds, chosen = {}, []                          # of each command and kind of call alike, as far as they go
        for place in all_places:
            kinds.setdefault(place[:2], []).append(place)
        while len(chosen) < min(INJECTIONS, len(all_places)):
            for places in kinds.values():
                if places:
                    chosen.append(places.pop())
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            came = list(pool.map(lambda one: self.fail_one(one[0], *one[1]), enumerate(chosen)))
        print(f'{sum(came)} of {len(chosen)} calls failed, of {len(kinds)} kinds, {len(all_places)} places', flush=True)
        self.assertGreater(sum(came), len(chosen) * 0.6)
        self.assertGreater(len(kinds), 12)

    # ------------------------------------------------------------------------------------------------------ the network

    def test_A6_a_call_on_the_network_fails(self):
        """The stream is asked again, and what was received is without a gap."""
        came = 0
        for call, error in ON_NETWORK:
            with self.subTest(call=call, error=error):
                came += self.fail_on_network(call, error)
        self.assertGreater(came, len(ON_NETWORK) * 0.6)

    def fail_on_network(self, call, error):
        start = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 1))
        file = self.synth(4000, 62, event_rate=500, start=start)
        metas = [json.loads(line)['meta'] for line in file.read_bytes().splitlines()]
        held = [(meta['id'], meta['topic']) for meta in metas]
        shutil.rmtree(self.directory, ignore_errors=True)
        with self.running('upstream', file, '--rate', '500', '--listen', '127.0.0.1:0', '--cut-after', '1s') as server:
            nth = self.random.randrange(1, 30) if call == 'recvfrom' else self.random.randrange(1, 3)
            done, lines = self.traced(self.folder / 'net.trace', ['-e', f'trace={call}', f'--inject={call}:error={error}:when={nth}'],
                                      self.run_arguments(self.url(server), until='900'))
            self.assertEqual(done.returncode, 0, done.stderr)
            # Whoever begins live after a first failure is sent what was before it by the next connection, first of all, and --until
            # may end it there: so it goes on from there, past where it can have begun.
            self.follow(self.url(server), until='600')
        got = self.journal_ids()
        got.pop(None, None)
        self.assertEqual([one for one, number in got.items() if number > 1], [])
        for topic in {topic for _, topic in held}:      # each is without a gap; far behind, one runs ahead of the other
            ids = [one for one, of in held if of == topic]
            there = [number for number, one in enumerate(ids) if one in got]
            self.assertEqual(there, list(range(there[0], there[0] + len(there))) if there else [], f'{topic}: {call} {nth} {error}')
        self.assertGreaterEqual(len(got), 850)
        self.assert_rows()
        self.assert_balanced()
        return any('(INJECTED)' in line for line in lines)


if __name__ == '__main__':
    unittest.main()
