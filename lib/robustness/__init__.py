"""What a trained network keeps: perturbed links and weights, attacked inputs."""
