"""Training without a computer: the trainer reads the data set from a flash, epoch after epoch.

After every reset: the flash is woken; the header of the image (:mod:`rdahw.flash_image`) is read and checked against
the trainer's examples; all records are read once and their CRC-32 is checked; then training begins. Epochs in the order
of the data set are checked again while they are read. An image that is known to be damaged is not trained on.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UserError
from rdahw.fields import join
from rdahw.flash_image import CRC_BYTES, HEADER, HEADER_BYTES, MAGIC, VERSION, record_bytes
from rdahw.hdl.flash_reader import ADDRESS_BITS, FlashPins, FlashReader
from rdahw.hdl.flash_records import COUNT_BITS, CheckedOctets, HeaderFields, RecordPlaces
from rdahw.hdl.flash_trainer_registers import REGISTERS, FlashTrainerRegisters, Register, State, flash_trainer_interface
from rdahw.hdl.octet_link import ExampleOctets, link_members
from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.table_words import LABEL_BITS

__all__ = ["REGISTERS", "Register", "FlashTrainer", "State", "expected_header"]

#: The registers that are signals of the same name in :class:`_Shared`.
_REPORTED = ("state", "epoch", "left", "errors", "updates", "right")


def expected_header(spec: Any) -> bytes:
    """The beginning of the header of every image for ``spec``: up to the classes, or for a model of images up to their
    shape."""
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


class FlashTrainer(wiring.Component):  # type: ignore[misc]
    """A trainer with a flash reader.

    trainer: an :class:`rdahw.hdl.memory_trainer.OctetTrainer` without batches; reader: a
    :class:`rdahw.hdl.flash_reader.FlashReader`; both become submodules. base: the address of the image in the flash.
    epochs: how many to train unless the host sets another number; 0: without end. autostart: begin without a command of
    the host.

    examples, results, control: for the host link, as those of every trainer (:mod:`rdahw.hdl.octet_link`).
        After the trainer's parameters, from byte :attr:`registers_address` on, are :data:`REGISTERS`, which are read
        three cycles after their address, and written two cycles after it. ``clear`` clears the trainer and restarts,
        beginning with waking the flash. While the board trains, accesses and examples of the host wait for the end of
        the current example.
    hold : In(1): the host has a request; no further example from the flash is begun.
    state : Out(8): of :class:`State`. failed : Out(1): the state is one of its faults.
    progress : Out(1): toggles after 32,768 training examples.
    outcomes : Out(stream of :func:`rdahw.hdl.memory_trainer.ensemble_result_layout`, always ready): the results of the
        examples from the flash, in order, for simulators.
    flash: the pins of the flash.

    Raises :class:`UserError` for more input bits than a flash image can have.
    """

    def __init__(
        self, trainer: Any, reader: FlashReader, *, base: int, epochs: int = 15, autostart: bool = True
    ) -> None:
        spec = trainer.spec
        if record_bytes(spec.input_bits) >= 1 << 16:
            raise UserError(
                f"an example of {spec.input_bits} bits is too long; a record in flash has at most {(1 << 16) - 1} "
                "bytes: choose fewer inputs"
            )
        self.trainer, self.reader = trainer, reader
        self._base, self._epochs, self._autostart = base, epochs, autostart
        self._records = base + HEADER_BYTES + CRC_BYTES
        self._own_bits = len(trainer.control.parameter_address)
        #: The address of the registers, after the parameters.
        self.registers_address = 1 << self._own_bits
        self.interface = flash_trainer_interface(trainer.interface)
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
        m = Module()
        each = record_bytes(self.trainer.spec.input_bits)
        m.submodules.trainer = self.trainer
        w = _Shared(max(each, HEADER_BYTES + CRC_BYTES))
        m.submodules.reader = ResetInserter(w.restart)(self.reader)
        wiring.connect(m, wiring.flipped(self.flash), self.reader.pins)
        m.submodules.octets = octets = w.octets = CheckedOctets()
        wiring.connect(m, self.reader.octets, octets.octets)
        m.submodules.header = header = w.header = HeaderFields(expected_header(self.trainer.spec), len(w.number))
        m.submodules.places = w.places = RecordPlaces(self._base)
        w.registers = FlashTrainerRegisters(run=self._autostart, epochs=self._epochs)
        m.submodules.registers = registers = w.registers
        m.submodules.host = w.host = ExampleOctets(self.interface.layout.words)
        wiring.connect(m, wiring.flipped(self.examples), w.host.words)

        self._feed(m, w)
        self._results(m, w)
        self._plan(m, w)
        m.d.comb += [
            self.reader.requests.valid.eq(w.ask),
            self.reader.requests.payload.address.eq(w.address),
            self.reader.requests.payload.length.eq(w.length),
            header.number.eq(w.number),
            header.octet.eq(octets.octet),
        ]
        # Registered, as ``number`` is stable for at least a cycle before these are used.
        m.d.sync += [
            w.header_full.eq(w.number == HEADER_BYTES + CRC_BYTES),
            w.header_over.eq(w.header_full),
            w.label_next.eq(w.number == each - 2),
            w.more.eq((registers.epochs == 0) | (w.epoch < registers.epochs)),
        ]
        machine = OneHot(m, "BEGIN", restart=w.restart)
        self._read_header(m, machine, w)
        self._read_part(m, machine, w)
        self._judge(m, machine, w)
        machine.finish()
        self._access(m, w)
        return m

    def _feed(self, m: Module, w: _Shared) -> None:
        """Feed the trainer with bytes of the flash, or between two examples with those of the host."""
        trainer, octets, host = self.trainer, w.octets, w.host
        held, pausing = Signal(), Signal()  # no further example is begun; registered (long path)
        m.d.sync += [held.eq(self.hold), pausing.eq(self.hold | ~w.registers.run)]
        m.d.comb += w.offer.eq(w.wanted & ~w.lent & ~(w.between & pausing))
        # Another register in front of the trainer.
        given, feed = Signal(8), Signal(8, reset_less=True)
        m.d.comb += [
            given.eq(octets.octet),
            trainer.examples.valid.eq(w.waits),
            trainer.examples.payload.eq(feed),
            host.octets.ready.eq(w.lent & ~w.waits),
        ]
        with m.If(w.at_label):
            m.d.comb += given.eq(Cat(octets.octet[:LABEL_BITS], ~w.testing))
        with m.If(w.lent):
            m.d.comb += given.eq(host.octets.payload)
        with m.If(~w.waits):
            m.d.sync += [w.waits.eq(Mux(w.lent, host.octets.valid, octets.take & w.wanted)), feed.eq(given)]
        with m.Elif(trainer.examples.ready):
            m.d.sync += w.waits.eq(0)
        m.d.comb += w.taken_off.eq(octets.take & w.wanted & w.at_label)
        with m.If(octets.take & w.wanted):
            m.d.sync += [w.number.eq(w.number + 1), w.between.eq(0), w.at_label.eq(w.label_next)]
        with m.If(w.taken_off):
            m.d.sync += [w.number.eq(0), w.between.eq(1), w.wanted.eq(~w.last)]
        m.d.sync += [w.counted.eq(w.taken_off), w.last.eq(w.left == 1)]
        with m.If(w.counted):
            m.d.sync += w.left.eq(w.left - 1)
        # With ``hold`` no example is begun, so none begins in the cycle before the trainer is lent.
        m.d.sync += w.lent.eq(held & w.between & ~octets.take & w.landed_all)

    def _results(self, m: Module, w: _Shared) -> None:
        """Route the results of examples from the flash to ``outcomes``, the others to the host."""
        result, ours, landed, hit = self.trainer.results, Signal(), Signal(), Signal()
        prediction = Cat(result.payload.prediction, Const(0, LABEL_BITS))[:LABEL_BITS]
        m.d.comb += [
            ours.eq(w.flying != 0),
            result.ready.eq(ours | self.results.ready),
            landed.eq(result.valid & ours),
            self.results.valid.eq(result.valid & ~ours),
            self.results.payload.prediction.eq(prediction),
            self.results.payload.correct.eq(result.payload.correct),
            self.outcomes.valid.eq(landed),
            self.outcomes.payload.eq(result.payload),
            w.landed_all.eq((w.flying == 0) & ~w.counted),
        ]
        m.d.sync += [w.flying.eq(w.flying + w.counted - landed), hit.eq(landed & w.testing & result.payload.correct)]
        with m.If(hit):
            m.d.sync += w.right.eq(w.right + 1)

    def _plan(self, m: Module, w: _Shared) -> None:
        """Values derived from the header, and the next record of a stride, found while the current one is read."""
        header, places = w.header, w.places
        m.d.comb += [places.train_bytes.eq(header.train_bytes), places.stride_bytes.eq(header.stride_bytes)]
        m.d.sync += [
            w.strided.eq(header.stride != 1),
            w.empty.eq(header.train_examples == 0),
            w.untested.eq(header.test_examples == 0),
            w.train_length.eq(header.train_bytes + CRC_BYTES),
            w.test_length.eq(header.test_bytes + CRC_BYTES),
            w.test_address.eq(w.train_length + self._records),
        ]
        with m.If(self.reader.requests.ready):
            m.d.sync += w.ask.eq(0)
        with m.If(places.found):
            m.d.sync += [w.address.eq(places.address), w.ask.eq(~places.first)]

    def _read_header(self, m: Module, machine: OneHot, w: _Shared) -> None:
        """The states up to a header that was checked against the trainer's examples."""
        octets, header, run = w.octets, w.header, w.registers.run
        with machine.state("BEGIN"):
            m.d.sync += [w.state.eq(State.WAKING), w.address.eq(self._base), w.length.eq(HEADER_BYTES + CRC_BYTES)]
            m.d.sync += [w.between.eq(1), w.at_label.eq(0), w.wanted.eq(0)]
            m.d.sync += [w.number.eq(0), w.feeding.eq(0), w.testing.eq(0), w.ask.eq(run)]
            m.d.sync += [w.epoch.eq(0), w.left.eq(0), w.right.eq(0), w.errors.eq(0), w.updates.eq(0)]
            m.d.comb += [octets.fresh.eq(1), octets.forget.eq(1), w.places.cancel.eq(1)]
            with m.If(run):
                machine.next = "ASK HEADER"

        with machine.state("ASK HEADER"):
            m.d.comb += header.begin.eq(1)
            with m.If(self.reader.failed):
                machine.next = State.NO_FLASH.name
            with m.Elif(self.reader.requests.ready):
                machine.next = "HEADER"

        with machine.state("HEADER"):
            m.d.comb += [octets.due.eq(1), header.taken.eq(octets.take)]
            with m.If(octets.take):
                m.d.sync += w.number.eq(w.number + 1)
            with m.If(w.header_over):
                machine.next = "HEADER OVER"

        machine.wait("HEADER OVER", "JUDGE HEADER")  # until the fields and the checksum are valid

        with machine.state("JUDGE HEADER"):
            m.d.sync += w.number.eq(0)
            machine.next = "PLAN"
            with m.If(~octets.sound):
                machine.next = State.NO_IMAGE.name
            with m.Elif(header.foreign | w.empty):
                machine.next = State.FOREIGN.name

    def _read_part(self, m: Module, machine: OneHot, w: _Shared) -> None:
        """The states that read a part, the training or the test records, with or without the trainer."""
        octets, header, places = w.octets, w.header, w.places
        requests, one_by_one = self.reader.requests, Signal()
        m.d.comb += one_by_one.eq(w.strided & w.feeding & ~w.testing)
        m.d.sync += w.damaged.eq(~octets.sound & ~one_by_one)
        with machine.state("PLAN"):
            m.d.comb += [octets.fresh.eq(1), places.rewind.eq(1)]
            m.d.sync += w.ask.eq(1)
            m.d.sync += [w.address.eq(self._records), w.left.eq(header.train_examples), w.wanted.eq(w.feeding)]
            m.d.sync += [w.length.eq(w.train_length), w.state.eq(State.CHECKING)]
            with m.If(w.feeding):
                m.d.sync += w.state.eq(Mux(w.testing, State.TESTING, State.TRAINING))
            with m.If(one_by_one):
                m.d.sync += w.length.eq(record_bytes(self.trainer.spec.input_bits))
            with m.Elif(w.testing):
                m.d.sync += [
                    w.address.eq(w.test_address),
                    w.length.eq(w.test_length),
                    w.left.eq(header.test_examples),
                    w.right.eq(0),
                ]
            machine.next = "ASK"

        with machine.state("ASK"), m.If(requests.ready):
            m.d.comb += places.step.eq(one_by_one)
            machine.next = "READ"

        with machine.state("READ"):
            m.d.comb += octets.due.eq(~w.wanted | (w.offer & ~w.waits))
            m.d.comb += places.step.eq(w.ask & requests.ready)
            with m.If(self.reader.idle & ~octets.full & ~w.wanted & w.landed_all):
                machine.next = "READ OVER"

        # Until the checksum is valid, and the trainer's counts, within three cycles of its results.
        machine.wait("READ OVER", "COUNTED")
        machine.wait("COUNTED", "PART VALID")
        machine.wait("PART VALID", "JUDGE")

    def _judge(self, m: Module, machine: OneHot, w: _Shared) -> None:
        """The states after a part, and those of a stopped trainer."""
        with machine.state("JUDGE"):
            machine.next = "PLAN"
            with m.If(w.testing | w.untested):
                m.d.sync += [w.testing.eq(0), w.feeding.eq(1)]
                with m.If(w.feeding):
                    m.d.sync += w.epoch.eq(w.epoch + 1)
                machine.next = "FINISHED"
            with m.Else():
                m.d.sync += w.testing.eq(1)
            with m.If(w.feeding & ~w.testing):
                m.d.sync += [w.errors.eq(self.trainer.control.error_count), w.updates.eq(self.trainer.update_count)]
            with m.If(w.damaged):
                machine.next = State.DAMAGED.name
                with m.If(w.feeding & ~w.testing):
                    machine.next = State.SPOILED.name

        wait = Signal()  # until ``more`` is that of the new epoch
        with machine.state("FINISHED"):
            m.d.sync += wait.eq(~wait)
            with m.If(wait & w.more):
                machine.next = "PLAN"
            with m.Elif(wait):
                m.d.sync += w.state.eq(State.DONE)

        for why in (why for why in State if why >= State.NO_FLASH):
            with machine.state(why.name):
                m.d.sync += w.state.eq(why)

    def _access(self, m: Module, w: _Shared) -> None:
        """The host's access: to the trainer while it is lent, to the registers at any time."""
        control, theirs = self.control, self.trainer.control
        header, registers, host = w.header, w.registers, w.host
        own, ready, changed = control.parameter_address[self._own_bits], Signal(), Signal()
        # Only the host's own access can make a lent and ready trainer busy.
        m.d.sync += ready.eq(w.lent & theirs.ready & ~theirs.parameter_write_enable & ~theirs.clear)
        m.d.comb += [
            theirs.parameter_address.eq(control.parameter_address[: self._own_bits]),
            theirs.parameter_write.eq(control.parameter_write),
            theirs.parameter_write_enable.eq(control.parameter_write_enable & ~own & ready),
            theirs.clear.eq(control.clear & ready),
            control.ready.eq((own & ~control.clear) | ready),
            control.example_count.eq(theirs.example_count),
            control.error_count.eq(theirs.error_count),
        ]
        m.d.sync += w.restart.eq(control.clear & control.ready)  # registered: while it is lent, the flash is idle
        learned = host.octets.valid & host.octets.ready & ~host.words.ready & host.words.payload.learn
        with m.If(w.restart):
            m.d.sync += [changed.eq(0), w.flying.eq(0)]
        with m.Elif(theirs.parameter_write_enable | learned):
            m.d.sync += changed.eq(1)
        m.d.comb += [
            registers.address.eq(control.parameter_address),
            registers.write.eq(control.parameter_write),
            registers.write_enable.eq(control.parameter_write_enable & own & ~control.clear),
            registers.changed.eq(changed),
            registers.train_examples.eq(header.train_examples),
            registers.test_examples.eq(header.test_examples),
            *(getattr(registers, name).eq(getattr(w, name)) for name in _REPORTED),
            control.parameter_read.eq(Mux(own, registers.read, theirs.parameter_read)),
            self.state.eq(w.state),
            self.failed.eq(w.state >= State.NO_FLASH),
            self.progress.eq(theirs.example_count[15]),
        ]


class _Shared:
    """The parts of a :class:`FlashTrainer`, and the signals that its methods share.

    restart: begin again with waking the flash. state: the state reported to the host.
    epoch, left, right, errors, updates: the registers of these names, set by the state ``BEGIN``.
    ask, address, length: request the next read, of these bytes.
    testing, feeding: the records are test records; they are fed to the trainer. damaged: a part's checksum is wrong.
    number: of the next byte, in the header or in its record. header_full: the header is complete; header_over: a cycle
    later.
    between, at_label, label_next: the byte is the first of a record, its last, its last but one.
    wanted, offer: the byte is for the trainer; it may be given now. waits: a byte waits for the trainer.
    left, last: records left in this part; one is left. taken_off: a record's last byte is taken; counted: a cycle
    later. flying: examples of the flash without a result, at most three; landed_all: none. lent: the host uses the
    trainer.
    strided, empty, untested, train_length, test_length, test_address: of the image. more: epochs are left.
    """

    octets: CheckedOctets
    header: HeaderFields
    places: RecordPlaces
    registers: FlashTrainerRegisters
    host: ExampleOctets

    def __init__(self, last_number: int) -> None:
        self.restart = Signal()
        self.state = Signal(State)
        # What ``BEGIN`` sets needs no reset.
        self.epoch = Signal(16, reset_less=True)
        self.left = Signal(COUNT_BITS, reset_less=True)
        self.right = Signal(COUNT_BITS, reset_less=True)
        self.errors = Signal(32, reset_less=True)
        self.updates = Signal(32, reset_less=True)
        self.ask = Signal()
        self.address = Signal(ADDRESS_BITS, reset_less=True)
        self.length = Signal(ADDRESS_BITS, reset_less=True)
        self.testing = Signal()
        self.feeding = Signal()
        self.damaged = Signal()
        self.number = Signal(range(last_number + 1))
        self.header_full = Signal()
        self.header_over = Signal()
        self.between = Signal()
        self.at_label = Signal()
        self.label_next = Signal()
        self.wanted = Signal()
        self.offer = Signal()
        self.waits = Signal()
        self.last = Signal()
        self.taken_off = Signal()
        self.counted = Signal()
        self.flying = Signal(2)
        self.landed_all = Signal()
        self.lent = Signal()
        self.strided = Signal()
        self.empty = Signal()
        self.untested = Signal()
        self.train_length = Signal(ADDRESS_BITS)
        self.test_length = Signal(ADDRESS_BITS)
        self.test_address = Signal(ADDRESS_BITS)
        self.more = Signal()
