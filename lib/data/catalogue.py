"""The data sets that can be loaded, and what the file of each holds.

To add a data set, write one entry into the table below: its name, the shape of an example, its
labels as stored, its type and range, and the number of its examples, where all must be there. With
these it can be loaded from ``<name>.npz``. If its publisher has a single address, add a `Download`:
the address, the names of the files, the sha256 of each, and the function of `lib.data.formats` that
reads them; a new format is a new function there. Put the sha256 of its content, which
``python -m lib data`` says, into ``content_sha256``, so that another version of the set is told
from it. Figures write its name as :data:`lib.report.labels.DATASET_NAMES` has it, if it is there.
"""

from functools import partial

import numpy as np

from . import formats
from .formats import DataSet, Download

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_BINARY = {  # number of features of unlabelled rows of zeros and ones
    "adult": 123,
    "connect4": 126,
    "dna": 180,
    "mushrooms": 112,
    "nips": 500,
    "ocr_letters": 128,
    "web": 300,
}
_CORALS = tuple("ACER APAL CNAT DANT DSTR GORG MALC MCAV MMEA MONT PALY SPO SSID TUNI".split())

_PIXELS = {"dtype": np.uint8, "top": 255}
_AS_MNIST = {"shape": (28, 28), "labels": range(10), "n_train": 60_000, "n_test": 10_000, **_PIXELS}

_DATA_SETS = (
    DataSet(
        "digits",
        shape=(8, 8),
        labels=range(10),
        dtype=np.uint8,
        top=16,
        has_test=False,
    ),
    DataSet(
        "mnist",
        **_AS_MNIST,
        content_sha256="6b9389681de69aa3543234f90cfff674694a75574863d387d5470acc56b72383",
        download=Download(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            files=_IDX_FILES,
            sha256=(
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            read=partial(formats.read_torchvision, "MNIST"),
        ),
    ),
    DataSet(
        "fashion_mnist",
        **_AS_MNIST,
        content_sha256="16cb8cbbc62fcdccb15cc65ea714c2eab2a82d601df80d5b625600fc313828b5",
        download=Download(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            files=_IDX_FILES,
            sha256=(
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
            read=partial(formats.read_torchvision, "FashionMNIST"),
        ),
    ),
    DataSet(
        "cifar10",
        shape=(3, 32, 32),
        labels=range(10),
        **_PIXELS,
        n_train=50_000,
        n_test=10_000,
        download=Download(
            "https://www.cs.toronto.edu/~kriz/",
            files=("cifar-10-python.tar.gz",),
            sha256=("6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",),
            read=partial(formats.read_torchvision, "CIFAR10"),
        ),
    ),
    DataSet(
        "cifar100",
        shape=(3, 32, 32),
        labels=range(100),
        **_PIXELS,
        download=Download(
            "https://www.cs.toronto.edu/~kriz/",
            files=("cifar-100-python.tar.gz",),
            sha256=("85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",),
            read=partial(formats.read_torchvision, "CIFAR100"),
        ),
    ),
    *(DataSet(name, shape=(n,), dtype=np.uint8, top=1) for name, n in _BINARY.items()),
    DataSet(
        "caltech28",  # silhouettes, stored column by column; 1 is the background
        shape=(784,),
        labels=range(101),
        dtype=np.uint8,
        top=1,
        grey_rows=True,
    ),
    DataSet(
        "higgs",
        shape=(28,),
        labels=range(2),
        n_train=10_500_000,
        n_test=500_000,
        download=Download(
            "https://archive.ics.uci.edu/ml/machine-learning-databases/00280/",
            files=("HIGGS.csv.gz",),
            sha256=("ea302c18164d4e3d916a1e2e83a9a8d07069fa6ebc7771e4c0540d54e593b698",),
            read=formats.read_labelled_csv,
            size="2.6 GB",
        ),
    ),
    DataSet("higgs_sample", shape=(28,), labels=range(2)),
    DataSet(
        "coil20",
        shape=(1024,),
        labels=range(1, 21),
        top=1,
        has_test=False,
        grey_rows=True,
    ),
    DataSet("madelon", shape=(500,), labels=(-1, 1)),
    DataSet(
        "rsmas",  # corals; the labels of the test part were told from the names of the files
        shape=(3, 256, 256),
        labels=range(14),
        **_PIXELS,
        classes=_CORALS,
    ),
    DataSet(
        # some leaves were photographed more than once, one file after the other
        "citrus_leaves",  # under CC BY 4.0: its pictures may be shown
        shape=(3, 256, 256),
        labels=range(4),
        **_PIXELS,
        has_test=False,
        in_order=True,
        classes=("black spot", "canker", "greening", "healthy"),
    ),
    DataSet(
        # many photographs of a hand, one after the other; the test part has other hands
        "rps28",  # under CC BY 2.0: its pictures may be shown
        shape=(3, 28, 28),
        labels=range(3),
        **_PIXELS,
        in_order=True,
        classes=("rock", "paper", "scissors"),
    ),
    DataSet(
        "eye_fundus",
        shape=(3, 128, 128),
        labels=range(4),
        **_PIXELS,
        has_test=False,
        has_group=True,  # the two eyes of one owner
        classes=("cataract", "diabetic retinopathy", "glaucoma", "normal"),
    ),
)
SETS = {dataset.name: dataset for dataset in _DATA_SETS}
NAMES = tuple(SETS)
