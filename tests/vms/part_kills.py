# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of each process involved, in each step: ls names the damage, repair mends it, nothing is left, tenants work"""
import os
import signal
import time

from stage import Failed

# What must be read in `vigia ls` after `up` was killed while it is in that step.
UP_STEPS = ("setting up the VF", "starting the domain", "waiting for the guest", "mirroring", "noting that it is up")
# These take milliseconds: `up` may be faster than the kill.
LAST_STEPS = ("mirroring", "noting that it is up")
DOWN_STEPS = ("stopping the guest's service", "restoring the VF")


def run(stage, report):
    for step in UP_STEPS:
        up_killed(stage, report, step)
    manager_and_libvirt_killed(stage, report)
    qemu_killed_in_up(stage, report)
    qemu_killed(stage, report)
    for step in DOWN_STEPS:
        down_killed(stage, report, step)
    libvirt_killed_in_up(stage, report)
    nic_killed(stage, report)


def texts(damages):
    return [f"{damage['subject']}: {damage['text']}; {damage['remedy']}" for damage in damages]


def expect_damage(stage, report, title, *words):
    """ls must name it."""
    found = texts(stage.damages())
    report(f"{title}: ls", found)
    for word in words:
        if not any(word in text for text in found):
            raise Failed(f"{title}: expected '{word}' of vigia ls, it says {found}")


def mend(stage, report, title):
    """repair must have done all, and what is there must be as it was before the agent."""
    done = stage.repair()
    report(f"{title}: repair", [f"{entry['subject']}: {entry['remedy']}: {entry['error'] or 'done'}" for entry in done])
    finish(stage, title)


def finish(stage, title):
    if damages := stage.damages():
        raise Failed(f"{title}: ls still names {texts(damages)}")
    stage.expect_nothing_left(title)
    stage.expect_tenants_work(title)


def agent_up(stage):
    stage.vigia("agent", "up", stage.agent_spec(), "--json")


def up_killed(stage, report, step):
    title = f"up killed while '{step}'"
    process = stage.run_vigia("agent", "up", stage.agent_spec())
    stage.until_step(process, step)
    stage.kill(process)
    found = texts(stage.damages())
    if step in LAST_STEPS and not found:
        report(f"{title}: ls", "nothing: it had noted already")
        stage.vigia("agent", "down", "spy")
        return finish(stage, title)
    expect_damage(stage, report, title, "its `up` was killed")
    mend(stage, report, title)


def down_killed(stage, report, step):
    title = f"down killed while '{step}'"
    agent_up(stage)
    process = stage.run_vigia("agent", "down", "spy")
    stage.until_step(process, step)
    stage.kill(process)
    expect_damage(stage, report, title, "its `down` was killed")
    mend(stage, report, title)


def manager_and_libvirt_killed(stage, report):
    """Neither ends the agent or a tenant; what vigia-pf is asked for by up is asked for again."""
    agent_up(stage)
    frames = stage.mirrored()
    title = "vigia-pf killed"
    stage.kill(stage.child("vigia-pf"))
    expect_damage(stage, report, title, "its port has no manager", "start vigia-pf")
    stage.start_manager()
    expect_damage(stage, report, f"{title} and started", "spy: ")
    done = stage.repair()
    report(f"{title} and started: repair", [f"{e['subject']}: {e['remedy']}: {e['error'] or 'done'}" for e in done])
    if damages := stage.damages():
        raise Failed(f"{title}: ls still names {texts(damages)}")
    report(f"{title}, started, repaired: tenants reach their peers after s", stage.expect_tenants_work(title))
    stage.wait_for("mirrored frames again", lambda: stage.mirrored() > frames, 30)

    title = "libvirtd killed"
    stage.libvirt.kill()
    process = stage.run_vigia("ls")
    said = process.communicate()[1].strip()
    report(f"{title}: ls", {"exit status": process.returncode, "said": said})
    if process.returncode != 1 or "is libvirtd up" not in said:
        raise Failed(f"{title}: ls says {said}")
    stage.libvirt.spawn()
    if damages := stage.damages():
        raise Failed(f"{title} and started: ls names {texts(damages)}, nothing is damaged")
    stage.agent_status()
    stage.vigia("agent", "down", "spy")
    finish(stage, title)


def libvirt_killed_in_up(stage, report):
    title = "libvirtd killed while up waits for the guest"
    process = stage.run_vigia("agent", "up", stage.agent_spec())
    stage.until_step(process, "waiting for the guest")
    stage.libvirt.kill()
    said = process.communicate(timeout=300)[1].strip()
    report(f"{title}: up", {"exit status": process.returncode, "said": said.splitlines()[-3:]})
    if process.returncode != 1:
        raise Failed(f"{title}: exit status {process.returncode}: {said}")
    stage.libvirt.spawn()
    expect_damage(stage, report, title, "its `")
    mend(stage, report, title)


def qemu_killed_in_up(stage, report):
    title = "QEMU killed while up waits for the guest"
    process = stage.run_vigia("agent", "up", stage.agent_spec())
    stage.until_step(process, "waiting for the guest")
    os.kill(stage.qemu_of("spy"), signal.SIGKILL)
    begin = time.monotonic()
    said = process.communicate(timeout=60)[1].strip()
    report(f"{title}: up", {"exit status": process.returncode, "seconds": round(time.monotonic() - begin, 1),
                            "said": [line for line in said.splitlines() if "error" in line]})
    if process.returncode != 1 or "its QEMU ended" not in said:
        raise Failed(f"{title}: exit status {process.returncode}: {said}")
    finish(stage, title)


def qemu_killed(stage, report):
    title = "the agent's QEMU killed"
    agent_up(stage)
    os.kill(stage.qemu_of("spy"), signal.SIGKILL)
    stage.wait_for("libvirt notices", lambda: stage.damages(), 20)
    expect_damage(stage, report, title, "its QEMU died")
    mend(stage, report, title)


def nic_killed(stage, report):
    """The tenants' NIC lives in it: they are without one, and take a new one by a new boot."""
    title = "softnic killed"
    agent_up(stage)
    stage.kill(stage.child("softnic"))
    stage.wait_for("vigia-pf ends without its NIC", lambda: stage.child("vigia-pf").poll() is not None, 20)
    report(f"{title}: vigia-pf's end", stage.log("vigia-pf").strip().splitlines()[-1:])
    expect_damage(stage, report, title, "its port has no manager")
    stage.start_nic()
    stage.start_manager()
    # A QEMU that touched the NIC meanwhile has ended; the others go on, with a VF that is no more.
    expect_damage(stage, report, f"{title}, it and vigia-pf started", "spy: ", "web: ", "db: ")
    done = stage.repair(check=False)
    report(f"{title}, both started: repair", [f"{e['subject']}: {e['remedy']}: {e['error'] or 'done'}" for e in done])
    stage.vigia("agent", "down", "--all", check=False)
    stage.vigia("tenant", "down", "--all", check=False)
    stage.tenants()
    finish(stage, title)
    report(f"{title}: left to do for the user", "start vigia-softnic and vigia-pf, then down and up of each VM on it")
