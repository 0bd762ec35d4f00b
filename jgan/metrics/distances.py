r"""Euclidean distances between many features: exact, and in blocks.

The device compares in float32, by :math:`|q|^2 + |r|^2 - 2\, q \cdot r` of
centred features. Where its rounding could decide, the host computes the pair
again in float64, from the differences themselves. So the answers are those of
float64, the same on every device and for every size of block, and equal
distances are equal: a copy is at the very distance of its original.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_BLOCK = 4096  # rows: a block of distances has 64 MiB
_SPARE = 8  # neighbours looked at beyond those asked for
_LARGEST = 1e37  # squared norm: four of them fit into float32


class _Blocks(NamedTuple):
  """Centred features in float32 on the device, in blocks of equal size.

  Attributes:
    rows: `[blocks, size, d]`, the last padded.
    norms: `[blocks, size]`, squared; infinite in the padding, which is so
      infinitely far from everything.
  """

  rows: jax.Array
  norms: jax.Array


def nearest(
  queries: np.ndarray, references: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """Squared distances and positions of the k nearest references.

  Args:
    queries: `[n, d]`.
    references: `[m, d]`, m at least k.
    k: how many.

  Returns:
    float64 and int64, both `[n, k]`, the nearest first.
  """
  queries_on, references_on = _on_device(queries, references)
  count = min(k + _SPARE, len(references))
  squared = np.empty((len(queries), k))
  indices = np.empty((len(queries), k), np.int64)
  size = queries_on.norms.shape[1]
  for i, start in enumerate(range(0, len(queries), size)):
    rows = slice(start, start + size)
    block = _Blocks(*(a[i] for a in queries_on))
    found = jax.device_get(_candidates(block, references_on, count))
    found = [a[: len(queries[rows])] for a in found]
    squared[rows], indices[rows] = _settled(
      queries[rows], references, k, *found
    )
  return squared, indices


def ball_counts(
  points: np.ndarray, centres: np.ndarray, squared_radii: np.ndarray
) -> np.ndarray:
  """How many of the balls hold each point; a ball holds its surface.

  Args:
    points: `[n, d]`.
    centres: `[m, d]`.
    squared_radii: float64 `[m]`.

  Returns:
    int64 `[n]`.
  """
  points_on, centres_on = _on_device(points, centres)
  radii = np.full(centres_on.norms.size, -np.inf)  # the padding holds nothing
  radii[: len(centres)] = squared_radii
  radii = radii.reshape(centres_on.norms.shape)
  counts = np.zeros(len(points), np.int64)
  for i, start in enumerate(range(0, len(points), points_on.norms.shape[1])):
    block = _Blocks(*(a[i] for a in points_on))
    for j in range(len(radii)):
      centre_block = _Blocks(*(a[j] for a in centres_on))
      sure, unsure = _compare(block, centre_block, radii[j])
      held = np.asarray(sure)[: len(points) - start]
      counts[start : start + len(held)] += held
      point, centre = np.nonzero(np.asarray(unsure))
      point, centre = point + start, centre + j * radii.shape[1]
      squared = _exactly(points, point, centres, centre)
      inside = squared <= squared_radii[centre]
      counts += np.bincount(point[inside], minlength=len(points))
  return counts


def _on_device(*features):
  centre = features[-1].mean(0, dtype=np.float64)
  return [_blocks(x, centre) for x in features]


def _blocks(x, centre) -> _Blocks:
  size = min(_BLOCK, len(x))
  count = -(-len(x) // size)
  padding = count * size - len(x)
  rows = np.zeros((count * size, x.shape[1]), np.float32)
  with np.errstate(over='ignore'):
    np.subtract(x, centre, out=rows[: len(x)], casting='same_kind')
  norms = np.einsum('nd,nd->n', rows, rows, dtype=np.float64)
  if not norms.max() < _LARGEST:
    raise ValueError(
      'distances: the features are too large for float32; rescale them.'
    )
  norms = np.pad(
    norms[: len(x)].astype(np.float32), (0, padding), constant_values=np.inf
  )
  return _Blocks(
    jnp.asarray(rows.reshape(count, size, -1)),
    jnp.asarray(norms.reshape(count, size)),
  )


def _tolerance(dimension: int) -> float:
  # Of |q|^2 + |r|^2, the error of a float32 squared distance: its own few
  # roundings, and those of a sum of d products, which walk as sqrt(d). The
  # worst seen, with products all alike, is 1.5 sqrt(d) epsilons.
  return float(np.finfo(np.float32).eps * (8 + 2 * np.sqrt(dimension)))


def _approximate(queries, references):
  products = jnp.matmul(queries.rows, references.rows.T, precision='highest')
  return queries.norms[:, None] + references.norms[None] - 2 * products


@functools.partial(jax.jit, static_argnames='count')
def _candidates(queries, references, count):
  """The `count` nearest by float32, and the squared norms of the queries."""
  size = references.norms.shape[1]

  def merge(best, block):
    start, references = block
    values, indices = lax.top_k(
      -_approximate(queries, references), min(count, size)
    )
    values = jnp.concatenate([best[0], values], axis=1)
    indices = jnp.concatenate([best[1], start + indices], axis=1)
    values, chosen = lax.top_k(values, count)
    return (values, jnp.take_along_axis(indices, chosen, 1)), None

  shape = (queries.norms.shape[0], count)
  none = jnp.full(shape, -jnp.inf), jnp.zeros(shape, jnp.int32)
  starts = jnp.arange(references.norms.shape[0], dtype=jnp.int32) * size
  (values, indices), _ = lax.scan(merge, none, (starts, references))
  return -values, indices, queries.norms


def _settled(queries, references, k, approximate, candidates, norms):
  """Float64 decides among the candidates, or among all where need be."""
  every = np.arange(len(queries))
  squared = [_exactly(queries, every, references, c) for c in candidates.T]
  squared = np.stack(squared, 1)
  order = np.argsort(squared, axis=1, kind='stable')[:, :k]
  squared = np.take_along_axis(squared, order, 1)
  indices = np.take_along_axis(candidates, order, 1)
  # No reference left out can be nearer than the k-th found if float32 put all
  # of them farther away than that by more than its error.
  farthest = squared[:, -1]
  error = norms + (np.sqrt(norms) + np.sqrt(farthest)) ** 2
  error *= _tolerance(queries.shape[1])
  sure = (approximate[:, -1] - error > farthest) | (farthest == 0)
  if candidates.shape[1] < len(references):
    for row in np.flatnonzero(~sure):
      every = np.arange(len(references))
      exact = _exactly(queries, np.full_like(every, row), references, every)
      indices[row] = np.argsort(exact, kind='stable')[:k]
      squared[row] = exact[indices[row]]
  return squared, indices


@jax.jit
def _compare(points, centres, squared_radii):
  """Balls that surely hold each point, and pairs that float64 must settle."""
  excess = _approximate(points, centres) - squared_radii[None]
  error = points.norms[:, None] + centres.norms[None]
  # The smallest float decides where all is 0.
  error = error * _tolerance(points.rows.shape[1]) + 1e-37
  return (excess <= -error).sum(1), jnp.abs(excess) < error


def _exactly(a, i, b, j):
  """Squared distances of a[i] and b[j], pair by pair, in float64.

  The same value for (a, b) and (b, a), in any company.
  """
  squared = np.empty(len(i))
  for start in range(0, len(i), _BLOCK):
    part = slice(start, start + _BLOCK)
    gap = np.subtract(a[i[part]], b[j[part]], dtype=np.float64)
    squared[part] = np.square(gap).sum(-1)
  return squared
