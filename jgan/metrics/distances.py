r"""Euclidean distances between many features: exact, and in blocks.

The device compares in float32, by :math:`|q|^2 + |r|^2 - 2\, q \cdot r` of
centred features. Where its rounding could decide, the host takes over, in
float64: by the same formula where that is so for many pairs (samples that have
collapsed to a few points), and then by the differences themselves. So the
answers are those of float64, the same on every device and for every size of
block, and a copy is at the very distance of its original.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_BLOCK = 4096  # rows: a block of distances has 64 MiB
_SPARE = 8  # neighbours looked at beyond those asked for


class _Rows(NamedTuple):
  """Centred features and their squared norms, `[n, d]` and `[n]`."""

  values: jax.Array | np.ndarray
  norms: jax.Array | np.ndarray


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
  centre = references.mean(0, dtype=np.float64)
  count = min(k + _SPARE, len(references))
  on_device = _on_device(references, centre)
  squared = np.empty((len(queries), k))
  indices = np.empty((len(queries), k), np.int64)
  for part in _parts(len(queries)):
    block = _centred(queries[part], centre, np.float32)
    values, candidates = _candidates(block, on_device, count)
    squared[part], indices[part] = _in_order(
      queries[part], references, candidates, k
    )
    # No reference left out can be nearer than the k-th found if float32 put
    # all of them farther away than that by more than its error.
    norms, farthest = block.norms, squared[part, -1]
    error = norms + (np.sqrt(norms) + np.sqrt(farthest)) ** 2
    error *= _tolerance(block)
    unsure = (values[:, -1] - error <= farthest) & (farthest > 0)
    rows = part.start + np.flatnonzero(unsure)
    if len(rows) and count < len(references):
      candidates = _host_candidates(queries[rows], references, centre, count)
      squared[rows], indices[rows] = _in_order(
        queries[rows], references, candidates, k
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
  middle = centres.mean(0, dtype=np.float64)
  on_device = _on_device(centres, middle)
  counts = np.zeros(len(points), np.int64)
  for rows in _parts(len(points)):
    block = jax.device_put(_centred(points[rows], middle, np.float32))
    for columns, centre_block in on_device:
      radii = squared_radii[columns]
      sure, unsure = _compare_on_device(block, centre_block, radii)
      if np.sum(unsure) > _BLOCK:
        sure, unsure = _compare(
          _centred(points[rows], middle, np.float64),
          _centred(centres[columns], middle, np.float64),
          radii,
        )
      counts[rows] += np.asarray(sure)
      point, centre = np.nonzero(np.asarray(unsure))
      point, centre = point + rows.start, centre + columns.start
      squared = _squared_differences(points, point, centres, centre)
      np.add.at(counts, point[squared <= squared_radii[centre]], 1)
  return counts


def _parts(count: int) -> Iterator[slice]:
  for start in range(0, count, _BLOCK):
    yield slice(start, min(start + _BLOCK, count))


def _centred(x, centre, dtype) -> _Rows:
  with np.errstate(over='ignore'):
    values = np.subtract(x, centre, dtype=np.float64).astype(dtype)
    norms = np.einsum('nd,nd->n', values, values, dtype=np.float64)
  if not norms.max() < np.finfo(dtype).max / 8:
    raise ValueError(
      'distances: the features are too large for float32; rescale them.'
    )
  return _Rows(values, norms.astype(dtype))


def _on_device(x, centre) -> list[tuple[slice, _Rows]]:
  return [
    (part, jax.device_put(_centred(x[part], centre, np.float32)))
    for part in _parts(len(x))
  ]


def _tolerance(rows: _Rows) -> float:
  """The error of a squared distance, of |q|^2 + |r|^2."""
  # Its own few roundings, and those of a sum of d products, which walk as
  # sqrt(d). The worst seen, with products all alike, is 1.5 sqrt(d) epsilons.
  epsilon = np.finfo(rows.values.dtype).eps
  return float(epsilon * (8 + 2 * np.sqrt(rows.values.shape[1])))


def _squared(queries: _Rows, references: _Rows):
  # Without `highest`, GPUs multiply in TF32 and TPUs in bfloat16.
  with jax.default_matmul_precision('highest'):
    products = queries.values @ references.values.T
  return queries.norms[:, None] + references.norms[None] - 2 * products


def _candidates(queries, blocks, count):
  """Squared distances and positions of the nearest by float32, in order."""
  queries = jax.device_put(queries)
  shape = (len(queries.norms), count)
  best = jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)
  for part, references in blocks:
    best = _better(best, queries, references, np.int32(part.start))
  return jax.device_get(best)


@jax.jit
def _better(best, queries, references, start):
  values, indices = best
  count = values.shape[1]
  negative, here = lax.top_k(
    -_squared(queries, references), min(count, references.norms.shape[0])
  )
  values = jnp.concatenate([values, -negative], axis=1)
  indices = jnp.concatenate([indices, start + here], axis=1)
  negative, chosen = lax.top_k(-values, count)
  return -negative, jnp.take_along_axis(indices, chosen, axis=1)


def _host_candidates(queries, references, centre, count):
  """As `_candidates`, in float64 on the host; positions alone, in no order."""
  queries = _centred(queries, centre, np.float64)
  values = np.empty((len(queries.norms), 0))
  indices = np.empty(values.shape, np.int64)
  for part in _parts(len(references)):
    block = _centred(references[part], centre, np.float64)
    here = _squared(queries, block)
    there = np.broadcast_to(np.arange(part.start, part.stop), here.shape)
    values = np.concatenate([values, here], axis=1)
    indices = np.concatenate([indices, there], axis=1)
    chosen = np.argpartition(values, min(count, values.shape[1]) - 1, axis=1)
    chosen = chosen[:, :count]
    values = np.take_along_axis(values, chosen, 1)
    indices = np.take_along_axis(indices, chosen, 1)
  return indices


def _in_order(queries, references, candidates, k):
  """The k nearest among the candidates [n, count], by exact distances."""
  every = np.arange(len(queries))
  squared = np.stack(
    [
      _squared_differences(queries, every, references, column)
      for column in candidates.T
    ],
    axis=1,
  )
  order = np.argsort(squared, axis=1, kind='stable')[:, :k]
  return (
    np.take_along_axis(squared, order, 1),
    np.take_along_axis(candidates, order, 1),
  )


def _squared_differences(a, i, b, j):
  """Squared distances of a[i] and b[j], pair by pair, in float64.

  The same value for (a, b) and (b, a), in any company.
  """
  squared = np.empty(len(i))
  for part in _parts(len(i)):
    gap = np.subtract(a[i[part]], b[j[part]], dtype=np.float64)
    squared[part] = np.square(gap).sum(-1)
  return squared


def _compare(points: _Rows, centres: _Rows, squared_radii):
  """Of each point, the balls that surely hold it; and the pairs in doubt."""
  excess = _squared(points, centres) - squared_radii[None]
  error = points.norms[:, None] + centres.norms[None]
  # Never 0, lest a radius just below 0 be taken for 0.
  error = error * _tolerance(points) + np.finfo(points.values.dtype).tiny
  return (excess <= -error).sum(1), abs(excess) < error


_compare_on_device = jax.jit(_compare)
