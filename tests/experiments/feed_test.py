"""Batches on the devices: the same drawn there and streamed, in any order."""

import jax
import numpy as np
import pytest

import jgan
from experiments import data
from experiments.errors import UserError
from experiments.feed import (
  SHARE,
  feed,
  feed_members,
  fits,
  local_rows,
  same,
)

LENGTH, BATCH, SEED = 11, 8, 3
MESH = jgan.sharding.data_mesh(jax.devices())


class Streamed:
  """A source of which nothing is known but its examples."""

  def __init__(self, source):
    self.source = source

  def __len__(self):
    return len(self.source)

  def __getitem__(self, indices):
    return self.source[indices]


class Drawn(Streamed):
  def draw(self, seed, step, batch_size):
    return self.source[np.arange(step, step + batch_size) % LENGTH]


def pictures(channels=1):
  draw = np.random.default_rng(0)
  return data.Arrays(
    {
      'image': draw.integers(0, 256, (LENGTH, 4, 3, channels), dtype=np.uint8),
      'label': np.arange(LENGTH, dtype=np.int32) % 10,
    }
  )


SOURCES = {
  'arrays': pictures(),
  'mirrored': data.mirrored(pictures()),
  'stacked': data.stacked(pictures(), size=17),
  'streamed': Streamed(pictures()),
  'mirrored stream': data.mirrored(Streamed(pictures())),
  'stacked stream': data.stacked(Streamed(pictures()), size=17),
  'drawn': Drawn(pictures()),
}


@pytest.mark.parametrize('name', SOURCES)
def test_batches_are_those_of_seed_and_step(name):
  source = SOURCES[name]
  batches = feed(source, MESH, SEED, BATCH, range(2, 9), ahead=3)
  assert bool(batches.stored) == ('stream' not in name and name != 'drawn')
  read = jax.jit(batches.read)
  step = 2
  for count in (1, 3, 1, 2):
    inputs = batches.inputs(count)
    for given, form in zip(
      jax.tree.leaves(inputs),
      jax.tree.leaves(batches.form(count)),
      strict=True,
    ):
      assert (given.shape, given.dtype) == (form.shape, form.dtype)
      assert given.sharding == form.sharding
    for i in range(count):
      batch = read(batches.stored, jax.tree.map(lambda x, i=i: x[i], inputs))
      expected = data.batch(source, SEED, step, BATCH)
      assert batch.keys() == expected.keys()
      for key, value in expected.items():
        np.testing.assert_array_equal(batch[key], value)
        assert batch[key].dtype == value.dtype
      step += 1


def test_each_device_draws_its_examples_alone():
  batches = feed(pictures(), MESH, SEED, BATCH, range(4))
  inputs = jax.tree.map(lambda x: x[0], batches.inputs(1))
  inputs = jax.device_put(inputs, jgan.sharding.over_examples(MESH))
  program = jax.jit(batches.read).lower(batches.stored, inputs).compile()
  image = program(batches.stored, inputs)['image']
  assert image.sharding.shard_shape(image.shape) == (1, 4, 3, 1)
  assert 'all-' not in program.as_text()


def test_what_is_too_large_for_a_device_is_streamed(monkeypatch):
  source = pictures()
  size = sum(x.nbytes for x in source.arrays.values())

  class Device:
    limit = size / SHARE

    def memory_stats(self):
      return {'bytes_limit': self.limit}

  class Mesh:
    local_devices = (Device(),)

  assert fits(source.arrays, Mesh)
  monkeypatch.setattr(Device, 'limit', size / SHARE - 1)
  assert not fits(source.arrays, Mesh)


def test_a_file_that_cannot_be_read_is_a_users_error():
  class Broken(Drawn):
    def draw(self, seed, step, batch_size):
      if step == 4:
        raise ValueError('picture 4 is broken')
      return super().draw(seed, step, batch_size)

  batches = feed(Broken(pictures()), MESH, SEED, BATCH, range(2, 100))
  batches.inputs(2)
  with pytest.raises(UserError, match='picture 4 is broken'):
    batches.inputs(1)


def test_one_process_has_all_rows():
  assert local_rows(MESH, 16) == slice(0, 16)


def test_some_rows_of_a_batch():
  whole = data.batch(pictures(), SEED, 5, BATCH)
  for source in (pictures(), Drawn(pictures())):
    whole = data.batch(source, SEED, 5, BATCH)
    part = data.batch(source, SEED, 5, BATCH, slice(2, 5))
    assert part.keys() == whole.keys()
    for name, values in whole.items():
      np.testing.assert_array_equal(part[name], values[2:5])


@pytest.mark.parametrize('name', ['mirrored', 'streamed', 'drawn'])
def test_each_of_several_runs_has_its_own_order(name):
  source, seeds = SOURCES[name], (3, 5, 8)
  batches = feed_members(
    [source] * 3,
    jgan.sharding.data_mesh(jax.devices()[:3]),
    seeds,
    BATCH,
    range(2, 9),
    gather=lambda each: jax.tree.map(lambda *xs: np.stack(xs), *each),
  )
  assert bool(batches.stored) == (name == 'mirrored')
  inputs = batches.inputs(2)
  for i, seed in enumerate(seeds):
    for step in (2, 3):
      own = jax.tree.map(lambda x, i=i, s=step: np.asarray(x)[s - 2, i], inputs)
      batch = batches.read(jax.device_get(batches.stored), own)
      expected = data.batch(source, seed, step, BATCH)
      assert batch.keys() == expected.keys()
      for key, value in expected.items():
        np.testing.assert_array_equal(batch[key], value)


def test_runs_with_sources_of_their_own_are_streamed():
  sources = [pictures(), data.mirrored(pictures())]
  mesh = jgan.sharding.data_mesh(jax.devices()[:1])
  batches = feed_members(
    sources, mesh, [SEED] * 2, BATCH, range(4), gather=tuple
  )
  assert not batches.stored
  for source, found in zip(sources, batches.inputs(1), strict=True):
    expected = data.batch(source, SEED, 0, BATCH)
    np.testing.assert_array_equal(found['image'][0], expected['image'])


def test_what_sources_are_the_same():
  other = pictures()
  other.arrays['image'] = 255 - other.arrays['image']
  assert same(pictures(), pictures())
  assert same(data.mirrored(pictures()), data.mirrored(pictures()))
  assert not same(pictures(), other)
  assert not same(data.mirrored(pictures()), data.mirrored(other))
  assert not same(pictures(), data.mirrored(pictures()))
  streamed = Streamed(pictures())
  assert same(streamed, streamed)
  assert not same(streamed, Streamed(pictures()))
