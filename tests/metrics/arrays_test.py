"""What scores take beside arrays."""

import jax
import jaxtyping
import numpy as np
import pytest

from jgan import metrics

FEATURES = np.random.default_rng(0).normal(size=(12, 3))
COLUMNS = FEATURES[:, 0], np.arange(12) % 3


def mean(x):
  return x.mean()


@pytest.mark.parametrize(
  ('score', 'given'),
  [
    (
      lambda x: metrics.add_features(metrics.moment_sums(3), x)._asdict(),
      [FEATURES],
    ),
    (
      lambda a, b, t: metrics.perceptual_path_length(
        lambda z: z, lambda x: x, a, b, t
      ),
      [FEATURES, FEATURES[::-1], np.linspace(0, 1, 12)],
    ),
    (lambda x: metrics.bootstrap(mean, x, resamples=3), [FEATURES]),
    (lambda x: metrics.half_samples(mean, x, resamples=3), [FEATURES]),
    (lambda *x: metrics.associations(x), COLUMNS),
    (lambda *x: metrics.association_difference(x, x), COLUMNS),
    (lambda *x: metrics.record_features(x, x), COLUMNS),
  ],
)
def test_lists_score_as_arrays_do(score, given, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  of_lists = score(*(x.tolist() for x in given))
  jax.tree.map(np.testing.assert_array_equal, of_lists, score(*given))
