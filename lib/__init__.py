"""Sparse, adaptive and robust neural networks: the thin library behind the notebooks.

The module is the first word that says something: ``from lib import kernels``, then
``kernels.sddmm(...)``.
"""
