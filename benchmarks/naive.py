"""What a user would write instead: `python -m benchmarks.naive DATABASE_URL ENGAGE_URL TOKEN`.

SQLAlchemy, ``fetchmany(2000)``, ``requests.post(json=…)``, one thread, no memory between two runs. It sends the same
properties as the config that the product is measured with.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import requests
import sqlalchemy as sa

ROWS_PER_REQUEST = 2000
SELECT = (
    "SELECT uid, email, first_name, last_name, plan, created_at, is_active, mrr, country, tags, settings, last_login"
    " FROM users"
)


def moment(value: datetime | str | None) -> str | None:
    return value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime) else value


def parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def profile(row: Any, token: str) -> dict[str, Any]:
    return {
        "$token": token,
        "$distinct_id": str(row.uid),
        "$ip": 0,
        "$set": {
            "$email": row.email,
            "$first_name": row.first_name,
            "$last_name": row.last_name,
            "plan": row.plan,
            "$created": moment(row.created_at),
            "is_active": bool(row.is_active),
            "mrr": float(row.mrr),
            "country": row.country,
            "tags": parsed(row.tags),
            "settings": parsed(row.settings),
            "last_login": moment(row.last_login),
        },
    }


def main(database_url: str, engage_url: str, token: str) -> None:
    session = requests.Session()
    with sa.create_engine(database_url).connect().execution_options(stream_results=True) as connection:
        rows = connection.execute(sa.text(SELECT))
        while page := rows.fetchmany(ROWS_PER_REQUEST):
            answer = session.post(engage_url, json=[profile(row, token) for row in page], timeout=30)
            answer.raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:4])
