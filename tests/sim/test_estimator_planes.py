"""RDAClassifier on images: rules of planes in ``bits``, colours, and mirrored images."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rdahw import RDAClassifier
from rdahw.data import Binariser, Column
from rdahw.data.images import with_mirrored
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

pytestmark = pytest.mark.filterwarnings("ignore:the tables read:UserWarning")

DIGITS = load_digits()
X, Y = (DIGITS.data[:900] * 15).astype(np.uint8), DIGITS.target[:900]
RULE = "threshold=60,150+hog=4/3/60,200"


def small(**options):
    return RDAClassifier(**{"tables": 60, "inputs": 4, "epochs": 4, "bits": RULE, "image_shape": (8, 8), **options})


def test_it_is_the_model_of_these_bits():
    its = small(random_state=3, mirror=True).fit(X[:600], Y[:600])
    binariser = Binariser.fit(RULE, X, [Column("number")] * 64, None, (8, 8))
    task = Task(input_bits=binariser.width, classes=10, image=its.spec_.image, seed=3)
    spec = find_family("ensemble").spec(task, tables=60, inputs=4, counter=8, mirror=True)
    x = binariser.transform(with_mirrored(X[:600], (8, 8)))
    examples = Examples(x, np.tile(Y[:600], 2).astype(np.int64))
    training = Training(make_engine(spec), Schedule(epochs=4, shuffle=True, seed=3), examples)
    for _ in training.run():
        pass
    assert its.spec_ == spec
    assert np.array_equal(its.counters_, training.engine.state["counters"])
    assert its.wire_names_ == list(binariser.wire_names)


def test_predictions_and_pickles():
    its = small().fit(X[:600], Y[:600])
    predicted = its.predict(X[600:])
    assert (predicted == Y[600:]).mean() > 0.85
    assert its.predict_one(X[700]) == its.predict(X[700:701])[0] == predicted[100]
    assert np.array_equal(its.predict(X[600:].astype(np.float64)), predicted)
    again = pickle.loads(pickle.dumps(its))  # noqa: S301
    assert np.array_equal(again.predict(X[600:]), predicted)
    with pytest.raises(AttributeError, match="has no importances of planes; use sklearn"):
        _ = its.feature_importances_
    with pytest.raises(ValueError, match="example 0, pixel 0 is 0.5, and planes need whole numbers from 0 to 255"):
        its.predict(np.full((2, 64), 0.5))


def test_one_epoch_after_the_other():
    whole, parts = small(mirror=True, epochs=3).fit(X[:300], Y[:300]), small(mirror=True)
    for _ in range(3):
        parts.partial_fit(X[:300], Y[:300], classes=np.arange(10))
    assert np.array_equal(whole.counters_, parts.counters_)


@pytest.mark.parametrize("model", ["grown:tables=30", "ensemble:wiring=grown,tables=20", "mask:k=2"])
def test_other_models(model):
    options = {} if model == "mask:k=2" else {"inputs": 3}
    one = RDAClassifier(model=model, epochs=1, bits="range=3/60", image_shape=(8, 8), **options)
    assert one.fit(X[:200], Y[:200] > 4).predict(X[:5]).shape == (5,)


def test_colours():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    x = rng.integers(0, 120, (200, 3, 6, 6)).astype(np.uint8)
    x[np.arange(200), 2 * labels] += 100  # red or blue
    x = x.reshape(200, -1)
    its = small(bits="threshold=110@rb+range=3/20@y", image_shape=(3, 6, 6)).fit(x[:100], labels[:100])
    assert its.score(x[100:], labels[100:]) > 0.95
    assert tuple(its.spec_.image) == (3, 6, 6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_shape": None}, "is for images of grey values or colours, which these data are not"),
        ({"image_shape": (4, 4, 4)}, r"image_shape is \(4, 4, 4\), and planes need images with 1 or 3 channels"),
        ({"bits": "hog=4/3/20@r"}, "reads the channels 'r', and the images are grey"),
        ({"bits": "hug=1"}, "there is no kind of planes 'hug'"),
        ({"thresholds": [3]}, "bits is a rule of planes and thresholds are given, too; leave one of them out"),
        ({"image_shape": None, "bits": 2, "mirror": True}, "the data are not images and cannot be mirrored"),
    ],
)
def test_wrong_arguments(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**options).fit(X[:50], Y[:50])


def test_images_in_a_data_frame_are_those_in_an_array() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:200].astype(np.int64), columns=[f"p{i}" for i in range(64)])
    its = small(mirror=True).fit(frame, Y[:200])
    assert np.array_equal(its.counters_, small(mirror=True).fit(X[:200], Y[:200]).counters_)
    assert np.array_equal(its.predict(frame), small(mirror=True).fit(X[:200], Y[:200]).predict(X[:200]))


@pytest.mark.parametrize("wrong", [300, -1, 0.5])
def test_the_wrong_pixel_is_named_by_its_place_among_all_examples(wrong: float) -> None:
    pixels = np.tile(X[:900].astype(np.float64), (3, 1))
    labels = np.tile(Y, 3)
    its = small(epochs=1).fit(pixels, labels)
    pixels[2300, 5] = wrong
    for use in (its.predict, its.decision_function, lambda x: small().fit(x, labels)):
        with pytest.raises(ValueError, match="example 2300, pixel 5 is"):
            use(pixels)


def test_a_trained_model_does_not_depend_on_its_parameters() -> None:
    its = small(epochs=1).fit(X[:200], Y[:200])
    names, predicted = its.wire_names_, its.predict(X)
    its.set_params(bits=3)
    assert its.wire_names_ == names
    assert np.array_equal(pickle.loads(pickle.dumps(its)).predict(X), predicted)  # noqa: S301
    its.fit(X[:200], Y[:200])
    assert len(its.wire_names_) == len(its.wire_features_) == its.spec_.input_bits
    its.set_params(bits=RULE).fit(X[:200], Y[:200])
    assert its.wire_names_ == names
    assert not hasattr(its, "wire_features_")


def test_the_shape_of_images_as_an_array() -> None:
    arrays = small(epochs=1, image_shape=np.array([8, 8])).fit(X[:200], Y[:200])
    assert arrays.spec_ == small(epochs=1).fit(X[:200], Y[:200]).spec_
    with pytest.raises(ValueError, match="image_shape is"):
        small(image_shape=(-8, -8)).fit(X, Y)
