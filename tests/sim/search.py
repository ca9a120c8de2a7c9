#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""search.py FOLLOW_SIM FAULT [SCENARIO[,SCENARIO]] [SECONDS] [FIRST_SEED] - looks for schedules that need a clause.

Prints scenario and seed of runs in which the program passes, and fails when the clause FAULT is taken away: rows for
CLAUSES in test_resume.py. FAULT "none" prints the schedules that fail as they are.
"""
import sys
import time

import resume
from resume import model


def main():
    binary, fault = sys.argv[1:3]
    names = sys.argv[3].split(',') if len(sys.argv) > 3 else model.SCENARIOS
    until = time.monotonic() + float(sys.argv[4] if len(sys.argv) > 4 else 300)
    seed, runs = int(sys.argv[5] if len(sys.argv) > 5 else 1), 0
    while time.monotonic() < until:
        for name in names:
            _, wrong = resume.one(binary, name, seed, () if fault == 'none' else (fault,))
            runs += 1
            if wrong and (fault == 'none' or not resume.one(binary, name, seed)[1]):
                print(f'{fault}: ({name!r}, {seed})  {wrong[0][:100]}', flush=True)
        seed += 1
    print(f'{fault}: {runs} runs, seeds below {seed}')


if __name__ == '__main__':
    main()
