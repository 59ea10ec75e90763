"""Names and looks of the ways in which a hidden layer came about."""

from lib.report.labels import Labels, look

LOOKS = {
    "kh": look("local learning (KH)", "#cc3311", "-"),
    "kh_evolving": look("KH, evolving links", "#882255", "--"),
    "kh_fixed": look("KH, fixed links", "#ca9161", (0, (1, 1))),
    "bp": look("back-propagation (BP)", "#000000", ":"),
    "l2": look("BP + L2", "#de8f05", "-."),
    "jreg": look("BP + Jacobian", "#029e73", "--"),
    "jreg_units": look("BP + Jacobian of units", "#8a6d00", (0, (4, 2))),
    "specreg": look("BP + spectral", "#cc78bc", (0, (5, 1))),
}
LABELS = Labels(LOOKS)
