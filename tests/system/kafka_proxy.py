"""Between a program and a Kafka broker: requests and answers can be held, lost, or passed on at a moment of the test's choice.
Knows the first bytes of a request only (api key, correlation id), and looks for names in what follows."""

import contextlib
import socket
import struct
import threading

PRODUCE, FETCH, LIST_OFFSETS, INIT, END = 0, 1, 2, 22, 26       # api keys


class Request:
    def __init__(self, connection, frame):
        self.connection, self.frame = connection, frame
        self.api, _, self.correlation = struct.unpack('>hhi', frame[4:12])

    def names(self, text):
        return text in self.frame[:300]

    def send(self, answered=False):
        """`answered`: comes back when the broker has answered."""
        answer = self.connection.awaited[self.correlation] = threading.Event()
        with self.connection.lock, contextlib.suppress(OSError):
            self.connection.server.sendall(self.frame)
        if answered:
            answer.wait(20)

    def settle(self):
        """Until all that was sent before it on this connection is answered."""
        for answer in list(self.connection.awaited.values()):
            answer.wait(20)

    def lose_answer(self):
        self.connection.dropped.add(self.correlation)


class Connection:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.lock, self.dropped, self.awaited = threading.Lock(), set(), {}

    def answers(self):
        with contextlib.suppress(OSError):
            for frame in frames(self.server):
                correlation = struct.unpack('>i', frame[4:8])[0]
                if correlation not in self.dropped:
                    with contextlib.suppress(OSError):
                        self.client.sendall(frame)
                self.awaited.pop(correlation, threading.Event()).set()
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)


class Proxy:
    """`handle(request)` is called by the thread of a connection for each request, and sends it, or does not."""

    def __init__(self, handle=Request.send):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.behind = None
        self.handle = handle
        self.kept = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        host, port = self.behind.split(':')
        with contextlib.suppress(OSError):
            connection = Connection(client, socket.create_connection((host, int(port))))
            self.kept.append(connection.server)         # what is held goes out on it when the client is long gone
            threading.Thread(target=connection.answers, daemon=True).start()
            for frame in frames(client):
                self.handle(Request(connection, frame))
        client.close()

    def close(self):
        self.listener.close()
        for server in self.kept:
            server.close()


def frames(connection):
    file = connection.makefile('rb')
    while True:
        size = file.read(4)
        if len(size) < 4:
            return
        yield size + file.read(struct.unpack('>i', size)[0])
