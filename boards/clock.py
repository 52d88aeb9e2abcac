"""The clock of the core: the board's oscillator or a PLL behind it, with computed settings, and the power-on reset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ClockDomain, Const, Instance, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import io  # type: ignore[import-untyped]

from rdahw.errors import UserError

__all__ = ["PLLS", "Pll", "add_clock", "ecp5_settings", "ice40_settings"]

#: How long the core stays in reset after configuration, as on Amaranth's platforms: iCE40 block RAMs read as zero for
#: about 3 µs (icestorm issue 76).
_POWER_ON_SECONDS = 15e-6

#: The largest relative error of a PLL's clock: a quarter of what a UART tolerates.
_TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class Pll:
    """A kind of clock generator.

    settings: from the MHz of the oscillator and of the core to ``(actual MHz, settings)``, best first.
    instance: from the settings and the signals of the oscillator, the clock and «locked» to the instance; ``None``: the
        oscillator is the clock.
    pad: connected to the oscillator's pin itself, not to an input buffer.
    """

    settings: Callable[[float, float], Iterator[tuple[float, dict[str, int]]]]
    instance: Callable[..., Any] | None
    pad: bool = False


def ice40_settings(oscillator: float, core: float) -> Iterator[tuple[float, dict[str, int]]]:
    """SB_PLL40 in simple feedback: oscillator / (DIVR + 1) * (DIVF + 1) / 2^DIVQ, all MHz.

    Lattice FPGA-TN-02052, iCE40 sysCLOCK PLL Design and Usage Guide: phase detector 10 to 133 MHz, VCO 533 to 1066.
    """
    ranges = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5), (134, 6))
    found = []
    for divr in range(16):
        detector = oscillator / (divr + 1)
        if not 10 <= detector <= 133:
            continue
        for divf in range(128):
            vco = detector * (divf + 1)
            if not 533 <= vco <= 1066:
                continue
            for divq in range(1, 7):
                made = vco / 2**divq
                filter_range = next(number for below, number in ranges if detector < below)
                found.append((made, {"DIVR": divr, "DIVF": divf, "DIVQ": divq, "FILTER_RANGE": filter_range}))
    yield from sorted(found, key=lambda row: (abs(row[0] - core), *row[1].values()))


def ecp5_settings(oscillator: float, core: float) -> Iterator[tuple[float, dict[str, int]]]:
    """EHXPLLL with its feedback from CLKOP: oscillator / CLKI_DIV * CLKFB_DIV, all MHz.

    Lattice FPGA-TN-02200, ECP5 sysCLOCK PLL/DLL Design and Usage Guide: phase detector 3.125 to 400 MHz, VCO 400
    to 800. The VCO is chosen near the middle, 600 MHz.
    """
    found = []
    for divide in range(1, 129):
        detector = oscillator / divide
        if not 3.125 <= detector <= 400:
            continue
        for feedback in range(1, 81):
            made = detector * feedback
            output = max(1, min(128, round(600 / made)))
            if 400 <= made * output <= 800:
                found.append((made, {"CLKI_DIV": divide, "CLKFB_DIV": feedback, "CLKOP_DIV": output}))
    yield from sorted(found, key=lambda row: (abs(row[0] - core), *row[1].values()))


def _sb_pll40(kind: str, pin: str) -> Callable[..., Any]:
    widths = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}

    def instance(settings: Mapping[str, int], source: Any, clock: Any, locked: Any) -> Any:
        return Instance(
            kind,
            p_FEEDBACK_PATH="SIMPLE",
            **{f"p_{name}": Const(value, widths[name]) for name, value in settings.items()},
            **{f"i_{pin}": source},
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )

    return instance


def _ehxplll(settings: Mapping[str, int], source: Any, clock: Any, locked: Any) -> Any:
    return Instance(
        "EHXPLLL",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        p_FEEDBK_PATH="CLKOP",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_CPHASE=settings["CLKOP_DIV"] - 1,
        p_CLKOP_FPHASE=0,
        **{f"p_{name}": value for name, value in settings.items()},
        i_CLKI=source,
        i_CLKFB=clock,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_ENCLKOP=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(0),
        i_PHASESTEP=Const(0),
        i_PHASELOADREG=Const(0),
        o_CLKOP=clock,
        o_LOCK=locked,
    )


#: The kinds of clock generators by name.
PLLS: Mapping[str, Pll] = {
    "none": Pll(lambda oscillator, core: iter([(oscillator, {})]), None),
    "SB_PLL40_PAD": Pll(ice40_settings, _sb_pll40("SB_PLL40_PAD", "PACKAGEPIN"), pad=True),
    "SB_PLL40_CORE": Pll(ice40_settings, _sb_pll40("SB_PLL40_CORE", "REFERENCECLK")),
    "EHXPLLL": Pll(ecp5_settings, _ehxplll),
}


def choose(kind: str, oscillator: float, core: float) -> tuple[float, dict[str, int]]:
    """The MHz nearest to ``core`` that this generator makes, and its settings; :class:`UserError` if it is off by more
    than half a percent."""
    made, settings = next(PLLS[kind].settings(oscillator, core), (0.0, {}))
    if abs(made - core) > _TOLERANCE * core:
        raise UserError(
            f"a clock of {core:g} MHz cannot be made from the board's {oscillator:g} MHz; the nearest is {made:g} MHz"
        )
    return made, settings


def add_clock(m: Module, platform: Any, *, kind: str, resource: str, oscillator: float, core: float) -> None:
    """Add the clock domain ``sync``, of ``core`` MHz, to a board's top level.

    The domain is in reset from configuration until the PLL has locked and the block RAMs work.
    """
    pll = PLLS[kind]
    made, settings = choose(kind, oscillator, core)
    port = platform.request(resource, 0, dir="-")
    if pll.pad:
        source = port.io
    else:
        m.submodules.oscillator = buffer = io.Buffer("i", port)
        source = buffer.i
    clock, locked = Signal(name="core_clock"), Signal(name="pll_locked", init=1)
    if pll.instance is None:
        m.d.comb += [clock.eq(source), locked.eq(1)]
    else:
        m.submodules.pll = pll.instance(settings, source, clock, locked)
    m.domains.power_on = power_on = ClockDomain(reset_less=True, local=True)
    m.domains.sync = sync = ClockDomain()
    m.d.comb += [power_on.clk.eq(clock), sync.clk.eq(clock)]
    cycles = int(_POWER_ON_SECONDS * made * 1e6) + 1
    # «locked» is asynchronous: synchronised by two flip-flops.
    steady = Signal(2)
    waited = Signal(range(cycles + 1))
    reset = Signal(init=1)
    m.d.power_on += steady.eq((steady << 1) | locked)
    with m.If(~steady[1]):
        m.d.power_on += [waited.eq(0), reset.eq(1)]
    with m.Elif(waited == cycles):
        m.d.power_on += reset.eq(0)
    with m.Else():
        m.d.power_on += waited.eq(waited + 1)
    m.d.comb += sync.rst.eq(reset)
