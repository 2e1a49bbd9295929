# SPDX-License-Identifier: BSD-3-Clause
"""What MkDocs is told beside mkdocs.yml: pages that are made of other files of the repository, and links to them."""
import pathlib
import re
import sys

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import api  # noqa: E402

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
LINK = re.compile(r"(?<=\]\()([\w./-]+)(?=[#)])")


def place(path):
    """Where in the site a file of the repository is: pages by name, of all others what is in them."""
    path = str(path)
    return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md")


def relinked(text, folder, at):
    """Links to files of the repository, seen from `folder`, become links to their pages, seen from the page `at`. What
    belongs to an item of a list gets Python-Markdown's four columns, and an empty line after its code."""

    def link(match):
        target = (ROOT / folder / match[1]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return match[1]
        return "../" * at.count("/") + place(target.relative_to(ROOT))

    parts = re.split(r"(^```.*?^```$)", LINK.sub(link, text), flags=re.S | re.M)
    parts[::2] = [re.sub(r"^ {2,3}(?=\S)", "    ", part, flags=re.M) for part in parts[::2]]
    return re.sub(r"^    ```\n(?=- )", "    ```\n\n", "".join(parts), flags=re.M)


def code_page(path):
    language = {".py": "python", ".cpp": "cpp", ".hpp": "cpp"}.get(path.suffix, "text")
    return f"# {path.name}\n\n`{path}`\n\n``` {language}\n{(ROOT / path).read_text()}```\n"


def on_config(config):
    parts = {title: pages for part in config.nav for title, pages in part.items()}
    examples = sorted((ROOT / "examples").glob("*.cpp"))
    parts["How-to"].append({"Programs to copy": [{each.stem: place(each.relative_to(ROOT))} for each in examples]})
    parts["Reference"].append({"Headers": [f"reference/{room}.md" for room in api.pages()]})


def on_files(files, config):
    pages = {f"reference/{room}.md": text for room, text in api.pages().items()}
    texts = {place(path): relinked((ROOT / path).read_text(), "", place(path)) for path in PAGES}
    written = list(texts.values()) + [relinked(each.read_text(), each.parent, "") for each in (ROOT / "docs").rglob("*.md")]
    linked = {path for text in written for path in re.findall(r"\]\(source/([\w./-]+)\.md", text)}
    linked |= {str(each.relative_to(ROOT)) for each in (ROOT / "examples").glob("*.cpp")}
    pages |= texts | {place(path): code_page(pathlib.Path(path)) for path in linked}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    made = page.file.src_uri in PAGES.values() or page.file.src_uri.startswith(("source/", "reference/"))
    return markdown if made else relinked(markdown, f"docs/{page.file.src_uri}/..", page.file.src_uri)
