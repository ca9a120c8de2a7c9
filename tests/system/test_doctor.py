"""`wikitally doctor`: each check says what it found and which command comes next; exit 1 if one failed."""
import json
import os
import unittest

import wikitally


class Doctor(wikitally.Case):
    def doctor(self, *arguments, code=0, env=None):
        """-> {check: (verdict, finding, next)}"""
        done = self.wikitally('doctor', *arguments, '--data-dir', self.directory, '-o', 'json', code=code, env=env)
        return {row['check']: (row['verdict'], row['finding'], row['next']) for row in json.loads(done.out)}

    def ask(self, check, *options, code=0):
        """What it says of a server that is started with these options."""
        with self.running('upstream', '--synthetic', '100', '--listen', '127.0.0.1:0', *options) as server:
            return self.doctor(check, '--set', f'source.url={self.url(server)}', code=code)[check]

    def test_source_that_answers(self):
        verdict, finding, after = self.ask('source')
        self.assertEqual((verdict, after), ('ok', None))
        self.assertIn('answers', finding)

    def test_source_that_refuses(self):
        for fault, code, want, words in (('403', 1, 'fail', 'contact'), ('429:retry-after=1', 0, 'warn', 'too many'),
                                         ('5xx:code=503', 1, 'fail', '503')):
            with self.subTest(fault):
                verdict, finding, after = self.ask('source', '--faults', fault, code=code)
                self.assertEqual(verdict, want)
                self.assertIn(words, finding)
                self.assertTrue(after)

    def test_source_that_is_not_there(self):
        verdict, finding, after = self.doctor('source', '--set', 'source.url=http://127.0.0.1:9/x', code=1)['source']
        self.assertEqual((verdict, after), ('fail', 'wikitally run --source synthetic:50'))
        self.assertIn('cannot be reached', finding)

    def test_clock_an_hour_off(self):
        self.assertEqual(self.ask('clock')[0], 'ok')
        verdict, finding, after = self.ask('clock', '--faults', 'clock:offset=1h')
        self.assertEqual((verdict, after), ('warn', 'timedatectl'))
        self.assertRegex(finding, r'^-?(3599|3600|3601) s ')

    def test_disk_and_journal(self):
        self.assertEqual(self.doctor('journal')['journal'], ('ok', 'none yet', 'wikitally run'))
        self.assertEqual(self.doctor('disk')['disk'][0], 'ok')
        self.follow(f'replay:{self.synth(50, 3)}')
        self.assertIn('1 partition of', self.doctor('journal')['journal'][1])
        with open(self.directory / 'journal.db', 'r+b') as file:
            file.write(b'not a database at all')
        verdict, _, after = self.doctor('journal', code=1)['journal']
        self.assertEqual((verdict, after), ('fail', 'wikitally journal verify'))

    def test_proxy_and_user(self):
        self.assertEqual(self.doctor('proxy', '--set', 'source.proxy=http://127.0.0.1:9')['proxy'][0], 'warn')
        self.assertEqual(self.doctor('user')['user'][0], 'warn' if os.geteuid() == 0 else 'ok')

    def test_permissions(self):
        self.assertEqual(self.doctor('permissions')['permissions'][0], 'ok')
        self.follow(f'replay:{self.synth(50, 3)}')
        self.assertEqual(self.doctor('permissions')['permissions'], ('ok', f'"{self.directory}" and what is in it have one owner', None))
        self.directory.chmod(0o777)
        self.assertEqual(self.doctor('permissions')['permissions'][::2], ('warn', f"chmod 700 '{self.directory}'"))
        if os.geteuid() == 0:
            os.chown(self.directory / 'results.db', 65534, 65534)
            verdict, finding, after = self.doctor('permissions', code=1)['permissions']
            self.assertEqual((verdict, after), ('fail', f"sudo chown -R root '{self.directory}'"))
            self.assertIn('results.db', finding)

    def test_every_finding_has_the_next_command(self):
        found = self.doctor('--set', 'source.url=http://127.0.0.1:9/x', '--set', 'source.proxy=http://127.0.0.1:9', code=1)
        self.assertEqual(set(found), {'source', 'clock', 'disk', 'proxy', 'journal', 'permissions', 'user', 'sandbox'})
        for check, (verdict, finding, after) in found.items():
            self.assertTrue(verdict == 'ok' or after, f'{check}: {finding}')

    def test_findings_are_not_cut_in_a_table(self):
        long = 'http://127.0.0.1:9/' + 'x' * 200
        self.assertIn(f'"{long}" cannot be reached',
                      self.wikitally('doctor', 'source', '--set', f'source.url={long}', code=1).out)

    def test_unknown_check(self):
        self.assertIn('clock', self.wikitally('doctor', 'weather', code=2).err)


if __name__ == '__main__':
    unittest.main()
