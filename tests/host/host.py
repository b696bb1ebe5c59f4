# SPDX-License-Identifier: Apache-2.0
"""A host in a VM without KVM: QEMU's 82576 with SR-IOV behind an IOMMU, Debian's kernel, and shared folders."""
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "guests"))
import images  # noqa: E402
from channel import Failed  # noqa: E402
from guest import Guest  # noqa: E402

from stage import UNPACK, stage_programs  # noqa: E402

PF = "0000:01:00.0"
PF_MAC = "52:54:00:12:34:00"
VFS = 7  # that QEMU's 82576 has
# Where the NIC's driver may be looked at beside its back (iomem), and DMA of the kernel itself is not translated (iommu=pt).
CMDLINE = "intel_iommu=on iommu=pt iomem=relaxed"
# For a kernel's command line: as a root port without ACS, all that is behind it is one IOMMU group.
NO_ACS = "pci=disable_acs_redir=pci:1b36:c"


def vf(index: int) -> str:
    """The PCI address of a VF: the first is at 01:10.0, and they lie two apart."""
    return f"0000:01:{0x10 + index // 4:02x}.{index % 4 * 2}"


def behind_port(folder: Path, number: int, cable: str, nic: str) -> list[str]:
    """For QEMU: a NIC behind a root port of its own, and its cable: unix datagram sockets CABLE.nic and CABLE.peer in folder."""
    return ["-netdev", f"dgram,id={cable},local.type=unix,local.path={folder}/{cable}.nic,remote.type=unix,"
                       f"remote.path={folder}/{cable}.peer",
            "-device", f"pcie-root-port,id=rp{number},chassis={number},slot={number}",
            "-device", f"{nic},netdev={cable},bus=rp{number}"]


@dataclass
class Done:
    status: int
    out: str
    err: str


class Host(Guest):
    """options: memory_mib, cpus; cmdline: of the kernel, beside what the image wants; iommu: whether the machine has one;
    nics: virtio-net NICs beside the 82576, by name, each with what QEMU's virtio-net-pci is told of it, and a cable of its own."""

    def __init__(self, folder: Path, memory_mib: int = 3072, cpus: int = 2, cmdline: str = CMDLINE, iommu: bool = True,
                 nics: dict[str, str] | None = None):
        super().__init__(folder, "host", "host", [], memory_mib, cpus, iommu, cmdline)
        self.share = folder / "lab"
        self.jobs = 0
        self.nics = nics or {}

    def command(self) -> list[str]:
        words = [str(images.qemu()), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.cpus), "-m", f"{self.memory}M",
                 "-machine", "q35,kernel-irqchip=split" if self.iommu else "q35",
                 "-kernel", str(self.kernel), "-initrd", str(self.initrd),
                 "-append", f"{images.cmdline('host')} {self.arguments}",
                 "-serial", f"file:{self.console}"]
        if self.iommu:  # first of all devices: those before it would stay outside
            words += ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]
        words += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=shell,path={self.shell.path},server=on,wait=off",
                  "-device", "virtserialport,chardev=shell,name=org.vigia.shell.0", "-device", "virtio-rng-pci"]
        for tag, path, access in self.shares():
            words += ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{access}"]
        cables = {"wire": f"igb,mac={PF_MAC}"} | {name: f"virtio-net-pci,{nic}" for name, nic in self.nics.items()}
        for number, (cable, nic) in enumerate(cables.items(), 1):
            words += behind_port(self.folder, number, cable, nic)
        return words

    def nic(self, name: str) -> str:
        """The PCI address of one of nics: buses are numbered as their root ports are."""
        return f"0000:{list(self.nics).index(name) + 2:02x}:00.0"

    def shares(self) -> list[tuple[str, Path, str]]:
        """Mount tag (and folder in the guest), folder here, access."""
        shares = [("lab", self.share, ""), ("programs", images.programs(), ",readonly=on"),
                  ("images", images.folder(), ",readonly=on"), ("source", images.SOURCE, ",readonly=on")]
        data = Path(os.environ.get("VIGIA_DATA", images.SOURCE.parent / "shared" / "data"))
        return shares + ([("data", data, ",readonly=on")] if data.is_dir() else [])

    def start(self, seconds: float = 300) -> float:
        self.share.mkdir(exist_ok=True)
        (self.share / "jobs").mkdir(exist_ok=True)
        stage_programs(images.programs(), self.share, "/programs")
        begin = time.monotonic()
        super().start(seconds)
        for tag, _, access in self.shares():
            # What never changes while the VM runs may be cached; programs and scripts may be built anew.
            cache = "loose" if tag == "images" else "mmap" if access else "none"
            self.status(f"mkdir -p /{tag}; mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache={cache} {tag} /{tag}")
        self.run(UNPACK)
        return time.monotonic() - begin

    def call(self, script: str, seconds: float = 60) -> Done:
        """Runs shell text; ends it after seconds (status 143)."""
        job = self.job(script)  # not "sh": busybox, which timeout is, takes its own, and that one its own ip
        status, text = self.shell.run(f"timeout -k 5 {seconds} /bin/dash {job.inside}.sh >{job.inside}.out 2>{job.inside}.err", seconds + 20)
        if text:
            raise Failed(f"{self.name}: {text}")
        return Done(status, job.read("out"), job.read("err"))

    def run(self, script: str, seconds: float = 60) -> str:
        """Output of shell text that must succeed."""
        done = self.call(script, seconds)
        if done.status != 0:
            raise Failed(f"{self.name}: {script}: status {done.status}: {done.out[-600:]}{done.err[-600:]}")
        return done.out

    def spawn(self, script: str) -> "Job":
        """Shell text in the background."""
        job = self.job(script)
        self.shell.run(f"(setsid /bin/dash {job.inside}.sh <&- >{job.inside}.out 2>{job.inside}.err; echo $? >{job.inside}.new;"
                       f" mv {job.inside}.new {job.inside}.status) >/dev/null 2>&1 & :")
        return job

    def job(self, script: str) -> "Job":
        self.jobs += 1
        name = f"{os.getpid()}-{self.jobs}"
        (self.share / "jobs" / f"{name}.sh").write_text(f"echo $$ >/lab/jobs/{name}.pid\n. /lab/environment\n{script}\n")
        return Job(self, name)

    def wait_for(self, what: str, ready, seconds: float = 20) -> float:
        """ready: a function, or shell text that is to succeed."""
        begin = time.monotonic()
        while not (ready() if callable(ready) else self.call(ready).status == 0):
            if time.monotonic() - begin > seconds:
                raise Failed(f"{what}: not within {seconds} s")
            time.sleep(0.2)
        return time.monotonic() - begin

    def again(self, **options) -> None:
        """Switches the machine off and boots another, with other options of Host."""
        self.kill()
        jobs = self.jobs
        self.__init__(self.folder, **options)
        self.jobs = jobs  # what the first machine ran keeps its files
        self.start()


class Job:
    """What runs in the background; out and err can be read while it runs."""

    def __init__(self, host: Host, name: str):
        self.host, self.inside, self.path = host, f"/lab/jobs/{name}", host.share / "jobs" / name

    def read(self, what: str) -> str:
        path = self.path.with_suffix("." + what)
        return path.read_text(errors="replace") if path.exists() else ""

    def ended(self) -> bool:
        return self.path.with_suffix(".status").exists()

    def wait(self, seconds: float = 60) -> Done:
        until = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > until:
                raise Failed(f"{self.read('sh')}: no end within {seconds} s: {self.read('out')[-600:]}{self.read('err')[-600:]}")
            time.sleep(0.1)
        return Done(int(self.read("status")), self.read("out"), self.read("err"))

    def stop(self, name: str = "TERM", seconds: float = 20) -> Done:
        """A signal to the job and all that it has started."""
        if not self.ended():
            self.host.call(f"kill -{name} -$(cat {self.inside}.pid)")
        return self.wait(seconds)

