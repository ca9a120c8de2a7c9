"""The program as it runs for days: what it costs at the live rate, how soon it is there, what a page and 1,000 of them take."""
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import time
import urllib.error

from measure import PROGRAM, environment, get
import clients as live_clients

LIVE_RATE = 50
LIVE_SECONDS = 20
DAY_EVENTS = 45 * 86_400
CLIENTS, CLIENT_SECONDS = 1_000, 15


def until_ready(url, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            get(url + '/readyz')
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.002)
    raise SystemExit('bench: never ready')


def start_ms(bench, source, directory):
    began = time.monotonic()
    with bench.server(*bench.arguments(source, directory, listen='127.0.0.1:0')) as (_, url):
        until_ready(url)
        return 1000 * (time.monotonic() - began)


def start(bench):
    """From the start of the process to 200 on /readyz; the limit: --version, which only starts and ends."""
    began = time.monotonic()
    subprocess.run([PROGRAM, 'version'], stdout=subprocess.DEVNULL, check=True, env=environment())
    least = 1000 * (time.monotonic() - began)
    runs = [start_ms(bench, f'synthetic:{LIVE_RATE}', bench.fresh('empty')) for _ in range(5)]
    bench.add('start to ready, empty directory', 'ms', runs, 200, most=True, limit=('start and end of a process', least))
    if bench.long:
        day = bench.fresh('day')
        bench.timed(*bench.arguments('synthetic:max', day, '--until', DAY_EVENTS))
        runs = [start_ms(bench, 'synthetic:max', day)]      # one only: it goes on where it was
        bench.add('start to ready, 24 h of journal', 'ms', runs, 2000, most=True, limit=('start and end of a process', least))


# ---------------------------------------------------------------------------------------------------- at the live rate

def cpu_seconds(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def status(pid, key):
    return int(re.search(rf'^{key}:\s+(\d+)', open(f'/proc/{pid}/status').read(), re.M)[1])


def switches(pid):
    """How often its threads went to sleep: what a program costs that does nothing."""
    return sum(int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', open(f'/proc/{pid}/task/{t}/status').read(), re.M)[1])
               for t in os.listdir(f'/proc/{pid}/task'))


def first_number(url):
    """Wall time at which the API shows a first counted change."""
    while True:
        try:
            if json.loads(get(url + '/api/v1/now'))['data']['now']['counted'] > 0:
                return time.time()
        except (urllib.error.URLError, KeyError, TypeError):     # not yet, or no section yet
            pass
        time.sleep(0.01)


def first_arrival(directory):
    with subprocess.Popen([PROGRAM, 'journal', 'dump', '--data-dir', directory], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=environment()) as dump:
        line = dump.stdout.readline()
        dump.stdout.close()
    return json.loads(line)['arrival_ms'] / 1000


def live(bench):
    """50 events a second, no page open."""
    directory = bench.fresh('live')
    arguments = bench.arguments(f'synthetic:{LIVE_RATE}', directory, listen='127.0.0.1:0')
    with bench.server(*arguments) as (process, url):
        shown = first_number(url)
        bench.add('first number after the first event', 's', [shown - first_arrival(directory)], 2, most=True)
        first_view(bench, url)
        time.sleep(3)
        cpu, slept, began = cpu_seconds(process.pid), switches(process.pid), time.monotonic()
        time.sleep(LIVE_SECONDS)
        took = time.monotonic() - began
        bench.add(f'CPU at {LIVE_RATE} events/s', '% of core', [100 * (cpu_seconds(process.pid) - cpu) / took], 1, most=True)
        bench.add('wake-ups a second', 'a second', [(switches(process.pid) - slept) / took])
        bench.add(f'memory at {LIVE_RATE} events/s', 'MB', [status(process.pid, 'VmRSS') / 1024], 40, most=True)


def first_view(bench, url):
    """Bytes of the bodies of / and of what it names, as a browser asks for them."""
    headers = {'Accept-Encoding': 'gzip, deflate, br, zstd'}
    plain = get(url + '/', headers={'Accept-Encoding': 'identity'}).decode()
    names = sorted(set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', plain)))
    total = sum(len(get(url + name, headers=headers)) for name in ['/', *names])
    full = sum(len(get(url + name, headers={'Accept-Encoding': 'identity'})) for name in ['/', *names])
    bench.add('first view: / and what it loads', 'bytes', [total], 80 * 1024, most=True, limit=('not compressed', full))


# ---------------------------------------------------------------------------------------------------- many clients

def one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    raise_files()


def raise_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def clients(bench):
    """1,000 live clients, the server on one core: each frame's number follows the one before."""
    raise_files()
    arguments = bench.arguments(f'synthetic:{LIVE_RATE}', bench.fresh('clients'), '--set', f'serve.max_clients={CLIENTS + 10}',
                                listen='127.0.0.1:0')
    with bench.server(*arguments, before=one_core) as (process, url):
        until_ready(url)
        host, port = url.removeprefix('http://').split(':')
        found = live_clients.follow((host, int(port)), CLIENTS, CLIENT_SECONDS)
        cpu = cpu_seconds(process.pid)
        metrics = get(url + '/metrics').decode()
        skipped = sum(float(n) for n in re.findall(r'^wikitally_sse_skipped_frames_total(?:\{[^}]*\})? (\S+)$', metrics, re.M))
        memory = status(process.pid, 'VmRSS') / 1024
    bench.add('live clients connected', 'clients', [found['connected']], CLIENTS)
    bench.add(f'frames that they lost in {CLIENT_SECONDS} s', 'frames', [found['lost'] + skipped], 0, most=True)
    bench.add('frames that they got', 'frames', [found['frames']], CLIENTS * (CLIENT_SECONDS - 2),
              limit=('one a second each', CLIENTS * CLIENT_SECONDS), memory_mb=memory)
    bench.add('latest frame after the first client had it', 'ms', [found['spread_ms']])
    bench.add('CPU of the server for all of it', 's', [cpu])
