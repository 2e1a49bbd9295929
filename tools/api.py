#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The reference of thaw's public headers: their doc comments and declarations, a Markdown page per room.

As a program it lists the public names that have no doc comment, and fails if there are more than UNDOCUMENTED.
Headers are read by line: clang-format has put each declaration and each closing brace into its column."""
import pathlib
import re
import sys

INCLUDE = pathlib.Path(__file__).resolve().parent.parent / "include"
UNDOCUMENTED = 52  # as many as there are: only ever to be lowered
NO_NEW_NAME = re.compile(r"(class|struct) \w+;|template <>|static_assert|"  # the last: members, defined outside
                         r"(?!using )[^(={\n]*\b[A-Z]\w+::(operator|\w+ ?[({=])")


def unfinished(head):
    """Whether a declaration goes on: parentheses are open, or only its requires-clause has ended."""
    code = re.sub(r'"[^"]*"| *//.*', "", "\n".join(head))
    clause = re.match(r"template <[^\n]*>\n +requires requires", code)
    return (not re.search(r"([;}]| \{)$", code) or code.count("(") != code.count(")") or
            clause and not re.search(r"\}\n *\w.*([;}]| \{)$", code, re.S))


def declarations(lines):
    """Yields (doc, declaration, body, whether it follows another at once, whose doc it shares) for each public
    declaration in the first column. The body is that of a type, an enumeration or an initializer, not of a function."""
    doc, at, public, again = [], 0, True, False
    while at < len(lines):
        line, at = lines[at].rstrip(), at + 1
        if re.match(r" (public|private|protected):", line):
            doc, public = [], line == " public:"
        elif line == "namespace detail {":
            at = lines.index("}  // namespace detail", at) + 1
        elif line.startswith("///"):
            doc, again = ([] if again else doc) + [line[3:].removeprefix(" ")], False
        elif not line or line.startswith(("//", "#", "}", "namespace", "using namespace")):
            doc, again = [] if not line else doc, False
        else:
            head, body = [line], []
            while unfinished(head) or lines[at : at + 1] and lines[at].strip().startswith("///<"):
                head, at = head + [lines[at]], at + 1
            if re.search(r" \{( *//.*)?$", head[-1]):
                end = next(i for i in range(at, len(lines)) if lines[i].startswith("}"))
                body, at = lines[at:end] if lines[end].startswith("};") else [], end + 1
            if public and not NO_NEW_NAME.match("\n".join(head)):
                yield doc, head, body, again
                again = True


def shown(head, body):
    """A declaration's lines without what is nobody else's: functions' bodies, private members, initializer lists."""
    text = "\n".join(head)
    if not body:
        text = re.sub(r"\)( const| noexcept)*\n? +: .*", r")\1;", text, flags=re.S)
        return re.sub(r" \{( .* )?\}$| \{$", ";", text).split("\n")
    if re.search(r"^(class|struct) ", text, re.M):
        inside = [" private:"] * text.startswith("class") + [line.removeprefix("  ") for line in body]
        members = [each for each in declarations(inside) if not name_of(each[1]).endswith("_")]
        body = [f"  {line}".rstrip() for doc, *member, again in members
                for line in [f"/// {words}".rstrip() for words in doc if not again] + shown(*member)]
    return head + body + ["};"]


def name_of(head):
    code = re.sub(r"^ *(template <.*>|requires .*)$|\[\[\w+\]\] | *//.*", "", "\n".join(head), flags=re.M)
    return re.search(r"^(?:class|struct|enum class|enum|concept|using) (\w+)|(operator *[^\s\w(]+|\w+)\(|"
                     r"(\w+)(?:\[\w*\])?(?: =| ?\{|,|;)|$", code.strip()).expand(r"\1\2\3")


def prose(doc):
    """A doc comment as Markdown, in which no character outside of code has a meaning of its own."""
    parts = re.split(r"((?:^    .*$\n?)+|`[^`]*`)", "\n".join(doc), flags=re.M)
    parts[::2] = [re.sub(r"([*\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)


def headers():
    """Yields (room, name of the header, its declarations)."""
    for path in sorted(INCLUDE.glob("thaw/*/*.hpp")):
        text = path.read_text().split("\n#if THAW_DEFINES")[0]
        text = re.sub(r'R"(\w*)\(.*?\)\1"', '""', re.sub(r"namespace detail \{[^{}]*\n\}\n", "", text), flags=re.S)
        yield path.parent.name, f"{path.parent.name}/{path.name}", list(declarations(text.splitlines()))


def pages():
    """The Markdown of each room's page."""
    result = {}
    for room, header, found in headers():
        page = result.setdefault(room, [f"# {room}/"])
        page += ["", f"## {header}"] * bool(found)
        for doc, head, body, again in found:  # one block of code for all that a comment is about
            page[-1:] = [] if again else [page[-1], "", f"### {name_of(head)}", "", prose(doc), "", "```cpp"]
            page += shown(head, body) + ["```"]
    return {room: "\n".join(page) + "\n" for room, page in result.items()}


if __name__ == "__main__":
    missing = [f"{header}: {name_of(head)}" for _, header, found in headers() for doc, head, *_ in found if not doc]
    print(*missing, f"{len(missing)} public names have no doc comment", sep="\n")
    sys.exit(len(missing) > UNDOCUMENTED)
