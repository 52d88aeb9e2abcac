"""The host's end of the link to a trainer on a board, or behind any other stream of bytes.

>>> with connect("/dev/ttyUSB1", learner=learner) as device:  # doctest: +SKIP
...     outputs = device.train(x, y)
...     theta = device.read_parameters()

The protocol is :mod:`rdahw.hdl.protocol`, described in ``docs/host-link.md``. One packet is under way at a time. It is
sent again until its answer comes, and the device executes it once: so an example whose result was returned has changed
the weights exactly once. An example of a packet that ended in an error has changed them once or not at all; the count
of examples that the next session begins with (:attr:`Device.found`) says which.

Bits are arrays of 0 and 1, uint8, one row an example, wire 0 first.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

import numpy as np

from rdahw.errors import MissingError, UserError
from rdahw.fields import join, size, split
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
    fingerprint,
    frame,
)
from rdahw.learner import Learner
from rdahw.primitives import Array

__all__ = ["BAUD", "ByteStream", "Device", "DeviceEngine", "Identity", "Progress", "SerialPort", "Status", "connect"]

#: Bits a second, unless others are asked for: every USB converter and every board's clock makes it.
BAUD = 1_000_000

#: Called with (done, all) after each packet of a longer transfer.
Progress = Callable[[int, int], None]

#: For how many seconds a device may be silent before a packet is sent again, unless others are asked for.
SILENCE = 0.5

_ADDRESS_BYTES = 4
_MAX_ANSWER = HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES
_REASONS = {error.code: error for error in ERRORS.values()}


class ByteStream(Protocol):
    """What carries bytes to a device and back: a serial port, a socket, a simulation."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self, timeout: float) -> bytes:
        """The bytes that have come, at least one; none if none comes for ``timeout`` seconds."""

    def close(self) -> None:
        """Let go of it. Closing twice does nothing."""


class SerialPort:
    """A serial port, or a URL that pyserial knows (``socket://HOST:PORT``), as a stream of bytes.

    Raises :class:`MissingError` if there is no such port, or no pyserial; :class:`UserError` if it cannot be used.
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
        # USB converters of FTDI hold back short answers for 16 ms unless told otherwise.
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
            hint = "you may not use it: add yourself to the group that owns it (on Debian: dialout) and log in again"
        elif number in (errno.EAGAIN, errno.EBUSY):
            hint = "another program uses it: close that one first"
        else:
            hint = str(error)
        raise UserError(f"port {self.name!r} cannot be opened; {hint}") from None

    def write(self, data: bytes) -> None:
        """Send bytes; raises :class:`UserError` if the port is gone."""
        try:
            self._port.write(data)
            self._port.flush()
        except OSError as error:
            self._lost(error)

    def read(self, timeout: float) -> bytes:
        """The bytes that have come; raises :class:`UserError` if the port is gone."""
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
    """What a device is; the fields are those of :data:`rdahw.hdl.protocol.IDENTITY`."""

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
        """Where the bits are in its packets."""
        return Layout(self.parameter_bits, self.input_bits, self.output_bits, self.word_bits)


@dataclass(frozen=True, slots=True)
class Status:
    """What a device has done since it was cleared; the fields are those of :data:`rdahw.hdl.protocol.STATE`."""

    batch_open: bool
    example_count: int
    error_count: int


def _read_report(data: bytes) -> tuple[Identity, Status]:
    values = split(REPORT, data)
    flags = {name: bool(values[name]) for name in ("learns", "batches")}
    identity: dict[str, Any] = {f.name: values[f.name] for f in IDENTITY if f.name != "reserved"} | flags
    state = {field.name: values[field.name] for field in STATE}
    return Identity(**identity), Status(bool(state.pop("batch_open")), **state)


class Device:
    """A trainer behind ``stream``; a context manager that opens a session and closes the stream.

    learner: what the device must have been made from; without it any device will do.
    timeout: for how many seconds the device may be silent before a packet is sent again (:data:`SILENCE`). attempts:
    how often a packet is sent. draw: gives the number of a new session, 32 bits that no earlier session had.

    Every method raises :class:`UserError` if the device does not answer, or refuses. After an error, or Ctrl-C, the
    next call opens a new session.
    """

    def __init__(
        self,
        stream: ByteStream,
        learner: Learner | None = None,
        *,
        timeout: float | None = None,
        attempts: int = 10,
        draw: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self._stream = stream
        self._learner = learner
        self._timeout = SILENCE if timeout is None else timeout
        self._attempts = attempts
        self._draw = draw
        self._deframer = Deframer(_MAX_ANSWER)
        self._session: int | None = None
        self._sequence = 0
        self._identity: Identity | None = None
        self._found: Status | None = None
        #: How many packets were sent, and how many of them again.
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
        """Close the stream. What the device has learned stays on it."""
        self._session = None
        self._stream.close()

    # -- sessions ------------------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Begin a new session: packets of earlier ones, still on their way or not, are no longer executed.

        Raises :class:`UserError` if the device speaks another version of the protocol, or is of another learner.
        """
        session = self._session = self._draw()
        self._sequence = 0
        report = self._exchange("open")
        self._session = None
        if report[:1] != bytes([VERSION]):
            raise UserError(
                f"{self} speaks version {report[0] if report else '?'} of the link's protocol, and this program speaks "
                f"version {VERSION}; make and flash its bitstream anew (rdahw synth)"
            )
        if len(report) != size(REPORT):
            raise UserError(f"{self} reports {len(report)} bytes about itself; expected {size(REPORT)}")
        self._identity, self._found = _read_report(report)
        if self._learner is not None:
            self._check(self._identity, self._learner)
        self._session = session
        return self._identity

    def identify(self) -> Identity:
        """What the device is."""
        self._ensure_open()
        assert self._identity is not None
        return self._identity

    @property
    def found(self) -> Status:
        """What the device had done when this session was opened."""
        self._ensure_open()
        assert self._found is not None
        return self._found

    def _check(self, identity: Identity, learner: Learner) -> None:
        wanted = Layout.of(learner)
        for what, is_, should in (
            ("input bits", identity.input_bits, wanted.input_bits),
            ("output bits", identity.output_bits, wanted.output_bits),
            ("parameter bits", identity.parameter_bits, wanted.parameter_bits),
            ("fingerprint", f"{identity.fingerprint:016x}", f"{fingerprint(learner):016x}"),
        ):
            if is_ != should:
                raise UserError(
                    f"{self} is not a trainer of {learner.model.name!r}: its {what}: {is_}, the model's: {should}; "
                    "choose the device's model, or flash a bitstream made for this one (rdahw synth)"
                )

    def _ensure_open(self) -> None:
        if self._session is None:
            self.open()

    def _ensure_learns(self) -> None:
        if not self.identify().learns:
            raise UserError(
                f"{self} is a fixed model, which predicts and does not learn; flash a trainer (rdahw synth without "
                "--inference)"
            )

    # -- commands ------------------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """What the device has done since it was cleared."""
        return _read_report(self._command("status"))[1]

    def clear(self) -> None:
        """Set the device's parameters, its open batch and its counts to zero."""
        self._ensure_learns()
        self._command("clear")

    def train(self, x: Array, y: Array, last: Array | None = None, progress: Progress | None = None) -> Array:
        """Learn from the examples x (N, A) and y (N, B), in order; the predictions (N, B), each from before its update.

        last: (N,), 1 where a batch ends; without it each example is a batch. A batch may be continued by the next call.
        """
        self._ensure_learns()
        last = np.ones(len(x), np.uint8) if last is None else np.asarray(last, np.uint8)
        if not self.identify().batches and not last.all():
            raise UserError(
                f"{self} has no batches and was given a batch of several examples; train with --batch 1, or make its "
                "bitstream with batches (rdahw synth --batch)"
            )
        return self._examples("train", x, y, last, progress)

    def predict(self, x: Array, progress: Progress | None = None) -> Array:
        """The predictions (N, B) for x (N, A) by the parameters as they are; nothing changes."""
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
                raise UserError(f"{name} was given with the shape {np.shape(bits)}; the device's examples need {shape}")
        data = layout.pack_examples(x, y, last)
        room = min(identity.payload, MAX_PAYLOAD) // layout.example_bytes
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
        # A packet that is given up may have been executed: its number must not be given to another one. So the session
        # ends with it, unless the answer comes.
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
        """The payload of the answer to ``header``, ``None`` if the packet should be sent again; how many bytes came."""
        self._deframer.reset()
        heard = 0
        # A device that answers without end must not hold us: what a few answers would be is enough.
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
                # Else an answer to a packet before: it was sent twice, and answered twice.
        return None, heard

    def _refused(self, code: int, name: str) -> NoReturn:
        if code == ERRORS["wrong_session"].code:
            raise UserError(
                f"{self} has closed the session: it was reset, or another program has "
                f"opened one; whether {name!r} was executed, the counts tell"
            )
        reason = _REASONS[code].meaning if code in _REASONS else f"reason {code:#x}"
        raise UserError(f"{self} refused {name!r}: {reason}; is its bitstream of another rdahw?")

    def _expect(self, given: int, wanted: int) -> None:
        if given != wanted:
            raise UserError(f"{self} answered with {given} bytes; expected {wanted}")


def connect(port: str, *, baud: int = BAUD, learner: Learner | None = None, **options: Any) -> Device:
    """The device at a serial port, to be used in a ``with`` statement; see :class:`SerialPort` and :class:`Device`."""
    return Device(SerialPort(port, baud), learner, **options)


class DeviceEngine:
    """A device as the engine of a :class:`rdahw.training.Training`.

    Setting the parameters clears the device first: its counts, and a batch that another program left open.
    """

    name = "device"

    def __init__(self, device: Device) -> None:
        self.device = device

    @property
    def parameters(self) -> Array:
        """The device's parameters, (P,)."""
        return self.device.read_parameters()

    @parameters.setter
    def parameters(self, value: Array) -> None:
        self.device.clear()
        self.device.write_parameters(value)

    def train(self, x: Array, y: Array) -> Array:
        """Apply one batch, and give the outputs (N, B) before the update."""
        last = np.zeros(len(x), np.uint8)
        last[-1:] = 1
        return self.device.train(x, y, last)

    def predict(self, x: Array) -> Array:
        """The outputs (N, B) at the present parameters."""
        return self.device.predict(x)
