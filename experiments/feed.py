"""The batches of a run on its devices: drawn there, or streamed to them.

Either way batch number `step` is `data.batch(source, seed, step, batch_size)`,
a pure function of the seed and the step.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

import jgan
from experiments import data
from experiments.errors import building

# Of a device's memory that a data set may take; the rest is the training's.
SHARE = 0.25


class Feed(NamedTuple):
  """Where the batches come from, and how a compiled program reads them.

  Attributes:
    stored: arrays that every device holds, an argument of each program.
    inputs: `inputs(count)` is what the next `count` steps read, stacked along a
      leading axis and on the devices; the first call is for the first step.
    form: `form(count)`: shapes and shardings of such inputs.
    read: `read(stored, inputs)` is the batch of one step, within a program.
  """

  stored: PyTree
  inputs: Callable[[int], PyTree]
  form: Callable[[int], PyTree]
  read: Callable[[PyTree, PyTree], jgan.Batch]


def feed(
  source: data.Source,
  mesh: Mesh,
  seed: int,
  batch_size: int,
  steps: range,
  ahead: int = 1,
) -> Feed:
  """Feeds a run from a source: from the devices if it fits there.

  Args:
    source: the examples. `data.Resident` ones of at most SHARE of a device's
      memory are copied to every device; of others, batches are made in
      threads, each process its part of them, while the devices compute.
    mesh: the devices, over which each batch is divided.
    seed: the run's.
    batch_size: examples in a step, on all devices.
    steps: those to be fed, in this order.
    ahead: steps that are asked for at a time.
  """
  if isinstance(source, data.Resident) and fits(source.arrays, mesh):
    return _resident(source, mesh, seed, batch_size, steps)
  return _streamed(source, mesh, seed, batch_size, steps, ahead)


def fits(arrays: PyTree, mesh: Mesh) -> bool:
  """Whether arrays take at most SHARE of a device's memory.

  On a CPU they do: its memory is where they are.
  """
  size = sum(array.nbytes for array in jax.tree.leaves(arrays))
  memory = mesh.local_devices[0].memory_stats() or {}
  return size <= SHARE * memory.get('bytes_limit', np.inf)


def _resident(source, mesh, seed, batch_size, steps) -> Feed:
  stored = put(source.arrays, jgan.sharding.replicated(mesh))
  rows = local_rows(mesh, batch_size)
  index = np.arange(batch_size, dtype=np.int32)

  def position(step):
    taken = data.indices(seed, step, batch_size, len(source))
    return taken.astype(np.int32)

  positions = (
    {'position': position(step)[rows], 'index': index[rows]} for step in steps
  )

  def read(stored, inputs):
    examples = source.take(stored, inputs['position'])
    return {**examples, 'index': inputs['index']}

  return _fed(stored, mesh, batch_size, positions, read)


def _streamed(source, mesh, seed, batch_size, steps, ahead) -> Feed:
  # Imported where it is used: it takes a second, and most sets do fit.
  import grain

  rows = local_rows(mesh, batch_size)

  def make(step):
    return data.batch(source, seed, step, batch_size, rows)

  batches = (
    grain.MapDataset.range(steps.start, steps.stop)
    .map(make)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=2, prefetch_buffer_size=2 * ahead + 2)
    )
  )
  return _fed({}, mesh, batch_size, iter(batches), lambda _, inputs: inputs)


def _fed(
  stored: PyTree,
  mesh: Mesh,
  batch_size: int,
  parts: Iterator[Mapping[str, np.ndarray]],
  read: Callable[[PyTree, PyTree], jgan.Batch],
) -> Feed:
  """A feed whose steps read `parts`, this process's rows of each array."""
  sharding = NamedSharding(mesh, PartitionSpec(None, mesh.axis_names[0]))
  with building():
    first = next(parts)
  parts = itertools.chain([first], parts)

  def inputs(count):
    with building():
      taken = list(itertools.islice(parts, count))
    local = jax.tree.map(lambda *xs: np.stack(xs), *taken)
    return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(
        sharding, x, (count, batch_size, *x.shape[2:])
      ),
      local,
    )

  def form(count):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (count, batch_size, *x.shape[1:]), x.dtype, sharding=sharding
      ),
      first,
    )

  return Feed(stored, inputs, form, read)


def local_rows(mesh: Mesh, batch_size: int) -> slice:
  """The rows of a batch that lie on the devices of this process."""
  places = jgan.sharding.over_examples(mesh).addressable_devices_indices_map(
    (batch_size,)
  )
  ranges = [rows.indices(batch_size) for (rows,) in places.values()]
  return slice(min(r[0] for r in ranges), max(r[1] for r in ranges))


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
  """Arrays that all processes have alike, on all of their devices."""

  def place(x: np.ndarray) -> Array:
    return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])

  return jax.tree.map(place, tree)
