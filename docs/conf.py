"""Sphinx: Markdown pages and an API reference from the docstrings."""

from worksection_async import __version__

project = "worksection-async"
author = "the worksection-async developers"
copyright = f"2026, {author}"  # noqa: A001
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = f"worksection-async {release}"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 2
autodoc_default_options = {"members": True, "inherited-members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
suppress_warnings = ["myst.xref_missing", "ref.python"]
nitpicky = False
