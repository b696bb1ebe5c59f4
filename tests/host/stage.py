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


def stage_programs(built: Path, share: Path, inside: str) -> None:
    """built: the folder of programs, seen in the guest as inside. share (in the guest /lab) gets lib and bin, whose commands
    run what lies in built at that time; tests (test_*) too, where there are any."""
    (share / "bin").mkdir(exist_ok=True)
    (share / "lib").mkdir(exist_ok=True)
    programs = [built / name for name in PROGRAMS if (built / name).exists()] + sorted(built.glob("test_*"))
    for program in programs:
        for library in libraries(program):
            target = share / "lib" / library.name
            if not target.exists() or target.stat().st_mtime < library.stat().st_mtime:
                shutil.copy2(library, target)
        command = share / "bin" / program.name
        command.write_text("#!/bin/sh\nexec /lab/lib/ld-linux-x86-64.so.2 --library-path /lab/lib "
                           f'{inside}/{program.name} "$@"\n')
        command.chmod(0o755)
    (share / "environment").write_text("export PATH=/lab/bin:$PATH HOME=/root VIGIA_IMAGES=/images VIGIA_ACCELERATOR=tcg "
                                       "VIGIA_DATA=/data\ncd /root\n")
