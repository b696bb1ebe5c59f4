# SPDX-License-Identifier: Apache-2.0
"""Disk images as a host boots them, by BIOS and by UEFI; a NoCloud seed's name, key and address take effect"""
import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import images
from channel import Failed

IMAGES = ["probe-disk", "tenant-disk"]
NAME, ADDRESS, MAC = "vigia-disk-test", "10.0.2.77", "52:54:00:00:00:77"
FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")
SLOW = 600  # seconds: systemd and cloud-init under CPU emulation on a machine that others use
USER_DATA = """#cloud-config
hostname: {name}
ssh_authorized_keys: ["{key}"]
"""
NETWORK = """version: 2
ethernets:
  lan:
    match: {{macaddress: "{mac}"}}
    addresses: [{address}/24]
    gateway4: 10.0.2.2
"""


def run(image: str, report) -> None:
    disk = images.folder() / image / "disk.qcow2"
    for path in (images.qemu(), disk):
        if not path.exists():
            raise images.Missing(f"no {path}; ./dev images {image} builds it")
    folder = Path(tempfile.mkdtemp(prefix="vg."))
    try:
        report("disk_mb", disk.stat().st_size / 1e6)
        with Machine(folder, disk, "bios", seed(folder)) as machine:
            report("login_s", machine.wait_console(f"{NAME} login:"))
            took_effect(machine, image, report)
        if FIRMWARE.exists():
            with Machine(folder, disk, "uefi") as machine:
                report("uefi_login_s", machine.wait_console(" login:"))
        else:
            report("uefi", f"not tried: no {FIRMWARE}")
    finally:
        shutil.rmtree(folder)


def took_effect(machine, image: str, report) -> None:
    machine.expect("hostname", NAME)
    machine.expect("ip -br -4 address", f"{ADDRESS}/24")
    machine.expect("sudo -n cloud-init status --wait --long", "DataSourceNoCloud")
    machine.expect("systemctl is-active vigia-setup", "active")
    machine.expect("findmnt -no SIZE /", "3.")
    report("failed units", machine.ssh("systemctl --failed --no-legend --plain | cut -d' ' -f1") or "none")
    report("memory_used_mb", int(machine.ssh("free -m | sed -n 2p").split()[2]))
    if image.startswith("probe"):
        machine.expect("cat /run/vigia/service", "STORAGE=/var/lib/vigia")
        machine.expect("findmnt -no SOURCE /var/lib/vigia", "/dev/vda")
        machine.expect("systemctl is-enabled vigia-capture; vigia-capture --version", "vigia")
    else:
        machine.expect("curl -s http://127.0.0.1/", NAME)


def seed(folder: Path) -> Path:
    """The volume that cloud-init looks for."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    key = (folder / "key.pub").read_text().strip()
    files = {"meta-data": "instance-id: vigia-test\n", "user-data": USER_DATA.format(name=NAME, key=key),
             "network-config": NETWORK.format(mac=MAC, address=ADDRESS)}
    for name, text in files.items():
        (folder / name).write_text(text)
    try:
        subprocess.run(["genisoimage", "-quiet", "-volid", "cidata", "-rational-rock", "-output", "seed.iso", *files],
                       cwd=folder, check=True)
    except FileNotFoundError as e:
        raise images.Missing("no genisoimage; apt-get install genisoimage") from e
    return folder / "seed.iso"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """QEMU with the disk as its defaults attach it: on a PC, by IDE, BIOS; with UEFI by virtio. The disk stays as it is."""

    def __init__(self, folder: Path, disk: Path, boot: str, seed_file: Path | None = None):
        self.folder, self.console, self.port = folder, folder / f"{boot}.console", free_port()
        config, storage = folder / "config.json", folder / f"{boot}.img"
        config.write_text(json.dumps({"name": "disk1", "hugepages": 16, "storage": {"mode": "virtio"}}))
        with storage.open("wb") as blank:
            blank.truncate(128 << 20)
        words = [images.qemu(), "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768M", "-display", "none",
                 "-drive", f"file={disk},snapshot=on", "-serial", f"file:{self.console}", "-monitor", "none",
                 "-fw_cfg", f"name=opt/org.vigia/config,file={config}",
                 "-drive", f"file={storage},format=raw,if=virtio",
                 "-nic", f"user,model=virtio-net-pci,mac={MAC},hostfwd=tcp:127.0.0.1:{self.port}-{ADDRESS}:22"]
        if seed_file:
            words += ["-cdrom", seed_file]
        if boot == "uefi":
            words += ["-bios", FIRMWARE]
        self.words = [str(word) for word in words]

    def __enter__(self):
        self.begin = time.monotonic()
        self.log = open(self.folder / "qemu.log", "ab")
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def text(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def wait_console(self, wanted: str) -> float:
        while wanted not in self.text():
            if self.process.poll() is not None or time.monotonic() - self.begin > SLOW:
                raise Failed(f"'{wanted}' did not come; QEMU: {self.process.poll()} "
                             f"{(self.folder / 'qemu.log').read_text()[-500:]}; the console:\n{self.text()[-3000:]}")
            time.sleep(0.2)
        return time.monotonic() - self.begin

    def ssh(self, command: str) -> str:
        words = ["ssh", "-q", "-i", self.folder / "key", "-p", str(self.port), "-o", "StrictHostKeyChecking=no",
                 "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "debian@127.0.0.1"]
        for _ in range(5):  # the prompt may be there before the server of ssh is
            done = subprocess.run([*words, command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SLOW)
            if done.returncode != 255:
                return done.stdout.strip()
            time.sleep(5)
        raise Failed(f"no ssh to {ADDRESS}: {done.stdout}; the console:\n{self.text()[-3000:]}")

    def expect(self, command: str, text: str) -> None:
        said = self.ssh(command)
        if text not in said:
            raise Failed(f"{command}: printed:\n{said}\nexpected in it: {text}; the console:\n{self.text()[-2000:]}")
