"""Mutation tests of the modules whose errors would be silent: ``nox -s mutants``, or ``nox -s mutants -- retry``.

mutmut changes one expression at a time, and runs the tests of the module. A change that no test notices survives. The
run fails unless each survivor is in ``equivalent.toml``, with the reason why it is no error.

mutmut does not change constants of modules, properties and functions with another decorator.
"""
