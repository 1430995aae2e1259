"""Registers all tables, and defines how they store times."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator


class UtcMoment(TypeDecorator[datetime]):
    """An aware UTC moment. SQLite keeps it as text without a zone, which sorts as time does."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name == "postgresql"))

    def bind_processor(self, dialect: Dialect) -> Any:
        return None if dialect.name == "postgresql" else _as_text

    def result_processor(self, dialect: Dialect, _coltype: object) -> Any:
        return _as_utc if dialect.name == "postgresql" else _from_text


class Table(DeclarativeBase):
    """The base class of all tables; constraint names follow one rule, so that migrations can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcMoment}


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """Return an index of the rows that meet a condition, which stands in its `info`: migrations make the indexes.

    SQLAlchemy's own arguments for it would import the dialects of both databases into every process.
    """
    return sa.Index(name, *columns, unique=unique, info={"where": where})


def plain(table: type[Table]) -> sa.Table:
    """Return the table without its class, because the ORM would inspect each row."""
    return Table.metadata.tables[table.__tablename__]


def columns_by_attribute(table: type[Table] | sa.Table) -> dict[str, sa.Column[Any]]:
    """Return the columns by the names of the model's attributes."""
    if isinstance(table, sa.Table):
        return {column.name: column for column in table.columns}
    columns = plain(table).columns
    attributes = sa.inspect(table).column_attrs
    return {attribute.key: columns[attribute.columns[0].name] for attribute in attributes}


# A transaction has one moment, which goes into many columns and rows.
@lru_cache(maxsize=256)
def _as_text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")


def _from_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def _as_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
