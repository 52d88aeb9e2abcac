"""The gateware that a command is about: of a trained model, or of one by name, with the options of ``rdahw synth``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from rdahw.cli._data import load_dataset
from rdahw.cli._model import find_model, make_spec
from rdahw.cli._output import Output, complete
from rdahw.cli._params import (
    FiniteRange,
    board_frontend_option,
    board_option,
    count_option,
    data_option,
    encoder_option,
    size_options,
)
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.board import Board
    from rdahw.boards.design import Design
    from rdahw.boards.estimate import Estimate
    from rdahw.data import Binariser
    from rdahw.family import Spec
    from rdahw.saved import SavedModel

__all__ = ["Gateware", "about", "find_gateware", "gateware_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: The defaults of the options of trainers.
_OF_TRAINERS = {"batch": 1, "stages": 1, "flash": None, "drift": False, "epochs": None}
_OPTIONS = (
    click.argument(
        "model", metavar="[MODEL|NAME|FILE.py:NAME]", default="lookup",
        shell_complete=complete("rdahw.families", "names"),
    ),
    size_options(outputs=3),
    board_option,
    click.option("--inference", is_flag=True, help="the trained model alone, which predicts and does not learn"),
    count_option("--batch", default=1, help="above 1: with an accumulator for batches"),
    click.option(
        "--stages", type=click.IntRange(1, 2), default=1, show_default=True, help="pipeline stages of the trainer"
    ),
    data_option(help="a model by name: with the bits and classes of this data set  [default: iris]"),
    click.option("--binarise", metavar="RULE", help="a model by name: binarise by this rule  [default: as rdahw "
                 "train]"),
    click.option("--seed", type=int, metavar="N", help="a model by name: seed of its randomness  [default: 0]"),
    click.option(
        "--flash",
        type=click.Choice(["single", "quad"]),
        help="ensemble: train from the data of rdahw pack in the board's flash, over one data line or four",
    ),
    encoder_option,
    board_frontend_option,
    click.option(
        "--sample",
        type=FiniteRange(0, min_open=True),
        metavar="HZ",
        help="with --frontend pins: sample so often  [default: at each rising edge of the clock pin]",
    ),
    click.option("--drift", is_flag=True, help="ensemble: with a counter of alarms for a rising error rate"),
    click.option(
        "--epochs",
        type=click.IntRange(0, 65535),
        metavar="N",
        help="with --flash: stop after N epochs, 0 for never  [default: 15]",
    ),
    click.option("--clock", type=FiniteRange(0, min_open=True), metavar="MHZ", help="clock of the core  [default: the "
                 "board's]"),
    count_option("--baud", help="speed of the host link, in bits per second  [default: the board's]"),
)  # fmt: skip


def gateware_options(command: _Command) -> _Command:
    """Give a command the model, the board, and the options that decide the gateware."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Gateware(NamedTuple):
    """A design for a board, with the clock in MHz and the speed of the link that were asked for, or None."""

    design: Design
    board: Board
    clock: float | None
    baud: int | None


def find_gateware(
    output: Output,
    *,
    model: str,
    inputs: int,
    outputs: int,
    board_name: str,
    inference: bool,
    data: str | None,
    binarise: str | None,
    seed: int | None,
    frontend: str | None,
    sample: float | None,
    encoder: int | None,
    clock: float | None,
    baud: int | None,
    is_typical: bool = False,
    **options: Any,
) -> Gateware:
    """The design that the options of :func:`gateware_options` name, in the context of its command.

    is_typical: a model by name has drawn parameters and wiring in place of trained ones. Raises the errors of
    :mod:`rdahw.boards.design`, and :class:`UsageError` for options that contradict each other.
    """
    from rdahw.boards import board
    from rdahw.boards.design import inference_design, live_design, trainer_design
    from rdahw.hdl.frontend import FRONTENDS, NumberFrontend

    its = board(board_name)
    of_names: dict[str, Any] = {"data": data, "binarise": binarise, "seed": seed}
    spec, saved, binariser = _find(output, model, {"inputs": inputs, "outputs": outputs}, **of_names)
    if is_typical and saved is None:
        spec = spec.wired()
    is_live = frontend == "pins"
    if sample is not None and not is_live:
        raise UsageError(f"--sample {sample:g} was given without --frontend pins; add it, or leave --sample out")
    front = FRONTENDS[frontend](binariser) if frontend in FRONTENDS else None
    if encoder is not None and (not inference or frontend is not None):
        raise UsageError(
            "--encoder is for the predictor of a trained model; add --inference, without --frontend, or leave "
            "--encoder out"
        )
    epochs = options["epochs"]
    if is_live:
        of_link = {"inference": inference or None, "baud": baud}
        _refuse({n: v for n, v in (options | of_link).items() if v != _OF_TRAINERS.get(n)},
                "cannot be used with --frontend pins")  # fmt: skip
        return Gateware(live_design(spec, its, sample=sample), its, clock, baud)
    if inference:
        _refuse({n: v for n, v in options.items() if v != _OF_TRAINERS[n]}, "cannot be used with --inference")
        if saved is not None:
            spec, state = saved.predictor.spec, saved.predictor.best_state
        elif is_typical:
            spec, state = spec.trained(spec.typical_state())
        else:
            raise UsageError(f"--inference needs a trained model, and {model!r} is not one; give a file of rdahw train")
        numbers = None
        if encoder is not None:
            if binariser is None:
                raise UsageError(f"--encoder {encoder} needs the thresholds of a binariser; give a file, or --data")
            numbers = NumberFrontend(binariser, encoder)
            if caution := numbers.caution:
                output.log(f"warning: {caution}")
        return Gateware(inference_design(spec, state, its, clock=clock, frontend=numbers or front), its, clock, baud)
    if options["flash"] is None and epochs is not None:
        raise UsageError(f"--epochs {epochs} was given without --flash; add --flash, or leave --epochs out")
    design = trainer_design(
        spec,
        its,
        batch=options["batch"] > 1,
        stages=options["stages"],
        flash=options["flash"] is not None,
        drift=options["drift"],
        frontend=front,
        quad=options["flash"] != "single",
        epochs=15 if epochs is None else epochs,
    )
    return Gateware(design, its, clock, baud)


def about(found: Estimate, name: str) -> str:
    """An estimate with its error bound, if that is known."""
    bound = f" ± {100 * found.within[name]:.0f} %" if name in found.within else ""
    return f"{'' if bound else 'about '}{getattr(found, name):,}{bound}"


def _find(
    output: Output, model: str, widths: dict[str, int], *, data: str | None, binarise: str | None, seed: int | None
) -> tuple[Spec, SavedModel | None, Binariser | None]:
    """The model, the saved model if it is one, and the binariser if there are data. A model by name is the one that
    ``rdahw train`` would train on the data, or has the widths --inputs and --outputs if one of them is given."""
    from rdahw.families import is_model_name, parse_model
    from rdahw.family import Task

    source = click.get_current_context().get_parameter_source
    given = {name: value for name, value in widths.items() if source(name) is not ParameterSource.DEFAULT}
    of_data = {name: value for name, value in (("data", data), ("binarise", binarise)) if value is not None}
    if not is_model_name(model):
        named = given | of_data | ({} if seed is None else {"seed": seed})
        _refuse(named, "cannot be used with a trained model")
        found, saved = find_model(model, **widths)
        return found, saved, None if saved is None else saved.binariser
    if given:
        _refuse(of_data, f"cannot be used with --{next(iter(given))}, because the data decide the number of bits")
        kind = parse_model(model)[0].tasks[0]
        task = Task.of_widths(widths["inputs"], widths["outputs"], seed=seed or 0, kind=kind)
        return make_spec(model, task), None, None
    from rdahw.data import fit_binariser

    dataset = load_dataset(output, data or "iris")
    binariser = fit_binariser(dataset, binarise or parse_model(model)[0].binarise(dataset))
    return make_spec(model, Task.of(dataset.schema, binariser, seed=seed or 0)), None, binariser


def _refuse(given: dict[str, Any], why: str) -> None:
    """Raise :class:`UsageError` for the first of the options ``given``."""
    for name, value in given.items():
        typed = f"--{name}" if value is True else f"--{name} {value}"
        raise UsageError(f"{typed} {why}; leave --{name} out")
