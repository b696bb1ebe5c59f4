# SPDX-License-Identifier: Apache-2.0
"""Where the images of ./dev images are: VIGIA_IMAGES, else build/images of this repository."""
import json
import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """A part cannot run here; the text says what is missing and what to do."""


def folder() -> Path:
    return Path(os.environ.get("VIGIA_IMAGES", SOURCE / "build" / "images"))


def programs() -> Path:
    return Path(os.environ.get("VIGIA_BIN", SOURCE / "build" / "bin"))


def qemu() -> Path:
    path = folder() / "runtime" / "bin" / "qemu-system-x86_64"
    if not path.exists():
        raise Missing(f"no QEMU at {path}; ./dev images runtime builds it")
    return path


def cmdline(image: str) -> str:
    """What the image wants on its kernel command line."""
    return json.loads((folder() / image / "manifest.json").read_text())["cmdline"]


def boot_files(image: str) -> tuple[Path, Path]:
    """Kernel and initrd of an image."""
    files = folder() / image / "vmlinux", folder() / image / "initrd.img"
    for path in files:
        if not path.exists():
            raise Missing(f"no {path}; ./dev images {image} builds it")
    return files
