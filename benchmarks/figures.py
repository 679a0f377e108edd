"""Makes the figures of docs/engine.md from docs/benchmarks/*.json: python -m benchmarks.figures

Each is a plotly figure, drawn as SVG by kaleido in an installed Chromium. A picture names the figure it was drawn from,
and is drawn again only when that changed: another Chromium, with other fonts, would place letters a little differently.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from benchmarks._report import RESULTS, ROOT

FOLDER = ROOT / "docs" / "img"
WIDTH = 820
# Told apart without colour vision too (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c", "#5b5bd6", "#333333")
LIGHT = ("#e69f00", "#56b4e9", "#cc79a7")  # letters on these are dark
TEXT, GRID = "#333", "#ddd"
# Pages show a picture on their own background: letters and lines follow it. Letters inside a bar stay white.
DARK = (
    "<style>@media(prefers-color-scheme:dark){"
    ".xtick text,.ytick text,.gtitle,.legendtext,.xtitle,.ytitle{fill:#ddd!important}"
    ".xgrid,.ygrid{stroke:#444!important}}</style>"
)
Rows = Sequence[dict[str, Any]]


def main() -> None:
    decode, profile, tree = (_read(name) for name in ("decode", "step-profile", "tree"))
    for name, figure in (
        ("engine-throughput", throughput(decode)),
        ("engine-floor", floors([*decode, *tree])),
        ("engine-step", steps(profile)),
    ):
        write(FOLDER / f"{name}.svg", figure)


def throughput(rows: Rows) -> go.Figure:
    """Tokens/s against the batch, a colour a prefix, both axes logarithmic, beside the floor and the run's peers."""
    measured: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for row in rows:
        found = re.fullmatch(r"CodeLlama-13B, (\d+) samples, prefix (\d+), picture", row["case"])
        if found and row["metric"] == "decode":
            samples, prefix = map(int, found.groups())
            measured.setdefault(prefix, []).append((samples, row))
    figure = _figure("CodeLlama-13B shape on one H200: decode tokens/s against samples at once", 460)
    for (prefix, points), colour in zip(sorted(measured.items()), COLOURS, strict=False):
        x, line = [samples for samples, _ in points], {"color": colour, "width": 2.5}
        y = [row["value"] for _, row in points]
        floor = [row["floor"] for _, row in points]
        figure.add_scatter(x=x, y=y, name=f"prefix {prefix:,}", mode="lines+markers", line=line, marker={"size": 7})
        figure.add_scatter(x=x, y=floor, name="its floor", mode="lines", line={**line, "width": 1.5, "dash": "dash"})
    points = next(iter(measured.values()))
    alone = [row["peers"]["no attention"] for _, row in points]
    grey = {"color": COLOURS[6], "dash": "dot", "width": 2}
    figure.add_scatter(x=[samples for samples, _ in points], y=alone, name="no attention", mode="lines", line=grey)
    first, peers = points[0][0], points[0][1]["peers"]
    for name, symbol in (("continuous batching", "diamond"), ("transformers generate", "x")):
        marker = {"color": COLOURS[6], "symbol": symbol, "size": 9}
        figure.add_scatter(x=[first], y=[peers[name]], name=name, mode="markers", marker=marker)
    ticks = [samples for samples, _ in points]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{each:,}" for each in ticks], title="samples at once")
    values = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000]
    figure.update_yaxes(type="log", tickvals=values, ticktext=[f"{each:,}" for each in values], title="tokens/s")
    return figure


def floors(rows: Rows) -> go.Figure:
    """Measured over floor, a bar a case."""
    shares = {
        row["case"]: row["value"] / row["floor"]
        for row in rows
        if "floor" in row and row["unit"] == "tokens/s" and not row["case"].endswith("picture")
    }
    title = "Tokens/s as a share of the floor (copy bandwidth and matrix rate of the same run)"
    figure = _figure(title, 100 + 26 * len(shares), left=290)
    y, x = list(shares), list(shares.values())
    text = [f"{share:.0%}" for share in x]
    figure.add_bar(x=x, y=y, text=text, orientation="h", marker={"color": COLOURS[0]}, textfont={"color": "#fff"})
    figure.update_traces(textposition="inside", insidetextanchor="end")
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def steps(rows: Rows) -> go.Figure:
    """The kernels' time by part, a bar a model; kernels run side by side, so their sum is longer than the step."""
    cases: dict[str, dict[str, float]] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["metric"]] = row["value"]
    parts = [name for name in next(iter(cases.values())) if name not in ("step", "gaps")]
    sums = {case: sum(spent[part] for part in parts) for case, spent in cases.items()}
    figure = _figure("One decode step by part: each kernel's share of the sum of all", 170 + 72 * len(cases), left=250)
    names = [_named(case, spent["step"], sums[case]) for case, spent in cases.items()]
    for part, colour in zip(parts, COLOURS, strict=False):
        shares = [spent[part] / sums[case] for case, spent in cases.items()]
        text = [f"{share:.0%}" if share > 0.04 else "" for share in shares]
        letters = {"color": "#111" if colour in LIGHT else "#fff"}
        bar = {"marker": {"color": colour}, "textfont": letters, "orientation": "h"}
        figure.add_bar(x=shares, y=names, text=text, name=part, **bar)
    figure.update_traces(textposition="inside", insidetextanchor="middle", textangle=0)
    legend = {"orientation": "h", "y": -0.12, "x": -0.4, "entrywidth": 250, "traceorder": "normal"}
    figure.update_layout(barmode="stack", bargap=0.4, legend=legend, margin={"b": 110})
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def _named(case: str, step: float, kernels: float) -> str:
    model, _, rest = case.partition(", ")
    return f"<b>{model}</b><br>{rest}<br>step {step / 1000:.2f} ms, kernels {kernels / 1000:.2f} ms"


def _figure(title: str, height: int, left: int = 80) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        width=WIDTH,
        height=height,
        margin={"l": left, "r": 50, "t": 50, "b": 50},
        title={"text": f"<b>{title}</b>", "x": 0.02, "y": 0.97, "yanchor": "top", "font": {"size": 16}},
        font={"family": "system-ui, sans-serif", "size": 13, "color": TEXT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, showline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, showline=False, ticklabelstandoff=5)
    return figure


def _read(name: str) -> Rows:
    rows: Rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def digest(figure: go.Figure) -> str:
    """Of everything that is drawn, numbers to six digits."""
    whole = json.loads(figure.to_json(), parse_float=lambda text: float(f"{float(text):.6g}"))
    return hashlib.sha256(json.dumps([whole, DARK], sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, figure: go.Figure) -> None:
    """Draw the figure unless the picture at ``path`` was drawn from the same one."""
    mark = f"<!-- figure {digest(figure)} -->"
    if path.exists() and mark in path.read_text():
        print(f"{path.name} is of these numbers")
        return
    path.write_text(f"{stable(drawn(figure))}\n{mark}\n")
    print(f"{path.name} made")


def drawn(figure: go.Figure) -> str:
    import kaleido  # only where a picture has to be drawn: it needs Chromium

    size = {"format": "svg", "width": figure.layout.width, "height": figure.layout.height}
    return bytes(kaleido.calc_fig_sync(figure, opts=size)).decode()


def stable(svg: str) -> str:
    """The picture without the random parts of plotly's ids, with the colours of a dark page."""
    found = re.search(r'<defs id="defs-([0-9a-f]+)">', svg)
    assert found is not None, "plotly names its definitions in another way now"
    for name in ("defs-", "clip", "legend"):
        svg = svg.replace(f"{name}{found.group(1)}", name)
    svg = re.sub(r"\btrace[0-9a-f]{6}\b", "trace", svg)
    head, end, rest = svg.partition(">")
    return head + end + DARK + rest


if __name__ == "__main__":
    main()
