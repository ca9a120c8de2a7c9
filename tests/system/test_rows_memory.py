"""A7 of the goal table: the k-th allocation fails, once or from then on, in whatever the program does. If it was the program's own:
code 71 and a sentence, no signal. If it was a library's: a code of the table, or that library's abort. What was stored is whole.

WIKITALLY_RUNS: injections in all. WIKITALLY_SEED repeats them."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import unittest

import wikitally

INJECTIONS = int(os.environ.get('WIKITALLY_RUNS') or wikitally.size(500, 14_000))   # of which some 11,000 come by: not every scenario has its share
KINDS = (('own', False), ('library', False), ('library', True))
SHIM = wikitally.ROOT / 'tests/fake/fail_alloc.c'
OUT_OF_MEMORY, ABORTED = 71, -6


class Memory(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.random = wikitally.seed('memory')
        self.shim = self.folder / 'fail_alloc.so'
        subprocess.run(['cc', '-O1', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE', '-fPIC', '-shared', '-o', self.shim, SHIM], check=True)
        self.file = self.synth(400, 51, late=0.02, duplicates=0.02, poison=0.02)
        self.config = self.folder / 'own.yaml'
        self.config.write_text('aggregations:\n  own:\n    keys: [wiki]\n    measures: [count, distinct(title)]\n')
        self.prepared = self.folder / 'prepared'
        self.follow(f'replay:{self.file}', directory=self.prepared)
        header = (wikitally.ROOT / 'src/base/err.h').read_text()
        self.codes = {int(n) for n in re.findall(r'^\s+EXIT_[A-Z_]+ = (\d+),', header, re.M)} - {70}

    def scenarios(self):
        """-> name: (does it write, command that is given a directory)"""
        replay = f'replay:{self.file}'
        return {
            'first run': ('new', lambda d: self.run_arguments(replay, directory=d)),
            'next run': ('old', lambda d: self.run_arguments(replay, directory=d)),
            'adopt': ('old', lambda d: self.run_arguments(replay, '--adopt', directory=d)),
            'retry': ('old', lambda d: ['deadletters', 'retry', '--data-dir', d]),
            'skip': ('old', lambda d: ['journal', 'repair', '--skip', '0', '--data-dir', d]),
            'record': ('file', lambda d: ['record', d / 'recording.zst', '--source', replay]),
            'results': ('read', lambda d: ['results', '--data-dir', d]),
            'ledger': ('read', lambda d: ['ledger', '--check', '--data-dir', d]),
            'dump': ('read', lambda d: ['journal', 'dump', '--data-dir', d]),
            'verify': ('read', lambda d: ['journal', 'verify', '--data-dir', d]),
            'tail': ('read', lambda d: ['tail', 'bot:false comment:/a/', '--since', '2000-01-01', '--until', 'end', '--data-dir', d]),
            'diff': ('read', lambda d: ['replay', '--diff', 'sqlite', '--data-dir', d]),
            'synth': ('read', lambda d: ['synth', '-n', '50']),
            'config': ('read', lambda d: ['config', 'check', '-c', self.config]),
        }

    def inject(self, name, whose, stays, at):
        """-> how it ended, and what the shim says: "failed", or how many allocations there were"""
        kind, command = self.scenarios()[name]
        here = self.folder / f'{name}-{whose}-{stays}-{at}'.replace(' ', '-')
        log = here.with_suffix('.log')
        if kind == 'old':
            shutil.copytree(self.prepared, here)
        elif kind == 'file':
            here.mkdir()
        environment = {'LD_PRELOAD': self.shim, 'FAIL_ALLOC_WHOSE': whose, 'FAIL_ALLOC_AT': str(at), 'FAIL_ALLOC_LOG': log}
        done = subprocess.run([self.program, *map(str, command(self.prepared if kind == 'read' else here))], capture_output=True, text=True,
                              errors='replace', timeout=300, stdin=subprocess.DEVNULL,
                              env=wikitally.environment(**environment, **({'FAIL_ALLOC_STAYS': '1'} if stays else {})))
        said = log.read_text() if log.exists() else ''
        if at and kind in ('new', 'old'):
            self.assert_whole(here, f'{name}: {whose} {at}')
        shutil.rmtree(here, ignore_errors=True)
        log.unlink(missing_ok=True)
        return done, said

    def assert_whole(self, directory, what):
        """What is stored is whole as it is: nothing has to mend it first."""
        for command in (['journal', 'verify'], ['ledger', '--check']):
            self.assertIn(self.wikitally(*command, '--data-dir', directory, code=None).code, (0, 66), f'{what}: {command}')

    def count(self, name, whose):
        done, said = self.inject(name, whose, False, 0)
        self.assertIn(done.returncode, (0, 1), f'{name}\n{done.stderr}')
        self.assertGreater(int(said), 0, f'{name} asks for no memory')
        return int(said)

    def judge(self, name, whose, stays, at):
        """True: something failed."""
        done, said = self.inject(name, whose, stays, at)
        what = f'{name}: {whose} allocation {at}{" and all after it" if stays else ""}: {done.returncode}\n{done.stderr[-1500:]}'
        if said != 'failed' and 'sandbox: cannot make the list' not in done.stderr:  # that is a child's, which says it by its end
            self.assertIn(done.returncode, (0, 1), what)    # threads do not ask in the same order each time
        elif whose == 'own' and said == 'failed':
            self.assertEqual(done.returncode, OUT_OF_MEMORY, what)
            self.assertIn('wikitally: out of memory', done.stderr, what)
        else:
            self.assertIn(done.returncode, self.codes | {ABORTED}, what)
        return said == 'failed'

    def test_A7_no_memory(self):
        """Evenly over the scenarios, at random places of each; the first and the last are always among them."""
        each = max(2, INJECTIONS // (len(self.scenarios()) * len(KINDS)))
        wanted = []
        for name in self.scenarios():
            for whose, stays in KINDS:
                total = self.count(name, whose)
                places = {1, total} | set(self.random.sample(range(1, total + 1), min(total, each)))
                wanted += [(name, whose, stays, at) for at in sorted(places)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            failed = list(pool.map(lambda one: self.judge(*one), wanted))
        print(f'{sum(failed)} of {len(wanted)} injections came by', flush=True)
        self.assertGreater(sum(failed), len(wanted) * 0.8)


if __name__ == '__main__':
    unittest.main()
