# SPDX-License-Identifier: Apache-2.0
"""The rows of ./dev bench as one HTML page: a table, and a plot for each group. Nothing is loaded from elsewhere."""
import html

WIDTH, LABEL, BAR, GAP = 860, 300, 16, 8
OURS, PEER, SPREAD, INK = "#2b6cb0", "#a0aec0", "#c05621", "#1a202c"

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1a202c;max-width:920px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{padding:3px 8px;border-bottom:1px solid #e2e8f0;text-align:right}
td:first-child,th:first-child,td.ref{text-align:left}svg{width:100%;height:auto}h2{margin-top:2em}
.note{color:#4a5568}
"""


def group_of(row):
    return row["name"].partition(".")[0]


def number(value):
    return f"{value:.4g}" if isinstance(value, (int, float)) else html.escape(str(value))


def bar(y, value, scale, colour, text):
    width = max(1.0, value * scale)
    return (f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LABEL + width + 6:.1f}" y="{y + BAR - 4}" font-size="11" fill="{INK}">{html.escape(text)}</text>')


def plot(rows):
    """One bar for each row, its spread as a line over the bar's end, the peer or limit as a grey bar below it."""
    top = max([r["median"] + r["mad"] for r in rows] + [r.get("reference_median") or 0 for r in rows]) or 1
    scale = (WIDTH - LABEL - 190) / top
    parts, y = [], GAP
    for r in rows:
        name = r["name"].partition(".")[2] or r["name"]
        parts.append(f'<text x="{LABEL - 8}" y="{y + BAR - 4}" font-size="12" text-anchor="end" fill="{INK}">{html.escape(name)}</text>')
        ratio = f" = {r['ratio']:.2f} x" if "ratio" in r else ""
        parts.append(bar(y, r["median"], scale, OURS, f"{number(r['median'])} {r['unit']}{ratio}"))
        low, high = LABEL + max(0, r["median"] - r["mad"]) * scale, LABEL + (r["median"] + r["mad"]) * scale
        parts.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}" stroke="{SPREAD}" stroke-width="3"/>')
        y += BAR
        if r.get("reference_median"):
            parts.append(bar(y + 1, r["reference_median"], scale, PEER, f"{number(r['reference_median'])} {r['reference']}"))
            y += BAR + 1
        y += GAP
    return f'<svg viewBox="0 0 {WIDTH} {y}" role="img" font-family="system-ui,sans-serif">{"".join(parts)}</svg>'


def table(rows):
    lines = ["<table><tr><th>benchmark</th><th>median</th><th>spread</th><th>unit</th><th>runs</th><th>ratio</th>"
             "<th>beside</th></tr>"]
    for r in rows:
        beside = f"{html.escape(r['reference'])} ({number(r['reference_median'])})" if r.get("reference_median") else ""
        lines.append(f"<tr><td>{html.escape(r['name'])}</td><td>{number(r['median'])}</td><td>{number(r['mad'])}</td>"
                     f"<td>{html.escape(r['unit'])}</td><td>{r['runs']}</td><td>{number(r.get('ratio', ''))}</td>"
                     f'<td class="ref">{beside}</td></tr>')
    return "".join(lines) + "</table>"


def page(rows):
    groups = {}
    for r in rows:
        groups.setdefault(group_of(r), []).append(r)
    where = sorted({f"{r['machine']}; {r['compiler']}; commit {r['commit']}" for r in rows})
    loads = [r.get("load", 0) for r in rows]
    body = ["<h1>vigia: benchmarks</h1>", *(f"<p>{html.escape(w)}</p>" for w in where),
            f'<p class="note">Blue: median of the runs; orange: median absolute deviation; grey: a peer or a limit, measured in '
            f"the same run. Load of the machine before a benchmark: {min(loads, default=0)} to {max(loads, default=0)}.</p>"]
    for name, members in groups.items():
        body.append(f"<h2>{html.escape(name)}</h2>")
        units = {}
        for r in members:
            units.setdefault(r["unit"], []).append(r)
        body.extend(plot(same) for same in units.values())
        body.append(table(members))
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>vigia: benchmarks</title><style>{STYLE}</style>{"".join(body)}</html>\n'
