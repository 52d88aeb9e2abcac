"""``rdahw prove``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._model import find_model, size_options
from rdahw.cli._output import Output, output_options
from rdahw.cli._tools import toolchain_option
from rdahw.errors import UsageError, UserError, nearest

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.hdl.proof import AnyClaim, Proof, Solver, Verdict
    from rdahw.learner import Learner
    from rdahw.model import Model
    from rdahw.saved import SavedModel

#: What rdahw itself claims of every model, in the order of the table.
_CLAIMS = ("adjoint", "difference", "custom", "gateware", "trainer", "synthesis")
#: What is asked of a trained model.
_WISHES = ("one-hot", "robust")
#: Boards for which netlists are made: one of each family of FPGAs whose cells have models to prove with.
_BOARDS = ("icebreaker", "ulx3s")


class _What(click.ParamType):  # type: ignore[type-arg]
    """Claims and wishes with commas between them, each as (name, number of flips)."""

    name = "CLAIM,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        chosen = []
        for word in value.split(","):
            match = re.fullmatch(r"robust(?::([1-9]\d{0,5}))?", word)
            if match is None and word not in (*_CLAIMS, *_WISHES):
                self.fail(f"{word!r} is no claim; {nearest(word, (*_CLAIMS, 'one-hot', 'robust:K'))}")
            chosen.append(("robust", int(match[1] or 1)) if match else (word, 0))
        return tuple(dict.fromkeys(chosen))


@click.command(
    "prove",
    short_help="prove what is claimed about a model",
    epilog="""\b
Examples:
  rdahw prove iris-lookup.rdahw
  rdahw prove iris-lookup.rdahw --what one-hot,robust:2
  rdahw prove --equal iris-lookup.rdahw other.rdahw
  rdahw prove mask --inputs 12 --what custom --json""",
)
@click.argument("model", metavar="[MODEL|NAME|FILE.py:NAME]", required=False)
@click.option("--what", type=_What(), metavar="CLAIM,…",
              help=f"{', '.join(_CLAIMS)} (default: these), one-hot, robust:K")  # fmt: skip
@click.option("--equal", nargs=2, metavar="A B", help="prove that two models agree on all inputs")
@size_options()
@click.option("--solver", type=click.Choice(["auto", "yosys", "boolector", "z3"]), default="auto", show_default=True,
              help="auto: all inputs where they are few, else yosys")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0, min_open=True), show_default="60.0", metavar="S",
              help="seconds for each claim; then it stays open")  # fmt: skip
@toolchain_option
@output_options
def command(
    output: Output,
    model: str | None,
    what: tuple[tuple[str, int], ...] | None,
    equal: tuple[str, str] | None,
    inputs: int,
    outputs: int,
    solver: Solver,
    timeout: float | None,
    toolchain: Literal["yowasp", "native"],
) -> int:
    """Prove claims for all inputs, or show an input for which one fails.

    adjoint: the reverse derivative obeys its law; difference: it is the Boolean difference (asked by default where the
    circuit is safe); custom: so is the reverse of each block; gateware: the emitted hardware computes the circuit;
    trainer: the trainers learn as they should, for ever; synthesis: so do their netlists of iCE40 and ECP5 cells.
    Wishes about a trained model: one-hot, robust:K (K flipped input bits change nothing).

    Exit code 0 only if all are proved; 1 if one is refuted or stays open.
    """
    from rdahw.claims import TooLarge
    from rdahw.hdl.proof import Proof, prove
    from rdahw.sim.reference import run

    stated: list[AnyClaim] = []
    unstated: list[Proof] = []
    compared: list[str] = []
    if equal is not None and model is None and what is None:
        compared, unstated = _surroundings(*(find_model(name, inputs, outputs)[1] for name in equal))
    for name, make in _statements(model, what, equal, inputs, outputs).items():
        try:
            stated += make()
        except TooLarge as error:
            unstated.append(Proof(name, "", "", "", "open", 0.0, "none", reason=str(error)))
    with output.progress("proving", "claims") as bar:
        proofs = prove(stated, replay=run, solver=solver, timeout=timeout, toolchain=toolchain, progress=bar)
    proofs += unstated
    output.json({"claims": [proof.to_json() for proof in proofs]} | ({"compared": compared} if compared else {}))
    _for_people(output, proofs)
    if compared == _CIRCUITS:
        output.line("\nOnly the circuits on bits were compared: a model by name has no binariser and no labels.")
    failed = [proof for proof in proofs if proof.verdict != "proved"]
    if failed:
        counts = {verdict: sum(proof.verdict == verdict for proof in failed) for verdict in ("refuted", "open")}
        said = " and ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        raise UserError(f"of {len(proofs)} claims {said}; {_WAY_OUT[bool(counts['refuted'])]}")
    return 0


_WAY_OUT = {
    True: "what is shown above says where",
    False: "give --timeout more seconds, or prove a smaller size",
}

_Makers = Mapping[str, Callable[[], "list[AnyClaim]"]]


def _statements(
    spec: str | None,
    what: tuple[tuple[str, int], ...] | None,
    equal: tuple[str, str] | None,
    inputs: int,
    outputs: int,
) -> _Makers:
    """What is to be proved, by name; a statement may turn out to be too large to be made."""
    from rdahw import claims

    if equal is not None:
        if spec is not None or what is not None:
            raise UsageError("--equal compares two models and nothing else; leave out the other model and --what")
        f, g = (_function(*find_model(name, inputs, outputs)) for name in equal)
        return {"equal": lambda: [claims.equal(f, g)]}
    if spec is None:
        raise UsageError("no model was given; name one, like iris-lookup.rdahw or lookup, or give --equal A B")
    made, saved = find_model(spec, inputs, outputs)
    chosen = what or tuple((name, 0) for name in _CLAIMS if _applies(name, made.circuit))
    trained = [name for name, _ in chosen if name in _WISHES]
    if trained and saved is None:
        raise UsageError(f"--what {trained[0]} is asked of a trained model; give a file of rdahw train")
    function = _function(made, saved)
    rows: dict[str, Callable[[int], list[AnyClaim]]] = {
        "adjoint": lambda _: [claims.adjoint(made.circuit)],
        "difference": lambda _: [claims.difference(made.circuit)],
        "custom": lambda _: [*claims.custom(made.circuit)],
        "gateware": lambda _: _gateware(made, saved),
        "trainer": lambda _: _trainers(made, saved),
        "synthesis": lambda _: _netlists(made, saved),
        "one-hot": lambda _: [claims.one_hot(function)],
        "robust": lambda flips: [claims.robust(function, flips)],
    }
    return {f"{name} {flips}" if flips else name: _bound(rows[name], flips) for name, flips in chosen}


#: What is compared of two models of which one is not saved.
_CIRCUITS = ["circuits"]


def _surroundings(a: SavedModel | None, b: SavedModel | None) -> tuple[list[str], list[Proof]]:
    """What can be compared of two models, and what came of comparing all but their circuits."""
    from rdahw.claims import surroundings
    from rdahw.hdl.proof import Proof

    if a is None or b is None:
        return _CIRCUITS, []
    differs = surroundings(a, b)
    words = "the same data become the same bits, and the same bits the same label"
    symbols = "binariser and labels of f = those of g"
    verdict: Verdict = "refuted" if differs else "proved"
    proof = Proof("equal", "data, labels", words, symbols, verdict, 0.0, "comparison", reason="; ".join(differs))
    return [*_CIRCUITS, "binariser", "labels"], [proof]


def _bound(maker: Callable[[int], list[AnyClaim]], flips: int) -> Callable[[], list[AnyClaim]]:
    return lambda: maker(flips)


def _applies(claim: str, circuit: Circuit) -> bool:
    """Whether a claim is made of this circuit unasked: those about derivatives are of bits alone."""
    from rdahw.safety import is_safe
    from rdahw.types import Bits

    if claim in ("adjoint", "difference", "custom") and not all(isinstance(type_, Bits) for type_ in circuit.types):
        return False
    return claim != "difference" or is_safe(circuit)


def _function(model: Model, saved: SavedModel | None) -> Circuit:
    """x ↦ y with what was learned folded in; of a model that has learned nothing, the whole circuit."""
    from rdahw.transform import bind

    if saved is None:
        return model.predictor
    return bind(model.predictor, **{model.circuit.input_names[0]: saved.parameters.tolist()})


def _gateware(model: Model, saved: SavedModel | None) -> list[AnyClaim]:
    """The hardware of the model, of its learning step, and of what was learned."""
    from rdahw.hdl.proof import gateware

    learner = _learner(model, saved)
    claims: list[AnyClaim] = [gateware(model.circuit, "model"), gateware(learner.step, "step")]
    return claims if saved is None else [*claims, gateware(_function(model, saved), "inference")]


def _trainers(model: Model, saved: SavedModel | None) -> list[AnyClaim]:
    """The trainers in registers, of every kind."""
    from rdahw.hdl.trainer_proof import trainer

    learner = _learner(model, saved)
    kinds = itertools.product((False, True), (False, True), (1, 2))
    return [trainer(learner, batch=batch, stages=stages, access=access) for access, batch, stages in kinds]


def _netlists(model: Model, saved: SavedModel | None) -> list[AnyClaim]:
    """The netlists of what goes on a board behind the host link: the trainers, and what was learned."""
    from rdahw.boards import board
    from rdahw.boards.board import FAMILIES
    from rdahw.claims import MAX_GATES, TooLarge, count_gates, shape
    from rdahw.hdl.inference import FixedModel
    from rdahw.hdl.netlist_proof import netlist
    from rdahw.hdl.trainer import RegisterTrainer
    from rdahw.hdl.trainer_proof import describe_kind

    learner = _learner(model, saved)
    if (gates := count_gates(learner.step)) > MAX_GATES:
        raise TooLarge(f"a netlist of {gates:,} gates is more than the {MAX_GATES:,} tried: prove a smaller size")
    designs: dict[str, Callable[[], Any]] = {}
    for batch, stages in itertools.product((False, True), (1, 2)):
        kind = describe_kind(batch, stages)
        designs[f"{kind}: {shape(model.circuit)}"] = partial(
            RegisterTrainer, learner, batch=batch, stages=stages, access=True
        )
    if saved is not None:
        designs[f"inference: {shape(_function(model, saved))}"] = partial(FixedModel, learner, saved.parameters)
    synths = [(FAMILIES[found.family].synth, *found.synth) for found in map(board, _BOARDS)]
    return [netlist(make, synth, size) for synth in synths for size, make in designs.items()]


def _learner(model: Model, saved: SavedModel | None) -> Learner:
    """The learner that was saved, or one with the rules that suit the model's types."""
    from rdahw.learner import ERRORS, OPTIMISERS, Learner

    if saved is not None:
        return saved.learner
    types = (ERRORS, model.circuit.output_types[0]), (OPTIMISERS, model.circuit.input_types[0])
    return Learner(model, *(next(r.spelt(n) for n, r in rows.items() if isinstance(t, r.kind)) for rows, t in types))


def _for_people(output: Output, proofs: list[Proof]) -> None:
    rows = [
        (proof.name, proof.size, proof.verdict, round(proof.seconds, 2), proof.solver + (" (kept)" * proof.is_cached))
        for proof in proofs
    ]
    output.table(("claim", "bits", "verdict", "seconds", "solver"), rows)
    for proof in proofs:
        name = f"{proof.name} ({proof.size})" if proof.size and (proof.cycles or proof.reason) else proof.name
        if proof.reason:
            output.line(f"\n{name} is {proof.verdict}: {proof.reason}")
        elif proof.found is not None:
            where = "in the last cycle shown" if proof.cycles else "for all inputs"
            output.line(f"\n{name} is refuted: not {where} {proof.symbols}. Bit 0 is the last.")
            for name, bits in (proof.counterexample or {}).items():
                output.line(f"  {name} = {bits}")
            for number, row in enumerate(proof.cycles):
                output.line(f"  cycle {number}: " + ", ".join(f"{name} = {bits}" for name, bits in row.items()))
            for side, values in proof.found.items():
                output.line(f"  {side}: " + ", ".join(f"{name} = {bits}" for name, bits in values.items()))
            if proof.name == "difference":
                output.line(
                    "  Somewhere what depends on the same input bit is multiplied, as in x AND x: there the chain\n"
                    "  rule and flipping bits are two different derivatives (docs/derivatives.md)."
                )
