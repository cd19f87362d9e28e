"""Models in other libraries: pydantic, FastAPI and Litestar over HTTP, pandas and dlt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.sample import TASK
from tests.models.web_apps import Report, fast_app, litestar_app
from tests.support.strategies import MODELS, model
from worksection_async import models
from worksection_async.models import Model, Task


@contextmanager
def served(app: Any) -> Iterator[httpx.Client]:
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


# FastAPI


@pytest.fixture(scope="module")
def fast() -> Iterator[httpx.Client]:
    with served(fast_app) as client:
        yield client


def test_fastapi_returns_models(fast: httpx.Client) -> None:
    first, second = fast.get("/tasks").raise_for_status().json()
    assert (first, second["id"]) == (models.to_dict(TASK), 28)


def test_fastapi_takes_a_model_as_body(fast: httpx.Client) -> None:
    """Only the essential fields are required."""
    assert fast.post("/task", json=models.to_dict(TASK)).json() == models.to_dict(TASK)
    assert models.from_dict(Task, fast.post("/task", json={"id": 5}).json()) == Task(id=5)


def test_fastapi_takes_a_pydantic_model_with_models(fast: httpx.Client) -> None:
    report = Report(title="Week 49", tasks=[TASK])
    reply = fast.post("/report", json=report.model_dump()).raise_for_status()
    assert Report.model_validate_json(reply.content) == report


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, ["body", "id"]),
        ({"id": "26"}, ["body", "id"]),
        ({"id": 1, "child": [{"id": 2, "name": 5}]}, ["body", "child", 0, "name"]),
        ({"id": 1, "deadline": ""}, ["body", "deadline"]),
    ],
)
def test_fastapi_names_the_invalid_field(fast: httpx.Client, body: dict[str, object], location: list[object]) -> None:
    reply = fast.post("/task", json=body)
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, location)


def test_fastapi_refuses_a_date_that_is_none(fast: httpx.Client) -> None:
    reply = fast.post("/task", json={"id": 1, "date_end": "soon"})
    assert reply.status_code == 422
    assert "must be a date in ISO 8601, got 'soon' @ $.date_end" in reply.json()["detail"][0]["msg"]


def test_the_openapi_document_of_fastapi_is_valid(fast: httpx.Client) -> None:
    from openapi_spec_validator import validate  # noqa: PLC0415  # slow

    document = fast.get("/openapi.json").json()
    validate(document)
    schema = document["components"]["schemas"]["Task-Output"]
    assert schema["properties"]["date_end"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert schema["properties"]["child"]["items"] == {"$ref": "#/components/schemas/Task-Output"}
    assert schema["required"] == ["id"]


# pydantic


_ADAPTERS: dict[type[Model], pydantic.TypeAdapter[Model]] = {}


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_pydantic_dumps_what_to_dict_returns_and_reads_it_back(cls: type[Model], data: st.DataObject) -> None:
    value, adapter = data.draw(model(cls)), _ADAPTERS.get(cls) or _ADAPTERS.setdefault(cls, pydantic.TypeAdapter(cls))
    assert adapter.validate_python(value) is value
    assert adapter.dump_python(value) == models.to_dict(value)
    assert adapter.validate_json(adapter.dump_json(value)) == value


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_json_schema_has_a_definition_for_each_model(mode: Any) -> None:
    schema = Report.model_json_schema(mode=mode)
    assert {"Task", "User", "File", "Comment", "UserSchedule"} <= schema["$defs"].keys()
    assert schema["$defs"]["UserSchedule"]["properties"]["schedule"]["type"] == "object"


def test_pydantic_is_not_imported_with_the_package() -> None:
    program = "import sys, worksection_async.models; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Litestar


def test_litestar_returns_and_takes_models() -> None:
    """Litestar writes attrs classes by its own rules; the OpenAPI document is valid."""
    from openapi_spec_validator import validate  # noqa: PLC0415  # slow

    with served(litestar_app) as client:
        first = client.get("/tasks").raise_for_status().json()[0]
        assert (first["id"], first["date_end"], first["tags"]) == (26, "2026-12-31", {"7": "Review"})
        assert client.post("/task", json=first).raise_for_status().json() == first
        validate(client.get("/schema/openapi.json").json())


# pandas and dlt


def test_pandas_takes_the_dicts() -> None:
    import pandas  # type: ignore[import-untyped]  # noqa: PLC0415  # slow

    frame = pandas.DataFrame(map(models.to_dict, [TASK, Task(id=28, max_time=TASK.max_time)]))
    assert list(frame["id"]) == [26, 28]
    assert frame["max_time"].sum() == 2 * 5400
    assert pandas.to_datetime(frame["date_end"])[0] == pandas.Timestamp(2026, 12, 31)


def test_dlt_normalizes_the_dicts(tmp_path: Path) -> None:
    """dlt extracts and normalizes tasks into tables, without a destination."""
    program = f"""
import dlt
from tests.models.sample import TASK
from worksection_async import models

pipeline = dlt.pipeline("tasks", destination=dlt.destinations.filesystem({str(tmp_path / "out")!r}), dataset_name="d",
                        pipelines_dir={str(tmp_path / "state")!r})
pipeline.extract([models.to_dict(TASK)], table_name="tasks")
pipeline.normalize()
tables = pipeline.default_schema.tables
assert tables["tasks"]["columns"]["date_end"], tables
assert "tasks__child" in tables, tables
"""
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_json_loads_what_to_json_returns() -> None:
    assert json.loads(models.to_json([TASK])) == models.to_dict([TASK])
