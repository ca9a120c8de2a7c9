#!/usr/bin/env python3
"""The task of src/app against tests/oracle/recovery_model.py (R5-R12, R15).

    test_recovery.py TASK_SIM [--runs 150] [--seed N] [--sqlite] [--teeth]

Every step of a schedule (appends, reads at uneven speed, commits, crashes before and after the commit, zombies,
retention, lost batches, a cut tail, new partitions, changed definitions, a replaced journal) is done twice: by the
model, which compares itself with oracle.Windows after every commit, and by task_sim, a process with the real task, lanes
and sink. Then both must have done the same: refused or accepted, generations begun where and why, and of each commit the
line (with both time states and the gaps), the rows, the ledger, torn spans, marks, the switch of readers; and what the
sink holds and shows afterwards. So what the model proves of itself holds for the program.

With --teeth each clause of the model's RULES that the program has is taken away (WIKITALLY_FAULTS) and its own schedule,
in which the program passes, must fail. Clauses that do not apply: `start`, `unfinished` (only from_next_window, which is
not built, begins in the middle of a journal); `boundary` (a generation has one first_window_us for all partitions: the
other cannot be written down); `intent` (only for sinks without transactions).
"""
import argparse
import collections
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'oracle'))
sys.dont_write_bytecode = True
import recovery_model as model  # noqa: E402
from recovery_model import Failure, check  # noqa: E402

SECOND, NONE = 1_000_000, -2**63
KEEP = 32 * 86400
model.FOLD = KEEP                                       # the program's 32 days, not the model's shortened ones
ALL, EVER = -2**63, 2**63 - 1


class Sim:
    """The process."""

    def __init__(self, program, faults='', sqlite=False):
        environment = dict(os.environ) | ({'WIKITALLY_FAULTS': faults} if faults else {})
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding='utf-8', env=environment)
        self.sqlite, self.directory = sqlite, None

    def ask(self, *words):
        """-> lines of the answer, as lists of words"""
        self.process.stdin.write('\t'.join('-' if w is None else str(w) for w in words) + '\n')
        self.process.stdin.flush()
        answer = []
        for line in self.process.stdout:
            if line == '.\n':
                return answer
            answer.append(line[:-1].split('\t'))
        raise Failure(f'the program ended while it did {words[0]}: {answer[-1:]}')

    def fresh(self):
        self.ask('reset')
        if self.sqlite:
            self.forget()
            base = '/dev/shm' if os.path.isdir('/dev/shm') else None
            self.directory = tempfile.mkdtemp(prefix='wikitally-sim-', dir=base)
            self.ask('sqlite', self.directory)

    def forget(self):
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.forget()
        return self.process.returncode


def us(seconds):
    return None if seconds is None else seconds * SECOND


def seconds(text, none=NONE):
    value = int(text)
    if value == none:
        return None
    check(value % SECOND == 0, 'not a whole second:', value)
    return value // SECOND


def first_window(text):
    return model.NEVER if int(text) == ALL else int(text) // SECOND


def time_of(words):
    now, seen, topic = words
    return model.Time(seconds(now), seen == '1', None if topic == '-' else topic[1:])


def minute_of(text):
    return {ALL: None, ALL + 1: 'older', EVER: 'ahead'}.get(int(text), int(text))


def row_of(words):
    """start key epoch revision final closed_by count total pages -> ((start, key), Row)"""
    start, key, epoch, revision, final, closed_by, *values = words
    closed = None if closed_by == '-1' else int(closed_by)
    return (int(start) // SECOND, key), model.Row((int(epoch), int(revision)), final == '1', *map(int, values), closed)


class World(model.World):
    """The model's world with one instance, and the process beside it."""
    sim = None                                          # set by run()

    def __init__(self, rng, definitions, partitions=2, instances=2, atomic=True, arrivals=True):
        super().__init__(rng, definitions, partitions, 1, True, arrivals)
        self.sim.fresh()
        self.now += 10_000_000                          # so that times 32 days ago are times
        self.numbers, self.tasks, self.identities, self.refusals = 0, 0, {}, 0
        self.accepted_now = []
        self.journal.number = self.number()
        self.sim.ask('journal', self.journal.number, 'journal1', 0, partitions)
        first = model.Instance(self.config, self.journal)       # the model begins with its generations made
        begun = self.start(first, False, False)
        check([a[:3] for a in begun] == [['begin', name, '0'] for name in self.config], 'the first start:', begun)
        for name, answer in zip(self.config, begun):
            self.same_generation(name, self.sink.generations[name][0], answer[3:])
        self.sim.ask('kill', first.task)

    # from_next_window is not built
    mode = property(lambda self: 'rebuild', lambda self, value: None)

    def number(self):
        self.numbers += 1
        return self.numbers - 1

    # -- the journal's side

    def append(self, p, *values):
        size = len(self.journal.all[p])
        super().append(p, *values)
        for record in self.journal.all[p][size:]:
            text = f'broken {record.id}'
            if record.value is not None:
                text = json.dumps(record.value | {'number': record.id}, separators=(',', ':'))
            answer = self.sim.ask('append', self.journal.number, p, us(record.arrival), text)
            self.identities[int(answer[0][1])] = record.id

    def retain(self, p, upto=None):
        if upto is None and all(g[-1].journal.id == self.journal.id for g in self.sink.generations.values()):
            self.check_keep(p)
        super().retain(p, upto)
        self.sim.ask('head', self.journal.number, p, self.journal.head[p])

    def check_keep(self, p):
        instance = self.instances[0]
        if not instance.lanes or any(l.version != self.sink.version[l.name, l.g, l.p] for l in instance.lanes.values()):
            return
        lanes = [l for l in instance.lanes.values() if l.p == p]
        if lanes and len(lanes) == len(self.config):
            keep = min(min(l.line.replay_from, max(0, l.line.position - 1)) for l in lanes)
            got = int(self.sim.ask('state', instance.task, 0, p)[0][4])
            check(got == keep, f'p{p}: retention may go to {got}, not {keep}')

    def repair(self, p, a, b):
        super().repair(p, a, b)
        self.sim.ask('lose', self.journal.number, p, a, b)

    def cut(self, p, end):
        old = self.journal.number
        super().cut(p, end)
        self.journal.number = self.number()
        self.sim.ask('copy', old, self.journal.number, p, end)

    def replace(self):
        super().replace()
        self.journal.number = self.number()
        self.sim.ask('journal', self.journal.number, f'journal{self.journal.id}', us(self.now), len(self.journal.all))

    def add_partition(self):
        super().add_partition()
        self.sim.ask('partitions', self.journal.number, len(self.journal.all))

    # -- starting

    def words_of(self, name, d):
        return ' '.join(map(str, (name, d.time_field, d.size, d.slide, d.delay, d.lateness, d.skew,
                                  d.where.replace('=', ':') if d.where else '-', ','.join(d.fields), d.max_keys or 0)))

    def start(self, instance, adopt, rebuild):
        """A new task in the process -> what it said."""
        if getattr(instance, 'task', None) is not None:
            self.sim.ask('kill', instance.task)
        instance.task = self.tasks % 256
        self.tasks += 1
        self.sim.ask('kill', instance.task)
        return self.sim.ask('task', instance.task, self.journal.number, int(adopt), int(rebuild),
                            *(self.words_of(name, d) for name, d in self.config.items()))

    def start_refused(self, what, *options):
        instance = model.Instance(self.config, self.journal)
        answer = self.start(instance, *options)
        self.sim.ask('kill', instance.task)
        check(answer and answer[-1][0] == 'error' and answer[-1][2] == '78', what, 'was not refused:', answer)
        check(not any(a[0] == 'begin' for a in answer), what, 'was refused, but not before', answer)
        self.refusals += 1
        return answer[-1][3]

    def load(self, instance, p):
        """All partitions at once: that is what a start of the program is."""
        fresh = not instance.lanes
        parts = [q for q in range(len(self.journal.all)) if fresh or not any(l.p == q for l in instance.lanes.values())]
        if not parts:
            return
        if not fresh:                                   # a partition was added: the program takes it up when it reads
            for q in [q for q in parts if q <= p]:
                super().load(instance, q)
            return
        self.sim.ask('clock', us(self.now))
        before = {name: len(generations) for name, generations in self.sink.generations.items()}
        same = all(self.same_journal(name, q) for name in self.config for q in range(len(self.journal.all)))
        changed = [name for name, d in self.config.items() if self.sink.generations[name][-1].d != d]
        if not same:
            text = self.start_refused('another journal', False, True)
            check('journal' in text, text)
        elif changed:
            text = self.start_refused('a changed definition', False, False)
            check(any(f'"{name}"' in text for name in changed), text)
        for q in parts:
            super().load(instance, q)
        answer = self.start(instance, not same or self.went_back(changed), True)
        check(not any(a[0] == 'error' for a in answer), 'a start was refused:', answer)
        begun = {(a[1], int(a[2])): a[3:] for a in answer if a[0] == 'begin'}
        for name, generations in self.sink.generations.items():
            for generation in generations[before[name]:]:
                self.same_generation(name, generation, begun.pop((name, generation.number), None))
        check(not begun, 'generations begun:', begun)
        instance.shown = dict(self.sink.shown)
        self.check_lanes(instance)

    def went_back(self, changed):
        """R15: the hash of an earlier generation is refused without --adopt."""
        return any(any(g.d == self.config[name] for g in self.sink.generations[name][:-2]) for name in changed)

    def same_generation(self, name, g, got):
        check(got is not None, f'{name}: generation {g.number} was not begun')
        journal, epoch, base, first, show, *begins = got
        want = (f'journal{g.journal.id}', g.epoch, -1 if g.base is None else g.base, g.first_windows[None],
                int(g.base is None))
        have = (journal, int(epoch), int(base), first_window(first), int(show))
        check(want == have, f'{name} g{g.number}: begun as {have}, not {want}')
        if g.base is None:
            return                                      # the first one: the model has no begins for it
        for p, text in enumerate(begins):
            position, has_last, arrival, target = map(int, text.split(','))
            at, last, arrived = g.begins.get(p, (0, None, None))
            have = position, bool(has_last), None if arrival == NONE else arrival // SECOND, target
            check(have == (at, last is not None, arrived, g.targets[p]), f'{name} g{g.number} p{p} begins at {have}')

    def check_lanes(self, instance, parts=None):
        for i, name in enumerate(instance.definitions):
            for p in range(len(self.journal.all)) if parts is None else parts:
                lane = instance.lanes[name, p]
                next_, position, _, keep, _ = map(int, self.sim.ask('state', instance.task, i, p)[0][1:])
                check((next_, position) == (lane.next, lane.line.position),
                      f'{name} p{p} stands at {next_} with position {position}, not {lane.next}, {lane.line.position}')

    # -- reading and committing

    def read(self, p, records=1, instance=None):
        owner = instance or self.instances[0]
        if instance and (owner.journal is not self.journal or not owner.lanes):
            return False
        if not any(lane.p == p for lane in owner.lanes.values()):
            self.load(owner, p)
        before = min((lane.next for lane in owner.lanes.values() if lane.p == p), default=None)
        read = 0
        while read < records and owner.read(p):
            read += 1
        self.say(f'p{p} read:', *(f'{l.name} to {l.next}' for l in owner.lanes.values() if l.p == p))
        if before is not None:
            answer = self.sim.ask('read', owner.task, p, records)
            if records <= 5:
                check(answer[-1] == ['read', str(read)], f'p{p}: {answer} records were read, not {read}')
            else:                                       # its pages also hold records that a loss of state then skips
                self.read_up(owner, p, records)
            self.check_lanes(owner, [p])
        return read > 0

    def read_up(self, owner, p, records):
        """The program reads on to where the model stands."""
        lanes = [(i, owner.lanes[name, p].next) for i, name in enumerate(owner.definitions)]
        for _ in range(records):
            if all(int(self.sim.ask('state', owner.task, i, p)[0][1]) >= next_ for i, next_ in lanes):
                break
            self.sim.ask('read', owner.task, p, 1)

    def commit(self, instance, crash_at=None):
        if not instance.lanes:
            return
        self.accepted_now, self.caught_up, self.committing = [], {}, instance
        lanes = [l for l in instance.lanes.values() if l.next > l.line.position]
        self.sim.ask('clock', us(self.now))
        had = {(l.name, l.p): (dict(l.pending), +l.ledger, list(l.torn), list(l.marks)) for l in lanes}
        super().commit(instance, crash_at)
        for lane in self.accepted_now:
            self.sink.version[lane.name, lane.g, lane.p] += 1
            lane.version = self.sink.version[lane.name, lane.g, lane.p]
        if crash_at == 0:                               # before anything was stored
            instance.lanes.clear()
            return
        answer = self.sim.ask('commit', instance.task)
        refused = any(a[0] == 'error' for a in answer)
        if lanes and not self.accepted_now:
            check(refused and answer[-1][2] == '82', 'a commit of a stale owner was not refused:', answer)
            instance.lanes.clear()
            return
        check(not refused, 'a commit was refused:', answer)
        self.same_commit({(l.name, l.g, l.p): (l, had[l.name, l.p]) for l in self.accepted_now}, answer, instance.shown)
        self.same_sink({l.name for l in self.accepted_now})

    def accepted(self, lane, old, line):
        shown = self.sink.shown[lane.name]
        super().accepted(lane, old, line)
        self.caught_up[lane.name] = self.has_caught_up(lane.name)
        if not self.caught_up[lane.name]:
            self.sink.shown[lane.name] = shown
        self.accepted_now.append(lane)
        lane.new = line

    def has_caught_up(self, name):
        """The model's sink switches readers by the lines that it holds and the journal that there is now, the program by
        those that its task knows: one that was taken over may lack the news of a partition, or still reads the journal
        that was replaced, and leaves the switch to the owner's next commit."""
        latest, lanes, journal = self.sink.generations[name][-1], self.committing.lanes, self.committing.journal
        return all(max(lanes[name, q].next, lanes[name, q].line.position) >= min(end, len(journal.all[q]))
                   for q, end in latest.targets.items())

    def same_commit(self, want, answer, shown):
        """shown: the generations that this task knows readers to see. One that lost a partition to another task may
        not have heard of the switch, and says it once more."""
        got = collections.defaultdict(lambda: (None, {}, collections.Counter(), [], []))
        for kind, *words in answer:
            if kind not in ('lane', 'row', 'tally', 'torn', 'mark'):
                continue
            key, rest = (words[0], int(words[1]), int(words[2])), words[3:]
            line, rows, tally, torn, marks = got[key]
            if kind == 'lane':
                got[key] = (rest, rows, tally, torn, marks)
            elif kind == 'row':
                at, row = row_of(rest)
                check(at not in rows, f'{key}: {at} twice in one commit')
                rows[at] = row
            elif kind == 'tally':
                tally['arrival' if rest[0] == '1' else 'event', minute_of(rest[1]), rest[2]] += int(rest[3])
            elif kind == 'torn':
                torn.append((first_window(rest[0]) if int(rest[0]) == ALL else -(-int(rest[0]) // SECOND),
                             float('inf') if int(rest[1]) == EVER else int(rest[1]) // SECOND))
            else:
                marks.append((int(rest[0]), time_of(rest[2:5])))
        check(got.keys() == want.keys(), 'lanes in a commit:', sorted(got), 'not', sorted(want))
        for key, (lane, (pending, ledger, torn, marks)) in want.items():
            line, *rest = got[key]
            name = f'{key[0]} g{key[1]} p{key[2]}'
            self.same(f'{name} commits', rest[0], pending)
            for what, a, b in (('ledger', +rest[1], ledger), ('torn', rest[2], torn), ('marks', rest[3], marks)):
                check(a == b, f'{name}: {what} {a}, not {b}')
            self.same_line(name, line[1:], lane.new, self.sink.version[key])
            shows = key[1] != shown[key[0]] and self.caught_up[key[0]]
            check((line[0] == '1') == shows, f'{name}: readers switch: {line[0]}, not {shows}')
            check(not shows or self.sink.shown[key[0]] == key[1], f'{name}: switched, but not in the model')
        shown.update({name: g for name, g, _ in want if self.caught_up[name]})

    def same_line(self, name, words, line, version):
        position, has_last, last, arrival, replay_from, first, got_version, *rest = words
        last = self.identities.get(int(last)) if has_last == '1' else None
        gaps = tuple(tuple(map(int, gap.split('-'))) for gap in rest[6].split(',') if gap)
        got = model.Line(int(position), last, time_of(rest[:3]), seconds(arrival), int(replay_from), time_of(rest[3:6]),
                         first_window(first), gaps)
        check(got == line, f'{name}: line {got}, not {line}')
        check(int(got_version) == version, f'{name}: version {got_version}, not {version}')

    def same_sink(self, names):
        """What the sink holds of all generations; lines, and the ledger and torn spans of what readers see."""
        for name in names:
            for generation in self.sink.generations[name]:
                got = collections.defaultdict(dict)
                for _, _, _, p, *rest in self.sim.ask('rows', name, generation.number):
                    at, row = row_of(rest)
                    got[int(p)][at] = row
                for p in range(len(self.journal.all)):
                    self.same(f'{name} g{generation.number} p{p} in the sink', got[p],
                              self.sink.of(name, generation.number, p))
            self.same_stored(name)

    def same_stored(self, name):
        ledger, torn = collections.defaultdict(collections.Counter), collections.defaultdict(set)
        for kind, *words in self.sim.ask('stored', name):
            if kind == 'line':
                key = (words[0], int(words[1]), int(words[2]))
                self.same_line(f'{key} in the sink', words[4:], self.sink.lines[key], self.sink.version[key])
            elif kind == 'tally':
                ledger[int(words[2])]['arrival' if words[3] == '1' else 'event', minute_of(words[4]), words[5]] += int(words[6])
            elif kind == 'torn':
                torn[int(words[1])].add((int(words[2]), int(words[3])))
        for p in range(len(self.journal.all)):
            key = (name, self.sink.shown[name], p)
            check(+ledger[p] == +self.sink.ledger[key], f'{key}: ledger in the sink {+ledger[p]}, not {+self.sink.ledger[key]}')
            want = {(ALL if a == model.NEVER else (a - 1) * SECOND + 1 if False else a, b) for a, b in self.sink.torn[key]}
            have = {(ALL if a == ALL else -(-a // SECOND), float('inf') if b == EVER else b // SECOND) for a, b in torn[p]}
            check(have == want, f'{key}: torn in the sink {have}, not {want}')

    def same_view(self):
        """What readers see: of each window the rows of the newest generation that has it."""
        for name in self.config:
            view = self.sink.view(name)
            want = {(key[2], key[3:]): row for key, row in self.sink.rows.items()
                    if key[0] == name and view.get((key[2], key[3])) == key[1]}
            got = {}
            for _, _, _, p, *rest in self.sim.ask('rows', name, -1):
                at, row = row_of(rest)
                got[int(p), at] = row
            for at in sorted(got.keys() | want.keys()):
                check(got.get(at) == want.get(at), f'{name}: readers see {at} {got.get(at)}, not {want.get(at)}')

    # -- what the model does in its own way

    def move(self, p, to, how):
        instance = self.instances[0]
        self.say(f'the task is taken over ({how})')
        if how == 'revoke':
            self.commit(instance)
        elif how == 'zombie' and instance.lanes:
            self.zombies.append(instance)
        self.instances[0] = model.Instance(self.config, self.journal)

    def trigger(self, instance):
        pass                                            # a sink with transactions shows rows with the commit only

    def diff(self, name, p, a, b):
        """The marks that the sink would begin a replay at are the model's."""
        generation = self.sink.generations[name][-1]
        key = name, generation.number, p
        marks = [m for m in self.sink.marks[key] if m[1].now is None or m[1].now < a]
        answer = self.sim.ask('mark', name, generation.number, p, us(a))
        got = (int(answer[0][1]), time_of(answer[0][2:5])) if answer else None
        check(got == (marks[-1] if marks else None), f'{key}: replay from {a} begins at {got}, not {marks[-1:]}')
        return super().diff(name, p, a, b)

    def finish(self):
        super().finish()
        self.same_sink(self.config)
        self.same_view()
        for i, name in enumerate(self.config):
            for p in range(len(self.journal.all)):
                state = self.sim.ask('state', self.instances[0].task, i, p)[0]
                check(state[5] == '1', f'{name} p{p}: not at the end')


model.World = World


# ---------------------------------------------------------------------------------------------- schedules by clause

PLAIN, change, canary = model.PLAIN, model.change, model.canary


def rebuild_with(**more):
    def step(world):
        world.config['a'] = world.config['a']._replace(**more)
        world.zombies += [i for i in world.instances if i.lanes]
        world.instances = [model.Instance(world.config, world.journal)]
        world.say('a: changed definition')
    return step


def zombie_commits(world):
    world.commit(world.zombies[0])


def take_over(world):
    world.move(0, 0, 'zombie')


def zombie_reads(world):
    world.read(0, 100, world.zombies[0])


HAND = {
    'an older owner commits after the new one': (PLAIN, [
        10_000, change(10_000), 'RC', change(10_001), 'R', take_over, change(10_002), 'RC', zombie_commits, 'RC']),
    'an older definition commits after a rebuild began': (PLAIN, [
        10_000, change(10_000), 'RC', change(10_001), 'R', rebuild_with(fields=('user', 'kind')), 'R', zombie_commits, 'RC']),
    'a head removed, then a rebuild': (PLAIN._replace(lateness=0), [
        10_000, change(9_990), change(10_000), 10_200, change(10_200), 'RC', lambda w: w.retain(0), 10_300, change(10_300),
        rebuild_with(fields=('user', 'kind')), 'RC']),
    'a crash, and a commit while it rebuilds': (PLAIN, [
        10_000, change(10_000), change(10_001), change(10_002), 'RCX', lambda w: w.read(0, 1), 'C',
        lambda w: w.read(0, 1), 'CRC']),
    'a rebuild is seen only when it has caught up': (PLAIN, [
        10_000, change(10_000), change(10_001), change(10_002), 'RC', rebuild_with(size=30, slide=30),
        lambda w: w.read(0, 1), 'C', lambda w: w.same_view(), 'RC', lambda w: w.same_view()]),
    'a definition comes back': (PLAIN, [
        10_000, change(10_000), 'RC', rebuild_with(size=30, slide=30), 'RC', rebuild_with(size=60, slide=60), 'RC']),
    'a record of 40 days ago, one of 40 days ahead': (PLAIN, [
        10_000_000, change(10_000_000), change(10_000_000 - 40 * 86400), change(10_000_000 + 40 * 86400), 'RC']),
    'late beyond all lateness, and in between': (PLAIN, [
        10_000, change(10_000), 10_300, change(10_300), change(10_200), change(10_030), 'RC']),
    'a new partition': (PLAIN, [
        10_000, change(10_000), 'RC', lambda w: w.add_partition(), lambda w: w.append(1, change(10_001)),
        lambda w: w.read(1, 10), 'C']),
    'retention while a loss of state is in memory only': (PLAIN, [
        10_000, change(10_000), change(10_001), change(10_002), lambda w: w.add_partition(), 'RCX', lambda w: w.repair(0, 1, 2),
        'R', lambda w: w.append(1, change(10_003)), lambda w: w.read(1, 10), 'C', lambda w: w.retain(0), 'X', 'RC']),
    'a new journal under an old result': (PLAIN, [
        10_000, change(10_000), 'RC', lambda w: w.replace(), 10_100, change(10_100), 'RC', 10_400, change(10_400), 'RC']),
}
model.HAND.update(HAND)

# test: (fault, schedule). Each passes as it is, and fails without the clause.
TEETH = {
    'R5_future_guard': ('R5.future', 'far-future records of many minutes'),
    'R6_late_is_judged': ('R6.late', 'late beyond all lateness, and in between'),
    'R8_amend': ('R8.amend', 'a window that an amendment creates, amended after a restart'),
    'R8_closed_by': ('R8.closed_by', 'a window that an amendment creates, amended after a restart'),
    'R9_max_keys': ('R9.max_keys', 'hopping windows, first come and (other), restart inside'),
    'R10_topic': ('R10.topic', 'a canary of the other topic right after replay_from'),
    'R10_torn': ('R10.torn', 'the hard limit takes what was read and what was not'),
    'R10_holes': ('R10.holes', 'a corrupt batch in the middle, then a restart'),
    'R10_early': ('R10.early', 'a crash, and a commit while it rebuilds'),
    'R11_fence_owner': ('R11.version_fence', 'an older owner commits after the new one'),
    'R11_fence_definition': ('R15.generation_fence', 'an older definition commits after a rebuild began'),
    'R12_gap': ('R12.gap', 'the hard limit takes what was read and what was not'),
    'R12_marks': ('R12.marks', 'a span replayed from a mark after which a canary comes first'),
    'R12_minutes': ('R12.minutes', 'a record of 40 days ago, one of 40 days ahead'),
    'R15_cut': ('R15.cut', 'a lost tail, written anew to the same length'),
    'R15_head': ('R15.head', 'a head removed, then a rebuild'),
    'R15_show': ('R15.show', 'a rebuild is seen only when it has caught up'),
}


def report(world, name, what, said=True):
    print(name, *(world.said if said else ()), what, sep='\n  ')


def with_sim(args, faults, work):
    """-> what work(sim) found; None if the process ended badly without it."""
    World.sim = sim = Sim(args.sim, faults, args.sqlite)
    try:
        return work()
    finally:
        code = sim.close()
        if code and not faults:
            raise SystemExit(f'task_sim ended with {code}')


def teeth(args):
    failed = 0
    for name, (fault, schedule) in TEETH.items():
        if args.only and args.only != name:
            continue
        without = with_sim(args, fault, lambda: model.hand_run(schedule, True)[1])
        failed += not without
        print(f'{"ok" if without else "TOOTHLESS":9} {name}: without {fault}: {(without or "nothing noticed")[:140]}')
    return failed


def runs(args):
    failed = refusals = 0
    for name in model.HAND:
        world, what = model.hand_run(name, True)
        failed += bool(what)
        if what:
            report(world, name, what)
    for number in range(args.runs):
        world, what = model.random_run(f'{args.seed}:{number}')
        refusals += world.refusals
        if what:
            failed += 1
            report(world, f'run {args.seed}:{number}', what, failed <= 2)
        if failed > 5:
            break
    print(f'{len(model.HAND)} schedules by hand, {args.runs} random ones, seed {args.seed}'
          f'{", SQLite" if args.sqlite else ""}: {failed} failed; {refusals} starts were refused')
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('sim')
    parser.add_argument('--runs', type=int, default=150)
    parser.add_argument('--seed', default=str(random.SystemRandom().randrange(10**6)))
    parser.add_argument('--sqlite', action='store_true', help='results.db instead of the memory sink')
    parser.add_argument('--teeth', action='store_true', help='take each clause away: its schedule must fail')
    parser.add_argument('--only', help='one test of --teeth')
    parser.add_argument('--fault', default='', help='run with this clause taken away')
    parser.add_argument('--one', help='one random run, by its name SEED:NUMBER')
    args = parser.parse_args()
    if args.one:
        world, what = with_sim(args, args.fault, lambda: model.random_run(args.one))
        report(world, args.one, what or 'passed')
        return 1 if what else 0
    failed = with_sim(args, args.fault, lambda: runs(args))
    return 1 if failed or args.teeth and teeth(args) else 0


if __name__ == '__main__':
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
