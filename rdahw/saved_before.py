"""Converts saved models of earlier format versions to the current one.

Version 1 had circuits only, and no stride in its schedule. Version 2 had two kinds: circuits with a loss called error,
and table ensembles. Only the structure is changed here; :mod:`rdahw.saved` checks every value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from rdahw.data._json import damaged, is_int, members
from rdahw.families import BUILT_IN

__all__ = ["update_document"]

_KEYS = ("format", "version", "kind", "schema", "binariser", "schedule", "provenance")


def update_document(document: dict[str, Any]) -> dict[str, Any]:
    """The version 3 form of a document of version 1 or 2; raises :class:`rdahw.UserError` for a malformed one."""
    if document["version"] == 1:
        document = {**document, "kind": "circuit"}
        if isinstance(document.get("schedule"), dict):
            document["schedule"] = {**document["schedule"], "stride": 1}
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise damaged("its 'kind'", "'circuit' or 'ensemble'")
    keys, update, scored = _KINDS[kind]
    _, _, _, schema, binariser, schedule, provenance, *own = members(document, "the model", (*_KEYS, *keys))
    if isinstance(schedule, dict):
        schedule = {**schedule, "scored": scored}
    return {
        "format": document["format"],
        "version": document["version"],
        **update(*own, schema, schedule),
        "schema": schema,
        "binariser": binariser,
        "schedule": schedule,
        "provenance": provenance,
    }


def _circuit(
    model: Any, learner: Any, parameters: Any, labels: Any, state: Any, schema: Any, schedule: Any
) -> dict[str, Any]:
    name, circuit = members(model, "its 'model'", ("name", "circuit"))
    loss, optimiser = members(learner, "its 'learner'", ("error", "optimiser"))
    counts = ("epoch", "position", "updates", "wrong")
    theta, *numbers, best = members(state, "its 'state'", ("parameters", *counts, "best"))
    if best is not None:
        correct, update, bits = members(best, "its 'best'", ("correct", "update", "parameters"))
        best = {"correct": correct, "update": update, "epoch": 0, "state": {"parameters": bits}}
    if parameters != (theta if best is None else best["state"]["parameters"]):
        raise damaged("its 'parameters'", "those of its 'state'")
    if not isinstance(name, str):
        raise damaged("a name", "text")
    kind = name.partition(":")[0]
    family = kind if kind in BUILT_IN and kind != "ensemble" else "file"
    k = re.fullmatch(r"mask:k=(\d{1,9})", name)
    options = {"mask": {"k": int(k[1]) if k else 4}, "file": {"source": name} if ".py:" in name else {}}
    done = dict(zip(counts, numbers, strict=True))
    one_each = isinstance(schedule, dict) and schedule.get("batch") == 1
    classes = schema.get("label_names") if isinstance(schema, dict) else None
    return {
        "family": family,
        "spec": {
            "name": name,
            "circuit": circuit,
            "loss": loss,
            "optimiser": optimiser,
            "labels": labels,
            "classes": len(classes) if isinstance(classes, list) else 0,
            "options": options.get(family, {}),
        },
        "state": {"parameters": theta},
        # With larger batches the number of examples is not known.
        "progress": {**done, "examples": done["updates"] if one_each else 0, "changed": None, "best": best},
    }


def _ensemble(ensemble: Any, state: Any, best: Any, *_: Any) -> dict[str, Any]:
    counts = ("epoch", "position", "examples", "wrong", "updates")
    counters, register, *numbers = members(state, "the ensemble's state", ("counters", "dropout_state", *counts))
    if not (isinstance(register, str) and re.fullmatch("[0-9a-f]{1,16}", register) and 0 < int(register, 16) < 1 << 63):
        raise damaged("the ensemble's 'dropout_state'", "a number of 63 bits, not 0, in hexadecimal")
    done = dict(zip(counts, numbers, strict=True))
    if best is not None:
        correct, epoch, kept = members(best, "its 'best'", ("correct", "epoch", "counters"))
        update = _updates_after(epoch, done)
        best = {"correct": correct, "update": update, "epoch": epoch, "state": {"counters": kept}}
    octets = int(register, 16).to_bytes(8, "little")
    return {
        "family": "ensemble",
        "spec": ensemble,
        "state": {"counters": counters, "dropout": base64.b64encode(octets).decode()},
        "progress": {**done, "updates": done["examples"], "changed": done["updates"], "best": best},
    }


def _updates_after(epoch: Any, done: Mapping[str, Any]) -> int:
    """The number of examples in ``epoch`` epochs, from those in the whole epochs that are done."""
    if not (is_int(epoch) and all(map(is_int, done.values())) and done["epoch"] > 0):
        return 0
    return int(epoch * ((done["examples"] - done["position"]) // done["epoch"]))


#: For each kind: its own members, the function that converts them, and when validation was scored.
_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[..., dict[str, Any]], str]] = {
    "circuit": (("model", "learner", "parameters", "labels", "state"), _circuit, "update"),
    "ensemble": (("ensemble", "state", "best"), _ensemble, "epoch"),
}
