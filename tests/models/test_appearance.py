"""The appearance model against the paper's equations, written out in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.modules.appearance import AppearanceModel

RATE = 0.1
FLOORS = np.linspace(0.2, 1.1, 12).reshape(4, 3)


class Slides:
  """One object, one video, a position at a time; positions are `p`, channels `c`."""

  def fit(self, x, alpha0, alpha1, posterior_of=None):
    base = [self.component(x, a, k) for k, a in enumerate((alpha0, alpha1))]
    judge = base if posterior_of is None else posterior_of(base)
    p0, p1 = self.posteriors(x, judge)
    alpha2, alpha3 = np.maximum(0, alpha0 - p0), np.maximum(0, alpha1 - p1)
    assert min(alpha2.sum(), alpha3.sum()) > 1e-2  # else the case tests nothing
    return [*base, self.component(x, alpha2, 2), self.component(x, alpha3, 3)]

  def component(self, x, alpha, k):
    mean = sum(a * xp for a, xp in zip(alpha, x)) / alpha.sum()
    spread = sum(a * ((xp - mean) ** 2 + FLOORS[k]) for a, xp in zip(alpha, x))
    return mean, spread / alpha.sum()

  def density(self, x, mean, variance):
    exponent = -0.5 * ((x - mean) ** 2 / variance).sum(-1)
    return np.exp(exponent) / np.sqrt(np.prod(2 * np.pi * variance))

  def posteriors(self, x, base):
    likelihoods = [self.density(x, *gaussian) for gaussian in base]
    return [likelihood / sum(likelihoods) for likelihood in likelihoods]

  def blend(self, old, new):
    return [
      tuple((1 - RATE) * a + RATE * b for a, b in zip(*pair)) for pair in zip(old, new)
    ]

  def start(self, x, y):
    return self.fit(x, 1.0 - y, 1.0 * y)

  def update(self, state, x, y):
    fresh = self.fit(x, 1 - y, y, lambda base: self.blend(state[:2], base))
    return self.blend(state, fresh)


@pytest.fixture(scope="module")
def case():
  rng = np.random.default_rng(3)
  truth = rng.random((3, 4, 5)) < 0.4
  x = rng.normal(1.0, 1.0, (3, 4, 5, 3)) + 1.2 * truth[..., None]
  # The first mask is pooled, hence soft; the paper wants it binary.
  masks = np.where(truth, rng.uniform(0.6, 1.0, truth.shape), 0.3)
  return x, masks


def run(reading, x, masks):
  """Gaussians after each frame, and the scores of the next frame's features."""
  model = AppearanceModel(features=3, update_rate=RATE, reading=reading)
  floor = jnp.asarray(np.log(np.expm1(FLOORS)), jnp.float32)  # undoes the softplus
  variables = {"params": {"raw_floor": floor}}
  x, masks = jnp.asarray(x, jnp.float32), jnp.asarray(masks, jnp.float32)
  states, scores = [], []
  for t in range(3):
    frame, mask = x[t][None], masks[t][None, None]
    if t == 0:
      state = model.apply(variables, frame, mask, method="fit")
    else:
      state = model.apply(variables, state, frame, mask, method="update")
    states.append(state.gaussians)
    following = x[(t + 1) % 3][None]
    scores.append(model.apply(variables, state, following, method="scores"))
  return states, scores


def test_paper_reading_follows_the_equations(case):
  x, masks = case
  states, scores = run("paper", x, masks)
  slides, flat = Slides(), x.reshape(3, -1, 3)
  state = None
  for t in range(3):
    y = masks[t].reshape(-1)
    state = (
      slides.start(flat[t], y > 0.5) if t == 0 else (slides.update(state, flat[t], y))
    )
    means, variances = map(np.stack, zip(*state))
    np.testing.assert_allclose(states[t].means[0, 0], means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(states[t].variances[0, 0], variances, rtol=1e-4)
    densities = [slides.density(flat[(t + 1) % 3], *gaussian) for gaussian in state]
    # The paper's log of prior and likelihood, up to what is the same for all scores.
    expected = np.log(np.stack(densities, -1)) + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(
      np.asarray(scores[t]).reshape(-1, 4), expected, rtol=1e-4, atol=1e-4
    )


def test_readings_differ_in_more_than_order(case):
  """The release swaps the residual components and counts one pseudo-position."""
  paper, _ = run("paper", *case)
  release, _ = run("release", *case)
  swapped = np.asarray(release[-1].means)[0, 0][[0, 1, 3, 2]]
  assert np.abs(np.asarray(paper[-1].means)[0, 0] - swapped).max() > 1e-2


@pytest.mark.parametrize(("reading", "kept"), [("release", False), ("paper", True)])
def test_absent_components_are_kept_in_the_paper_reading(case, reading, kept):
  """The release moves the object and its residual towards zero."""
  x, masks = case
  before, after, _ = run(reading, x, np.stack([masks[0], masks[1] * 0, masks[2]]))[0]
  for name in ("means", "variances"):
    old, new = (np.asarray(getattr(g, name))[0, 0] for g in (before, after))
    assert (np.abs(new - old).max(-1) > 1e-3)[0]  # the background was seen
    assert (np.abs(new - old).max(-1) < 1e-5)[1] == kept


@pytest.mark.parametrize("reading", ["release", "paper"])
def test_absent_objects_stay_finite(case, reading):
  x, masks = case
  masks = np.stack([masks[0] * 0, masks[1], masks[2] * 0])
  states, scores = run(reading, x, masks)
  for gaussians, score in zip(states, scores):
    assert np.isfinite(score).all()
    assert np.isfinite(gaussians.means).all()
    assert (np.asarray(gaussians.variances) > 0).all()
