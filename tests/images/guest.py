# SPDX-License-Identifier: Apache-2.0
"""A guest from build/images under QEMU's own CPU emulation, driven by its console and its shell port."""
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import tempfile
import time

IMAGES = pathlib.Path(os.environ.get("VIGIA_IMAGES", pathlib.Path(__file__).parents[2] / "build/images"))
SKIPPED = 77


def missing_images(*names: str) -> str:
    """What has to be built first, or an empty string."""
    absent = [name for name in ("runtime", *names) if not (IMAGES / name / "manifest.json").exists()]
    return f"no image {', '.join(absent)} in {IMAGES}: ./dev images {' '.join(absent)}" if absent else ""


class Guest:
    """One QEMU. As a context manager it ends the process and removes its folder."""

    def __init__(self, image: str, config: dict, devices: tuple[str, ...] = (), memory: str = "256M", machine: str = "q35"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vigia-guest-"))
        self.console_text = ""
        manifest = json.loads((IMAGES / image / "manifest.json").read_text())
        (self.folder / "config.json").write_text(json.dumps(config))
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(IMAGES / "runtime/bin/qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none",
             "-machine", machine, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", memory, "-no-reboot",
             "-kernel", str(IMAGES / image / "vmlinux"), "-initrd", str(IMAGES / image / "initrd.img"),
             "-append", manifest["cmdline"], "-serial", "stdio",
             "-fw_cfg", f"name=opt/org.vigia/config,file={self.folder}/config.json",
             "-device", "virtio-serial-pci", "-chardev", f"socket,id=shell,path={self.folder}/shell,server=on,wait=off",
             "-device", "virtserialport,chardev=shell,name=org.vigia.shell.0", *devices],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

    def wait_console(self, text: str, seconds: float = 120) -> float:
        """Until the console has shown the text; returns the seconds since QEMU was started."""
        deadline = time.monotonic() + seconds
        while text not in self.console_text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                raise TimeoutError(f"'{text}' did not come within {seconds} s; the console said:\n{self.console_text[-3000:]}")
            self.console_text += chunk.decode(errors="replace")
        return time.monotonic() - self.began

    def run(self, command: str, seconds: float = 60) -> tuple[int, str]:
        """Runs a shell command in the guest: its exit status and what it printed."""
        with socket.socket(socket.AF_UNIX) as port:
            port.settimeout(seconds)
            port.connect(str(self.folder / "shell"))
            port.sendall(command.encode() + b"\n")
            answer = b""
            while b"\n##EXIT " not in answer or not answer.endswith(b"\n"):
                answer += port.recv(65536)
        output, _, status = answer.decode(errors="replace").rpartition("\n##EXIT ")
        return int(status), output
