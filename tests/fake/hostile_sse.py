# SPDX-License-Identifier: MIT
"""hostile_sse.py - a server of Server-Sent Events that does to its client what servers, proxies and strangers do.

It holds a log of good events, all of one topic, numbered without a hole, and resumes by Last-Event-ID as EventStreams does.
What it does wrong is a *behaviour*: one function below, which gets the connection and says, in its decorator, what the
client has to do about it:

  then    'stays': it goes on with the same connection; 'cut', 'error', 'silent', 'refused': it connects again, and gives
          that reason in wikitally_source_reconnects_total; 'ends': it ends with exit code 78, for a person to look at;
          'tries': it goes on trying, ever more rarely, with nothing received
  says    a regular expression that its log must match
  every   the behaviour is that of all connections, not of the first
  options what else the client is told (--set)
  tls     the certificate or protocol that the server shows (certificates.py)

Every good event is kept once whatever happens; `extra` are further ids that must be kept, `dead` the records that must be
dead letters, (reason, bytes or None: not compared). A behaviour calls `c.strike()` at the moment of its mischief, so that a
test can see that it came to that. All randomness is the seed's.
"""
import asyncio
import collections
import json
import re
import socket
import struct
import threading
import time
import uuid
import zlib

TOPIC = 'eqiad.mediawiki.recentchange'
MIB = 1 << 20
Behaviour = collections.namedtuple('Behaviour', 'name run then says every options tls')
Request = collections.namedtuple('Request', 'at head last_event_id')
BEHAVIOURS = {}


def behaviour(then='stays', says=None, every=False, options=(), tls=None):
    def add(function):
        BEHAVIOURS[function.__name__] = Behaviour(function.__name__, function, then, says, every, tuple(options), tls)
        return function
    return add


def change(number, dt_ms, rng, **more):
    """A change as the stream has them, to bytes. `more` replaces fields; None takes one away."""
    dt = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(dt_ms // 1000)) + f'.{dt_ms % 1000:03}Z'
    value = {'$schema': '/mediawiki/recentchange/1.0.0',
             'meta': {'id': str(uuid.UUID(int=rng.getrandbits(128), version=4)), 'dt': dt, 'domain': 'en.wikipedia.org',
                      'stream': 'mediawiki.recentchange', 'topic': TOPIC, 'partition': 0, 'offset': 5_000_000_000 + number},
             'id': 1000 + number, 'type': rng.choice(['edit', 'new', 'log', 'categorize']), 'namespace': 0,
             'title': f'Crème brûlée {number % 7} \U0001f36e', 'comment': 'x' * rng.randrange(300), 'user': f'User {number % 5}',
             'bot': number % 3 == 0, 'timestamp': dt_ms // 1000, 'wiki': 'enwiki', 'server_name': 'en.wikipedia.org', **more}
    return json.dumps({name: part for name, part in value.items() if part is not None}, ensure_ascii=False).encode()


def id_of(event):
    return json.loads(event)['meta']['id']


class Server:
    def __init__(self, plan, rng, context=None, large=1, count=40, events=None):
        """`large`: how much more than a first look the large things are; `events`: a log of one's own, as bytes. Runs in a
        thread of its own from now on."""
        self.plan, self.rng, self.context, self.large = plan, rng, context, large
        now_ms, count = int(time.time() * 1000), len(events or ()) or count
        self.times = [now_ms - (count - number) * min(count, 20_000) // count for number in range(count)]
        self.events = events or [change(number, at, rng) for number, at in enumerate(self.times)]
        self.extra, self.dead, self.requests, self.struck = [], [], [], 0
        self.trap_hits, self.failures = 0, []
        self.started, self.stopped = threading.Event(), None
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.thread.start()
        self.started.wait(10)
        self.url = f'{"https" if context else "http"}://127.0.0.1:{self.port}/v2/stream/recentchange'

    async def serve(self):
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.answer, '127.0.0.1', 0, ssl=self.context, limit=MIB)
        trap = await asyncio.start_server(self.trap, '127.0.0.1', 0)
        self.port, self.trap_port = (one.sockets[0].getsockname()[1] for one in (server, trap))
        self.loop.set_exception_handler(lambda *_: None)        # connections that end badly are what this is for
        self.started.set()
        await self.stopped.wait()
        for one in (server, trap):
            one.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    def close(self):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(10)

    async def trap(self, _reader, writer):
        """Where nobody should ever come: the target of redirects."""
        self.trap_hits += 1
        writer.close()

    async def answer(self, reader, writer):
        try:
            head = await asyncio.wait_for(reader.readuntil(b'\r\n\r\n'), 15)
            found = re.search(rb'\r\nlast-event-id: *(.*?)\r\n', head, re.I)
            self.requests.append(Request(time.monotonic(), head, found and found[1].decode()))
            c = Connection(self, len(self.requests), reader, writer)
            if self.plan.every or c.number == 1:
                await self.plan.run(c)
            else:
                await c.well()
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError):
            pass
        except Exception as error:                              # a mistake of this file: the test must see it
            self.failures.append(repr(error))
        finally:
            writer.close()


class Connection:
    def __init__(self, server, number, reader, writer):
        self.server, self.number, self.reader, self.writer = server, number, reader, writer
        self.rng, self.events, self.large = server.rng, server.events, server.large
        self.chunked, self.packer = False, None
        self.middle = self.rng.randrange(2, len(self.events) - 2)  # where the mischief happens

    def strike(self):
        self.server.struck += 1

    async def raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, data):
        """Bytes of the body, as chunked and compressed as the head said."""
        if self.packer:
            data = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        await self.raw(b'%x\r\n%s\r\n' % (len(data), data) if self.chunked else data)

    async def head(self, status='200 OK', kind='text/event-stream; charset=utf-8', date=True, more=()):
        lines = [f'HTTP/1.1 {status}', *([time.strftime('Date: %a, %d %b %Y %H:%M:%S GMT', time.gmtime())] if date else []),
                 *([f'Content-Type: {kind}'] if kind else []), *(['Transfer-Encoding: chunked'] if self.chunked else []),
                 'Connection: close', *more]
        await self.raw(''.join(f'{line}\r\n' for line in lines).encode('utf-8', 'surrogateescape') + b'\r\n')

    async def begin(self, chunked=None, **head):
        self.chunked = self.rng.random() < 0.5 if chunked is None else chunked
        await self.head(**head)
        await self.send(b':ok\n\n')

    def block(self, data, number=None, kind=b'message'):
        at = self.server.times[number] + 1 if number is not None else int(time.time() * 1000)
        place = [{'topic': TOPIC, 'partition': 0, 'timestamp': at},
                 {'topic': 'codfw.mediawiki.recentchange', 'partition': 0, 'offset': -1}]
        return b'event: %s\nid: %s\ndata: %s\n\n' % (kind, json.dumps(place).encode(), data)

    async def deliver(self, first, end=None):
        for number in range(first, len(self.events) if end is None else end):
            await self.send(self.block(self.events[number], number))

    async def before(self, **begin):
        """An ordinary beginning, up to the middle."""
        await self.begin(**begin)
        await self.deliver(0, self.middle)

    async def rest(self):
        await self.deliver(self.middle)
        await self.hold()

    async def hold(self):
        """Open and silent until the client goes."""
        while await self.reader.read(65536):
            pass

    def reset(self):
        self.writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.writer.transport.abort()

    def first_wanted(self):
        """Where Last-Event-ID resumes: the first event of that time or later."""
        said = self.server.requests[self.number - 1].last_event_id
        since = next((one['timestamp'] for one in json.loads(said or '[]') if one['topic'] == TOPIC and 'timestamp' in one), 0)
        return next((number for number, at in enumerate(self.server.times) if at >= since), len(self.events))

    async def well(self):
        await self.begin()
        await self.deliver(self.first_wanted())
        await self.hold()

    async def flood(self, total, piece):
        sent = 0
        while sent < total:
            await self.send(piece)
            sent += len(piece)

    def new(self, **more):
        """Bytes of an event that is not in the log and has no number."""
        now_ms = int(time.time() * 1000)
        value = json.loads(change(10_000 + self.rng.randrange(1 << 30), now_ms, self.rng, **more))
        for name in ('partition', 'offset'):
            value.get('meta', {}).pop(name, None)
        return json.dumps(value).encode()

    async def also(self, data, block=None):
        """A further event that is kept, in a form of its own."""
        self.server.extra.append(id_of(data))
        await self.send(block or self.block(data))

    async def poison(self, reason, data, whole=True):
        """A record that is no event: a dead letter, and the stream goes on."""
        self.server.dead.append((reason, data if whole else None))
        self.strike()
        await self.send(self.block(data))


# ---------------------------------------------------------------------------------------------- it falls silent in the middle

IDLE = ('source.idle_after=2s',)


async def stall(c, bytes_of_block, chunked=False):
    await c.before(chunked=chunked)
    await c.raw(bytes_of_block)
    c.strike()
    await c.hold()


@behaviour('silent', options=IDLE)
async def stall_mid_line(c):
    block = c.block(c.events[c.middle], c.middle)
    await stall(c, block[:c.rng.randrange(1, len(block) - 2)])


@behaviour('silent', options=IDLE)
async def stall_mid_character(c):
    block = c.block(c.events[c.middle], c.middle)
    await stall(c, block[:block.index('è'.encode()) + 1])


@behaviour('silent', options=IDLE)
async def stall_mid_chunk(c):
    block = c.block(c.events[c.middle], c.middle)
    await stall(c, b'%x\r\n' % len(block) + block[:c.rng.randrange(len(block))], chunked=True)


@behaviour('silent', options=IDLE)
async def comments_only(c):
    """Comments are no events: a stream that only says that it is alive is silent."""
    await c.before()
    c.strike()
    for _ in range(600):
        await c.send(b': alive\n\n')
        await asyncio.sleep(0.02)
    await c.hold()


# ---------------------------------------------------------------------------------------------- it ends in the middle

@behaviour('cut')
async def truncate_mid_line(c):
    await c.before()
    block = c.block(c.events[c.middle], c.middle)
    await c.send(block[:c.rng.randrange(1, len(block) - 1)])    # all but the last LF is there at most: not an event yet
    c.strike()


@behaviour('cut')
async def truncate_mid_character(c):
    await c.before()
    block = c.block(c.events[c.middle], c.middle)
    await c.send(block[:block.index('\U0001f36e'.encode()) + c.rng.randrange(1, 4)])
    c.strike()


@behaviour('cut')
async def truncate_mid_chunk_header(c):
    await c.before(chunked=True)
    await c.raw(b'4f')
    c.strike()


@behaviour('cut')
async def reset_in_the_middle(c):
    await c.before()
    c.strike()
    c.reset()


@behaviour('cut', says='connection lost: .*(encoding|chunk|hexadecimal)')
async def bad_chunk_size(c):
    await c.before(chunked=True)
    c.strike()
    await c.raw(b'zz\r\n' + c.block(c.events[c.middle], c.middle))
    await c.hold()


@behaviour('cut')
async def content_length_too_short(c):
    c.chunked = False
    blocks = b':ok\n\n' + b''.join(c.block(event, number) for number, event in enumerate(c.events))
    await c.head(more=[f'Content-Length: {c.rng.randrange(len(blocks) // 4, len(blocks) - 10)}'])
    c.strike()
    await c.raw(blocks)


@behaviour('error', says='error event: .*broker')
async def error_event(c):
    await c.before()
    c.strike()
    await c.send(b'event: error\nid: []\ndata: {"message":"the broker is away","name":"Error"}\n\n')


@behaviour('refused', says='closed the connection before|cannot be reached')
async def early_close(c):
    c.strike()


@behaviour('refused', says='closed the connection before the stream began')
async def close_after_the_head(c):
    await c.head()
    c.strike()


@behaviour('refused', says='cannot be reached')
async def reset_before_the_head(c):
    c.strike()
    c.reset()


@behaviour('tries', says='the server ends each connection at once', every=True)
async def ok_and_close_for_ever(c):
    await c.begin()
    c.strike()


@behaviour('tries', says='the server ends each connection at once', every=True)
async def new_poison_and_close_for_ever(c):
    """A record that is no event is no progress: who ends each connection with one must not be asked at once again."""
    await c.begin()
    await c.poison('not-object', json.dumps([str(uuid.uuid4())]).encode())


# ---------------------------------------------------------------------------------------------- what is too large

@behaviour('cut')
async def endless_line(c):
    await c.before()
    await c.send(b'data: ')
    c.strike()
    await c.flood(20 * MIB * c.large, b'x' * 65536)


@behaviour('stays')
async def line_of_ten_mib(c):
    await c.before()
    await c.poison('too-large', b'{"meta":{"id":"big"},"title":"%s"}' % (b'y' * (10 * MIB)), whole=False)
    await c.rest()


@behaviour('stays')
async def event_of_a_hundred_mib(c):
    """In lines of which none is too long."""
    await c.before()
    c.server.dead.append(('too-large', None))
    c.strike()
    await c.flood(100 * MIB, b'data: ' + b'z' * 65529 + b'\n')
    await c.send(b'\n')
    await c.rest()


@behaviour('stays')
async def event_of_just_eight_mib(c):
    """The largest that is allowed, to the byte."""
    await c.before()
    data = c.new(comment='')
    at = data.index(b'"comment": ""') + len(b'"comment": "')
    c.strike()
    await c.also(data[:at] + b'w' * (8 * MIB - len(data)) + data[at:])
    await c.rest()


@behaviour('stays')
async def field_name_without_end(c):
    """A line too long that is no data: its event is whole without it."""
    await c.before()
    c.strike()
    await c.flood(12 * MIB, b'n' * 65536)
    await c.send(b'\n')
    await c.rest()


@behaviour('refused', says='head|header|Too large|cannot be reached')
async def header_of_a_mib(c):
    c.strike()
    await c.head(more=['X-Long: ' + 'h' * MIB])
    await c.hold()


@behaviour('refused', says='head|header|Too large|cannot be reached')
async def ten_thousand_headers(c):
    c.strike()
    await c.head(more=[f'X-{number}: {"v" * 60}' for number in range(10_000)])
    await c.hold()


@behaviour('stays')
async def gzip_bomb(c):
    """1000 : 1. It is one line, too long to be an event."""
    c.packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    await c.before(more=['Content-Encoding: gzip'])
    c.server.dead.append(('too-large', None))
    c.strike()
    await c.send(b'data: ')
    for _ in range(64 * c.large):
        await c.send(b'0' * MIB)
    await c.send(b'\n\n')
    await c.rest()


@behaviour('cut')
async def gzip_cut(c):
    c.packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    await c.before(more=['Content-Encoding: gzip'])
    packed = c.packer.compress(c.block(c.events[c.middle], c.middle)) + c.packer.flush(zlib.Z_SYNC_FLUSH)
    c.packer = None
    c.strike()
    await c.send(packed[:len(packed) // 2])


@behaviour('refused', says='gzip|content encoding|unpack|cannot be reached')
async def gzip_that_is_none(c):
    c.strike()
    await c.head(more=['Content-Encoding: gzip'])
    await c.raw(c.rng.randbytes(3000))


@behaviour('error', says='gzip|content encoding|error|unpack|invalid')
async def gzip_gone_bad(c):
    c.packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    await c.before(chunked=False, more=['Content-Encoding: gzip'])
    await asyncio.sleep(0.3)                            # so that it has begun
    c.strike()
    await c.raw(b'\x07' + c.rng.randbytes(20_000))      # a block of a kind that there is not
    await c.hold()


# ---------------------------------------------------------------------------------------------- unusual, but right

@behaviour('stays')
async def line_ends_of_all_kinds(c):
    """CR, LF and CRLF, cut into packets anywhere, also between CR and LF; events of one line and of many."""
    await c.begin(chunked=False)
    c.strike()
    for number, event in enumerate(c.events):
        if c.rng.random() < 0.5:
            event = json.dumps(json.loads(event), indent=1).encode().replace(b'\n', b'\ndata: ')
        for part in re.split(rb'(?<=\n)', c.block(event, number).replace(b'\n', c.rng.choice([b'\r', b'\n', b'\r\n']))):
            at = c.rng.randrange(len(part) + 1)
            await c.raw(part[:at])
            await asyncio.sleep(0 if c.rng.random() < 0.9 else 0.002)
            await c.raw(part[at:])
    await c.hold()


@behaviour('stays')
async def byte_for_byte(c):
    await c.begin(chunked=False)
    c.strike()
    c.writer.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b''.join(c.block(event, number) for number, event in enumerate(c.events)):
        await c.raw(bytes([byte]))
        await asyncio.sleep(0)
    await c.hold()


@behaviour('stays')
async def byte_order_mark(c):
    c.chunked = False
    await c.head()
    c.strike()
    at = c.rng.randrange(4)
    await c.raw(b'\xef\xbb\xbf'[:at])
    await asyncio.sleep(0.05)
    await c.raw(b'\xef\xbb\xbf'[at:] + b':ok\n\n')
    await c.deliver(0)
    await c.hold()


@behaviour('stays')
async def data_in_many_lines(c):
    """A JSON text may be cut where it may have white space."""
    await c.before()
    c.strike()
    data = c.new()
    await c.also(data, b''.join(b'data: %s\n' % line for line in json.dumps(json.loads(data), indent=1).encode().split(b'\n')) + b'\n')
    await c.rest()


@behaviour('stays')
async def a_thousand_comments(c):
    await c.before()
    c.strike()
    await c.send(b''.join(b':%s\n' % c.rng.randbytes(8).hex().encode() for _ in range(1000)))
    await c.rest()


@behaviour('stays')
async def other_kinds_of_events(c):
    """Only `message` is a record."""
    await c.before()
    c.strike()
    for kind in (b'ping', b'Message', b'messages', b'warning', b'mes sage'):
        await c.send(c.block(c.new(), kind=kind))
    await c.rest()


@behaviour('stays')
async def continue_first(c):
    for _ in range(20):
        await c.raw(b'HTTP/1.1 100 Continue\r\n\r\n')
    c.strike()
    await c.before()
    await c.rest()


@behaviour('stays')
async def no_date(c):
    c.strike()
    await c.before(date=False)
    await c.rest()


@behaviour('stays')
async def date_that_is_none(c):
    c.strike()
    await c.before(date=False, more=['Date: ' + c.rng.choice(['yesterday', 'Mon, 99 Foo 20xx 99:99:99 GMT', '-1', 'x' * 500])])
    await c.rest()


# ---------------------------------------------------------------------------------------------- ids and times

async def with_id(c, value):
    """An event with this id, then a cut: what of it comes back in Last-Event-ID?"""
    await c.before(chunked=False)
    c.strike()
    await c.send(b'event: message\nid: %s\ndata: %s\n\n' % (value, c.events[c.middle]))


@behaviour('cut')
async def id_with_nul(c):
    await with_id(c, b'a\0b')


@behaviour('cut')
async def id_with_control_bytes(c):
    await with_id(c, bytes(byte for byte in range(1, 32) if byte not in b'\r\n') + b'\x7f\x1b[31mX-Injected: yes')


@behaviour('cut')
async def id_that_is_a_header(c):
    await with_id(c, b'[]%0d%0aX-Injected: yes \xe2\x80\xa8X-Injected: yes ' + b'i' * 100_000)


@behaviour('cut')
async def id_of_a_rejected_event(c):
    """The id of a record that is refused names a time far ahead: taken for a position it would skip what follows."""
    await c.before()
    ahead = json.dumps([{'topic': TOPIC, 'partition': 0, 'timestamp': int(time.time() * 1000) + 3_600_000}]).encode()
    c.server.dead.append(('syntax', b'{"truncated'))
    c.strike()
    await c.send(b'event: message\nid: %s\ndata: {"truncated\n\n' % ahead)


@behaviour('cut')
async def retry_huge(c):
    """How long to wait is the client's own business."""
    await c.begin()
    c.strike()
    await c.send(c.rng.choice([b'retry: 999999999\n\n', b'retry: 99999999999999999999999\n\n', b'retry: 86400000\n\n']))
    await c.deliver(0, c.middle)


@behaviour('cut')
async def retry_negative(c):
    await c.begin()
    c.strike()
    await c.send(c.rng.choice([b'retry: -5\n\n', b'retry: 0\n\n', b'retry: soon\n\n', b'retry: 1e3\n\n']))
    await c.deliver(0, c.middle)


@behaviour('stays')
async def duplicates(c):
    await c.begin()
    c.strike()
    for number, event in enumerate(c.events):
        for _ in range(c.rng.choice([1, 1, 2, 5])):
            await c.send(c.block(event, number))
    await c.hold()


@behaviour('stays')
async def rewound(c):
    await c.before()
    c.strike()
    await c.deliver(c.rng.randrange(c.middle), c.middle)
    await c.deliver(0)
    await c.hold()


@behaviour('cut')
async def events_of_next_year(c):
    """They are kept, and move no position: what follows is not skipped."""
    await c.before()
    c.strike()
    for _ in range(3):
        ahead = int(time.time()) + c.rng.randrange(7200, 31_536_000)
        data = json.loads(c.new(timestamp=ahead))
        data['meta']['dt'] = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(ahead))
        await c.also(json.dumps(data).encode())


@behaviour('stays')
async def canaries(c):
    await c.before()
    c.strike()
    for _ in range(3):
        meta = {**json.loads(c.new())['meta'], 'domain': 'canary'}
        await c.also(json.dumps({'$schema': '/mediawiki/recentchange/1.0.1', 'meta': meta}).encode())
    await c.rest()


# ---------------------------------------------------------------------------------------------- records that are no events

async def among(c, *letters):
    await c.before()
    for reason, data in letters:
        await c.poison(reason, data)
    await c.rest()


@behaviour('stays')
async def bytes_that_are_no_utf8(c):
    await among(c, ('bad-utf8', c.new(title='@@').replace(b'@@', b'Caf\xe9')), ('bad-utf8', c.new(user='@@').replace(b'@@', b'\xc0\xaf')),
                ('bad-utf8', c.new(user='@@').replace(b'@@', b'\xed\xa0\x80')))


@behaviour('stays')
async def nul_in_data(c):
    await among(c, ('syntax', c.new(title='@@').replace(b'@@', b'a\0b')), ('syntax', b'\0' * 10), ('syntax', c.new() + b'\0'))


@behaviour('stays')
async def no_json(c):
    await among(c, ('syntax', b'<html>502</html>'), ('syntax', c.new()[:-1]), ('not-object', b'[1]'), ('not-object', b'null'),
                ('surrogate', c.new(title='@@').replace(b'@@', b'\\ud800')), ('syntax', c.new() + b'x'))


@behaviour('stays')
async def deep(c):
    await among(c, ('too-deep', b'[' * 100_000), ('too-deep', b'{"a":' * 100_000))


@behaviour('stays')
async def no_time(c):
    meta = {'id': str(uuid.UUID(int=c.rng.getrandbits(128), version=4)), 'domain': 'en.wikipedia.org'}
    await among(c, ('no-time', c.new(timestamp=None, meta=meta)), ('bad-time', c.new(timestamp='yesterday')),
                ('bad-time', c.new(timestamp=-1)), ('bad-time', c.new(timestamp=1e99)))


# ---------------------------------------------------------------------------------------------- it answers with something else

async def answer(c, status, more=(), body=b'', kind='text/html'):
    c.strike()
    await c.head(status, kind=kind, more=[f'Content-Length: {len(body)}', *more])
    await c.raw(body)


@behaviour('refused', says='answered with "text/html" instead of text/event-stream')
async def wrong_content_type(c):
    await answer(c, '200 OK', body=b'<html>data: {}\n\n</html>')


@behaviour('refused', says='answered with "" instead of text/event-stream')
async def no_content_type(c):
    await answer(c, '200 OK', body=b'data: {}\n\n', kind='')


@behaviour('refused', says=r'has no stream now \(204\)')
async def no_content(c):
    c.strike()
    await c.head('204 No Content', kind='')


@behaviour('refused', says='redirects are not followed')
async def redirect_to_another_scheme(c):
    await answer(c, '302 Found', ['Location: ' + c.rng.choice(['file:///etc/passwd', 'ftp://127.0.0.1/', 'gopher://127.0.0.1:25/x'])])


@behaviour('refused', says='redirects are not followed')
async def redirect_to_another_host(c):
    await answer(c, '301 Moved', ['Location: http://192.0.2.1/v2/stream/recentchange'])


@behaviour('refused', says='redirects are not followed')
async def redirect_to_this_machine(c):
    await answer(c, '307 Temporary Redirect', [f'Location: http://127.0.0.1:{c.server.trap_port}/v2/stream/recentchange'])


@behaviour('ends', says=r'wants a login \(401\)', every=True)
async def status_401(c):
    await answer(c, '401 Unauthorized', ['WWW-Authenticate: Basic realm="x"'])


@behaviour('ends', says='set source.contact', every=True)
async def status_403(c):
    await answer(c, '403 Forbidden', body=b'robot policy')


@behaviour('refused', says=r'too many requests \(429\)')
async def status_429(c):
    await answer(c, '429 Too Many Requests', ['Retry-After: 3'])


@behaviour('refused', says='HTTP status 500')
async def status_500(c):
    await answer(c, '500 Internal Server Error', body=b'x' * c.rng.randrange(100_000))


@behaviour('tries', says='HTTP status 503', every=True)
async def status_503_for_ever(c):
    await answer(c, '503 Service Unavailable')


@behaviour('refused', says='cannot be reached|closed the connection')
async def no_http_at_all(c):
    c.strike()
    await c.raw(c.rng.choice([b'SSH-2.0-OpenSSH_9.2\r\n', b'\0' * 100, b'220 mail ESMTP\r\n', c.rng.randbytes(5000)]))


# ---------------------------------------------------------------------------------------------- TLS

async def never(c):
    c.server.failures.append('a request came through a connection that must not be trusted')


for kind_, then_, says_ in (('wrong_name', 'ends', 'certificate'), ('expired', 'ends', 'certificate'),
                            ('self_signed', 'ends', 'certificate'), ('old_protocol', 'tries', '(?i)tls|ssl|protocol')):
    name_ = f'tls_{kind_}'
    BEHAVIOURS[name_] = Behaviour(name_, never, then_, says_, True, (), kind_)


@behaviour('stays')
async def nothing_wrong(c):
    """At a pace that can be watched."""
    c.strike()
    await c.begin()
    for number in range(0, len(c.events), 500):
        await c.deliver(number, min(number + 500, len(c.events)))
        await asyncio.sleep(0.05)
    await c.hold()


@behaviour('stays', tls='good')
async def tls_good(c):
    """What the others would be, were they right."""
    c.strike()
    await c.before()
    await c.rest()
