"""The predictor that ``rdahw synth --inference`` puts on a board, as the netlist of the FPGA's cells, in simulation.

    python bench/predictor_netlist.py MODEL [--board icebreaker] [--clock MHZ] [--examples 1000]

Examples of the test part follow each other without a pause. It ends with an error unless every prediction is the
software's, and the predictor takes an example each cycle after its latency.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rdahw.boards import board
from rdahw.boards.design import inference_design
from rdahw.data import load
from rdahw.hdl.beats import Encoder
from rdahw.saved import load_model
from rdahw.sim.engines import make_engine
from rdahw.sim.simulator import Exchange, make_simulator
from rdahw.training import Examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--board", default="icebreaker")
    parser.add_argument("--clock", type=float)
    parser.add_argument("--examples", type=int, default=1000)
    options = parser.parse_args()

    saved, its = load_model(options.model), board(options.board)
    test = load(options.data).test
    assert test is not None
    x, labels = saved.binariser.transform(test.features)[: options.examples], test.labels[: options.examples]
    engine = make_engine(saved.spec)
    engine.state = saved.best_state
    expected = engine.predict(engine.prepare(Examples(x, labels)))
    found = saved.predictor
    core = inference_design(found.spec, found.best_state, its, clock=options.clock).core()
    delay, encoder, interface = core.delay, Encoder(core), core.interface
    simulator = make_simulator(core, "cxxrtl", netlist=its.family)
    beats = encoder(x, interface.encode(labels))
    made = simulator.exchange(Exchange("examples", "results", beats, len(x), len(x)))
    predicted = interface.decode(encoder.prediction(made.results))
    assert np.array_equal(predicted, expected), "the netlist predicts something else than the model"
    right = 100 * float((predicted == labels).mean())
    assert (made.given - made.taken == delay).all(), "a result comes later than the latency"
    assert (np.diff(made.given) == 1).all(), "the predictor does not take an example each cycle"
    print(f"{len(x)} predictions, one a cycle after {delay} cycles; all are the software's, {right:.1f} % right")


if __name__ == "__main__":
    main()
