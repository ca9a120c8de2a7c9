"""Named pipes without anybody at the other end: nothing blocks where a signal is not heard (ux.md section 6)."""
import os
import signal
import threading
import time
import unittest

import wikitally


class Fifo(wikitally.Case):
    def setUp(self):
        super().setUp()
        self.pipe = self.folder / 'pipe'
        os.mkfifo(self.pipe)

    def ends_on(self, number, *arguments, after=0.5):
        with self.running(*arguments) as process:
            time.sleep(after)
            self.assertIsNone(process.poll(), process.log.read_text())
            process.send_signal(number)
            self.assertEqual(process.wait(10), 0, process.log.read_text())

    def test_a_source_without_a_writer_ends_on_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.ends_on(number, *self.run_arguments(f'replay:{self.pipe}'))

    def test_record_of_a_source_without_a_writer_ends_on_a_signal(self):
        self.ends_on(signal.SIGTERM, 'record', self.folder / 'out.jsonl.zst', '--source', f'replay:{self.pipe}')

    def test_an_upstream_that_waits_for_a_writer_ends_on_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.ends_on(number, 'upstream', self.pipe, '--listen', '127.0.0.1:0')

    def test_record_into_a_pipe_is_refused_at_once(self):
        self.wikitally('record', self.pipe, '--source', 'synthetic', '-n', '10', code=73, timeout=10)

    def test_a_writer_that_comes_late_is_read_to_its_end(self):
        file = self.synth(500, 3)

        def write():
            time.sleep(1)
            self.pipe.write_bytes(file.read_bytes())
        thread = threading.Thread(target=write)
        thread.start()
        self.follow(f'replay:{self.pipe}')
        thread.join()
        self.assertIn('500 received', self.wikitally('ledger', '--check', '--data-dir', self.directory).out)


if __name__ == '__main__':
    unittest.main()
