# SPDX-License-Identifier: Apache-2.0
"""A probe stores on a virtio disk: what the host reads from it afterwards is what was captured; a full disk is accounted for"""
import hashlib
import json
import pathlib
import subprocess
import tempfile
import time

from frames import Cable, frames_of  # finds scene
from scene import DB, WEB, Failed

BROADCAST, COUNT = "10.7.0.255", 500
SIZE, SMALL = 256 << 20, 16 << 20


def run(stage, report):
    refused(stage, report)
    stored(stage, report)
    again(stage, report)
    full(stage, report)
    system_disk(stage, report)


def probe_on(stage, disk, size, capture=""):
    return stage.agent_spec("keeper", kind="vnp", tap=f"storage: {{path: {disk}, size: {size}}}", capture=capture)


def up(stage, spec):
    stage.vigia("probe", "up", spec, "--json")


def store(stage):
    return stage.agent_status("keeper", "probe")["store"]


def refused(stage, report):
    """Before anything runs, with the reason; what is there stays as it is."""
    small, folder = stage.dir / "small.img", stage.dir / "no-such-folder"
    small.write_bytes(bytes(SMALL))
    for title, disk, size, reason in (("too small", small, "1G", "less than vm.storage.size"),
                                      ("no folder", folder / "x.img", "1G", "its folder is not there"),
                                      ("no disk", stage.dir, "1G", "neither a file nor a block device"),
                                      ("no room", stage.dir / "huge.img", "10T", "free; make room")):
        process = stage.run_vigia("probe", "up", probe_on(stage, disk, size))
        said = process.communicate()[1]
        report(f"{title}: exit status {process.returncode}", said.strip().splitlines()[-1])
        if process.returncode == 0 or reason not in said:
            raise Failed(f"{title}: exit status {process.returncode}, expected '{reason}': {said}")
        stage.expect_nothing_left(f"after the refusal, {title}")
    if small.stat().st_size != SMALL or (stage.dir / "huge.img").exists():
        raise Failed("a refused up changed or left a disk")


def on_the_disk(stage, disk):
    """Frames that the host reads from it: e2fsck plays the journal of a guest that was ended, debugfs copies out."""
    checked = subprocess.run(["e2fsck", "-fp", disk], capture_output=True, text=True)
    if checked.returncode > 1:
        raise Failed(f"e2fsck of {disk}: {checked.stdout}{checked.stderr}")
    folder = pathlib.Path(tempfile.mkdtemp(dir=stage.dir))
    subprocess.run(["debugfs", "-R", f"rdump /capture {folder}", disk], check=True, capture_output=True)
    file = folder / "all.pcapng"
    done = subprocess.run([stage.bin / "vigia-capture", "convert", folder / "capture", file, "--json"], text=True,
                          capture_output=True)
    if done.returncode != 0:
        raise Failed(f"convert of what is on {disk}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)["frames"], frames_of(file)


def compare(stage, report, disk, title):
    """Datagrams on the cable, in a pull and on the disk after the end."""
    with Cable(stage) as cable:
        cable.send(COUNT, WEB, DB, BROADCAST)
    file = stage.dir / "keeper.pcapng"
    stage.vigia("pull", "keeper", "-o", file)
    stage.wait_for("the store", lambda: store(stage)["unread"] == 0)
    said, pulled = store(stage), frames_of(file)
    stage.vigia("probe", "down", "keeper")
    stage.expect_nothing_left(f"{title}: after the probe")
    frames, kept = on_the_disk(stage, disk)
    # ICMP says some of them back.
    numbered = [sum(n for f, n in has.items() if b"vigia 0" in f)
                for has in (frames_of(stage.dir / "cable.pcap"), pulled, kept)]
    report(f"{title}: frames stored before down, pulled, on the disk", [said["stored"], pulled.total(), frames])
    report(f"{title}: numbered datagrams on the cable, pulled, on the disk", numbered)
    return said, pulled, frames, kept, numbered


def stored(stage, report):
    disk = stage.dir / "keeper.img"
    up(stage, probe_on(stage, disk, "256M"))
    words = stage.processes("guest=keeper,")[stage.qemu_of("keeper")]
    report("QEMU's disk", {word: word in words for word in ('"aio":"native"', '"aio":"io_uring"', '"direct":true')})
    if '"direct":true' not in words or disk.stat().st_blocks * 512 < SIZE:
        raise Failed(f"the disk is not without the host's cache, or not wholly there ({disk.stat().st_blocks * 512} bytes)")
    said, pulled, frames, kept, numbered = compare(stage, report, disk, "256M")
    if said["disk_dropped"] or pulled - kept or frames < said["stored"] or len(set(numbered)) != 1 or numbered[0] < 3 * COUNT:
        raise Failed(f"{(pulled - kept).total()} frames that were pulled are not on the disk; store: {said}")
    stage.first_frames = frames


def again(stage, report):
    """The same disk a second time, without a size: what is on it stays, new files come behind."""
    disk = stage.dir / "keeper.img"
    up(stage, stage.agent_spec("keeper", kind="vnp", tap=f"storage: {{path: {disk}}}"))
    said, pulled, frames, kept, _ = compare(stage, report, disk, "the same disk")
    if pulled - kept or frames < stage.first_frames + said["stored"]:
        raise Failed(f"{frames} frames on the disk, {stage.first_frames} of before and {said['stored']} now")


def full(stage, report):
    """Capture goes on from the ring; each frame is stored or counted as dropped; what was stored is whole."""
    disk = stage.dir / "tiny.img"
    up(stage, probe_on(stage, disk, "16M", ", max_file: 2M"))
    stage.start_load()
    stage.wait_for("the disk to be full", lambda: store(stage)["problem"], 180)
    stage.stop_load()
    status = stage.agent_status("keeper", "probe")
    said, captured = status["store"], status["capture"]["frames"]
    report("full disk", said)
    report("full disk: captured", captured)
    found = stage.vigia("doctor", "keeper", "--control", stage.nic / "pf.control", "--json", check=False)
    file = stage.dir / "full.pcapng"
    stage.vigia("pull", "keeper", "-o", file)
    pulled = frames_of(file).total()
    stage.vigia("probe", "down", "keeper")
    stage.expect_nothing_left("after the full disk")
    frames, _ = on_the_disk(stage, disk)
    report("full disk: pulled, on the disk", [pulled, frames])
    # Unread: from the last place on at which a file may begin.
    if not said["disk_dropped"] or said["stored"] + said["disk_dropped"] + said["unread"] != captured:
        raise Failed(f"{captured} captured, but {said['stored']} stored and {said['disk_dropped']} dropped")
    if frames != said["stored"] or pulled < captured or "disk-full" not in found:
        raise Failed(f"{frames} frames on the disk of {said['stored']}, {pulled} pulled of {captured}; doctor: {found}")


def system_disk(stage, report):
    """A probe whose system is on a disk too: that image stays as it is, what the system wrote goes with the VM."""
    image = pathlib.Path(stage.env["VIGIA_IMAGES"]) / "probe-disk/disk.qcow2"
    if not image.exists():
        report("probe from a system disk", f"SKIPPED: no {image}; ./dev images probe-disk")
        return
    digest, disk = hashlib.sha256(image.read_bytes()).hexdigest(), stage.dir / "system.img"
    spec = stage.agent_spec("keeper", kind="vnp", tap=f"storage: {{path: {disk}, size: 64M}}", image="probe-disk")
    begin = time.monotonic()
    stage.vigia("probe", "up", spec, "--wait", "600s", "--json")
    report("probe from a system disk: up after s", time.monotonic() - begin)
    said, pulled, frames, kept, numbered = compare(stage, report, disk, "probe from a system disk")
    if pulled - kept or frames < said["stored"] or numbered[0] < 3 * COUNT:
        raise Failed(f"{(pulled - kept).total()} frames that were pulled are not on the disk; store: {said}")
    if hashlib.sha256(image.read_bytes()).hexdigest() != digest:
        raise Failed(f"{image} was written to")
