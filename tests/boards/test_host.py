"""The host's end of the link: devices that are not there, silent, wrong, or reset; a serial port; the training loop."""

from __future__ import annotations

import builtins
import os
import threading
from typing import Any

import numpy as np
import pytest
from link_helpers import (
    Crashed,
    FaultyStream,
    SoftwareDevice,
    SoftwareLearner,
    SoftwareStream,
    counter,
    long_learner,
    lookup_learner,
    pseudo_terminal,
    wide_learner,
)

from rdahw.boards.host import Device, DeviceEngine, SerialPort, Status, connect
from rdahw.errors import MissingError, UserError
from rdahw.families.circuits import CircuitSpec
from rdahw.fields import join
from rdahw.hdl.protocol import ERRORS, FLAG, HEADER, frame
from rdahw.learner import Learner
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training


class Scripted:
    """A stream that answers whatever ``answer`` makes of the request."""

    name = "scripted"

    def __init__(self, answer: Any) -> None:
        self.answer, self.sent, self.closed, self._got = answer, 0, False, b""

    def write(self, data: bytes) -> None:
        self.sent += 1
        self._got = self.answer(data)

    def read(self, timeout: float) -> bytes:
        got, self._got = self._got, b""
        return got

    def close(self) -> None:
        self.closed = True


class Endless(Scripted):
    """A stream that never falls silent."""

    def read(self, timeout: float) -> bytes:
        return self._got


def device(learner: Learner | None = None, *, batch: bool = False, check: bool = True) -> Device:
    learner = learner or lookup_learner()
    return Device(
        SoftwareStream(SoftwareDevice(learner, batch=batch)), CircuitSpec.of(learner) if check else None, draw=counter()
    )


def some(learner: Learner, count: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    model = learner.model
    return rng.integers(0, 2, (count, model.input_bits), np.uint8), rng.integers(
        0, 2, (count, model.output_bits), np.uint8
    )


# -- devices that do not answer as they should -------------------------------------------------------------------------


def test_a_silent_device() -> None:
    stream = Scripted(lambda data: b"")
    with pytest.raises(
        UserError, match=r"the device at 'scripted' is silent: 3 attempts at 'open', no answer; check the port"
    ):
        Device(stream, attempts=3).open()
    assert stream.sent == 3


@pytest.mark.parametrize(
    "answer", [lambda data: b"U-Boot 2024.01 \r\n", lambda data: data[:5], lambda data: bytes([FLAG, 1, FLAG])]
)
def test_a_device_that_answers_rubbish(answer: Any) -> None:
    stream = Scripted(answer)
    with pytest.raises(
        UserError, match=r"sent \d+ bytes and no whole answer to 'open' in 3 attempts; check the speed \(--baud\)"
    ):
        Device(stream, attempts=3).open()
    assert stream.sent == 3


@pytest.mark.parametrize("noise", [b"\x00\xffrubbish", bytes([FLAG]), b"~a~b~"])
def test_a_device_that_never_falls_silent(noise: bytes) -> None:
    stream = Endless(lambda data: noise)
    with pytest.raises(UserError, match="no whole answer to 'open' in 3 attempts"):
        Device(stream, attempts=3).open()


def test_an_echo_is_no_device() -> None:
    # A loop-back plug sends the request itself, whose header is that of an answer.
    with pytest.raises(UserError, match=r"^port 'scripted' echoes what is sent, as .*; choose the board's port$"):
        Device(Scripted(lambda data: data)).open()


def test_another_version_of_the_protocol() -> None:
    twin = SoftwareDevice(lookup_learner(), version=2)
    with pytest.raises(
        UserError, match="uses version 2 of the link's protocol, and this program version 1; make and flash"
    ):
        Device(SoftwareStream(twin)).open()


def test_another_model() -> None:
    stream = SoftwareStream(SoftwareDevice(lookup_learner(5, 3)))
    with pytest.raises(
        UserError, match="is not a trainer of 'lookup': its input bits: 5, the model's: 4; choose the device's model"
    ):
        Device(stream, CircuitSpec.of(lookup_learner())).open()


def test_another_fingerprint() -> None:
    twin = SoftwareDevice(lookup_learner())
    twin.identity["fingerprint"] ^= 1
    with pytest.raises(UserError, match="its fingerprint: [0-9a-f]{16}, the model's: [0-9a-f]{16}; choose"):
        Device(SoftwareStream(twin), CircuitSpec.of(lookup_learner())).open()


def test_a_refusal_says_why() -> None:
    def refuse(data: bytes) -> bytes:
        return frame(bytes([ERRORS["wrong_address"].code]) + data[2:7])

    with pytest.raises(
        UserError,
        match="refused 'open': a byte beyond the parameters was asked for; make and flash its bitstream",
    ):
        Device(Scripted(refuse), draw=counter()).open()


def test_answers_to_other_packets_are_not_taken() -> None:
    twin = SoftwareDevice(lookup_learner())

    def answer(data: bytes) -> bytes:
        stale = frame(join(HEADER, {"code": 1, "session": 77}) + bytes(41))
        refused = frame(join(HEADER, {"code": ERRORS["wrong_length"].code, "session": 77}))
        return stale + refused + twin.feed(data)

    stream = Scripted(answer)
    assert Device(stream, draw=counter()).open().input_bits == 4
    assert stream.sent == 1


def test_a_device_that_was_reset_in_mid_run() -> None:
    learner = lookup_learner()
    stream = SoftwareStream(SoftwareDevice(learner))
    host = Device(stream, CircuitSpec.of(learner), draw=counter())
    x, y = some(learner, 5)
    host.train(x, y)
    stream.device = SoftwareDevice(learner)
    with pytest.raises(UserError, match="has closed the session: it was reset, or another program has opened one"):
        host.train(x, y)
    # The next call begins a new session, and says what the device has done.
    assert host.found == Status(batch_open=False, example_count=0, error_count=0)


def test_a_second_host_ends_the_first_ones_session() -> None:
    learner = lookup_learner()
    stream, draw = SoftwareStream(SoftwareDevice(learner)), counter()
    first, second = (Device(stream, CircuitSpec.of(learner), draw=draw) for _ in range(2))
    x, y = some(learner, 5)
    first.train(x, y)
    assert second.found.example_count == 5
    with pytest.raises(UserError, match="another program has opened one"):
        first.train(x, y)
    assert second.status().example_count == 5


def test_an_interrupted_packet_is_never_taken_for_another() -> None:
    learner = lookup_learner()
    twin = SoftwareDevice(learner)
    stream = SoftwareStream(twin)
    host = Device(stream, CircuitSpec.of(learner), draw=counter())
    x, y = some(learner, 5)
    host.open()

    def interrupt(timeout: float) -> bytes:
        raise KeyboardInterrupt

    stream.read, read = interrupt, stream.read  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        host.train(x, y)
    stream.read = read  # type: ignore[method-assign]
    # Had the number been used again, this would be answered with the results of the training.
    assert host.status().example_count == 5
    assert host.found.example_count == 5


# -- what is asked of a device -----------------------------------------------------------------------------------------


def test_all_commands() -> None:
    learner = wide_learner()
    with device(learner, batch=True) as host:
        x, y = some(learner, 200)
        last = np.tile(np.array([0, 0, 1], np.uint8), 67)[:200]
        software = SoftwareLearner(learner, batch=True)
        np.testing.assert_array_equal(host.train(x, y, last), software.train(x, y, last))
        assert host.status() == Status(software.batch_open, 200, software.error_count)
        np.testing.assert_array_equal(host.read_parameters(), software.theta)
        host.write_parameters(1 - software.theta)
        np.testing.assert_array_equal(host.read_parameters(), 1 - software.theta)
        host.clear()
        assert host.status() == Status(batch_open=False, example_count=0, error_count=0)
        assert host.identify().parameter_bits == 11
    assert host.identify().batches


def test_nothing_to_do() -> None:
    host = device()
    x, y = some(lookup_learner(), 0)
    assert host.train(x, y).shape == host.predict(x).shape == (0, 3)
    assert host.packets == 1


def test_any_device_will_do_without_a_learner() -> None:
    assert device(long_learner(), check=False).read_parameters().shape == (2048,)


def test_the_sequence_number_goes_round() -> None:
    host = device()
    for _ in range(600):
        host.status()
    assert (host.packets, host.repeats) == (601, 0)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    learner = lookup_learner()
    x, y = some(learner, 500)
    device(learner).train(x, y, progress=lambda *done: told.append(done))
    assert told == [(224, 500), (448, 500), (500, 500)]
    told.clear()
    host = device(long_learner())
    host.write_parameters(host.read_parameters(lambda *done: told.append(done)), lambda *done: told.append(done))
    assert told == [(224, 256), (256, 256), (220, 256), (256, 256)]


@pytest.mark.parametrize(
    ("x", "y", "last", "message"),
    [
        ((5, 3), (5, 3), None, r"x has the shape \(5, 3\); the device's examples need \(5, 4\)"),
        ((5, 4), (4, 3), None, r"y has the shape \(4, 3\); the device's examples need \(5, 3\)"),
        ((5, 4), (5, 3), (4,), r"last has the shape \(4,\); the device's examples need \(5,\)"),
    ],
)
def test_arrays_of_a_wrong_shape(x: Any, y: Any, last: Any, message: str) -> None:
    host = device(batch=True)
    with pytest.raises(UserError, match=message):
        host.train(np.zeros(x, np.uint8), np.zeros(y, np.uint8), None if last is None else np.ones(last, np.uint8))
    with pytest.raises(UserError, match=r"parameters of shape \(47,\) were given; the device has 48 bits"):
        host.write_parameters(np.zeros(47, np.uint8))
    assert host.status().example_count == 0


def test_a_fixed_model_does_not_learn() -> None:
    learner = lookup_learner()
    x, y = some(learner, 10)
    theta = np.arange(48, dtype=np.uint8) % 3 % 2
    host = Device(SoftwareStream(SoftwareDevice(learner, theta=theta)), CircuitSpec.of(learner), draw=counter())
    software = SoftwareLearner(learner, batch=False)
    software.theta = theta
    np.testing.assert_array_equal(
        host.predict(x), [software.step(*e, 1, learn=False)[0] for e in zip(x, y, strict=True)]
    )
    np.testing.assert_array_equal(host.read_parameters(), theta)
    for learn in (lambda: host.train(x, y), lambda: host.write_parameters(theta), host.clear):
        with pytest.raises(UserError, match="is a predictor and does not learn; flash a trainer"):
            learn()


def test_batches_on_a_device_without() -> None:
    with pytest.raises(UserError, match="does not support batches of several examples; train with --batch 1, or"):
        device().train(*some(lookup_learner(), 3), np.array([0, 0, 1], np.uint8))


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_each_example_counts_once_under_faults(seed: int) -> None:
    learner = lookup_learner()
    x, y = some(learner, 600, seed)
    last = np.random.default_rng(seed).integers(0, 2, 600, np.uint8)
    stream = FaultyStream(SoftwareStream(SoftwareDevice(learner, batch=True)), seed, rate=0.2, crashes=0.03)
    draw, done, hosts = counter(), 0, 0
    while done < 600:
        host, hosts = Device(stream, CircuitSpec.of(learner), draw=draw), hosts + 1
        try:
            done = host.found.example_count
            while done < 600:
                host.train(x[done : done + 3], y[done : done + 3], last[done : done + 3])
                done += 3
        except Crashed:
            pass
    software = SoftwareLearner(learner, batch=True)
    software.train(x, y, last)
    np.testing.assert_array_equal(stream.stream.device.state.theta, software.theta)
    assert stream.stream.device.state.example_count == 600
    assert hosts > 1


# -- the training loop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5])
def test_a_device_is_an_engine(batch: int) -> None:
    learner = lookup_learner()
    spec = CircuitSpec.of(learner, code="one-hot")
    rng = np.random.default_rng(0)
    data = Examples(rng.integers(0, 2, (40, spec.input_bits), np.uint8), rng.integers(0, spec.classes, 40))
    host = Device(SoftwareStream(SoftwareDevice(learner, batch=True)), spec, draw=counter())
    results = []
    for engine in (DeviceEngine(host, spec), make_engine(spec)):
        training = Training(engine, Schedule(batch=batch, epochs=2, shuffle=True), data, data)
        results.append(
            [
                (engine.state["parameters"].tolist(), training.parameters.tolist(), done.wrong)
                for done in training.run(chunk=1)
            ]
        )
    assert results[0] == results[1]
    assert len({tuple(now) for now, _, _ in results[0]}) > 1


def test_an_engine_begins_with_a_cleared_device() -> None:
    learner = lookup_learner()
    host = device(learner, batch=True)
    x, y = some(learner, 7)
    host.train(x, y, np.zeros(7, np.uint8))
    assert host.status().batch_open
    engine = DeviceEngine(host, CircuitSpec.of(learner))
    engine.state = {"parameters": np.zeros(48, np.uint8)}
    assert host.status() == Status(batch_open=False, example_count=0, error_count=0)


# -- serial ports ------------------------------------------------------------------------------------------------------


def test_a_serial_port() -> None:
    learner = lookup_learner()
    x, y = some(learner, 1000)
    twin = SoftwareDevice(learner)
    with pseudo_terminal(twin) as port, connect(port, spec=CircuitSpec.of(learner)) as host:
        outputs = host.train(x, y)
        parameters = host.read_parameters()
        assert host.repeats == 0
    software = SoftwareLearner(learner, batch=False)
    np.testing.assert_array_equal(outputs, software.train(x, y, np.ones(1000)))
    np.testing.assert_array_equal(parameters, software.theta)


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(
        MissingError, match="there is no device at port '/dev/ttyUSB99'; plug the board in, or choose another port"
    ):
        connect("/dev/ttyUSB99")


def test_a_port_that_is_no_port(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"port '.*file' cannot be opened"):
        SerialPort(str(tmp_path / "file"))


def test_a_port_that_is_in_use() -> None:
    with (
        pseudo_terminal(SoftwareDevice(lookup_learner())) as port,
        connect(port),
        pytest.raises(UserError, match="cannot be opened; another program uses it: close that one first"),
    ):
        SerialPort(port)


def test_a_silent_serial_port() -> None:
    master, slave = os.openpty()
    try:
        with (
            pytest.raises(UserError, match="is silent: 2 attempts"),
            connect(os.ttyname(slave), timeout=0.05, attempts=2),
        ):
            pass
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_vanishes() -> None:
    master, slave = os.openpty()
    port = SerialPort(os.ttyname(slave))
    os.close(slave)
    threading.Timer(0.05, os.close, [master]).start()
    try:
        with pytest.raises(UserError, match=r"the connection to port '.*' broke \(.*\); plug the board in again"):
            port.read(600.0)
    finally:
        port.close()


def test_without_pyserial(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "serial":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingError, match="pyserial is not installed, and port '/dev/ttyUSB0' needs it; python -m pip install"
    ):
        SerialPort("/dev/ttyUSB0")
