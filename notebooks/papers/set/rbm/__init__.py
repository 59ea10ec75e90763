"""SET-RBM: restricted Boltzmann machines whose links evolve, and likelihoods one can trust.

[Mocanu2018], Performance on RBMs. Notebook 13, and parts of 14 and 15.
"""
