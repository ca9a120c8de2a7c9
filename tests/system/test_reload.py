"""SIGHUP: the configuration is read and checked anew while the program runs. What can change does and is said, what cannot is
named, and a bad file changes nothing. WIKITALLY_RELOADS: how many reloads A5 makes (10; the long run 50)."""
import json
import os
import pty
import re
import signal
import time

import wikitally

RELOADS = int(os.environ.get('WIKITALLY_RELOADS') or 10)
GOOD = 'log:\n  level: info\njournal:\n  retention_age: 7d\n'
# Twenty ways to write a bad one, and what the refusal must name.
BAD = {
    'an unknown key': ('log:\n  levle: debug\n', r':2:3: .*levle.*level'),
    'an unknown section': ('logs:\n  level: debug\n', r':1:1: .*logs'),
    'an unknown value': ('log:\n  level: loud\n', r':2:\d+: .*loud'),
    'a wrong type': ('serve:\n  max_clients: many\n', r':2:\d+: .*many'),
    'a number too large': ('serve:\n  max_clients: 1000000000\n', r':2:\d+: .*max_clients'),
    'a number too small': ('journal:\n  partitions: 0\n', r':2:\d+: .*partitions'),
    'a duration without a unit that is one': ('source:\n  overlap: 60x\n', r':2:\d+: .*60x'),
    'a size that is none': ('journal:\n  retention_bytes: big\n', r':2:\d+: .*big'),
    'a key twice': ('log:\n  level: info\n  level: debug\n', r':3:\d+: .*level'),
    'a section twice': ('log:\n  level: info\nlog:\n  format: json\n', r':3:\d+: .*log'),
    'a list where a value should be': ('log:\n  level: [info]\n', r':2:\d+: '),
    'a value where keys should be': ('log: debug\n', r':1:\d+: '),
    'no end of a quote': ('source:\n  contact: "me\n', r':\d+:\d+: '),
    'a tab as indentation': ('log:\n\tlevel: info\n', r':2:\d+: '),
    'no YAML at all': ('\x00\x01\x02', r':1:\d+: '),
    'a variable that is not set': ('source:\n  contact: "${NO_SUCH_VARIABLE}"\n', r':2:\d+: .*NO_SUCH_VARIABLE'),
    'a filter that does not compile': ('ingest:\n  filter: "wiki:enwiki ("\n', r'filter'),
    'retention shorter than the windows need (R10)': ('journal:\n  retention_age: 10m\n', r'retention|lateness|aggregation'),
    'horizon against overlap (R3)': ('source:\n  overlap: 10m\n  horizon: 11m\n', r'horizon'),
    'a token file that is not there': ('serve:\n  token_file: /nonexistent/token\n', r'token_file'),
}


class Reload(wikitally.Case):
    def setUp(self):
        super().setUp()
        (self.folder / 'settings').mkdir()
        self.file = self.folder / 'settings/wikitally.yaml'
        self.file.write_text(GOOD)

    def begin(self, *more, rate=200, listen='127.0.0.1:0'):
        return self.running(*self.run_arguments(f'synthetic:{rate}', '-c', self.file, *more, until=None, listen=listen))

    def reload(self, process, text=None):
        """-> what it said of this reload"""
        if text is not None:
            self.file.write_text(text)
        before, counted = len(process.log.read_text(errors='replace')), self.reloads(process)
        process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: self.reloads(process) != counted, what='the end of the reload')
        return process.log.read_text(errors='replace')[before:]

    def reloads(self, process):
        """By how they ended. The log says the same, but not more than twenty lines of a kind in ten seconds."""
        text = wikitally.get(f'{self.url(process)}/metrics').decode()
        return {name: int(count) for name, count in re.findall(r'^wikitally_config_reloads_total{result="(\w+)"} (\d+)$', text, re.M)}

    def state(self, process, want):
        """The live state is written once a second."""
        url = f'{self.url(process)}/api/v1/state'
        self.wait_for(lambda: re.search(want, json.loads(wikitally.get(url))['state']['configuration']), what=want)

    def value(self, process, key):
        values = json.loads(wikitally.get(f'{self.url(process)}/api/v1/config'))['values']
        return values[key]['value'], values[key]['origin']

    def test_what_can_change_changes_and_is_said(self):
        with self.begin() as process:
            self.url(process)
            self.assertIn('reload: 0 taken over, 0 need a restart', self.reload(process))
            said = self.reload(process, 'log:\n  level: info\njournal:\n  retention_age: 3d\n  retention_bytes: 1GiB\n'
                                        '  on_full: release\ntask:\n  commit_every: 100ms\nserve:\n  max_clients: 5\n')
            for line in ('journal.retention_age: "7d" -> "3d"', 'journal.retention_bytes: "20GiB" -> "1GiB"',
                         'journal.on_full: "wait" -> "release"', 'task.commit_every: "1s" -> "100ms"',
                         'serve.max_clients: "200" -> "5"', '5 taken over, 0 need a restart'):
                self.assertIn(f'info config: reload: {line}\n', said)
            self.assertEqual(self.value(process, 'journal.retention_age'), ('3d', f'{self.file}:4:18'))
            self.assertEqual(self.value(process, 'serve.max_clients')[0], '5')
            said = self.reload(process, 'log:\n  format: json\n  level: warn\n')
            self.assertIn('log.level: "info" -> "warn"', said)
            self.assertEqual(self.value(process, 'journal.retention_age'), ('7d', 'default'))
            self.file.write_text(GOOD + 'source:\n  overlap: 50s\n')    # and from now on in the new form
            process.send_signal(signal.SIGHUP)
            line = self.wait_for(lambda: re.search(r'^{.*source.overlap.*}$', process.log.read_text(), re.M), what='a line of JSON')
            self.assertEqual(json.loads(line[0])['level'], 'warn')
            self.state(process, '^waiting for a restart: source.overlap$')
            metrics = wikitally.get(f'{self.url(process)}/metrics').decode()
            self.assertRegex(metrics, r'wikitally_config_reloads_total{result="applied"} 3\n')
            self.assertRegex(metrics, r'wikitally_config_reloads_total{result="restart"} 1\n')
            self.stop(process)
        self.assert_balanced()

    def test_what_cannot_change_is_named_and_the_rest_is_taken(self):
        with self.begin() as process:
            self.url(process)
            said = self.reload(process, GOOD.replace('7d', '6d') + 'source:\n  overlap: 50s\naggregations:\n  bots:\n    size: 2m\n'
                                        '  titles:\n    enabled: false\n  mine:\n    keys: [wiki]\n')
            self.assertIn('info config: reload: journal.retention_age: "7d" -> "6d"\n', said)
            for line in ('source.overlap: "60s" -> "50s"', 'aggregations.bots.size: "60s" -> "2m"',
                         'aggregations.titles.enabled: "true" -> "false"', 'aggregations.mine: "" -> "declared"'):
                self.assertIn(f'warn config: reload: {line} needs a restart\n', said.replace('"1m"', '"60s"'))
            self.assertIn('1 taken over, 4 need a restart', said)
            self.assertEqual(self.value(process, 'source.overlap')[1], 'default')
            self.state(process, 'waiting for a restart: source.overlap, aggregations')
            self.assertIn('0 need a restart', self.reload(process, GOOD))
            self.state(process, '^$')
            self.stop(process)

    def test_good_by_itself_but_not_with_what_stays(self):
        """The window of two hours runs until the restart, so the retention that it needs has to stay with it (R10)."""
        self.file.write_text('aggregations:\n  bots:\n    size: 2h\n')
        with self.begin() as process:
            self.url(process)
            said = self.reload(process, 'journal:\n  retention_age: 1h\n')
            self.assertIn('reload refused', said)
            self.assertNotIn('"7d" -> "1h"', said)
            self.assertEqual(self.value(process, 'journal.retention_age')[0], '7d')
            self.stop(process)

    def test_flags_stay_above_the_file(self):
        with self.begin('-q', '--set', 'task.commit_every=2s') as process:
            self.wait_for(lambda: (self.directory / 'results.db').exists(), what='its start')
            self.file.write_text('log:\n  level: debug\ntask:\n  commit_every: 3s\nlogs: 1\n')
            process.send_signal(signal.SIGHUP)          # -q: only errors are said
            self.wait_for(lambda: 'reload refused' in process.log.read_text(), what='the refusal')
            self.file.write_text('log:\n  level: debug\ntask:\n  commit_every: 3s\n')
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            self.stop(process)
            self.assertNotRegex(process.log.read_text(), r'\b(info|debug|warn)\b')

    def test_D7_a_bad_file_changes_nothing(self):
        self.assertEqual(len(BAD), 20)
        with self.begin() as process:
            self.url(process)
            for name, (text, says) in BAD.items():
                with self.subTest(name):
                    said = self.reload(process, text)
                    self.assertIn('error config: reload refused; the configuration that runs stays as it is', said)
                    self.assertRegex(said, r'error config: reload: .*' + says)
                    checked = self.wikitally('config', 'check', self.file, code=78)     # as a start would say
                    self.assertIn(re.search(r'reload: (.*)', said)[1][:80], checked.err)
                    self.assertEqual(self.value(process, 'journal.retention_age'), ('7d', f'{self.file}:4:18'))
            self.state(process, '^the last reload was refused, the old configuration stays: .*serve.token_file')
            self.file.unlink()
            self.reload(process)                        # of which the log may say nothing: too many lines of a kind
            self.state(process, '^the last reload was refused, .*wikitally.yaml')
            self.assertIn('1 taken over', self.reload(process, GOOD.replace('7d', '5d')))
            self.state(process, '^$')
            self.assertRegex(wikitally.get(f'{self.url(process)}/metrics').decode(),
                             r'wikitally_config_reloads_total{result="refused"} 21\n')
            self.stop(process)
        self.assert_balanced()

    def test_A5_reloads_under_load_and_a_clean_stop(self):
        random = wikitally.seed('A5 reloads')
        with self.begin(rate=2000) as process:
            self.url(process)
            for _ in range(RELOADS):
                time.sleep(random.uniform(0, 0.3))
                bad = random.random() < 0.2
                refused = self.reloads(process).get('refused', 0)
                self.reload(process, BAD['an unknown key'][0] if bad else
                                   f'journal:\n  retention_age: {random.randrange(1, 60)}d\ntask:\n  commit_every: '
                                   f'{random.randrange(10, 2000)}ms\n')
                self.assertEqual(self.reloads(process).get('refused', 0) - refused, bad)
            self.assertEqual(sum(self.reloads(process).values()), RELOADS)
            began = time.monotonic()
            self.stop(process)
            self.assertLess(time.monotonic() - began, 10)
        self.assert_balanced()
        first = self.source_ledger()
        self.assertEqual((first['duplicate'], first['received']), (0, first['journalled']))
        self.assert_ledger()

    def test_a_terminal_that_is_closed_ends_it(self):
        """It sends the same signal; who started it by hand and closed the window does not want it to go on."""
        leader, follower = pty.openpty()
        log = self.folder / 'log'
        with open(log, 'wb') as file:
            pid = os.fork()
            if pid == 0:
                os.dup2(follower, 0)
                os.dup2(file.fileno(), 2)
                os.close(leader)
                os.close(follower)
                os.execve(self.program, [self.program, *map(str, self.run_arguments('synthetic:200', '-c', self.file, until=None))],
                          wikitally.environment())
        self.addCleanup(lambda: os.path.exists(f'/proc/{pid}') and os.kill(pid, signal.SIGKILL))
        os.close(follower)
        self.wait_for(lambda: 'data directory' in log.read_text(), what='its start')
        os.kill(pid, signal.SIGHUP)
        self.wait_for(lambda: 'reload: 0 taken over' in log.read_text(), what='a reload')
        os.close(leader)
        os.kill(pid, signal.SIGHUP)
        self.assertEqual(os.waitpid(pid, 0)[1], 0, log.read_text())
        self.assertIn('ending on signal 1', log.read_text())
        self.assert_balanced()


if __name__ == '__main__':
    import unittest
    unittest.main()
