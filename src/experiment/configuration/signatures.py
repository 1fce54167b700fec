"""Arguments of classes and functions, read from their source: to import a library would take a second."""

import ast
import builtins
import functools
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from experiment.configuration.unions import StrictModel


class _PlainTypes(dict[str, Any]):
    """The names in annotations: Python's own types, ``more``, and ``Any`` for every other."""

    def __init__(self, more: Mapping[str, Any]) -> None:
        super().__init__({**vars(builtins), **vars(typing), "Tensor": float, **more})

    def __missing__(self, name: str) -> Any:
        return Any


def read_arguments(module: str, class_name: str) -> dict[str, Any]:
    """Return the types of a class's arguments by name; ``Any`` for what is not made of plain data.

    Raises:
        ModuleNotFoundError: the module's package is not installed.
    """
    cls = next(node for node in _parse(module) if isinstance(node, ast.ClassDef) and node.name == class_name)
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return _types(init.args.args[1:] + init.args.kwonlyargs)


@dataclass
class Function:
    """A function of a module.

    Attributes:
        summary: the first line of its docstring.
        arguments: their types by name, as they are annotated.
    """

    summary: str
    arguments: dict[str, Any]


def read_functions(module: str, decorator: str, types: Mapping[str, Any]) -> dict[str, Function]:
    """Return the functions of a module that have a decorator, by name.

    Args:
        module: its name.
        decorator: its name, as it stands above them.
        types: what names in annotations stand for, beside Python's own types.
    """
    decorated = (
        node
        for node in _parse(module)
        if isinstance(node, ast.FunctionDef) and decorator in map(ast.unparse, node.decorator_list)
    )
    return {
        node.name: Function((ast.get_docstring(node) or "").partition("\n")[0], _types(node.args.args, types))
        for node in decorated
    }


@functools.cache
def _parse(module: str) -> list[ast.stmt]:
    package, *submodules = module.split(".")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {package} is not installed")
    source = Path(spec.origin).parent.joinpath(*submodules).with_suffix(".py").read_text(encoding="utf-8")
    return ast.parse(source).body


def _types(arguments: list[ast.arg], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    types = _PlainTypes(more or {})
    return {
        argument.arg: eval(ast.unparse(argument.annotation), {}, types) if argument.annotation else Any
        for argument in arguments
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
