"""The host's side of the link to a trainer on a board, or behind any other stream of bytes.

>>> with connect("/dev/ttyUSB1", spec=spec) as device:  # doctest: +SKIP
...     outputs = device.train(x, y)
...     theta = device.read_parameters()

The protocol is :mod:`rdahw.hdl.protocol`, described in ``docs/host-link.md``. A packet is sent again until its answer
comes, before the next one is sent, and the device executes it once: so an example whose result was returned has changed
the weights exactly once. An example of a packet that ended in an error has changed them once or not at all; the count
of examples at the start of the next session (:attr:`Device.found`) says which.

Bits are arrays of 0 and 1, uint8, one row an example, wire 0 first.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows, PackedBits
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.family import Spec
from rdahw.fields import join, size, split
from rdahw.hdl.frontend import Frontend
from rdahw.hdl.interface import Interface
from rdahw.hdl.protocol import (
    COMMANDS,
    CRC_BYTES,
    ERRORS,
    HEADER,
    HEADER_BYTES,
    IDENTITY,
    MAX_PAYLOAD,
    REFUSED,
    REPORT,
    STATE,
    VERSION,
    Deframer,
    Layout,
    frame,
)
from rdahw.hdl.trainer_factory import interfaces
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["BAUD", "ByteStream", "Device", "DeviceEngine", "Identity", "Progress", "SerialPort", "Status", "connect"]

#: Default speed in bits a second; every USB converter and every board's clock supports it.
BAUD = 1_000_000

#: Called with (done, all) after each packet of a longer transfer.
Progress = Callable[[int, int], None]

#: Default time in seconds without a byte from the device after which a packet is sent again.
SILENCE = 0.5

_ADDRESS_BYTES = 4
_MAX_ANSWER = HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES
_REASONS = {error.code: error for error in ERRORS.values()}


class ByteStream(Protocol):
    """Carries bytes to a device and back: a serial port, a socket, a simulation."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self, timeout: float) -> bytes:
        """The bytes received, at least one; none if none arrives within ``timeout`` seconds."""

    def close(self) -> None:
        """Close it. Closing twice does nothing."""


class SerialPort:
    """A serial port, or a URL that pyserial knows (``socket://HOST:PORT``), as a stream of bytes.

    Raises :class:`MissingError` if there is no such port, or no pyserial; :class:`UserError` if it cannot be opened.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        try:
            import serial  # type: ignore[import-untyped]
        except ImportError:
            raise MissingError(
                f"pyserial is not installed, and port {port!r} needs it; python -m pip install pyserial"
            ) from None
        self.name = port
        options = {} if "://" in port else {"exclusive": True}
        try:
            self._port = serial.serial_for_url(port, baudrate=baud, timeout=1, write_timeout=5, **options)
            self._port.reset_input_buffer()
        except (OSError, ValueError) as error:
            self._refuse(error)
        # FTDI's USB converters delay short answers by 16 ms by default.
        with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
            self._port.set_low_latency_mode(True)

    def _refuse(self, error: Exception) -> NoReturn:
        import errno

        number = getattr(error, "errno", None)
        if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "FileNotFoundError" in str(error):
            from serial.tools.list_ports import comports  # type: ignore[import-untyped]

            ports = ", ".join(sorted(port.device for port in comports())) or "none"
            raise MissingError(
                f"there is no device at port {self.name!r}; plug the board in, or choose another port "
                f"(there are: {ports})"
            ) from None
        if number in (errno.EACCES, errno.EPERM):
            hint = "permission denied: add yourself to the group that owns it (on Debian: dialout) and log in again"
        elif number in (errno.EAGAIN, errno.EBUSY):
            hint = "another program uses it: close that one first"
        else:
            hint = "it is no serial port, or it is in use: choose the port of the board"
        raise UserError(f"port {self.name!r} cannot be opened; {hint}") from None

    def write(self, data: bytes) -> None:
        """Send bytes; raises :class:`UserError` if the port is gone."""
        try:
            self._port.write(data)
            self._port.flush()
        except OSError as error:
            self._lost(error)

    def read(self, timeout: float) -> bytes:
        """The bytes received; raises :class:`UserError` if the port is gone."""
        try:
            self._port.timeout = timeout
            data: bytes = self._port.read(1)
            if data and (waiting := self._port.in_waiting):
                data += self._port.read(waiting)
            return data
        except (OSError, TypeError) as error:  # pyserial: TypeError if it is closed by another thread
            self._lost(error)

    def _lost(self, error: Exception) -> NoReturn:
        raise UserError(f"the connection to port {self.name!r} broke ({error}); plug the board in again") from error

    def close(self) -> None:
        """Close the port."""
        self._port.close()


@dataclass(frozen=True, slots=True)
class Identity:
    """A device's description of itself; the fields are those of :data:`rdahw.hdl.protocol.IDENTITY`."""

    version: int
    learns: bool
    batches: bool
    payload: int
    fingerprint: int
    parameter_bits: int
    input_bits: int
    output_bits: int
    word_bits: int

    @property
    def layout(self) -> Layout:
        """The places of the bits in its packets."""
        return Layout(self.parameter_bits, self.input_bits, self.output_bits, self.word_bits, self.payload)


@dataclass(frozen=True, slots=True)
class Status:
    """A device's counts since it was cleared; the fields are those of :data:`rdahw.hdl.protocol.STATE`."""

    batch_open: bool
    example_count: int
    error_count: int


def _compared(identity: Identity, known: Interface) -> Iterator[tuple[str, object, object]]:
    """What must be equal: its name, the device's value and that of ``known``, which takes long for the fingerprint."""
    yield "input bits", identity.input_bits, known.input_bits
    yield "output bits", identity.output_bits, known.output_bits
    yield "parameter bits", identity.parameter_bits, known.parameter_bits
    yield "fingerprint", f"{identity.fingerprint:016x}", f"{known.fingerprint:016x}"
    yield "learns", identity.learns, known.learns


def _read_report(data: bytes) -> tuple[Identity, Status]:
    values = split(REPORT, data)
    flags = {name: bool(values[name]) for name in ("learns", "batches")}
    identity: dict[str, Any] = {f.name: values[f.name] for f in IDENTITY if f.name != "reserved"} | flags
    state = {field.name: values[field.name] for field in STATE}
    return Identity(**identity), Status(bool(state.pop("batch_open")), **state)


class Device:
    """A trainer behind ``stream``; a context manager that opens a session and closes the stream.

    spec: the model that the device must have been made from; ``None``: any device is accepted. frontends: the device
    may take one of these instead of the model's bits.
    timeout: the seconds without a byte after which a packet is sent again (:data:`SILENCE`). attempts: how often a
    packet is sent. draw: gives the number of a new session, 32 bits that no earlier session had.

    Every method raises :class:`UserError` if the device does not answer, or refuses. After an error, or Ctrl-C, the
    next call opens a new session.
    """

    _identity: Identity
    _found: Status
    _interface: Interface | None = None
    _frontends: Sequence[Frontend] = ()

    def __init__(
        self,
        stream: ByteStream,
        spec: Spec | None = None,
        *,
        frontends: Sequence[Frontend] = (),
        timeout: float | None = None,
        attempts: int = 10,
        draw: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self._stream = stream
        self._spec, self._frontends = spec, frontends
        self._timeout = SILENCE if timeout is None else timeout
        self._attempts = attempts
        self._draw = draw
        self._deframer = Deframer(_MAX_ANSWER)
        self._session: int | None = None
        self._sequence = 0
        #: How many packets were sent in all, and how many of them were repetitions.
        self.packets = self.repeats = 0

    def __str__(self) -> str:
        return f"the device at {self._stream.name!r}"

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream. The device keeps its state."""
        self._session = None
        self._stream.close()

    # -- sessions ------------------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Begin a new session: the device no longer executes packets of earlier ones.

        Raises :class:`UserError` if the device uses another version of the protocol, or was made from another model.
        """
        session = self._session = self._draw()
        self._sequence = 0
        report = self._exchange("open")
        self._session = None
        if not report:  # the packet itself, which has the header of its answer
            raise UserError(
                f"port {self._stream.name!r} echoes what is sent, as a loop-back plug does; choose the board's port"
            )
        if report[0] != VERSION:
            raise UserError(
                f"{self} uses version {report[0]} of the link's protocol, and this program version {VERSION}; make and "
                "flash its bitstream again (rdahw synth)"
            )
        if len(report) != size(REPORT):
            raise UserError(f"{self} reports {len(report)} bytes about itself; expected {size(REPORT)}")
        self._identity, self._found = _read_report(report)
        if self._spec is not None:
            self._interface = self._recognise(self._identity, self._spec)
        self._session = session
        return self._identity

    def identify(self) -> Identity:
        """The device's description of itself."""
        self._ensure_open()
        return self._identity

    @property
    def found(self) -> Status:
        """The device's counts when this session was opened."""
        self._ensure_open()
        return self._found

    def _recognise(self, identity: Identity, spec: Spec) -> Interface:
        """The trainer or predictor of ``spec`` that the device is; tried first: that of the session before."""
        message = ""
        for known in chain(filter(None, [self._interface]), interfaces(spec, self._frontends)):
            difference = next((row for row in _compared(identity, known) if row[1] != row[2]), None)
            if difference is None:
                return known
            message = message or "its {}: {}, the model's: {}".format(*difference)
        raise UserError(
            f"{self} is not a trainer of {spec.name!r}: {message}; choose the device's model with its options and "
            "seed, or flash a bitstream made for this one (rdahw synth)"
        )

    def interface(self, spec: Spec) -> Interface:
        """The trainer or predictor that the device is; raises :class:`UserError` if it was not made from ``spec``."""
        if self._spec != spec:
            self._spec, self._interface = spec, None
            self._session = None
        self._ensure_open()
        assert self._interface is not None
        return self._interface

    def _ensure_open(self) -> None:
        if self._session is None:
            self.open()

    def _ensure_learns(self) -> None:
        if not self.identify().learns:
            raise UserError(
                f"{self} is a predictor and does not learn; flash a trainer (rdahw synth without --inference)"
            )

    # -- commands ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The device's counts since it was cleared."""
        return _read_report(self._command("status"))[1]

    def clear(self) -> None:
        """Set the device's parameters, its open batch and its counts to zero."""
        self._ensure_learns()
        self._command("clear")

    def train(self, x: Array, y: Array, last: Array | None = None, progress: Progress | None = None) -> Array:
        """Train on the examples x (N, A) and y (N, B), in order; the predictions (N, B), each from before its update.

        last: (N,), 1 where a batch ends; ``None``: each example is a batch. The next call may continue a batch.
        """
        self._ensure_learns()
        last = np.ones(len(x), np.uint8) if last is None else np.asarray(last, np.uint8)
        if not self.identify().batches and not last.all():
            raise UserError(
                f"{self} does not support batches of several examples; train with --batch 1, or make its bitstream "
                "with batches (rdahw synth --batch)"
            )
        return self._examples("train", x, y, last, progress)

    def predict(self, x: Array, progress: Progress | None = None) -> Array:
        """The predictions (N, B) for x (N, A) with the current parameters, which do not change."""
        zeros = np.zeros((len(x), self.identify().output_bits), np.uint8)
        return self._examples("predict", x, zeros, zeros[:, 0], progress)

    def _examples(self, command: str, x: Array, y: Array, last: Array, progress: Progress | None) -> Array:
        identity = self.identify()
        layout, count = identity.layout, len(x)
        for name, bits, shape in (
            ("x", x, (count, layout.input_bits)),
            ("y", y, (count, layout.output_bits)),
            ("last", last, (count,)),
        ):
            if np.shape(bits) != shape:
                raise UserError(f"{name} has the shape {np.shape(bits)}; the device's examples need {shape}")
        data = layout.pack_examples(x, y, last)
        room = layout.examples_per_packet
        predictions = []
        for start in range(0, count, room):
            rows = data[start : start + room]
            answer = self._command(command, rows.tobytes())
            self._expect(len(answer), len(rows) * layout.result_bytes)
            predictions.append(layout.unpack_results(answer)[0])
            if progress is not None:
                progress(start + len(rows), count)
        return np.concatenate(predictions) if predictions else np.zeros((0, layout.output_bits), np.uint8)

    def read_parameters(self, progress: Progress | None = None) -> Array:
        """The device's parameters, (P,)."""
        identity = self.identify()
        bits = np.frombuffer(self.read_bytes(0, identity.layout.parameter_bytes, progress), np.uint8)
        return np.unpackbits(bits, count=identity.parameter_bits, bitorder="little")

    def read_bytes(self, address: int, total: int, progress: Progress | None = None) -> bytes:
        """``total`` bytes of the parameters from byte ``address`` on."""
        room, data = min(self.identify().payload, MAX_PAYLOAD, 255), b""
        while len(data) < total:
            count = min(total - len(data), room)
            part = self._command("read", (address + len(data)).to_bytes(_ADDRESS_BYTES, "little") + bytes([count]))
            self._expect(len(part), count)
            data += part
            if progress is not None:
                progress(len(data), total)
        return data

    def write_parameters(self, parameters: Array, progress: Progress | None = None) -> None:
        """Set the device's parameters, (P,); its counts and an open batch stay (see :meth:`clear`)."""
        self._ensure_learns()
        identity = self.identify()
        bits = np.asarray(parameters, np.uint8)
        if bits.shape != (identity.parameter_bits,):
            raise UserError(
                f"parameters of shape {bits.shape} were given; the device has {identity.parameter_bits} bits"
            )
        self.write_bytes(0, np.packbits(bits, bitorder="little").tobytes(), progress)

    def write_bytes(self, address: int, data: bytes, progress: Progress | None = None) -> None:
        """Set bytes of the parameters from byte ``address`` on."""
        self._ensure_learns()
        room = min(self.identify().payload, MAX_PAYLOAD) - _ADDRESS_BYTES
        for start in range(0, len(data), room):
            part = data[start : start + room]
            self._command("write", (address + start).to_bytes(_ADDRESS_BYTES, "little") + part)
            if progress is not None:
                progress(start + len(part), len(data))

    # -- packets -------------------------------------------------------------------------------------------------------

    def _command(self, name: str, payload: bytes = b"") -> bytes:
        self._ensure_open()
        return self._exchange(name, payload)

    def _exchange(self, name: str, payload: bytes = b"") -> bytes:
        """Send a packet until it is answered; the answer's payload."""
        session = self._session
        assert session is not None
        # A packet without answer may have been executed, so its number must not be used again: the session ends unless
        # the answer comes.
        self._session = None
        header = join(HEADER, {"code": COMMANDS[name].code, "session": session, "sequence": self._sequence})
        request = frame(header + payload)
        heard = 0
        for attempt in range(self._attempts):
            self.packets += 1
            self.repeats += attempt > 0
            self._stream.write(request)
            answer, count = self._await(header, name)
            heard += count
            if answer is not None:
                self._session, self._sequence = session, (self._sequence + 1) % 256
                return answer
        if heard:
            raise UserError(
                f"{self} sent {heard} bytes and no whole answer to {name!r} in {self._attempts} attempts; check the "
                "speed (--baud), and that a bitstream of rdahw is running"
            )
        raise UserError(
            f"{self} is silent: {self._attempts} attempts at {name!r}, no answer; check the port, the speed (--baud), "
            "and that a bitstream of rdahw is running"
        )

    def _await(self, header: bytes, name: str) -> tuple[bytes | None, int]:
        """The payload of the answer to ``header``, ``None`` to send the packet again; how many bytes were received."""
        self._deframer.reset()
        heard = 0
        # Bounded, as a faulty device may send without end.
        while heard < 8 * _MAX_ANSWER:
            data = self._stream.read(self._timeout)
            if not data:
                break
            heard += len(data)
            for packet in list(self._deframer.feed(data)):
                if packet is None or packet[0] == ERRORS["damaged"].code:
                    return None, heard
                if packet[:HEADER_BYTES] == header:
                    return packet[HEADER_BYTES:], heard
                if packet[0] & REFUSED and packet[1:HEADER_BYTES] == header[1:]:
                    self._refused(packet[0], name)
                # Otherwise a second answer to an earlier packet that was sent twice.
        return None, heard

    def _refused(self, code: int, name: str) -> NoReturn:
        if code == ERRORS["wrong_session"].code:
            raise UserError(
                f"{self} has closed the session: it was reset, or another program has opened one; whether {name!r} was "
                "executed shows in its counts (rdahw device PORT status)"
            )
        reason = _REASONS[code].meaning if code in _REASONS else f"reason {code:#x}"
        raise UserError(f"{self} refused {name!r}: {reason}; make and flash its bitstream again (rdahw synth)")

    def _expect(self, given: int, wanted: int) -> None:
        if given != wanted:
            raise UserError(f"{self} answered with {given} bytes; expected {wanted}")


def connect(port: str, *, baud: int = BAUD, spec: Spec | None = None, **options: Any) -> Device:
    """The device at a serial port, to be used in a ``with`` statement; see :class:`SerialPort` and :class:`Device`."""
    return Device(SerialPort(port, baud), spec, **options)


class DeviceEngine:
    """A device of the model ``spec`` as the engine of a :class:`rdahw.training.Training`.

    Setting the state first clears the device: its counts, and a batch that another program left open. A board that
    trains by itself is paused while its state is read, so that the values belong together, and stays paused after its
    state was set.
    """

    name = "device"
    chunk: int | None = None

    def __init__(self, device: Device, spec: Spec) -> None:
        self.device, self.spec = device, spec
        self._interface = device.interface(spec)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """The device's state; fields that a predictor does not have are as before training."""
        return self.read()

    @state.setter
    def state(self, value: State) -> None:
        self.write(value)

    def read(self, progress: Progress | None = None) -> dict[str, NDArray[Any]]:
        """The state; raises :class:`UserError` if it cannot be read."""
        its = self._interface
        if not its.places:
            raise UserError(
                f"{self.device} has its parameters folded into logic and cannot be read; flash a trainer (rdahw synth "
                "without --inference)"
            )
        with self._paused():
            read = {p.field.name: p.unpack(self.device.read_bytes(p.at, p.size, progress)) for p in its.places}
        return {**self.spec.initial_state(), **read}

    def write(self, state: State, progress: Progress | None = None) -> None:
        """Clear the device, and set the state; fields that have their cleared value are not sent."""
        its = self._interface
        if not its.learns:
            raise UserError(
                f"{self.device} is a predictor whose parameters are fixed in its bitstream; flash one of this model "
                "(rdahw synth --inference), or a trainer (without --inference), whose parameters can be written"
            )
        if its.run is not None:
            self.device.write_bytes(its.run, b"\0")
        self.device.clear()
        for place in its.places:
            value = place.field.check(state[place.field.name])
            cleared = place.field.zero() if place.cleared is None else place.cleared
            if not np.array_equal(value, cleared):
                self.device.write_bytes(place.at, place.pack(value), progress)

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        """Pause a board that trains by itself: within the context it begins no example."""
        run = self._interface.run
        if run is None or self.device.read_bytes(run, 1) == b"\0":
            yield
            return
        self.device.write_bytes(run, b"\0")
        try:
            yield
        finally:
            self.device.write_bytes(run, b"\1")

    def prepare(self, examples: Examples) -> Examples:
        """The examples as they are."""
        return examples

    def train(self, prepared: Examples, batches: Batches) -> Outcome:
        """Apply update after update."""
        ends = batches.ends[:1] if batches.until_change else batches.ends
        rows, its = batches.rows[: ends[-1]], self._interface
        last = np.zeros(len(rows), np.uint8)
        last[ends - 1] = 1
        if its.frontend is None:
            x = self.spec.augment(prepared.x[rows], rows, batches.epoch, len(prepared))
        else:
            x = self._features(its.frontend, prepared.x, rows)
        y = its.encode(prepared.labels[rows])
        outputs = self.device.train(x, y, last)
        wrong = (outputs != y).any(axis=1).astype(np.int64)
        return Outcome(np.add.reduceat(wrong, np.r_[0, ends[:-1]]), None, its.decode(outputs))

    def predict(self, prepared: Examples) -> NDArray[np.int64]:
        """The classes (N,) at the present parameters, -1 for none."""
        return self.classify(prepared.x)

    def classify(self, x: BitRows, progress: Progress | None = None) -> NDArray[np.int64]:
        """The classes (N,) of examples x (N, A)."""
        frontend = self._interface.frontend
        sent = np.asarray(x) if frontend is None else self._features(frontend, x, slice(None))
        return self._interface.decode(self.device.predict(sent, progress))

    def _features(self, frontend: Frontend, x: BitRows, rows: Any) -> Array:
        """What the frontend takes instead of these rows of the examples x (N, A)."""
        if not isinstance(x, PackedBits) or x.source is None:
            raise UsageError(
                f"{self.device} takes {frontend.takes}, and only their bits were given; give rdahw.bits.PackedBits "
                "with the features as their source"
            )
        return frontend.encode(x.source[rows])
