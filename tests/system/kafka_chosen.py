"""Some of the tests with a real broker, for other programs than the one that is released: with the distribution's librdkafka (and the
broker of the environment's WIKITALLY_KAFKA), and with sanitizers. Not found by `test_*`: tools/test runs it with each."""

import importlib
import unittest

CHOSEN = {
    'test_kafka': {'Content': ['test_R3_R8_made_up_events_with_all_that_is_rare'], 'Quiet': ['test_R7_partitions_that_get_nothing_more'],
                   'Twice': ['test_CK10_the_first_does_not_fence_who_comes_second']},
    'test_kafka_stats': {'Content': ['test_R8_R11_made_up_events_with_all_that_is_rare'], 'Kills': ['test_A1_killed_at_random'],
                         'Outages': ['test_B1_SIGTERM_while_the_broker_is_away']},
    'test_kafka_groups': {'Sharing': ['test_static_membership_who_comes_again_finds_its_partitions']},
    'test_topics': {'Cluster': ['test_list', 'test_show', 'test_rows', 'test_lag', 'test_members']},
}


def load_tests(_loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for module, classes in CHOSEN.items():
        for name, methods in classes.items():
            kind = getattr(importlib.import_module(module), name)
            suite.addTests(kind(method) for method in methods)
    return suite


if __name__ == '__main__':
    unittest.main()
