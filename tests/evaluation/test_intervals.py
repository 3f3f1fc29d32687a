import numpy as np
import pytest

from brainssl.evaluation import intervals
from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.intervals import (
    bootstrap,
    bootstrap_per_class,
    percentile_intervals,
    resample,
)
from brainssl.evaluation.metrics import CLASS_METRICS, METRICS, evaluate, per_class
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError


def build(labels, logits, groups, classes=None):
    n, k = logits.shape
    return Predictions.build(
        image_ids=[f"image {i}" for i in range(n)],
        groups=np.asarray(groups, np.int64),
        splits=["test"] * n,
        labels=np.asarray(labels, np.int64),
        logits=logits,
        classes=classes or [f"class {c}" for c in range(k)],
    )


def random_predictions(seed=0, n=60, k=4, n_groups=15):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    # Half the logits are rounded, so that there are ties; group numbers have gaps.
    logits = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    logits[::2] = logits[::2].round()
    return build(labels, logits, 7 * rng.integers(n_groups, size=n) - 20)


def reordered(predictions, order):
    frame = predictions.frame.iloc[order].reset_index(drop=True)
    return Predictions(frame, predictions.classes)


def drawn_weights(predictions, draws, seed):
    groups, of = np.unique(predictions.groups, return_inverse=True)
    strata = strata_of(predictions.labels, of)
    ((_, weights),) = group_weights(strata, draws, seed, rows=draws)
    return [np.flatnonzero(of == g) for g in range(len(groups))], weights


def test_every_draw_is_what_scoring_the_repeated_images_gives():
    class_of = np.repeat(np.arange(4), [5, 5, 3, 2])
    rng = np.random.default_rng(0)
    of = rng.permutation(np.concatenate([np.arange(15), rng.integers(15, size=45)]))
    logits = (rng.normal(size=(60, 4)) + 1.5 * np.eye(4)[class_of[of]]).round(1)  # with ties
    predictions = build(class_of[of], logits, 7 * of - 20)
    draws, seed = 40, 3
    labels, probabilities = predictions.labels, predictions.probabilities()
    members, weights = drawn_weights(predictions, draws, seed)
    got = resample(predictions, draws=draws, seed=seed)
    assert (got.classes_held == 4).all()
    for draw in range(draws):
        # Strata of 5, 3 and 2 groups weigh 5/4, 3/2 and 2: four times that are whole numbers.
        images = np.concatenate(
            [np.tile(members[g], round(4 * times)) for g, times in enumerate(weights[draw])]
        )
        expected = evaluate(labels[images], probabilities[images])
        np.testing.assert_allclose(got.overall[draw], list(expected.values()), atol=1e-9)
        rows = per_class(labels[images], probabilities[images], predictions.classes)
        for c, name in enumerate(predictions.classes):
            np.testing.assert_allclose(
                got.by_class[draw, c], [rows[name][m] for m in CLASS_METRICS], atol=1e-9
            )


def test_a_class_is_left_out_of_the_draws_that_miss_it():
    predictions = build(
        labels=[0, 0, 0, 1, 1, 2],
        logits=2 * np.eye(3)[[0, 0, 1, 1, 0, 2]],
        groups=[0, 1, 2, 3, 4, 5],
    )
    # Class 2 has one image; to have an interval it needs two groups.
    assert np.isnan(bootstrap_per_class(predictions, draws=50)["class 2"]["recall"]).all()
    got = resample(predictions, draws=200)
    # It is drawn with class 1, so that either may be missing; class 0 never is.
    missing = np.isnan(got.by_class[:, 1, CLASS_METRICS.index("recall")])
    _, weights = drawn_weights(predictions, 200, 0)
    np.testing.assert_array_equal(missing, weights[:, [3, 4]].sum(1) == 0)
    assert 0 < missing.sum() < 200
    assert np.isfinite(got.class_intervals()["class 1"]["recall"]).all()
    held = 1 + (weights[:, [3, 4]].sum(1) > 0) + (weights[:, 5] > 0)
    np.testing.assert_array_equal(got.classes_held, held)
    # The macro average of such a draw is that of the classes it has: class 2 is said rightly.
    recall = got.overall[missing, METRICS.index("recall_macro")]
    share = weights[missing, :2].sum(1) / weights[missing, :3].sum(1)
    np.testing.assert_allclose(recall, (share + 1) / 2)


def test_the_memory_bound_changes_nothing(monkeypatch):
    predictions = random_predictions()
    whole = resample(predictions, draws=100)
    monkeypatch.setattr(intervals, "_CHUNK", 7 * len(predictions))
    parts = resample(predictions, draws=100)
    np.testing.assert_allclose(parts.overall, whole.overall, atol=1e-12)
    np.testing.assert_allclose(parts.by_class, whole.by_class, atol=1e-12)


def test_the_seed_decides():
    predictions = random_predictions()
    assert bootstrap(predictions, draws=50, seed=4) == bootstrap(predictions, draws=50, seed=4)
    assert bootstrap(predictions, draws=50, seed=4) != bootstrap(predictions, draws=50, seed=5)


def test_neither_the_order_of_the_images_nor_the_names_of_the_groups_matter():
    predictions = random_predictions()
    order = np.random.default_rng(0).permutation(len(predictions))
    shuffled = reordered(predictions, order)
    renamed = Predictions(
        shuffled.frame.assign(group=3 * shuffled.frame["group"] + 1), shuffled.classes
    )
    expected = resample(predictions, draws=60)
    for other in (shuffled, renamed):
        np.testing.assert_allclose(resample(other, draws=60).overall, expected.overall, atol=1e-12)


def test_copies_within_a_group_make_no_interval_narrower():
    predictions = random_predictions()
    n = len(predictions)
    thrice = np.tile(np.arange(n), 3)
    copies = build(
        predictions.labels[thrice], predictions.logits[thrice], predictions.groups[thrice]
    )
    expected = bootstrap(predictions, draws=300)
    for name, interval in bootstrap(copies, draws=300).items():
        assert interval == pytest.approx(expected[name], abs=1e-9), name
    # Taken for patients of their own, the copies would promise √3 times the precision.
    apart = build(copies.labels, copies.logits, np.arange(3 * n))
    low, high = bootstrap(apart, draws=300)["accuracy"]
    assert high - low < 0.8 * np.diff(expected["accuracy"])[0]


def test_two_models_on_the_same_groups_have_the_same_draws():
    rng = np.random.default_rng(1)
    first = random_predictions()
    noisier = first.logits + rng.normal(size=first.logits.shape)
    second = build(first.labels, noisier, first.groups)
    second = reordered(second, rng.permutation(len(second)))
    a, b = resample(first, draws=500), resample(second, draws=500)
    accuracy = METRICS.index("accuracy")
    paired = np.var(a.overall[:, accuracy] - b.overall[:, accuracy])
    unpaired = np.var(a.overall[:, accuracy]) + np.var(b.overall[:, accuracy])
    assert paired < 0.8 * unpaired
    # The number of images that a draw holds follows from the groups in it.
    same = build(second.labels, second.logits, second.groups)
    np.testing.assert_allclose(resample(same, draws=500).overall, b.overall, atol=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_intervals_are_quantiles_of_the_known_draws(level):
    values = np.random.default_rng(0).normal(size=(300, 3))
    values[:, 0] = values[:, 0].round()  # with zeros
    values[::3, 1] = np.nan
    values[:, 2] = np.nan
    got = percentile_intervals(values, level)
    for column in range(2):
        tails = [(1 - level) / 2, 1 - (1 - level) / 2]
        assert got[column] == pytest.approx(tuple(np.nanquantile(values[:, column], tails)))
    assert np.isnan(got[2]).all()


def test_intervals_are_named_and_hold_the_sample():
    predictions = random_predictions(n=200, n_groups=60)
    point = evaluate(predictions.labels, predictions.probabilities())
    got = bootstrap(predictions, draws=400)
    assert tuple(got) == METRICS
    for name in set(METRICS) - {"ece"}:  # biased upward in resamples, as documented
        assert got[name][0] < point[name] < got[name][1], name
    by_class = bootstrap_per_class(predictions, draws=400)
    points = per_class(predictions.labels, predictions.probabilities(), predictions.classes)
    assert tuple(by_class) == predictions.classes
    for name, rows in by_class.items():
        assert tuple(rows) == CLASS_METRICS
        for metric, (low, high) in rows.items():
            assert low < points[name][metric] < high


def test_one_group_has_no_interval():
    predictions = build([0, 1, 0], np.eye(2)[[0, 1, 1]], [5, 5, 5])
    assert np.isnan(list(bootstrap(predictions, draws=10).values())).all()
    assert np.isnan(bootstrap_per_class(predictions, draws=10)["class 0"]["recall"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"), [({"draws": 0}, "0 draws"), ({"level": 95.0}, "0.95 for 95 %")]
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(BrainsslError, match=message):
        bootstrap(random_predictions(), **{"draws": 5, **arguments})


def test_no_images_are_refused():
    with pytest.raises(BrainsslError, match="at least one image"):
        bootstrap(random_predictions().of("val"))
