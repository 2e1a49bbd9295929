#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""snippets.py <page.md> <out.cpp>: the C++ of a page as a file that compiles. Run it in the root of the repository.

Each block fenced by ```cpp is a function of its own. What it takes for granted is in tests/docs/preamble.hpp, or above
it in the page, in a comment that no reader sees, and that holds for all blocks up to the next one:

    <!-- preamble: at::Tensor image; -->

A block that begins with a class, a template or a macro of LibTorch's is no function: it stands in the file, where later
blocks see it. So does a whole program. After <!-- from: examples/plan.cpp --> blocks are pieces of that program, to the
letter. Of a table with a column named "thaw", each piece of code in that column compiles as well: a statement, an
expression, or fields of options, such as `.epochs = 3`.
"""
import pathlib
import re
import sys

FENCE = re.compile(r"^ *```\s*(\S*)")
COMMENT = re.compile(r"^<!-- (preamble|from):(.*?)-->", re.S | re.M)
AT_FILE_SCOPE = re.compile(r"(//[^\n]*\n|\s)*(struct|class|enum|template|namespace|TORCH_MODULE)\b")
MAIN = re.compile(r"^int main\(", re.M)
INCLUDE = re.compile(r"^ *#include.*$", re.M)


def unindented(code):
    return "\n".join(line.strip() for line in code.split("\n"))


class Page:
    def __init__(self, path):
        self.path = path
        self.text = pathlib.Path(path).read_text()
        self.comments = {self.text.count("\n", 0, each.start()): each for each in COMMENT.finditer(self.text)}
        self.preamble, self.program = "", None  # what the last comments said
        self.column = None  # which one is named "thaw": None outside of a table, 0 in one without
        self.rows = []  # the code in it, so far
        self.includes, self.inside, self.programs = [], [], []
        self.read()

    def fail(self, line, problem):
        sys.exit(f"{self.path}:{line}: {problem}")

    def line(self, number):
        return f'#line {number} "{self.path}"\n'

    def read(self):
        lines, kind, begin = self.text.split("\n"), None, 0
        for number, line in enumerate(lines, 1):
            match = FENCE.match(line)
            if kind is None and number - 1 in self.comments:
                self.comment(number, *self.comments[number - 1].groups())
            if match and kind is None:
                kind, begin = match[1], number
            elif match:
                code = "\n".join(lines[begin : number - 1])
                if kind == "cpp":
                    self.block(code, begin + 1)
                elif not kind and "thaw::" in code:
                    self.fail(begin, "this looks like C++: begin it by ```cpp, or ```text if it is none")
                kind = None
            elif kind is None:
                self.row(line, number)
        if kind is not None:
            self.fail(begin, "the block has no end")

    def comment(self, number, kind, text):
        if kind == "preamble":
            self.preamble, self.program = f"\n{self.line(number)}{self.without_includes(text, number)}", None
        else:
            self.program = text.strip()

    def without_includes(self, code, number):
        self.includes += [self.line(number) + each.strip() for each in INCLUDE.findall(code)]
        return INCLUDE.sub("", code)

    def block(self, code, number):
        if self.program and unindented(code) not in unindented(pathlib.Path(self.program).read_text()):
            self.fail(number, f"is not what {self.program} has")
        code = self.without_includes(code, number)
        if MAIN.search(code):
            self.programs.append(self.line(number) + code)
        elif AT_FILE_SCOPE.match(code):
            self.inside.append(self.line(number) + code)
        else:
            self.function([self.line(number) + code])

    def function(self, parts):
        body = "".join(f"\n{{\n{part}\n}}" for part in parts)
        self.inside.append(f"void block_{len(self.inside)}() {{{self.preamble}{body}}}")

    def row(self, line, number):
        """A line that is in no block: a row of a table, maybe."""
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)] if line.startswith("|") else []
        if not cells:
            if self.rows:
                self.function(self.rows)
            self.column, self.rows = None, []
        elif self.column is None:
            self.column = cells.index("thaw") if "thaw" in cells else 0
        elif self.column:
            for code in re.findall(r"`([^`]+)`", cells[self.column].replace("\\|", "|")):
                self.rows.append(self.line(number) + (f"takes({{{code}}});" if code.startswith(".") else f"{code};"))

    def cpp(self):
        page = re.sub(r"\W", "_", self.path)
        parts = self.includes + [f"namespace docs::{page} {{"] + self.inside + ["}"] + self.programs
        return f"// By tools/snippets.py, of {self.path}.\n" + "\n".join(parts) + "\n"


if __name__ == "__main__":
    out, text = pathlib.Path(sys.argv[2]), Page(sys.argv[1]).cpp()
    if not out.exists() or out.read_text() != text:  # what is as it was is not compiled again
        out.write_text(text)
