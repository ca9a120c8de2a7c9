"""A recording that comes through a pipe: what has come is durable while nothing more comes, and a stop is heard."""
import subprocess
import unittest

import wikitally


class Pipe(wikitally.Case):
    def test_what_has_come_is_journalled_and_a_stop_is_heard(self):
        lines = self.synth(300, 11).read_bytes().splitlines(keepends=True)
        arguments = self.run_arguments('replay:-')
        process = subprocess.Popen([self.program, *map(str, arguments)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=wikitally.environment())
        process.log = self.folder / 'none'
        process.log.write_text('')
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        for begin, upto in ((0, 100), (100, 300)):
            process.stdin.write(b''.join(lines[begin:upto]))
            process.stdin.flush()
            self.wait_for(lambda: (self.directory / 'journal.db').exists() and self.source_ledger()['received'] == upto,
                          what=f'{upto} records in the journal')
        self.stop(process)                              # the pipe is still open
        self.wikitally('ledger', '--check', '--data-dir', self.directory)
        self.assert_rows()


if __name__ == '__main__':
    unittest.main()
