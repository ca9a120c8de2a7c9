"""What the journal on Kafka costs, beside what librdkafka alone does with the same topic on the same broker. The part "kafka" of
tools/bench, with a broker of its own (tests/system/kafka.py); KAFKA_EVENTS of them (2,000,000).

The five aggregations of the bar are what engines are compared by: counts by the minute, by user, wiki, type, bot, namespace. The
five that are built in have one by title among them, which is nearly a row for each event, so that their cost is the database's.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

from measure import PROGRAM, ROOT, Memory, environment

sys.path.insert(0, str(ROOT / 'tests/system'))
import kafka                                            # noqa: E402  (after the path)

EVENTS = int(os.environ.get('KAFKA_EVENTS') or 2_000_000)
ROUNDS = 3
PER_CPU_S, PER_S = 'events/CPU-s', 'events/s'
BUILT_IN = ('user_edit_counts', 'bots', 'website', 'timeseries', 'titles')
FIVE = {f'by_{field}': f'{{keys: [{field}], measures: [count], size: 1m}}' for field in ('user', 'wiki', 'type', 'bot', 'namespace')}
# Of the made-up changes, 45 a second, nearly each has a title of its own: a minute's windows have 2,700, and 38 of them are open.
MANY_KEYS = {**FIVE, 'by_user': '{keys: [wiki, title], measures: [count], size: 1m, delay: 2m, lateness: 36m}'}
SHARED_PARTITIONS = False                               # can several instances share the partitions of a topic?


def settings(broker, topic, partitions=1):
    return ('--set', 'journal.kind=kafka', '--set', f'kafka.brokers={broker.bootstrap}', '--set', f'journal.topic={topic}',
            '--set', f'journal.partitions={partitions}', '--set', 'journal.retention_age=3660d')


def declared(bench, name, aggregations):
    """A configuration with these aggregations and no others."""
    file = bench.folder / f'{name}.yaml'
    lines = [f'  {one}: {{enabled: false}}' for one in BUILT_IN] + [f'  {one}: {text}' for one, text in aggregations.items()]
    file.write_text('\n'.join(['aggregations:', *lines, '']))
    return ('--config', file)


class Task:
    """`run --roles tasks` on a whole topic: told to end when most of it is done, it ends with all of it done."""

    def __init__(self, bench, directory, *more):
        self.directory, self.threads, self.began = directory, {}, time.monotonic()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(list(map(str, [PROGRAM, 'run', '--roles', 'tasks', '--data-dir', directory, '--listen', 'none',
                                                       *more])), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.log, env=environment())
        self.memory = Memory(self.process.pid)

    def select(self, query):
        """What is stored; [] while there is nothing."""
        with contextlib.suppress(sqlite3.Error), \
                contextlib.closing(sqlite3.connect(f'file:{self.directory}/results.db?mode=ro', uri=True)) as database:
            return database.execute(query).fetchall()
        return []

    def records(self):
        """That stand in the ledger, by aggregation."""
        return dict(self.select('SELECT aggregation, sum(count) FROM wt_ledger WHERE side = 0 GROUP BY 1'))

    def look_at_threads(self):
        """{name of thread: seconds}; the last look stands for the run."""
        with contextlib.suppress(OSError):
            for thread in pathlib.Path(f'/proc/{self.process.pid}/task').iterdir():
                name, fields = (thread / 'stat').read_text().split('(', 1)[1].rsplit(')', 1)
                fields = fields.split()
                self.threads[thread.name] = (name, (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'))

    def has_ended(self):
        """Without taking what wait4 is to tell."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def is_past(self, ends, share):
        """Is this share of the offsets stored?"""
        lines = self.select('SELECT partition, position FROM wt_lines')
        return {p for p, _ in lines} == set(ends) and sum(at for _, at in lines) >= share * sum(ends[p] for p, _ in lines)

    def end(self, ends, records=EVENTS):
        told = False
        while not self.has_ended():
            if not told and self.is_past(ends, 0.6):
                os.kill(self.process.pid, signal.SIGTERM)
                told = True
            self.look_at_threads()
            time.sleep(0.02)
        _, status, used = os.wait4(self.process.pid, 0)
        self.took_s, self.cpu_s = time.monotonic() - self.began, used.ru_utime + used.ru_stime
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0 or set(self.records().values()) != {records}:
            raise SystemExit(f'bench: run --roles tasks: {self.process.returncode}, {self.records()} of {records}\n'
                             f'{os.pread(self.log.fileno(), 1 << 20, 0)[-2000:].decode(errors="replace")}')
        return self

    def rows(self):
        return sum(self.select(f'SELECT count(*) FROM "{name}_rows"')[0][0] for name, in self.select('SELECT name FROM wt_aggregations'))

    def library_share(self):
        seconds = list(self.threads.values())
        return sum(s for name, s in seconds if name.startswith('rdk:')) / max(sum(s for _, s in seconds), 0.01)


class Kafka:
    def __init__(self, bench, broker):
        self.bench, self.broker = bench, broker
        self.file = bench.synth(EVENTS)

    def ingest(self, topic, partitions=1):
        """Our writer at full speed, from a recording -> (seconds, most memory, CPU seconds)."""
        directory = self.bench.fresh(f'ingest-{topic}')
        arguments = ('run', '--roles', 'ingest', '--source', f'replay:{self.file}', '--until', 'end', '--data-dir', directory, '--listen', 'none')
        return self.bench.timed_cpu(*arguments, *settings(self.broker, topic, partitions))

    def bare(self, *arguments):
        """-> what it found, with the CPU seconds that it took."""
        before = os.times()
        found, memory = self.bench.tool('kafka', arguments[0], self.broker.bootstrap, *arguments[1:])
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return {**found, 'cpu_s': cpu_s, 'memory_mb': memory}

    def drop(self, topic):
        for name in (topic, f'{topic}.state', f'{topic}.dead'):
            with contextlib.suppress(kafka.KafkaError):
                kafka.delete_topic(self.broker.bootstrap, name)

    def task(self, name, topic, partitions, *more):
        """A fresh directory; the whole topic."""
        directory = self.bench.fresh(name)
        os.sync()
        return Task(self.bench, directory, *settings(self.broker, topic, partitions), *more)

    # ----------------------------------------------------------------------------------------------- writing

    def write(self):
        """Ours and a bare one by turns, each into a topic of its own."""
        ours, bare, cpu, bare_cpu = [], [], [], []
        for number in range(ROUNDS):
            took, memory, cpu_s = self.ingest(f'ours-{number}')
            kafka.topics_create(self.broker.bootstrap, f'bare-{number}', config={'retention.ms': -1})
            found = self.bare('produce', f'bare-{number}', self.file)
            ours.append(EVENTS / took)
            cpu.append(EVENTS / cpu_s)
            bare.append(found['events'] / found['seconds'])
            bare_cpu.append(found['events'] / found['cpu_s'])
            self.drop(f'ours-{number}')
            self.drop(f'bare-{number}')
        limit = statistics.median(bare)
        self.bench.add('limit: a bare transactional producer', PER_S, bare)
        self.bench.add('file -> admission -> Kafka', PER_S, ours, limit=('bare producer', limit), memory_mb=memory)
        self.bench.add('the same, share of the bare one', 'ratio', [one / limit for one in ours], 0.8)
        self.bench.add('the same, for each second of processor', PER_CPU_S, cpu, limit=('bare producer', statistics.median(bare_cpu)))

    # ----------------------------------------------------------------------------------------------- reading

    def read(self):
        topic = 'journal'
        self.ingest(topic)
        ends = kafka.end_offsets(self.broker.bootstrap, topic)
        five, built_in, bare = [], [], []
        for _ in range(ROUNDS):
            bare.append(self.bare('consume', topic))
            five.append(self.task('five', topic, 1, *declared(self.bench, 'five', FIVE)).end(ends))
            built_in.append(self.task('built-in', topic, 1).end(ends))
        if {found['events'] for found in bare} != {EVENTS}:
            raise SystemExit(f'bench: {EVENTS} records were written, and {bare} were found')
        limit = statistics.median(EVENTS / one['seconds'] for one in bare)
        limit_cpu = statistics.median(EVENTS / one['cpu_s'] for one in bare)
        self.bench.add('limit: a bare consumer that counts bytes', PER_S, [EVENTS / one['seconds'] for one in bare],
                       memory_mb=max(one['memory_mb'] for one in bare))
        self.report('five counts a minute', five, limit, limit_cpu, 400_000)
        self.report('the five that are built in', built_in, limit, limit_cpu)
        self.keys(topic, ends)
        self.drop(topic)

    def report(self, name, tasks, limit, limit_cpu, bar=None):
        add, what = self.bench.add, f'Kafka -> {name} -> results'
        add(f'{what}, CPU', PER_CPU_S, [EVENTS / one.cpu_s for one in tasks], bar, limit=('bare consumer', limit_cpu))
        if bar:
            add('the same: what it should be', PER_CPU_S, [EVENTS / one.cpu_s for one in tasks], 500_000)
        add(what, PER_S, [EVENTS / one.took_s for one in tasks], limit=('bare consumer', limit),
            memory_mb=max(one.memory.most_mb() for one in tasks))
        if bar:
            add('the same, share of the bare one', 'ratio', [EVENTS / one.took_s / limit for one in tasks], 0.5)
        add("the same, librdkafka's threads", '% of CPU', [100 * one.library_share() for one in tasks])
        add('the same, rows', 'rows', [tasks[-1].rows()])

    def keys(self, topic, ends):
        """What it holds while it reads all of it, with about 100,000 keys in windows that may still change."""
        tasks = [self.task('keys', topic, 1, *declared(self.bench, 'keys', MANY_KEYS)).end(ends) for _ in range(2)]
        live = 'unixepoch(window_end) > (SELECT max(now_stream_us) / 1000000 FROM wt_lines) - 38 * 60'
        found = tasks[-1].select(f'SELECT count(*) FROM by_user_rows WHERE {live}')
        self.bench.add('keys that may still change at the end of the next', 'keys', [found[0][0]])
        self.bench.add('memory with 100,000 live keys, at most', 'MB', [one.memory.most_mb() for one in tasks], 64, most=True)

    # ----------------------------------------------------------------------------------------------- scaling

    def scale(self):
        """CPU seconds an event: four partitions, one instance; then four that share them."""
        topic = 'four'
        self.ingest(topic, 4)
        ends = kafka.end_offsets(self.broker.bootstrap, topic)
        one = [self.instances(topic, ends, 1) for _ in range(ROUNDS)]
        self.bench.add('4 partitions, one instance: CPU an event', 'us', [1e6 * cpu_s / EVENTS for cpu_s in one])
        if not SHARED_PARTITIONS:
            self.bench.absent('4 partitions, 4 instances / one: CPU an event', 'ratio', 1.15, most=True)
            return
        four = [self.instances(topic, ends, 4) for _ in range(ROUNDS)]
        self.bench.add('4 partitions, 4 instances / one: CPU an event', 'ratio', [cpu_s / statistics.median(one) for cpu_s in four],
                       1.15, most=True)

    def instances(self, topic, ends, count):
        """-> CPU seconds of all. Several will have a share each of `ends` and of the records."""
        tasks = [self.task(f'instance-{n}', topic, 4, *declared(self.bench, 'five', FIVE)) for n in range(count)]
        return sum(task.end(ends).cpu_s for task in tasks)


def path(bench):
    print(f'{EVENTS:,} events; load {os.getloadavg()[0]:.1f}; five counts a minute: {", ".join(name[3:] for name in FIVE)}; '
          f'built in: {", ".join(BUILT_IN)}', flush=True)
    folder = bench.folder / 'kafka'
    with kafka.Broker(folder, heap='768m') as broker:
        kafka_ = Kafka(bench, broker)
        kafka_.write()
        kafka_.read()
        kafka_.scale()
    shutil.rmtree(folder, ignore_errors=True)
    print(f'load {os.getloadavg()[0]:.1f} now', flush=True)
