"""How the pages are built, see `make site`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # has docs/tools

project = "Sparse, adaptive and robust neural networks"
author = "The sparse-adaptive-companion authors"
copyright = author  # noqa: A001
extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx-mathjax-offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "tools.site",
]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "docs/api/*.md", "notebooks/*.ipynb", "figures/paper/README.md"]
exclude_patterns = [".*", "build", "data", "lib", "tests"]  # not looked through

nb_execution_mode = "off"  # notebooks are stored as executed
nb_ipywidgets_js = {}  # sliders show their stored picture: nothing is loaded from elsewhere
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]

autodoc_member_order = "bysource"
napoleon_custom_sections = ["Source", "Departs"]

html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}
html_favicon = "_static/icon.svg"
html_title = "Sparse, adaptive, robust"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
templates_path = ["_templates"]
html_additional_pages = {"index": "start.html"}  # leads to docs/index
html_css_files = ["wide.css"]
html_theme_options = {
    "navbar_align": "left",
    "navbar_center": ["explorer-link", "navbar-nav"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"*": [], "docs/**": [], "figures/**": []}  # notebooks list their neighbours
