"""The documentation site: ``nox -s docs`` builds it with warnings as errors."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import ntk_array

project = "ntk_array"
author = "the ntk_array developers"
copyright = "2026, the ntk_array developers"
version = release = ntk_array.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "site_complete",
    "site_docstrings",
    "site_references",
]
exclude_patterns = ["_build", "examples", "extensions"]
html_static_path = ["_static"]

html_theme = "furo"
html_title = "ntk_array"
html_css_files = ["site.css"]

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_default_options = {"members": True, "no-value": True, "special-members": "__call__"}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
nitpicky = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "copyfile_regex": r"^$",
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "show_signature": False,
    "write_computation_times": False,
    "reference_url": {"ntk_array": None},
    "doc_module": ("ntk_array",),
}


def prepared(app: Any, name: str, source: list[str]) -> None:
    # Doctests end in a blank line, which pages need not show.
    source[0] = source[0].replace("\n\n```\n", "\n```\n")


def setup(app: Any) -> None:
    app.connect("source-read", prepared)
