#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Joins the benchmarks' rows: rows.py [--json FILE] [--markdown FILE] ROWS.json...   Standard library only.

For the benchmarks in Python it runs the sides, and makes rows and their table, as bench.hpp's Report does for those in
C++.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

VERDICT = {True: "met", False: "MISSED", None: ""}


def answer(command):
    """Runs it, and gives what its last line says in JSON; None where it says nothing. Ends the program where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else None


def row(name, ours, theirs, unit, limit=None):
    """`limit`: how many times theirs ours may be at most; None: for information."""
    ratio = ours / theirs
    target, met = ("", None) if limit is None else (f"at most {limit:.3g}x", ratio <= limit)
    return dict(name=name, ours=ours, theirs=theirs, unit=unit, ratio=ratio, target=target, met=met)


def table(rows):
    cells = [["", "thaw", "other", "unit", "ratio", "target", ""]]
    for r in rows:
        numbers = [f"{r['ours']:.4g}", f"{r['theirs']:.4g}", r["unit"], f"{r['ratio']:.2f}x"]
        cells.append([r["name"], *numbers, r["target"], VERDICT[r["met"]]])
    return aligned(cells, right={1, 2, 4})


def aligned(cells, right):
    """Lines of cells, the first its headers; the columns numbered in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    cells = [cells[0], ["-" * width for width in widths], *cells[1:]]
    return "\n".join(
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
        for line in cells
    )


def markdown(rows):
    lines = ["| | thaw | other | unit | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        cells = [r["name"].strip(), f"{r['ours']:.4g}", f"{r['theirs']:.4g}", r["unit"], f"{r['ratio']:.2f}x"]
        lines.append("| " + " | ".join([*cells, r["target"], VERDICT[r["met"]].lower()]) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("rows", nargs="*", type=Path)
    options = parser.parse_args()
    everything = [each for path in options.rows for each in json.loads(path.read_text())]
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(everything))
    missed = sum(each["met"] is False for each in everything)
    print(f"{len(everything)} rows, {missed} of them MISSED")


if __name__ == "__main__":
    main()
