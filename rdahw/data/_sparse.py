"""Tables in the text formats of WEKA (ARFF) and svmlight (libsvm)."""

from __future__ import annotations

import io
import re

import numpy as np

from rdahw.data._cells import Cells, Numbers, Texts, number
from rdahw.data._csv import BadRow, Form, parse
from rdahw.data._files import Source
from rdahw.data._table import Reading, Table, check_size
from rdahw.errors import UserError

_ATTRIBUTE = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{'"][^\s{]*)\s*(\{.*|\S+.*)""", re.IGNORECASE
)
_NUMERIC = ("numeric", "real", "integer")

_SVMLIGHT = re.compile(rb"\s*[^\s:#]+(\s+(qid|\d+):[^\s:]+)*\s*(#.*)?")


def is_arff(source: Source) -> bool:
    """Whether the first line that is no comment begins an ARFF file."""
    lines = (line.strip().lower() for line in source.head.splitlines()[:10_000])
    first = next((line for line in lines if line and not line.startswith(b"%")), b"")
    return first.startswith((b"@relation", b"@attribute"))


def read_arff(source: Source, reading: Reading) -> Table:
    """The table in an ARFF file, also a sparse one. Raises UserError for a malformed one."""
    import pyarrow as pa  # type: ignore[import-untyped]

    try:
        text = source.content().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source.name} is not UTF-8 text (byte {error.start}); save it in UTF-8") from None
    found = re.search(r"(?im)^\s*@data[^\r\n]*", text)
    if found is None:
        raise UserError(f"{source.name} is an ARFF file without @data; get or write it again")
    names, kinds = [], []
    for line in text[: found.start()].splitlines():
        if line.strip().lower().startswith("@attribute"):
            match = _ATTRIBUTE.fullmatch(line.strip())
            if match is None:
                raise UserError(
                    f"{source.name}: {line.strip()[:80]!r} is no ARFF attribute; write @attribute NAME TYPE"
                )
            names.append(_unquoted(match[1]))
            kinds.append(match[2].strip())
    if not names:
        raise UserError(f"{source.name} is an ARFF file without attributes; get or write it again")
    body = re.sub(r"(?m)^[ \t]*%[^\r\n]*", "", text[found.end() :])
    if body.lstrip().startswith("{"):
        columns = _sparse_rows(source, body, kinds)
    else:
        quote = "'" if "'" in body and body.count("'") >= body.count('"') else '"'
        body = re.sub(rf"(^|[\r\n,])[ \t]+(?={quote})", r"\1", body)
        try:
            width, missing = len(names), ("", "?")
            form = Form(width=width, delimiter=",", quote=quote, escape="\\", missing=missing, longest=32 * width)
            gathered, _ = parse(io.BytesIO(body.encode()), form, name=source.name)
        except BadRow as row:
            raise UserError(
                f"{source.name}: the row {str(row).strip()[:60]!r} does not have {len(names)} cells, one for each "
                "attribute"
            ) from None
        except pa.ArrowInvalid as error:
            message = str(error).partition("\n")[0][:200]
            raise UserError(f"{source.name} is a malformed ARFF file: {message}") from None
        columns = [_nominal(column.cells(), kind) for column, kind in zip(gathered, kinds, strict=True)]
    return Table(
        path=source.name,
        stem=source.stem,
        names=tuple(names),
        named=True,
        columns=columns,
        where=lambda row: f"example {row + 1}",
        reading=reading,
    )


def _unquoted(text: str) -> str:
    text = text.strip()
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _nominal(cells: Cells, kind: str) -> Cells:
    if not kind.startswith("{") or not isinstance(cells, Texts):
        return cells
    return Texts(cells.known, cells.codes, nominal=True)


def _sparse_rows(source: Source, body: str, kinds: list[str]) -> list[Cells]:
    """The columns of ``{NUMBER VALUE, …}`` rows; what a row leaves out is 0, or the first of the nominal values."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    check_size(source.name, len(lines), len(kinds))
    absent = ["0" if not kind.startswith("{") else _unquoted(re.split(r"[,}]", kind[1:])[0]) for kind in kinds]
    rows = [[*absent] for _ in lines]
    for line, row in zip(lines, rows, strict=True):
        items = [item.split(None, 1) for item in line.strip("{}").split(",") if item.strip()]
        for item in items:
            if len(item) != 2 or not item[0].isdecimal() or not int(item[0]) < len(kinds) or line[-1] != "}":
                raise UserError(f"{source.name}: {line[:60]!r} is no sparse ARFF row; expected {{NUMBER VALUE, …}}")
            row[int(item[0])] = "" if item[1].strip() == "?" else _unquoted(item[1])
    columns = zip(*rows, strict=True)
    return [Texts.of(column, nominal=kind.startswith("{")) for column, kind in zip(columns, kinds, strict=True)]


def is_svmlight(source: Source) -> bool:
    """Whether the first line, and most of some more, are a label and pairs of a number and a value."""
    lines = [line for line in source.head.splitlines()[:20] if line.strip() and not line.startswith(b"#")]
    fitting = [_SVMLIGHT.fullmatch(line) is not None for line in lines]
    return any(b":" in line for line in lines) and fitting[0] and 2 * sum(fitting) > len(lines)


def read_svmlight(source: Source, reading: Reading) -> Table:
    """The table in a svmlight file: the label is its first column. Raises UserError for a malformed one."""
    labels: list[str] = []
    rows: list[int] = []
    places: list[int] = []
    values: list[float] = []
    lines: list[int] = []
    with source.stream() as stream:
        for n, line in enumerate(stream, 1):
            words = line.partition(b"#")[0].split()
            if not words:
                continue
            try:
                labels.append(words[0].decode())
                begin = len(places)
                for word in words[1:]:
                    place, colon, value = word.partition(b":")
                    if place == b"qid":
                        continue
                    found = number(value.decode())
                    if not colon or not place.isdigit() or found is None:
                        raise ValueError(word)
                    rows.append(len(labels) - 1)
                    places.append(int(place))
                    values.append(found)
            except (ValueError, OverflowError):
                raise UserError(
                    f"{source.name}, line {n} is not «LABEL NUMBER:VALUE …», as svmlight files are"
                ) from None
            if len(set(own := places[begin:])) < len(own):
                twice = next(place for place in own if own.count(place) > 1)
                raise UserError(f"{source.name}, line {n} has feature {twice} twice; keep one of them")
            lines.append(n)
    first = 0 if 0 in places else 1
    width = max(places, default=0) + 1 - first
    check_size(source.name, len(labels), width + 1)
    cells = np.zeros((width, len(labels)))
    if places:
        cells[np.array(places) - first, rows] = values
    columns: list[Cells] = [Texts.of(labels), *map(Numbers, cells)]
    return Table(
        path=source.name,
        stem=source.stem,
        names=("label", *(f"feature {i + first}" for i in range(width))),
        named=False,
        columns=columns,
        where=lambda row: f"line {lines[row]}",
        reading=reading,
        padded=True,
    )
