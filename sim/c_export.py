"""A model as the files of a C program or of an Arduino library, with a test that holds examples and their results."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdahw.data import LABELS, Binariser, Schema
from rdahw.data.integer_inputs import MISSING, MOST, IntegerInputs, integer_inputs
from rdahw.family import Spec
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.sim.c_program import Program, make_program
from rdahw.sim.c_source import Source, comment, literal, write_source
from rdahw.sim.engines import make_engine, predict
from rdahw.state import State
from rdahw.table_scores import TableLearning
from rdahw.tasks import TASKS
from rdahw.training import Batches, Examples

__all__ = ["FORMATS", "CModel", "c_model", "c_name"]

#: So many examples are in a test, and fewer where together they have more octets than this.
_EXAMPLES, _OCTETS = 32, 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class CModel:
    """program, source: the model as C. inputs: what its C makes of features, if it does. state: what it starts from."""

    name: str
    about: str
    program: Program
    source: Source
    inputs: IntegerInputs | None
    spec: Spec
    state: State
    binariser: Binariser | None

    @property
    def sizes(self) -> Mapping[str, int]:
        """``flash_bytes``, ``ram_bytes`` and, for the arrays of a call, ``stack_bytes``, on a Cortex-M3."""
        made = self.source
        return {"flash_bytes": made.flash, "ram_bytes": made.ram, "stack_bytes": made.stack}


def c_name(text: str) -> str:
    """A name for C, from any text."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if re.match(r"[A-Za-z]", name) else f"model_{name}"


def c_model(
    spec: Spec,
    state: State,
    *,
    name: str,
    learn: bool = False,
    binariser: Binariser | None = None,
    schema: Schema | None = None,
) -> CModel:
    """``spec`` at ``state`` in C, with public names that begin with ``name``; with ``learn`` it learns, too.

    binariser, schema: those of a saved model, for the features and the names of the classes. Raises
    :class:`UsageError` as :func:`make_program`, and :class:`UserError` as :func:`integer_inputs`.
    """
    program = make_program(spec, state, learn=learn)
    inputs = None if binariser is None else integer_inputs(binariser)
    pixels = inputs is not None and inputs.are_bytes and schema is not None and schema.image_shape is not None
    about = f"the model {spec.name!r}, {spec.description}; written by rdahw export"
    lines = [about, *_features(binariser, inputs)]
    result = "the number of the class, or -1 for none" if schema is None else TASKS[schema.task].number(schema)
    names = list(schema.label_names) if schema is not None and LABELS[schema.task].are_classes else []
    source = write_source(program, name, lines, inputs, pixels=pixels, names=names, result=result)
    return CModel(name, about, program, source, inputs, spec, state, binariser)


def _features(binariser: Binariser | None, inputs: IntegerInputs | None) -> Sequence[str]:
    """Lines that say what the features or the bits are."""
    if binariser is None:
        return []
    if inputs is None:
        return ["The bits of an example, in their order:", *_grouped([(each, "") for each in binariser.wire_names])]
    found = []
    for name, column, decimals in zip(binariser.names, binariser.columns, inputs.decimals.tolist(), strict=True):
        unit = f"in units of 1/{10**decimals}, rounded up" if decimals else "a whole number, rounded up"
        if column.kind == "category":
            unit = f"-1 for any other, else {', '.join(f'{i}: {each}' for i, each in enumerate(column.categories))}"
        found.append((name, "0 or 1, 1 is yes or true" if column.kind == "binary" else unit))
    return ["The features, in their order:", *_grouped(found)]


#: So many lines say what the features are, and so many features in a row of which the same is said have lines.
_NAMED, _LISTED = 200, 8


def _grouped(named: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each name, and for names in a row of which the same is said."""
    lines = []
    for about, group in itertools.groupby(named, lambda each: each[1]):
        names = [name for name, _ in group]
        if about and len(names) > _LISTED:
            names = [f"{names[0]} to {names[-1]}"]
        lines += [f"  {name}: {about}" if about else f"  {name}" for name in names]
    return lines if len(lines) <= _NAMED else [*lines[:_NAMED], f"  and so on, {len(named)} in all"]


# -- the test ----------------------------------------------------------------------------------------------------------


def _examples(model: CModel) -> tuple[NDArray[np.int64] | None, Array]:
    """Examples as features for C, if it makes bits of them, and as bits (N, A)."""
    columns = (model.program.input_bits + 7) // 8 if model.inputs is None else len(model.inputs.decimals)
    count = max(4, min(_EXAMPLES, _OCTETS // columns))
    key = stream(0, "examples in C")
    if model.inputs is None:
        drawn = words(key, count * model.program.input_bits).reshape(count, -1)
        # From few ones to many.
        return None, (drawn % np.uint64(count + 1) <= np.arange(count, dtype=np.uint64)[:, None]).astype(np.uint8)
    assert model.binariser is not None
    tests = model.inputs.tests
    numbers = np.zeros((count, columns), np.int64)
    for i, column in enumerate(model.binariser.columns):
        low, high = tests[tests[:, 1] == i, 2:].T
        ends = [low, [-1]] if column.kind == "category" else [low, low - 1, high, [0, 1]]
        known = np.unique(np.concatenate(ends))
        known = known[((known > MISSING) & (known < MOST)) | np.isin(known, low[low == MISSING])]
        numbers[:, i] = known[(words(stream(0, "features in C", i), count) % np.uint64(len(known))).astype(np.int64)]
    if model.source.pixels:
        numbers = numbers.clip(0, 255)
    return numbers, model.binariser.transform(model.inputs.values(numbers))


def _test(model: CModel) -> str:
    """The program that compares the results of examples with those of the software."""
    features, x = _examples(model)
    program = model.program
    rows = np.packbits(x, axis=1, bitorder="little") if features is None else features
    type_ = "uint8_t" if features is None else "model_feature"
    width = "MODEL_INPUT_OCTETS" if features is None else "MODEL_FEATURES"
    given = "x = examples[i];" if features is None else "model_encode(examples[i], x);"
    expected = predict(model.spec, model.state, x)
    arrays = [
        _array(f"const {type_} examples[{len(x)}][{width}]", [f"{{{_list(row)}}}" for row in rows.tolist()]),
        _array(f"const int32_t classes[{len(x)}]", [_list(expected.tolist())]),
    ]
    check = ["        if (model_predict(x) != classes[i])", "            return 1;"]
    after: list[str] = []
    if program.learning is not None:
        labels, before, check_state = _learn(model, x)
        arrays += [
            _array(f"const int32_t labels[{len(x)}]", [_list(labels.tolist())]),
            _array(f"const int32_t before[{len(x)}]", [_list(before)]),
        ]
        after = [
            f"    for (i = 0; i < {len(x)}; i++) {{",
            f"        {given}",
            "        if (model_learn(x, labels[i]) != before[i])",
            "            return 2;",
            "    }",
            *check_state,
        ]
    lines = [
        '#include "MODELNAME.h"',
        "",
        *arrays,
        "",
        "int main(void)",
        "{",
        "    const uint8_t *x;" if features is None else "    uint8_t x[MODEL_INPUT_OCTETS];",
        "    uint32_t i;" + (" uint32_t sum = 2166136261u;" if after else ""),
        f"    for (i = 0; i < {len(x)}; i++) {{",
        f"        {given}",
        *check,
        "    }",
        *after,
        "    return 0;",
        "}",
        "",
    ]
    about = f"/* {model.name}_test.c: examples of {comment(model.about)}; it exits with 0 if all are right. */\n\n"
    return about + model.source.named("\n".join(lines))


def _learn(model: CModel, x: Array) -> tuple[NDArray[np.int64], list[int], list[str]]:
    """Labels to learn, the predictions before each, and statements that compare what is learned."""
    learning = model.program.learning
    assert learning is not None
    labels = (words(stream(0, "labels in C"), len(x)) % np.uint64(model.program.classes)).astype(np.int64)
    engine = make_engine(learning.spec)
    engine.state = model.state
    prepared, before = engine.prepare(Examples(x, labels)), list[int]()
    for i in range(len(x)):
        now = int(engine.predict(engine.prepare(Examples(x[i : i + 1], labels[i : i + 1])))[0])
        predicted = engine.train(prepared, Batches.single(np.array([i]))).predicted
        before.append(now if predicted is None else int(predicted[0]))
    state, lines = engine.state, list[str]()
    if isinstance(learning, TableLearning):
        octets, size, held = state["counters"].astype(np.int8).tobytes(), "MODEL_COUNTERS", "model_counters"
        if learning.dropout[1]:
            found = learning.spec.table_learning(state)
            assert found is not None
            lines = [f"    if (model_dropout != UINT64_C({found.register}))", "        return 3;"]
    else:
        octets = np.packbits(learning.spec.theta(state), bitorder="little").tobytes()
        size, held = "MODEL_PARAMETER_OCTETS", "model_parameters"
    checksum = 2166136261
    for octet in octets:
        checksum = (checksum ^ octet) * 16777619 & 0xFFFFFFFF
    return labels, before, [
        *lines,
        f"    for (i = 0; i < {size}; i++)",
        f"        sum = (sum ^ (uint8_t){held}[i]) * 16777619u;",
        f"    if (sum != {literal(checksum)})",
        "        return 4;",
    ]  # fmt: skip


def _array(declared: str, rows: Sequence[str]) -> str:
    return f"static {declared} = {{\n" + ",\n".join(rows) + "\n};"


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(literal, values))


# -- the files ---------------------------------------------------------------------------------------------------------


def _c(model: CModel) -> dict[str, str]:
    made, name = model.source, model.name
    return {
        f"{name}.h": "".join(made.header),
        f"{name}.c": "".join(made.source),
        f"{name}_test.c": _test(model),
    }


_SKETCH = """/* Reads examples from the serial port, numbers with commas between them and a line end after the last, and
   writes the class of each. */

#include <MODELNAME.h>

{type} example[{count}];
uint8_t x[MODEL_INPUT_OCTETS];

void setup() {{
  Serial.begin(115200);
  Serial.setTimeout(60000);
}}

void loop() {{
  for (unsigned i = 0; i < {count}; i++)
    example[i] = Serial.parseInt();
{encode}  Serial.println(model_predict(x));
}}
"""
_PACK = """  for (unsigned i = 0; i < MODEL_INPUT_OCTETS; i++)
    x[i] = 0;
  for (unsigned i = 0; i < MODEL_INPUT_BITS; i++)
    x[i >> 3] |= (example[i] & 1) << (i & 7);
"""


def _arduino(model: CModel) -> dict[str, str]:
    files, name = _c(model), model.name
    properties = {
        "name": name,
        "version": "1.0.0",
        "author": "rdahw",
        "maintainer": "rdahw",
        "sentence": "A model that was trained with rdahw.",
        "paragraph": comment(model.about),
        "category": "Data Processing",
        "url": "https://github.com/rdahw/rdahw",
        "architectures": "*",
        "includes": f"{name}.h",
    }
    given = {"type": "uint8_t", "count": "MODEL_INPUT_BITS", "encode": _PACK}
    if model.inputs is not None:
        given |= {"type": "model_feature", "count": "MODEL_FEATURES", "encode": "  model_encode(example, x);\n"}
    return {
        "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        f"src/{name}.h": files[f"{name}.h"],
        f"src/{name}.c": files[f"{name}.c"],
        f"examples/{name}_serial/{name}_serial.ino": model.source.named(_SKETCH.format(**given)),
    }


#: The files of each format, by their paths in its folder.
FORMATS = {"c": _c, "arduino": _arduino}
