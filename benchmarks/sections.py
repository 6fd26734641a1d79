"""Pages of which several scripts make a section each."""

import re
from pathlib import Path

START = re.compile(r"^## (.*)\n", re.MULTILINE)


def found(page: Path) -> dict[str, str]:
    """The sections of a page by title, in order; what comes before the first has the title ""."""
    head, *rest = START.split(page.read_text())
    return {"": head, **dict(zip(rest[::2], rest[1::2], strict=True))}


def put(page: Path, title: str, body: str) -> None:
    """Write a section in place of the one of that title, or at the end."""
    write(page, found(page) | {title: f"\n{body.strip()}\n"})


def write(page: Path, sections: dict[str, str]) -> None:
    """Write a page, a blank line between sections."""
    parts = [f"## {title}\n{body.rstrip()}\n" if title else f"{body.rstrip()}\n" for title, body in sections.items()]
    page.write_text("\n".join(parts))


def rewrite(page: Path, text: str) -> None:
    """Write a page again; sections of other scripts, which the text does not have, stay at the end."""
    others = found(page) if page.exists() else {"": ""}
    page.write_text(text)
    own = found(page)
    write(page, own | {title: body for title, body in others.items() if title not in own})
