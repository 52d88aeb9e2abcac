"""``rdahw device`` for table ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdahw.cli._device import dumped

if TYPE_CHECKING:
    from rdahw.boards.host import Device
    from rdahw.cli._output import Output
    from rdahw.saved_ensemble import SavedEnsemble

__all__ = ["act_on_ensemble"]


def act_on_ensemble(
    output: Output, device: Device, action: str, saved: SavedEnsemble, out: Path | None, of_predict: Mapping[str, Any]
) -> dict[str, Any]:
    """Load, dump or predict; what came of it as JSON."""
    from rdahw.boards.ensemble_device import EnsembleDevice
    from rdahw.cli._ensembles import describe_counters

    board = EnsembleDevice(device, saved.spec)
    if action == "predict":
        from rdahw.cli.eval import evaluate

        with output.progress("predicting", "examples") as bar:
            return evaluate(output, saved, lambda x: board.predict(x, bar), **of_predict)
    if action == "load":
        with output.progress("loading", "bytes") as bar:
            board.write(saved.counters, saved.state.dropout_state, bar)
        output.line(f"loaded    {saved.spec.parameter_bits} parameter bits")
        return describe_counters(saved.spec, saved.counters)
    assert out is not None
    return _dump(output, board, saved, out)


def _dump(output: Output, board: Any, saved: SavedEnsemble, out: Path) -> dict[str, Any]:
    from rdahw.cli._ensembles import describe_counters
    from rdahw.files import check_writable
    from rdahw.saved import save_model

    check_writable(out)
    with output.progress("reading", "bytes") as bar:
        counters, dropout_state = board.read(bar)
    state = replace(saved.state, counters=counters, dropout_state=dropout_state)
    save_model(replace(saved, state=state, best=None, provenance=dumped(saved.provenance)), out)
    output.line(f"saved     {out}")
    return {"out": str(out), **describe_counters(saved.spec, counters)}
