"""Training without a computer: a flash holds the data set, and the trainer goes through it epoch after epoch.

The order of things, after every reset: the flash is woken; the header of the image (:mod:`rdahw.flash_image`) is read,
and must be whole and of examples as the trainer's; then all records are read once, and their CRC-32 must hold; only
then does training begin. In the order of the data set every epoch is checked again as it goes by. Nothing is trained on
from an image that is known to be damaged.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import crc, memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.errors import UserError
from rdahw.fields import join, offset, size
from rdahw.flash_image import CRC_BYTES, HEADER, HEADER_BYTES, MAGIC, VERSION, record_bytes
from rdahw.hdl.flash_reader import ADDRESS_BITS, FlashPins, FlashReader
from rdahw.hdl.interface import Interface
from rdahw.hdl.octet_link import ExampleOctets, link_members
from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.table_words import LABEL_BITS, settings_address, table_interface

__all__ = ["REGISTERS", "Register", "SelfTrainer", "State", "expected_header", "self_interface"]

_COUNT_BITS = 24


class State(enum.IntEnum):
    """What a self trainer is at; from ``NO_FLASH`` on it has stopped for a reason, and only a reset or ``clear`` makes
    it try again."""

    WAKING = 0  # the flash, and the header is read
    CHECKING = 1  # the CRC-32 of all records
    TRAINING = 2
    TESTING = 3  # the test records after an epoch
    DONE = 4  # all epochs that were asked for
    NO_FLASH = 8  # the part does not let four data lines be used
    NO_IMAGE = 9  # the header is damaged, or there is none
    FOREIGN = 10  # a whole image, of other examples than the trainer's
    DAMAGED = 11  # records whose CRC-32 does not hold; nothing was trained on
    SPOILED = 12  # the same, found in an epoch: the tables have learned from damaged records


class Register(NamedTuple):
    """A number that the host reads or writes behind the trainer's parameters: name, bytes, writable, meaning."""

    name: str
    bytes: int
    writable: bool
    meaning: str


#: The registers of a self trainer, from byte :attr:`SelfTrainer.registers_address` of the parameters on.
REGISTERS = (
    Register("state", 1, False, "a number of the table of states"),
    Register("run", 1, True, "1: go on; 0: stop before the next example"),
    Register("changed", 1, False, "1: the host has trained, or written parameters, since the training began"),
    Register("reserved", 1, False, "0"),
    Register("epochs", 2, True, "how many epochs to train; 0: without an end"),
    Register("epoch", 2, False, "how many are finished; it wraps"),
    Register("left", 4, False, "records that are still to come in this epoch or test"),
    Register("errors", 4, False, "wrong predictions while training, from the start to the end of the last epoch"),
    Register("updates", 4, False, "examples that changed counters, from the start to the end of the last epoch"),
    Register("right", 4, False, "right predictions of the last test"),
    Register("train_examples", 4, False, "training records of the image"),
    Register("test_examples", 4, False, "test records of the image"),
)
_REGISTER_BYTES = 64
assert size(REGISTERS) <= _REGISTER_BYTES


def expected_header(spec: EnsembleSpec) -> bytes:
    """The beginning of the header of every image that is for ``spec``: up to the classes, and for a model of images up
    to their form."""
    planes, height, width = spec.image or (0, 0, 0)
    values = {
        "version": VERSION,
        "record_bytes": record_bytes(spec.input_bits),
        "input_bits": spec.input_bits,
        "classes": spec.classes,
    }
    if spec.image is not None:
        values |= {"planes": planes, "height": height, "width": width}
    return MAGIC + join(HEADER[: len(values)], values)


def self_interface(spec: EnsembleSpec) -> Interface:
    """That of a board that trains by itself: behind the trainer's own parameters it has registers."""
    registers = 2 * settings_address(spec)
    run = registers + offset(REGISTERS, "run")
    return table_interface(spec, registers + _REGISTER_BYTES, learns=True, run=run)


def _in_header(name: str) -> int:
    """The place of a field's first byte."""
    return len(MAGIC) + offset(HEADER, name)


class SelfTrainer(wiring.Component):  # type: ignore[misc]
    """A trainer, a flash reader, and what goes between them.

    trainer: a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`, which becomes a submodule. reader: a
    :class:`rdahw.hdl.flash_reader.FlashReader`, likewise. base: the address of the image in the flash. epochs: how many
    to train unless the host asks for others; 0: without an end. autostart: whether to begin without being asked to.

    examples, results, control: for the host link, as those of every trainer (:mod:`rdahw.hdl.octet_link`).
        Behind the trainer's own parameters, from byte :attr:`registers_address` on, are :data:`REGISTERS`, which are
        read three cycles after their address was given, and written two cycles after. ``clear`` clears the trainer and
        begins anew, from waking the flash on. While the board trains, ``ready`` and examples have to wait for the end
        of an example, and with ``hold`` no further one is begun.
    hold : In(1): the host is at work.
    state : Out(8): of :class:`State`. failed : Out(1): it is one of those that stop.
    progress : Out(1): changes every 32,768 examples that were trained on.
    outcomes : Out(stream of :func:`rdahw.hdl.memory_trainer.ensemble_result_layout`, always ready): the results of the
        examples from the flash, in their order, for simulators.
    flash: the pins of the flash.

    Raises :class:`UserError` for more input bits than a flash image can have.
    """

    def __init__(
        self, trainer: Any, reader: FlashReader, *, base: int, epochs: int = 15, autostart: bool = True
    ) -> None:
        spec: EnsembleSpec = trainer.spec
        if record_bytes(spec.input_bits) >= 1 << 16:
            raise UserError(
                f"examples of {spec.input_bits} bits were asked for; a record in flash has at most {(1 << 16) - 1} "
                "bytes: choose fewer inputs"
            )
        self.trainer, self.reader = trainer, reader
        self._base, self._epochs, self._autostart = base, epochs, autostart
        self._own_bits = len(trainer.control.parameter_address)
        #: Where the registers are behind the parameters.
        self.registers_address = 1 << self._own_bits
        self.interface = self_interface(spec)
        super().__init__(
            {
                **link_members(self.interface.parameter_bits),
                "hold": In(1),
                "state": Out(8),
                "failed": Out(1),
                "progress": Out(1),
                "outcomes": Out(stream.Signature(trainer.results.payload.shape(), always_ready=True)),
                "flash": Out(FlashPins()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """The logic, as Amaranth asks for it."""
        m = Module()
        spec, control = self.trainer.spec, self.control
        m.submodules.trainer = trainer = self.trainer
        restart = Signal()
        reader = self.reader
        m.submodules.reader = ResetInserter(restart)(reader)
        wiring.connect(m, wiring.flipped(self.flash), reader.pins)
        each = record_bytes(spec.input_bits)

        # -- the image, and how far the training is
        image = {name: Signal(_COUNT_BITS, name=name, reset_less=True) for name in _FROM_HEADER}
        strided, empty, untested = Signal(), Signal(), Signal()
        state = Signal(State)
        run, changed = Signal(init=self._autostart), Signal()
        epochs, more = Signal(16, init=self._epochs), Signal()
        # What ``BEGIN`` sets needs no reset.
        epoch, left, right, errors, updates = (
            Signal(width, name=name, reset_less=True)
            for name, width in (
                ("epoch", 16),
                ("left", _COUNT_BITS),
                ("right", _COUNT_BITS),
                ("errors", 32),
                ("updates", 32),
            )
        )
        m.d.sync += [
            strided.eq(image["stride"] != 1),
            empty.eq(image["train_examples"] == 0),
            untested.eq(image["test_examples"] == 0),
        ]
        m.d.sync += [more.eq((epochs == 0) | (epoch < epochs))]

        # -- reading: what to read next, and its checksum
        address, length = Signal(ADDRESS_BITS, reset_less=True), Signal(ADDRESS_BITS, reset_less=True)
        ask = Signal()
        m.d.comb += [
            reader.requests.valid.eq(ask),
            reader.requests.payload.address.eq(address),
            reader.requests.payload.length.eq(length),
        ]
        # A byte rests in a register, so that who wants it and who has it to give are not in one path; in the cycle
        # after it is ``due`` it is taken. That makes three cycles a byte, of which the flash gives one in four.
        octet, full, came = Signal(8, reset_less=True), Signal(), Signal()
        due, take = Signal(), Signal()
        m.d.sync += take.eq(full & due & ~take)
        check, fresh, sound = crc.catalog.CRC32_ISO_HDLC(8).create(), Signal(), Signal()
        m.submodules.crc = ResetInserter(fresh)(check)
        m.d.comb += [reader.octets.ready.eq(~full), check.valid.eq(came), check.data.eq(octet)]
        m.d.sync += [came.eq(reader.octets.valid & ~full), sound.eq(check.match_detected)]
        with m.If(take):
            m.d.sync += full.eq(0)
        with m.Elif(reader.octets.valid & ~full):
            m.d.sync += [full.eq(1), octet.eq(reader.octets.payload)]

        # -- the trainer's bytes: those of the flash, or between two examples of it those of the host
        testing, feeding = Signal(), Signal()  # the test records; the trainer gets them
        number = Signal(range(max(each, HEADER_BYTES + CRC_BYTES) + 1))
        flying, lent = Signal(3), Signal()  # examples of the flash whose results are to come; the host has the trainer
        between, at_label, wanted, offer = Signal(), Signal(), Signal(), Signal()
        last, taken_off = Signal(), Signal()  # this record is the last one; its last byte is taken
        m.submodules.octets = host = ExampleOctets(self.interface.layout.words)
        wiring.connect(m, wiring.flipped(self.examples), host.words)
        held, pausing = Signal(), Signal()  # no further example is begun; that comes from afar, so through registers
        m.d.sync += [held.eq(self.hold), pausing.eq(self.hold | ~run)]
        m.d.comb += offer.eq(wanted & ~lent & ~(between & pausing))
        # Before the trainer a byte rests once more.
        given, waits, feed = Signal(8), Signal(), Signal(8, reset_less=True)
        m.d.comb += [
            given.eq(octet),
            trainer.examples.valid.eq(waits),
            trainer.examples.payload.eq(feed),
            host.octets.ready.eq(lent & ~waits),
        ]
        with m.If(at_label):
            m.d.comb += given.eq(Cat(octet[:LABEL_BITS], ~testing))
        with m.If(lent):
            m.d.comb += given.eq(host.octets.payload)
        with m.If(~waits):
            m.d.sync += [waits.eq(Mux(lent, host.octets.valid, take & wanted)), feed.eq(given)]
        with m.Elif(trainer.examples.ready):
            m.d.sync += waits.eq(0)
        counted, landed_all = Signal(), Signal()  # a record was taken off in the cycle before; none is flying
        m.d.sync += [counted.eq(taken_off), last.eq(left == 1)]
        with m.If(counted):
            m.d.sync += left.eq(left - 1)
        # With ``hold`` no example is begun, so none begins in the cycle before the trainer is lent.
        m.d.sync += lent.eq(held & between & ~take & landed_all)

        # -- results
        result, ours, landed, hit = trainer.results, Signal(), Signal(), Signal()
        prediction = Cat(result.payload.prediction, Const(0, LABEL_BITS))[:LABEL_BITS]
        m.d.comb += [
            ours.eq(flying != 0),
            result.ready.eq(ours | self.results.ready),
            landed.eq(result.valid & ours),
            taken_off.eq(take & wanted & at_label),
            self.results.valid.eq(result.valid & ~ours),
            self.results.payload.prediction.eq(prediction),
            self.results.payload.correct.eq(result.payload.correct),
            self.outcomes.valid.eq(landed),
            self.outcomes.payload.eq(result.payload),
        ]
        m.d.comb += landed_all.eq((flying == 0) & ~counted)
        m.d.sync += [flying.eq(flying + counted - landed), hit.eq(landed & testing & result.payload.correct)]
        with m.If(hit):
            m.d.sync += right.eq(right + 1)

        # -- the next record of a stride, while one is read: (place + stride) mod all, in steps
        place, total = Signal(_COUNT_BITS, reset_less=True), Signal(_COUNT_BITS + 1, reset_less=True)
        following = Signal(5)
        here = self._base + HEADER_BYTES + CRC_BYTES
        # One sum between two registers, as each takes half of the time that there is.
        wrapped, place_address = Signal(_COUNT_BITS + 1), Signal(ADDRESS_BITS)
        train_length, test_length, test_address = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        m.d.sync += [
            following.eq(following << 1),
            wrapped.eq(total - image["train_bytes"]),
            place_address.eq(place + here),
            train_length.eq(image["train_bytes"] + CRC_BYTES),
            test_length.eq(image["test_bytes"] + CRC_BYTES),
            test_address.eq(train_length + here),
        ]
        with m.If(following[0]):
            m.d.sync += total.eq(place + image["stride_bytes"])
        with m.If(following[2]):
            m.d.sync += place.eq(Mux(wrapped[-1], total, wrapped))
        with m.If(following[4]):
            m.d.sync += [address.eq(place_address), ask.eq(place != 0)]

        # A byte is compared while it rests.
        foreign, other = Signal(), Signal()
        due_byte, matters, kept = _header_plan(m, number, expected_header(spec))
        m.d.sync += other.eq(matters & (octet != due_byte))
        # It is kept a cycle after it was taken, when ``octet`` still is what it was.
        keep = Signal()
        m.d.sync += keep.eq(0)
        for which, (name, i) in enumerate(_KEPT, 1):
            with m.If(keep & (kept == which)):
                m.d.sync += image[name][8 * i : 8 * i + 8].eq(octet)
        # ``number`` stays for a cycle and more before anybody asks.
        header_over, label_next = Signal(), Signal()
        m.d.sync += [header_over.eq(number == HEADER_BYTES + CRC_BYTES), label_next.eq(number == each - 2)]
        quiet = Signal(2)
        machine = OneHot(m, "BEGIN")
        restart_if_asked = _Restart(m, machine, restart)
        with restart_if_asked.state("BEGIN"):
            m.d.sync += [state.eq(State.WAKING), address.eq(self._base), length.eq(HEADER_BYTES + CRC_BYTES)]
            m.d.sync += [between.eq(1), at_label.eq(0), wanted.eq(0), full.eq(0), came.eq(0)]
            m.d.sync += [number.eq(0), feeding.eq(0), testing.eq(0), ask.eq(run), following.eq(0), quiet.eq(0)]
            m.d.sync += [epoch.eq(0), left.eq(0), right.eq(0), errors.eq(0), updates.eq(0)]
            m.d.comb += fresh.eq(1)
            with m.If(run):
                machine.next = "ASK HEADER"

        with restart_if_asked.state("ASK HEADER"):
            m.d.sync += foreign.eq(0)
            with m.If(reader.failed):
                machine.next = State.NO_FLASH.name
            with m.Elif(reader.requests.ready):
                m.d.sync += ask.eq(0)
                machine.next = "HEADER"

        with restart_if_asked.state("HEADER"):
            m.d.comb += due.eq(1)
            with m.If(take):
                m.d.sync += [number.eq(number + 1), keep.eq(1)]
                with m.If(other):
                    m.d.sync += foreign.eq(1)
            with m.If(header_over):
                m.d.sync += quiet.eq(quiet + 1)
                with m.If(quiet.all()):
                    m.d.sync += number.eq(0)
                    machine.next = "PLAN"
                    with m.If(~sound):
                        machine.next = State.NO_IMAGE.name
                    with m.Elif(foreign | empty):
                        machine.next = State.FOREIGN.name

        # A part: the training or the test records, with or without the trainer.
        one_by_one, damaged = Signal(), Signal()
        m.d.comb += one_by_one.eq(strided & feeding & ~testing)
        m.d.sync += damaged.eq(~sound & ~one_by_one)
        with restart_if_asked.state("PLAN"):
            m.d.comb += fresh.eq(1)
            m.d.sync += ask.eq(1)
            m.d.sync += [address.eq(here), left.eq(image["train_examples"]), place.eq(0), wanted.eq(feeding)]
            m.d.sync += [length.eq(train_length), state.eq(State.CHECKING)]
            with m.If(feeding):
                m.d.sync += state.eq(Mux(testing, State.TESTING, State.TRAINING))
            with m.If(one_by_one):
                m.d.sync += length.eq(each)
            with m.Elif(testing):
                m.d.sync += [
                    address.eq(test_address),
                    length.eq(test_length),
                    left.eq(image["test_examples"]),
                    right.eq(0),
                ]
            machine.next = "ASK"

        with restart_if_asked.state("ASK"):
            m.d.sync += quiet.eq(0)
            with m.If(reader.requests.ready):
                m.d.sync += [ask.eq(0), following.eq(one_by_one)]
                machine.next = "READ"

        with restart_if_asked.state("READ"):
            m.d.comb += due.eq(~wanted | (offer & ~waits))
            with m.If(ask & reader.requests.ready):
                m.d.sync += [ask.eq(0), following.eq(1)]
            with m.If(take & wanted):
                m.d.sync += [number.eq(number + 1), between.eq(0), at_label.eq(label_next)]
                with m.If(at_label):
                    m.d.sync += [number.eq(0), between.eq(1), wanted.eq(~last)]
            # The trainer's counts follow its results within three cycles.
            with m.If(reader.idle & ~full & ~wanted & landed_all):
                m.d.sync += quiet.eq(quiet + 1)
                with m.If(quiet.all()):
                    machine.next = "JUDGE"

        with restart_if_asked.state("JUDGE"):
            machine.next = "PLAN"
            with m.If(testing | untested):
                m.d.sync += [testing.eq(0), feeding.eq(1)]
                with m.If(feeding):
                    m.d.sync += epoch.eq(epoch + 1)
                machine.next = "FINISHED"
            with m.Else():
                m.d.sync += testing.eq(1)
            with m.If(feeding & ~testing):
                m.d.sync += [errors.eq(trainer.control.error_count), updates.eq(trainer.update_count)]
            with m.If(damaged):
                machine.next = State.DAMAGED.name
                with m.If(feeding & ~testing):
                    machine.next = State.SPOILED.name

        wait = Signal()  # until ``more`` is of the new epoch
        with restart_if_asked.state("FINISHED"):
            m.d.sync += wait.eq(~wait)
            with m.If(wait & more):
                machine.next = "PLAN"
            with m.Elif(wait):
                m.d.sync += state.eq(State.DONE)

        for why in (why for why in State if why >= State.NO_FLASH):
            with restart_if_asked.state(why.name):
                m.d.sync += state.eq(why)
        machine.finish()

        # -- the host's access: the trainer's while it has the trainer, the registers at any time
        own = control.parameter_address[self._own_bits]
        theirs = trainer.control
        # Nothing but the host's own access can make a trainer that is lent and ready busy.
        ready = Signal()
        m.d.sync += ready.eq(lent & theirs.ready & ~theirs.parameter_write_enable & ~theirs.clear)
        m.d.comb += [
            theirs.parameter_address.eq(control.parameter_address[: self._own_bits]),
            theirs.parameter_write.eq(control.parameter_write),
            theirs.parameter_write_enable.eq(control.parameter_write_enable & ~own & ready),
            theirs.clear.eq(control.clear & ready),
            control.ready.eq((own & ~control.clear) | ready),
            control.example_count.eq(theirs.example_count),
            control.error_count.eq(theirs.error_count),
        ]
        m.d.sync += restart.eq(control.clear & control.ready)  # nothing of the flash comes in between, as it is lent
        learned = host.octets.valid & host.octets.ready & ~host.words.ready & host.words.payload.learn
        with m.If(restart):
            m.d.sync += [changed.eq(0), flying.eq(0)]
        with m.Elif(theirs.parameter_write_enable | learned):
            m.d.sync += changed.eq(1)
        values = {
            "state": state,
            "run": run,
            "changed": changed,
            "reserved": Const(0),
            "epochs": epochs,
            "epoch": epoch,
            "left": left,
            "errors": errors,
            "updates": updates,
            "right": right,
            "train_examples": image["train_examples"],
            "test_examples": image["test_examples"],
        }
        # Through registers: the address and its data come from afar.
        own_number, own_data, own_write, write_data = Signal(6), Signal(8), Signal(), Signal(8)
        m.d.sync += [
            own_number.eq(control.parameter_address),
            own_write.eq(control.parameter_write_enable & own & ~control.clear),
            write_data.eq(control.parameter_write),
        ]
        octets: list[Any] = []
        for register in REGISTERS:
            value = Cat(values[register.name], Const(0, 32))
            for i in range(register.bytes):
                if register.writable:
                    with m.If(own_write & (own_number == len(octets))):
                        m.d.sync += values[register.name][8 * i : 8 * i + 8].eq(write_data)
                octets.append(value[8 * i : 8 * i + 8])
        groups = []
        for i in range(0, len(octets), 8):
            groups.append(Signal(8, name=f"registers{i}"))
            m.d.sync += groups[-1].eq(Array(octets[i : i + 8])[own_number[:3]])
        m.d.sync += own_data.eq(Array(groups)[own_number[3:]])
        m.d.comb += [
            control.parameter_read.eq(Mux(own, own_data, theirs.parameter_read)),
            self.state.eq(state),
            self.failed.eq(state >= State.NO_FLASH),
            self.progress.eq(theirs.example_count[15]),
        ]
        return m


#: What is kept of the header, the lower three bytes of each: an image has fewer bytes than 24 bits count.
_FROM_HEADER = ("train_examples", "train_bytes", "test_examples", "test_bytes", "stride", "stride_bytes")
#: The bytes of those fields: name, and which byte of it.
_KEPT = tuple((name, i) for name in _FROM_HEADER for i in range(3))


def _header_plan(m: Module, number: Any, expected: bytes) -> tuple[Any, Any, Any]:
    """What byte ``number`` of the header must be, whether it matters, and which of :data:`_KEPT` it is (from 1 on; 0:
    none), a cycle later.
    """
    known = dict(enumerate(expected)) | {_in_header(name) + 3: 0 for name in _FROM_HEADER}
    kept = {_in_header(name) + i: which for which, (name, i) in enumerate(_KEPT, 1)}
    words = [known.get(k, 0) | (k in known) << 8 | kept.get(k, 0) << 9 for k in range(max(max(known), max(kept)) + 1)]
    m.submodules.header = plan = memory.Memory(shape=9 + len(_KEPT).bit_length(), depth=1 << len(number), init=words)
    word = plan.read_port()
    m.d.comb += word.addr.eq(number)
    return word.data[:8], word.data[8], word.data[9:]


class _Restart:
    """States of a machine that all go to ``BEGIN`` when ``asked``."""

    def __init__(self, m: Module, machine: OneHot, asked: Any) -> None:
        self._m, self._machine, self._asked = m, machine, asked

    @contextmanager
    def state(self, name: str) -> Iterator[None]:
        """One of them."""
        with self._machine.state(name):
            yield
            with self._m.If(self._asked):
                self._machine.next = "BEGIN"
