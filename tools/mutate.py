#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Changes one operator of a header at a time, and looks whether a test notices.

  tools/mutate.py [--build build/dev] [--only SUBSTRING] [--limit N] [--seed N] [--list]

Takes the headers whose results nobody sees at once when they are wrong: schedules, freeze policies, rates, and what a
resumed run goes on from. Each change is made in a copy of include/, which comes first on the include path: the tree is
never touched. The header's own test (tests/<room>/<header>_test.cpp) is compiled and run; where it notices nothing, so
are the others that include the header. To save compiling, all changes that can be are first compiled into one program,
which THAW_MUTANT tells which one to be; what could not be, or was never come to while running, is compiled alone.

A change that none notices has survived: a test is missing, or the change changes nothing, and then
tools/mutants_allowed.txt says why. The last line is "mutants N, killed K, did not compile C, survived S"; the exit
status is 0 only if S are all allowed, and nothing allowed was killed or is gone.

--only takes the headers whose path under include/thaw has SUBSTRING in it, --limit a random N of the changes by --seed.
--build names a configured build folder: its compiler, options and libraries are taken, its binaries are not needed.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
tests = root / "tests"

# Per header: the tests that must notice first, then those that may. No tests named: its own, then its room's.
targets = [
    ("schedule/**/*.hpp", None, None),
    ("groups/freeze_policy.hpp", None, None),
    ("groups/freeze_combine.hpp", None, None),
    ("groups/gradual_unfreeze.hpp", None, None),
    ("groups/rates.hpp", None, None),
    ("train/detail/training_cursor.hpp", ["train/training_cursor_test.cpp"], ["train/resume_test.cpp"]),
    ("train/detail/plan_text.hpp", ["train/plan_text_test.cpp"], ["train/resume_test.cpp"]),
    ("train/detail/visit_history.hpp", ["train/visit_history_test.cpp"], ["train/resume_test.cpp"]),
    ("train/detail/optimizer_state.hpp", ["train/optimizer_state_test.cpp"], ["train/resume_test.cpp"]),
    ("train/detail/resume.hpp", ["train/resume_test.cpp"], ["checkpoint/*_test.cpp"]),
    ("train/run_state.hpp", ["train/resume_test.cpp"], ["checkpoint/*_test.cpp"]),
    ("checkpoint/checkpoint.hpp", None, None),
    ("checkpoint/file.hpp", None, None),
    ("checkpoint/detail/*.hpp", None, None),
]

# (what, by what); operators as .clang-format spaces them, which tells a < b from a template and a * b from a pointer
binary = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-",
          "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
changes = [(re.compile(r"(?<= )" + re.escape(old) + r"(?=[ \n])"), new) for old, new in binary.items()]
changes += [(re.compile(old), new) for old, new in [
    (r"\+\+", "--"), (r"--", "++"), (r"!(?!=)", ""),
    (r"\btrue\b", "false"), (r"\bfalse\b", "true"),
    (r"\bmin\b(?=[(<])", "max"), (r"\bmax\b(?=[(<])", "min"),
    (r"(?<![\w.'])0(?![\w.'])", "1"), (r"(?<![\w.'])1(?![\w.'])", "0"),
    (r"(?<![\w.'])0\.0(?![\w.'])", "1.0"), (r"(?<![\w.'])1\.0(?![\w.'])", "0.0"),
]]


def blank(match):
    return re.sub(r"[^\n]", "\x01", match.group())


def code_of(text):
    """The text with all that is not to be changed blanked out, character by character."""
    text = re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'(?!\w)', blank, text)
    text = re.sub(r"^#[^\n]*", blank, text, flags=re.M)
    text = re.sub(r"operator(\(\)|[^\s\w(]+)", blank, text)
    # what only the compiler reads: tests/compile_fail is for that
    text = re.sub(r"\bstatic_assert\(.*?\);|\bconcept \w+ =.*?;", blank, text, flags=re.S)
    for begin in [match.end() - 1 for match in re.finditer(r"\brequires\(", text)]:
        end, depth = begin, 0
        while True:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
            if depth == 0:
                break
        text = text[:begin] + "\x01" * (end - begin) + text[end:]
    return text


class Mutant:
    def __init__(self, header, text, begin, end, new):
        self.begin, self.end, self.new = begin, end, new
        self.header, self.text = header, text[:begin] + new + text[end:]
        self.line = text.count("\n", 0, begin) + 1
        self.was, self.now = (each.split("\n")[self.line - 1].strip() for each in (text, self.text))

    def __str__(self):
        return f"include/thaw/{self.header}:{self.line}\n    - {self.was}\n    + {self.now}"


def mutants_of(header):
    text = (root / "include/thaw" / header).read_text()
    code = code_of(text)
    found = []
    for old, new in changes:
        for match in old.finditer(code):
            beside = code[:match.start()].rstrip()[-1:] + code[match.end():].lstrip()[:1]
            if match.group() == "+" and "\x01" in beside:
                continue  # a string's: there is no minus
            found.append((match.start(), match.end(), new))
    return [Mutant(header, text, *each) for each in sorted(found)]


def edge_of(code, at, step):
    """How far the expression around `at` goes in a direction: to a bracket not its own, or one of , ; = ? : there."""
    opening, closing = ("([{", ")]}") if step > 0 else (")]}", "([{")
    depth = 0
    while 0 <= at < len(code):
        char, beside = code[at], (code[at - 1:at], code[at + 1:at + 2])
        if char in opening:
            depth += 1
        elif char in closing:
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and (char in ",;?" or char == ":" and ":" not in beside or
                             char == "=" and beside[0] in set(" +-*/%&|^") and beside[1] == " "):  # = and += alike
            break
        at += step
    return at


def region_of(code, at):
    """The expression around `at`: what stands between two of ( [ { , ; = ? : return and the like."""
    begin, end = edge_of(code, at - 1, -1) + 1, edge_of(code, at, 1)
    while True:
        begin += len(code[begin:end]) - len(code[begin:end].lstrip(" \n\x01"))
        word = re.match(r"(return|throw|else|if constexpr|if|while|for)\b ?", code[begin:end])
        if not word:
            break
        begin += word.end()
        if word.group(1) in ("if constexpr", "if", "while", "for"):
            depth = 0
            while begin < end:
                depth += {"(": 1, ")": -1}.get(code[begin], 0)
                begin += 1
                if depth == 0:
                    break
    return begin, end


def schemata(header, mutants):
    """The header with all these mutants in it, and by its lines, which mutants those are."""
    text = (root / "include/thaw" / header).read_text()
    code = code_of(text)
    regions = {}
    for mutant in mutants:
        begin, end = region_of(code, mutant.begin)
        if begin <= mutant.begin and mutant.end <= end:
            regions.setdefault((begin, end), []).append(mutant)

    def render(begin, end):  # regions nest, or lie apart
        result, at = "", begin
        inner = sorted(each for each in regions if begin <= each[0] and each[1] <= end and each != (begin, end))
        for region in inner:
            if region[0] >= at:
                result += text[at:region[0]] + choice(*region)
                at = region[1]
        return result + text[at:end]

    def choice(begin, end):
        result = f"(\x02{','.join(mutant.id for mutant in regions[begin, end])}\x02"
        for mutant in regions[begin, end]:
            changed = text[begin:mutant.begin] + mutant.new + text[mutant.end:end]
            result += f"::thaw_mutant::is({mutant.id}) ?\n\x02{mutant.id}\x02 ({changed.replace(chr(10), ' ')}) :\n"
        return result + f"\x02{','.join(mutant.id for mutant in regions[begin, end])}\x02 ({render(begin, end)}))"

    lines, whose = render(0, len(text)).split("\n"), {}
    for number, line in enumerate(lines, 1):
        for ids in re.findall("\x02(.*?)\x02", line):
            whose.setdefault(number, set()).update(ids.split(","))
    return re.sub("\x02.*?\x02", "", "\n".join(lines)), whose, {each.id for many in regions.values() for each in many}


def allowed_mutants():
    """[(header, was, now)]: a header, a line with "- ", one with "+ ", and the reason below them."""
    result, header, was = [], None, None
    for line in (root / "tools/mutants_allowed.txt").read_text().splitlines():
        if line.endswith(".hpp") and not line.startswith((" ", "#")):
            header = line
        elif line.startswith("  - "):
            was = line[4:]
        elif line.startswith("  + "):
            result.append((header, was, line[4:]))
    return result


def includes_of(file, seen=None):
    """All of thaw's and the tests' files that it includes, and whether LibTorch is among what they include."""
    seen = seen if seen is not None else {}
    if file not in seen:
        names = re.findall(r'^#include [<"]([^>"]+)[>"]', file.read_text(), flags=re.M)
        seen[file] = any(re.match("torch/|ATen/|c10/", name) for name in names)
        for name in names:
            for path in (root / "include" / name, tests / name):
                if name.startswith("thaw/") and path.exists() or path.is_relative_to(tests) and path.exists():
                    includes_of(path, seen)
                    break
    return seen


# Constants that the compiler computes stay as they are; such mutants are compiled alone.
is_mutant = """#include <cstdio>
#include <cstdlib>
#include <type_traits>
namespace thaw_mutant {
inline bool chosen(int id) {
  static const int wanted = std::atoi(std::getenv("THAW_MUTANT"));
  static bool reached = false;
  if (id != wanted) return false;
  if (!reached)
    if (std::FILE* file = std::fopen(std::getenv("THAW_MUTANT_REACHED"), "w")) std::fclose(file), reached = true;
  return true;
}
constexpr bool is(int id) { return !std::is_constant_evaluated() && chosen(id); }
}
"""


class Builder:
    """Compiles tests against the copy of include/ in `work`, with the options that the build folder has."""

    def __init__(self, build, work):
        self.build, self.work, self.headers = build, work, {}
        self.commands = json.loads((build / "compile_commands.json").read_text())
        shutil.copytree(root / "include", work / "include")

    def options(self, room):
        command = next(each["command"] for each in self.commands if f"test_{room}.dir" in each["output"])
        words, kept = shlex.split(command), []
        for i, word in enumerate(words[1:], 1):
            if word == "-DTHAW_COMPILED":  # a mutant's definitions are in its own file, not in the library
                continue
            if word.startswith(("-D", "-I", "-std", "-isystem")):
                kept += words[i:i + 2] if word == "-isystem" else [word]
        return [words[0], f"-I{self.work}/include", *kept, "-O0", "-w"]

    def precompiled(self, room, torch):
        """What is the same for every mutant, compiled once."""
        key = room if torch else "plain"
        if key not in self.headers:
            names = ["catch2/catch_test_macros.hpp", "catch2/matchers/catch_matchers_floating_point.hpp",
                     "catch2/matchers/catch_matchers_string.hpp", "nlohmann/json.hpp", "fmt/format.h"]
            text = "".join(f"#include <{name}>\n" for name in names)
            text += "extern template class nlohmann::basic_json<>;\n" + is_mutant
            json = self.work / "json.o"
            if not json.exists():
                subprocess.run([*self.options(room), "-x", "c++", "-c", "-", "-o", json], check=True, text=True,
                               input="#include <nlohmann/json.hpp>\ntemplate class nlohmann::basic_json<>;")
            if torch:
                text = f'#include "{self.build}/CMakeFiles/thaw_pch.dir/cmake_pch.hxx"\n' + text
            header = self.work / f"{key}.hpp"
            header.write_text(text)
            subprocess.run([*self.options(room), "-x", "c++-header", header, "-o", f"{header}.gch"], check=True)
            self.headers[key] = header
        return self.headers[key]

    def compile(self, unit, errors=1):
        """None, or what the compiler had to say."""
        source, binary_file, torch = self.work / "unit.cpp", self.work / "unit", unit.torch
        source.write_text("".join(f'#include "{file}"\n' for file in unit.files))
        command = [*self.options(unit.room), "-include", self.precompiled(unit.room, torch), "-c", source, "-o",
                   f"{binary_file}.o", f"-fmax-errors={errors}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr
        link = subprocess.run(["ninja", "-C", self.build, "-t", "commands", f"tests/test_{unit.room}"], check=True,
                              capture_output=True, text=True).stdout.splitlines()[-1]
        words = shlex.split(link.removeprefix(": && ").removesuffix(" && :"))
        libraries = [word for word in words[words.index("-o") + 2:] if "thaw_compiled" not in word]
        if not torch:
            libraries = [word for word in libraries if word.endswith(".a")]
        done = subprocess.run([words[0], f"{binary_file}.o", self.work / "json.o", "-o", binary_file, *libraries], cwd=self.build,
                              capture_output=True, text=True)
        return done.stderr if done.returncode != 0 else None

    def run(self, timeout, mutant=-1):
        """Whether the tests passed."""
        folder = self.work / "run"  # what a crash leaves behind goes with it
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (self.work / "reached").unlink(missing_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder), "THAW_MUTANT": str(mutant),
                       "THAW_MUTANT_REACHED": str(self.work / "reached")}
        try:
            done = subprocess.run([self.work / "unit", "--abort"], cwd=folder, env=environment, timeout=timeout,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  start_new_session=True)  # a mutant may send signals
        except subprocess.TimeoutExpired:
            return False
        self.said = done.stdout.decode(errors="replace")
        return done.returncode == 0


class Unit:
    """Tests that are compiled as one file; `seconds` is what they take on the header as it is."""

    def __init__(self, files):
        self.files = files
        self.room = files[0].relative_to(tests).parts[0]
        self.torch = any(any(includes_of(file).values()) for file in files)
        self.seconds = None

    def prepare(self, builder):
        if self.seconds is not None:
            return
        error = builder.compile(self)
        begin = time.monotonic()
        if error is not None or not builder.run(timeout=600):
            sys.exit(f"{self.names()} fails as it is:\n{error or builder.said}")
        self.seconds = time.monotonic() - begin

    def names(self):
        return ", ".join(str(file.relative_to(tests)) for file in self.files)


units = {}  # by their files, so that what they take is measured once


def units_of(header, first, then):
    """The tests of a header, those that are most likely to notice first."""
    path, room = root / "include/thaw" / header, header.split("/")[0]
    own = tests / header.replace(".hpp", "_test.cpp")
    first = [tests / name for name in first] if first else [own] if own.exists() else []
    rest = [file for pattern in then or [f"{room}/*_test.cpp"] for file in sorted(tests.glob(pattern))]
    rest = [file for file in rest if file not in first and path in includes_of(file)]
    groups = [first, *(rest[i:i + 6] for i in range(0, len(rest), 6))]
    return [units.setdefault(tuple(each), Unit(each)) for each in groups if each]


def killed_together(header, mutants, builder, unit):
    """Of the mutants that compile as one program: those that the unit's tests notice, and those that they came to."""
    file, mutants, dead, reached = builder.work / "include/thaw" / header, list(mutants), set(), set()
    original = file.read_text()
    try:
        while mutants:
            text, whose, inside = schemata(header, mutants)
            file.write_text(text)
            error = builder.compile(unit, errors=0)
            if error is None:
                break
            lines = {int(line) for line in re.findall(re.escape(str(file)) + r":(\d+):\d+: error:", error)}
            wrong = set().union(*(whose.get(line, set()) for line in lines))
            # what spoils its own line only is left out; failing that, all of a region
            sole = set().union(*(whose[line] for line in lines if len(whose.get(line, ())) == 1))
            if not wrong:
                return dead, reached
            mutants = [each for each in mutants if each.id not in (sole or wrong)]
        limit = 5 * unit.seconds + 5
        if mutants and builder.run(limit):
            for mutant in [each for each in mutants if each.id in inside]:
                if not builder.run(limit, mutant.id):
                    dead.add(mutant)
                if (builder.work / "reached").exists():
                    reached.add(mutant)
        return dead, reached
    finally:
        file.write_text(original)


def killed_alone(mutant, builder, unit):
    """"killed", "did not compile", or "survived"."""
    file = builder.work / "include/thaw" / mutant.header
    original = file.read_text()
    try:
        file.write_text(mutant.text)
        if builder.compile(unit) is not None:
            return "did not compile"
        return "survived" if builder.run(5 * unit.seconds + 5) else "killed"
    finally:
        file.write_text(original)


def verdicts(header, mutants, builder, its_units):
    """What became of each mutant of a header."""
    result, left, seen = {}, list(mutants), set()
    for unit in its_units:
        unit.prepare(builder)
        dead, reached = killed_together(header, left, builder, unit)
        seen |= reached
        result.update(dict.fromkeys(dead, "killed"))
        left = [mutant for mutant in left if mutant not in dead]
    for mutant in left:
        result[mutant] = "survived"
        for unit in [] if mutant in seen else its_units:
            result[mutant] = killed_alone(mutant, builder, unit)
            if result[mutant] != "survived":
                break
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=root / "build/dev")
    parser.add_argument("--only", default="")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="show the changes, and make none")
    options = parser.parse_args()

    mutants, tests_of = [], {}
    for pattern, first, then in targets:
        for file in sorted((root / "include/thaw").glob(pattern)):
            header = str(file.relative_to(root / "include/thaw"))
            if options.only in header:
                tests_of[header] = units_of(header, first, then)
                mutants += mutants_of(header)
    if options.limit is not None and options.limit < len(mutants):
        chosen = sorted(random.Random(options.seed).sample(range(len(mutants)), options.limit))
        mutants = [mutants[i] for i in chosen]
    if options.list:
        print(*mutants, sep="\n")
        return 0
    for i, mutant in enumerate(mutants):
        mutant.id = str(i)
    if not mutants:
        sys.exit(f"no header has '{options.only}' in its path")

    allowed = allowed_mutants()
    counts = {"killed": 0, "did not compile": 0, "survived": 0}
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        builder = Builder(options.build.resolve(), pathlib.Path(work))
        for header in dict.fromkeys(mutant.header for mutant in mutants):
            begin = time.monotonic()
            results = verdicts(header, [each for each in mutants if each.header == header], builder, tests_of[header])
            for mutant, result in results.items():
                counts[result] += 1
                excused = (header, mutant.was, mutant.now) in allowed
                if (result == "survived") != excused:
                    bad += 1
                    print(f"{'ALLOWED, YET ' if excused else ''}{result.upper()} {mutant}", flush=True)
            if options.limit is None:
                for gone in [each for each in allowed if each[0] == header and each not in
                             [(header, mutant.was, mutant.now) for mutant in results]]:
                    bad += 1
                    print(f"ALLOWED, YET GONE {header}: {gone[2]}", flush=True)
            here = [f"{list(results.values()).count(what)} {what}" for what in counts]
            print(f"{header}: {', '.join(here)}, {time.monotonic() - begin:.0f} s", flush=True)
    print(f"mutants {len(mutants)}, killed {counts['killed']}, did not compile {counts['did not compile']},"
          f" survived {counts['survived']}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
