# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of the demo's own: its state lies in one folder, nothing of the host's libvirt is seen or changed."""
import os
import pathlib
import signal
import subprocess
import time

LIBVIRTD_CONF = 'unix_sock_dir = "{dir}/sock"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
# cgroups and user switching are the host daemon's business; guests of the demo need neither.
QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
clear_emulator_capabilities = 0
namespaces = []
cgroup_controllers = []
"""
PLACES = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt", "cache": "/var/cache/libvirt",
          "run": "/run/libvirt"}


class PrivateLibvirt:
    """Started in a mount namespace of its own; ended with `stop()`. Guests outlive it unless they are taken down."""

    def __init__(self, folder: pathlib.Path, cache: pathlib.Path, tcg_only: bool):
        self.dir = folder
        self.uri = f"qemu+unix:///system?socket={folder}/sock/libvirt-sock"
        self.cache = cache  # what libvirt learns of an emulator takes seconds to learn: kept between runs
        self.tcg_only = tcg_only
        self.process = None

    def start(self):
        for name in (*PLACES, "sock", "etc/qemu"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        (self.dir / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF.format(dir=self.dir))
        (self.dir / "etc/qemu.conf").write_text(QEMU_CONF)
        # Debian's libvirt asks for this user at its start, also when no guest runs as it.
        passwd = pathlib.Path("/etc/passwd").read_text()
        if "libvirt-qemu:" not in passwd:
            passwd += "libvirt-qemu:x:64055:64055:libvirt:/nonexistent:/usr/sbin/nologin\n"
        (self.dir / "passwd").write_text(passwd)
        group = pathlib.Path("/etc/group").read_text()
        if "libvirt-qemu:" not in group:
            group += "libvirt-qemu:x:64055:\n"
        (self.dir / "group").write_text(group)
        (self.dir / "no-kvm").touch()
        self.spawn()

    def spawn(self):
        mounts = [f"mkdir -p {place}; mount --bind {self.cache if name == 'cache' else self.dir / name} {place}"
                  for name, place in PLACES.items()]
        mounts += [f"mount --bind {self.dir}/{name} /etc/{name}" for name in ("passwd", "group")]
        if self.tcg_only and os.path.exists("/dev/kvm"):
            # libvirt looks at it by itself: read-only, it is not usable.
            mounts.append(f"mount --bind {self.dir}/no-kvm /dev/kvm; mount -o remount,bind,ro /dev/kvm")
        # A chroot is no mount point and cannot be made private; nor need it be.
        script = "mount --make-rprivate / 2>/dev/null; set -e; " + "; ".join(mounts) + f"; exec libvirtd -f {self.dir}/etc/libvirtd.conf -p {self.dir}/pid"
        log = open(self.dir / "libvirtd.log", "ab")
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "unchanged", "bash", "-c", script],
                                        stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        socket = self.dir / "sock/libvirt-sock"
        deadline = time.monotonic() + 30
        while not socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("libvirtd does not start:\n" + (self.dir / "libvirtd.log").read_text()[-2000:])
            time.sleep(0.05)

    def kill(self):
        """As a crash would: guests go on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        (self.dir / "sock/libvirt-sock").unlink(missing_ok=True)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
