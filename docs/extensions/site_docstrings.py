"""Docstrings of the package, which are written to be read in a terminal, as reStructuredText.

Formulas stand in them as indented plain text. Here they become literal blocks. In the text, characters that mean markup
to reStructuredText (``x_``, ``|x|``, ``a * b``) are escaped.
"""

import re
from typing import Any

CODE = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`|`[^`]+`)")
UNDERSCORE = re.compile(r"(?<=\w)_(?!\w)")
STAR = re.compile(r"(?<!^)\*(?!\s*$)|(?<=^)\*(?!\s)")
SECTION = re.compile(r"^-{3,}$")
TABLE = re.compile(r"^\s*===+  +=")
AS_WRITTEN = ("Examples", "References")


def escaped(line: str) -> str:
    """A line of text with its markup characters escaped, except those of code and of a bullet in front."""
    indent, bullet, text = re.match(r"(\s*)(\* )?(.*)", line, re.DOTALL).groups(default="")  # type: ignore[union-attr]
    parts = CODE.split(text)
    parts[::2] = [STAR.sub(r"\\*", UNDERSCORE.sub(r"\\_", part.replace("|", r"\|"))) for part in parts[::2]]
    return indent + bullet + "".join(parts)


def restructured(lines: list[str]) -> list[str]:
    """The docstring as reStructuredText in numpydoc's sections."""
    found: list[str] = []
    section, formula, table = "", False, False
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if SECTION.match(following.strip()) and line.strip():
            section = line.strip()
        table = (table or bool(TABLE.match(line))) and bool(line.strip())
        if section in AS_WRITTEN or table or SECTION.match(line.strip()):
            found.append(line)
            continue
        prose = section in ("", "Notes")
        blank = not line.strip()
        if prose and not blank and line.startswith("    ") and (formula or not found or not found[-1].strip()):
            if not formula:
                found += [".. code-block:: text", ""]
            formula = True
            found.append(line)
            continue
        formula = formula and blank
        # Headers of parameters, "name : type", are escaped by numpydoc itself.
        header = not prose and not line.startswith(" ")
        found.append(line if header or blank else escaped(line))
    return found


def setup(app: Any) -> dict[str, bool]:
    def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        lines[:] = restructured(lines)

    # Before numpydoc, which has the default priority of 500.
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
