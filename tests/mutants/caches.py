"""A pytest plugin: it empties the caches of the package before each test.

mutmut runs each mutant in a fork of a process in which the tests have run before. A value in a cache would be that of
the original code, and only the first of the tests that need it would count as a test of the function that makes it.
"""

from __future__ import annotations

import functools
import sys

PACKAGE = "worksection_async"

_caches: set[functools._lru_cache_wrapper[object]] = set()


def pytest_collection_finish() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        values = vars(sys.modules[name]).values()
        _caches.update(value for value in values if isinstance(value, functools._lru_cache_wrapper))


def pytest_runtest_setup() -> None:
    for cache in _caches:
        cache.cache_clear()
