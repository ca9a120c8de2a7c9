"""make chaos-kafka SEED=N EVENTS=N KILLS=N RESTARTS=N STORM=N - everything at once, on Kafka.

What kafka_whole.py does, larger and with more that goes wrong: RESTARTS of the broker in order and as many hard ones, some silences
of its own, and a rebalance storm: four instances on four partitions, of which STORM leave and come, or are silent for longer than their
session with a transaction on its way; another one takes the journal over, from a living one or from one that is silent; and commits
whose answers are lost. The oracle judges. A run in which something that should have happened did not happen fails, too.

The seed decides what is done, the machine when: the same seed is the same campaign, not the same run. WIKITALLY_KEEP: a directory for
all logs."""
import argparse
import os
import sys
import time
import unittest

import kafka_whole as whole
from kafka_whole import setUpModule                # noqa: F401  (unittest calls it)
import wikitally

EXPECTED = (*whole.SMALL.expected, 'killed in a start', 'broker silent', 'left', 'silenced', 'unanswered', 'answers lost', 'taken over',
            'taken over from a silent one', 'writers fenced', 'partitions given back', 'assignments lost', 'commits fenced',
            'commits found there', 'spool used')


class Chaos(whole.Run):
    options = None

    def test_campaign(self):
        os.environ['WIKITALLY_SEED'] = str(self.options.seed)
        self.random = wikitally.seed('chaos on Kafka')
        self.go_through(sizes(self.options))


def sizes(options):
    few = max(3, options.storm // 10)
    return whole.Sizes(options.events, 4, pace=options.pace, away=(0, 12), expected=EXPECTED, faults={
        'kill': options.kills, 'broker_killed': options.restarts, 'broker_stopped': options.restarts, 'broker_silent': few,
        'leave': options.storm * 2 // 3, 'silence': options.storm - options.storm * 2 // 3, 'unanswer': few, 'take_over': few,
        'take_over_from_silent': few})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seed', type=int, default=time.time_ns() % 1_000_000_007)
    parser.add_argument('--events', type=int, default=1_000_000)
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--restarts', type=int, default=20, help='in order, and as many hard ones')
    parser.add_argument('--storm', type=int, default=150, help='instances that leave and come, or are silent')
    parser.add_argument('--pace', type=float, default=1.5, help='seconds from one to the next, on average')
    Chaos.options = parser.parse_args()
    suite = unittest.defaultTestLoader.loadTestsFromName('chaos_kafka.Chaos.test_campaign')
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == '__main__':
    import chaos_kafka                                  # unittest looks there for setUpModule
    sys.exit(chaos_kafka.main())
