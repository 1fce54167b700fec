"""Models of the arguments of a library's class, read from its source: to import it would take a second."""

import ast
import builtins
import typing
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from experiment.configuration.unions import StrictModel


class _PlainTypes(dict[str, Any]):
    """The names in annotations: Python's own types, and ``Any`` for every other."""

    def __init__(self) -> None:
        super().__init__({**vars(builtins), **vars(typing), "Tensor": float})

    def __missing__(self, name: str) -> Any:
        return Any


def read_arguments(module: str, class_name: str) -> dict[str, Any]:
    """Return the types of a class's arguments by name; ``Any`` for what is not made of plain data.

    Raises:
        ModuleNotFoundError: the module's package is not installed.
    """
    package, *submodules = module.split(".")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {package} is not installed")
    source = Path(spec.origin).parent.joinpath(*submodules).with_suffix(".py").read_text(encoding="utf-8")
    cls = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == class_name)
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    types = _PlainTypes()
    return {
        argument.arg: eval(ast.unparse(argument.annotation), {}, types) if argument.annotation else Any
        for argument in init.args.args[1:] + init.args.kwonlyargs
    }


def add_arguments(
    base: type[StrictModel], module: str, class_name: str, *, description: str, excluded: Collection[str], **more: Any
) -> type[StrictModel]:
    """Return a model with the keys of ``base``, those of ``more`` and a class's other arguments, which are optional."""
    left_out = {*base.model_fields, *excluded}
    fields: dict[str, Any] = {
        name: (kind, Field(default=None, description=description))
        for name, kind in read_arguments(module, class_name).items()
        if name not in left_out
    }
    return create_model(class_name, __base__=base, **fields, **more)
