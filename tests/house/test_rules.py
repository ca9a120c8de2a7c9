# SPDX-License-Identifier: MIT
"""Every rule of docs/rules.md has tests that bear its name, and faults that they notice (tools/rules, teeth.py)."""
import importlib.machinery
import importlib.util
import pathlib
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / 'tools/rules'
loader = importlib.machinery.SourceFileLoader('rules', str(TOOL))
rules = importlib.util.module_from_spec(importlib.util.spec_from_loader('rules', loader))
loader.exec_module(rules)


class Rules(unittest.TestCase):
    def setUp(self):
        self.table = rules.table()

    def test_all_fifteen_are_read(self):
        self.assertEqual(list(self.table), [f'R{number}' for number in range(1, 16)])

    def test_each_has_a_test(self):
        self.assertEqual([rule for rule, (_, tests, _) in self.table.items() if not tests], [])

    def test_each_has_a_fault(self):
        self.assertEqual([rule for rule, (_, _, faults) in self.table.items() if not faults], [])

    def test_no_test_or_fault_is_named_after_another(self):
        named = {rule for rule, _, _ in rules.tests()} | {rule for rule, _ in rules.faults()}
        self.assertEqual(named - self.table.keys(), set())


if __name__ == '__main__':
    unittest.main()
