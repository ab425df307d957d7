"""From a symbolic tree to decisions, and from genotypes back to objects.

`Program` flattens a tree once into a list of steps, each of which makes one value from
earlier ones: call a constructor, fill a list, pick the candidate that was chosen. Making
an example runs the steps of the branches that are there, in the order in which the
constructors ran when the space was written: a hand-written model draws its initial
weights in the same order. Nothing here recurses, so trees may be of any depth.
"""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import pyglove as pg

from symnas import hyper, tree
from symnas.constructors import unrecorded
from symnas.genotype import Decision, Entry
from symnas.signature import CallPlan
from symnas.tree import (
    Call,
    Foreign,
    SymbolicDict,
    SymbolicList,
    SymbolicObject,
)

# A step makes a value from the values so far, the genotype, and what was copied.
Step = Callable[[list[Any], Sequence[float], dict[int, Any]], Any]

# What is not a constant.
_BUILT = (SymbolicObject, SymbolicList, SymbolicDict, Foreign)

Visit = Generator[tuple[Any, int, Any], int, int]


class Program:
    """A compiled symbolic tree.

    Args:
      root: a symbolic tree.
      where: selects the hyper-values that are decided; the others stay in the examples,
        which are then search spaces themselves.
    """

    def __init__(self, root: Any, where: Callable[[Any], bool] | None = None) -> None:
        self.decisions: list[Decision] = []
        self.branches: list[list[Entry]] = [[]]
        self._where = where
        self.calls = False  # Whether an example may need a constructor.
        self._open = False  # Whether a hyper-value was left undecided.
        self._values: list[Any] = []  # Constants; None where a step makes the value.
        self._steps: tuple[dict[int, Step], dict[int, Step]] = ({}, {})  # By slot:
        # those that make objects, and those that make symbolic ones.
        self._order: dict[int, int] = {}  # By slot: when its constructor ran.
        self._branch_steps: list[list[int]] = [[]]
        self._named: dict[str, tuple[Decision, Any]] = {}
        self._shared: dict[Any, tuple[int, int, Any]] = {}  # Slot, branch and node.
        self._tied = tree.repeated_tokens(root)
        with _collector_paused():
            self._root = self._run(root)
        self._finish()

    # --- making examples --------------------------------------------------------------

    def build(self, genotype: Sequence[float]) -> Any:
        """The object that a genotype stands for."""
        if self._open:
            example = self.symbolic(genotype)
            if any(isinstance(node, hyper.HyperValue) for node in tree.walk(example)):
                return example
        if not self.calls:
            return self._execute(genotype, 0)
        with unrecorded():
            return self._execute(genotype, 0)

    def symbolic(self, genotype: Sequence[float]) -> Any:
        """Its symbolic form: the same calls, not made."""
        return tree.convert(self._execute(genotype, 1))

    def _execute(self, genotype: Sequence[float], form: int) -> Any:
        values = self._values.copy()
        memo: dict[int, Any] = {}
        steps = self._steps[form]
        for slot in self._plan if self._plan is not None else self._active(genotype):
            values[slot] = steps[slot](values, genotype, memo)
        return values[self._root]

    def _active(self, genotype: Sequence[float]) -> list[int]:
        """The slots to fill, in order."""
        slots: list[int] = []
        stack = [0]
        while stack:
            branch = stack.pop()
            slots += self._branch_steps[branch]
            stack += self._linked[branch]
            for columns, table in self._opening[branch]:
                for column, children in zip(columns, table, strict=True):
                    child = children[int(genotype[column])]
                    if child >= 0:
                        stack.append(child)
        unique = set(slots) if self._linked_any else slots
        return sorted(unique, key=self._rank.__getitem__)

    def _finish(self) -> None:
        self._rank = {
            slot: rank
            for rank, slot in enumerate(
                sorted(self._steps[0], key=lambda slot: (self._order[slot], slot))
            )
        }
        self._linked: list[list[int]] = [[] for _ in self.branches]
        for branch, entries in enumerate(self.branches):
            for entry in entries:
                if entry.column < 0:
                    self._linked[entry.parent].append(branch)
        self._linked_any = any(self._linked)
        self._opening: list[list[Any]] = [[] for _ in self.branches]
        for decision in self.decisions:
            for branch, table in zip(
                decision.branches, decision.children, strict=False
            ):
                if any(child >= 0 for row in table for child in row):
                    self._opening[branch].append((decision.columns, table))
        flat = len(self.branches) == 1
        self._plan = (
            sorted(self._branch_steps[0], key=self._rank.__getitem__) if flat else None
        )

    # --- compiling --------------------------------------------------------------------

    def _run(self, root: Any) -> int:
        """Drives the visits without recursion; each yields the nodes it needs first."""
        if not isinstance(root, _BUILT):
            return self._constant(root)
        stack = [self._visit(root, 0, None)]
        result: int | None = None
        while stack:
            try:
                node, branch, location = (
                    next(stack[-1]) if result is None else stack[-1].send(result)
                )
            except StopIteration as stop:
                stack.pop()
                result = stop.value
            else:
                if type(node) not in tree._PLAIN and isinstance(node, _BUILT):
                    stack.append(self._visit(node, branch, location))
                    result = None
                else:
                    result = self._constant(node)
        assert result is not None
        return result

    def _constant(self, value: Any) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _step(
        self,
        branch: int,
        needs: Sequence[int],
        concrete: Step,
        symbolic: Step,
        order: int = 0,
    ) -> int:
        slot = self._constant(None)
        self._steps[0][slot] = concrete
        self._steps[1][slot] = symbolic
        # After a `rebind` a part may be younger than what contains it.
        self._order[slot] = max([order, *(self._order.get(need, 0) for need in needs)])
        self._branch_steps[branch].append(slot)
        return slot

    def _branch(self, *entries: Entry) -> int:
        self.branches.append(list(entries))
        self._branch_steps.append([])
        return len(self.branches) - 1

    def _visit(self, node: Any, branch: int, location: Any) -> Visit:
        if isinstance(node, hyper.HyperValue):
            return self._visit_hyper(node, branch, location)
        if isinstance(node, Call):
            if node.sym_token in self._tied:
                return self._visit_shared(node, branch, location)
            return self._visit_call(node, branch, location)
        if isinstance(node, SymbolicList):
            return self._visit_list(node, branch, location)
        if isinstance(node, SymbolicDict):
            return self._visit_dict(node, branch, location)
        return self._visit_foreign(node, branch)

    def _visit_foreign(self, node: Foreign, branch: int) -> Visit:
        yield from ()
        value = node.value
        if node.shared:
            return self._constant_leaf(branch, value, node)
        return self._step(
            branch,
            (),
            lambda values, genotype, memo: copy.deepcopy(value, memo),
            lambda values, genotype, memo: node,
        )

    def _constant_leaf(self, branch: int, value: Any, node: Any) -> int:
        return self._step(
            branch,
            (),
            lambda values, genotype, memo: value,
            lambda values, genotype, memo: node,
        )

    def _visit_list(self, node: Any, branch: int, location: Any) -> Visit:
        slots = []
        for i, item in enumerate(list.__iter__(node)):
            slots.append((yield item, branch, (location, i)))

        def fill(values: list[Any], genotype: Any, memo: Any) -> Any:
            return [values[slot] for slot in slots]

        return self._step(branch, slots, fill, fill)

    def _visit_dict(self, node: Any, branch: int, location: Any) -> Visit:
        slots = {}
        for key, item in dict.items(node):
            slots[key] = yield item, branch, (location, key)

        def fill(values: list[Any], genotype: Any, memo: Any) -> Any:
            return {key: values[slot] for key, slot in slots.items()}

        return self._step(branch, list(slots.values()), fill, fill)

    def _visit_shared(self, node: Call, branch: int, location: Any) -> Visit:
        """An object that stands in several places is made once, in its own branch."""
        known = self._shared.get(node.sym_token)
        if known is None:
            own = self._branch(Entry(branch, -1, -1))
            slot = yield from self._visit_call(node, own, location)
            self._shared[node.sym_token] = slot, own, node
            return slot
        slot, own, first = known
        if not pg.eq(first, node):
            raise ValueError(
                f"The object at `{first.sym_path}` also stands at `{node.sym_path}`, but "
                "one of the two was changed. Rebind both alike, or put a `clone()` in "
                "one of the places."
            )
        entry = Entry(branch, -1, -1)
        if entry not in self.branches[own]:
            self.branches[own].append(entry)
        return slot

    def _visit_call(self, node: Call, branch: int, location: Any) -> Visit:
        slots = {}
        for name, item in dict.items(node._sym_attributes):
            slots[name] = yield item, branch, (location, name)
        self.calls = True
        target, token, order = node.sym_target, node.sym_token, node.sym_order

        def describe(values: list[Any], genotype: Any, memo: Any) -> Any:
            made = memo.get(token)
            if made is None:
                fields = {name: values[slot] for name, slot in slots.items()}
                made = memo[token] = tree.make_call(target, fields, token, order)
            return made

        make = _make_call(target, CallPlan(target, list(slots)), slots)
        return self._step(branch, list(slots.values()), make, describe, order)

    def _visit_hyper(self, node: Any, branch: int, location: Any) -> Visit:
        fields = node._sym_attributes
        if self._where is not None and not self._where(node):
            return (yield from self._visit_open(node, branch, location))
        decision = self._decision(node, fields, branch, location)
        if not isinstance(node, (hyper.OneOf, hyper.ManyOf)):
            column = decision.column
            value = decision.value

            def number(values: list[Any], genotype: Sequence[float], memo: Any) -> Any:
                return value(genotype[column])

            return self._step(branch, (), number, number)
        place = len(decision.branches) - 1
        table = decision.children[place]
        candidates = list(list.__iter__(dict.__getitem__(fields, "candidates")))
        # Slots of a distinct choice never hold the same candidate, so they can share
        # what is below it; otherwise each slot makes its own.
        rows = 1 if decision.distinct else decision.slots
        slots: list[list[int]] = []
        for row in range(rows):
            columns = decision.columns if rows == 1 else [decision.column + row]
            slots.append([])
            for i, candidate in enumerate(candidates):
                inside = branch
                if type(candidate) not in tree._PLAIN and isinstance(candidate, _BUILT):
                    inside = self._branch(*(Entry(branch, c, i) for c in columns))
                    for slot in range(decision.slots) if rows == 1 else [row]:
                        table[slot][i] = inside
                key = f"[={i}/{decision.count}]"
                where = (location, f"[{row}]") if rows > 1 else location
                slots[-1].append((yield candidate, inside, (where, key)))
        needs = [slot for row in slots for slot in row]
        pick = _pick(decision, slots)
        return self._step(branch, needs, pick, pick)

    def _visit_open(self, node: Any, branch: int, location: Any) -> Visit:
        """A hyper-value that `where` leaves to a later search."""
        self._open = True
        fields = dict(dict.items(node._sym_attributes))
        candidates = fields.get("candidates")
        slots: list[int] = []
        if candidates is not None:
            for i, candidate in enumerate(list.__iter__(candidates)):
                key = f"[={i}/{len(candidates)}]"
                slots.append((yield candidate, branch, (location, key)))

        def leave(values: list[Any], genotype: Any, memo: Any) -> Any:
            if candidates is not None:
                fields["candidates"] = [values[slot] for slot in slots]
            return type(node)._make(fields)

        return self._step(branch, slots, leave, leave)

    def _decision(self, node: Any, fields: Any, branch: int, location: Any) -> Decision:
        """The decision of a hyper-value: a new one, or the one that has its name."""
        name = node.sym_name
        known = self._named.get(name) if name is not None else None
        if known is None:
            decision = hyper.decision(type(node), dict(dict.items(fields)))
            decision.location = location
            if self.decisions:
                last = self.decisions[-1]
                decision.column = last.column + last.slots
            self.decisions.append(decision)
            if name is not None:
                self._named[name] = decision, node
        else:
            decision, first = known
            if not _same_choices(first, node):
                raise ValueError(
                    f"The name {name!r} is given to two decisions with different "
                    f"choices: `{first!r}` at `{first.sym_path}` and `{node!r}` at "
                    f"`{node.sym_path}`. A name stands for one decision."
                )
        decision.branches.append(branch)
        if decision.kind == "choice":
            table = [[-1] * decision.count for _ in range(decision.slots)]
            decision.children.append(table)
        return decision


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Spares full collections while many objects are made that all stay.

    Each would walk all objects of torch and PyGlove: 10,000 decisions compile three
    times faster without.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _same_choices(first: Any, second: Any) -> bool:
    """Whether two hyper-values can be one decision.

    Candidates that are constants must be equal. Those that are built may have other
    arguments in each place, as the layers of two stages have, but not another type.
    """
    if type(first) is not type(second):
        return False
    left, right = dict(tree.children(first)), dict(tree.children(second))
    for key, value in left.items():
        if key not in ("candidates", "hints") and value != right.get(key):
            return False
    if "candidates" not in left:
        return True
    one, other = (
        list(list.__iter__(left["candidates"])),
        list(list.__iter__(right["candidates"])),
    )
    return len(one) == len(other) and all(map(_alike, one, other))


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, Call) and isinstance(right, Call):
        return left.sym_target is right.sym_target
    if isinstance(left, (hyper.HyperValue, SymbolicList, SymbolicDict)):
        return type(left) is type(right)
    if isinstance(left, Foreign) and isinstance(right, Foreign):
        return type(left.value) is type(right.value)
    try:
        return type(left) is type(right) and bool(left == right)
    except Exception:  # Arrays compare elementwise.
        return left is right


def _make_call(
    target: Callable[..., Any], plan: CallPlan, slots: dict[str, int]
) -> Step:
    """The step that calls `target` with the values in `slots`."""
    keywords = [(name, slots[name]) for name in plan.keywords]
    if not plan.positional and plan.unpacked is None and plan.merged is None:

        def make_simple(values: list[Any], genotype: Any, memo: Any) -> Any:
            return target(**{name: values[slot] for name, slot in keywords})

        return make_simple
    positional = [(name, slots.get(name)) for name in plan.positional]
    unpacked = None if plan.unpacked is None else slots[plan.unpacked]
    merged = None if plan.merged is None else slots[plan.merged]

    def make(values: list[Any], genotype: Any, memo: Any) -> Any:
        args = [
            plan.defaults[name] if slot is None else values[slot]
            for name, slot in positional
        ]
        if unpacked is not None:
            args += values[unpacked]
        kwargs = {name: values[slot] for name, slot in keywords}
        if merged is not None:
            kwargs.update(values[merged])
        return target(*args, **kwargs)

    return make


def _pick(decision: Decision, slots: list[list[int]]) -> Step:
    """The step that takes the chosen candidates."""
    column, row = decision.column, slots[0]
    if not decision.many:

        def pick_one(values: list[Any], genotype: Sequence[float], memo: Any) -> Any:
            return values[row[int(genotype[column])]]

        return pick_one
    rows = slots if len(slots) > 1 else slots * decision.slots
    places = list(zip(rows, decision.columns, strict=True))

    def pick_many(values: list[Any], genotype: Sequence[float], memo: Any) -> Any:
        return [values[options[int(genotype[column])]] for options, column in places]

    return pick_many
