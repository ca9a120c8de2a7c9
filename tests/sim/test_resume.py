#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_resume.py FOLLOW_SIM [--faults] - the schedules of the resume model, run by the program (resume.py).

Schedules: all 13 scenarios of tests/oracle/resume_model.py, seed after seed, as many as fit in the time. Clauses: for
each correction of the rules that the model knows (its FIXES), a schedule in which the program passes, and fails when
that clause is taken away (WIKITALLY_FAULTS; needs a build with -Dfaults=true, said by --faults).

WIKITALLY_SIM_SECONDS: time for the schedules (20; a long run: 1800). WIKITALLY_SIM_SEED: the first seed (1).
One again: resume.py is a module; see one(). A failure prints scenario and seed.
"""
import os
import sys
import time
import unittest

import resume
from resume import model

BINARY = None

# Schedules that the rules do not master; each with the reason. Whoever changes a rule looks here first.
KNOWN = {}

# Schedules that the first text of the rules, or of their judge, did not master (docs/decisions/0008), and the program: a hole was
# asked for on a silent moment, while what an open connection had brought of it waited for its commit.
ONCE_OPEN = [('poison', 77003), ('poison', 77018), ('poison', 77019), ('race', 10006), ('retention', 30029)]
ONCE_DOUBLED = [('stall', 30033), ('crash', 30010)]

# Fault: schedules found by search (search.py) in which only that clause stands between the program and a failure.
CLAUSES = {
    'R3.order': [('poison', 3)],
    'R3.joined': [('retention', 1), ('race', 2)],
    'R3.pfuture': [('poison', 4)],
    'R3.newest': [('poison', 9), ('poison', 23)],
    'R3.start': [('early', 7), ('early', 11)],
    'R3.back': [('quiet', 1), ('unheard', 1)],
    'R3.busy': [('future', 1), ('early', 1)],
    'R3.proof': [('stall', 7)],
    'R3.thrice': [('stalled-unheard', 35)],
    'R3.pkey': [('poisoned-switch', 12)],
    'R4.pair': [('poison', 3)],
    'R4.dropped': [('poisoned-omissions', 22)],
    'R4.healone': [('poison', 13), ('early', 9)],
    'R5.dtfuture': [('future', 1), ('future', 2)],
    'R7.lastall': [('stalled-overlap', 8), ('stalled-overlap', 9)],
}
# Not found in some hundred schedules each: R3.again, R3.pyoung, R3.mergekey, R7.cap. tests/unit/source/test_follow.c has
# tests of their own, which fail without them; test_outages.py has named schedules for R3.again, R3.pyoung, R3.doubt, R3.first,
# R3.thirds, R3.alone and R7.cap. Why none is to be expected for R3.mergekey: branch_key in src/source/merge.c.


class Schedules(unittest.TestCase):
    def test_R3_R4_R5_R7_R12_scenarios(self):
        seconds = float(os.environ.get('WIKITALLY_SIM_SECONDS', 20))
        first = seed = int(os.environ.get('WIKITALLY_SIM_SEED', 1))
        until, runs, sums = time.monotonic() + seconds, 0, {'received': 0, 'journalled': 0, 'duplicate': 0}
        while time.monotonic() < until or seed == first:
            for scenario in model.SCENARIOS:
                if (scenario, seed) in KNOWN or time.monotonic() > until + 20:
                    continue
                with self.subTest(scenario=scenario, seed=seed):
                    program, wrong = resume.one(BINARY, scenario, seed)
                    self.assertEqual(wrong[:4], [], f'--scenario {scenario} --seed {seed}')
                runs += 1
                for name in sums:
                    sums[name] += program.ledger[name]
            seed += 1
        print(f'{runs} schedules, seeds {first} to {seed - 1}: {sums}', file=sys.stderr)

    def test_R3_schedules_once_open(self):
        for scenario, seed in ONCE_OPEN + ONCE_DOUBLED:
            with self.subTest(scenario=scenario, seed=seed):
                self.assertEqual(resume.one(BINARY, scenario, seed)[1][:4], [])


class Clauses(unittest.TestCase):
    def clause(self, name):
        for scenario, seed in CLAUSES[name]:
            with self.subTest(scenario=scenario, seed=seed):
                _, wrong = resume.one(BINARY, scenario, seed)
                self.assertEqual(wrong, [], 'with the clause')
                _, wrong = resume.one(BINARY, scenario, seed, (name,))
                self.assertNotEqual(wrong, [], f'without {name}, and nobody noticed')


def add_clauses():
    for name in CLAUSES:
        def test(self, name=name):
            self.clause(name)
        test.__doc__ = model.FIXES[name.split('.')[1]]
        setattr(Clauses, 'test_' + name.replace('.', '_'), test)


if __name__ == '__main__':
    BINARY = sys.argv.pop(1)
    if '--faults' in sys.argv:
        sys.argv.remove('--faults')
        add_clauses()
    unittest.main(verbosity=2)
