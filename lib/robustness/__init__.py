"""Robustness of trained networks: perturbed links and weights, attacked inputs."""
