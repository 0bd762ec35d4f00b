"""Scores class by class."""

import numpy as np
import pytest

from jgan.metrics import frechet_distance, per_class

REAL, FAKE = np.random.RandomState(0).normal(size=(2, 90, 2))
LABELS = np.arange(90) % 3


def test_each_class_is_scored_by_itself():
  got = per_class(frechet_distance, REAL, LABELS, FAKE, LABELS)
  assert list(got) == [0, 1, 2]
  assert got[1] == frechet_distance(REAL[1::3], FAKE[1::3])


def test_chosen_classes_only():
  got = per_class(lambda r, f: len(f), REAL, LABELS, FAKE, LABELS * 2, [2])
  assert got == {2: 30}


def test_mistakes_give_no_score():
  with pytest.raises(ValueError, match='fake has no samples of class 1'):
    per_class(frechet_distance, REAL, LABELS, FAKE, LABELS * 2)
  with pytest.raises(ValueError, match='got 90 labels and 80 samples'):
    per_class(frechet_distance, REAL[:80], LABELS, FAKE, LABELS)
