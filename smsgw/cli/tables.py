"""Shows rows as a table on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def show(cells: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Print rows under the names of their columns; what is too long is folded."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
