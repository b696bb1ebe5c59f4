# SPDX-License-Identifier: Apache-2.0
"""A host that stays up between commands, for work by hand: --up, --run COMMAND, --shell, --down."""
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from host import CMDLINE, Failed, Host, images

FOLDER = images.SOURCE / "out" / "lab-host"
STATE = FOLDER / "up.json"


def add_options(parser) -> None:
    group = parser.add_argument_group("a host that stays up, for work by hand; its folder is out/lab-host")
    group.add_argument("--up", action="store_true", help="boot it")
    group.add_argument("--cmdline", default=CMDLINE, help="of its kernel (%(default)s)")
    group.add_argument("--no-iommu", action="store_true", help="of a machine that has none")
    group.add_argument("--run", metavar="COMMAND", help="run shell text in it; its output and exit status")
    group.add_argument("--timeout", type=float, default=120, metavar="S", help="for --run (%(default)s)")
    group.add_argument("--shell", action="store_true", help="the same for each line of the terminal")
    group.add_argument("--down", action="store_true", help="switch it off")


def wanted(options) -> bool:
    return bool(options.up or options.run or options.shell or options.down)


def alive(pid: int) -> bool:
    """QEMU of that number, not a stranger's process that has it by now."""
    try:
        return f"{FOLDER}/wire.nic".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def running() -> int | None:
    pid = json.loads(STATE.read_text())["pid"] if STATE.exists() else 0
    return pid if pid and alive(pid) else None


def up(options) -> None:
    if pid := running():
        raise Failed(f"one is up already (process {pid}): --down ends it")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    host = Host(FOLDER, cmdline=options.cmdline, iommu=not options.no_iommu)
    seconds = host.start()
    STATE.write_text(json.dumps({"pid": host.process.pid}))
    print(f"up in {seconds:.1f} s; console {host.console}, /lab is {host.share}")


def attached() -> Host:
    if not running():
        raise Failed("none is up: --up boots it")
    host = Host(FOLDER)
    host.shell.open(20)
    return host


def down() -> None:
    if not (pid := running()):
        return
    os.kill(pid, signal.SIGTERM)
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


def command(host: Host, text: str, seconds: float) -> int:
    done = host.call(text, seconds)
    sys.stdout.write(done.out)
    sys.stderr.write(done.err)
    return done.status


def shell(host: Host) -> int:
    status = 0
    while True:
        try:
            line = input("host# ")
        except (EOFError, KeyboardInterrupt):
            return status
        status = command(host, line, 600)


def run(options) -> int:
    status = 0
    if options.up:
        up(options)
    if options.run:
        status = command(attached(), options.run, options.timeout)
    if options.shell:
        status = shell(attached())
    if options.down:
        down()
    return status
