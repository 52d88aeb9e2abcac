"""``rdahw prove``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import click

from rdahw.cli._jobs import jobs_option
from rdahw.cli._machines import compare, find_joined, find_machines
from rdahw.cli._model import as_predictor, find_model, predictor
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import size_options, solver_options, toolchain_option
from rdahw.errors import UsageError, UserError, nearest

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.family import Spec
    from rdahw.hdl.proof import AnyClaim, Proof, Solver, Verdict
    from rdahw.machine import Machine
    from rdahw.primitives import Array
    from rdahw.saved import SavedModel

#: What rdahw claims about every model, in the order of the table.
_CLAIMS = ("adjoint", "difference", "custom", "gateware", "trainer", "synthesis")
#: Properties of a trained model.
_PROPERTIES = ("one-hot", "robust")
#: Claims about circuits of bits only.
_OF_BITS = ("difference", "custom")
#: Boards for which netlists are made: one for each family of FPGAs whose cells have models for proofs.
_BOARDS = ("icebreaker", "ulx3s")
#: The most gates of a trained model whose netlist is proved; for more, to make the design takes minutes, which no time
#: limit ends.
_MOST_UNFOLDED = 1 << 16


class _What(click.ParamType):  # type: ignore[type-arg]
    """Claims and properties separated by commas, each as (name, number of flipped bits)."""

    name = "CLAIM,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        chosen = []
        for word in value.split(","):
            match = re.fullmatch(r"robust(?::([1-9]\d{0,5}))?", word)
            if match is None and word not in (*_CLAIMS, *_PROPERTIES):
                self.fail(f"unknown claim {word!r}; {nearest(word, (*_CLAIMS, 'one-hot', 'robust:K'))}")
            chosen.append(("robust", int(match[1] or 1)) if match else (word, 0))
        return tuple(dict.fromkeys(chosen))


@click.command(
    "prove",
    epilog="""\b
Examples:
  rdahw prove iris-lookup.rdahw
  rdahw prove iris-lookup.rdahw --what one-hot,robust:2
  rdahw prove --equal iris-lookup.rdahw other.rdahw
  rdahw prove --equal tomita4-machine.rdahw tomita4
  rdahw prove --equal "uartmarks >> pattern1011" uart8n1
  rdahw prove --equal adder.v faster.v:adder
  rdahw prove mask --inputs 12 --what custom --json""",
)
@click.argument("model", metavar="[MODEL|NAME|FILE.py:NAME|FILE.v[:TOP]]", required=False)
@click.option("--what", type=_What(), metavar="CLAIM,…",
              help=f"{', '.join(_CLAIMS)} (default: these), one-hot, robust:K")  # fmt: skip
@click.option(
    "--equal",
    nargs=2,
    metavar="A B",
    help="prove that two models agree on all inputs, two machines on all sequences; A >> B is a machine that reads "
    "what A writes",
)
@size_options()
@solver_options(
    auto="search, or try all of few inputs; boolector for trainers, yosys for the rest",
    timeout="seconds for each claim, which then stays open  [default: 60]",
)
@jobs_option("prove claims", "one a processor")
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
    jobs: int | None,
    toolchain: Literal["yowasp", "native"],
) -> int:
    """Prove claims for all inputs, or show an input for which one fails.

    adjoint: the reverse derivative obeys its law; difference: it is the Boolean difference (by default only for a safe
    circuit); custom: so is the reverse of each block; gateware: the emitted hardware computes the circuit; trainer: the
    trainer that synth builds learns as in software, for any number of cycles; synthesis: so does its netlist of iCE40
    or ECP5 cells. Properties of a trained model: one-hot, robust:K (flipping K input bits changes no output; a
    counterexample is first searched for by random inputs, and by dreaming of another class as rdahw dream does).

    Exit code 0 only if all are proved; 1 if one is refuted or stays open.
    """
    from rdahw.claims import TooLarge, surrogates
    from rdahw.hdl.proof import Proof, prove
    from rdahw.sim.reference import run

    named = _named(model, what, equal)
    one = cache(partial(find_model, inputs=inputs, outputs=outputs))
    find = cache(partial(find_joined, find=one))
    machines = find_machines(named, find)
    if equal is not None and machines is not None:
        alphabets = _alphabets(*(find(name)[1] for name in equal))
        return _report(output, [compare(equal, machines), *alphabets], [])
    given = [find(name) for name in named]
    found = [as_predictor(*one) for one in given]
    compared, unstated = ([], []) if equal is None else _surroundings(*(saved for _, saved in found))
    stated: list[AnyClaim] = []
    search = partial(_search, *given[0])
    for name, make in _statements(found, given[0][0], what, equal is not None, search, machines).items():
        try:
            stated += make()
        except (TooLarge, UsageError) as error:  # UsageError: too large for a circuit, or no trainer
            unstated.append(Proof(name, "", "", "", "open", 0.0, "none", reason=str(error)))
    with output.progress("proving", "claims") as bar:
        proofs = prove(
            stated,
            replay=run,
            solver=solver,
            timeout=timeout,
            jobs=jobs,
            toolchain=toolchain,
            progress=bar,
            report=lambda proof: output.log(f"{proof.name} ({proof.size}): {proof.verdict}, {proof.seconds:.2f} s"),
        )
    proofs += unstated
    refuted = any((proof.name, proof.verdict) == ("difference", "refuted") for proof in proofs)
    return _report(
        output,
        proofs,
        [proof for proof in proofs if proof in unstated],
        compared,
        surrogates(_circuit(found[0][0])) if refuted else [],
    )


_Found = tuple["Spec", "SavedModel | None"]


def _named(
    model: str | None, what: tuple[tuple[str, int], ...] | None, equal: tuple[str, str] | None
) -> tuple[str, ...]:
    """The models that the command line names."""
    if equal is not None:
        if model is not None or what is not None:
            raise UsageError("--equal compares two models; leave out the third model and --what")
        return equal
    if model is None:
        raise UsageError("no model was given; name one, like iris-lookup.rdahw or lookup, or give --equal A B")
    return (model,)


def _statements(
    found: list[_Found],
    own: Spec,
    what: tuple[tuple[str, int], ...] | None,
    equal: bool,
    search: Callable[[Circuit], tuple[Array, int] | None],
    machines: Sequence[Machine] | None,
) -> Mapping[str, Callable[[], Iterable[AnyClaim]]]:
    """Functions that state the claims, by name; one raises :class:`TooLarge` for a model that is too large. own: the
    first model as it is trained, which may predict by another circuit; trainers are those of it. machines: what the
    models are, if machines."""
    from rdahw import claims
    from rdahw.hdl.trainer_claims import trainer_claims

    if equal:
        f, g = (predictor(*one) for one in found)
        return {"equal": lambda: [claims.equal(f, claims.matched(f, g))]}
    ((spec, saved),) = found
    chosen = what or tuple((name, 0) for name in _CLAIMS if _applies(name, spec, own, saved))
    trained = [name for name, _ in chosen if name in _PROPERTIES]
    if trained and saved is None:
        raise UsageError(f"--what {trained[0]} needs a trained model; give a file of rdahw train")
    rows: dict[str, Callable[[int], Iterable[AnyClaim]]] = {
        "adjoint": lambda _: [claims.adjoint(_circuit(spec))],
        "difference": lambda _: [claims.difference(_circuit(spec))],
        "custom": lambda _: claims.custom(_circuit(spec)),
        "gateware": lambda _: _gateware(spec, saved, machines or ()),
        "trainer": lambda _: trainer_claims(own),
        "synthesis": lambda _: _netlists(spec, own, saved),
        "one-hot": lambda _: [claims.one_hot(predictor(spec, saved))],
        "robust": lambda flips: [claims.robust(predictor(spec, saved), flips, search)],
    }
    return {f"{name} {flips}" if flips else name: partial(rows[name], flips) for name, flips in chosen}


def _search(spec: Spec, saved: SavedModel | None, circuit: Circuit) -> tuple[Array, int] | None:
    """An input of the trained model and a bit of it that changes the prediction, if a search finds them."""
    from rdahw.sim.dream import find_flip, make_scores

    return None if saved is None else find_flip(partial(make_scores, spec, saved.best_state), circuit)


#: What is compared if one of two models is not saved.
_CIRCUITS = ["circuits"]


def _surroundings(a: SavedModel | None, b: SavedModel | None) -> tuple[list[str], list[Proof]]:
    """What can be compared of two models, and the results of comparing everything except their circuits."""
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


def _alphabets(a: SavedModel | None, b: SavedModel | None) -> list[Proof]:
    """The result of comparing what two machines from files of sequences read and write; none without such files."""
    from rdahw.hdl.proof import Proof

    f, g = (None if saved is None else saved.schema.sequence for saved in (a, b))
    if f is None or g is None:
        return []
    same = (f.symbols, f.labels) == (g.symbols, g.labels)
    reason = "" if same else f"they are {f.symbols}, {f.labels} and {g.symbols}, {g.labels}"
    words, symbols = "the same symbols become the same bits, and the same bits the same label", "alphabets of f = of g"
    return [
        Proof("equal", "alphabets", words, symbols, "proved" if same else "refuted", 0.0, "comparison", reason=reason)
    ]


def _circuit(spec: Spec) -> Circuit:
    """The model; raises :class:`UsageError` for one too large for a circuit."""
    return spec.given().circuit


def _applies(claim: str, spec: Spec, own: Spec, saved: SavedModel | None) -> bool:
    """Whether a claim is made about this model by default. A model too large for a circuit has all claims, which stay
    open."""
    from rdahw.claims import bent
    from rdahw.hdl.trainer_claims import netlist_forms
    from rdahw.safety import is_safe
    from rdahw.types import Bits

    try:
        circuit = _circuit(spec)
    except UsageError:
        return True
    if claim in _OF_BITS and not all(isinstance(type_, Bits) for type_ in circuit.types):
        return False
    if claim == "adjoint" and bent(circuit):
        return False
    if claim == "synthesis" and saved is None and not netlist_forms(own):
        return False
    if claim == "trainer" and own.software_only:
        return False
    return claim != "difference" or is_safe(circuit)


def _gateware(spec: Spec, saved: SavedModel | None, machines: Sequence[Machine]) -> list[AnyClaim]:
    """The hardware of the model, of its learning step, and of the trained model, or of the machine that it is."""
    from rdahw.hdl.machine_proof import machine_gateware
    from rdahw.hdl.proof import gateware

    if machines:
        return [machine_gateware(machine) for machine in machines]

    claims: list[AnyClaim] = [gateware(_circuit(spec), "model")]
    if spec.fields:  # it learns
        claims.append(gateware(spec.learner().step, "step"))
    return claims if saved is None else [*claims, gateware(predictor(spec, saved), "inference")]


def _check_netlist(gates: int, most: int) -> None:
    from rdahw.claims import TooLarge

    if gates > most:
        raise TooLarge(f"a netlist of {gates:,} gates is more than {most:,}, the largest tried: prove a smaller size")


def _netlists(spec: Spec, own: Spec, saved: SavedModel | None) -> list[AnyClaim]:
    """The netlists of the designs behind the host link: the trainer, and the trained model."""
    from rdahw.boards import board
    from rdahw.boards.board import FAMILIES
    from rdahw.claims import MAX_GATES, TooLarge, count_gates, shape
    from rdahw.hdl.inference import MOST_LOGIC_ROWS
    from rdahw.hdl.netlist_proof import netlist
    from rdahw.hdl.trainer_claims import netlist_forms
    from rdahw.hdl.trainer_factory import make_predictor, make_trainer
    from rdahw.hdl.trainer_proof import describe_kind

    _check_netlist(count_gates(spec.learner().step), MAX_GATES)
    designs: dict[str, Callable[[], Any]] = {
        f"{describe_kind(**form)}: {shape(_circuit(own))}": partial(make_trainer, own, **form)
        for form in netlist_forms(own)
    }
    its_predictor = ""
    if saved is not None and spec.learner().model.parameter_bits <= 8 * MOST_LOGIC_ROWS:
        inference = predictor(spec, saved)
        _check_netlist(count_gates(inference), _MOST_UNFOLDED)
        its_predictor = f"inference: {shape(inference)}"
    if not designs and not its_predictor:
        raise TooLarge(
            "netlists with block memory, whose output is undefined at power-up, are not proved: they are compared with "
            "software in simulation"
        )
    claims: list[AnyClaim] = []
    for found in map(board, _BOARDS):
        synth = FAMILIES[found.family].synth, *found.synth
        claims += [netlist(make, synth, size) for size, make in designs.items()]
        if its_predictor:
            assert saved is not None
            form = partial(make_predictor, spec, saved.best_state, levels=found.levels(found.clock))
            claims.append(netlist(form, synth, its_predictor, built=partial(form, cells=found.family)))
    return claims


def _report(
    output: Output,
    proofs: list[Proof],
    unstated: Sequence[Proof],
    compared: Sequence[str] = (),
    declared: Sequence[str] = (),
) -> int:
    """Print the proofs; raise :class:`UserError` unless all claims are proved. unstated: those that could not be
    stated. declared: surrogates of the model."""
    output.json({"claims": [proof.to_json() for proof in proofs]} | ({"compared": list(compared)} if compared else {}))
    _for_people(output, proofs, declared)
    if compared == _CIRCUITS:
        output.line("\nOnly the circuits were compared: a circuit or a model by name has no binariser and no labels.")
    failed = [proof for proof in proofs if proof.verdict != "proved"]
    if failed:
        counts = {verdict: sum(proof.verdict == verdict for proof in failed) for verdict in ("refuted", "open")}
        said = " and ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        way_out = (
            "the counterexample or difference is shown above"
            if counts["refuted"]
            else "the reason is shown above"
            if all(proof in unstated for proof in failed)
            else "give --timeout more seconds, or prove a smaller size"
        )
        raise UserError(f"of {len(proofs)} claims {said}; {way_out}")
    return 0


def _for_people(output: Output, proofs: list[Proof], surrogates: Sequence[str]) -> None:
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
            where = "in the last cycle shown" if proof.cycles else "for this input"
            output.line(f"\n{name} is refuted: it does not hold {where} that {proof.symbols}. Bit 0 is the last.")
            for name, bits in (proof.counterexample or {}).items():
                output.line(f"  {name} = {bits}")
            for number, row in enumerate(proof.cycles):
                output.line(f"  cycle {number}: " + ", ".join(f"{name} = {bits}" for name, bits in row.items()))
            for side, values in proof.found.items():
                output.line(f"  {side}: " + ", ".join(f"{name} = {bits}" for name, bits in values.items()))
            if proof.name == "difference" and surrogates:
                output.line(
                    f"  The reverse derivative of {', '.join(map(repr, surrogates))} is a declared surrogate\n"
                    "  (custom_reverse with exact=False): it is not meant to be the Boolean difference."
                )
            elif proof.name == "difference":
                output.line(
                    "  The circuit multiplies two values that depend on the same input bit, as in x AND x. There the\n"
                    "  chain rule and flipping bits give different derivatives (docs/derivatives.md)."
                )
