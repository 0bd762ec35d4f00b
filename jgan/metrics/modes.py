"""Mode coverage: which modes of a known distribution samples fall into."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Real
from scipy.special import rel_entr

from jgan.metrics import arrays, distances
from jgan.metrics.arrays import Array, Features


class ModeCoverage(NamedTuple):
  """Of samples of a mixture of Gaussians.

  Attributes:
    modes: modes with at least one high-quality sample.
    high_quality: share of the samples that lie close to a centre.
    reverse_kl: KL of the high-quality samples' modes from uniform, in nats: 0
      where all modes are equally frequent, log(modes) where there is one;
      infinite without high-quality samples.
  """

  modes: int
  high_quality: float
  reverse_kl: float


class LabelCoverage(NamedTuple):
  """Of labelled samples.

  Attributes:
    modes: labels that occur.
    kl: KL(samples' labels || reference), in nats.
  """

  modes: int
  kl: float


def mode_coverage(
  samples: Features, centres: Features, std: float, radius: float = 3.0
) -> ModeCoverage:
  """Counts the Gaussians of a mixture that samples reach.

  A sample belongs to its nearest centre, and is of high quality if it lies
  within `radius` standard deviations of it.

  Args:
    samples: `[n, d]`; published figures have n = 2,500 and d = 2.
    centres: `[m, d]`, of equally probable modes.
    std: of each mode, along each axis.
    radius: in standard deviations.

  Raises:
    ValueError: NaN or infinity, different dimensions, or a std or radius that
      is not positive.

  References:
    Srivastava et al., VEEGAN, 2017, section 4
    (https://arxiv.org/abs/1705.07761); Lin et al., PacGAN, 2018, section 4.1
    (https://arxiv.org/abs/1712.04086).
  """
  samples, centres = arrays.features(
    'mode_coverage', samples=samples, centres=centres
  )
  if not (std > 0 and radius > 0):
    raise ValueError(
      f'mode_coverage: needs a positive std and radius, got {std=}, {radius=}.'
    )
  squared, nearest = distances.nearest(samples, centres, 1)
  good = squared[:, 0] <= (radius * std) ** 2
  counts = np.bincount(nearest[good, 0], minlength=len(centres))
  return ModeCoverage(
    int((counts > 0).sum()),
    float(good.mean()),
    _divergence(counts, np.ones(len(centres))) if good.any() else np.inf,
  )


def label_coverage(
  labels: Integer[Array, '_'],
  num_modes: int,
  reference: Real[Array, '_'] | None = None,
) -> LabelCoverage:
  """Counts the labels that samples have, and how unevenly.

  For Stacked MNIST the labels are those of a digit classifier on the three
  channels, 100 a + 10 b + c, of 1,000 modes, and n = 26,000: even perfect
  samples have a divergence of about (num_modes - 1) / 2n.

  Args:
    labels: `[n]`, from 0 to num_modes - 1.
    num_modes: how many labels there are.
    reference: frequencies or counts of the labels in the data `[num_modes]`;
      None if they are uniform. The divergence is infinite where a label occurs
      that the reference lacks.

  Raises:
    ValueError: no labels, one out of range, or no integers [n]; or a reference
      of another size or of no frequencies: below 0, not finite, or all 0.

  References:
    Metz et al., Unrolled GAN, 2016, section 3.3.1
    (https://arxiv.org/abs/1611.02163); Lin et al., PacGAN, 2018, section 4.2
    (https://arxiv.org/abs/1712.04086).
  """
  labels = np.asarray(labels)
  if labels.ndim != 1 or (labels.size and labels.dtype.kind not in 'biu'):
    raise ValueError(
      'label_coverage: needs labels [n] of integers, got '
      f'{labels.dtype}{list(labels.shape)}.'
    )
  if labels.size == 0 or labels.min() < 0 or labels.max() >= num_modes:
    found = f'{labels.min()} to {labels.max()}' if labels.size else 'none'
    raise ValueError(
      f'label_coverage: needs labels from 0 to {num_modes - 1}, got {found}.'
    )
  reference = np.asarray(np.ones(num_modes) if reference is None else reference)
  if reference.shape != (num_modes,):
    raise ValueError(
      f'label_coverage: needs a reference of {num_modes} frequencies, got the '
      f'shape {list(reference.shape)}.'
    )
  if not (reference.min() >= 0 and 0 < reference.sum() < np.inf):
    raise ValueError(
      'label_coverage: needs a reference of frequencies, 0 or more and not all '
      f'0, got {reference.min():g} to {reference.max():g}.'
    )
  counts = np.bincount(labels, minlength=num_modes)
  return LabelCoverage(int((counts > 0).sum()), _divergence(counts, reference))


def _divergence(counts, reference):
  reference = reference / np.sum(reference, dtype=np.float64)
  return float(rel_entr(counts / counts.sum(), reference).sum())
