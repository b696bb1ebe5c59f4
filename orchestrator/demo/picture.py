# SPDX-License-Identifier: Apache-2.0
"""What runs where in the demo: once for the terminal, once as SVG."""

ASCII = r"""
   "the Internet"              +-------------------------- this host ---------------------------+
   namespace {ns:<14}    |   web (VM)            db (VM)              spy (VM)            |
   HTTP + DNS servers          |   ixgbevf {web_ip:<11} ixgbevf {db_ip:<11}  vigia-capture       |
        |                      |      | VF 0               | VF 1                | VF 2          |
        | TAP                  |   +--+--------------------+---------------------+-----------+   |
        +----------------------+---+  vigia-softnic: software 82599, L2 switch, mirror rule  |   |
                               |   +--+--------------------------------------------------+---+   |
                               |      | PF                     every frame that web      |       |
                               |   vigia-pf  <-- vigia agent up    receives -> copy to spy       |
                               +-----------------------------------------------------------------+
"""

# x, y, width, height, title, line below it
BOXES = [(20, 60, 150, 70, "the Internet", "HTTP, DNS in {ns}"), (260, 20, 130, 70, "web", "VM, ixgbevf {web_ip}"),
         (420, 20, 130, 70, "db", "VM, ixgbevf {db_ip}"), (580, 20, 130, 70, "spy", "VM, vigia-capture"),
         (260, 150, 450, 60, "vigia-softnic", "software 82599: switch, mirror rule"),
         (260, 250, 210, 50, "vigia-pf", "manages the PF"), (500, 250, 210, 50, "vigia", "libvirt, one command")]
# from x, y to x, y, caption
LINES = [(170, 95, 260, 180, "TAP"), (325, 90, 325, 150, "VF 0"), (485, 90, 485, 150, "VF 1"),
         (645, 90, 645, 150, "VF 2: copies"), (365, 210, 365, 250, "PF"), (500, 275, 470, 275, "")]


def ascii_picture(**names):
    return ASCII.format(**names)


def svg_picture(**names):
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 730 320" font-family="sans-serif" font-size="12">',
             '<rect width="730" height="320" fill="white"/>',
             '<rect x="240" y="8" width="482" height="304" fill="none" stroke="#999" stroke-dasharray="4"/>']
    for x1, y1, x2, y2, caption in LINES:
        parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#333"/>')
        parts.append(f'<text x="{(x1 + x2) / 2 + 6}" y="{(y1 + y2) / 2}" fill="#666">{caption}</text>')
    for x, y, width, height, title, below in BOXES:
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="#eef3fa" stroke="#346"/>')
        parts.append(f'<text x="{x + 10}" y="{y + 24}" font-weight="bold">{title}</text>')
        parts.append(f'<text x="{x + 10}" y="{y + 44}">{below.format(**names)}</text>')
    return "\n".join(parts + ["</svg>", ""])
