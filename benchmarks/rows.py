#!/usr/bin/env python3
"""Joins the benchmarks' rows: rows.py [--json FILE] [--markdown FILE] ROWS.json...   Standard library only."""

import argparse
import json
from pathlib import Path


def markdown(rows):
    verdict = {True: "met", False: "missed", None: ""}
    lines = ["| | thaw | other | unit | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        cells = [r["name"].strip(), f"{r['ours']:.4g}", f"{r['theirs']:.4g}", r["unit"], f"{r['ratio']:.2f}x"]
        lines.append("| " + " | ".join([*cells, r["target"], verdict[r["met"]]]) + " |")
    return "\n".join(lines) + "\n"


parser = argparse.ArgumentParser()
parser.add_argument("--json", type=Path)
parser.add_argument("--markdown", type=Path)
parser.add_argument("rows", nargs="*", type=Path)
options = parser.parse_args()
everything = [row for path in options.rows for row in json.loads(path.read_text())]
if options.json:
    options.json.write_text(json.dumps(everything, indent=2) + "\n")
if options.markdown:
    options.markdown.write_text(markdown(everything))
missed = sum(row["met"] is False for row in everything)
print(f"{len(everything)} rows, {missed} of them MISSED")
