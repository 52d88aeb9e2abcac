"""Models of a family's cells, and the synthesis to them, for simulating netlists.

Yosys has models of most cells; here are the memories that it has no usable model of. Bits that the data sheets leave
undefined are arbitrary, so that a design that relies on them fails.
"""

from __future__ import annotations

from rdahw.errors import UsageError, nearest
from rdahw.hdl.block_memory import FORGET_FIRST_READ
from rdahw.hdl.netlist_proof import LIBRARIES

__all__ = ["FAMILIES", "synthesis_script"]

#: The large memory of the iCE40 UltraPlus; Yosys' model has a loop over all words at power-off, which takes minutes to
#: elaborate. Words that were never written and reads in the cycle of a write are arbitrary.
_SB_SPRAM256KA = """
module SB_SPRAM256KA (
    input [13:0] ADDRESS, input [15:0] DATAIN, input [3:0] MASKWREN,
    input WREN, CHIPSELECT, CLOCK, STANDBY, SLEEP, POWEROFF, output reg [15:0] DATAOUT
);
    localparam [15:0] UNWRITTEN = 16'h5a96;
    reg [15:0] mem [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};
    wire on = POWEROFF & ~SLEEP & ~STANDBY & CHIPSELECT;
    always @(posedge CLOCK) begin
        if (on & WREN) mem[ADDRESS] <= (mem[ADDRESS] & ~mask) | ((DATAIN ^ UNWRITTEN) & mask);
        if (on) DATAOUT <= WREN ? 16'ha5c3 ^ ADDRESS : mem[ADDRESS] ^ UNWRITTEN;
    end
endmodule
"""

#: The block RAM of the ECP5: 512 rows of four bytes of 9 bits. A port accesses DATA_WIDTH bits of a row at a time; with
#: fewer than 9, each byte's last bit is unused. From 18 on, the lowest bits of the address are byte enables of a write.
#: With 36 bits port A only writes and port B only reads, with the data pins of both.
#:
#: Modelled: writes by port A and reads by both, on one clock, without the output register; Yosys reports an error for
#: other parameters. Bits that port B reads while port A writes them are arbitrary, and so are reads while a pin is used
#: that is not modelled: the resets, the selects, and port B's write enable.
_DP16KD = """
module DP16KD (
    input @DIA@, @ADA@, CLKA, CEA, OCEA, WEA, RSTA, CSA2, CSA1, CSA0,
    input @DIB@, @ADB@, CLKB, CEB, OCEB, WEB, RSTB, CSB2, CSB1, CSB0,
    output @DOA@, @DOB@
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "DISABLED";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC"; // of resets, which are not used
    parameter [319:0] @PARAMETERS@;
    localparam [20479:0] CONTENTS = {@CONTENTS@}; // 18 bits of 20 each
    localparam [35:0] ARBITRARY = 36'h5a96c33c9;
    generate
        if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG") $error("DP16KD: the output register is not modelled");
        if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000") $error("DP16KD: selects are not modelled");
        if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB") $error("DP16KD: an inverted clock is not modelled");
        if (GSR == "ENABLED") $error("DP16KD: the global reset is not modelled");
        if (DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36) $error("DP16KD: port B of 36 bits goes with port A of 36");
    endgenerate

    reg [35:0] rows [0:511];
    integer i;
    initial for (i = 0; i < 512; i = i + 1) rows[i] = {CONTENTS[40 * i + 20 +: 18], CONTENTS[40 * i +: 18]};

    wire [13:0] address_a = {@ADA@}, address_b = {@ADB@};
    // The place of the first bit in the row; the units of an address are 8 to a byte.
    localparam [4:0] BITS_A = (DATA_WIDTH_A < 9 ? DATA_WIDTH_A : DATA_WIDTH_A / 9 * 8) - 1;
    localparam [4:0] BITS_B = (DATA_WIDTH_B < 9 ? DATA_WIDTH_B : DATA_WIDTH_B / 9 * 8) - 1;
    wire [4:0] unit_a = address_a[4:0] & ~BITS_A, unit_b = address_b[4:0] & ~BITS_B;
    wire [5:0] at_a = 9 * unit_a[4:3] + unit_a[2:0], at_b = 9 * unit_b[4:3] + unit_b[2:0];

    wire [35:0] bytes = {{9{address_a[3]}}, {9{address_a[2]}}, {9{address_a[1]}}, {9{address_a[0]}}};
    wire [35:0] lanes = {36{1'b1}} >> 36 - DATA_WIDTH_A & (DATA_WIDTH_A < 18 ? {36{1'b1}} : bytes);
    wire [35:0] written = CEA & WEA ? lanes << at_a : 0;
    wire [35:0] data = DATA_WIDTH_A == 36 ? {@DIB@, @DIA@} : {@DIA@};
    wire [35:0] before = rows[address_a[13:5]], after = (before & ~written) | (data << at_a & written);
    wire [35:0] hit = address_a[13:5] == address_b[13:5] ? written : 0;
    wire [35:0] there = rows[address_b[13:5]] & ~hit | ARBITRARY & hit;

    reg [35:0] out_a = 0, out_b = 0;
    always @(posedge CLKA) begin
        if (CEA & WEA) rows[address_a[13:5]] <= after;
        if (RSTA | CSA2 | CSA1 | CSA0) out_a <= ARBITRARY;
        else if (CEA & (~WEA | WRITEMODE_A != "NORMAL"))
            out_a <= (WRITEMODE_A == "WRITETHROUGH" ? after : before) >> at_a;
    end
    always @(posedge CLKB)
        if (WEB | RSTB | CSB2 | CSB1 | CSB0) out_b <= ARBITRARY;
        else if (CEB) out_b <= there >> at_b;
    assign {@DOB@} = DATA_WIDTH_B == 36 ? out_b[35:18] : out_b;
    assign {@DOA@} = DATA_WIDTH_B == 36 ? out_b : out_a;
endmodule
"""


def _dp16kd() -> str:
    """The model with the names of its pins and of its initial contents."""
    names = [f"INITVAL_{i:02X}" for i in range(64)]
    text = _DP16KD.replace("@PARAMETERS@", ", ".join(f"{name} = 0" for name in names))
    text = text.replace("@CONTENTS@", ", ".join(reversed(names)))
    for pins, count in (("DIA", 18), ("DIB", 18), ("DOA", 18), ("DOB", 18), ("ADA", 14), ("ADB", 14)):
        text = text.replace(f"@{pins}@", ", ".join(f"{pins}{i}" for i in reversed(range(count))))
    return text


#: Verilog in place of Yosys' models, by family.
FAMILIES = {"ice40": _SB_SPRAM256KA, "ecp5": _dp16kd()}


def synthesis_script(netlist: str | None) -> str:
    """Yosys commands that read ``design.il`` and, with ``netlist`` (a family), synthesise it and add the cells' models.

    Raises :class:`UsageError` for a family without models.
    """
    script = "read_rtlil design.il\n"
    if netlist is not None:
        if netlist not in FAMILIES:
            raise UsageError(f"there are no models of the cells of family {netlist!r}; {nearest(netlist, FAMILIES)}")
        # The design is reset, as synthesis leaves the cells in it as black boxes.
        script += (
            f"{FORGET_FIRST_READ}\nsynth_{netlist} -top top\n"
            "select top\nwrite_rtlil -selected netlist.il\ndesign -reset\n"
            f"{LIBRARIES[f'synth_{netlist}'].read}\nread_verilog <<EOT{FAMILIES[netlist]}EOT\n"
            "read_rtlil netlist.il\nhierarchy -top top\nproc\nflatten\nopt -fast -purge\n"
        )
    return script
