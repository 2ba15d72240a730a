"""What only ``check`` asks of a database: rights, indexes, triggers, and texts compared letter by letter.

One class a kind of database; none of this is needed to read rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sync_profiles.source.dialect import Element

Stamped = Literal["trigger", "column"] | None
_WHITE = " \t\n\r\f\v"
_WRITING = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "DROP", "ALTER", "CREATE", "SUPER")


class Catalogue(ABC):
    """One kind of database; ``schema`` and ``table`` are those of a base table or view that exists."""

    @abstractmethod
    def read_only(self, connection: sa.Connection) -> bool:
        """Whether this session cannot write, whatever its user may."""

    @abstractmethod
    def may_write(self, connection: sa.Connection, schema: str | None, table: str) -> tuple[str, ...]:
        """What else than read this user may do with the table."""

    def hides(self, connection: sa.Connection, schema: str | None, table: str) -> bool:  # noqa: ARG002 - most databases show all rows or none
        """Whether the database decides for each row if this user sees it."""
        return False

    @abstractmethod
    def indexed(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> bool:
        """Whether an index over all rows begins with the column."""

    @abstractmethod
    def stamped_by(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> Stamped:
        """What sets the column on an UPDATE that leaves it out, as far as this user can see."""

    @abstractmethod
    def exact(self, text: Element) -> Element:
        """A text that is equal to another when all their letters are the same."""

    @abstractmethod
    def padded(self, text: Element) -> sa.ColumnElement[bool]:
        """Whether a text begins or ends with white space."""

    @abstractmethod
    def blank(self, text: Element) -> sa.ColumnElement[bool]:
        """Whether a text has nothing but white space."""

    @abstractmethod
    def size(self, text: Element) -> Element:
        """Its length in bytes."""


class _Postgres(Catalogue):
    def read_only(self, connection: sa.Connection) -> bool:
        found = connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar_one()
        return bool(found == "on")

    def may_write(self, connection: sa.Connection, schema: str | None, table: str) -> tuple[str, ...]:
        rights = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
        asked = ", ".join(f"pg_catalog.has_table_privilege(c.oid, '{right}')" for right in rights)
        held = self._of_table(connection, asked, schema, table)
        superuser = connection.exec_driver_sql("SELECT current_setting('is_superuser')").scalar_one() == "on"
        found = tuple(right for right, is_held in zip(rights, held, strict=True) if is_held)
        return (*found, "superuser") if superuser else found

    def hides(self, connection: sa.Connection, schema: str | None, table: str) -> bool:
        return bool(self._of_table(connection, "pg_catalog.row_security_active(c.oid)", schema, table)[0])

    def indexed(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> bool:
        exists = """EXISTS (SELECT FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
          WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = :column)"""
        return bool(self._of_table(connection, exists, schema, table, column=column)[0])

    def stamped_by(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> Stamped:
        # tgtype: 1 for each row, 2 before, 16 on UPDATE (pg_trigger.h).
        exists = """EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
          WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 19 = 19
            AND (strpos(p.prosrc, :column) > 0 OR strpos(encode(t.tgargs, 'escape'), :column) > 0))"""
        return "trigger" if self._of_table(connection, exists, schema, table, column=column)[0] else None

    def _of_table(
        self, connection: sa.Connection, selected: str, schema: str | None, table: str, **more: str
    ) -> tuple[Any, ...]:
        statement = f"""SELECT {selected} FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relname = :table"""
        return tuple(connection.execute(sa.text(statement), {"schema": schema, "table": table, **more}).one())

    def exact(self, text: Element) -> Element:
        return sa.collate(sa.cast(text, sa.Text), "C")

    def padded(self, text: Element) -> sa.ColumnElement[bool]:
        return sa.cast(text, sa.Text).op("~", is_comparison=True)(r"^\s|\s$")

    def blank(self, text: Element) -> sa.ColumnElement[bool]:
        return sa.cast(text, sa.Text).op("!~", is_comparison=True)(r"\S")

    def size(self, text: Element) -> Element:
        return sa.func.octet_length(text)


class _MySQL(Catalogue):
    def read_only(self, connection: sa.Connection) -> bool:
        names = "('tx_read_only', 'transaction_read_only')"  # MySQL 8 and older MariaDB each know one of them
        found = connection.exec_driver_sql(f"SHOW SESSION VARIABLES WHERE Variable_name IN {names}").all()
        return any(value == "ON" for _, value in found)

    def may_write(self, connection: sa.Connection, schema: str | None, table: str) -> tuple[str, ...]:
        grantee = "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"
        of_schema = "table_schema = COALESCE(:schema, DATABASE())"
        statement = f"""
          SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {grantee}
          UNION SELECT privilege_type FROM information_schema.schema_privileges
            WHERE grantee = {grantee} AND {of_schema}
          UNION SELECT privilege_type FROM information_schema.table_privileges
            WHERE grantee = {grantee} AND {of_schema} AND table_name = :table"""
        held = set(connection.execute(sa.text(statement), {"schema": schema, "table": table}).scalars())
        return tuple(right for right in _WRITING if right in held)

    def indexed(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> bool:
        statement = """SELECT count(*) FROM information_schema.statistics
          WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
            AND seq_in_index = 1 AND column_name = :column"""
        names = {"schema": schema, "table": table, "column": column}
        return bool(connection.execute(sa.text(statement), names).scalar_one())

    def stamped_by(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> Stamped:
        names = {"schema": schema, "table": table, "column": column}
        own = """SELECT count(*) FROM information_schema.columns
          WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table AND column_name = :column
            AND extra LIKE '%on update%'"""
        if connection.execute(sa.text(own), names).scalar_one():
            return "column"
        trigger = """SELECT count(*) FROM information_schema.triggers
          WHERE event_object_schema = COALESCE(:schema, DATABASE()) AND event_object_table = :table
            AND event_manipulation = 'UPDATE' AND action_timing = 'BEFORE' AND LOCATE(:column, action_statement) > 0"""
        return "trigger" if connection.execute(sa.text(trigger), names).scalar_one() else None

    def exact(self, text: Element) -> Element:
        return sa.cast(text, mysql.BINARY)

    def padded(self, text: Element) -> sa.ColumnElement[bool]:
        return text.op("REGEXP", is_comparison=True)("^[[:space:]]|[[:space:]]$")

    def blank(self, text: Element) -> sa.ColumnElement[bool]:
        return text.op("NOT REGEXP", is_comparison=True)("[^[:space:]]")

    def size(self, text: Element) -> Element:
        return sa.func.length(text)


class _SQLite(Catalogue):
    def read_only(self, connection: sa.Connection) -> bool:
        return bool(connection.exec_driver_sql("PRAGMA query_only").scalar_one())

    def may_write(self, connection: sa.Connection, schema: str | None, table: str) -> tuple[str, ...]:  # noqa: ARG002 - SQLite knows no rights
        return ()

    def indexed(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> bool:
        prefix = f"{_quoted(schema)}." if schema else ""
        for index in connection.exec_driver_sql(f"PRAGMA {prefix}index_list({_quoted(table)})").all():
            first = connection.exec_driver_sql(f"PRAGMA {prefix}index_info({_quoted(index[1])})").first()
            if not index[4] and first is not None and first[2] == column:
                return True
        return False

    def stamped_by(self, connection: sa.Connection, schema: str | None, table: str, column: str) -> Stamped:
        prefix = f"{_quoted(schema)}." if schema else ""
        statement = f"SELECT sql FROM {prefix}sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        texts = connection.exec_driver_sql(statement, (table,)).scalars().all()
        return "trigger" if any(column in text and "UPDATE" in text.upper() for text in texts if text) else None

    def exact(self, text: Element) -> Element:
        return sa.collate(text, "BINARY")

    def padded(self, text: Element) -> sa.ColumnElement[bool]:
        return sa.func.length(sa.func.trim(text, _WHITE)) < sa.func.length(text)

    def blank(self, text: Element) -> sa.ColumnElement[bool]:
        return sa.func.length(sa.func.trim(text, _WHITE)) == sa.literal_column("0")

    def size(self, text: Element) -> Element:
        return sa.func.length(sa.cast(text, sa.LargeBinary))


CATALOGUES: Mapping[str, Catalogue] = {"postgresql": _Postgres(), "mysql": _MySQL(), "sqlite": _SQLite()}
"""By the name of a dialect."""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
