"""Scores class by class, for conditional models."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from jgan.metrics.arrays import Array, Features


def per_class(
  score: Callable[[np.ndarray, np.ndarray], Any],
  real: Features,
  real_labels: Integer[Array, '_'],
  fake: Features,
  fake_labels: Integer[Array, '_'],
  classes: Sequence[int] | None = None,
) -> dict[int, Any]:
  """A score of each class by itself.

  With `frechet_distance`, the mean over the classes is the intra-class FID.

  Args:
    score: of the real and the fake features of one class.
    real: `[n, d]`.
    real_labels: `[n]`.
    fake: `[m, d]`.
    fake_labels: `[m]`, the classes that the fakes were made for.
    classes: those wanted; None for all that the reals have.

  Returns:
    What `score` returns, by class.

  Raises:
    ValueError: samples and labels differ in number, or a class has no reals or
      no fakes.

  References:
    Miyato and Koyama, cGANs with Projection Discriminator, 2018, section 4
    (https://arxiv.org/abs/1802.05637).
  """
  sides = []
  for name, features, labels in (
    ('real', real, real_labels),
    ('fake', fake, fake_labels),
  ):
    if len(features) != len(labels):
      raise ValueError(
        f'per_class: {name} needs a label for each sample, got {len(labels)} '
        f'labels and {len(features)} samples.'
      )
    sides.append((name, np.asarray(features), np.asarray(labels)))
  if classes is None:
    classes = np.unique(sides[0][2]).tolist()
  return {c: score(*(_of_class(c, *side) for side in sides)) for c in classes}


def _of_class(number, name, features, labels):
  chosen = features[labels == number]
  if not len(chosen):
    raise ValueError(f'per_class: {name} has no samples of class {number}.')
  return chosen
