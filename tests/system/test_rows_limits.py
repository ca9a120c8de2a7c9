"""Rows of the goal table about a machine that runs out: a disk that somebody else fills (B10), too little memory (B12)."""
import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

import wikitally
from test_kill import MIX
from test_rows_machine import Row
from wikitally import size


@unittest.skipUnless(os.geteuid() == 0, 'needs root to make a small disk')
class Full(Row):
    FULL = "the disk or the file's maximum is full"
    DISK = 32 << 20

    @contextlib.contextmanager
    def filled(self, disk):
        """By another process, which takes every byte that becomes free for as long as it lives."""
        fill = f"while :; do dd if=/dev/zero of='{disk}/ballast' bs=64k oflag=append conv=notrunc 2>/dev/null; sleep 0.01; done"
        process = subprocess.Popen(['sh', '-c', fill], start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            (disk / 'ballast').unlink(missing_ok=True)

    def test_B10_a_disk_that_somebody_else_fills(self):
        """It waits, or ends with 74; what is stored is sound; it goes on by itself within 10 s of there being room."""
        random = wikitally.seed('B10')
        times, ends, slowest = size(2, 20), collections.Counter(), 0
        with self.small_disk(self.DISK) as disk:
            for number in range(times):
                self.directory = disk / f'state-{number}'
                file = self.synth(20_000, random.randrange(1 << 30), **MIX)
                arguments = self.run_arguments(f'replay:{file}', '--speed', 20_000 / 45 / 8, '--set', 'journal.commit_every=10ms',
                                               '--set', 'task.commit_every=50ms')
                with self.running(*arguments) as process:
                    self.wait_for(lambda: self.journal_end() > 0, what='records')
                    time.sleep(random.random())
                    with self.filled(disk):
                        self.wait_for(lambda: self.FULL in self.log_of(process) or process.poll() is not None, what='a full disk')
                        time.sleep(1)
                        waits = process.poll() is None
                        before = self.journal_end()
                    began = time.monotonic()
                    if waits:
                        self.wait_for(lambda: self.journal_end() > before, timeout=10, what='that it goes on')
                        slowest = max(slowest, time.monotonic() - began)
                        self.assertEqual(process.wait(60), 0, self.log_of(process))
                    else:
                        self.assertEqual(process.returncode, 74, self.log_of(process))
                    ends['waited' if waits else 'ended'] += 1
                self.wikitally('journal', 'verify', '--data-dir', self.directory)
                self.assert_whole(file)
                shutil.rmtree(self.directory)
        print(f'B10: {times} times full: {dict(ends)}; went on within {slowest:.1f} s of there being room', flush=True)
        self.assertGreater(ends['waited'], 0)


class Memory(Row):
    """In a group of its own (cgroup v1 or v2) with a limit of memory."""

    @contextlib.contextmanager
    def limited(self, megabytes):
        """-> (a function to call in the new process, a function that says how often somebody was killed for want of memory)."""
        name = f'wikitally-test-{os.getpid()}-{megabytes}'
        for base, limit, events in (('/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.oom_control'),
                                    ('/sys/fs/cgroup', 'memory.max', 'memory.events')):
            group = os.path.join(base, name)
            if not os.path.exists(os.path.join(base, 'cgroup.procs')):
                continue
            with contextlib.suppress(OSError):
                os.mkdir(group)
                self.addCleanup(os.rmdir, group)
                with open(os.path.join(group, limit), 'w', encoding='utf-8') as file:
                    file.write(str(megabytes << 20))

                def enter(group=group):
                    with open(os.path.join(group, 'cgroup.procs'), 'w', encoding='utf-8') as procs:
                        procs.write(str(os.getpid()))

                def kills(file=os.path.join(group, events)):
                    with open(file, encoding='utf-8') as text:
                        return int(re.search(r'^oom_kill (\d+)', text.read(), re.M)[1])
                kills()
                yield enter, kills
                return
        self.skipTest('no group with a limit of memory can be made here (cgroup v1 or v2, as root)')

    def resident_kib(self, process):
        with contextlib.suppress(OSError, TypeError):
            with open(f'/proc/{process.pid}/status', encoding='utf-8') as status:
                return int(re.search(r'^VmRSS:\s+(\d+)', status.read(), re.M)[1])
        return 0

    def test_B12_full_load_in_256_MiB(self):
        """As fast as it goes: nobody is killed, and what it holds does not grow."""
        seconds = size(24, 600)
        bounded = ('--set', 'journal.retention_bytes=64MiB', '--set', 'journal.max_bytes=128MiB', '--set', 'journal.on_full=release')
        with self.limited(256) as (enter, kills):
            with self.running(*self.run_arguments('synthetic:max', *bounded, until=None), before=enter) as process:
                sizes, end = [], time.monotonic() + seconds
                while time.monotonic() < end and process.poll() is None:
                    time.sleep(0.5)
                    sizes.append(self.resident_kib(process))
                self.assertIsNone(process.poll(), self.log_of(process))
                self.stop(process, code=0)
            self.assertEqual(kills(), 0)
        third = len(sizes) // 3
        early, late = (max(part) >> 10 for part in (sizes[third:2 * third], sizes[-third:]))
        print(f'B12: {seconds} s at full load in 256 MiB: nobody killed; at most {early} MiB in the second third, {late} MiB in the last', flush=True)
        self.assertLess(late, early * 1.2 + 8)
        self.wikitally('ledger', '--check', '--data-dir', self.directory)

    def test_B12_killed_for_want_of_memory(self):
        """Killed by the kernel, again and again: afterwards all is there once. The limit is what a start needs, and not the work."""
        random = wikitally.seed('B12')
        wanted = size(2, 10)
        file = self.synth(60_000, random.randrange(1 << 30), **MIX)
        with self.limited(10) as (enter, kills):
            for _ in range(wanted * 5):
                with self.running(*self.run_arguments(f'replay:{file}', '--set', 'journal.commit_every=5ms', '--set',
                                                      'task.commit_every=20ms'), before=enter) as process:
                    process.wait(60)
                self.assertIn(process.returncode, (0, -signal.SIGKILL), self.log_of(process)[-2000:])
                if process.returncode == 0 or kills() >= wanted:
                    break
            killed = kills()
        print(f'B12: killed {killed} times for want of memory; journalled by then: {self.journal_end()}', flush=True)
        self.assertGreaterEqual(killed, wanted)
        self.assert_whole(file)


if __name__ == '__main__':
    unittest.main()
