"""Models that leave the process: as JSON, in pydantic, FastAPI, Litestar, msgspec, pandas and dlt."""
