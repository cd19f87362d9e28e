"""Run the job with a simulated account: ``python demo.py [URL]``. It prints how many rows the database has."""

import os
import sys
import tempfile
from pathlib import Path

import nightly
from sqlalchemy import create_engine, func, select

from tables import Base
from worksection_async.testing import Simulator

DATABASE = Path(tempfile.gettempdir(), "worksection_nightly.db")


def main(url: str = f"sqlite:///{DATABASE}?timeout=60") -> None:
    """Copy the account; a run after Ctrl-C continues in the same database."""
    print(f"Copying a simulated account into {url}, one call per second.", flush=True)
    simulator = Simulator(rate=1.0)
    with simulator.serve() as account:
        os.environ |= {"WORKSECTION_ACCOUNT": account, "WORKSECTION_API_KEY": simulator.api_key}
        nightly.main(url)
    with create_engine(url).connect() as connection:
        for table in Base.metadata.sorted_tables:
            print(f"{table.name}: {connection.scalar(select(func.count()).select_from(table))} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
