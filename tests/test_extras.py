"""Optional dependencies: without an extra, the import of a class names the class, the package and the extra."""

import subprocess
import sys

import pytest

MISSING = [
    ("testing", "Simulator", "starlette", "testing"),
    ("testing", "Simulator", "uvicorn", "testing"),
    ("testing", "Simulator", "python_multipart", "testing"),
    ("redis", "RedisMemory", "redis", "redis"),
    ("redis", "RedisTokenBucket", "redis", "redis"),
    ("redis", "RedisTokenStore", "redis", "redis"),
    ("redis", "RedisTokenVault", "redis", "redis"),
    ("keyring", "KeyringTokenStore", "keyring", "keyring"),
]


@pytest.mark.parametrize(("module", "name", "package", "extra"), MISSING)
def test_a_missing_extra_is_named_by_the_class_that_needs_it(module: str, name: str, package: str, extra: str) -> None:
    program = f"""
import sys
import worksection_async  # needs no extra
sys.modules[{package!r}] = None  # as if it was not installed
try:
    from worksection_async.{module} import {name}
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    missing, _, sentence = ran.stdout.partition(" ")
    assert missing == package
    assert name in sentence
    assert sentence.endswith(f'needs {package}, which is not installed: pip install "worksection-async[{extra}]"\n')


@pytest.mark.parametrize("package", ["sqlalchemy", "cryptography"])
def test_a_vault_in_a_database_names_the_missing_extra_and_its_import_needs_none(package: str) -> None:
    program = f"""
import sys
from worksection_async import SQLTokenVault
assert not {{"sqlalchemy", "cryptography"}} & set(sys.modules)
sys.modules[{package!r}] = None  # as if it was not installed
try:
    SQLTokenVault(None, "")
except ModuleNotFoundError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    advice = 'pip install "worksection-async[sql]"'
    assert ran.stdout == f"worksection_async.SQLTokenVault needs {package}, which is not installed: {advice}\n"


def test_a_text_with_html_names_the_missing_extra_and_a_plain_one_needs_none() -> None:
    program = """
import sys
sys.modules["markdownify"] = None  # as if it was not installed
from worksection_async import models
assert models.plain("a < b &amp; c") == "a < b & c"
try:
    models.plain("a<br>b")
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    advice = 'pip install "worksection-async[text]"'
    assert ran.stdout == f"markdownify models.plain needs markdownify, which is not installed: {advice}\n"


def test_an_import_of_the_package_imports_nothing_that_few_programs_need() -> None:
    few = "{'asyncio', 'bs4', 'filelock', 'markdownify', 'platformdirs', 'sqlalchemy', 'trio'}"
    program = f"import sys, worksection_async; print({few} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_an_error_of_this_package_is_not_a_missing_extra() -> None:
    program = """
import sys
sys.modules["worksection_async._auth.redis_store"] = None
import worksection_async.redis
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "import of worksection_async._auth.redis_store halted" in ran.stderr
    assert "pip install" not in ran.stderr
