"""Statements that every trial needs, compiled once and run by the driver itself.

SQLAlchemy's layers would take three times as long as SQLite does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Engine


class Statement:
    """A statement in the dialect of a database.

    Args:
      statement: an insert, update or select.
      engine: of the database.
      columns: those that an insert or update sets.
    """

    def __init__(
        self, statement: Any, engine: Engine, columns: Sequence[str] | None = None
    ) -> None:
        compiled = statement.compile(engine, column_keys=columns)
        self.text = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup
        self._fixed: dict[str, Any] = dict(compiled.params)

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """The values in the form that the driver takes."""
        merged = {**self._fixed, **values}
        return merged if self._order is None else [merged[key] for key in self._order]


class Session:
    """A transaction at the driver."""

    def __init__(self, connection: Any, sqlite: bool) -> None:
        self._connection = connection
        self._sqlite = sqlite
        self._cursor = connection.cursor()
        self.open = True

    def run(self, statement: Statement, **values: Any) -> Any:
        """Runs a statement; returns the cursor with its rows."""
        self._cursor.execute(statement.text, statement.arguments(values))
        return self._cursor

    def begin(self, reads: bool) -> None:
        """Begins a transaction, which PostgreSQL's driver does by itself."""
        if self._sqlite:
            self._cursor.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
        elif reads:
            self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def commit(self) -> None:
        if self.open:
            self._connection.commit()
            self.open = False

    def roll_back(self) -> None:
        if self.open:
            self._connection.rollback()
            self.open = False
