"""A table of text that reads the same in a terminal and as Markdown."""

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from artifactscan.messages.text import escaped_markdown, printable

CellText = str | tuple[str, ...]
"""One line, or several below each other."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Title, headings, rows as long as the headings, and a caption below."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[CellText, ...], ...]
    caption: str = ""

    def print(self, out: Console) -> None:
        """Prints to a terminal: the first column left-aligned, the others right, and no cell broken.

        Where the terminal is too narrow the frame is left out first, then lines go past its edge.
        """
        columns = [[line for row in self.rows for line in _lines(row[n])] for n in range(len(self.headings))]
        words = (heading.split() for heading in self.headings)
        widths = [max(map(len, [*cells, *heading, ""])) for cells, heading in zip(columns, words, strict=True)]
        frame = box.HEAVY_HEAD if sum(widths) + 3 * len(widths) + 1 <= out.width else None
        table = Table(
            box=frame,
            padding=(0, 1) if frame else (0, 1, 0, 0),
            show_lines=any(not isinstance(cell, str) for row in self.rows for cell in row),
        )
        for position, (heading, width) in enumerate(zip(self.headings, widths, strict=True)):
            justify = "right" if position else "left"
            table.add_column(Text(heading), justify=justify, overflow="fold", min_width=width)
        for row in self.rows:
            table.add_row(*(Text("\n".join(map(printable, _lines(cell)))) for cell in row))
        out.print(Text(printable(self.title), style="bold"))
        out.print(table, width=max(out.width, sum(widths) + len(widths)), crop=False)
        if self.caption:
            out.print(Text(self.caption))
        out.print()

    def markdown(self) -> str:
        """As GitHub and Hugging Face render it, with a blank line at its end."""
        alignment = ["---", *["---:"] * (len(self.headings) - 1)]
        lines = [f"### {escaped_markdown(self.title)}", "", f"| {' | '.join(map(escaped_markdown, self.headings))} |"]
        lines.append(f"|{'|'.join(alignment)}|")
        for row in self.rows:
            cells = ("<br>".join(escaped_markdown(line.strip()) for line in _lines(cell)) for cell in row)
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", *([escaped_markdown(self.caption), ""] if self.caption else []), ""])


def _lines(cell: CellText) -> tuple[str, ...]:
    return (cell,) if isinstance(cell, str) else cell
