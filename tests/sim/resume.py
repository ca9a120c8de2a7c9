# SPDX-License-Identifier: MIT
"""resume.py - runs the program's follower (follow_sim) against the server of tests/oracle/resume_model.py.

World and Connection of the model are the server, check() of the model judges what the program has in its journal at the
end; only the model's Client is replaced, by a process that is asked and answered line by line (follow_sim.c). A crash of
the schedule kills that process before or after a commit; journal and notes are kept here.
"""
import collections
import json
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'oracle'))
import resume_model as model                            # noqa: E402

S, MIN, TOPICS = model.S, model.MIN, model.TOPICS
BASE = 1_700_000_000_000                                # what the model calls 0, as in follow_sim.c
ID = b'"meta":{"id":"00000000-0000-4000-8000-'
COMMIT_EVERY = {1: 50, 5: 2 * S, 40: 20 * S}            # the model commits by number of records


class Killed(Exception):
    pass


class Program:
    """Has the members of model.Client that model.check() looks at."""

    def __init__(self, world, binary, faults='', seed=1, wall=(), env=None):
        self.world, self.rng, self.p, self.binary, self.seed = world, world.rng, world.p, binary, seed
        self.wall = [str(number) for number in wall]    # follow_sim's WALL [AT WALL]
        self.env = dict(os.environ, WIKITALLY_FAULTS=','.join(faults), **(env or {}))
        self.faults = set(faults)
        # The judge of the model has one clause that depends on the rules.
        self.fixes = model.FIXES.keys() - {'dtfuture'} if 'R5.dtfuture' in self.faults else model.FIXES.keys()
        self.now = self.p['start']
        self.messages = {m.id: m for topic in TOPICS for m in world.messages[topic]}
        self.journal = [[] for _ in range(self.p['partitions'])]
        self.values = [[] for _ in range(self.p['partitions'])]
        self.notes = {}
        self.stats, self.ledger, self.down = collections.Counter(), collections.Counter(), []
        self.connections, self.alone_since = {}, self.now
        self.merging = None
        self.opened_first = None

    # -- the process

    def spawn(self):
        p = self.p
        self.process = subprocess.Popen(
            [self.binary, str(self.now), str(p['partitions']), str(model.NEWEST), str(p['keep']),
             str(COMMIT_EVERY[p['batch']]), str(self.seed + self.stats['crashes'])] + self.wall,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        self.out, self.into = self.process.stdout, self.process.stdin

    def end(self):
        self.process.kill()
        self.process.communicate()

    def say(self, text):
        self.into.write(text if isinstance(text, bytes) else text.encode())
        self.into.flush()

    def run(self):
        model.Connection.open_now = 0
        while True:
            self.spawn()
            try:
                self.serve()
                break
            except Killed:
                self.stats['crashes'] += 1
                model.Connection.open_now = 0           # its sockets are gone with it
                if self.connections:
                    self.alone_since = self.now
                self.connections, self.merging = {}, None
                self.now += self.rng.choice(self.p['restart'])
            finally:
                self.end()
        self.settle()

    def serve(self):
        do = {b'r': self.read, b'c': self.connect, b'z': self.close, b'k': self.commit, b'n': self.note,
              b'b': self.bounds, b't': self.tail}
        while True:
            line = self.out.readline()
            words = line.split()
            if not words:
                raise RuntimeError(f'follow_sim ended: {self.process.stderr.read().decode(errors="replace")}')
            if words[0] == b'e':
                return
            do[words[0]](words[1:])

    # -- the server

    def read(self, words):
        now, number, until = map(int, words)
        conn = self.connections[number]
        self.now = now
        if now >= self.world.stop:
            return self.say('q\n')
        what, self.now, entry = conn.read(now, min(until, self.world.stop))
        if what == 'record':
            m = entry.msg
            return self.say(f'm {self.now} {m.id} {TOPICS.index(m.topic)} {m.dt} {m.time} {int(m.kind == "canary")} '
                            f'{m.wiki} {entry.offset}\n')
        self.say(f'{"x" if what == "cut" else "s"} {self.now}\n')

    def connect(self, words):
        self.now = int(words[0])
        if self.now >= self.world.stop:
            return self.say('q\n')
        wanted = {t.decode(): None if at == b'-' else int(at) for t, at in zip(words[2::2], words[3::2])}
        healing = len(wanted) == 2 and len(self.connections) == 1
        if self.world.outage(self.now) is not None:
            self.now += self.rng.randrange(50, 900)
            return self.say(f'f {self.now}\n')
        if not healing:
            self.now += self.rng.randrange(50, 900) if self.rng.random() < 0.9 else self.rng.randrange(15 * S)
            # One that waits unread is not closed, and dead all the same.
            since = max((conn.dies for conn in self.connections.values()), default=self.alone_since)
            if self.now - since > S:
                self.down.append((since, self.now))
            self.note_merge(len(wanted) == 1)
        conn = model.Connection(self.world, self.now, wanted, omit=not healing)
        self.stats['connects'] += 1
        self.stats['connections'] = max(self.stats['connections'], model.Connection.open_now)
        if self.position() is None or self.position()['first'] is None:
            self.opened_first = self.now
        number = self.stats['connects']
        self.connections[number] = conn
        self.say(f'o {number} {self.now} {conn.date} {conn.ok}\n')

    def close(self, words):
        now, number = map(int, words)
        self.connections.pop(number).close()
        if not self.connections:
            self.alone_since = now
            if self.merging is not None:
                self.stats['merge_longest'] = max(self.stats['merge_longest'], now - self.merging)

    def note_merge(self, merging):
        if not merging:
            self.merging = None
        elif self.merging is None:
            self.merging = self.now
            self.stats['merges'] += 1
            high = max((t['high'] or 0) // 1000 - BASE for t in self.position()['topics'])
            self.stats['needless'] += self.now - high < model.HALF // 2

    # -- the journal

    def position(self):
        return json.loads(self.notes['position']) if 'position' in self.notes else None

    def note(self, words):
        value = self.notes.get(words[0].decode())
        self.say('-1\n' if value is None else b'%d\n%s' % (len(value), value))

    def bounds(self, words):
        self.say(f'0 {len(self.journal[int(words[0])])}\n')

    def tail(self, words):
        part, low, high = map(int, words)
        rows = [b'%d %d %d\n%s' % (self.journal[part][i].arrival, i, len(self.values[part][i]), self.values[part][i])
                for i in range(max(low, 0), min(high, len(self.journal[part])))]
        self.say(b''.join(rows) + b'-\n')

    def record(self, value, arrival):
        at = value.find(ID)
        if at < 0:                                      # a tick
            dt = parse_dt(json.loads(value)['meta']['dt'])
            return model.Rec(None, None, dt, dt, 'tick', arrival)
        m = self.messages[int(value[at + len(ID):at + len(ID) + 12], 16)]
        return model.Rec(m.id, m.topic, m.dt, m.time, m.kind, arrival)

    def commit(self, words):
        self.now, records, notes, known, *sums = map(int, words)
        rows = []
        for _ in range(records):
            part, arrival, size = map(int, self.out.readline().split())
            value = self.out.read(size)
            rows.append((part, self.record(value, arrival), value))
        changed = {}
        for _ in range(notes):
            key, size = self.out.readline().split()
            changed[key.decode()] = self.out.read(int(size))
        crash = self.now < self.world.end and self.rng.random() < self.p['crash']
        if crash and self.rng.random() < 0.5:
            raise Killed
        for part, rec, value in rows:
            self.journal[part].append(rec)
            self.values[part].append(value)
        self.notes.update(changed)
        for name, number in zip(('received', 'ticks', 'duplicate', 'filtered', 'dead', 'journalled'), sums):
            self.ledger[name] += number
        self.stats['table'] = max(self.stats['table'], known // 2)
        self.stats['commits'] += 1
        if crash:
            raise Killed
        self.say('k\n')

    # -- what check() looks at

    def settle(self):
        self.pos = self.stored = model.Position()
        self.pos.ledger = self.ledger
        position = self.position()
        self.pos.gaps = [(topic[:5], low // 1000 - BASE, high // 1000 - BASE) for topic, low, high in position['gaps']]
        if 'audit' in self.notes:
            for topic, numbering, low, high, a, b, before, after, _, tries, state in json.loads(self.notes['audit'])['holes']:
                self.pos.holes[topic[:5], numbering, low, high] = [a, b, before, after, tries, state]


def parse_dt(text):
    import datetime
    return round(datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp() * 1000) - BASE


def parameters(rng, scenario):
    """The model's scenarios, and some of ours that stand where a clause is needed more often."""
    base = {'poisoned-switch': 'switch', 'poisoned-stall': 'switch', 'stalled-unheard': 'unheard', 'poisoned-omissions': 'poison',
            'stalled-overlap': 'stall', 'filtered-silence': 'rare', 'long-silence': 'mirror'}.get(scenario, scenario)
    p = model.parameters(rng, base)
    minutes = p['minutes']
    if scenario == 'poisoned-switch':                   # a producer's clock runs ahead while both sides have a backlog
        p.update(poison=0.004, poison_by=(20 * MIN, 30 * MIN), crash=0, cuts=0, stalls=0, dups=0, bad=0)
    elif scenario == 'poisoned-stall':                  # and then a connection stands still
        p.update(poison=0.01, poison_by=(20 * MIN, 30 * MIN), crash=0, cuts=0.2, stalls=0.5, dups=0, bad=0)
    elif scenario == 'stalled-unheard':                 # the first connection after the switch is silent
        start = rng.randrange(6 * MIN, minutes * MIN // 2)
        p.update(stalls=0.35, no_canary=(TOPICS[1 - p['first']],), switches=[start + MIN], outages=[(start, start + 12 * MIN)])
    elif scenario == 'poisoned-omissions':              # what is delivered again from far back had been left out
        p.update(poison=0.003, omit=0.02, cuts=0.7, keep=10, dups=0, crash=0)
    elif scenario == 'stalled-overlap':                 # silent after the one topic's overlap, before the other's
        p.update(stalls=0.8, outages=[], switches=[rng.randrange(10 * MIN, minutes * MIN // 2)], crash=0)
    elif scenario == 'filtered-silence':                # nearly nothing passes, and much comes twice
        p.update(keep=rng.choice((0, 1)), gap=rng.choice((15, 40)) * S, stalls=0.2, cuts=0.3, dups=0.3)
    elif scenario == 'long-silence':
        start = rng.randrange(10 * MIN, minutes * MIN // 2)
        p.update(mirror_stalls=[(start, start + rng.randrange(20 * MIN, 60 * MIN))], cuts=0, stalls=0, crash=0,
                 cluster=TOPICS[1 - p['first']], switches=[])
    return p


def one(binary, scenario, seed, faults=()):
    """-> (program, list of what is wrong)"""
    rng = random.Random(f'{seed} {scenario}')
    world = model.World(rng, parameters(rng, scenario))
    program = Program(world, binary, faults, seed)
    program.run()
    return program, model.check(world, program)
