"""``rdahw export``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rdahw.cli._model import find_model, find_predictor, module_name, predictor, stem
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import encoder_option, file_option, frontend_option, size_options, toolchain_option
from rdahw.errors import UsageError
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.data import Binariser
    from rdahw.family import Spec
    from rdahw.hdl.frontend import Frontend, PixelFrontend
    from rdahw.saved import SavedModel

_FORMATS = ("verilog", "rtlil", "blif", "aiger", "dot", "c", "arduino", "cocotb", "litex")
#: Formats that are folders of programs, in :data:`rdahw.sim.c_export.FORMATS`.
_PROGRAMS = ("c", "arduino")
#: Formats of modules with clocks.
_GATEWARE = ("verilog", "rtlil", "cocotb", "litex")
#: Those of :data:`rdahw.hdl.bus.BUSES` and :data:`rdahw.hdl.packets.WIDTHS`; to load them takes longer than --help.
_BUSES = ("axi-stream", "axi", "wishbone")
_BUS_BITS = ("8", "16", "32", "64", "128", "256", "512", "1024")


@click.command(
    "export",
    epilog="""\b
Examples:
  rdahw export iris-lookup.rdahw --to verilog
  rdahw export iris-lookup.rdahw --to verilog --inference
  rdahw export digits-grown.rdahw --to verilog --inference --encoder 5
  rdahw export iris-lookup.rdahw --to aiger --reverse
  rdahw export tomita4-machine.rdahw --to verilog --stream
  rdahw export mnist-ensemble.rdahw --to verilog --trainer
  rdahw export fashion.rdahw --to verilog --inference --frontend pixels
  rdahw export iris-lookup.rdahw --to verilog --inference --bus axi-stream
  rdahw export iris-lookup.rdahw --to verilog --trainer --bus wishbone
  rdahw export lookup --inputs 4 --outputs 3 --to rtlil --trainer
  rdahw export iris-lookup.rdahw --to cocotb --bus axi
  rdahw export iris-lookup.rdahw --to litex --trainer
  rdahw export iris-lookup.rdahw --to c
  rdahw export mnist-ensemble.rdahw --to arduino --learn""",
)
@click.argument("model", metavar="MODEL|NAME|FILE.py:NAME|FILE.v[:TOP]")
@click.option("--to", "format", required=True, type=click.Choice(_FORMATS), help="write this format")
@click.option("--reverse", "what", flag_value="reverse", help="write the reverse derivative of the circuit")
@click.option("--trainer", "what", flag_value="trainer", help="write the trainer: the circuit that learns")
@click.option("--stream", "what", flag_value="stream", help="write a machine: a symbol in and a symbol out a clock")
@click.option("--inference", "what", flag_value="inference", help="write the circuit with its parameters folded in")
@click.option("--learn", "what", flag_value="learn", help="for c and arduino: with a function that learns")
@size_options()
@frontend_option
@encoder_option
@click.option("--bus", type=click.Choice(_BUSES), help="with the ports of this bus, for a processor or a DMA engine")
@click.option("--bus-bits", type=click.Choice(_BUS_BITS), help="the width of the bus's data  [default: 32, or 8]")
@file_option("--out", help="write here  [default: MODEL[-WHAT].ENDING, or for formats that are folders MODEL-FORMAT]")
@click.option("--force", is_flag=True, help="replace files of other contents in a folder")
@toolchain_option
@output_options
def command(
    output: Output,
    model: str,
    format: str,
    what: str | None,
    inputs: int,
    outputs: int,
    frontend: str | None,
    encoder: int | None,
    bus: str | None,
    bus_bits: str | None,
    out: Path | None,
    force: bool,
    toolchain: Any,
) -> None:
    """Write a model's circuit, its reverse derivative or its trainer in a format that other tools read.

    Of a trained model too large for a circuit the predictor is written, of one by name the trainer.

    c is a folder with a C99 program and its test, arduino one with a library: without floating point, and with the
    same predictions as the software. cocotb is one with the Verilog of a predictor or trainer on a bus and a test of
    it: run make in it. litex is one with a peripheral of a LiteX SoC: Verilog, a Python module and a C header.

    Ports, widths and bit order are in the comments of the file. NAME is one of rdahw models; FILE.py:NAME runs the
    file.
    """
    from rdahw.files import write_together

    if format in _PROGRAMS:
        if what not in (None, "learn") or any(given is not None for given in (frontend, encoder, bus, bus_bits)):
            raise UsageError(f"--to {format} writes programs and no hardware; leave out all options but --learn")
        _write_program(output, model, format, what is not None, inputs, outputs, out, force)
        return
    folder = _FOLDERS.get(format)
    if folder is not None:
        bus = bus or folder.buses[0]
        given = {"frontend": frontend, "encoder": encoder}
        plain = all(given[name] is None for name in folder.without)
        if what not in (None, "trainer", "inference") or bus not in folder.buses or not plain:
            raise UsageError(f"--to {format} {folder.purpose}")
    elif force:
        raise UsageError("--force is for formats that are folders, and a file is replaced without it; leave it out")
    if what == "learn":
        raise UsageError("--learn is for programs; use --to c or --to arduino, or --trainer for hardware that learns")
    # A trainer is that of the model itself, as rdahw synth makes it, and so is a machine.
    spec, saved = (find_model if what in _WHOLE else find_predictor)(model, inputs, outputs)
    if folder is not None and what is None:
        what = "trainer" if saved is None else "inference"
    front = None
    if frontend is not None:
        from rdahw.hdl.frontend import FRONTENDS

        if what not in ("trainer", "inference") or format == "dot":
            raise UsageError(
                f"--frontend {frontend} is for the gateware of a trainer or predictor; add --trainer or --inference, "
                "with --to verilog, or leave --frontend out"
            )
        front = FRONTENDS[frontend](None if saved is None else saved.binariser)
    if bus is None and bus_bits is not None:
        raise UsageError("--bus-bits is the width of a bus; add --bus, or leave it out")
    if bus is not None and (what not in ("trainer", "inference") or format not in _GATEWARE):
        raise UsageError(
            f"--bus {bus} is for the gateware of a trainer or predictor; add --trainer or --inference, with --to "
            "verilog or --to rtlil, or leave --bus out"
        )
    if encoder is not None and (what != "inference" or frontend is not None):
        raise UsageError(
            "--encoder is for the circuit of a trained model alone; add --inference, without --frontend, or leave "
            "--encoder out"
        )
    if what is None:
        what = "circuit"
        if format != "dot" and (not _is_circuit(spec) or (saved is not None and spec.parameters.bits > _MOST_PORTS)):
            what = "trainer" if saved is None else "inference"
            part = "trainer" if saved is None else "predictor"
            output.log(f"the model has no circuit, or one too large for export; writing its {part}")
    if what == "inference" and saved is None:
        raise UsageError("--inference needs a trained model; give a file of rdahw train")
    about, header = f"of the model {spec.name!r}; written by rdahw export.", ""
    if format == "dot":
        from rdahw.draw import to_dot

        if what in _WHOLE:
            raise UsageError(f"a {_WHOLE[what]} has state and cannot be drawn; leave --{what} out")
        name = module_name(model, ())
        ending, text = "dot", f"// {_ABOUT[what]} {about}\n" + to_dot(_circuit(what, spec, saved, encoder), name)
    else:
        from rdahw.hdl.export import FORMATS, export, port_names

        if bus is None:
            component, what_it_is, notes = _component(what, spec, saved, front, encoder)
        else:
            component, what_it_is, notes = _on_bus(what, bus, bus_bits, spec, saved, front, encoder)
        name = module_name(model, port_names(component))
        language, about = format if folder is None else "verilog", f"{what_it_is} {about}"
        ending = FORMATS[language].ending
        text = export(component, language, name=name, about=about, notes=notes, toolchain=toolchain)
        if folder is not None:
            assert bus is not None
            files = folder.files(_Module(component, bus, name, about, text, None if what == "trainer" else saved))
            out = out or Path(f"{stem(model)}-{format}")
            _write_folder(output, out, files, force)
            output.json({"model": spec.name, "what": what, "format": format, "module": name, "out": str(out)})
            output.line(f"wrote {out}")
            return
        if bus is not None:
            header = component.header(name)
    out = out or Path(f"{stem(model)}{'' if what == 'circuit' else '-' + what}.{ending}")
    if out.exists() and Path(model.partition(":")[0]).exists() and out.samefile(model.partition(":")[0]):
        raise UsageError(f"the result would replace {str(out)!r}, which is read; name another file with --out")
    made = {"out": out} | ({"header": out.with_suffix(".h")} if header else {})
    if len({*made.values()}) < len(made):
        raise UsageError(f"the header would replace {str(out)!r}; name a file with another ending than .h with --out")
    write_together({path: each.encode() for path, each in zip(made.values(), (text, header), strict=False)})
    named = {key: str(path) for key, path in made.items()}
    output.json({"model": spec.name, "what": what, "format": format, "module": name, **named})
    output.line(f"wrote {' and '.join(named.values())}")


def _write_program(
    output: Output, model: str, format: str, learn: bool, inputs: int, outputs: int, out: Path | None, force: bool
) -> None:
    from rdahw.sim.c_export import FORMATS, c_model, c_name

    spec, saved = find_model(model, inputs, outputs)
    if saved is None and not learn:
        raise UsageError(f"--to {format} needs a trained model; give a file of rdahw train, or add --learn")
    of_data: dict[str, Any] = {} if saved is None else {"binariser": saved.binariser, "schema": saved.schema}
    state = spec.initial_state() if saved is None else saved.best_state
    made = c_model(spec, state, name=c_name(stem(model)), learn=learn, **of_data)
    if saved is not None and made.inputs is None:
        output.log(f"note: the rule {saved.binariser.rule!r} is not written in C, which takes the bits of examples")
    sizes = made.sizes
    output.line(
        f"flash {sizes['flash_bytes']:,} bytes, RAM {sizes['ram_bytes']:,} bytes and {sizes['stack_bytes']:,} of stack "
        "(Cortex-M3, gcc -Os)"
    )
    files, folder = FORMATS[format](made), out or Path(f"{stem(model)}-{format}")
    _write_folder(output, folder, files, force)
    what = "learner" if learn else "predictor"
    output.json(
        {"model": spec.name, "what": what, "format": format, **sizes, "files": sorted(files), "out": str(folder)}
    )
    output.line(f"wrote {folder}")


class _Module(NamedTuple):
    """A module on a bus as Verilog. saved: what its predictor was made of; None: it is a trainer."""

    component: Any
    bus: str
    name: str
    about: str
    verilog: str
    saved: SavedModel | None


def _cocotb(module: _Module) -> dict[str, str]:
    from rdahw.sim.cocotb_export import cocotb_files, state_at_power_up

    core, saved = module.component.core, module.saved
    state = state_at_power_up(core.interface) if saved is None else saved.best_state
    return cocotb_files(core, module.bus, module.name, module.verilog, state)


def _litex(module: _Module) -> dict[str, str]:
    from rdahw.hdl.litex_export import litex_files

    return litex_files(module.component, module.name, module.about, module.verilog)


class _Folder(NamedTuple):
    """A format that is a folder with a module on a bus. buses: those that it may be on, the usual one first; without:
    the options that it does not take; purpose: what is said then; files: makes the files of the folder by name."""

    buses: Sequence[str]
    without: Sequence[str]
    purpose: str
    files: Callable[[_Module], dict[str, str]]


_FOLDERS: Mapping[str, _Folder] = {
    "cocotb": _Folder(
        _BUSES,
        ("frontend", "encoder"),
        "tests a predictor or trainer that takes the bits of examples; leave out all options but --inference or "
        "--trainer, --bus and --bus-bits",
        _cocotb,
    ),
    "litex": _Folder(
        ("wishbone",),
        (),
        "makes a peripheral of a predictor or trainer, with registers on Wishbone; give --inference or --trainer, and "
        "leave out --reverse, --stream, --learn and other buses",
        _litex,
    ),
}


def _write_folder(output: Output, folder: Path, files: Mapping[str, str], force: bool) -> None:
    from rdahw.files import write_together

    others = [] if force else [path for path, text in files.items() if _has_other_contents(folder / path, text)]
    if others:
        more = f" and {plural(len(others) - 1, 'more file')}" if others[1:] else ""
        raise UsageError(
            f"{others[0]!r}{more} in the folder {str(folder)!r} would be replaced by other contents; add --force to "
            "do so, or name another folder with --out"
        )
    for path in files:
        if (folder / path).is_dir():
            raise UsageError(f"{str(folder / path)!r} is a folder, not a file; name another folder with --out")
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the folder {str(folder)!r} cannot be made ({(error.strerror or '').lower()}); name another with --out"
            ) from error
    write_together({folder / path: text.encode() for path, text in files.items()})
    written, endings = {folder / path for path in files}, {Path(path).suffix for path in files}
    beside = {each for path in written for each in path.parent.iterdir() if each.suffix in endings} - written
    if beside:
        output.log(
            f"note: in the folder {str(folder)!r} are other files of these kinds, too, among them {min(beside).name!r}"
        )


def _has_other_contents(path: Path, text: str) -> bool:
    """Whether there is a file with anything but ``text``, or one that cannot be read."""
    try:
        return path.is_file() and path.read_bytes() != text.encode()
    except PermissionError:
        return True
    except OSError:  # to write it says why
        return False


#: A circuit with more parameter bits as ports is not written unless it is asked for by name.
_MOST_PORTS = 1 << 14

#: How many features are named in the comment of a file.
_NAMED = 8

#: The largest reverse derivative that is written.
_MOST_ASSIGNMENTS = 1 << 15

#: What is of the model itself, and not of what it needs to predict.
_WHOLE = {"trainer": "trainer", "stream": "machine"}

_ABOUT = {
    "circuit": "The circuit",
    "reverse": "The reverse derivative",
    "trainer": "The trainer",
    "stream": "The machine, which takes a symbol in a clock cycle,",
    "inference": "The circuit, with its parameters folded in,",
}


def _is_circuit(spec: Spec) -> bool:
    try:
        spec.given()
    except UsageError:
        return False
    return True


def _circuit(what: str, spec: Spec, saved: SavedModel | None, encoder: int | None) -> Circuit:
    from rdahw.binariser_circuit import binariser_circuit
    from rdahw.folding import simplify

    try:
        made = spec.given()
    except UsageError as error:
        gateware = "export its gateware with --to verilog, without --reverse and --inference"
        raise UsageError(f"{error}; or {gateware}") from None
    if what == "reverse":
        found = made.reverse()
        if len(found.assignments) > _MOST_ASSIGNMENTS:
            raise UsageError(
                f"the reverse derivative has {len(found.assignments):,} assignments, and at most {_MOST_ASSIGNMENTS:,} "
                "are exported, as tools take many minutes for more; train with fewer tables or inputs, or leave "
                "--reverse out"
            )
        return simplify(found)
    if what == "inference":
        its = predictor(spec, saved)
        if encoder is None:
            return its
        assert saved is not None
        return binariser_circuit(saved.binariser, encoder) >> its
    return made.circuit


def _component(
    what: str, spec: Spec, saved: SavedModel | None, frontend: PixelFrontend | None, encoder: int | None
) -> tuple[Any, str, Sequence[str]]:
    """The component or circuit, what it is, and notes for its file."""
    from rdahw.hdl.trainer_factory import make_predictor, make_trainer, predictors

    if what == "stream":
        from rdahw.hdl.machine_module import MachineModule

        machine = spec.machine(spec.initial_state() if saved is None else saved.best_state)
        if machine is None:
            raise UsageError(f"the model {spec.name!r} is no machine; leave --stream out")
        return MachineModule(machine), _ABOUT[what], MachineModule.stream_notes
    if what == "trainer":
        trainer = make_trainer(spec, frontend=frontend)
        return trainer, _ABOUT[what], trainer.stream_notes
    if what == "inference":
        assert saved is not None
        if frontend is not None or not predictors(spec)[0].fits(spec):  # too large for a circuit
            if encoder is not None:
                raise UsageError(
                    "the model is too large for a circuit, and --encoder is for a circuit; train with fewer tables, or "
                    "leave --encoder out"
                )
            made = make_predictor(spec, saved.best_state, frontend)
            return made, "The predictor, with its parameters as the contents of a memory,", made.stream_notes
    notes = () if encoder is None or saved is None else _feature_notes(saved.binariser, encoder)
    return _circuit(what, spec, saved, encoder), _ABOUT[what], notes


def _on_bus(
    what: str,
    bus: str,
    bits: str | None,
    spec: Spec,
    saved: SavedModel | None,
    frontend: Frontend | None,
    encoder: int | None,
) -> tuple[Any, str, Sequence[str]]:
    """As :func:`_component`, for a trainer or predictor behind a bus."""
    from rdahw.hdl.bus import BUSES
    from rdahw.hdl.frontend import NumberFrontend
    from rdahw.hdl.packets import PacketModel
    from rdahw.hdl.trainer_factory import make_predictor, make_trainer

    features: Sequence[str] = ()
    if encoder is not None:
        assert saved is not None
        frontend, features = NumberFrontend(saved.binariser, encoder), _feature_notes(saved.binariser, encoder)
    if what == "trainer":
        model = make_trainer(spec, frontend=frontend)
    else:
        assert saved is not None
        model = make_predictor(spec, saved.best_state, frontend)
    made = BUSES[bus](PacketModel(model, None if bits is None else int(bits)))
    part = "trainer" if what == "trainer" else "predictor"
    return made, f"The {part} {made.about}", (*made.notes, *features)


def _feature_notes(binariser: Binariser, bits: int) -> Sequence[str]:
    """Where each feature is in the input."""
    first = ", ".join(f"{name} x[{i * bits + bits - 1}:{i * bits}]" for i, name in enumerate(binariser.names[:_NAMED]))
    more = ", and so on" if len(binariser.names) > _NAMED else ""
    return [f"x holds the features, whole numbers of {bits} bits without sign: {first}{more}."]
