"""Small tables in notebooks."""

from collections.abc import Iterable
from html import escape
from typing import Any

__all__ = ["table"]


def table(title: str, rows: Iterable[tuple[Any, ...]], header: tuple[str, ...] = ()) -> str:
    """An HTML table with a caption; floats have four digits."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(_text(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption>{f'<tr>{head}</tr>' if header else ''}{body}</table>"


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
