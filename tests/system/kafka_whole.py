"""All of it at once, on Kafka (I0 of the goal table; rows A1, A4, A10, B1, B2): one writes the journal, several share its partitions,
each has a results.db of its own; they are killed, stopped, silenced and taken over at random, and the broker goes and comes.

Then what is there is judged, record by record: the topic holds what the oracle admits, each once; the last record of each key of the
statistics is the oracle's row; so is each results.db; the ledgers balance; and a reader of what is committed, who read all the time,
never saw a row doubled or taken back. What was to happen and did not is a failure, too.

The run is a function of its Sizes: a short one stands here (`python3 -m unittest kafka_whole`), those of `make chaos-kafka` in
chaos_kafka.py. The seed decides what is done, the machine when. Not found by `test_*`: it takes longer than a test of every commit may."""
import collections
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

import kafka
import test_kafka
import test_kafka_groups as groups
import test_kafka_stats as stats
import wikitally
from kafka_proxy import PRODUCE

setUpModule = stats.setUpModule
FENCED = 82
EVENT_RATE = 100
SESSION = 6                                             # seconds; the broker takes no less
ENDING, QUIET = 30, 150                                 # seconds until one that is stopped has ended; until all is quiet again
RSS_MAX = 256 << 10                                     # KiB
KEEP = os.environ.get('WIKITALLY_KEEP')                 # a directory where all logs are kept
# Five commits a second: something is on its way at any time.
OFTEN = ('--set', 'journal.commit_every=200ms', '--set', 'task.commit_every=200ms')

# {what it is called: how a log says it}; a line each time
PROVOKED = {
    'partitions taken': r'stats: partition \d+ is ours',
    'partitions given back': r"stats: partition \d+ is another's$",
    'assignments lost': r"stats: partition \d+ is another's, lost",
    'commits fenced': r'warn task: stats: (?!.*trying again)(?!.*left to the next)',
    'commits found there': r'(the batch whose commit|the commit to ".*" that) seemed to fail is there',
    'writers fenced': r'another instance took topic ".*" over',
    'spool used': r'what comes waits in the data directory',
    'thrown out by ourselves': r'joined the group under our name.*; looking',
    'tried again': r'trying again',
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    events: int
    instances: int                                      # of tasks alone
    faults: dict                                        # {method of Whole: how often}
    pace: float                                         # seconds from one to the next, on average
    away: tuple = (0, 1.5)                              # seconds without a broker; its start takes some more
    expected: tuple = ()                                # what must have happened


SMALL = Sizes(events=100_000, instances=2, faults={'kill': 10, 'broker_killed': 2, 'broker_stopped': 1}, pace=1.3,
              expected=('killed ingester', 'killed tasks', 'killed all-in-one', 'broker killed', 'broker stopped', 'partitions taken', 'tried again'))


class Instance:
    """A data directory, and the process that is at work there, if one is."""

    def __init__(self, name, directory, role):
        self.name, self.directory, self.role = name, directory, role       # role: ingester, tasks or all-in-one
        self.process = None
        self.due = None                                 # when it comes (again)
        self.resume = None                              # when it may go on: it is silent
        self.leaving = None                             # until when it has to have ended: it was told to
        self.taken_over = False                         # it has to end: another one writes now
        self.started = self.spared = 0                  # spared: until then others suffer, if there are any
        self.stopper = None
        self.kills = 0

    def is_up(self):
        return self.process is not None and not (self.resume or self.leaving or self.taken_over)

    def is_settled(self):
        return not (self.due or self.resume or self.leaving or self.taken_over)


class Stopper:
    """Silences a process while it writes a transaction."""

    def __init__(self, stop):
        self.stop, self.lock = stop, threading.Lock()

    def handle(self, request):
        if request.api == PRODUCE:
            with self.lock:
                self.stop, stop = None, self.stop
                if stop:
                    stop()
        request.send()

    def disarm(self):
        with self.lock:
            self.stop = None


class Run(groups.OnGroups):
    sent = test_kafka.OnKafka.sent
    assert_topic, assert_labels = test_kafka.OnKafka.assert_topic, test_kafka.OnKafka.assert_labels

    def consume(self, topic):
        return kafka.consume(stats.broker.bootstrap, topic)

    def tearDown(self):
        super().tearDown()
        if stats.broker.process is not None:
            stats.broker.resume()
        if KEEP:
            for log in (*self.logs, stats.broker.log):
                shutil.copy(log, KEEP)

    # ------------------------------------------------------------------------------------------------------ who runs

    def prepare(self, sizes):
        self.counts, self.logs, self.holds, self.peak = collections.Counter(), [], [], 0
        self.sizes, self.topic = sizes, f'{self.name}-journal'
        self.broker_due = self.chased = None
        self.file = self.synth(sizes.events, self.random.randrange(1 << 30), event_rate=EVENT_RATE, late=0.01, duplicates=0.01, poison=0.0005,
                               canaries=True)
        seconds = 2 * sizes.pace * sum(sizes.faults.values()) + 15         # there must be something left to read at the end
        self.speed = sizes.events / EVENT_RATE / seconds
        self.writers = [self.instance(f'writer-{n}', 'ingester') for n in range(2)]
        self.tasks = [self.instance(f'tasks-{n}', 'tasks') for n in range(sizes.instances)]
        self.next_role = self.random.choice(('ingester', 'all-in-one'))

    def instance(self, name, role):
        directory = self.configure(name, brokers=stats.proxy.address, static_membership=self.random.random() < 0.6,
                                   properties=[f'session.timeout.ms={SESSION}000', 'heartbeat.interval.ms=1000'])
        return Instance(name, directory, role)

    def everybody(self):
        return (*self.writers, *self.tasks)

    def launch(self, one, role=None):
        """Who writes is an ingester and all-in-one by turns."""
        if one in self.writers and not role:
            one.role = self.next_role
            self.next_role = 'ingester' if one.role == 'all-in-one' else 'all-in-one'
        one.role = role or one.role
        roles = {'ingester': ('--roles', 'ingest'), 'tasks': ('--roles', 'tasks'), 'all-in-one': ()}[one.role]
        arguments = self.run_arguments(f'replay:{self.file}', *roles, *OFTEN, '--speed', self.speed, directory=one.directory, until=None)
        log = self.folder / f'{len(self.logs)}-{one.name}-{one.role}.log'
        with open(log, 'wb') as stderr:
            one.process = subprocess.Popen(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                           env=self.environment())
        one.process.log = log
        self.logs.append(log)
        self.addCleanup(self.end, one.process)
        one.started, one.due, one.resume = time.monotonic(), None, None

    def environment(self):
        return wikitally.environment()

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def gone(self, one, code):
        one.process.wait()
        self.assertEqual(one.process.returncode, code, f'{one.name}, {one.role}\n{self.log_of(one.process)[-4000:]}')
        one.process = one.leaving = None
        one.taken_over = False

    def weigh(self, one):
        with contextlib.suppress(OSError, TypeError):
            with open(f'/proc/{one.process.pid}/status', encoding='utf-8') as status:
                self.peak = max(self.peak, int(re.search(r'VmHWM:\s+(\d+)', status.read())[1]))

    def up(self, *among):
        """To whom something can be done; such to whom nothing is being done, if there are any."""
        now = time.monotonic()
        found = [one for one in among or self.everybody() if one.is_up()]
        return [one for one in found if one.spared < now] or found

    def look(self):
        """Who has ended, who comes again, who may go on: all that is due."""
        now = time.monotonic()
        for one in self.everybody():
            if one.process and one.process.poll() is not None:
                told = one.leaving
                self.gone(one, 0 if told else FENCED if one.taken_over else 'none: it was to stay')
                one.due = now + self.random.uniform(0, SESSION) if told else None
            if one.leaving and now > one.leaving:
                self.fail(f'{one.name} was told to end {ENDING} s ago\n{self.log_of(one.process)[-4000:]}')
            if one.resume and now > one.resume:
                self.go_on(one)
            if one.due and now > one.due:
                self.launch(one)
        if self.broker_due and now > self.broker_due:
            self.broker_due = None
            stats.broker.resume() if stats.broker.process else stats.broker.start()

    def go_on(self, one):
        if one.stopper:
            one.stopper.disarm()
        one.process.send_signal(signal.SIGCONT)
        one.resume, one.stopper, one.spared = None, None, time.monotonic() + 4

    # ------------------------------------------------------------------------------------------------ what goes wrong

    # Each of them returns whether it can be done now, and was.

    def kill(self):
        """At work or, now and then, as soon as it has come again."""
        chased, self.chased = self.chased, None
        if chased and (chased.due or not chased.is_up()):
            self.chased = chased if chased.due else None
            return False
        fewer = sorted((self.writers, self.tasks), key=lambda some: (sum(one.kills for one in some), self.random.random()))[0]
        found = [chased] if chased else self.up(*fewer)
        if not found:
            return False
        one = self.random.choice(found)
        self.weigh(one)
        one.process.kill()
        self.gone(one, -signal.SIGKILL)
        one.kills += 1
        self.counts[f'killed {one.role}'] += 1
        self.counts['killed in a start'] += time.monotonic() - one.started < 1.5
        self.chased = one if self.random.random() < 0.3 else None
        one.due = time.monotonic() + (0 if self.chased else self.random.uniform(0, 1.5))
        return True

    def leave(self):
        """In order; it comes again."""
        found = [one for one in self.up() if 'info journal: topic' in self.log_of(one.process)]     # before that a signal just ends it
        if found:
            one = self.random.choice(found)
            self.weigh(one)
            one.process.send_signal(signal.SIGTERM)
            one.leaving = time.monotonic() + ENDING
            self.counts['left'] += 1
        return bool(found)

    def silence(self):
        """Longer than its session, with a transaction on its way or at any other time."""
        found = self.up(*self.tasks)
        if not found:
            return False
        one = self.random.choice(found)
        if self.id_of(one) and self.random.random() < 0.7:
            one.stopper = stats.holds[self.id_of(one)] = Stopper(lambda process=one.process: self.stop_now(process))
        else:
            self.stop_now(one.process)
        one.resume = time.monotonic() + self.random.uniform(SESSION + 1, SESSION + 5)
        return True

    def stop_now(self, process):
        process.send_signal(signal.SIGSTOP)
        self.counts['silenced'] += 1

    def id_of(self, one):
        """Its transactional.id."""
        if one.role == 'ingester':
            return f'wikitally.{self.topic}'.encode()
        file = one.directory / 'instance'
        return f'wikitally.stats.{self.name}.state.{file.read_text().strip()}'.encode() if file.exists() else None

    def unanswer(self):
        """The answers to its commits are lost until it has thrown its producer away."""
        found = [one for one in self.up() if self.id_of(one)]
        if found:
            one = self.random.choice(found)
            hold = stats.holds[self.id_of(one)] = stats.Hold('answers', '', 1)
            self.holds.append(hold)
            one.spared = time.monotonic() + 18
            self.counts['unanswered'] += 1
        return bool(found)

    def take_over(self, silent=False):
        """A second one writes; the first ends by itself, or when it goes on."""
        one = next((one for one in self.up(*self.writers) if 'run: data directory' in self.log_of(one.process)), None)   # it has claimed it
        other = next((other for other in self.writers if not other.process and not other.due), None)
        if not one or not other or stats.broker.process is None or self.broker_due:
            return False
        if silent:
            self.stop_now(one.process)
            one.resume = time.monotonic() + self.random.uniform(3, SESSION + 4)
        one.taken_over = True
        self.launch(other)
        other.spared = time.monotonic() + 3
        self.counts['taken over from a silent one' if silent else 'taken over'] += 1
        return True

    def take_over_from_silent(self):
        return self.take_over(True)

    def broker_killed(self):
        return self.broker_away('kill', 'broker killed')

    def broker_stopped(self):
        return self.broker_away('stop', 'broker stopped')

    def broker_silent(self):
        """Longer than an append may take: nobody knows what became of it."""
        return self.broker_away('pause', 'broker silent', (8, 11))

    def broker_away(self, how, name, away=None):
        if self.broker_due:
            return False
        getattr(stats.broker, how)()
        self.broker_due = time.monotonic() + self.random.uniform(*(away or self.sizes.away))
        self.counts[name] += 1
        return True

    # ------------------------------------------------------------------------------------------------------- the run

    def go_through(self, sizes):
        self.prepare(sizes)
        with self.reading() as readers:
            self.launch(self.writers[0])
            self.wait_for(lambda: self.writers[0].process.poll() is not None or self.journalled(), 60, 'the journal')
            for one in self.tasks:
                self.launch(one)
            self.suffer()
            self.finish_all()
            self.counts['looks of a reader'] = readers[self.name].waves
        self.count_provoked()
        self.print_counts()
        self.judge_all()
        missing = [name for name in sizes.expected if not self.counts[name]]
        self.assertEqual(missing, [], 'never happened, so nothing is proven of it')

    def suffer(self):
        faults = [fault for fault, count in self.sizes.faults.items() for _ in range(count)]
        self.random.shuffle(faults)
        began, due = time.monotonic(), time.monotonic() + self.sizes.pace
        while faults:
            self.look()
            if time.monotonic() > due:
                done = next((n for n, fault in enumerate(faults) if (fault == 'kill' or not self.chased) and getattr(self, fault)()), None)
                if done is not None:
                    faults.pop(done)
                    due = time.monotonic() + (self.random.uniform(0, 1) if self.chased else self.random.uniform(0, 2 * self.sizes.pace))
            time.sleep(0.02)
        self.seconds = time.monotonic() - began

    def finish_all(self):
        """All is quiet; the rest is read; all of it is counted, by everybody; everybody stops."""
        def quiet():
            self.look()
            return not self.broker_due and all(one.is_settled() for one in self.everybody())
        self.wait_for(quiet, QUIET, lambda: f'quiet\n{self.tails()}')
        self.assertLess(self.journalled(), self.sizes.events, 'nothing is left to read: it was too fast')
        writer = next(one for one in self.writers if one.process)
        self.weigh(writer)
        self.stop(writer.process, timeout=ENDING)
        self.follow(f'replay:{self.file}', '--roles', 'ingest', directory=writer.directory)
        writer.process = None
        for one in self.writers:
            if one.directory.exists():
                self.launch(one, 'tasks')
        last = {r.partition: r.offset for r in self.consume(self.topic)}
        self.wait_for(lambda: all(position > last[at] for (_, _, at), position in self.lines().items()), QUIET,
                      lambda: f'all rows\n{self.tails()}', 0.5)
        working = [one for one in self.everybody() if one.process]
        for one in working:
            self.wait_for(lambda one=one: one.process.poll() is not None or self.has_all(one, last), QUIET, lambda: f'all rows\n{self.tails()}', 0.2)
            self.weigh(one)
        for one in working:
            one.process.send_signal(signal.SIGTERM)
        self.wait_for(lambda: all(one.process.poll() is not None for one in working), ENDING, lambda: f'that all end\n{self.tails()}')
        for one in working:
            self.gone(one, 0)

    def has_all(self, one, last):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(
                sqlite3.connect(f'file:{one.directory}/results.db?mode=ro', uri=True, timeout=10)) as db:
            found = dict(db.execute('select partition, min(position) from wt_lines group by partition'))
            return all(found.get(partition, 0) > offset for partition, offset in last.items())
        return False

    def tails(self):
        return ''.join(f'--- {one.name}, {one.role}\n{self.log_of(one.process)[-2000:]}' for one in self.everybody() if one.process)

    def count_provoked(self):
        for log in self.logs:
            for line in log.read_text(errors='replace').splitlines():
                for name, pattern in PROVOKED.items():
                    self.counts[name] += bool(re.search(pattern, line))
        self.counts['answers lost'] = sum(hold.lost for hold in self.holds)

    def print_counts(self):
        print(f'{self.sizes.events} events, {self.seconds:.0f} s of faults, at most {self.peak >> 10} MiB each: '
              f'{", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))}', flush=True)

    # ------------------------------------------------------------------------------------------------------ the judge

    def judge_all(self):
        directories = [one.directory for one in self.everybody() if (one.directory / 'results.db').exists()]
        records = self.assert_topic(self.file, self.topic)
        journal = self.write_journal(records)
        found, replaced = self.judge(directories[0])
        rows = self.assert_rows(journal=journal, directory=directories[0])
        self.assert_ledger(journal=journal, directory=directories[0])
        shown, ledger = self.results_file(directory=directories[0]).read_bytes(), self.tsv('ledger', directory=directories[0])
        for directory in directories:
            self.assertTrue(self.results_file(directory=directory).read_bytes() == shown, f'other rows in {directory.name}')
            self.assertEqual(self.tsv('ledger', directory=directory), ledger, directory.name)
            done = self.wikitally('ledger', '--check', '--data-dir', directory)
            self.assertRegex(done.out, r'^balanced: .*; 0 in flight\n$')
        self.assertEqual(self.source_ledger(directories[0])['journalled'], len(records))
        self.assertLess(self.peak, RSS_MAX, 'KiB of one process')
        print(f'{len(records)} records, lost 0, doubled 0; {rows} rows in each of {len(directories)} results.db and '
              f'{sum(map(len, found.values()))} in topics as the oracle has them, {replaced} records of these replaced', flush=True)

    def write_journal(self, records):
        """The topic for the oracle, as `journal dump` has it."""
        file = self.folder / 'topic.ndjson'
        with open(file, 'wb') as out:
            for r in records:
                out.write(b'{"partition":%d,"offset":%d,"arrival_ms":%d,"value":%b}\n' % (r.partition, r.offset, r.timestamp, r.value))
        return file


class Whole(Run):
    def test_I0_A1_B1_all_of_it_at_once(self):
        self.random = wikitally.seed('all of it at once')
        self.go_through(SMALL)


if __name__ == '__main__':
    unittest.main()
