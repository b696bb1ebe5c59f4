# SPDX-License-Identifier: Apache-2.0
"""The rows of ./dev bench as one HTML page: a table, and a plot for each group. Nothing is loaded from elsewhere."""
import html

WIDTH, LABEL, BAR, GAP = 960, 310, 16, 8
ROOM = 230  # for the text beside the longest bar
GLYPH = {12: 6.4, 11: 5.6}  # pixels of an average character
OURS, PEER, SPREAD, INK = "#2b6cb0", "#a0aec0", "#c05621", "#1a202c"

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1a202c;max-width:1020px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{padding:3px 8px;border-bottom:1px solid #e2e8f0;text-align:right}
td:first-child,th:first-child,td.ref{text-align:left}svg{width:100%;height:auto}h2{margin-top:2em}
.note,td.more{color:#4a5568}td.more{text-align:left;font-size:12px;overflow-wrap:anywhere}
"""


def group_of(row):
    return row["name"].partition(".")[0]


def number(value):
    return f"{value:.4g}" if isinstance(value, (int, float)) else html.escape(str(value))


def fit(text, pixels, size):
    """The text, shortened where it has no room; whole when the mouse is over it."""
    most = int(pixels / GLYPH[size])
    return html.escape(text if len(text) <= most else text[:most - 1] + "\u2026") + f"<title>{html.escape(text)}</title>"


def bar(y, value, scale, colour, text):
    width = max(1.0, value * scale)
    x = LABEL + width + 6
    return (f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{x:.1f}" y="{y + BAR - 4}" font-size="11" fill="{INK}">{fit(text, WIDTH - x, 11)}</text>')


def plot(rows):
    """One bar for each row, its spread as a line over the bar's end, the peer or limit as a grey bar below it."""
    top = max([r["median"] + r["mad"] for r in rows] + [r.get("reference_median") or 0 for r in rows]) or 1
    scale = (WIDTH - LABEL - ROOM) / top
    parts, y = [], GAP
    for r in rows:
        name = (r["name"].partition(".")[2] or r["name"]).removesuffix("/manual_time").removesuffix("/real_time")
        parts.append(f'<text x="{LABEL - 8}" y="{y + BAR - 4}" font-size="12" text-anchor="end" fill="{INK}">{fit(name, LABEL - 8, 12)}</text>')
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


COLUMNS = {"name", "median", "mad", "unit", "runs", "ratio", "reference", "reference_median", "commit", "machine", "compiler",
           "lower_is_better", "per_policy"}


def more(row):
    """What a row has beside the table's columns."""
    def text(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k}: {text(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return html.escape("; ".join(f"{k} {text(v)}" for k, v in row.items() if k not in COLUMNS))


def table(rows):
    lines = ["<table><tr><th>benchmark</th><th>median</th><th>spread</th><th>unit</th><th>runs</th><th>ratio</th>"
             "<th>beside</th></tr>"]
    for r in rows:
        beside = f"{html.escape(r['reference'])} ({number(r['reference_median'])})" if r.get("reference_median") else ""
        unit = html.escape(r["unit"]) + (" (less is better)" if r.get("lower_is_better") else "")
        lines.append(f"<tr><td>{html.escape(r['name'])}</td><td>{number(r['median'])}</td><td>{number(r['mad'])}</td>"
                     f"<td>{unit}</td><td>{r['runs']}</td><td>{number(r.get('ratio', ''))}</td>"
                     f'<td class="ref">{beside}</td></tr>')
        if details := more(r):
            lines.append(f'<tr><td class="more" colspan="7">{details}</td></tr>')
    return "".join(lines) + "</table>"


def policies(rows):
    """Errors of time stamps, per policy."""
    rows = [r for r in rows if "per_policy" in r]
    if not rows:
        return ""
    figures = list(next(iter(rows[0]["per_policy"].values())))
    lines = ["<table><tr><th>ns</th><th>policy</th>" + "".join(f"<th>{f}</th>" for f in figures) + "</tr>"]
    for r in rows:
        for policy, of in r["per_policy"].items():
            cells = "".join(f"<td>{number(of[f])}</td>" for f in figures)
            lines.append(f"<tr><td>{html.escape(r['name'])}</td><td>{html.escape(policy)}</td>{cells}</tr>")
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
        body += [table(members), policies(members)]
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>vigia: benchmarks</title><style>{STYLE}</style>{"".join(body)}</html>\n'
