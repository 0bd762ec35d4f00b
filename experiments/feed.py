"""The batches of runs on their devices: drawn there, or streamed to them.

Either way batch number `step` is `data.batch(source, seed, step, batch_size)`,
a pure function of the seed and the step.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    read: `read(stored, inputs)` is the batch of one step of a run, within a
      program.
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
  rows = local_rows(mesh, batch_size)
  reading = _resident if _lies_on(mesh, source) else _streamed
  own = reading(source, seed, batch_size, rows)
  return _fed(own, mesh, steps, ahead)


def feed_members(
  sources: Sequence[data.Source],
  mesh: Mesh,
  seeds: Sequence[int],
  batch_size: int,
  steps: range,
  ahead: int = 1,
  *,
  gather: Callable[[Sequence[PyTree]], PyTree],
) -> Feed:
  """Feeds several runs of one process, each as `feed` would feed it alone.

  From the devices if all have one source that fits there: it is copied to each
  device once. Otherwise batches are streamed.

  Args:
    sources: by run; the same object where the data are the same.
    mesh: the devices, over which the leading axis of what `gather` makes is
      divided.
    seeds: by run.
    batch_size: examples in a step of each run.
    steps: those to be fed, in this order.
    ahead: steps that are asked for at a time.
    gather: makes one tree of what each run reads in a step.
  """
  one = all(source is sources[0] for source in sources)
  resident = one and _lies_on(mesh, sources[0])
  reading = _resident if resident else _streamed
  each = [
    reading(source, seed, batch_size, slice(batch_size))
    for source, seed in zip(sources, seeds, strict=True)
  ]
  together = each[0]._replace(
    part=lambda step: gather([own.part(step) for own in each])
  )
  return _fed(together, mesh, steps, ahead)


def same(one: PyTree, other: PyTree) -> bool:
  """Whether two sources are alike, so that one may stand for both.

  `data.Resident` ones are where all that they hold is alike; of others nothing
  is known, but that a source is like itself.
  """
  if one is other:
    return True
  if type(one) is not type(other):
    return False
  if isinstance(one, np.ndarray):
    return one.dtype == other.dtype and np.array_equal(one, other)
  if isinstance(one, Mapping):
    return one.keys() == other.keys() and all(
      same(one[name], other[name]) for name in one
    )
  if isinstance(one, data.Resident):
    return same(vars(one), vars(other))
  return isinstance(one, int | float | str | tuple) and one == other


def _lies_on(mesh: Mesh, source: data.Source) -> bool:
  """Whether the devices are to hold this source."""
  return isinstance(source, data.Resident) and fits(source.arrays, mesh)


def fits(arrays: PyTree, mesh: Mesh) -> bool:
  """Whether arrays take at most SHARE of a device's memory.

  On a CPU they do: its memory is where they are.
  """
  size = sum(array.nbytes for array in jax.tree.leaves(arrays))
  memory = mesh.local_devices[0].memory_stats() or {}
  return size <= SHARE * memory.get('bytes_limit', np.inf)


class _Reading(NamedTuple):
  """How a run reads its batches: `stored` and `read` as of `Feed`.

  `part(step)` is what this process reads of a step beside what is stored.
  """

  stored: PyTree
  part: Callable[[int], PyTree]
  read: Callable[[PyTree, PyTree], jgan.Batch]


def _resident(source, seed, batch_size, rows) -> _Reading:
  index = np.arange(batch_size, dtype=np.int32)[rows]

  def part(step):
    taken = data.indices(seed, step, batch_size, len(source))[rows]
    return {'position': taken.astype(np.int32), 'index': index}

  def read(stored, inputs):
    examples = source.take(stored, inputs['position'])
    return {**examples, 'index': inputs['index']}

  return _Reading(source.arrays, part, read)


def _streamed(source, seed, batch_size, rows) -> _Reading:
  def part(step):
    return data.batch(source, seed, step, batch_size, rows)

  return _Reading({}, part, lambda _, inputs: inputs)


def _made_ahead(
  part: Callable[[int], PyTree], steps: range, ahead: int
) -> Iterator[PyTree]:
  """The parts of the steps, made in threads."""
  # Imported where it is used: it takes a second, and most sets do fit.
  import grain

  return iter(
    grain.MapDataset.range(steps.start, steps.stop)
    .map(part)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=2, prefetch_buffer_size=2 * ahead + 2)
    )
  )


def _fed(reading: _Reading, mesh: Mesh, steps: range, ahead: int) -> Feed:
  """A feed whose leading axis of each part is divided over the mesh."""
  sharding = NamedSharding(mesh, PartitionSpec(None, mesh.axis_names[0]))
  processes = mesh.size // len(mesh.local_devices)
  stored = put(reading.stored, jgan.sharding.replicated(mesh))
  if jax.tree.leaves(reading.stored):
    parts = map(reading.part, steps)
  else:
    parts = _made_ahead(reading.part, steps, ahead)
  with building():
    first = next(parts)
  parts = itertools.chain([first], parts)

  def inputs(count):
    with building():
      taken = list(itertools.islice(parts, count))
    local = jax.tree.map(lambda *xs: np.stack(xs), *taken)
    if processes == 1:
      return jax.device_put(local, sharding)
    return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(
        sharding, x, (count, processes * x.shape[1], *x.shape[2:])
      ),
      local,
    )

  def form(count):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (count, processes * x.shape[0], *x.shape[1:]),
        x.dtype,
        sharding=sharding,
      ),
      first,
    )

  return Feed(stored, inputs, form, reading.read)


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
