"""A TCP proxy that misbehaves, for tests: between a client and a server on this machine.

    with Proxy(server_port, lambda number: Faults(cut_after=5000)) as proxy:
        ... connect to 127.0.0.1:proxy.port ...
    proxy.counts['cut']

The function is asked once a connection (numbers from 0). All faults are about what the server sends; numbers are bytes and seconds.
Toxiproxy's list of toxics is what it was measured by. It runs on a thread of its own.
"""
import asyncio
import collections
import dataclasses
import socket
import struct
import threading

CHUNK = 16384


@dataclasses.dataclass
class Faults:
    latency: float = 0          # before each piece that is passed on
    slice: int = 0              # pieces of at most so many bytes; 0: as they come
    stall_after: int = -1       # after so many bytes nothing for stall_for
    stall_for: float = 0
    cut_after: int = -1         # after so many bytes the end, in good order (FIN)
    reset_after: int = -1       # the same with a reset (RST)
    refuse: bool = False        # accepted, and closed at once


class Proxy:
    def __init__(self, target_port, faults=lambda number: Faults()):
        self.target_port, self.faults = target_port, faults
        self.counts = collections.Counter()     # connections, and faults that came by
        self.port = None
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.main, daemon=True)

    def __enter__(self):
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError('the proxy does not start')
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(10)

    def main(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.serve())
        self.loop.close()

    async def serve(self):
        self.over = asyncio.Event()
        server = await asyncio.start_server(self.connection, '127.0.0.1', 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.over.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def connection(self, reader, writer):
        number = self.counts['connections']
        self.counts['connections'] += 1
        faults = self.faults(number)
        try:
            if faults.refuse:
                self.counts['refuse'] += 1
                return
            server_reader, server_writer = await asyncio.open_connection('127.0.0.1', self.target_port)
            try:
                there = asyncio.create_task(self.pass_on(reader, server_writer, Faults()))
                back = asyncio.create_task(self.pass_on(server_reader, writer, faults))
                _, left = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
            finally:
                server_writer.close()
        except OSError:
            self.counts['no server'] += 1
        except asyncio.CancelledError:
            pass                                        # the proxy is over
        finally:
            writer.close()

    async def pass_on(self, reader, writer, faults):
        """Until the end of either side, or a fault that ends it."""
        passed, stalled = 0, False
        end = min((n for n in (faults.cut_after, faults.reset_after) if n >= 0), default=None)
        while passed != end:
            most = CHUNK if not faults.slice else faults.slice
            data = await reader.read(most if end is None else min(most, end - passed))
            if not data:
                return
            if faults.latency:
                self.counts['latency'] += 1
                await asyncio.sleep(faults.latency)
            if 0 <= faults.stall_after <= passed and not stalled:
                stalled = True
                self.counts['stall'] += 1
                await asyncio.sleep(faults.stall_for)
            self.counts['slice'] += bool(faults.slice)
            writer.write(data)
            await writer.drain()
            passed += len(data)
        if faults.reset_after == end:
            self.counts['reset'] += 1
            sock = writer.get_extra_info('socket')
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            writer.transport.abort()
        else:
            self.counts['cut'] += 1
