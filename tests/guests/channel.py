# SPDX-License-Identifier: Apache-2.0
"""Commands to a shell behind a virtio-serial port: the images run one on the port org.vigia.shell.0."""
import socket
import time
from pathlib import Path


class Failed(Exception):
    pass


class Channel:
    def __init__(self, path: Path):
        self.path, self.socket, self.number, self.rest = path, None, 0, b""

    def open(self, seconds: float) -> None:
        """Waits until a shell answers."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.close()
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(1)
                self.socket.connect(str(self.path))
                self.run("true", 2)
                return
            except (OSError, Failed) as e:
                if time.monotonic() > until:
                    raise Failed(f"{self.path}: no shell answers within {seconds} s ({e})") from e
                time.sleep(0.1)

    def close(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def start(self, command: str) -> str:
        """Sends a command; finish() waits for it. Returns what finish() needs."""
        self.number += 1
        mark = f"@@{time.monotonic_ns()}.{self.number}"
        self.socket.sendall(f"{{ {command}\n}} </dev/null 2>&1; echo; echo \"{mark} $?\"\n".encode())
        return mark

    def finish(self, mark: str, seconds: float) -> tuple[int, str]:
        until = time.monotonic() + seconds
        while True:
            at = self.rest.find(mark.encode())
            end = self.rest.find(b"\n", at) if at >= 0 else -1
            if end >= 0:
                break
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise Failed(f"no end within {seconds} s; so far: {self.rest[-500:].decode(errors='replace')!r}") from None
            if not data:
                raise Failed("the guest has closed its shell")
            self.rest += data
        text, status = self.rest[:at], self.rest[at:end].split()[-1]
        self.rest = self.rest[end + 1:]
        return int(status), text.decode(errors="replace").strip()

    def run(self, command: str, seconds: float = 30) -> tuple[int, str]:
        return self.finish(self.start(command), seconds)
