"""The machine room: the compiled loops, how they are launched, and the compiled training step.

``rows`` makes a row of a tile one value, ``passes`` writes each formula once, ``launch`` runs
passes on tensors, ``step`` trains in one call. No name in here is promised: use :mod:`lib.kernels`
and :mod:`lib.train`.
"""
