"""How many events a second, and what an event and a key cost as there are more of them. Parts of tools/bench."""
import socket
import statistics
import time
import urllib.parse

ROUNDS = 3
EVENTS_PER_S = 'events/s'


def limits(bench):
    """What the machine does without our code; the figures after it stand beside these."""
    place = bench.fresh('limit')
    place.mkdir()
    found, _ = bench.tool('limit', place, min(bench.events, 100_000))
    return found


class Paths:
    """Whole commands, interleaved, so that a slow minute of the machine falls on all of them."""

    def __init__(self, bench):
        self.bench, self.file = bench, bench.synth(bench.events)
        self.source = f'replay:{self.file}'
        self.again = bench.fresh('again')
        self.times = {'file': [], 'journal': [], 'dump': []}
        self.memory = {'file': [], 'journal': [], 'dump': []}
        self.limits = []

    def once(self, what, *arguments):
        took, memory = self.bench.timed(*arguments)
        self.times[what].append(self.bench.events / took)
        self.memory[what].append(memory)

    def round(self):
        self.limits.append(limits(self.bench))
        self.once('file', *self.bench.arguments(self.source, self.bench.fresh('again'), '--until', 'end'))
        for file in self.again.glob('results.db*'):
            file.unlink()
        self.once('journal', *self.bench.arguments(self.source, self.again, '--until', 'end'))
        self.once('dump', 'journal', 'dump', '--data-dir', self.again)

    def limit(self, name):
        return statistics.median(found[name] for found in self.limits)

    def report(self):
        add = self.bench.add
        for name, what in (('memcpy', 'limit: memcpy of the events'), ('zstd', 'limit: zstd level 1 of them'),
                           ('zstd_two_threads', 'limit: the same, two threads at once'),
                           ('raw_write_fsync', 'limit: write + fdatasync a MiB'),
                           ('packed_write_fsync', 'limit: the same, packed'), ('sqlite_blobs', 'limit: packed blobs into SQLite')):
            add(what, EVENTS_PER_S, [found[f'{name}_per_s'] for found in self.limits])
        add('limit: rows into SQLite', 'rows/s', [found['sqlite_rows_per_s'] for found in self.limits])
        add('file -> journal -> 5 aggregations -> results', EVENTS_PER_S, self.times['file'], 100_000,
            limit=('packed blobs into SQLite', self.limit('sqlite_blobs_per_s')), memory_mb=max(self.memory['file']))
        add('the same: what two cores should give', EVENTS_PER_S, self.times['file'], 200_000)
        add('journal -> 5 aggregations -> results', EVENTS_PER_S, self.times['journal'], 400_000,
            limit=('memcpy', self.limit('memcpy_per_s')), memory_mb=max(self.memory['journal']))
        add('journal dump', EVENTS_PER_S, self.times['dump'], limit=('memcpy', self.limit('memcpy_per_s')),
            memory_mb=max(self.memory['dump']))


def paths(bench):
    all_paths = Paths(bench)
    for _ in range(ROUNDS):
        all_paths.round()
    all_paths.report()


# ---------------------------------------------------------------------------------------------------- over HTTP

def drain(url, count):
    """A client that does nothing: reads until `count` events have come -> seconds."""
    parts = urllib.parse.urlsplit(url)
    began = time.monotonic()
    seen, tail = 0, b''
    with socket.create_connection((parts.hostname, parts.port), 30) as connection:
        connection.sendall((f'GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: bench\r\n'
                            'Accept: text/event-stream\r\n\r\n').encode())
        while seen < count:
            piece = connection.recv(1 << 20)
            if not piece:
                raise SystemExit(f'bench: upstream ended after {seen} of {count} events')
            seen += (tail + piece).count(b'event: message\n')
            tail = piece[-14:]                          # a mark that is whole in it was counted, so one byte less than the mark
    return time.monotonic() - began


def upstream(bench):
    """A recording served by `wikitally upstream`, followed into journal and results; beside it what the server gives alone."""
    count = min(bench.events, 300_000)
    ours, alone, memory = [], [], []
    with bench.server('upstream', bench.synth(count), '--listen', '127.0.0.1:0', '--date-of-events') as (_, url):
        url += '?since=2000-01-01T00:00:00Z'
        for _ in range(ROUNDS):
            alone.append(count / drain(url, count))
            took, most = bench.timed(*bench.arguments(url, bench.fresh('followed'), '--until', count))
            ours.append(count / took)
            memory.append(most)
    bench.add('limit: upstream to a client that does nothing', EVENTS_PER_S, alone)
    bench.add('upstream over HTTP -> journal -> results', EVENTS_PER_S, ours, 120_000,
              limit=('upstream alone', statistics.median(alone)), memory_mb=max(memory))


# ---------------------------------------------------------------------------------------------------- one core, memory

def core(bench):
    """Without disk: decoding and five aggregations, and one room's part each."""
    scans, computes, copies, stores, rows = [], [], [], [], []
    for _ in range(ROUNDS):
        copies.append(limits(bench))
        scans.append(bench.tool('scan')[0])
        computes.append(bench.tool('compute')[0])
        for name, found in (('journal', stores), ('sink', rows)):
            place = bench.fresh(name)
            place.mkdir()
            found.append(bench.tool(name, place)[0])

    def of(found, key):
        return [one[key] for one in found]
    scan, copy = statistics.median(of(scans, 'events_per_second')), statistics.median(of(copies, 'memcpy_per_s'))
    bench.add('decode, one core', EVENTS_PER_S, of(scans, 'events_per_second'), limit=('memcpy', copy))
    bench.add('decode + identity + 5 aggregations, one core', EVENTS_PER_S, of(computes, 'all_per_s'), 600_000,
              limit=('decode alone', scan))
    bench.add('the same, and their rows made and sorted', EVENTS_PER_S, of(computes, 'all_rows_per_s'), limit=('decode alone', scan))
    bench.add('5 aggregations alone, one core', EVENTS_PER_S, of(computes, 'lanes_per_s'), limit=('memcpy', copy))
    bench.add('journal: append, durable', EVENTS_PER_S, of(stores, 'append_per_s'),
              limit=('the same bytes, plain file', statistics.median(of(stores, 'packed_write_fsync_per_s'))))
    bench.add('journal: read', EVENTS_PER_S, of(stores, 'read_per_s'), limit=('memcpy', copy))
    row_limit = ('inserts without our code', statistics.median(of(copies, 'sqlite_rows_per_s')))
    bench.add('sink: new rows, durable', 'rows/s', of(rows, 'new_rows_per_s'), limit=row_limit)
    bench.add('sink: changed rows, durable', 'rows/s', of(rows, 'changed_rows_per_s'), limit=row_limit)


# ---------------------------------------------------------------------------------------------------- growth

def sizes(bench):
    return [10_000, 100_000, 1_000_000] + ([10_000_000] if bench.long else [])


def growth(bench):
    """What an event costs as there are more of them, in processor time: from memory, and from a file to results without the
    start; memory beside each. How long that takes stands beside it: few events are over before both cores have something to
    do, so each of them takes longer, and costs no more."""
    rounds = 5
    empty = [path(bench, 16) for _ in range(rounds)]
    empty_s, empty_cpu_s = (statistics.median(one[at] for one in empty) for at in (0, 2))
    memory_costs, path_costs, path_times = [], [], []
    for count in sizes(bench):
        runs = rounds if count <= 100_000 else 2
        found = [bench.tool('compute', count) for _ in range(runs)]
        memory_costs.append(bench.add(f'cost per event from memory, {count:,} events', 'us',
                                      [1e6 / one['all_rows_per_s'] for one, _ in found], memory_mb=max(most for _, most in found)))
        took = [path(bench, count) for _ in range(runs)]
        path_costs.append(bench.add(f'cost per event file -> results, {count:,} events', 'us',
                                    [1e6 * max(cpu - empty_cpu_s, 1e-6) / count for _, _, cpu in took],
                                    memory_mb=max(most for _, most, _ in took)))
        path_times.append(bench.add(f'the same: time per event, {count:,} events', 'us',
                                    [1e6 * max(one - empty_s, 1e-6) / count for one, _, _ in took]))
    for name, costs in (('from memory', memory_costs), ('file -> results', path_costs)):
        bench.add(f'most / least cost per event, {name}', 'ratio', [max(costs) / min(costs)], 1.2, most=True)
    bench.add('most / least time per event, file -> results', 'ratio', [max(path_times) / min(path_times)])


def path(bench, count):
    """One run from a recording to results. Of ten million events that is a file of 14 GB: from a pipe each would cost more,
    because who writes into it wants the same two cores."""
    return bench.timed_cpu(*bench.arguments(f'replay:{bench.synth(count)}', bench.fresh('grown'), '--until', 'end'))


def keys(bench):
    """What a live key costs; a process of its own for each number of them."""
    for count in (1_000, 10_000, 100_000, 1_000_000):
        found = [bench.tool('keys', count) for _ in range(2)]
        last = count == 1_000_000
        bench.add(f'bytes per live key, {count:,} keys', 'bytes', [one['grown_bytes_per_key'] for one, _ in found],
                  120 if last else None, most=True, limit=('as the lane counts them', found[0][0]['bytes_per_key']),
                  memory_mb=max(most for _, most in found))
        bench.add(f'cost per event in a lane, {count:,} live keys', 'ns', [one['event_ns'] for one, _ in found])
