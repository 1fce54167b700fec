"""Formulas in x, parsed without being evaluated as Python: arithmetic and a few functions, and nothing else."""

import ast
import operator
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MAX_LENGTH = 200  # characters: so many cannot be nested deeper than Python's own parser and stack allow
CONSTANTS = ("pi", "e")
# By the names that NumPy has for them. All are continuous where they are defined, but for the poles of tan.
FUNCTIONS = ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "abs")
FUNCTIONS_OF_TWO = {"min": "minimum", "max": "maximum"}
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
ALLOWED = f"allowed are x, numbers, {', '.join(CONSTANTS)}, + - * / **, brackets, " + ", ".join(
    [*FUNCTIONS, *FUNCTIONS_OF_TWO]
)
CHECKED = 2001  # places between -1 and 1


class Formula:
    """A function of x that a text describes, such as ``sin(3*x)/2``.

    Raises:
        ValueError: the text is no formula.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ValueError(f"at most {MAX_LENGTH} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's advice on what looks like a slip
                self.tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ValueError(f"it cannot be parsed; {ALLOWED}") from None
        self(0.5, finite=False)  # what is not allowed is found wherever it is evaluated

    def __call__(self, x: Any, finite: bool = True) -> "np.ndarray":
        """Return the values at each x, as float64.

        Args:
            x: numbers, of any shape.
            finite: whether every value must be a number.

        Raises:
            ValueError: the formula divides by 0 between two of them, or has no finite value at one.
        """
        import numpy as np  # here, since only this needs it: help and messages do not wait for it

        x = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(_evaluate(self.tree, x), x.shape)
        if finite and not (is_number := np.isfinite(values)).all():
            raise ValueError(f"it has no finite value at x = {x[~is_number].flat[0]:.6g}")
        return values


def check_formula(text: str) -> str:
    """Return a text that is a formula with a value everywhere between -1 and 1.

    Raises:
        ValueError: it is not.
    """
    import numpy as np

    Formula(text)(np.linspace(-1, 1, CHECKED))
    return text


def _evaluate(node: ast.AST, x: "np.ndarray") -> Any:
    import numpy as np

    match node:
        case ast.Name(id="x"):
            return x
        case ast.Name(id=name) if name in CONSTANTS:
            return np.float64(getattr(np, name))
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return np.float64(value)  # with NumPy, 9**9**9 is infinite at once
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_evaluate(operand, x))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            first, second = _evaluate(left, x), _evaluate(right, x)
            if isinstance(op, ast.Div):
                _check_divisor(second)
            elif isinstance(op, ast.Pow) and np.any(second < 0):
                _check_divisor(first)
            return OPERATORS[type(op)](first, second)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return getattr(np, name)(_evaluate(argument, x))
        case ast.Call(func=ast.Name(id=name), args=[one, two], keywords=[]) if name in FUNCTIONS_OF_TWO:
            return getattr(np, FUNCTIONS_OF_TWO[name])(_evaluate(one, x), _evaluate(two, x))
    raise ValueError(f"{_describe(node)} is not allowed; {ALLOWED}")


def _check_divisor(values: Any) -> None:
    """Raise an error if a divisor is 0, or has both signs: then it is 0 somewhere in between."""
    if not ((values > 0).all() or (values < 0).all()):
        raise ValueError("it divides by 0 somewhere between x = -1 and x = 1")


def _describe(node: ast.AST) -> str:
    """Return the part of a formula, shortened, that a node stands for."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        return "^ (a power is x**2)"
    text = ast.unparse(node)
    return text if len(text) <= 30 else f"{text[:29]}…"
