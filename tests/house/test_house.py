"""The checks of the house have teeth: each is shown a small tree with one thing wrong in it."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'


def load(name):
    """A tool of Python as a module."""
    loader = importlib.machinery.SourceFileLoader(f'tools_{name}', str(TOOLS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(f'tools_{name}', loader))
    loader.exec_module(module)
    return module


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def tool(self, name):
        done = subprocess.run([TOOLS / name, self.root], capture_output=True, text=True)
        return done.returncode, done.stdout


class Includes(Tree):
    def test_what_is_allowed(self):
        self.write('src/compute/lane.c', '#include "compute/lane.h"\n#include "compute/window.h"\n#include "base/err.h"\n'
                                         '#include "change/change.h"\n#include <stdio.h>\n')
        self.write('src/base/metrics.c', '#include "base/metrics.def"\n')
        self.write('tests/unit/compute/test_lane.c', '#include "compute/window.h"\n#include "helper.h"\n')
        self.assertEqual(self.tool('check-includes'), (0, ''))

    def breach(self, file, header):
        self.write(file, f'/* first line */\n#include "{header}"\n')
        code, output = self.tool('check-includes')
        self.assertEqual(code, 1)
        self.assertIn(f'{file}:2:', output)
        self.assertIn(f'"{header}"', output)

    def test_base_knows_nothing(self):
        self.breach('src/base/err.c', 'change/change.h')

    def test_a_room_that_may_not_be_known(self):
        self.breach('src/compute/lane.c', 'journal/journal.h')

    def test_a_private_header_of_a_room_that_may_be_known(self):
        self.breach('src/source/follow.c', 'change/scan.h')

    def test_upstream_shares_nothing_with_the_source(self):
        self.breach('src/upstream/upstream.c', 'change/change.h')

    def test_a_unit_test_is_bound_like_its_room(self):
        self.breach('tests/unit/sink/test_sqlite.c', 'journal/journal.h')


class Banned(Tree):
    def test_a_call_is_found(self):
        self.write('tests/x.c', '')
        for line in ('    strcpy(a, b);', '    n = atoi(text);', '    return localtime(&now);', '    x = (int)time(NULL);'):
            self.write('src/base/x.c', f'/* about sprintf(3) */\n{line}\n')
            code, output = self.tool('check-banned')
            self.assertEqual(code, 1, line)
            self.assertIn('src/base/x.c:2:', output)

    def test_words_and_other_names_are_not(self):
        self.write('tests/x.c', '')
        self.write('src/base/x.c', '/* strcpy(a, b) is banned */\n    record_time(r);\n    // atoi(x)\n    x->time(x);\n'
                                   '    puts("time(s)");\n')
        self.assertEqual(self.tool('check-banned'), (0, ''))


class Complexity(Tree):
    LONG = 'int f(int x)\n{\n' + '    x++;\n' * 60 + '    return x;\n}\n'

    def test_a_long_function(self):
        self.write('src/base/x.c', self.LONG)
        code, output = self.tool('check-complexity')
        self.assertEqual(code, 1)
        self.assertIn('src/base/x.c: f: 64 lines', output)

    def test_many_branches(self):
        self.write('src/base/x.c', 'int f(int x)\n{\n' + '    if (x) x++;\n' * 21 + '    return x;\n}\n')
        self.assertEqual(self.tool('check-complexity')[0], 1)

    def test_a_long_file(self):
        self.write('src/base/x.c', 'int x;\n' * 601)
        self.assertIn('601 lines', self.tool('check-complexity')[1])

    def test_an_exception_is_needed_or_a_breach(self):
        self.write('src/base/x.c', self.LONG)
        self.write('tools/complexity-allow', 'src/base/x.c f one table\n')
        self.assertEqual(self.tool('check-complexity')[0], 0)
        self.write('tools/complexity-allow', 'src/base/x.c f one table\nsrc/base/x.c g gone\n')
        self.assertIn('no longer needed', self.tool('check-complexity')[1])


class Cppcheck(Tree):
    def stage(self, code):
        self.write('src/base/planted.c', f'int planted(int n);\nint planted(int n)\n{{\n{code}\n}}\n')
        self.write('tools/cppcheck.suppress', (TOOLS / 'cppcheck.suppress').read_text())
        tests = load('test')
        tests.ROOT = self.root
        return tests.cppcheck(self.root / 'log')

    def test_a_finding_is_a_failure(self):
        count = self.stage('    int a[2] = {0, 1};\n    return n > 5 ? a[2] : a[0];')
        self.assertEqual((count.passed, count.failed), (0, 1), count)
        self.assertIn('src/base/planted.c:5: arrayIndexOutOfBounds', count.failures[0])

    def test_nothing_found_is_one_case(self):
        self.assertEqual(self.stage('    return n > 5;')[:3], (1, 0, 0))


class Counting(Tree):
    """tools/test itself: a program that dies without a failed case is counted, and so is nothing at all."""

    @classmethod
    def setUpClass(cls):
        cls.tool_test = load('test')

    def read(self, stdout, result='OK', returncode=0):
        line = json.dumps({'name': 'base x', 'stdout': stdout, 'result': result, 'returncode': returncode})
        return self.tool_test.read_test(line)

    def test_cases_are_counted_one_by_one(self):
        count = self.read('1..3\nok 1 - R1\nnot ok 2 # SKIP skipped\nnot ok 3 - R3\n# why\n', 'FAIL', 1)
        self.assertEqual(count[:3], (1, 1, 1))
        self.assertEqual(count.failures, ('base x: R3',))

    def test_a_skipped_case_is_no_failure(self):
        self.assertEqual(self.read('1..2\nok 1 - R1\nnot ok 2 # SKIP skipped\n', 'FAIL')[:3], (1, 0, 1))

    def test_a_crash_a_leak_and_a_time_out_are_failures(self):
        self.assertEqual(self.read('1..3\nok 1 - R1\n', 'ERROR', -11)[:3], (1, 1, 0))
        self.assertEqual(self.read('1..1\nok 1 - R1\n', 'ERROR', 99)[:3], (1, 1, 0))
        self.assertEqual(self.read('1..3\nok 1 - R1\n', 'OK', 0)[:3], (1, 1, 0))
        self.assertEqual(self.read('', 'TIMEOUT', -9)[:3], (0, 1, 0))

    def test_a_seeded_fault_that_is_noticed_is_passed(self):
        self.assertEqual(self.read('1..2\nok 1 - R1\nnot ok 2 - R3\n', 'EXPECTEDFAIL', 1)[:3], (1, 0, 0))
        self.assertEqual(self.read('1..1\nok 1 - R1\n', 'UNEXPECTEDPASS', 0)[1], 1)

    def test_a_program_without_cases_is_one(self):
        self.assertEqual(self.read('')[:3], (1, 0, 0))

    def python(self, text):
        self.write('test_x.py', text)
        done = subprocess.run([sys.executable, '-m', 'unittest', '-v', 'test_x'], cwd=self.root, capture_output=True, text=True)
        return self.tool_test.read_unittest('test_x.py', done.returncode, done.stdout + done.stderr)

    def test_python_tests_are_counted_by_name(self):
        count = self.python('import unittest\nclass T(unittest.TestCase):\n'
                            ' def test_a(self):\n  for i in (1, 2):\n   with self.subTest(i=i): self.fail()\n'
                            ' def test_b(self): pass\n'
                            ' @unittest.skip("why")\n def test_c(self): pass\n')
        self.assertEqual(count[:3], (1, 1, 1))

    def test_a_python_file_that_does_not_load_is_a_failure(self):
        self.assertEqual(self.python('import nothing_of_that_name\n')[:2], (0, 1))

    def test_python_inside_of_meson_is_counted_too(self):
        line = json.dumps({'name': 'sim x', 'stdout': '', 'stderr': 'Ran 12 tests in 3.0s\n\nOK (skipped=2)\n', 'result': 'OK',
                           'returncode': 0})
        self.assertEqual(self.tool_test.read_test(line)[:3], (10, 0, 2))


if __name__ == '__main__':
    unittest.main()
