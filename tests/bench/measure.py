"""What the parts of tools/bench share: running the program, and keeping figures with their bars and limits."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('BENCH_BUILD') or ROOT / 'build')      # `make bench` builds it
PROGRAM = BUILD / 'src/cli/wikitally'
SYNTH_SEED = 1


def environment():
    """Nothing of the caller's configuration reaches the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('WIKITALLY', 'XDG_'))}
    return {**kept, 'HOME': '/nonexistent'}


class Memory:
    """The most that a process held, looked at until it ends: what wait4 says of it begins with the memory of this one."""

    def __init__(self, pid):
        self.pid, self.most_kb = pid, 0
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while True:
            try:
                with open(f'/proc/{self.pid}/status') as file:
                    match = re.search(r'^VmHWM:\s+(\d+)', file.read(), re.M)
            except OSError:
                return
            if not match:                               # it has ended
                return
            self.most_kb = max(self.most_kb, int(match[1]))
            time.sleep(0.02)

    def most_mb(self):
        self.thread.join()
        return self.most_kb / 1024


class Bench:
    """One run: a folder on this disk, and the figures so far."""

    def __init__(self, folder, long, events):
        self.folder, self.long, self.events = pathlib.Path(folder), long, events
        self.figures = []

    def add(self, name, unit, runs, bar=None, most=False, limit=None, memory_mb=None):
        """One figure: the median of its runs; held if it is at least the bar (`most`: at most). limit: (what, value)."""
        value = statistics.median(runs)
        verdict = None if bar is None else 'held' if (value <= bar if most else value >= bar) else 'missed'
        figure = {'name': name, 'unit': unit, 'value': round(value, 4), 'runs': [round(run, 4) for run in runs], 'bar': bar,
                  'bar_is': 'at most' if most else 'at least', 'verdict': verdict}
        if limit:
            figure |= {'limit': limit[0], 'limit_value': round(limit[1], 4), 'share_of_limit': round(value / limit[1], 4)}
        if memory_mb is not None:
            figure['memory_mb'] = round(memory_mb, 1)
        self.figures.append(figure)
        show(figure)
        return value

    def absent(self, name, unit, bar, most=False):
        """A bar for what is not built yet: neither held nor missed."""
        figure = {'name': name, 'unit': unit, 'value': None, 'bar': bar, 'bar_is': 'at most' if most else 'at least',
                  'verdict': 'not built'}
        self.figures.append(figure)
        show(figure)

    # ------------------------------------------------------------------------------------- the program

    def arguments(self, source, directory, *more, listen='none'):
        return ['run', '--source', source, '--data-dir', directory, '--listen', listen, *more]

    def timed(self, *arguments):
        """Runs it to its end -> (seconds, most memory in MB)."""
        took, memory, _ = self.timed_cpu(*arguments)
        return took, memory

    def timed_cpu(self, *arguments):
        """The same, and the seconds of processor time that all of its threads took."""
        os.sync()                                       # what others wrote before is theirs
        with tempfile.TemporaryFile() as log:
            began = time.monotonic()
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=log, env=environment())
            memory = Memory(process.pid)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            took = time.monotonic() - began
            if process.returncode != 0:
                raise SystemExit(f'bench: wikitally {" ".join(map(str, arguments))}: {process.returncode}\n'
                                 f'{os.pread(log.fileno(), 1 << 20, 0)[-2000:].decode(errors="replace")}')
        return took, memory.most_mb(), used.ru_utime + used.ru_stime

    def fresh(self, name):
        directory = self.folder / name
        shutil.rmtree(directory, ignore_errors=True)
        return directory

    def synth(self, count):
        """A recording of made-up events, made once a size."""
        file = self.folder / f'events-{count}.ndjson'
        if not file.exists():
            with open(file, 'wb') as out:
                subprocess.run([PROGRAM, 'synth', '-n', str(count), '--seed', str(SYNTH_SEED)], stdout=out, check=True,
                               env=environment())
        return file

    @contextlib.contextmanager
    def server(self, *arguments, before=None):
        """The program in the background -> (process, its address). Ends with SIGTERM."""
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=log, env=environment(), preexec_fn=before)
            try:
                yield process, self.address(process, log)
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def address(self, process, log, timeout_s=120):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and process.poll() is None:
            match = re.search(rb'listening on (http://\S+)', os.pread(log.fileno(), 1 << 20, 0))
            if match:
                return match[1].decode().rstrip('/')
            time.sleep(0.002)
        raise SystemExit(f'bench: no address: {os.pread(log.fileno(), 4096, 0).decode(errors="replace")}')

    # ------------------------------------------------------------------------------------- tests/bench/bench_NAME

    def tool(self, name, *arguments):
        """-> (its lines of JSON, most memory in MB)."""
        target = BUILD / 'tests/bench' / f'bench_{name}'
        process = subprocess.Popen([target, *map(str, arguments)], stdout=subprocess.PIPE)
        memory = Memory(process.pid)
        text, _ = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f'bench: {target.name} ended with {process.returncode}')
        return json.loads(text.splitlines()[-1]), memory.most_mb()


def build_tools():
    names = sorted(file.stem for file in (ROOT / 'tests/bench').glob('bench_*.c'))
    subprocess.run(['ninja', '-C', BUILD, 'src/cli/wikitally', *(f'tests/bench/{name}' for name in names)], check=True, stdout=subprocess.DEVNULL)


def get(url, timeout_s=5, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=timeout_s) as answer:
        return answer.read()


def calibrate():
    """MB/s of copying 8 MB: the machine now, to compare runs by."""
    block = bytearray(8 << 20)
    rates = []
    for _ in range(25):
        began = time.perf_counter()
        bytes(block)
        rates.append(len(block) / 1e6 / (time.perf_counter() - began))
    return statistics.median(rates)


def show(figure):
    value, unit = figure['value'], figure['unit']
    number = '-' if value is None else f'{value:,.0f}' if abs(value) >= 100 else f'{value:,.3g}'
    line = f'{figure["name"]:52} {number:>12} {unit:10}'
    if figure['verdict']:
        line += f' {figure["bar_is"]} {figure["bar"]:,}: {figure["verdict"]}'
    if 'limit' in figure:
        line += f'  [{figure["limit"]}: {figure["limit_value"]:,.0f}, {100 * figure["share_of_limit"]:.0f} %]'
    if 'memory_mb' in figure:
        line += f'  {figure["memory_mb"]:,.0f} MB'
    print(line, flush=True)
