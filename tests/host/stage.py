# SPDX-License-Identifier: Apache-2.0
"""Our programs for a guest that has another Debian, perhaps: each with its libraries and its loader."""
import re
import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("vigia", "vigia-pf", "vigia-capture", "vigia-softnic")


def libraries(program: Path) -> list[Path]:
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", text)]


# Run from the guest's memory: from a shared folder each page is a message. What was built anew is copied anew.
COMMAND = """#!/bin/sh
[ -e /opt/vigia/{name} ] && [ ! {built} -nt /opt/vigia/{name} ] || {{ cp -p {built} /opt/vigia/{name}.$$ && mv /opt/vigia/{name}.$$ /opt/vigia/{name}; }}
exec /opt/vigia/lib/ld-linux-x86-64.so.2 --library-path /opt/vigia/lib /opt/vigia/{name} "$@"
"""
ENVIRONMENT = """export PATH=/lab/bin:$PATH HOME=/root VIGIA_IMAGES=/images VIGIA_ACCELERATOR=tcg VIGIA_DATA=/data
cd /root
"""
# Run once, when the folder is there.
UNPACK = "mkdir -p /opt/vigia && cp -r /lab/lib /opt/vigia/"


def stage_programs(built: Path, share: Path, inside: str) -> None:
    """built: the folder of programs, seen in the guest as inside. share (in the guest /lab) gets their libraries, and bin,
    whose commands run what lies in built at that time; tests (test_*) too, where there are any."""
    (share / "bin").mkdir(exist_ok=True)
    (share / "lib").mkdir(exist_ok=True)
    for program in [built / name for name in PROGRAMS if (built / name).exists()] + sorted(built.glob("test_*")):
        for library in libraries(program):
            if not (share / "lib" / library.name).exists():
                shutil.copy2(library, share / "lib")
        command = share / "bin" / program.name
        command.write_text(COMMAND.format(built=f"{inside}/{program.name}", name=program.name))
        command.chmod(0o755)
    (share / "environment").write_text(ENVIRONMENT)
