#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_admit_oracle.py ADMIT_SIM - admission decides as the oracle does, record by record (oracle.md section 4).

On every capture (of ../shared, if it is there) and on random mixtures of everything: duplicates at all distances from
the horizon, several topics, jumps of meta.dt, times from the future, poison, canaries, ticks, filtered records. Each
also with restarts in between, because the table of identities is a function of the journal's tail (R3).

WIKITALLY_SIM_INPUTS: how many mixtures (50); WIKITALLY_SIM_SEED: of the first (random, printed).
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ORACLE = HERE.parent / 'oracle' / 'oracle.py'
SHARED = pathlib.Path(os.environ.get('WIKITALLY_SHARED', HERE.parent.parent.parent / 'shared'))
BINARY = None
HORIZON = 120


def table(command):
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise AssertionError(f'{command}: {done.stderr.decode(errors="replace")}')
    lines = done.stdout.decode(errors='surrogateescape').splitlines()
    header = lines[0].split('\t')
    return [dict(zip(header, line.split('\t'))) for line in lines[1:]]


def oracle(path, *options):
    return table([sys.executable, str(ORACLE), 'admit', str(path), '--totals-out', os.devnull, *options])


def rows_of(rows):
    """What is binding: the oracle names the filter that failed, and of several defects only `dead`."""
    return [(row['ordinal'], row['outcome'], row['reason'] if row['outcome'] in ('journalled', 'duplicate') else '',
             row['offset']) for row in rows]


class Same(unittest.TestCase):
    maxDiff = 2000

    def check(self, path, theirs=(), ours=(), what=''):
        expected = rows_of(oracle(path, *theirs))
        for restart in ((), ('--restart-every', '7'), ('--restart-every', '1')):
            if restart[1:] == ('1',) and len(expected) > 300:
                continue
            got = rows_of(table([BINARY, *ours, *restart, str(path)]))
            self.assertEqual(len(expected), len(got), what)
            for one, other in zip(expected, got):
                self.assertEqual(one, other, f'{what} {restart}')
        return expected

    def test_R2_captures(self):
        folder = SHARED / 'data'
        if not folder.is_dir():
            self.skipTest('no captures here')
        seen = 0
        for path in sorted(folder.iterdir()):
            if path.name.endswith(('.ndjson.gz', '.txt.gz')):
                with self.subTest(path.name):
                    if path.stat().st_size > 1_000_000:         # one restart is enough there
                        self.assertEqual(rows_of(oracle(path)), rows_of(table([BINARY, str(path)])))
                    else:
                        self.check(path, what=path.name)
                    seen += 1
        self.assertGreater(seen, 9)

    def test_R2_mixtures(self):
        first = int(os.environ.get('WIKITALLY_SIM_SEED', random.randrange(10**6)))
        outcomes = set()
        for seed in range(first, first + int(os.environ.get('WIKITALLY_SIM_INPUTS', 50))):
            rng = random.Random(seed)
            with tempfile.NamedTemporaryFile(suffix='.ndjson') as file:
                file.write(b''.join(line + b'\n' for line in mixture(rng)))
                file.flush()
                theirs, ours = [], []
                if rng.random() < 0.5:
                    theirs, ours = ['--wiki', 'w0,w1', '--type', 'edit'], ['--filter', 'wiki:w0,w1 type:edit']
                if rng.random() < 0.3:
                    theirs += ['--arrival-ms', '1700000400000']
                    ours += ['--arrival-ms', '1700000400000']
                with self.subTest(seed=seed):
                    rows = self.check(file.name, theirs, ours, f'WIKITALLY_SIM_SEED={seed}')
                    outcomes |= {(row[1], row[2]) for row in rows}
        print(f'mixtures from seed {first}: {sorted(outcomes)}', file=sys.stderr)
        if int(os.environ.get('WIKITALLY_SIM_INPUTS', 50)) >= 20:
            self.assertLessEqual({('journalled', 'change'), ('journalled', 'canary'), ('duplicate', 'meta.id'),
                                  ('duplicate', 'wiki+id'), ('duplicate', 'dead'), ('filtered', ''), ('dead', '')},
                                 outcomes)


def stamp(ms):
    import datetime
    at = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return at.strftime('%Y-%m-%dT%H:%M:%S') + (f'.{ms % 1000:03d}' if ms % 1000 else '') + 'Z'


def event(rng, serial, now):
    topic = rng.choice(['eqiad.mediawiki.recentchange'] * 5 + ['codfw.mediawiki.recentchange'] * 2 + ['third', '', None, 7])
    dt = now - rng.randrange(3000) + rng.choice([0] * 20 + [-HORIZON * 1000, 70_000, 600_000, 5_000_000])
    meta = {'id': f'00000000-0000-4000-8000-{serial:012x}', 'dt': stamp(dt), 'domain': 'x.example.org',
            'stream': 'mediawiki.recentchange', 'partition': 0, 'offset': serial, 'topic': topic}
    record = {'$schema': '/mediawiki/recentchange/1.0.0', 'meta': meta, 'id': serial,
              'type': rng.choice(['edit', 'edit', 'new', 'log']), 'timestamp': (now - rng.randrange(9000)) // 1000,
              'wiki': f'w{rng.randrange(4)}', 'title': rng.choice(['A', 'Ä b', 'c"d', '\u2028', '']), 'user': 'U',
              'bot': rng.random() < 0.4}
    what = rng.random()
    if what < 0.08:
        meta['domain'] = 'canary'
        if rng.random() < 0.3:
            meta['stream'] = 'wikitally.tick'
        if rng.random() < 0.3:
            meta['dt'] = rng.choice([None, 'yesterday', -5, now // 1000])
    elif what < 0.11:
        record['timestamp'] += rng.choice([61, 59, 3600, 10**9])
    elif what < 0.14:
        record['timestamp'] = rng.choice(['soon', -1, 1.5, stamp(now), None, now])
    elif what < 0.17:
        for name in rng.sample(['timestamp', 'wiki', 'id', 'type', 'title'], 2):
            del record[name]
    elif what < 0.20:
        meta['id'] = rng.choice(['', None, 5, 'short'])
    elif what < 0.23:
        record['id'] = rng.choice([0, -1, None, 'x', 1.0])
    elif what < 0.25:
        del record['meta']
    elif what < 0.27:
        meta['dt'] = rng.choice([None, 'never'])
    for name in [name for name in ('topic',) if meta.get(name) is None]:
        meta.pop(name)
    return record


POISON = [b'{', b'[]', b'nothing', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'"text"', b'{"a":1}x', b'{"a":' * 70 + b'1' + b'}' * 70,
          b'{"timestamp":"never"}', b'{"timestamp":1}{', b'{"type":"edit"}']


def mixture(rng):
    """Records in order of arrival; some come again later, some with only one of their two names."""
    now, lines, again = 1_700_000_000_000, [], []
    for serial in range(1, rng.randrange(40, 280)):
        now += rng.choice([0, 1, 400, 900, 5000, 30_000, HORIZON * 1000 // 2, HORIZON * 1000])
        line = rng.choice(POISON) if rng.random() < 0.06 else None
        if line is None:
            record = event(rng, serial, now)
            line = json.dumps(record, ensure_ascii=rng.random() < 0.5).encode()
            if rng.random() < 0.2 and isinstance(record.get('meta'), dict):
                twin = json.loads(line)
                if rng.random() < 0.5:
                    twin['meta']['id'] = f'ffffffff-0000-4000-8000-{serial:012x}'
                else:
                    twin['id'] = serial + 10**6
                again.append((now + rng.choice([1, 60_000, HORIZON * 1000, 10**6]), json.dumps(twin).encode()))
        lines.append(line)
        if rng.random() < 0.3:
            again.append((now + rng.choice([1, 5000, HORIZON * 1000 - 1, HORIZON * 1000, 2 * HORIZON * 1000]), line))
        lines += [line for at, line in again if at <= now]
        again = [(at, line) for at, line in again if at > now]
    return lines


if __name__ == '__main__':
    BINARY = sys.argv.pop(1)
    unittest.main()
