"""The Inception score by hand and against torch-fidelity's values."""

import features
import jax.numpy as jnp
import numpy as np
import pytest

from jgan.metrics import inception_score

CLASSES = np.arange(200) % 10
ONE_HOT = np.eye(10)[CLASSES]


def test_sure_and_even_is_the_number_of_classes():
  got = inception_score(ONE_HOT, splits=1)
  np.testing.assert_allclose(got, [10, 0], atol=1e-9)


def test_one_class_or_no_idea_is_1():
  for probabilities in (ONE_HOT[:1], np.full((1, 10), 0.1)):
    got = inception_score(probabilities.repeat(40, 0))
    np.testing.assert_allclose(got, [1, 0], atol=1e-9)


def test_worked_out_on_paper():
  got = inception_score(np.array([[0.5, 0.5], [1.0, 0.0]]), splits=1)
  # p(y) = (3/4, 1/4): log(2/3) / 2 + log(2) / 2, and log(4/3).
  divergences = [(np.log(2 / 3) + np.log(2)) / 2, np.log(4 / 3)]
  np.testing.assert_allclose(got.mean, np.exp(np.mean(divergences)), rtol=1e-12)


@pytest.mark.parametrize('name', features.SETS)
def test_agrees_with_torch_fidelity_on_its_splits(name):
  probabilities, _ = features.probabilities(features.SETS[name]()[0])
  got = inception_score(jnp.asarray(probabilities), splits=10, seed=5)
  np.testing.assert_allclose(got, features.GOLDEN[name]['inception'], rtol=1e-5)


def test_splits_take_all_samples_though_they_do_not_divide():
  uneven = ONE_HOT[[0, 1, 2, 3, 3]]
  got = inception_score(uneven, splits=2, seed=None)
  # Two classes in the first, one and twice another in the second.
  expected = (2 + 3 ** (1 / 3) * 1.5 ** (2 / 3)) / 2
  np.testing.assert_allclose(got.mean, expected)


def test_samples_sorted_by_class_are_dealt_out():
  ordered = ONE_HOT[np.argsort(CLASSES)]
  assert inception_score(ordered).mean > 7
  assert inception_score(ordered, seed=None).mean == pytest.approx(1)


@pytest.mark.parametrize(
  ('probabilities', 'message'),
  [
    (np.log(ONE_HOT + 0.1), 'Logits go through a softmax'),
    (ONE_HOT * 2, 'sums from 2 to 2'),
    (ONE_HOT[:9], r'at least 10 samples \(for 10 splits\), got 9'),
    (ONE_HOT * np.nan, 'probabilities holds NaN'),
  ],
)
def test_mistakes_give_no_score(probabilities, message):
  with pytest.raises(ValueError, match='needs splits of 1 or more, got 0'):
    inception_score(np.eye(4), splits=0)
  with pytest.raises(ValueError, match=message):
    inception_score(probabilities)
