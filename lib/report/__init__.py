"""Numbers, tables and pictures of records, as notebooks and pages show them.

A notebook says :func:`begin` once; then :func:`publish` and :func:`publish_table` know where its
figures and tables go.
"""

from lib.report.publishing import begin, publish, publish_animation, publish_table
from lib.report.tables import settings, this_machine

__all__ = ["begin", "publish", "publish_animation", "publish_table", "settings", "this_machine"]
