# SPDX-License-Identifier: MIT
"""Every seeded fault (src/base/fault.h) has a test that notices it: each is taken in turn, and the test must fail.

Six places exercise faults. Five do so by themselves and are only read here: CLAUSES of tests/sim/test_resume.py, the
schedules of tests/sim/test_outages.py, TEETH of tests/sim/test_recovery.py, assert_clause() in the tests of src/change,
and the tests that Meson expects to fail. The rest stands in NOTICED below, with the smallest program that notices, and is
run: once a fault, ended at its first failure. A fault that is in none of the six, or in one but no longer in src, is a
failure.

The programs come from build-asan (made with -Dfaults=true), or from the directory in WIKITALLY_FAULTS_BUILD.
"""
import ast
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('WIKITALLY_FAULTS_BUILD', ROOT / 'build-asan'))
SECONDS = 60                    # that long a program may go on without noticing

FOLLOW, ADMISSION = 'tests/unit/source/test_source_follow', 'tests/unit/source/test_source_admission'
JOURNAL, SINK = 'tests/unit/journal/test_journal_sqlite', 'tests/contract/test_contract_sink'
POWER = 'tests/contract/test_contract_power'
INGEST, REQUEST = 'tests/unit/app/test_app_ingest', 'tests/unit/serve/test_serve_request'

NOTICED = {
    'C-S1.sync': POWER,
    'C-S2.lock': JOURNAL,
    'C-S3.broken': JOURNAL,
    'C-S3.checksum': JOURNAL,
    'D3.exact': 'tests/unit/serve/test_serve_http',
    'D4.host': REQUEST,
    'D4.origin': REQUEST,
    'R2.source': JOURNAL,
    'R3.429': 'tests/unit/source/test_source_eventstreams',
    'R3.id_early': 'tests/unit/source/test_source_sse',
    'R5.future': 'tests/unit/compute/test_compute_lane',
    'R5.wall': 'tests/unit/compute/test_compute_lane',
    'R8.rank': SINK,
    'R11.version_fence': SINK,
    'R13.keep': INGEST,
    'R13.tail': INGEST,
    'R14.handed': INGEST,
    'R14.position_first': INGEST,
    'R14.skipped': ADMISSION,
    'R15.generation_fence': SINK,
    'R15.view': SINK,
    'serve.snapshot_only': 'tests/unit/serve/test_serve_live',
}

# A13: the bugs that programs of this kind are known for, as far as there is something here to break. The others wait for their
# stores: an abort ignored (Kafka), a COMMIT's tag unchecked (PostgreSQL), errors of a bulk ignored (OpenSearch), a manifest
# before the rename (Parquet).
A13 = {
    'position before data': 'R14.position_first',
    'fsync removed': 'C-S1.sync',
    'duplicates not looked for': 'R2.source',
    'compare-and-set without compare': 'R11.version_fence',
    '429 taken for an answer': 'R3.429',
    'Last-Event-ID taken early': 'R3.id_early',
    'windows closed by the wall clock': 'R5.wall',
    'poison skipped silently': 'R14.skipped',
}


def seeded():
    """Every fault in src."""
    return {name for file in (ROOT / 'src').rglob('*.c') for name in re.findall(r'\bfault\("([^"]+)"\)', file.read_text())}


def table(file, name):
    """A dictionary that a test program holds, read and not run."""
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == name:
            return ast.literal_eval(node.value)
    raise LookupError(f'{file} has no {name}')


def elsewhere():
    """-> fault: where it is exercised, for all that other tests exercise"""
    found = {name: 'tests/sim/test_resume.py' for name in table('tests/sim/test_resume.py', 'CLAUSES')}
    outages = 'tests/sim/test_outages.py'
    found |= {name: outages for name in re.findall(r"'(R\d+\.\w+)'", (ROOT / outages).read_text())}
    found |= {name: 'tests/sim/test_recovery.py' for name, _ in table('tests/sim/test_recovery.py', 'TEETH').values()}
    for kafka in ('tests/system/test_kafka_stats.py', 'tests/system/test_kafka_groups.py'):
        found |= {name: kafka for name in re.findall(r"'(CK\d+\.\w+)'", (ROOT / kafka).read_text())}
    for file in (ROOT / 'tests/unit').rglob('*'):
        if file.name == 'meson.build':
            for clauses in re.findall(r'foreach clause : \[(.*?)\]', file.read_text(), re.S):
                found |= {name: str(file.relative_to(ROOT)) for name in re.findall(r"'([^']+)'", clauses)}
        elif file.suffix == '.c':
            found |= {name: str(file.relative_to(ROOT))
                      for name in re.findall(r'\bassert_clause\(\w+, "([^"]+)"\)', file.read_text())}
    return found


def end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def first_failure(program, faults):
    """Runs it until the first test fails. -> that test's name, or how the program ended; None: nothing was noticed"""
    environment = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=0:exitcode=86', 'WIKITALLY_SOURCE_ROOT': str(ROOT)}
    environment.pop('CMOCKA_MESSAGE_OUTPUT', None)
    if os.access('/dev/shm', os.W_OK):
        environment['TMPDIR'] = '/dev/shm'
    if faults:
        environment['WIKITALLY_FAULTS'] = faults
    process = subprocess.Popen([BUILD / program], cwd=ROOT, env=environment, text=True, errors='replace',
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               start_new_session=True)
    timer = threading.Timer(SECONDS, end, (process,))
    timer.start()
    with process:
        failed = next(filter(None, (re.search(r'\[  FAILED  \] (\w+)', line) for line in process.stderr)), None)
        over = timer.finished.is_set()
        timer.cancel()
        end(process)
    if failed:
        return failed[1]
    return f'exit code {process.returncode}' if process.returncode and not over else None


class Table(unittest.TestCase):
    def test_A13_each_known_bug_is_seeded(self):
        self.assertEqual(set(A13.values()) - seeded(), set())
        self.assertEqual(set(A13.values()) - set(NOTICED), set())

    def test_every_fault_is_exercised(self):
        self.assertEqual(sorted(seeded() - NOTICED.keys() - elsewhere().keys()), [], 'seeded in src, taken away by no test')

    def test_nothing_else_is(self):
        self.assertEqual(sorted((NOTICED.keys() | elsewhere().keys()) - seeded()), [], 'in a test, but not in src')


class Noticed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A few at a time: some wait more than they work."""
        with concurrent.futures.ThreadPoolExecutor((os.cpu_count() or 2) + 1) as pool:
            runs = {name: pool.submit(first_failure, program, name) for name, program in NOTICED.items()}
            cls.found = {name: run.exception() or run.result() for name, run in runs.items()}


def add_tests():
    for name, program in NOTICED.items():
        def test(self, name=name, program=program):
            found = self.found[name]
            if isinstance(found, BaseException):
                raise found
            self.assertIsNotNone(found, f'{program} noticed nothing')
        test.__doc__ = f'{name} is noticed by {program}'
        setattr(Noticed, 'test_' + re.sub(r'\W', '_', name), test)


add_tests()

if __name__ == '__main__':
    unittest.main(verbosity=2)
