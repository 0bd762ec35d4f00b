"""Scores: pure functions of features, probabilities or samples.

Each takes numpy or jax arrays of any device, or lists of numbers, and gives
plain floats. The heavy parts (products of features) run on the device in
float32 and in blocks, what is delicate on the host in float64; so a score is
the same on any device to the tolerance that the tests state. They say nothing
of where features come from: a score is only as good as the protocol that is
written down beside it.
"""

from jgan.metrics.classes import per_class
from jgan.metrics.frechet import (
  Moments,
  MomentSums,
  add_features,
  frechet_distance,
  moment_sums,
  moments,
)
from jgan.metrics.images import (
  lerp,
  ms_ssim,
  perceptual_path_length,
  slerp,
  sliced_wasserstein,
)
from jgan.metrics.inception_score import inception_score
from jgan.metrics.intervals import Estimate, Interval, bootstrap, half_samples
from jgan.metrics.kernel import kernel_distance
from jgan.metrics.manifold import (
  DensityCoverage,
  PrecisionRecall,
  density_coverage,
  precision_recall,
)
from jgan.metrics.modes import (
  LabelCoverage,
  ModeCoverage,
  label_coverage,
  mode_coverage,
)
from jgan.metrics.neighbours import (
  Memorisation,
  Neighbours,
  memorisation,
  nearest_neighbours,
)
from jgan.metrics.series import (
  autocorrelation,
  autocorrelation_distance,
  discriminative_score,
  predictive_score,
  principal_components,
)
from jgan.metrics.tables import (
  association_difference,
  associations,
  kolmogorov_smirnov,
  record_features,
  total_variation,
)
from jgan.metrics.text import bleu, ngram_cross_entropy, self_bleu

__all__ = [
  'DensityCoverage',
  'Estimate',
  'Interval',
  'LabelCoverage',
  'Memorisation',
  'ModeCoverage',
  'MomentSums',
  'Moments',
  'Neighbours',
  'PrecisionRecall',
  'add_features',
  'association_difference',
  'associations',
  'autocorrelation',
  'autocorrelation_distance',
  'bleu',
  'bootstrap',
  'density_coverage',
  'discriminative_score',
  'frechet_distance',
  'half_samples',
  'inception_score',
  'kernel_distance',
  'kolmogorov_smirnov',
  'label_coverage',
  'lerp',
  'memorisation',
  'mode_coverage',
  'moment_sums',
  'moments',
  'ms_ssim',
  'nearest_neighbours',
  'ngram_cross_entropy',
  'per_class',
  'perceptual_path_length',
  'precision_recall',
  'predictive_score',
  'principal_components',
  'record_features',
  'self_bleu',
  'slerp',
  'sliced_wasserstein',
  'total_variation',
]
