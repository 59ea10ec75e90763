"""Drop and grow rules of your own in runs whose records are kept: what a run's name covers."""

import dis
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Self

from torch import Tensor

from .evolution import needs_gradient

LITERALS = (int, float, complex, str, bytes, type(None))


class OwnRule(str):
    """A rule of your own as a run holds it: its name and a digest of its source, that can be called
    as the function it was made of. One that was read from a record is a plain string.
    """

    function: Callable[..., Tensor]

    @classmethod
    def of(cls, function: Callable[..., Tensor]) -> Self:
        """Name and digest of a function.

        The digest covers the source of the function, that of functions beside it that it calls,
        and the numbers and names from outside that it uses.

        Raises: ValueError for a lambda, for a function whose source cannot be read, or one that
            uses a variable from outside that is neither a number, a name nor a function.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if name == "<lambda>":
            raise ValueError("a rule of a run has a name: give a function made by def, no lambda")
        digest = hashlib.sha256("\n".join(_sources(function, set())).encode()).hexdigest()
        rule = cls(f"{name}-{digest[:12]}")
        rule.function = function
        return rule

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        """What the function gives."""
        return self.function(*args, **options)

    @property
    def needs_gradient(self) -> bool:
        """Whether it asks for inputs and gradients."""
        return needs_gradient(self.function)


def _sources(function: Callable[..., Any], known: set[str]) -> Iterator[str]:
    """What a result of the function may depend on, besides its arguments and other packages."""
    name = getattr(function, "__name__", type(function).__name__)
    known.add(name)
    try:
        yield textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ValueError(
            f"the source of rule {name}, which identifies a run, cannot be read: give a function of"
            " a file or of a notebook's cell"
        ) from error
    yield f"needs_gradient = {needs_gradient(function)}"
    for variable, value in sorted(_from_outside(function).items()):
        if _is_literal(value):
            yield f"{variable} = {value!r}"
        elif inspect.isfunction(value) and value.__module__ == function.__module__:
            if variable not in known:
                yield from _sources(value, known)
        elif not (callable(value) or inspect.ismodule(value)):
            raise ValueError(
                f"rule {name} uses {variable}, a {type(value).__name__} from outside, which its"
                " source does not show: make it within the function"
            )


def _from_outside(function: Callable[..., Any]) -> dict[str, Any]:
    """Variables that the function reads and that are not its own, and defaults of its arguments."""
    variables = dict(inspect.getclosurevars(function).nonlocals)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            variables[name] = parameter.default
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += filter(inspect.iscode, code.co_consts)  # functions within
        for step in dis.get_instructions(code):
            if step.opname == "LOAD_GLOBAL" and step.argval in function.__globals__:
                variables[step.argval] = function.__globals__[step.argval]
    return variables


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    return isinstance(value, LITERALS)
