"""Training from a flash, without a computer: equal to the software, and what faults come to."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from flash_training import BASE, Bench, same, small_image

from rdahw.data.images import Image
from rdahw.errors import UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.flash_image import HEADER, MAGIC, FlashImage, header_fields
from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.flash_trainer import REGISTERS, FlashTrainer, State, expected_header
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.sim.flash_part import FAULTS

SPEC = EnsembleSpec(input_bits=12, classes=3, tables=8, inputs=3, counter=4, margin=6, seed=3)
ENDS = (State.DONE, State.NO_FLASH, State.NO_IMAGE, State.FOREIGN, State.DAMAGED, State.SPOILED)


def learned(image: FlashImage, epochs: int, spec: EnsembleSpec = SPEC) -> Iterator[tuple[Any, Any]]:
    """The software, and the outcome of each epoch."""
    software = PlainEnsemble(spec)
    for _ in range(epochs):
        yield software, software.learn(image.train.x, image.train.labels, image.order())


def check(bench: Bench, image: FlashImage, results: list[tuple[int, int, int]], epochs: int) -> None:
    """The results of whole epochs, the tables and the registers are those of the software."""
    errors = updates = 0
    for software, outcome in learned(image, epochs, bench.spec):
        count, labels = len(image.train), image.train.labels[image.order()]
        assert same(outcome, results[:count], labels)
        errors += int((outcome.predictions != labels).sum())
        updates += int(outcome.updated.sum())
        predictions = software.classify(image.test.x)
        tested = results[count : count + len(image.test)]
        assert [prediction for prediction, _, _ in tested] == predictions.tolist()
        assert not any(updated for _, _, updated in tested)
        results = results[count + len(image.test) :]
    assert results == []
    np.testing.assert_array_equal(bench.counters, software.counters)
    assert bench.simulator.peek("dropout") == software.dropout_state
    found = {register.name: bench.register(register.name) for register in REGISTERS}
    assert found == {
        "state": State.DONE,
        "run": 1,
        "changed": 0,
        "reserved": 0,
        "epochs": epochs,
        "epoch": epochs,
        "left": 0,
        "errors": errors,
        "updates": updates,
        "right": int((predictions == image.test.labels).sum()),
        "train_examples": len(image.train),
        "test_examples": len(image.test),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("quad", "stride"), [(True, 7), (False, 1)])
def test_epochs_are_those_of_the_software(quad: bool, stride: int) -> None:
    image = small_image(SPEC, 15, 5, stride=stride)
    bench = Bench(SPEC, image.to_bytes(), quad=quad, epochs=2)
    check(bench, image, bench.run(*ENDS), 2)


def test_pads_without_flip_flops_and_no_test_part() -> None:
    image = small_image(SPEC, 9, 0)
    bench = Bench(SPEC, image.to_bytes(), latency=0, epochs=1)
    results = bench.run(*ENDS)
    ((software, outcome),) = learned(image, 1)
    assert same(outcome, results, image.train.labels)
    assert (bench.register("state"), bench.register("test_examples")) == (State.DONE, 0)
    np.testing.assert_array_equal(bench.counters, software.counters)


def test_one_example_of_one_byte() -> None:
    spec = replace(SPEC, input_bits=5)
    image = small_image(spec, 1, 1)
    bench = Bench(spec, image.to_bytes(), epochs=3)
    check(bench, image, bench.run(*ENDS), 3)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 5])
def test_time_from_one_example_to_the_next(stride: int) -> None:
    spec = replace(SPEC, input_bits=160, tables=4, dropout=0.0)
    bench = Bench(spec, small_image(spec, 12, 0, stride=stride).to_bytes(), epochs=1)
    cycles, *_ = bench.collect(12)
    request = bench.design.reader.overhead if stride != 1 else 0
    # The cycles of the results are those of the reader but for the tables' updates, which go on behind the result.
    assert np.unique(np.diff(cycles)).tolist() == [21 * 4 + request]


# -- images that are not what they should be ---------------------------------------------------------------------------


def ends(content: bytes, spec: EnsembleSpec = SPEC, **options: Any) -> tuple[int, list[Any], Bench]:
    bench = Bench(spec, content, **options)
    results = bench.run(*ENDS)
    assert bench.simulator.get("failed") == (bench.simulator.get("state") != State.DONE)
    return bench.simulator.get("state"), results, bench


def untouched(bench: Bench) -> bool:
    """Nothing was learned: the tables are as after a reset."""
    return not bench.counters.any() and bench.simulator.peek("dropout") == PlainEnsemble(SPEC).dropout_state


IMAGE = small_image(SPEC, 6, 3)
CONTENT = IMAGE.to_bytes()
TRAIN, TEST = 64, 64 + 6 * 3 + 4
END = TEST + 3 * 3 + 4  # names of labels and the like follow


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 24, 59, 63])
def test_a_damaged_header_is_refused(at: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= 0x10
    state, results, bench = ends(bytes(damaged))
    assert (state, results, untouched(bench)) == (State.NO_IMAGE, [], True)


@pytest.mark.slow
@pytest.mark.parametrize("at", [TRAIN, TRAIN + 17, TRAIN + 21, TEST, TEST + 12])
def test_damaged_records_are_refused(at: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= 0x02
    state, results, bench = ends(bytes(damaged))
    assert (state, results, untouched(bench)) == (State.DAMAGED, [], True)
    assert (bench.register("epoch"), bench.register("state")) == (0, State.DAMAGED)


def test_a_flash_without_an_image() -> None:
    assert ends(b"")[0] == State.NO_IMAGE
    assert ends(bytes(100))[0] == State.NO_IMAGE


def forge(**changes: int) -> bytes:
    values = {**header_fields(IMAGE), **changes}
    header = MAGIC + b"".join(values[field.name].to_bytes(field.bytes, "little") for field in HEADER)
    return header + zlib.crc32(header).to_bytes(4, "little") + CONTENT[64:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"record_bytes": 4},
        {"input_bits": 13},
        {"classes": 4},
        {"train_examples": 0},
        {"train_bytes": 1 << 24},
        {"stride_bytes": 1 << 31},
    ],
)
def test_an_image_for_another_trainer_is_refused(changes: dict[str, int]) -> None:
    state, results, bench = ends(forge(**changes))
    assert (state, results, untouched(bench)) == (State.FOREIGN, [], True)


@pytest.mark.slow
def test_the_form_of_pictures_counts_for_a_model_of_pictures() -> None:
    spec = replace(SPEC, image=Image(1, 3, 4), wiring="patch3")
    assert ends(CONTENT, spec)[0] == State.FOREIGN
    assert ends(small_image(spec, 4, 0).to_bytes(), spec)[0] == State.DONE
    assert expected_header(spec) == small_image(spec, 4, 0).to_bytes()[:24]


def test_a_part_without_four_lines() -> None:
    # What is never woken reads as nothing at all: pulled-up lines, which look as if the bit were set.
    state, results, bench = ends(CONTENT, wake=3, asleep=False, size=2)
    assert (state, results, untouched(bench)) == (State.NO_IMAGE, [], True)


def test_damage_in_the_middle_of_an_epoch_is_told() -> None:
    bench = Bench(SPEC, CONTENT, epochs=3)
    bench.run(State.TRAINING)
    bench.run(State.TESTING)
    bench.run(State.TRAINING)
    damaged = bytearray(b"\xff" * BASE + CONTENT)
    damaged[BASE + TRAIN + 17] ^= 1
    bench.simulator.attach("address", "data", bytes(damaged))
    bench.run(*ENDS)
    assert (bench.register("state"), bench.register("epoch")) == (State.SPOILED, 1)
    assert bench.simulator.get("failed") == 1


# -- power, resets, the host -------------------------------------------------------------------------------------------


def scramble(bench: Bench, random: Random) -> None:
    """The tables as they may be at power-up."""
    bench.simulator.poke("tables", random.getrandbits(bench.trainer.tables.depth * bench.trainer.tables.shape))


def test_what_the_tables_hold_at_power_up_does_not_matter() -> None:
    bench = Bench(SPEC, CONTENT)
    scramble(bench, Random(1))
    check(bench, IMAGE, bench.run(*ENDS), 1)


#: Every update writes all eight words.
WHOLE = replace(SPEC, dropout=0.0)


def into_an_update(bench: Bench, random: Random) -> None:
    """On until a random number of the words of a random update is written, and the others are not."""
    updates = random.randrange(1, 6)
    while updates:
        updates -= sum(updated for _, _, updated in bench.steps(1))
    before, written = bench.counters, random.randrange(1, WHOLE.tables)
    while (bench.counters != before).any(axis=2).sum() < written:
        bench.simulator.tick()
    assert (bench.counters != before).any(axis=2).sum() == written


def reset(bench: Bench, random: Random) -> None:
    """A reset of the gateware, and not of the flash, which may have gone to sleep meanwhile, or not."""
    simulator = bench.simulator
    simulator.set("reset", 1)
    simulator.tick(random.randrange(1, 4))
    simulator.poke("asleep", random.randrange(2))
    simulator.set("reset", 0)
    if simulator.get("fault") == FAULTS.index("cut") + 1:
        simulator.poke("first fault", 0)  # a command that the reset cut short, and the part did not obey


def begins_anew(bench: Bench) -> None:
    """All that comes before training: header and records are read again, and the tables are clear."""
    simulator, places = bench.simulator, set()
    assert (bench.register("state"), bench.register("epoch"), bench.register("left")) == (State.WAKING, 0, 0)
    while simulator.get("state") != State.TRAINING:
        assert simulator.get("state") in (State.WAKING, State.CHECKING)
        places.add(simulator.get("address"))
        simulator.tick()
    assert places >= set(range(BASE, BASE + END))
    assert untouched(bench)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_reset_in_the_middle_of_an_update_begins_anew(seed: int) -> None:
    random, bench = Random(seed), Bench(WHOLE, CONTENT, epochs=2)
    bench.run(State.TRAINING)
    for _ in range(3):
        into_an_update(bench, random)
        reset(bench, random)
        begins_anew(bench)
    check(bench, IMAGE, bench.run(*ENDS), 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_reset_at_any_time_begins_anew(seed: int) -> None:
    random, bench = Random(seed), Bench(SPEC, CONTENT, epochs=2)
    bench.run(*ENDS)
    whole = bench.simulator.cycles
    for _ in range(3):
        reset(bench, random)
        begins_anew(bench)
        reset(bench, random)
        bench.simulator.tick(random.randrange(whole))
    reset(bench, random)
    check(bench, IMAGE, bench.run(*ENDS), 2)


@pytest.mark.slow
def test_after_a_reset_an_image_that_was_damaged_meanwhile_is_refused() -> None:
    random, bench = Random(1), Bench(WHOLE, CONTENT)
    bench.run(State.TRAINING)
    into_an_update(bench, random)
    damaged = bytearray(b"\xff" * BASE + CONTENT)
    damaged[BASE + TEST + 3] ^= 4
    bench.simulator.attach("address", "data", bytes(damaged))
    reset(bench, random)
    assert bench.run(*ENDS) == []
    assert (bench.register("state"), untouched(bench)) == (State.DAMAGED, True)


@pytest.mark.slow
def test_clear_at_any_time_begins_anew() -> None:
    whole = Bench(SPEC, CONTENT)
    whole.run(*ENDS)
    for part in (0.01, 0.2, 0.5, 0.8, 1.1):
        bench = Bench(SPEC, CONTENT)
        bench.simulator.tick(int(whole.simulator.cycles * part))
        host(bench, clear=True)
        check(bench, IMAGE, bench.run(*ENDS), 1)


def host(bench: Bench, *, clear: bool = False) -> None:
    """The host is at work for a while; ``clear`` is what it does."""
    simulator = bench.simulator
    simulator.set("hold", 1)
    simulator.set("control__parameter_address", 0)
    for _ in range(4000):
        if simulator.get("control__ready"):
            break
        simulator.tick()
    assert simulator.get("control__ready") == 1
    simulator.set("control__clear", clear)
    simulator.tick()
    simulator.set("control__clear", 0)
    simulator.tick(100)
    if simulator.get("fault") == FAULTS.index("cut") + 1:
        simulator.poke("first fault", 0)  # a command that the beginning cut short, and the part did not obey
    simulator.set("hold", 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_host_that_looks_changes_nothing(seed: int) -> None:
    random = Random(seed)
    bench = Bench(SPEC, CONTENT, epochs=2)
    simulator, shape = bench.simulator, bench.trainer.results.payload.shape()
    results = []
    while simulator.get("state") != State.DONE:
        simulator.set("hold", random.random() < 0.05 or (simulator.get("hold") and random.random() < 0.99))
        simulator.set("control__parameter_address", random.choice((0, 5, bench.design.registers_address)))
        if simulator.get("outcomes__valid"):
            payload = simulator.get("outcomes__payload")
            fields = (shape[name] for name in ("prediction", "correct", "updated"))
            results.append(tuple(payload >> f.offset & (1 << f.width) - 1 for f in fields))
        simulator.tick()
    simulator.set("hold", 0)
    check(bench, IMAGE, results, 2)


def test_a_host_predicts_in_the_middle_of_an_epoch() -> None:
    bench = Bench(SPEC, CONTENT)
    results = bench.run(State.TRAINING) + [outcome for outcome in bench.steps(40)]
    answers, more = bench.host_examples([(example, 0, False) for example in IMAGE.test.x])
    assert len(answers) == len(IMAGE.test)
    results += more + bench.run(*ENDS)
    check(bench, IMAGE, results, 1)


def test_a_host_that_trains_in_the_middle_of_an_epoch_is_told_of() -> None:
    bench = Bench(SPEC, CONTENT)
    bench.run(State.TRAINING)
    assert bench.register("changed") == 0
    bench.host_examples([(IMAGE.train.x[0], 1, True)])
    bench.run(*ENDS)
    assert bench.register("changed") == 1
    host(bench, clear=True)
    bench.simulator.tick(10)
    assert bench.register("changed") == 0


def test_stop_and_go() -> None:
    bench = Bench(SPEC, CONTENT)
    results = bench.run(State.TRAINING) + bench.steps(160)
    bench.write("run", 0)
    results += bench.steps(300)
    left = bench.register("left")
    assert 0 < left < 6
    assert bench.register("left") == left
    bench.write("run", 1)
    check(bench, IMAGE, results + bench.run(*ENDS), 1)


def test_more_epochs_when_all_are_done() -> None:
    bench = Bench(SPEC, CONTENT, epochs=1)
    results = bench.run(State.DONE)
    bench.write("epochs", 2)
    results += bench.run(State.TRAINING) + bench.run(State.DONE)
    check(bench, IMAGE, results, 2)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_too_wide_examples() -> None:
    with pytest.raises(UserError, match="a record in flash has at most 65535 bytes: choose fewer inputs"):
        FlashTrainer(
            MemoryTrainer(EnsembleSpec(input_bits=8 * 65535, classes=2, tables=1, inputs=1)), FlashReader(48e6), base=0
        )
    gc.collect()  # so that Amaranth complains within this test
