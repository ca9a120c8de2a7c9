#!/usr/bin/env python3
"""The lanes of src/compute against tests/oracle/oracle.py, row by row (R5-R9, R12).

    test_windows_oracle.py WINDOWS_SIM [--runs 50] [--seed N] [--data DIR]

Random runs: late, future and absurd times, canaries of both topics, ticks, dead records, 1 or 3 partitions, both late
policies, tumbling and hopping windows, min/max/sum/distinct, where, meta.dt as event time, commits in between or only at
the end. Captures: every one in DIR (or WIKITALLY_SHARED/data, or ../shared/data), if it is there. Compared: rows with
revision, state and closed_by; totals with late, amended and pairs; the ledger per minute, by event and by arrival; dead
letters. The minutes of the ledger are folded as R12 says, which the oracle does not do: that is done here.
"""
import argparse
import collections
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'oracle'))
sys.dont_write_bytecode = True
import oracle  # noqa: E402

KEEP_MINUTES = 32 * 1440
BUCKETS = ['dead', 'canary', 'tick', 'unmatched', 'future', 'counted', 'late', 'gap']


def minute(time, clock, skew):
    """tally_minute of src/base/tally.c."""
    if time is None:
        return 'null'
    if clock is not None:
        if time > clock + skew:
            return 'ahead'
        if time // oracle.MINUTE < (clock - KEEP_MINUTES * oracle.MINUTE) // oracle.MINUTE:
            return 'older'
    return str(time // oracle.MINUTE)


class Expected:
    """The oracle over the records, and what of it the program also says."""

    def __init__(self, windows, records):
        self.windows, self.ledger, self.dead = windows, collections.Counter(), []
        for partition, offset, arrival_ms, value, reason in records:
            bucket, time = windows.feed(partition, offset, arrival_ms, value, reason)
            arrival = None if arrival_ms is None else arrival_ms * 1000
            clock = windows.partitions[partition].stream.now if arrival is None else arrival
            for by, at in (('event', time), ('arrival', arrival)):
                self.ledger[partition, by, minute(at, clock, windows.skew), bucket] += 1
            if bucket == 'dead':
                why = reason or oracle.event_time(value, oracle.kind_of(value), windows.time_path)[1]
                self.dead.append((partition, offset, why))

    def rows(self):
        table = oracle.rows_table(self.windows)
        return {tuple(row[:5]): row[5:] for row in table.rows}

    def totals(self):
        found = {}
        for p, part in self.windows.partitions.items():
            tally = part.tally
            now = part.stream.now
            found[p] = [tally['records'], *(tally[b] for b in BUCKETS), tally['amended'], tally['pairs_counted'],
                        tally['pairs_late'], -2**63 if now is None else now]
        return found


class Got:
    """What windows_sim printed."""

    def __init__(self, output, measures):
        self.rows, self.totals, self.ledger = {}, {}, collections.defaultdict(collections.Counter)
        self.dead = collections.defaultdict(list)
        for line in output.decode('utf-8', 'surrogateescape').split('\n')[:-1]:
            kind, *cells = line.split('\t')
            if kind == 'R':
                self.row(cells, measures)
            elif kind == 'L':
                name, p, by, at, bucket, count = cells
                self.ledger[name][int(p), by, at, bucket] += int(count)
            elif kind == 'T':
                self.totals[cells[0], int(cells[1])] = list(map(int, cells[2:]))
            elif kind == 'D':
                self.dead[int(cells[0]), int(cells[1])].append(cells[2])

    def row(self, cells, measures):
        name, p, start, end, key, *values = cells
        state, revision, closed_by = values[measures:]
        values = values[:measures]
        at = (name, p, oracle.show_time(int(start)), oracle.show_time(int(end)), key)
        old = self.rows.get(at)
        if old is not None:
            rank, old_rank = (int(revision), state == 'final'), (int(old[-2]), old[-3] == 'final')
            assert rank >= old_rank, f'{at}: {values} {rank} comes after {old} {old_rank}'
            assert rank > old_rank or old == [*values, state, revision, closed_by], f'{at}: one revision, two values'
        self.rows[at] = [*values, state, revision, '-' if closed_by == '-1' else closed_by]


def different(what, want, got):
    lines = []
    for key in sorted(want.keys() | got.keys(), key=str):
        if want.get(key) != got.get(key):
            lines.append(f'{what} {key}: oracle {want.get(key)}, program {got.get(key)}')
    return lines


def compare(expected, got):
    lines = different('row', {k: list(map(str, v)) for k, v in expected.rows().items()}, got.rows)
    for name in expected.windows.keys:
        lines += different(f'{name} totals', expected.totals(), {p: t for (n, p), t in got.totals.items() if n == name})
        lines += different(f'{name} ledger', +expected.ledger, +got.ledger[name])
    dead = {(p, o): [why] * len(expected.windows.keys) for p, o, why in expected.dead}
    return lines + different('dead letter', dead, dict(got.dead))


def envelopes(records):
    for partition, offset, arrival_ms, raw in records:
        yield b'{"partition":%d,"offset":%d,"arrival_ms":%s,"value":%s}\n' % (
            partition, offset, b'null' if arrival_ms is None else b'%d' % arrival_ms,
            raw.replace(b'\r', b' ').replace(b'\n', b' '))


def run_sim(sim, options, records):
    arguments = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    done = subprocess.run([sim, *arguments], input=b''.join(envelopes(records)), stdout=subprocess.PIPE, check=True)
    return Got(done.stdout, len(options.get('--measures', 'count').split(',')))


def oracle_windows(options):
    """The same options, for the oracle."""
    get = options.get
    group = get('--group-by')
    keys = {'custom': group.split(',')} if group else oracle.BUILT_IN
    late = get('--late', 'amend')
    lateness = oracle.duration(get('--allowed-lateness', '15m')) if late == 'amend' else 0
    slide = get('--slide')
    return oracle.Windows(keys, [oracle.Measure(m) for m in get('--measures', 'count').split(',')],
                          oracle.duration(get('--size', '60s')), oracle.duration(slide) if slide else None,
                          oracle.duration(get('--delay', '2m')), oracle.duration(get('--skew', '60s')),
                          oracle.path_of(get('--time-field', 'timestamp')), late, lateness,
                          oracle.parse_where([get('where')]) if get('where') else ())


def filter_of(where):
    """F=A|B,G!=C in the words of filter.h."""
    if not where:
        return None
    return ' '.join(('' if equal else '-') + '.'.join(path) + ':' + ','.join(f'"{text}"' for text in sorted(texts))
                    for path, equal, texts in oracle.parse_where([where]))


# ---------------------------------------------------------------------------------------------- random runs

def random_options(rng):
    size = rng.choice([10, 30, 60, 60, 90])
    slide = rng.choice([None, None, size, max(size // 2, 1), max(size // 7, 1)])
    options = {'--size': f'{size}s', '--delay': f'{rng.choice([0, 10, 30, 120])}s',
               '--skew': f'{rng.choice([0, 5, 60])}s', '--late': rng.choice(['amend', 'amend', 'drop'])}
    if slide:
        options['--slide'] = f'{slide}s'
    if options['--late'] == 'amend':
        options['--allowed-lateness'] = f'{rng.choice([0, 20, 90, 900])}s'
    if rng.random() < .8:
        options['--group-by'] = rng.choice(['user', 'user,type', 'meta.domain', 'bot,wiki,namespace', 'nothing'])
        measures = ['count', 'sum(length.new)', 'min(length.new)', 'max(length.new)', 'distinct(title)', 'distinct(user)']
        options['--measures'] = ','.join(rng.sample(measures, rng.randrange(1, 5)))
    if rng.random() < .3:
        options['--time-field'] = rng.choice(['meta.dt', 'other.time'])
    if rng.random() < .4:
        options['where'] = rng.choice(['type=edit|new', 'bot!=true', 'type!=log,namespace=0|14', 'user=null'])
        options['--where'] = filter_of(options['where'])
    return options


TEXTS = ['A', 'B', 'é', '"quoted"', 'back\\slash', 'tab\there', 'nul\0', 'line\nend', '\U0001f600', '', ' blank ', 'ü' * 40]


def random_event(rng, now):
    """-> what stands in the journal's record at this second, as a JSON value or raw bytes."""
    kind = rng.random()
    topic = rng.choice(['eqiad.mediawiki.recentchange', 'eqiad.mediawiki.recentchange', 'codfw.mediawiki.recentchange', None, ''])
    if kind < .03:
        return rng.choice([b'[1,2]', b'"text"', b'17', b'null', b'{"timestamp":"x"}', b'{"timestamp":-1}', b'{"user":"A"}',
                           b'{"timestamp":1.0}', b'{"timestamp":true,"meta":{"dt":"2020-01-01T00:00:00Z"}}',
                           b'{"meta":{"dt":"2020-02-30T00:00:00Z"}}', b'{"timestamp":99999999999999}'])
    if kind < .15:
        dt = rng.choice([now, now - 30, now + 3, now + 61, now + 90_000])
        meta = {'domain': 'canary', 'dt': rng.choice([oracle.show_time(dt * oracle.SECOND), 'bad', None, dt])}
        if rng.random() < .3:
            meta['stream'] = 'wikitally.tick'
        elif topic is not None:
            meta['topic'] = topic
        return {'meta': meta, 'timestamp': now - 100_000, 'user': 'canary'}
    late = rng.choice([0, 0, 0, 1, 2, 5, 15, 40, 90, 200, 2000, -3])
    if rng.random() < .05:
        late = rng.choice([-61, -86_400, -366 * 86_400, 40 * 86_400, now - 5, 31 * 86_400])
    time = max(now - late, 0)
    value = {'timestamp': rng.choice([time, time, time, oracle.show_time(time * oracle.SECOND + rng.randrange(2) * 345_678)]),
             'type': rng.choice(['edit', 'new', 'log', 'categorize']), 'wiki': rng.choice(['enwiki', 'dewiki']),
             'bot': rng.choice([True, False, False, 'true', 1, None]),
             'namespace': rng.choice([0, 0, 14, -1, 1.5, 10**30, '0']), 'user': rng.choice([*TEXTS, None, 7, -0.0, ['x'], {'y': 1}]),
             'title': rng.choice(TEXTS) + str(rng.randrange(rng.choice([3, 300]))),
             'length': {'new': rng.choice([rng.randrange(10_000), -5, 2**40, None, '7', 3.5, True, 10**25])},
             'meta': {'domain': rng.choice(['en.wikipedia.org', 'de.wikipedia.org']), 'topic': topic}}
    if rng.random() < .8:
        value['meta']['dt'] = oracle.show_time((time + rng.randrange(3)) * oracle.SECOND + rng.randrange(1_000_000))
    if rng.random() < .5:
        value['other'] = {'time': rng.choice([time, time - 7, None])}
    if rng.random() < .1:
        del value['user']
    return value


def random_records(rng, partitions, count):
    now, records, next_offset = 1_600_000_000 + rng.randrange(10_000), [], collections.Counter()
    arrivals = rng.random() < .85
    for _ in range(count):
        now += rng.choice([0, 0, 0, 1, 1, 3, 20 if rng.random() < .1 else 1, 400 if rng.random() < .03 else 0])
        p = rng.randrange(partitions)
        value = random_event(rng, now)
        raw = value if type(value) is bytes else json.dumps(value, ensure_ascii=rng.random() < .5).encode()
        records.append((p, next_offset[p], now * 1000 + rng.randrange(1000) if arrivals else None, raw))
        next_offset[p] += 1
    return records


def decoded(records):
    for p, offset, arrival_ms, raw in records:
        value, reason = oracle.decode(raw)
        yield p, offset, arrival_ms, value, reason


def random_run(sim, seed, number):
    rng = random.Random(f'{seed}:{number}')
    options = random_options(rng)
    records = random_records(rng, rng.choice([1, 1, 3]), rng.choice([50, 300, 800]))
    expected = Expected(oracle_windows(options), decoded(records))
    given = {k: v for k, v in options.items() if k != 'where'} | {'--commit-every': rng.choice([0, 1, 7, 100])}
    return options, compare(expected, run_sim(sim, given, records))


# ---------------------------------------------------------------------------------------------- captures

def capture_records(name):
    """Record n is partition 0, offset n - 1; its arrival is its meta.dt (oracle.md section 1)."""
    args = argparse.Namespace(inputs=[name], arrival_tsv=None, arrival_ms=None, arrival_base_ms=None, format='auto')
    for offset, (raw, _) in enumerate(oracle.raw_records(args)):
        value, reason = oracle.decode(raw)
        yield offset, raw, oracle.arrival_by_dt(value), value, reason


def capture_run(sim, name, options, limit):
    records = list(itertools.islice(capture_records(name), limit))
    windows = oracle_windows(options)
    expected = Expected(windows, ((0, offset, at, value, reason) for offset, _, at, value, reason in records))
    given = dict(options) | {'--commit-every': 1000}
    lines = compare(expected, run_sim(sim, given, ((0, offset, at, raw) for offset, raw, at, _, _ in records)))
    return len(records), len(windows.rows), lines


def captures(data):
    for name in sorted(os.listdir(data)):
        if name.endswith(('.ndjson.gz', '.txt.gz')):
            yield name, {}
            if name.startswith('wikiticker'):
                yield name, {'--time-field': 'time'}
            if 'editgroups-wikidata-2018-03-07-1616' in name:
                yield name, {'--group-by': 'wiki,user', '--size': '10m', '--slide': '5m', '--delay': '30s',
                             '--allowed-lateness': '1m', '--measures': 'count,sum(length.new),distinct(namespace),min(id)'}
                yield name, {'--time-field': 'meta.dt', '--late': 'drop', '--delay': '0'}


def data_directory(given):
    shared = os.environ.get('WIKITALLY_SHARED', os.path.join(HERE, '..', '..', '..', 'shared'))
    data = given or os.path.join(shared, 'data')
    return data if os.path.isdir(data) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('sim')
    parser.add_argument('--runs', type=int, default=50)
    parser.add_argument('--seed', default=str(random.SystemRandom().randrange(10**6)))
    parser.add_argument('--data')
    parser.add_argument('--limit', type=int, default=40_000, help='records of each capture (0: all)')
    args = parser.parse_args()
    failed = 0
    for number in range(args.runs):
        options, lines = random_run(args.sim, args.seed, number)
        if lines:
            failed += 1
            print(f'run {args.seed}:{number} {options}', *lines[:6], sep='\n  ')
    print(f'{args.runs} random runs, seed {args.seed}: {failed} differ')
    data = data_directory(args.data)
    for name, options in captures(data) if data else ():
        records, rows, lines = capture_run(args.sim, os.path.join(data, name), options, args.limit or None)
        failed += bool(lines)
        print(f'{name} {options or ""}: {records} records, {rows} rows, {len(lines)} different', *lines[:6], sep='\n  ')
    if data is None:
        print('captures skipped: no shared data')
    return 1 if failed else 0


if __name__ == '__main__':
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
