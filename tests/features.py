"""Features to score: two random sets, and two of real digits."""

import functools

import numpy as np

from experiments.data.digits import digits


def random(n=1200, m=1000, d=48, seed=0):
  """Normal reals and fakes, a little shifted and wider; float32."""
  rng = np.random.RandomState(seed)
  spread = np.linspace(1, 0.05, d)
  real = rng.normal(size=(n, d)) * spread
  fake = rng.normal(size=(m, d)) * spread * 1.1 + 0.05
  return real.astype(np.float32), fake.astype(np.float32)


@functools.cache
def of_digits():
  """Rectified projections of 1,250 digits and of as many others with noise."""
  rng = np.random.RandomState(7)
  pixels = digits(28).arrays['image'].reshape(5000, -1) / 255.0
  real, fake = pixels[::4], pixels[2::4]
  fake = np.clip(fake + 0.15 * rng.normal(size=fake.shape), 0, 1)
  weights = rng.normal(size=(784, 64)) / 8
  return tuple(
    np.maximum(x @ weights, 0).astype(np.float32) for x in (real, fake)
  )


SETS = {'random': random, 'digits': of_digits}


def probabilities(features, classes=10):
  """Of a classifier with random weights: float32, and its float64 logits."""
  weights = np.random.RandomState(3).normal(size=(features.shape[1], classes))
  logits = 2 * features.astype(np.float64) @ weights
  logits -= logits.max(1, keepdims=True)
  odds = np.exp(logits)
  return (odds / odds.sum(1, keepdims=True)).astype(np.float32), logits


def pictures(channels):
  """Four pairs in [0, 1], float32 [4, 192, 176, channels], ever less alike."""
  rng = np.random.RandomState(11)
  coarse = rng.uniform(size=(4, 24, 22, channels))
  a = coarse.repeat(8, 1).repeat(8, 2)
  noise = rng.uniform(size=a.shape)
  much = np.array([0.02, 0.1, 0.3, 0.9])[:, None, None, None]
  b = (1 - much) * a + much * noise
  return a.astype(np.float32), b.astype(np.float32)


# What other implementations say of these, asked as in metrics/oracles_test.py:
# torch-fidelity 0.4.0, prdc 0.2 and pytorch-msssim 1.0.0.
GOLDEN = {
  'random': {
    'frechet': 0.635675236040143,
    'kernel': (0.010219462347841036, 0.002171830983108895),
    'inception': (6.869526912432332, 0.30160598870318084),
    'manifold': (485 / 1000, 1071 / 1200),
    'density': (0.4082, 904 / 1200),
  },
  'digits': {
    'frechet': 1.3048771142704894,
    'kernel': (0.06206595206145562, 0.006659355212704856),
    'inception': (4.377316078100832, 0.3156519779725355),
    'manifold': (870 / 1250, 1009 / 1250),
    'density': (0.63376, 1034 / 1250),
  },
  'pictures': {
    1: (0.9996337410, 0.9910581928, 0.9145600831, 0.1772064433),
    3: (0.9996502054, 0.9909675788, 0.9160008283, 0.1782051209),
  },
}
