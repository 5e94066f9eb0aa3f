"""Servers that misbehave below HTTP, for what the stand-in cannot do."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The base URL of a server that hands every connection to `answer` and then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        # Closing alone does not wake a thread that waits in accept().
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def hang_up(connection: socket.socket) -> None:
    """Take the request, and close without a word."""
    connection.recv(65536)


def reset(connection: socket.socket) -> None:
    """Take the request, and break the connection off hard."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def break_off(connection: socket.socket) -> None:
    """Begin an answer and never end it."""
    connection.recv(65536)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
        b'{"id": "resp_'
    )


def babble(connection: socket.socket) -> None:
    """Answer with something that is not HTTP."""
    connection.recv(65536)
    connection.sendall(b"220 mail.example.com ready\r\n\r\n")
