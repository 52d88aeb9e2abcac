"""A :class:`rdahw.sim.c_program.Program` as C99: a header and a source, without library, heap and floating point.

The source is C++, too. Tables are constants; a program that learns has its counters in RAM. Bits are packed: bit i of
an example is bit ``i % 8`` of octet ``i // 8``. In the texts here ``model_``, ``MODEL_`` and ``MODELNAME`` stand for
the name of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data.integer_inputs import MISSING, MOST, IntegerInputs
from rdahw.sim.c_program import CircuitLearning, Network, Program
from rdahw.table_scores import TableLearning

__all__ = ["Source", "comment", "literal", "string", "write_source"]

#: Types of whole numbers, the smallest first.
_TYPES = (
    (0, 255, "uint8_t"),
    (-128, 127, "int8_t"),
    (0, 65535, "uint16_t"),
    (-32768, 32767, "int16_t"),
    (MISSING, -MISSING - 1, "int32_t"),
    (0, (1 << 32) - 1, "uint32_t"),
)
_OCTETS = {name: int(re.sub(r"\D", "", name)) // 8 for *_, name in _TYPES}
#: Octets of machine code of each part of a program on a Cortex-M3 by ``gcc -Os``: bench/microcontrollers.py measures.
_CODE = {
    "compare": 64,
    "compare with one": 52,
    "test": 63,
    "votes": 166,
    "votes in turn": 183,
    "two classes": -47,
    "hidden layers": 132,
    "learning counters": 317,
    "learning two classes": -25,
    "dropout": 80,
    "forgetting": 55,
    "circuit": 162,
    "one output": -25,
    "several octets": 30,
    "learning circuit": 258,
    "further tables": 65,
}
_WIDTH = 110

_START = """
#ifdef __AVR__  /* its constants are in RAM, unless they are read in another way */
#include <avr/pgmspace.h>
#define FLASH PROGMEM
#define READ_1(place) pgm_read_byte(place)
#define READ_2(place) pgm_read_word(place)
#define READ_4(place) pgm_read_dword(place)
#else
#define FLASH
#define READ_1(place) (*(place))
#define READ_2(place) (*(place))
#define READ_4(place) (*(place))
#endif
"""
_BIT = """
typedef $type wire_t;
#define READ_WIRE(place) READ_$octets(place)

static unsigned bit_of(const uint8_t *bits, uint32_t number)
{
    return (unsigned)bits[number >> 3] >> (number & 7) & 1u;
}
"""
_FLASH_BIT = """
static unsigned constant_bit(const uint8_t *bits, uint32_t number)
{
    return (unsigned)READ_1(bits + (number >> 3)) >> (number & 7) & 1u;
}
"""
_LUTS = """
/* Append to the bits what lookup tables hold at the bits that they read. */
static uint32_t look_up(uint8_t *bits, uint32_t end, uint32_t tables, unsigned inputs, const wire_t *wires,
                        const uint8_t *held)
{
    uint32_t table;
    for (table = 0; table < tables; table++, end++) {
        uint32_t at = table << inputs;
        unsigned i;
        for (i = 0; i < inputs; i++)
            at |= (uint32_t)bit_of(bits, READ_WIRE(wires++)) << i;
        if (constant_bit(held, at))
            bits[end >> 3] = (uint8_t)(bits[end >> 3] | 1u << (end & 7));
    }
    return end;
}
"""
_LARGEST = """
static int32_t largest(const int32_t *scores)
{
    int32_t best = 0, c;
    for (c = 1; c < MODEL_CLASSES; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}
"""


def literal(value: int) -> str:
    """A whole number of 32 bits in C."""
    return "INT32_MIN" if value == MISSING else f"{value}" if value < 1 << 31 else f"{value}u"


def comment(text: str) -> str:
    """Text for a comment: what cannot be printed, could end it or begin a trigraph is replaced by «_»."""
    return "".join("_" if char in "\\*?$" or not char.isprintable() else char for char in text)


def string(text: str) -> str:
    """A string in C, of UTF-8."""
    octets = "".join(
        chr(octet) if 32 <= octet < 127 and chr(octet) not in '"\\?' else f"\\{octet:03o}" for octet in text.encode()
    )
    return f'"{octets}"'


def _type(values: NDArray[Any]) -> str:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return next(name for least, most, name in _TYPES if least <= low and high <= most)


def _packed(bits: NDArray[Any]) -> NDArray[np.uint8]:
    return np.packbits(np.asarray(bits, np.uint8).reshape(-1), bitorder="little")


@dataclass(slots=True)
class Source:
    """pixels: features are from 0 to 255. wire: the type wire_t of the numbers of nodes. header, source: the texts.
    parts: of the code, see :data:`_CODE`. constants, ram, stack: octets; stack is that of the arrays of one call."""

    name: str
    pixels: bool = False
    wire: str = "uint8_t"
    header: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    constants: int = 0
    ram: int = 0
    stack: int = 0

    @property
    def flash(self) -> int:
        """Octets of code and constants on a Cortex-M3."""
        return self.constants + sum(_CODE[part] for part in self.parts)

    def code(self, text: str, *parts: str, **numbers: object) -> None:
        """Add to the source ``text``, with $NAME replaced by a number; ``parts``: what its size counts as."""
        text = re.sub(r"\$(\w+)", lambda found: str(numbers[found[1]]), text)
        self.source.append(self.named(text))
        self.parts += parts

    def named(self, text: str) -> str:
        """The text with the model's name."""
        names = {"MODELNAME": self.name, "MODEL_": f"{self.name.upper()}_", "model_": f"{self.name}_"}
        return re.sub(rf"\b({'|'.join(names)})", lambda found: names[found[1]], text)

    def array(self, name: str, values: NDArray[Any], type_: str = "", *, about: str = "", storage: str = "") -> str:
        """Add an array; a constant, unless ``storage`` names another kind. Gives how its element at a place is read."""
        type_ = type_ or _type(values)
        numbers = [literal(value) for value in np.asarray(values).reshape(-1).tolist()]
        lines = _wrapped(numbers)
        kind, where = (storage, "") if storage else ("static const ", " FLASH")
        said = f"/* {about} */\n" if about else ""
        name = self.named(name)
        self.source.append(f"\n{said}{kind}{type_} {name}[{len(numbers)}]{where} = {{\n{lines}\n}};\n")
        octets = _OCTETS[self.wire if type_ == "wire_t" else type_]
        size = len(numbers) * octets
        self.constants += size if storage else (size + 3) // 4 * 4
        self.ram += size if storage else 0
        return f"READ_{octets}"


def _wrapped(numbers: Sequence[str]) -> str:
    lines, line = [], ""
    for number in numbers:
        if len(line) + len(number) > _WIDTH:
            lines.append(line)
            line = ""
        line += f"{number},"
    return "\n".join([*lines, line])


def write_source(
    program: Program,
    name: str,
    about: Sequence[str],
    inputs: IntegerInputs | None,
    *,
    pixels: bool = False,
    names: Sequence[str] = (),
    result: str = "",
) -> Source:
    """The program as C.

    name: a C name that its public names begin with. about: lines for comments. inputs: how features become bits, if
    they do so in C. pixels: the features are from 0 to 255. names: of the classes. result: what a prediction is.
    """
    made = Source(name, pixels)
    made.source.append(f"/* {name}.c: {comment(about[0])} */\n\n")
    made.code(f'#include "MODELNAME.h"\n{_START}')
    networks = _networks(program)
    wiring = [luts.wiring.reshape(-1) for each in networks for luts in each.luts]
    wiring += [np.array(each.outputs, np.int64) for each in networks]
    wiring += [] if program.votes is None else [program.votes.wiring.reshape(-1)]
    made.wire = _type(np.concatenate(wiring))
    made.code(_BIT, type=made.wire, octets=_OCTETS[made.wire])
    looks_up = any(each.luts for each in networks)
    if looks_up or (program.votes is not None and _form(program) in (_IN_TURN, _BITS)):
        made.code(_FLASH_BIT)
    if looks_up:
        made.code(_LUTS)
    if inputs is not None:
        _encode(made, program, inputs, pixels)
    if program.votes is None:
        _circuit(made, program)
    else:
        _votes(made, program)
    said = [f"/* {name}.h: {comment(about[0])}", *(f" * {comment(line)}" for line in about[1:]), " */\n"]
    held = f"#define {name.upper()}_CLASS_NAMES {{{', '.join(map(string, names))}}}\n" if names else ""
    sizes, functions = map(made.named, _header(program, inputs, pixels))
    made.header += ["\n".join(said), sizes, held, functions.replace("$result", comment(result))]
    return made


def _networks(program: Program) -> list[Network]:
    """The networks that the source has."""
    step = [program.learning.step] if isinstance(program.learning, CircuitLearning) else []
    return [each for each in (program.network, *step) if each.luts or program.votes is None]


# -- features to bits --------------------------------------------------------------------------------------------------

_COMPARE = """
void model_encode(const model_feature *features, uint8_t *x)
{
    uint32_t bit, feature = 0;
    unsigned octet = 0;
    for (bit = 0; bit < MODEL_INPUT_BITS; bit++) {
        octet |= (unsigned)((int32_t)features[feature] >= $least) << (bit & 7);
        if ((bit & 7) == 7 || bit + 1 == MODEL_INPUT_BITS) {
            x[bit >> 3] = (uint8_t)octet;
            octet = 0;
        }
        if (++feature == MODEL_FEATURES)
            feature = 0;
    }
}
"""
_TEST = """
void model_encode(const model_feature *features, uint8_t *x)
{
    uint32_t i;
    for (i = 0; i < MODEL_INPUT_OCTETS; i++)
        x[i] = 0;
    for (i = 0; i < $tests; i++) {
        int32_t value = features[$feature(tested + i)];
        uint32_t bit = $wire(tests_set + i);
        if (value >= (int32_t)$low(lowest + i) && value <= (int32_t)$high(highest + i))
            x[bit >> 3] = (uint8_t)(x[bit >> 3] | 1u << (bit & 7));
    }
}
"""


def _encode(made: Source, program: Program, inputs: IntegerInputs, pixels: bool) -> None:
    wires, features, low, high = inputs.tests.T
    count, width = len(inputs.decimals), program.input_bits
    if len(wires) != width or (high != MOST).any() or (features != np.arange(width) % count).any():
        made.code(
            _TEST,
            "test",
            tests=len(wires),
            wire=made.array("tests_set", wires, about="a bit is 1 if a feature is in a range"),
            feature=made.array("tested", features),
            low=made.array("lowest", low, "int32_t"),
            high=made.array("highest", high, "int32_t"),
        )
        return
    low = low.clip(0, 256) if pixels else low
    # A byte that is compared with 0 or 256 makes compilers warn.
    if (low == low[0]).all() and not (pixels and low[0] in (0, 256)):
        made.code(_COMPARE, "compare with one", least=literal(int(low[0])))
        return
    type_ = _type(low)
    read = made.array("least", low, type_, about="the least number for which each bit is 1")
    made.code(_COMPARE, "compare", least=f"({type_}){read}(least + bit)")


# -- tables that vote --------------------------------------------------------------------------------------------------

_VOTES = """
static void add_votes(const uint8_t *bits, int32_t *scores)
{
    const wire_t *wires = vote_wires;
    uint32_t table, c$start;
    for (table = 0; table < $tables; table++) {
        uint32_t at = table << $inputs;
        unsigned i;
        for (i = 0; i < $inputs; i++)
            at |= (uint32_t)bit_of(bits, READ_WIRE(wires++)) << i;
        $add
    }
}
"""
_PREDICT_DIRECTLY = """
int32_t model_predict(const uint8_t *x)
{
    int32_t scores[MODEL_CLASSES] = {0};
    add_votes(x, scores);
    return largest(scores);
}
"""
_PREDICT_ABOVE = """
int32_t model_predict(const uint8_t *x)
{
    int32_t scores[MODEL_CLASSES] = {0};
    uint8_t bits[$octets];
    copy(bits, x, MODEL_INPUT_OCTETS);
    run_predictor(bits);
    add_votes(bits, scores);
    return largest(scores);
}
"""
_LEARN = """
int32_t model_learn(const uint8_t *x, int32_t y)
{
    static $index found[$tables];
    const wire_t *wires = vote_wires;
    int32_t scores[MODEL_CLASSES] = {0};
    int32_t c, predicted, rival;
    uint32_t table;
    if (y < 0 || y >= MODEL_CLASSES)
        return -1;
$forget    for (table = 0; table < $tables; table++) {
        uint32_t at = table << $inputs;
        const int8_t *row;
        unsigned i;
        for (i = 0; i < $inputs; i++)
            at |= (uint32_t)bit_of(x, READ_WIRE(wires++)) << i;
        found[table] = ($index)(at & $mask);
        row = model_counters + at * MODEL_CLASSES;
$drop        for (c = 0; c < MODEL_CLASSES; c++)
            scores[c] += row[c]$sign;
    }
    predicted = largest(scores);
    rival = y == 0;
    for (c = rival + 1; c < MODEL_CLASSES; c++)
        if (c != y && scores[c] > scores[rival])
            rival = c;
    if (scores[y] - scores[rival] > $margin)
        return predicted;
    for (table = 0; table < $tables; table++) {
        int8_t *row;
$skip        row = model_counters + (table << $inputs | found[table]) * MODEL_CLASSES;
        if (row[y] < $high)
            row[y]++;
        if (row[rival] > $low)
            row[rival]--;
    }
    return predicted;
}

void model_reset(void)
{
    uint32_t i;
    for (i = 0; i < MODEL_COUNTERS; i++)
        model_counters[i] = 0;
$again}
"""
_DRAW = """
/* Whether the next table is dropped, by bits of a shift register. */
static unsigned is_dropped(void)
{
    unsigned i, number = 0;
    for (i = 0; i < $bits; i++) {
        uint64_t bit = (model_dropout ^ model_dropout >> 31) & 1;
        model_dropout = model_dropout >> 1 | bit << 62;
        number |= (unsigned)bit << i;
    }
    return number < $below;
}
"""
_DROP = """        if (is_dropped()) {
            found[table] = $dropped;
            continue;
        }
"""
_SKIP = """        if (found[table] == $dropped)
            continue;
"""
_FORGET = """    if (model_age == $forget) {
        uint32_t i;
        for (i = 0; i < MODEL_COUNTERS; i++)
            model_counters[i] = (int8_t)(model_counters[i] / 2);
        model_age = 0;
    }
    model_age++;
"""

#: Forms of what tables hold, each the statement that adds it to the scores.
_IN_TURN = """scores[c] += (int32_t)constant_bit(votes, at);
        if (++c == MODEL_CLASSES)
            c = 0;"""
_EACH = "for (c = 0; c < MODEL_CLASSES; c++)\n            scores[c] += "
_BITS = f"{_EACH}(int32_t)constant_bit(votes, at * MODEL_CLASSES + c);"
_NUMBERS = f"{_EACH}($type)$read(votes + at * MODEL_CLASSES + c);"
_LEARNED = f"{_EACH}model_counters[at * MODEL_CLASSES + c]$sign;"


def _form(program: Program) -> str:
    assert program.votes is not None
    if program.learning is not None:
        return _LEARNED
    if program.votes.in_turn is not None:
        return _IN_TURN
    return _BITS if np.isin(program.votes.values, (0, 1)).all() else _NUMBERS


def _votes(made: Source, program: Program) -> None:
    votes, learning, form = program.votes, program.learning, _form(program)
    assert votes is not None
    assert not isinstance(learning, CircuitLearning)
    tables, inputs = votes.wiring.shape
    made.array(
        "vote_wires", votes.wiring, "wire_t", about="the bits that each table reads, the lowest of its index first"
    )
    numbers: dict[str, object] = {"start": " = 0" if form == _IN_TURN else "", "tables": tables, "inputs": inputs}
    if form == _IN_TURN:
        assert votes.in_turn is not None
        made.array("votes", _packed(votes.in_turn), about="what the tables hold; they vote for the classes in turn")
    elif form == _BITS:
        made.array("votes", _packed(votes.values), about="what the tables hold at each index for each class")
    elif form == _NUMBERS:
        numbers["type"] = _type(votes.values)
        numbers["read"] = made.array("votes", votes.values, about="what the tables hold at each index for each class")
    if learning is not None:
        numbers["sign"] = " >= 0" if learning.sign else ""
        made.array("model_counters", learning.counters, "int8_t", storage=" ")
    made.code(_VOTES.replace("$add", form), "votes in turn" if form == _IN_TURN else "votes", **numbers)
    made.code(_LARGEST, *["two classes"] * (program.classes == 2))
    made.stack += 4 * program.classes
    if program.network.luts:
        made.code(_COPY)
        _network(made, program.network, "predictor")
        made.code(_PREDICT_ABOVE, "hidden layers", octets=_octets(program.network))
        made.stack += _octets(program.network)
    else:
        made.code(_PREDICT_DIRECTLY)
    if learning is not None:
        _learn(made, learning, tables, inputs)


def _learn(made: Source, learning: TableLearning, tables: int, inputs: int) -> None:
    bits, below = learning.dropout
    # An index of 16 bits leaves no number for a table that is dropped.
    index, mask = ("uint16_t", (1 << 16) - 1) if inputs < 16 else ("uint32_t", (1 << 32) - 1)
    text = _LEARN
    for key, part in (
        ("forget", _FORGET if learning.forget else ""),
        ("drop", _DROP if below else ""),
        ("skip", _SKIP if below else ""),
        ("again", _again(learning)),
    ):
        text = text.replace(f"${key}", part)
    if below:
        made.source.append(made.named(f"\nuint64_t model_dropout = UINT64_C({learning.register});\n"))
        made.code(_DRAW, "dropout", bits=bits, below=below)
        made.constants, made.ram = made.constants + 8, made.ram + 8
    if learning.forget:
        made.source.append(made.named(f"\nuint32_t model_age = {learning.age};\n"))
        made.constants, made.ram = made.constants + 4, made.ram + 4
    made.code(
        text,
        "learning counters",
        *["learning two classes"] * (learning.counters.shape[2] == 2),
        *["forgetting"] * bool(learning.forget),
        index=index,
        dropped=mask,
        mask=(1 << inputs) - 1,
        tables=tables,
        inputs=inputs,
        margin=learning.margin,
        low=learning.low,
        high=learning.high,
        sign=" >= 0" if learning.sign else "",
        forget=learning.forget,
    )
    made.ram += tables * _OCTETS[index]


def _again(learning: TableLearning) -> str:
    dropout = f"    model_dropout = UINT64_C({learning.first});\n" if learning.dropout[1] else ""
    return dropout + ("    model_age = 0;\n" if learning.forget else "")


# -- circuits ----------------------------------------------------------------------------------------------------------

_COPY = """
static void copy(uint8_t *to, const uint8_t *from, uint32_t octets)
{
    while (octets--)
        *to++ = *from++;
}
"""
_BINARY = """
static int32_t class_of(const uint8_t *bits, const wire_t *wires)
{
    uint32_t i, number = 0;
    for (i = 0; i < $wires; i++)
        number |= (uint32_t)bit_of(bits, READ_WIRE(wires + i)) << i;
    return number < MODEL_CLASSES ? (int32_t)number : -1;
}
"""
_ONE_HOT = """
static int32_t class_of(const uint8_t *bits, const wire_t *wires)
{
    int32_t c, found = -1;
    for (c = 0; c < $wires; c++)
        if (bit_of(bits, READ_WIRE(wires + c))) {
            if (found >= 0)
                return -1;
            found = c;
        }
    return found;
}
"""
_PREDICT = """
int32_t model_predict(const uint8_t *x)
{
    uint8_t bits[$octets];
$parameters    copy(bits + $at, x, MODEL_INPUT_OCTETS);
    run_predictor(bits);
    return class_of(bits, predictor_outputs);
}
"""
_STEP = """
int32_t model_learn(const uint8_t *x, int32_t y)
{
    static uint8_t bits[$octets];
    uint32_t i;
    if (y < 0 || y >= MODEL_CLASSES)
        return -1;
    copy(bits, model_parameters, MODEL_PARAMETER_OCTETS);
    copy(bits + $x, x, MODEL_INPUT_OCTETS);
    for (i = $y; i < $end; i++)
        bits[i] = 0;
    $label
    run_step(bits);
    for (i = 0; i < MODEL_PARAMETER_OCTETS; i++)
        model_parameters[i] = 0;
    for (i = 0; i < $parameters; i++)
        model_parameters[i >> 3] =
            (uint8_t)(model_parameters[i >> 3] | bit_of(bits, READ_WIRE(step_outputs + i)) << (i & 7));
    return class_of(bits, step_outputs + $parameters);
}

void model_reset(void)
{
    uint32_t i;
    for (i = 0; i < MODEL_PARAMETER_OCTETS; i++)
        model_parameters[i] = $first;
}
"""
_CODES = {
    "binary": (_BINARY, "for (i = $y; i < $end; i++)\n        bits[i] = (uint8_t)((uint32_t)y >> 8 * (i - $y));"),
    "one-hot": (_ONE_HOT, "bits[$y + (y >> 3)] = (uint8_t)(1u << (y & 7));"),
}


def _circuit(made: Source, program: Program) -> None:
    learning, network = program.learning, program.network
    assert not isinstance(learning, TableLearning)
    made.code(_COPY)
    read_class, write_class = _CODES[program.code]
    made.code(read_class, wires=len(network.outputs))
    if learning is not None:
        made.array("model_parameters", _packed(learning.parameters), "uint8_t", storage=" ")
    _network(made, network, "predictor")
    theta = "    copy(bits, model_parameters, MODEL_PARAMETER_OCTETS);\n" if learning is not None else ""
    octets, at = _octets(network), network.starts[len(network.inputs) - 1]
    parts = ["circuit", *["one output"] * (len(network.outputs) == 1)]
    parts += ["several octets"] * (octets - network.starts[-1] > 1)
    made.code(_PREDICT, *parts, octets=octets, parameters=theta, at=at)
    made.stack += octets
    if learning is None:
        return
    step, first = learning.step, _packed(learning.first)
    _network(made, step, "step")
    again = f"(uint8_t){made.array('first', first)}(first + i)" if first.any() else "0"
    _, x, y, end = step.starts
    text = _STEP.replace("$label", write_class)
    made.code(
        text,
        "learning circuit",
        octets=_octets(step),
        x=x,
        y=y,
        end=end,
        parameters=len(learning.parameters),
        first=again,
    )
    made.ram += _octets(step)


def _octets(network: Network) -> int:
    return (network.nodes + 7) // 8


def _network(made: Source, network: Network, name: str) -> None:
    """The tables of a network, and the function ``run_NAME``, which computes the nodes after its inputs."""
    calls = []
    for i, luts in enumerate(network.luts):
        made.array(f"{name}_wires_{i}", luts.wiring, "wire_t")
        made.array(f"{name}_tables_{i}", _packed(luts.bits), "uint8_t")
        tables, inputs = luts.wiring.shape
        calls.append(f"    end = look_up(bits, end, {tables}, {inputs}, {name}_wires_{i}, {name}_tables_{i});\n")
    if network.outputs:
        made.array(f"{name}_outputs", np.array(network.outputs), "wire_t")
    first, octets = network.starts[-1], _octets(network)
    made.code(
        f"\nstatic void run_{name}(uint8_t *bits)\n{{\n    uint32_t end;\n"
        f"    for (end = {first}; end < {octets}; end++)\n        bits[end] = 0;\n"
        f"    bits[{first}] = 2; /* the constants 0 and 1 */\n    end = {8 * first + 2};\n{''.join(calls)}"
        "    (void)end;\n}\n",
        *["further tables"] * (len(calls) - 1),
    )


# -- the header --------------------------------------------------------------------------------------------------------


def _header(program: Program, inputs: IntegerInputs | None, pixels: bool) -> tuple[str, str]:
    """The header in two parts; the names of the classes are between them. $result: what a prediction is."""
    sizes = [
        "#ifndef MODEL_H\n#define MODEL_H\n\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        f"#define MODEL_INPUT_BITS {program.input_bits}",
        f"#define MODEL_INPUT_OCTETS {(program.input_bits + 7) // 8}",
        f"#define MODEL_CLASSES {program.classes}\n",
    ]
    lines = [""]
    if inputs is not None:
        lines += [
            f"#define MODEL_FEATURES {len(inputs.decimals)}",
            f"typedef {'uint8_t' if pixels else 'int32_t'} model_feature;{' /* more than 255 is 255 */' * pixels}",
            *(["#define MODEL_MISSING INT32_MIN"] * (not pixels)),
            "",
            "/* The bits x of features. */",
            "void model_encode(const model_feature *features, uint8_t *x);",
            "",
        ]
    lines += [
        "/* The prediction for x, $result. Bit i of x is bit i % 8 of octet i / 8. */",
        "int32_t model_predict(const uint8_t *x);",
        "",
    ]
    if (learning := program.learning) is not None:
        lines += [
            "/* Learn that x is of class y; gives the class that was predicted before, -1 if y is no class. */",
            "int32_t model_learn(const uint8_t *x, int32_t y);",
            "",
            "/* Forget all that was learned. */",
            "void model_reset(void);",
            "",
            "/* What is learned: keep it, and write it back to go on. */",
        ]
    if isinstance(learning, TableLearning):
        lines += [f"#define MODEL_COUNTERS {learning.counters.size}", "extern int8_t model_counters[MODEL_COUNTERS];"]
        lines += ["extern uint64_t model_dropout;"] * bool(learning.dropout[1])
        lines += ["extern uint32_t model_age;"] * bool(learning.forget)
    elif learning is not None:
        lines += [f"#define MODEL_PARAMETER_OCTETS {(len(learning.parameters) + 7) // 8}"]
        lines += ["extern uint8_t model_parameters[MODEL_PARAMETER_OCTETS];"]
    return "\n".join(sizes), "\n".join([*lines, *[""] * bool(lines[-1]), "#ifdef __cplusplus\n}\n#endif\n\n#endif\n"])
