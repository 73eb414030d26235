"""The messages of the code: what it raises as an error and what it logs as a warning.

A message is a template, in which `…` stands for each value. Its text is found in the source, since
no test could trigger all of them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import dagster

import dagster_rudderstack
from dagster_rudderstack import errors

PACKAGE = Path(dagster_rudderstack.__file__).parent

VALUE = "…"

MIN_LETTERS = 12
"""A template with fewer letters of its own passes another message on."""

MAX_DEPTH = 6
"""Through how many functions and variables a text is followed."""

ERRORS = frozenset(errors.__all__)

DAGSTER_MODULES = (
    "dagster/_core/execution/plan/compute.py",
    "dagster/_core/execution/plan/execute_step.py",
    "dagster/_core/instance/methods/event_methods.py",
    "dagster/_grpc/impl.py",
    "dagster/_utils/__init__.py",
    "jsonschema/_keywords.py",
)
"""Where Dagster's messages in the documentation come from."""


@dataclass(frozen=True, order=True)
class Message:
    """A message of the code.

    Attributes:
        text: The template.
        kind: The class of the error, `Failure` or `warning`.
        module: The module, such as `sync/wait.py`.
    """

    text: str
    kind: str
    module: str


@dataclass
class Module:
    """The source of a module, and what its names mean."""

    path: Path
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path below the package."""
        return self.path.relative_to(PACKAGE).as_posix()

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """The functions and methods by name."""
        return {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)
        }

    def function_of(self, node: ast.AST) -> ast.AST:
        """Return the function around a node, or the module."""
        while node in self.parents and not isinstance(node, ast.FunctionDef):
            node = self.parents[node]
        return node


@cache
def modules() -> tuple[Module, ...]:
    """Return the modules of the package, without the local RudderStack."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "testing" in path.relative_to(PACKAGE).parts:
            continue
        module = Module(path, ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(module.tree):
            module.parents.update((child, node) for child in ast.iter_child_nodes(node))
        found.append(module)
    return tuple(found)


@cache
def functions() -> dict[str, tuple[Module, ast.FunctionDef]]:
    """Return the functions of the package that have a name of their own."""
    found: dict[str, list[tuple[Module, ast.FunctionDef]]] = {}
    for module in modules():
        for name, node in module.functions.items():
            found.setdefault(name, []).append((module, node))
    return {name: places[0] for name, places in found.items() if len(places) == 1}


def template(node: ast.AST) -> str | None:
    """Return the template of a string. None if the node is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [template(node.left), template(node.right)]
        return None if sides == [None, None] else "".join(side or VALUE for side in sides)
    return None


@cache
def all_templates() -> frozenset[str]:
    """Return every string of the code."""
    return frozenset(
        text
        for module in modules()
        for node in ast.walk(module.tree)
        if (text := template(node)) is not None and not _is_docstring(node, module)
    )


@cache
def dagster_templates() -> frozenset[str]:
    """Return every string of the modules of Dagster and of its YAML check that messages in the
    documentation come from, without the values in it."""
    packages = Path(dagster.__file__).parents[1]
    found: set[str] = set()
    for name in DAGSTER_MODULES:
        tree = ast.parse((packages / name).read_text(encoding="utf-8"))
        texts = map(template, ast.walk(tree))
        found.update(text.replace(VALUE, "") for text in texts if text is not None)
    return frozenset(found)


def _is_docstring(node: ast.AST, module: Module) -> bool:
    return isinstance(module.parents.get(node), ast.Expr)


@cache
def messages() -> tuple[Message, ...]:
    """Return the messages of the code."""
    found = set()
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                kind, argument = _kind_and_message(node)
                if argument is not None:
                    found |= {
                        Message(text, kind, module.name)
                        for text in _texts(argument, module, depth=0)
                        if sum(map(str.isalpha, text)) >= MIN_LETTERS
                    }
    return tuple(sorted(found))


def _kind_and_message(call: ast.Call) -> tuple[str, ast.AST | None]:
    """Return what a call reports, and the argument with its message."""
    name = _name_of(call.func)
    first = call.args[0] if call.args else None
    if name in ("warning", "warn"):
        return "warning", first
    if name == "error" and isinstance(first, ast.Name) and first.id in ERRORS:
        return first.id, call.args[1]
    if name in ERRORS or name == "Failure":
        named = {each.arg: each.value for each in call.keywords}
        return name, first or named.get("description")
    if name in _MESSAGES_OF:
        kind, place = _MESSAGES_OF[name]
        return kind, call.args[place] if len(call.args) > place else None
    return "", None


_MESSAGES_OF = {
    "unexpected": ("UnexpectedResponseError", 2),
    "kind": ("StatusError", 0),
    "RunEndedError": ("interrupt", 0),
}
"""Other calls with a message: its kind, and its place among the arguments."""


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.AST, module: Module, depth: int) -> Iterator[str]:
    """Yield the templates that an expression may have."""
    text = template(node)
    if text is not None:
        yield text
    elif depth < MAX_DEPTH:
        for owner, part in _parts(node, module):
            yield from _texts(part, owner, depth + 1)


def _parts(node: ast.AST, module: Module) -> Iterator[tuple[Module, ast.AST]]:
    """Yield what may have the text of an expression, with the module of each."""
    if isinstance(node, ast.Name):
        yield from ((module, value) for value in _assigned(node, module))
    elif isinstance(node, ast.Call):
        yield from ((module, part) for part in [*node.args, *_parts_of_a_join(node)])
        owner, function = _called(node, module)
        for each in ast.walk(function) if function is not None else ():
            if isinstance(each, (ast.Return, ast.Yield)) and each.value is not None:
                yield owner, each.value
    elif isinstance(node, (ast.IfExp, ast.Dict, ast.DictComp, ast.BoolOp, ast.List, ast.ListComp)):
        yield from ((module, child) for child in ast.iter_child_nodes(node))


def _called(call: ast.Call, module: Module) -> tuple[Module, ast.FunctionDef | None]:
    name = _name_of(call.func)
    own = module.functions.get(name)
    return (module, own) if own else functions().get(name, (module, None))


def _parts_of_a_join(call: ast.Call) -> Iterator[ast.AST]:
    for argument in call.args:
        if _name_of(call.func) == "join" and isinstance(argument, ast.List):
            yield from argument.elts


def _assigned(name: ast.Name, module: Module) -> Iterator[ast.AST]:
    """Yield what the function around a name assigns to it, and what the module to an entry of it.

    A loop assigns the items of what it iterates over.
    """
    for node in ast.walk(module.function_of(name)):
        if isinstance(node, (ast.Assign, ast.AugAssign)) and _has_target(node, name.id, ast.Name):
            yield node.value
        elif isinstance(node, ast.For) and _name_of(node.target) == name.id:
            yield node.iter
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign) and _has_target(node, name.id, ast.Subscript):
            yield node.value


def _has_target(node: ast.Assign | ast.AugAssign, name: str, kind: type[ast.expr]) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(
        isinstance(target, kind)
        and _name_of(target.value if isinstance(target, ast.Subscript) else target) == name
        for target in targets
    )
