"""Drop and grow rules of your own in runs whose records are kept: what a run's name covers."""

import dis
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from torch import Tensor

from lib.evolution import needs_gradient

LITERALS = (int, float, complex, str, bytes, type(None))
Known = set[tuple[str, int]]  # names under which functions are covered, with their id


class OwnRule(str):
    """A rule of your own as a run holds it: its name and a digest of its source, that can be called
    as the function it was made of. One that was read from a record is a plain string.
    """

    function: Callable[..., Tensor]

    @classmethod
    def of(cls, function: Callable[..., Tensor]) -> Self:
        """Name and digest of a function.

        The digest covers the source of the function, that of your own functions that it calls, in
        whatever module, and the numbers and text from outside that it uses, attributes of these
        functions among them. Of installed packages it covers the names only.

        Raises: ValueError for a lambda, for what is no function made by def or is decorated with
            ``functools.wraps``, for a function whose source cannot be read, and for one that uses
            anything else from outside, as a list, a class, an object that can be called or a module
            of your own.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if name == "<lambda>":
            raise ValueError("a rule of a run has a name: give a function made by def, no lambda")
        digest = hashlib.sha256("\n".join(_sources(function, set())).encode()).hexdigest()
        rule = cls(f"{name}-{digest[:12]}")
        rule.function = function
        return rule

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        """Result of the function."""
        return self.function(*args, **options)

    @property
    def needs_gradient(self) -> bool:
        """True if it asks for inputs and gradients."""
        return needs_gradient(self.function)


def _sources(function: Callable[..., Any], known: Known) -> Iterator[str]:
    """Sources that a result of the function may depend on, besides its arguments and other
    packages.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        raise ValueError(
            f"{name} is no plain function, so that its source does not show all it does: give one"
            " made by def, without a decorator"
        )
    known.add((name, id(function)))
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
        elif inspect.isfunction(value) and (
            value.__module__ == function.__module__ or not _is_installed(value)
        ):
            named = variable, id(value)
            if named not in known:
                known.add(named)
                yield from _sources(value, known)
                if variable != value.__name__:
                    known.remove(named)  # its source stands wherever another name is used for it
        elif not _is_installed(value):
            kind = "class" if inspect.isclass(value) else type(value).__name__
            raise ValueError(
                f"rule {name} uses {variable}, a {kind} from outside, which its source does not"
                " show: take numbers, text, functions made by def and installed packages"
            )


def _from_outside(function: Callable[..., Any]) -> dict[str, Any]:
    """Variables that the function reads and that are not its own, its attributes, defaults of its
    arguments, and modules that it imports, of which only the name counts.
    """
    variables = dict(inspect.getclosurevars(function).nonlocals)
    for name, value in vars(function).items():
        if name != "needs_gradient":  # it is covered, given or not
            variables[f"{function.__name__}.{name}"] = value
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not parameter.empty:
            variables[name] = parameter.default
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += filter(inspect.iscode, code.co_consts)  # functions within
        steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        of_class = {"__name__"} | {step.argval for step in steps if step.opname == "STORE_NAME"}
        for i, step in enumerate(steps):
            is_of_module = step.opname == "LOAD_GLOBAL" or (
                step.opname == "LOAD_NAME" and step.argval not in of_class  # in the body of a class
            )
            if is_of_module and step.argval in function.__globals__:
                variables[step.argval] = function.__globals__[step.argval]
            elif step.opname == "IMPORT_NAME":
                level = steps[i - 2].argval  # 0, or the number of dots
                package = function.__globals__.get("__package__")
                module = resolve_name("." * level + step.argval, package)
                variables[module] = ModuleType(module)
    return variables


def _is_installed(value: Any) -> bool:
    """True if it is a module of an installed package, or what one of these holds by its name."""
    if isinstance(value, ModuleType):
        return _is_of_a_package(value.__name__)
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not (isinstance(module, str) and isinstance(name, str) and _is_of_a_package(module)):
        return False
    return getattr(sys.modules.get(module), name, None) is value


def _is_of_a_package(module: str) -> bool:
    """True if a module is one of Python, of an installed package, or of this library. The rooms of
    the papers are not: a rule in them may be your own.
    """
    root = module.partition(".")[0]
    if root == "lib" or root in sys.builtin_module_names:
        return True
    spec = PathFinder.find_spec(root)
    if spec is None:
        return False
    places = spec.submodule_search_locations or [spec.origin]
    path = Path(next(iter(places)))
    is_in_python = path.is_relative_to(sysconfig.get_path("stdlib"))
    return is_in_python or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    return isinstance(value, LITERALS)
