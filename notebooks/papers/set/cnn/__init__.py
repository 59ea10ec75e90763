"""SET on top of convolutions: the networks behind Fig. 7 of [Mocanu2018]."""
