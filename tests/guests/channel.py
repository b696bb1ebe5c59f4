# SPDX-License-Identifier: Apache-2.0
"""Commands to a shell behind a virtio-serial port: the images run one on the port org.vigia.shell.0."""
import socket
import time
from pathlib import Path


class Failed(Exception):
    pass


class Channel:
    """One line is one command, which a shell of its own runs; its output ends with a line "##EXIT STATUS"."""

    def __init__(self, path: Path):
        self.path, self.socket, self.number, self.rest = path, None, 0, b""

    def open(self, seconds: float, alive=lambda: True) -> None:
        """Waits until a shell answers, or alive() is false; throws away what was said before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and alive():
            try:
                if not self.socket:
                    self.socket = socket.socket(socket.AF_UNIX)
                    self.socket.connect(str(self.path))
                self.number += 1
                hello = f"hello {self.number}"
                self.start(f"echo {hello}")
                self.wait_for(f"{hello}\n\n##EXIT 0\n".encode(), 2)
                return
            except OSError:
                self.close()
                time.sleep(0.1)
            except Failed:
                pass
        raise Failed(f"{self.path}: no shell answers within {seconds} s; so far: {self.rest[-300:]!r}")

    def close(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def start(self, command: str) -> None:
        """Sends a command; finish() waits for it. One at a time."""
        assert "\n" not in command
        self.socket.sendall(command.encode() + b"\n")

    def wait_for(self, end: bytes, seconds: float) -> bytes:
        """What comes before end, which is taken too."""
        until = time.monotonic() + seconds
        while end not in self.rest:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise Failed(f"no end within {seconds} s; so far: {self.rest[-500:]!r}") from None
            if not data:
                raise ConnectionResetError("the guest has closed its shell")
            self.rest += data
        text, _, self.rest = self.rest.partition(end)
        return text

    def finish(self, seconds: float) -> tuple[int, str]:
        text = self.wait_for(b"\n##EXIT ", seconds)
        status = self.wait_for(b"\n", seconds)
        return int(status), text.decode(errors="replace").strip()

    def run(self, command: str, seconds: float = 30) -> tuple[int, str]:
        try:
            self.start(command)
            return self.finish(seconds)
        except OSError as e:
            raise Failed(f"{command}: {e}") from e
