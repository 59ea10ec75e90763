"""Data sets by name: found, fetched, verified and split; never silently substituted.

A data set is one file, ``<name>.npz``, with the numeric arrays ``x_train, y_train, x_test, y_test``
and, where published, ``x_valid, y_valid`` (no ``y`` for unlabelled sets). It is looked for in the
folder that the environment variable ``SPARSE_DATA_DIR`` names, then in ``data/raw``. MNIST,
Fashion-MNIST, CIFAR-10 and CIFAR-100 are otherwise downloaded, verified and read by torchvision,
and converted to ``data/raw`` once; ``higgs``, of 2.6 GB, only by ``python -m lib data higgs``.
``digits`` ships with scikit-learn.

A new data set is one entry of the table in :mod:`lib.data.catalogue`. Data of one's own come
through :func:`from_arrays`, :func:`from_csv` and :func:`from_folder`, and a path is a data set
wherever a name is one, see :mod:`lib.data.own`.
"""

from .fetch import DataUnavailable
from .own import identity, label, named
from .sets import (
    NAMES,
    Split,
    divide,
    from_arrays,
    from_csv,
    from_folder,
    is_here,
    load,
    load_once,
    notice,
    origin,
    require_known,
    stratified,
    stratified_order,
    where,
)

__all__ = [
    "NAMES",
    "DataUnavailable",
    "Split",
    "divide",
    "from_arrays",
    "from_csv",
    "from_folder",
    "identity",
    "is_here",
    "label",
    "load",
    "load_once",
    "named",
    "notice",
    "origin",
    "require_known",
    "stratified",
    "stratified_order",
    "where",
]
