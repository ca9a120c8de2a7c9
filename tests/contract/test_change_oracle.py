#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_change_oracle.py - is every record decoded, dated, named and shown as oracle.py does it?

    python3 test_change_oracle.py PATH_TO_change_dump [--seed N] [--mutations N]

Compares change_dump with oracle.py's decode, kind_of, event_time, identities, key_text, plain_text and future guard:
on made events, on every capture in ../shared/data (WIKITALLY_SHARED names another place; skipped if there is none), and
on random mutations of both. Prints its seed; exit 1 at a difference, with the record.
"""
import argparse
import glob
import gzip
import json
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'oracle'))
import oracle  # noqa: E402

PATHS = ['meta', 'meta.id', 'meta.dt', 'meta.domain', 'meta.offset', 'timestamp', 'wiki', 'id', 'type', 'namespace',
         'title', 'user', 'bot', 'server_name', 'comment', 'parsedcomment', 'length.new', 'length.old', 'length',
         'log_params', 'a', 'a.b', 'a.b.c', 'time', 'oresscores.damaging.true', 'log_params.userid']
TIME_FIELDS = ['timestamp', 'meta.dt', 'time', 'a.b']
ARRIVALS_US = [None, 1_777_979_860_000_000]
SKEW = oracle.MINUTE


def captures():
    shared = os.environ.get('WIKITALLY_SHARED', os.path.join(ROOT, '..', 'shared'))
    for name in sorted(glob.glob(os.path.join(shared, 'data', '*.ndjson.gz'))):
        with gzip.open(name) as file:
            yield os.path.basename(name), list(oracle.ndjson_records(file))
    for name in sorted(glob.glob(os.path.join(shared, 'data', 'sse-*.gz'))):
        with gzip.open(name) as file:
            yield os.path.basename(name), [data for _, data in oracle.sse_events(file.read())]


# ------------------------------------------------------------------------------------------- made events

TEXTS = ['', 'a', 'canary', 'wikitally.tick', 'enwiki', 'Ümläut ÿ', 'Статья', '\U0001F600 x', 'quote " slash \\ / end',
         '\b\f\n\r\t', '\x00\x01\x1f', '\x7f\x80\u2028\u2029', '2026-05-05T11:17:40.822Z', '2026-05-05T11:17:40+00:00',
         '2018-03-07T16:16:17.1234567+01:30', '2026-02-29T00:00:00Z', '9999-01-01T00:00:00Z', '0000-01-01T00:00:00Z',
         '2026-05-05T11:17:60Z', '2026-05-05t11:17:40z', '1970-01-01T00:00:00-00:00', '1969-12-31T23:59:59.999999Z',
         '1970-01-01T00:30:00+00:30', '1970-01-01T00:30:00+00:31', 'x' * 63, 'y' * 64, 'z' * 65, 'é' * 40]
NUMBERS = ['0', '-0', '1', '-1', '1777979857', '1777979857000', '9223372036854775807', '9223372036854775808',
           '-9223372036854775808', '-9223372036854775809', '1.0', '1e3', '1E+3', '-0.0', '1e999999', '9' * 40,
           '253370764799', '253370764800', '-1777979857', '100000000000000000', '999999999999999999',
           '1000000000000000000', '12345678901234567890']
KEYS = ['meta', 'id', 'dt', 'domain', 'stream', 'topic', 'timestamp', 'wiki', 'user', 'a', 'b', 'c', 'time', 'title',
        'length', 'new', 'old', 'bot', 'Ключ', '', 'a.b', 'meta.id']


def text_of(random_, text):
    """One of the ways to write a string."""
    style = random_.randrange(4)
    if style == 0:
        return json.dumps(text)                         # \\u escapes
    if style == 1:
        return json.dumps(text, ensure_ascii=False)
    out = ''
    for char in text:
        how = random_.randrange(6)
        if how == 0 or ord(char) < 0x20 and how < 3:
            units = char.encode('utf-16-be')
            out += ''.join('\\u%02x%02X' % (units[i], units[i + 1]) for i in range(0, len(units), 2))
        elif char == '/' and how == 1:
            out += '\\/'
        else:
            out += json.dumps(char, ensure_ascii=False)[1:-1]
    return '"' + out + '"'


def blank(random_):
    return ''.join(random_.choice(' \t\r') for _ in range(random_.choice([0, 0, 0, 0, 1, 2])))


def json_of(random_, depth):
    kind = random_.randrange(10)
    if kind < 3:
        return text_of(random_, random_.choice(TEXTS))
    if kind < 5:
        return random_.choice(NUMBERS)
    if kind < 7:
        return random_.choice(['true', 'false', 'null'])
    gap = blank(random_)
    count = random_.randrange(4) if depth < 4 else 0
    if kind == 7:
        return '[' + gap + ','.join(gap + json_of(random_, depth + 1) for _ in range(count)) + gap + ']'
    return object_of(random_, depth + 1, [random_.choice(KEYS) for _ in range(count)])


def object_of(random_, depth, keys):
    gap = blank(random_)
    return '{' + ','.join(gap + text_of(random_, key) + gap + ':' + gap + json_of(random_, depth + 1)
                          for key in keys) + gap + '}'


def made_event(random_):
    """An event of many surprises, valid JSON nearly always."""
    keys = random_.choices(KEYS, k=random_.randrange(8))
    parts = [text_of(random_, key) + ':' + json_of(random_, 1) for key in keys]
    if random_.random() < .7:
        names = ['id', 'dt', 'domain', 'stream', 'topic']
        meta = ','.join(text_of(random_, name) + ':' + text_of(random_, random_.choice(TEXTS))
                        for name in random_.sample(names, random_.randrange(5)))
        parts.insert(random_.randrange(len(parts) + 1), '"meta":{' + meta + '}')
    if random_.random() < .7:
        parts.insert(random_.randrange(len(parts) + 1), '"timestamp":' + random_.choice(NUMBERS))
    if random_.random() < .5:
        parts.append('"wiki":' + text_of(random_, random_.choice(TEXTS)) + ',"id":' + random_.choice(NUMBERS))
    return (blank(random_) + '{' + ','.join(parts) + '}' + blank(random_)).encode('utf-8', 'surrogatepass')


EDGES = [b'', b' ', b'{}', b'[]', b'null', b'1', b'"x"', b'"a}', b'[1}', b'{"a":1}}', b'{"a":1}x', b'{"a":1,}', b'{,}',
         b'\xef\xbb\xbf{}', b'{"a":NaN}', b'{"a":01}', b'{"a":-}', b'{"a":1.}', b'{"a":.5}', b'{"a":1e}', b'{"a":+1}',
         b'{"\\ud800":1}', b'{"a":"\\udc00\\ud800"}', b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\ud800"}x',
         b'{"a":"\\ud83d\\u0041"}', b'["\\ud800"]', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\x80"}', b'{"a":"\xf4\x90\x80\x80"}',
         b'{"a":"\x01"}', b'{"a":"\\x"}', b'{"a":"\\u12g4"}', b'{"a":"\\u12"}', b'{"a":tru}', b'{"a":nul', b'{"a"',
         b'{"a":{}', b'{"a":[}', b'{"a":[1,]}', b'{"a" "b"}', b'{1:2}', b'\xff', b'{"a":"\xff"', b'{\xa0}',
         b'[' * 64 + b']' * 64, b'[' * 65 + b']' * 65, b'{"a":' * 64 + b'1' + b'}' * 64, b'{"a":' * 65 + b'1' + b'}' * 65,
         b']' * 9 + b'[' * 70, b'{"a":"' + b'[' * 99 + b'"}', b'{"meta":{"id":"x"},"meta":{}}',
         b'{"meta":{"id":"x"},"meta":1}', b'{"a":{"b":{"c":1}},"a":{"b":2}}', b'{"a":1,"\\u0061":2}',
         b'{"m\\u0065ta":{"\\u0069d":"x"}}', b'{"a":{"b":1},"a":{"c":2}}', b'{"a":[{"b":1}]}', b'{"a.b":1}']


def mutated(random_, raw):
    """Breaks or changes a record somewhere. Line feeds become blanks: a line is a record."""
    data = bytearray(raw)
    for _ in range(random_.choice([1, 1, 1, 2, 4])):
        at = random_.randrange(len(data) + 1)
        how = random_.randrange(7)
        if how == 0 and data:
            data[at % len(data)] = random_.randrange(256)
        elif how == 1:
            del data[at:at + random_.choice([1, 1, 2, 5, 50])]
        elif how == 2:
            data[at:at] = random_.choice([b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'0', b'-', b'e1', b'.0',
                                          b'\\u0041', b'\\ud800', b'\\uDC00', b'\xc3\xa9', b'\xed\xa0\x80', b'\xff',
                                          b'null', b'true', b' ', b'\t', b'\x00', b'\x1f', b'\xf0\x9f\x98\x80'])
        elif how == 3:
            del data[at:]
        elif how == 4:
            data[at:at] = data[at:at + random_.randrange(80)]
        elif how == 5:
            data[at:at] = random_.choice([b'{"a":', b'['] ) * random_.choice([1, 60, 62, 63, 64, 65])
        else:
            other = random_.choice(EDGES)
            data[at:at] = other
    return bytes(data).replace(b'\n', b' ')


# ------------------------------------------------------------------------------------------- comparison

class Difference(Exception):
    pass


class Names:
    """An identity must stand for one name, and a name for one identity."""

    def __init__(self):
        self.by_name, self.by_identity = {}, {}

    def check(self, name, identity):
        if self.by_name.setdefault(name, identity) != identity or self.by_identity.setdefault(identity, name) != name:
            raise Difference(f'identity {identity} of {name!r} is not one to one')


def expected(raw, time_field, arrival_us):
    """What change_dump must print for this record, but for the identities (names instead)."""
    value, reason = oracle.decode(raw)
    if value is None:
        return [reason], []
    kind = oracle.kind_of(value)
    time, reason = oracle.event_time(value, kind, oracle.path_of(time_field))
    arrival = oracle.earliest_arrival(value, kind, None if arrival_us is None else arrival_us // 1000)
    future = oracle.StreamTime(SKEW).is_future(time, arrival)
    fields = [reason or 'ok', kind, '-' if time is None else str(time), 'future' if future else '-']
    for path in PATHS:
        field = oracle.get(value, oracle.path_of(path))
        fields += [oracle.key_text(field), json.encoder.encode_basestring(oracle.plain_text(field))]
    return fields, oracle.identities(value, kind)


def check_line(raw, line, names, time_field, arrival_us):
    want, identities = expected(raw, time_field, arrival_us)
    got = line.decode('utf-8', 'surrogateescape').split('\t')
    if len(want) == 1:
        if got[0] != want[0]:
            raise Difference(f'verdict {got[0]}, oracle {want[0]}')
        return want[0]
    shown = [got[0]] + got[2:5] + got[7:]
    for position, (ours, theirs) in enumerate(zip(shown, want)):
        if ours != theirs:
            what = (['verdict', 'kind', 'time', 'future'] + [p for path in PATHS for p in (path, path + ' plain')])
            raise Difference(f'{what[position]}: {ours!r}, oracle {theirs!r}')
    if len(shown) != len(want):
        raise Difference(f'{len(shown)} columns, not {len(want)}')
    present = [name for name, identity in zip(('meta.id', 'wiki+id'), got[5:7]) if identity != '-']
    if present != [name for name, _ in identities]:
        raise Difference(f'identities {present}, oracle {identities}')
    for (_, name), identity in zip(identities, [identity for identity in got[5:7] if identity != '-']):
        names.check(name, identity)
    return want[0]


def compare(program, what, records, time_field, arrival_us, verdicts):
    records = [record for record in records if b'\n' not in record]
    command = [program, '-' if arrival_us is None else str(arrival_us), time_field] + PATHS
    done = subprocess.run(command, input=b''.join(record + b'\n' for record in records), stdout=subprocess.PIPE)
    lines = done.stdout.split(b'\n')[:-1]
    if done.returncode or len(lines) != len(records):
        raise Difference(f'{what}: exit {done.returncode}, {len(lines)} lines for {len(records)} records')
    names = Names()
    for number, (raw, line) in enumerate(zip(records, lines), 1):
        try:
            verdict = check_line(raw, line, names, time_field, arrival_us)
        except Difference as difference:
            raise Difference(f'{what}, record {number}: {difference}\n{raw!r}') from None
        verdicts[verdict] = verdicts.get(verdict, 0) + 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument('--mutations', type=int, default=20_000)
    args = parser.parse_args()
    print(f'seed {args.seed}')
    random_ = random.Random(args.seed)
    verdicts, pool = {}, []
    try:
        for time_field in TIME_FIELDS:
            compare(args.program, 'edges', EDGES, time_field, None, verdicts)
            events = [made_event(random_) for _ in range(2000)]
            compare(args.program, 'made', events, time_field, random_.choice(ARRIVALS_US), verdicts)
            pool += events
        for name, records in captures():
            if len(records) > 20_000:                   # the long ones take minutes: every tenth line
                records = records[::10]
            compare(args.program, name, records, 'timestamp', random_.choice(ARRIVALS_US), verdicts)
            pool += random_.sample(records, min(len(records), 2000))
        for time_field in TIME_FIELDS:
            records = [mutated(random_, random_.choice(pool)) for _ in range(args.mutations // len(TIME_FIELDS))]
            compare(args.program, 'mutated', records, time_field, random_.choice(ARRIVALS_US), verdicts)
    except Difference as difference:
        print(difference)
        return 1
    print(f'{sum(verdicts.values())} records alike: ' + ', '.join(f'{n} {v}' for v, n in sorted(verdicts.items())))
    needed = {'ok', 'bad-utf8', 'too-deep', 'syntax', 'surrogate', 'not-object', 'bad-time', 'no-time'}
    missing = needed - set(verdicts)                    # else the mutations prove nothing
    if missing:
        print(f'verdicts that never came up: {", ".join(sorted(missing))}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
