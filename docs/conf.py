"""Sphinx: the Markdown pages of this folder, which a Git host shows, too."""

from worksection_async import __version__

project = "worksection-async"
author = "the worksection-async developers"
copyright = f"2026, {author}"  # noqa: A001
release = __version__

extensions = ["myst_parser", "sphinx_llm.txt"]
html_theme = "furo"
pygments_dark_style = "github-dark"  # the default underlines the names of modules, as if they were links
html_title = f"worksection-async {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
myst_heading_anchors = 3
nitpicky = True
llms_txt_description = "An asyncio client for Worksection with typed models, a shared rate limiter and OAuth2."
llms_txt_full_build = True
