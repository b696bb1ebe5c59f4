# SPDX-License-Identifier: Apache-2.0
"""A virtual machine without KVM, with functions of a softnic and a shell."""
import json
import subprocess
import time
from pathlib import Path

import images
from channel import Channel, Failed


class Guest:
    """functions: vfio-user sockets. iommu: the guest gets one, for drivers in its user space."""

    def __init__(self, folder: Path, name: str, image: str, functions: list[Path], memory_mib: int = 256,
                 cpus: int = 1, iommu: bool = False, arguments: str = ""):
        self.folder, self.name, self.functions = folder, name, functions
        self.kernel, self.initrd = images.boot_files(image)
        self.memory, self.cpus, self.iommu, self.arguments = memory_mib, cpus, iommu, arguments
        self.console = folder / f"{name}.console"
        self.shell = Channel(folder / f"{name}.shell")
        self.process = None

    def command(self) -> list[str]:
        memory = f"memory-backend-memfd,id=mem0,size={self.memory}M,share=on"
        append = "console=ttyS0 panic=-1 quiet mitigations=off " + self.arguments
        machine = "q35,memory-backend=mem0"
        words = [str(images.qemu()), "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg,thread=multi",
                 "-cpu", "max", "-smp", str(self.cpus), "-m", f"{self.memory}M", "-object", memory,
                 "-kernel", str(self.kernel), "-initrd", str(self.initrd),
                 "-serial", f"file:{self.console}", "-device", "virtio-serial-pci",
                 "-chardev", f"socket,id=shell,path={self.shell.path},server=on,wait=off",
                 "-device", "virtserialport,chardev=shell,name=org.vigia.shell.0"]
        if self.iommu:
            # First of all devices: those before it would stay outside.
            words += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
            append += " intel_iommu=on"
        words += ["-machine", machine, "-append", append]
        for i, path in enumerate(self.functions):
            device = {"driver": "vfio-user-pci", "id": f"fn{i}", "bus": f"rp{i}",
                      "socket": {"type": "unix", "path": str(path)}}
            words += ["-device", f"pcie-root-port,id=rp{i},chassis={i + 1},slot={i + 1}", "-device", json.dumps(device)]
        return words

    def start(self, seconds: float = 60) -> float:
        """Returns the seconds from the start of QEMU to a shell that answers."""
        begin = time.monotonic()
        log = open(self.folder / f"{self.name}.qemu", "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True)  # Ctrl-C is the lab's, which ends it
        try:
            self.shell.open(seconds, lambda: self.process.poll() is None)
        except Failed as e:
            tail = (self.folder / f"{self.name}.qemu").read_text(errors="replace")[-500:]
            raise Failed(f"{self.name}: {e}; QEMU {self.process.poll()}: {tail}; console {self.console}") from e
        return time.monotonic() - begin

    def run(self, command: str, seconds: float = 30) -> str:
        """Output of a command that must succeed."""
        status, text = self.shell.run(command, seconds)
        if status != 0:
            raise Failed(f"{self.name}: {command}: status {status}: {text[-600:]}")
        return text

    def status(self, command: str, seconds: float = 30) -> int:
        return self.shell.run(command, seconds)[0]

    def reboot(self, seconds: float = 60) -> float:
        begin = time.monotonic()
        self.shell.start("reboot -f")
        time.sleep(0.5)
        self.shell.open(seconds)
        return time.monotonic() - begin

    def kill(self) -> None:
        """As if the host had killed it."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.shell.close()
