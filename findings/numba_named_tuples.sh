#!/usr/bin/env bash
# Library: numba 0.68.1.
#
# A type of one's own (numba.extending.typeof_impl) is registered for a NamedTuple. It holds the
# tuple's number, and compiled code reads it from there, as a constant.
#
# One would guess: at each call numba asks for the type of the value that it is given. So the tuple
# of 5 is another type than the tuple of 3, as with a plain class.
#
# What happens: numba remembers the type of a tuple by the types of its items. A tuple that holds
# numbers alone has the same mark whatever these are, so the type of the first call serves all later
# ones, and the compiled code computes with the first number. Nothing is raised. With a text beside
# the number there is no such mark, and numba asks each time.
#
# Output seen:
#   a tuple of a number: [3, 3]
#   a tuple of a number and a text: [3, 5]
#   a plain class: [3, 5]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END' | tee output
from typing import NamedTuple

from numba import njit, types
from numba.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox


class Number(NamedTuple):
    n: int


class NumberAndText(NamedTuple):
    n: int
    text: str


class Plain:
    def __init__(self, n):
        self.n = n


class Held(types.Opaque):
    def __init__(self, n):
        self.n = n
        super().__init__(f"Held({n})")


register_model(Held)(models.OpaqueModel)


@unbox(Held)
def unbox_held(kind, value, c):
    return NativeValue(c.context.get_dummy_value())


for kind in (Number, NumberAndText, Plain):
    typeof_impl.register(kind)(lambda value, context: Held(value.n))


@intrinsic
def held(typing, value):
    def generate(context, builder, signature, values):
        return context.get_constant(types.intp, value.n)

    return types.intp(value), generate


@njit
def number(value):
    return held(value)


print("a tuple of a number:", [number(Number(n)) for n in (3, 5)])
print("a tuple of a number and a text:", [number(NumberAndText(n, "")) for n in (3, 5)])
print("a plain class:", [number(Plain(n)) for n in (3, 5)])
END
diff output - <<'END'
a tuple of a number: [3, 3]
a tuple of a number and a text: [3, 5]
a plain class: [3, 5]
END
