import numpy as np
import pytest
from scipy.special import log_softmax

from limsup_widgets.learn import logistic
from limsup_widgets.learn.logistic import fit_logistic


def case(seed=0, n=80, features=6, classes=4):
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=(n, features)) * rng.uniform(0.1, 9, features) + rng.normal(size=features)
    codes = (rng.integers(1, classes + 1, n)).astype(np.uint8)
    xs[:, 0] += codes
    return xs, codes, rng.normal(size=(n, classes)) * 2


def loss(w, xs, codes, own, ridge, bias_ridge):
    """As the docstring says it, for ``w (K, F + 1)`` on standardised features."""
    z = (xs - xs.mean(0)) / xs.std(0)
    logs = log_softmax(own + z @ w[:, :-1].T + w[:, -1], axis=1)
    fit = -logs[np.arange(len(codes)), codes - 1].sum()
    return fit + ridge / 2 * (w[:, :-1] ** 2).sum() + bias_ridge / 2 * (w[:, -1] ** 2).sum()


def standardised(fit, xs):
    return np.column_stack([fit.coef * xs.std(0), fit.intercept + fit.coef @ xs.mean(0)])


def test_values_minimum(monkeypatch):
    """No small step in any direction makes the loss smaller."""
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-9)
    xs, codes, own = case()
    w = standardised(fit_logistic(xs, codes, 4, own), xs)
    ridges = logistic.RIDGE, logistic.BIAS_RIDGE
    best = loss(w, xs, codes, own, *ridges)
    rng = np.random.default_rng(1)
    for _ in range(20):
        step = 1e-3 * rng.normal(size=w.shape)
        assert loss(w + step, xs, codes, own, *ridges) > best


def test_equivalence_scikit_learn(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(logistic, "TOLERANCE", 1e-9)
    xs, codes, own = case()
    fit = fit_logistic(xs, codes, 6)
    z = (xs - xs.mean(0)) / xs.std(0)
    other = LogisticRegression(C=1 / logistic.FREE_RIDGE, tol=1e-9, max_iter=1000).fit(z, codes)
    expected = other.predict_log_proba(z)
    found = log_softmax(fit.logits(xs, own), axis=1)
    np.testing.assert_allclose(found[:, :4], expected, atol=1e-4)
    assert np.isneginf(found[:, 4:]).all()


def test_values_scale():
    """A feature with a large deviation given is used little; its own deviation changes nothing."""
    xs, codes, _ = case()
    plain, own = (fit_logistic(xs, codes, 4, scale=s) for s in (None, (xs.mean(0), xs.std(0))))
    assert np.array_equal(plain.coef, own.coef)
    dear = xs.mean(0) + 3, xs.std(0) * np.array([1e4, 1, 1, 1, 1, 1])
    scaled = fit_logistic(xs, codes, 4, scale=dear)
    assert abs(scaled.coef[:, 0]).max() < 1e-3 * abs(plain.coef[:, 0]).max()


@pytest.mark.parametrize("corrects", [True, False])
def test_equivalence_warm_start(corrects, monkeypatch):
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-8)
    xs, codes, own = case()
    few = slice(0, 30), own[:30] if corrects else None
    first = fit_logistic(xs[few[0]], codes[few[0]], 4, few[1])
    given = own if corrects else None
    cold, warm = (fit_logistic(xs, codes, 4, given, start=s) for s in (None, first))
    probabilities = [np.exp(log_softmax(f.logits(xs, own), axis=1)) for f in (cold, warm)]
    np.testing.assert_allclose(*probabilities, atol=1e-4)
    monkeypatch.setattr(logistic, "ITERATIONS", 0)
    again = fit_logistic(xs, codes, 4, given, start=cold)
    np.testing.assert_allclose(again.coef, cold.coef, atol=1e-5)


def test_values_start_of_fewer_classes():
    xs, codes, own = case()
    first = fit_logistic(xs[codes < 3], codes[codes < 3], 4)
    fit = fit_logistic(xs, codes, 4, start=first)
    assert np.isfinite(fit.intercept).all() and np.isneginf(first.intercept[2:]).all()
    assert fit_logistic(xs, codes, 4, own, start=first).corrects


def test_values_constant_feature():
    xs, codes, own = case()
    xs[:, 2] = 7
    assert np.isfinite(fit_logistic(xs, codes, 4, own).coef).all()
