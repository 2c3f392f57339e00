"""How the report writes tables and figures."""

from __future__ import annotations


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def digits(ratio: float) -> int:
    """How many decimals a ratio deserves."""
    return 0 if ratio >= 20 else 1 if ratio >= 2 else 2


def times(ratio: float) -> str:
    """A ratio, to as many decimals as it deserves."""
    return f"{ratio:,.{digits(ratio)}f}×"
