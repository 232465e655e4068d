"""Makes the clients' methods from ``rstmdb_cluster/requests.py``: one for each operation, asynchronous and blocking.

python3 tools/generate.py          # writes src/rstmdb_cluster/_operations.py
python3 tools/generate.py --check  # exits with 1 if that file is not up to date
"""

import ast
import pathlib
import sys

SOURCE = pathlib.Path(__file__).parent.parent / "src" / "rstmdb_cluster"
TARGET = SOURCE / "_operations.py"

WIDTH = 120

HEAD = '''"""A method for each operation. Made by tools/generate.py from requests.py; change that, and run it again."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypeVar

from . import requests, results
from ._typed import Context
from .requests import Key, Request
from .results import BatchItem

R = TypeVar("R")
'''


def methods(asynchronous: bool) -> str:
    tree = ast.parse((SOURCE / "requests.py").read_text(encoding="utf-8"))
    made = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            made.append(method(node, asynchronous))
    return "\n".join(made)


def method(node: ast.FunctionDef, asynchronous: bool) -> str:
    arguments = node.args
    positional = [ast.unparse(argument) for argument in arguments.args]
    missing = len(positional) - len(arguments.defaults)
    for at, default in enumerate(arguments.defaults):
        positional[missing + at] += f" = {ast.unparse(default)}"
    named = [
        f"{ast.unparse(argument)} = {ast.unparse(default)}"
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)
        if default is not None
    ]
    passed = [argument.arg for argument in arguments.args]
    passed += [f"{argument.arg}={argument.arg}" for argument in arguments.kwonlyargs]
    signature = ["self", *positional, "*", *named, "timeout: Optional[float] = None"]
    assert isinstance(node.returns, ast.Subscript)
    returns = ast.unparse(node.returns.slice)
    prefix, wait = ("async ", "await ") if asynchronous else ("", "")
    doc = ast.get_docstring(node, clean=False)
    lines = [f"    {prefix}def {node.name}("]
    lines += [f"        {argument}," for argument in signature]
    lines += [f"    ) -> {returns}:"]
    lines += [f'        """{indented(doc or "")}"""']
    request = f"        request = requests.{node.name}({', '.join(passed)})"
    if len(request) > WIDTH:
        arguments_by_line = "".join(f"            {argument},\n" for argument in passed)
        request = f"        request = requests.{node.name}(\n{arguments_by_line}        )"
    lines.append(request)
    lines += [f"        return {wait}self._run(request, timeout)", ""]
    return "\n".join(lines)


def indented(doc: str) -> str:
    return "\n".join([doc.split("\n")[0]] + [line and f"    {line}" for line in doc.split("\n")[1:]])


def generated() -> str:
    parts = [HEAD]
    for name, asynchronous in (("AsyncOperations", True), ("Operations", False)):
        prefix, kind = ("async ", "asynchronous") if asynchronous else ("", "blocking")
        parts.append(
            f'''
class {name}:
    """The operations, {kind}. Each ends at its ``timeout``, or at that of the client."""

    {prefix}def _run(self, request: Request[R], timeout: Optional[float]) -> R:
        raise NotImplementedError

{methods(asynchronous)}'''
        )
    return "\n".join(parts)


def main() -> int:
    text = generated()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
