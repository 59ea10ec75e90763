"""Numbers, tables and pictures of records, as notebooks and pages show them.

A notebook says :func:`begin` once; then :func:`publish` and :func:`publish_table` know where its
figures and tables go. A sketch that is no result is shown by :func:`show`.
"""

from lib.report.publishing import begin, publish, publish_animation, publish_table, show
from lib.report.tables import Folded, settings, this_machine

__all__ = [
    "Folded",
    "begin",
    "publish",
    "publish_animation",
    "publish_table",
    "settings",
    "show",
    "this_machine",
]
