#!/usr/bin/env bash
# Library: foolbox 3.3.4, with torch 2.13.0.
#
# The attack NewtonFool moves an image along the gradient of the probability of its class. The
# network here is linear and very sure: in float32 each probability is exactly 1, so its gradient
# is exactly 0.
#
# One would guess: an attack that sees no gradient leaves the image where it is, and reports that
# it did not succeed.
#
# What happens: the step is divided by the squared norm of the gradient. 0 / 0 makes every pixel
# NaN. The network then takes the largest of ten scores that are NaN, and torch calls that class 0.
# So foolbox reports a success for each image of the classes 1 to 9, and a failure for those of
# class 0. The success rate is .9, and no point can be used: each distance is NaN too.
#
# L2DeepFool of the same package returns finite points for the same network, and all succeed.
#
# Output seen:
#   NewtonFool: reported success 0.90; points that are NaN 1.00; of class 0 reported 0.00
#   L2DeepFool: reported success 1.00; points that are NaN 0.00; of class 0 reported 1.00
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 foolbox==3.3.4 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'END'
import foolbox
import torch

# An image of class c is bright in pixel c. The score of a class is 1000 times its pixel.
classes = torch.arange(100) % 10
images = torch.full((100, 10), 0.2)
images[torch.arange(100), classes] = 0.8
network = torch.nn.Linear(10, 10, bias=False)
with torch.no_grad():
    network.weight.copy_(1000 * torch.eye(10))
network.eval()
assert (network(images).argmax(1) == classes).all()

model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
attacks = {
    "NewtonFool": foolbox.attacks.NewtonFoolAttack(),
    "L2DeepFool": foolbox.attacks.L2DeepFoolAttack(),
}
seen = {}
for name, attack in attacks.items():
    points, _, is_success = attack(model, images, classes, epsilons=None)
    is_nan = points.isnan().any(1)
    rates = is_success.float().mean(), is_nan.float().mean(), is_success[classes == 0].float().mean()
    seen[name] = [round(rate.item(), 2) for rate in rates]
    print(
        "{}: reported success {:.2f}; points that are NaN {:.2f}; of class 0 reported {:.2f}".format(
            name, *seen[name]
        )
    )
if seen != {"NewtonFool": [0.9, 1.0, 0.0], "L2DeepFool": [1.0, 0.0, 1.0]}:
    raise SystemExit("the behaviour has changed")
END
