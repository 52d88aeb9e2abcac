"""Checks before synthesis that the gateware of a model can fit a board, with advice on what to change if not.

:mod:`rdahw.hdl.trainer_factory` says what it needs, and the family how a model can be made smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rdahw.boards.board import Board
from rdahw.boards.report import EBR, LOGIC_CELLS, SPRAM, DesignError, Usage
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.hdl.frontend import Frontend, PixelFrontend
from rdahw.hdl.memory_fit import Needs, frontend_needs
from rdahw.hdl.trainer_factory import Row, choose_trainer, predictors

__all__ = ["check_trainer_fits", "choose_predictor"]


def check_trainer_fits(
    spec: Spec, row: Row, board: Board, flash: bool = False, frontend: PixelFrontend | None = None
) -> None:
    """Raise :class:`DesignError`, with what is short and how to make the model smaller, if the trainer of this row
    (with ``flash``: and its flash reader; with its frontend) does not fit ``board``, or its examples a packet of the
    host link."""

    def short(spec: Spec) -> dict[str, Usage]:
        return _short(row.needs(spec, board, flash, frontend), board)

    if not short(spec):
        _check_packet(spec, row, frontend)
        return
    advice = _advice(spec, lambda smaller: _fits_packet(smaller, row, frontend) and not short(smaller))
    needs = _describe(row.needs(spec, board, flash, frontend), board) + _share(spec, board, frontend)
    raise DesignError(f"{spec.description} does not fit {board.title}: it needs {needs}; {advice}", usage=short(spec))


def _share(spec: Any, board: Board, frontend: Frontend | None) -> str:
    """What the frontend alone needs, in words, if that is known before synthesis."""
    if not isinstance(frontend, PixelFrontend):
        return ""
    its = frontend_needs(spec, board, frontend)
    return f", of these the frontend at least {its.logic_cells:,} {LOGIC_CELLS} and {its.ebr:,} {EBR}"


def choose_predictor(spec: Spec, board: Board, frontend: Frontend | None = None) -> Row:
    """The first predictor of ``spec`` that fits ``board`` and has the frontend, if one is given.

    Raises :class:`DesignError`, with what is short for each and how to make the model smaller, if none fits, or if
    examples do not fit a packet of the host link.
    """
    rows = predictors(spec, frontend)
    _check_packet(spec, rows[-1], frontend)

    def fitting(spec: Spec) -> Row | None:
        its = (row for row in rows if row.fits(spec) and _fits_packet(spec, row, frontend))
        return next((row for row in its if not _short(row.needs(spec, board, False, frontend), board)), None)

    if (row := fitting(spec)) is not None:
        return row
    needs = [(row.name, row.needs(spec, board, False, frontend)) for row in rows]
    advice = _advice(spec, lambda smaller: fitting(smaller) is not None, predicting=True)
    if (
        frontend is None
        and not spec.software_only
        and not _short(choose_trainer(spec).needs(spec, board, False, None), board)
    ):
        advice += ", or leave --inference out, for a trainer, which predicts once its tables were written over the link"
    described = [f"{_describe(its, board)} with its tables in {name}" for name, its in needs]
    raise DesignError(
        f"{spec.description} does not fit {board.title} to predict only: it needs {', or '.join(described)}"
        f"{_share(spec, board, frontend)}; {advice}",
        usage={resource: its for _, need in needs for resource, its in _short(need, board).items()},
    )


def _usage(needs: Needs | None, board: Board) -> dict[str, Usage]:
    if needs is None:
        return {}
    return {
        SPRAM: Usage(needs.spram, board.spram),
        EBR: Usage(needs.ebr, board.ebr),
        LOGIC_CELLS: Usage(needs.logic_cells, board.logic_cells),
    }


def _short(needs: Needs | None, board: Board) -> dict[str, Usage]:
    return {resource: its for resource, its in _usage(needs, board).items() if its.used > its.available}


def _describe(needs: Needs | None, board: Board) -> str:
    """The resources that are short, in words; for an estimate, always the logic cells."""
    short: Mapping[str, Usage] = _short(needs, board)
    bound = "at least "
    if needs is not None and needs.is_estimate:
        short, bound = {LOGIC_CELLS: _usage(needs, board)[LOGIC_CELLS]}, "about "
    return " and ".join(
        f"{bound if resource == LOGIC_CELLS else ''}{its.used:,} {resource} of {its.available:,}"
        for resource, its in short.items()
    )


def _fits_packet(spec: Spec, row: Row, frontend: Frontend | None) -> bool:
    return all(its.input_bits <= its.most_input_bits for its in row.interfaces(spec, frontend))


def _check_packet(spec: Spec, row: Row, frontend: Frontend | None) -> None:
    if _fits_packet(spec, row, frontend):
        return
    most = min(interface.most_input_bits for interface in row.interfaces(spec, frontend))
    if frontend is None:
        raise DesignError(
            f"examples of {spec.input_bits} bits do not fit a packet of the host link, which takes at most {most}; "
            + _advice(spec, lambda smaller: _fits_packet(smaller, row, None), "binarise into fewer bits (--binarise)"),
            usage={},
        )
    raise DesignError(
        f"{frontend.size} do not fit a packet of the host link, which takes at most {most // 8:,} bytes; "
        f"{frontend.smaller}",
        usage={},
    )


def _advice(
    spec: Spec,
    fits: Callable[[Spec], bool],
    otherwise: str = "take a smaller model, or a larger board",
    *,
    predicting: bool = False,
) -> str:
    """The smallest sufficient change of each way to make the model smaller, for at most two ways."""
    ways = []
    for way in spec.smaller(predicting=predicting):
        try:
            found = next((words for words, smaller in way if fits(smaller)), None)
        except UsageError:  # such as a patch with fewer bits than a table has inputs
            continue
        if found is not None:
            ways.append(found)
    return " or ".join(ways[:2]) or otherwise
