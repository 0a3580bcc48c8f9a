"""What `mkdocs build` adds to the pages: the folders' docstrings, the commands' flags, pages from outside docs/.

A page asks for them with the comments `<!-- folders -->` and `<!-- flags score -->`.
"""

import ast
import os
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "artifactscan"
OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "deploy.md": "deploy/README.md",
    "model-card.md": "src/artifactscan/model/builtin/MODEL_CARD.md",
    "security.md": "SECURITY.md",
}
"""Pages of the site whose text is not in docs/."""


def folder_docstrings() -> dict[str, str]:
    """Folder below the repository → the first paragraph of its package's docstring; "" where it has none."""
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*/") if not path.is_symlink()), ROOT / "pipelines"]
    folders += [*(ROOT / "pipelines").rglob("*/"), ROOT / "jobs"]
    return {
        folder.relative_to(ROOT).as_posix() + "/": _first_paragraph(folder / "__init__.py")
        for folder in sorted(folders)
        if any(folder.glob("*.py"))
    }


def _first_paragraph(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text())) if module.exists() else None
    return (docstring or "").split("\n\n")[0]


def flags(command: str) -> str:
    """The flags of a command, such as `score` or `labels import`, as a Markdown list."""
    from tyro.extras import get_parser

    job, *rest = command.split()
    settings = import_module(f"artifactscan.jobs.{job}").SETTINGS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        actions = get_parser(settings[rest[0]] if rest else settings)._actions
    lines = []
    for action in sorted(actions, key=lambda action: not action.required):
        names = ", ".join(f"`{name}`" for name in action.option_strings or [action.metavar or action.dest])
        if "--help" not in names:
            text = re.sub(r"(?<![`\w])(--[a-z][a-z-]*)", r"`\1`", (action.help or "").replace("%%", "%"))
            lines.append(f"- {names}{' — ' + text if text else ''}".replace("*", r"\*").replace("<", "&lt;"))
    return "\n".join(lines)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages whose text is not in docs/."""
    from mkdocs.structure.files import File

    for page, source in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in the comments, and leads links between files of the repository to pages of the site."""
    source = ROOT / OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folders = "\n".join(f"- `{folder}` — {text.replace(chr(10), ' ')}" for folder, text in folder_docstrings().items())
    markdown = markdown.replace("<!-- folders -->", folders)
    markdown = re.sub(r"<!-- flags ([\w ]+?) -->", lambda match: flags(match[1]), markdown)
    return re.sub(
        r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", lambda match: _link(match[1], match[2], source, page.file.src_uri), markdown
    )


def _link(text: str, link: str, source: Path, page: str) -> str:
    """The link as the site needs it; its text alone where it leads to a file that is no page."""
    if re.match(r"[a-z]+:|#", link):
        return f"[{text}]({link})"
    path, _, anchor = link.partition("#")
    target = Path(os.path.normpath(source.parent / path)).relative_to(ROOT).as_posix()
    pages = {**{outside: name for name, outside in OUTSIDE.items()}, "README.md": "index.md", "deploy": "deploy.md"}
    if target.startswith("docs/"):
        pages[target] = target.removeprefix("docs/")
    if target not in pages:
        return text
    return f"[{text}]({os.path.relpath(pages[target], Path(page).parent)}{'#' + anchor if anchor else ''})"
