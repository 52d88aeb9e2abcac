"""``rdahw prove``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._model import find_model, size_options
from rdahw.cli._output import Output, output_options
from rdahw.cli._tools import toolchain_option
from rdahw.errors import UsageError, UserError, nearest

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.claims import Claim
    from rdahw.hdl.proof import Gateware, Proof
    from rdahw.hdl.trainer_proof import TrainerClaim
    from rdahw.models import Model
    from rdahw.saved import SavedModel

#: What rdahw itself claims of every model, in the order of the table.
_CLAIMS = ("adjoint", "difference", "custom", "gateware", "trainer")
#: What is asked of a trained model.
_WISHES = ("one-hot", "robust")


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
              help="adjoint, difference, custom, gateware, trainer (default: these), one-hot, robust:K")  # fmt: skip
@click.option("--equal", nargs=2, metavar="A B", help="prove that two models agree on all inputs")
@size_options()
@click.option("--solver", type=click.Choice(["auto", "yosys"]), default="auto", show_default=True,
              help="auto tries all inputs where they are few")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, metavar="S",
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
    solver: Literal["auto", "yosys"],
    timeout: float,
    toolchain: Literal["yowasp", "native"],
) -> int:
    """Prove claims for all inputs, or show an input for which one fails.

    adjoint: the reverse derivative obeys its law; difference: it is the Boolean difference (asked by default where the
    circuit is safe); custom: so is the reverse of each block; gateware: the emitted hardware computes the circuit;
    trainer: the trainers learn as they should, for ever.
    Wishes about a trained model: one-hot, robust:K (K flipped input bits change nothing).

    Exit code 0 only if all are proved; 1 if one is refuted or stays open.
    """
    from rdahw.claims import TooLarge
    from rdahw.hdl.proof import Proof, prove
    from rdahw.sim.reference import run

    stated: list[Claim | Gateware | TrainerClaim] = []
    unstated: list[Proof] = []
    for name, make in _statements(model, what, equal, inputs, outputs).items():
        try:
            stated += make()
        except TooLarge as error:
            unstated.append(Proof(name, "", "", "", "open", 0.0, "none", reason=str(error)))
    with output.progress("proving", "claims") as bar:
        proofs = prove(stated, replay=run, solver=solver, timeout=timeout, toolchain=toolchain, progress=bar)
    proofs += unstated
    output.json({"claims": [proof.to_json() for proof in proofs]})
    _for_people(output, proofs)
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

_Makers = Mapping[str, Callable[[], "list[Claim | Gateware | TrainerClaim]"]]


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
    chosen = what or tuple((name, 0) for name in _CLAIMS if name != "difference" or _is_safe(made.circuit))
    trained = [name for name, _ in chosen if name in _WISHES]
    if trained and saved is None:
        raise UsageError(f"--what {trained[0]} is asked of a trained model; give a file of rdahw train")
    function = _function(made, saved)
    rows: dict[str, Callable[[int], list[Claim | Gateware | TrainerClaim]]] = {
        "adjoint": lambda _: [claims.adjoint(made.circuit)],
        "difference": lambda _: [claims.difference(made.circuit)],
        "custom": lambda _: [*claims.custom(made.circuit)],
        "gateware": lambda _: _gateware(made, saved),
        "trainer": lambda _: _trainers(made, saved),
        "one-hot": lambda _: [claims.one_hot(function)],
        "robust": lambda flips: [claims.robust(function, flips)],
    }
    return {f"{name} {flips}" if flips else name: _bound(rows[name], flips) for name, flips in chosen}


def _bound(
    maker: Callable[[int], list[Claim | Gateware | TrainerClaim]], flips: int
) -> Callable[[], list[Claim | Gateware | TrainerClaim]]:
    return lambda: maker(flips)


def _is_safe(circuit: Circuit) -> bool:
    from rdahw.safety import is_safe

    return is_safe(circuit)


def _function(model: Model, saved: SavedModel | None) -> Circuit:
    """x ↦ y with what was learned folded in; of a model that has learned nothing, the whole circuit."""
    from rdahw.transform import bind

    if saved is None:
        return model.circuit
    return bind(model.circuit, **{model.circuit.input_names[0]: saved.parameters.tolist()})


def _gateware(model: Model, saved: SavedModel | None) -> list[Claim | Gateware | TrainerClaim]:
    """The hardware of the model, of its learning step, and of what was learned."""
    from rdahw.hdl.proof import gateware
    from rdahw.learner import Learner

    learner = Learner(model) if saved is None else saved.learner
    claims: list[Claim | Gateware | TrainerClaim] = [gateware(model.circuit, "model"), gateware(learner.step, "step")]
    return claims if saved is None else [*claims, gateware(_function(model, saved), "inference")]


def _trainers(model: Model, saved: SavedModel | None) -> list[Claim | Gateware | TrainerClaim]:
    """The trainers of one stage, and those of two where the model has the rule that lets them accept every cycle."""
    from rdahw.hdl.trainer_proof import trainer
    from rdahw.kernel import tangent_kernel
    from rdahw.learner import Learner

    learner = Learner(model) if saved is None else saved.learner
    stages = (1,) if tangent_kernel(model.circuit) is None else (1, 2)
    return [trainer(learner, batch=batch, stages=count) for batch in (False, True) for count in stages]


def _for_people(output: Output, proofs: list[Proof]) -> None:
    rows = [
        (proof.name, proof.size, proof.verdict, round(proof.seconds, 2), proof.solver + (" (kept)" * proof.is_cached))
        for proof in proofs
    ]
    output.table(("claim", "bits", "verdict", "seconds", "solver"), rows)
    for proof in proofs:
        if proof.reason:
            output.line(f"\n{proof.name} is {proof.verdict}: {proof.reason}")
        elif proof.counterexample is not None and proof.found is not None:
            output.line(f"\n{proof.name} is refuted: not for all inputs {proof.symbols}. Bit 0 is the last.")
            for name, bits in proof.counterexample.items():
                output.line(f"  {name} = {bits}")
            for side, values in proof.found.items():
                output.line(f"  {side}: " + ", ".join(f"{name} = {bits}" for name, bits in values.items()))
            if proof.name == "difference":
                output.line(
                    "  Somewhere what depends on the same input bit is multiplied, as in x AND x: there the chain\n"
                    "  rule and flipping bits are two different derivatives (docs/derivatives.md)."
                )
