#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_outages.py FOLLOW_SIM [--faults] - outages of each kind, by name, run by the program in virtual time.

The schedules of test_resume.py are random; these are written down: an hour without a connection, a data-centre switch
inside it, a server that says nothing, a connection that is dead and does not know it, a wrong clock, 200 cuts. Each is
judged three times: by check() of tests/oracle/resume_model.py; by what is in the journal (lost 0, doubled 0); and
against a run on the same upstream without any interruption: whether an event is late or from the future (judge() of
the model over the journal) must not depend on when it was fetched.

No difference at all is allowed, not even at the close of a window: an event a few seconds from it would fall on the
other side if catching up brought the topics in another order. Only with a lagging mirror could that be right (up to its
lag: the uninterrupted reader has what the mirror brings that much later); no seed of ours has such an event.

Beside it stands what the textbook client (Last-Event-ID, nothing else) loses on the same schedule: printed, not judged.

WIKITALLY_SIM_SEED: one seed instead of each test's own. --faults: needs a build with -Dfaults=true.
"""
import collections
import copy
import itertools
import os
import random
import sys
import unittest

import resume
from resume import MIN, S, TOPICS, model

BINARY, FAULTS = None, False
SEEDS = [int(os.environ['WIKITALLY_SIM_SEED'])] if 'WIKITALLY_SIM_SEED' in os.environ else [1, 2, 3]
HOUR = 60 * MIN
# What a test takes away from the program, to be seen to fail.
LATER = {'SIM_OVERLAP_S': '-60'}                        # resumes a minute after its position
NO_MERGE = {'SIM_DELAY_S': '360000'}                    # never counts as far behind
PATIENT = {'SIM_IDLE_S': '36000'}                       # waits for ever
FORGETFUL = {'SIM_HORIZON_S': '0'}                      # knows no identities,
TABLE = ('R3.order', 'R3.newest')                       # nor what stands in for them


class Scheduled(model.Connection):
    """A connection that is cut and falls silent when the schedule says so, not by chance."""

    def __init__(self, world, now, wanted, omit=True):
        super().__init__(world, now, wanted, omit)
        p = world.p
        if p['endless']:                                # not even after the server's usual 15 minutes
            self.dies = min([start for start, _ in p['outages'] if start >= now], default=model.NEVER)
        self.dies = min([self.dies] + [at for at in p['cuts_at'] if at > now])
        for start, stop in p['stalls_at']:              # the connection open then; another one is not concerned
            if now <= start < self.dies:
                self.stall = (start, stop)
                self.dies = self.dies if stop < model.FAR else model.NEVER      # half-open: nobody tells
                break
        if p['stall_of'] and [p['stall_of']] == list(wanted) and now < p['outages'][0][1] + 30 * S:
            self.stall = (self.ok + p['stall_after'], self.ok + 5 * MIN)        # the first connection of that topic alone
        for start, stop in p['mute']:                   # the server accepts, and says nothing on any connection
            if now < stop:
                self.stall = (max(start, now), stop)


class Dated(model.World):
    """An upstream in which single records are dated ahead, because their producer's clock is."""

    def __init__(self, rng, p):
        super().__init__(rng, p)
        for topic, at, by in p['dated']:
            wrong = next(m for m in self.messages[topic] if m.kind == 'change' and m.at >= at)
            right = wrong._replace(dt=wrong.dt + by)
            self.messages[topic] = [right if m is wrong else m for m in self.messages[topic]]
            for cluster in TOPICS:
                rows = [row._replace(msg=right) if row.msg is wrong else row for row in self.log[cluster, topic]]
                self.log[cluster, topic] = rows
                self.high[cluster, topic] = list(itertools.accumulate((row.msg.dt for row in rows), max))


model.Connection, model.World = Scheduled, Dated


def schedule(**other):
    """An upstream without faults; each test adds its own."""
    p = dict(minutes=45, gap=3 * S, pods=(0,), jitter=20, seconds=False, poison=0, poison_by=(90 * S,), bad=0, dups=0, future=0.01,
             first=0, switches=[], both=1, quiet=[], lag=0, mirror_stalls=[], retention=model.FAR, race=0, outages=[], cuts=0,
             stalls=0, omit=0, crash=0, restart=(0,), batch=5, partitions=1, keep=10, cluster=None, no_canary=(), start=MIN,
             cuts_at=[], stalls_at=[], mute=[], endless=False, within=None, stall_of=None, stall_after=0,
             dated=[])
    p.update(other)
    return p


def uninterrupted(p):
    return dict(p, outages=[], cuts_at=[], stalls_at=[], mute=[], endless=True, stall_of=None)


def run(p, seed, faults=(), wall=(), env=None):
    world = model.World(random.Random(f'outages {seed}'), copy.deepcopy(p))
    program = resume.Program(world, BINARY, faults, seed, wall, env)
    program.run()
    return world, program


def differences(world, program, base):
    """-> (event, verdict, verdict of the uninterrupted run), where they are not the same"""
    events = {m.id: m for topic in TOPICS for m in world.messages[topic]}
    since = max(program.opened_first, base.opened_first) + S
    mine, theirs = (model.judge(one.journal[0], model.FIXES)[0] for one in (program, base))
    return [(events[name], mine.get(name), theirs.get(name)) for name in sorted(mine.keys() | theirs.keys())
            if events[name].at >= since and mine.get(name) != theirs.get(name)]


def textbook_loses(p, seed, since):
    world = model.World(random.Random(f'outages {seed}'), copy.deepcopy(p))
    got = set(model.textbook(world))
    usual = {m.id for topic in TOPICS for m in world.messages[topic] if since + S <= m.at < world.stop - 10 * MIN}
    return len(usual - got), len(usual)


class Outages(unittest.TestCase):
    bases = {}                                          # several tests have the same upstream

    def base(self, p, seed):
        key = str(uninterrupted(p)), seed
        if key not in self.bases:
            self.bases[key] = run(uninterrupted(p), seed)[1]
        return self.bases[key]

    def one(self, p, seed, faults=(), env=None):
        """-> world, program, what is wrong"""
        world, program = run(p, seed, faults, env=env)
        wrong = model.check(world, program)
        wrong += [f'judged {mine}, uninterrupted {theirs}: {m}' for m, mine, theirs in differences(world, program, self.base(p, seed))]
        wrong += [f'{rec.arrival - rec.dt} ms on its way: {rec}' for rec in program.journal[0]
                  if p['within'] and rec.kind == 'change' and rec.arrival - rec.dt > p['within']]
        if program.pos.gaps:
            wrong.append(f'a gap reported: {program.pos.gaps[0]}')
        return world, program, wrong

    def figures(self, program, seed):
        verdicts = model.judge(program.journal[0], model.FIXES)[0].values()
        return (f'  {self._testMethodName}, seed {seed}: {len(verdicts)} changes, {sum(late for late, _ in verdicts)} late, '
                f'{sum(future for _, future in verdicts)} from the future, {program.stats["connects"]} connections')

    def journalled(self, world, program):
        """The same as check() says, said once more without its exceptions."""
        got = collections.Counter(rec.id for rec in program.journal[0] if rec.kind != 'tick')
        self.assertEqual([name for name, n in got.items() if n > 1], [], 'doubled')
        lost = [m for topic in TOPICS for m in world.messages[topic]
                if program.opened_first + S <= m.at < world.stop - 10 * MIN and m.id not in got]
        self.assertEqual(lost, [], 'lost')

    def passes(self, make, without, faults=(), textbook=False):
        """without: what must not be taken from the program (follow_sim), or the test proves nothing."""
        for seed in SEEDS:
            with self.subTest(seed=seed):
                p = make(seed)
                world, program, wrong = self.one(p, seed)
                self.assertEqual(wrong[:4], [])
                self.journalled(world, program)
                lost = '; the textbook client loses %d of %d' % textbook_loses(p, seed, program.opened_first) if textbook else ''
                print(self.figures(program, seed) + lost, file=sys.stderr)
        if FAULTS or not faults:
            with self.subTest(without=without):
                self.assertTrue(any(self.one(make(seed), seed, faults, without)[2] for seed in SEEDS), 'nobody noticed')

    def test_R3_an_hour_down_with_canaries_on_both_topics(self):
        self.passes(lambda seed: schedule(minutes=90, first=seed % 2, outages=[(15 * MIN, 75 * MIN)]), LATER, textbook=True)

    def test_R3_an_hour_down_with_a_data_centre_switch_inside(self):
        self.passes(lambda seed: schedule(minutes=90, first=seed % 2, outages=[(15 * MIN, 75 * MIN)],
                                          switches=[(20 + 17 * seed) * MIN], both=5 * S),
                    NO_MERGE, textbook=True)

    def test_R3_R7_a_connection_stalls_for_5_minutes(self):
        self.passes(lambda seed: schedule(first=seed % 2, stalls_at=[(20 * MIN, 25 * MIN)], within=45 * S), PATIENT)

    def test_R3_R7_the_server_says_nothing_for_5_minutes(self):
        self.passes(lambda seed: schedule(first=seed % 2, mute=[(20 * MIN, 25 * MIN)], within=5 * MIN + 40 * S), FORGETFUL, TABLE)

    def test_R3_a_half_open_connection(self):
        self.passes(lambda seed: schedule(first=seed % 2, endless=True, stalls_at=[(20 * MIN + seed * S, model.FAR)]), PATIENT)

    def test_R3_half_open_connections_while_catching_up(self):
        self.passes(lambda seed: schedule(first=seed % 2, endless=True, outages=[(15 * MIN, 30 * MIN)], switches=[20 * MIN],
                                          stalls_at=[(30 * MIN + n * S, model.FAR) for n in range(2, 40, 6)]),
                    NO_MERGE)

    def test_R5_the_wall_clock_is_an_hour_off_or_jumps(self):
        for seed in SEEDS[:2]:
            p = schedule(first=seed % 2, outages=[(15 * MIN, 25 * MIN)], switches=[20 * MIN], mute=[(40 * MIN, 43 * MIN)])
            right = run(p, seed, wall=(0,))[1]
            self.assertEqual(model.check(right.world, right), [])
            for wall in ((HOUR,), (-HOUR,), (0, 20 * MIN, HOUR), (0, 20 * MIN, -HOUR), (HOUR, 30 * MIN, -HOUR)):
                with self.subTest(seed=seed, wall=wall):
                    program = run(p, seed, wall=wall)[1]
                    self.assertEqual(program.journal, right.journal)        # arrival of each record included
                    self.assertEqual(program.values, right.values)
                    self.assertEqual(program.notes, right.notes)
            undated = run(p, seed, wall=(HOUR,), env={'SIM_NO_DATE': '1'})[1]       # then there is nothing but the wall clock
            self.assertNotEqual(undated.journal, right.journal)

    def test_R3_a_switch_while_disconnected(self):
        self.passes(lambda seed: schedule(first=seed % 2, outages=[(20 * MIN, 24 * MIN)], switches=[(20 + seed) * MIN]),
                    NO_MERGE, textbook=True)

    def test_R3_a_switch_long_before_a_cut(self):
        self.passes(lambda seed: schedule(minutes=70, first=seed % 2, switches=[10 * MIN], outages=[(55 * MIN, (55 + 3 * seed) * MIN)]),
                    LATER, textbook=True)

    def cut_200_times(self, seed, **other):
        rng = random.Random(f'cuts {seed}')
        return schedule(first=seed % 2, cuts_at=sorted(rng.randrange(2 * MIN, 44 * MIN) for _ in range(200)),
                        switches=[25 * MIN], **other)

    def test_R3_200_cuts_with_millisecond_ids(self):
        self.passes(self.cut_200_times, FORGETFUL, TABLE, textbook=True)

    def test_R3_200_cuts_with_whole_second_ids(self):
        self.passes(lambda seed: self.cut_200_times(seed, seconds=True), FORGETFUL, TABLE, textbook=True)

    def test_R3_timestamps_run_backwards_and_the_mirror_lags(self):
        self.passes(lambda seed: schedule(first=seed % 2, jitter=200, lag=25 * S, outages=[(20 * MIN, 30 * MIN)], switches=[25 * MIN],
                                          cuts_at=[(n * 7 + seed) * 31 * S for n in range(1, 13)]),
                    NO_MERGE, textbook=True)

    # -- clauses that no random schedule needs

    def ticks(self, p, seed, low, high, faults=()):
        """-> program, times of the ticks between low and high that are ahead of all that was received (R7 b)"""
        program = run(p, seed, faults)[1]
        latest = max(m.at for topic in TOPICS for m in program.world.messages[topic] if m.at < low)
        return program, [rec.time for rec in program.journal[0]
                         if rec.kind == 'tick' and low <= rec.arrival < high and rec.time > latest]

    def test_R7_no_tick_beyond_a_missing_canary(self):
        """The mirror of the active topic stands still for 50 minutes: its last record comes again and again, nothing new."""
        for seed in SEEDS:
            p = schedule(minutes=80, cluster=TOPICS[1], first=0, lag=1, mirror_stalls=[(20 * MIN, 70 * MIN)])
            program, times = self.ticks(p, seed, 20 * MIN + 10 * S, 70 * MIN)
            self.assertEqual(model.check(program.world, program), [])
            self.assertTrue(34 * MIN < max(times) <= 36 * MIN + S, (seed, max(times)))
            if FAULTS:
                self.assertGreater(max(self.ticks(p, seed, 20 * MIN + 10 * S, 70 * MIN, ('R7.cap',))[1]), 40 * MIN)

    def test_R3_pyoung_a_record_from_the_future_says_nothing_about_a_backlog(self):
        """20 minutes of backlog on both topics, with records that are dated after the end of the outage; then one topic's
        connection falls silent. Were it caught up for having brought such a record, the other would go on without it."""
        p = schedule(minutes=60, poison=0.05, poison_by=(70 * MIN, 80 * MIN), outages=[(20 * MIN, 40 * MIN)], switches=[30 * MIN],
                     both=9 * MIN, future=0, stall_of=TOPICS[0], stall_after=4500)
        base = run(uninterrupted(p), 1)[1]
        world, program = run(p, 1)
        self.assertEqual(model.check(world, program), [])
        self.assertEqual(differences(world, program, base), [])
        if FAULTS:
            self.assertGreater(len(differences(*run(p, 1, ('R3.pyoung',)), base)), 100)

    def ahead(self, p, clause):
        """Judged as without the interruption; without the clause ten events at least are not."""
        world, program, wrong = self.one(p, 1)
        self.assertEqual(wrong[:4], [])
        self.journalled(world, program)
        if FAULTS:
            self.assertGreaterEqual(len(differences(*run(p, 1, (clause,)), self.base(p, 1))), 10)

    def test_R3_doubt_a_backlog_that_begins_with_a_record_dated_ahead(self):
        """The first record after the switch is dated 10 minutes ahead, which is over when it is fetched: it looks like the
        first of a topic that was quiet. The canary of the other topic must not come before what stands behind it."""
        for topic in (0, 1):
            with self.subTest(topic=topic):
                self.ahead(schedule(first=topic, future=0, outages=[(20 * MIN, 40 * MIN)], switches=[26 * MIN],
                                    dated=[(TOPICS[1 - topic], 26 * MIN, 10 * MIN)]), 'R3.doubt')

    def test_R3_first_a_record_dated_ahead_comes_again(self):
        """It was received before the outage, and what stands behind it must not wait for 9 minutes of the other topic."""
        for topic in (0, 1):
            with self.subTest(topic=topic):
                self.ahead(schedule(first=topic, future=0, outages=[(20 * MIN, 40 * MIN)], switches=[25 * MIN],
                                    dated=[(TOPICS[topic], 19 * MIN + 30 * S, 10 * MIN)]), 'R3.first')

    def test_R3_thirds_a_record_from_before_the_journal_is_dated_ahead(self):
        """Each resume begins with it, and once its time has come it looks newer than the position. Nothing was skipped."""
        p = schedule(start=5 * MIN, dated=[(TOPICS[0], 3 * MIN, 10 * MIN)], outages=[(8 * MIN, 14 * MIN)])
        world, program = run(p, 1)
        self.assertEqual((model.check(world, program), program.pos.gaps), ([], []))
        if FAULTS:
            self.assertEqual(len(run(p, 1, ('R3.thirds',))[1].pos.gaps), 1)

    def test_R3_alone_nothing_stands_behind_what_the_upstream_has_not_forgotten(self):
        """The outage was longer than it keeps; then there are a few changes, and long silences. One connection again, in time."""
        for topic in (0, 1):
            with self.subTest(topic=topic):
                p = schedule(first=topic, future=0, retention=12 * MIN, minutes=60, outages=[(20 * MIN, 38 * MIN)],
                             quiet=[(18 * MIN, 36 * MIN), (36 * MIN + 2 * S, 60 * MIN)], no_canary=(TOPICS[topic],))
                self.assertEqual(model.check(*run(p, 1)), [])
                if FAULTS:
                    self.assertNotEqual(model.check(*run(p, 1, ('R3.alone',))), [])

    def test_R3_again_what_was_filtered_and_produced_twice_is_nothing_new(self):
        """Everything is filtered, everything is produced twice, then the source is silent but for its canaries."""
        for seed in SEEDS:
            p = schedule(keep=0, dups=1, future=0, quiet=[(20 * MIN, 29 * MIN)], no_canary=(TOPICS[1],))
            program, times = self.ticks(p, seed, 22 * MIN, 29 * MIN)
            self.assertEqual(model.check(program.world, program), [])
            self.assertGreater(len(times), 5)           # the silence is proven, again and again
            if FAULTS:
                self.assertEqual(self.ticks(p, seed, 22 * MIN, 29 * MIN, ('R3.again',))[1], [])


if __name__ == '__main__':
    BINARY = sys.argv.pop(1)
    FAULTS = '--faults' in sys.argv
    if FAULTS:
        sys.argv.remove('--faults')
    unittest.main(verbosity=2)
