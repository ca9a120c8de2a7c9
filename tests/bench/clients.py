"""Many clients of the live stream in one process: each counts its frames by their id, BOOT-CHANNEL-SEQ."""
import ipaddress
import re
import selectors
import socket
import time

PER_ADDRESS = 10                                        # the server allows one address 20
REQUEST = b'GET /api/v1/stream?views=now:1m&hz=1 HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n'
ID = re.compile(rb'^id: ?[0-9a-f]+-\d+-(\d+)\r?\n', re.M)


class Client:
    def __init__(self, address, number):
        self.tail, self.last, self.frames, self.lost, self.over = b'', None, 0, 0, False
        self.socket = socket.socket()
        self.socket.bind((str(ipaddress.ip_address('127.0.1.1') + number // PER_ADDRESS), 0))
        self.socket.settimeout(30)
        self.socket.connect(address)
        self.socket.sendall(REQUEST % b'%s:%d' % (address[0].encode(), address[1]))
        self.socket.setblocking(False)

    def read(self, first_seen):
        piece = self.socket.recv(1 << 16)
        self.over = not piece
        text = self.tail + piece
        end = text.rfind(b'\n') + 1
        for match in ID.finditer(text[:end]):
            sequence = int(match[1])
            if self.last is not None and sequence > self.last:
                self.lost += sequence - self.last - 1
            if sequence != self.last:                   # state and delta of one frame share it
                self.frames += 1
                first_seen.setdefault(sequence, [time.monotonic()] * 2)[1] = time.monotonic()
            self.last = sequence
        self.tail = text[end:]


def follow(address, count, seconds):
    """-> connected, frames, lost, spread_ms. Measured from when all are connected; who is cut off loses what is left."""
    clients = [Client(address, number) for number in range(count)]
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            waiting.register(client.socket, selectors.EVENT_READ, client)
        first_seen = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for key, _ in waiting.select(0.1):
                key.data.read(first_seen)
                if key.data.over:
                    waiting.unregister(key.fileobj)
    newest = max((client.last or 0) for client in clients)
    for client in clients:                              # the newest may still be under way
        client.lost += max(0, newest - 1 - (client.last or 0))
        client.socket.close()
    middle = [later - first for sequence, (first, later) in first_seen.items() if sequence < newest]
    return {'connected': sum(client.frames > 0 and not client.over for client in clients),
            'frames': sum(client.frames for client in clients), 'lost': sum(client.lost for client in clients),
            'spread_ms': 1000 * max(middle, default=0)}
