"""The steps of several independent GANs as one program, in two ways.

Written out one after the other, each with a GAN of its own; or mapped over
stacked states by `jax.vmap`, and divided over devices. Both give each member
the steps that it would make alone, up to rounding. On CPUs convolutions of
mapped kernels are slow, so that writing out is the faster way there.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import jgan
from experiments import data

Moves = Sequence[tuple[str, ...]]  # who moves, by member


class Program(NamedTuple):
  """The step of several members.

  Attributes:
    about: how it is played, in words.
    join: the members' states -> what is carried from step to step.
    step: (carried, batches, moves) -> (carried, metrics); batches as the data
      give them and moves by member, metrics `[members]` by name. Donates what
      is carried.
    part: (carried, i) -> the state of member i.
  """

  about: str
  join: Callable[[Sequence[jgan.TrainState]], Any]
  step: Callable[[Any, Sequence[jgan.Batch], Moves], tuple[Any, jgan.Metrics]]
  part: Callable[[Any, int], jgan.TrainState]


def written_out(
  gans: Sequence[jgan.GAN],
  keys: Sequence[jax.Array],
  devices: Sequence[jax.Device],
) -> Program:
  """The members' steps one after the other, on the first device.

  Args:
    gans: by member. Of the same object a step is traced but once.
    keys: of the members' runs.
    devices: all there are.
  """

  def step(states, batches, moves):
    played = [
      jgan.train_step(gan, state, data.to_float(batch), key, moves=who)
      for gan, state, batch, key, who in zip(
        gans, states, batches, keys, moves, strict=True
      )
    ]
    states, metrics = zip(*played, strict=True)
    return states, jax.tree.map(lambda *xs: jnp.stack(xs), *metrics)

  jitted = jax.jit(step, static_argnums=2, donate_argnums=0)
  kind = devices[0].device_kind
  return Program(
    about=f'one after the other on 1 of {len(devices)} {kind}',
    join=lambda states: jax.device_put(tuple(states), devices[0]),
    step=lambda states, batches, moves: jitted(states, batches, tuple(moves)),
    part=lambda states, i: states[i],
  )


def side_by_side(
  make_gan: Callable[[jax.Array], jgan.GAN],
  values: Sequence[float],
  keys: Sequence[jax.Array],
  devices: Sequence[jax.Device],
) -> Program:
  """The step mapped over the members, an equal share of them on each device.

  Where they do not divide, all are on the first. All must be in the same step,
  and the same players move in it.

  Args:
    make_gan: the GAN of a value that is traced: an array without a shape.
    values: by member, all integers or all floats.
    keys: of the members' runs.
    devices: all there are.
  """
  used = devices if len(keys) % len(devices) == 0 else devices[:1]
  mesh = jgan.sharding.data_mesh(used)
  divided, everywhere = PartitionSpec(*mesh.axis_names), PartitionSpec()
  # Without its members' axis the step stays a number, the same for all.
  axes = jgan.TrainState(None, 0, 0, 0)
  parts = jgan.TrainState(everywhere, divided, divided, divided)
  of_members = jgan.sharding.over_examples(mesh)
  values, keys = jax.device_put(
    (np.asarray(values), jnp.stack(keys)), of_members
  )

  def one(value, key, state, batch, moves):
    # Not the jitted step: a GAN that holds a traced value is no static one.
    step = jgan.train_step.__wrapped__
    batch = data.to_float(batch)
    return step(make_gan(value), state, batch, key, moves=moves)

  def step(values, keys, state, batches, moves):
    mapped = jax.vmap(
      lambda *member: one(*member, moves),
      in_axes=(0, 0, axes, 0),
      out_axes=(axes, 0),
    )
    # Members share nothing; left alone, the partitioner would move kernels.
    local = jax.shard_map(
      mapped,
      mesh=mesh,
      in_specs=(divided, divided, parts, divided),
      out_specs=(parts, divided),
      check_vma=False,
    )
    return local(values, keys, state, batches)

  jitted = jax.jit(step, static_argnums=4, donate_argnums=2)

  def join(states):
    state = jax.tree.map(lambda *xs: jnp.stack(xs), *states)
    state = state._replace(step=states[0].step)
    shardings = jgan.TrainState(
      jgan.sharding.replicated(mesh), *[of_members] * 3
    )
    return jax.device_put(state, shardings)

  def play(state, batches, moves):
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *batches)
    stacked = jax.device_put(stacked, of_members)
    return jitted(values, keys, state, stacked, moves[0])

  def part(state, i):
    one = jax.tree.map(lambda x: x[i], state._replace(step=None))
    return jax.device_put(one._replace(step=state.step), devices[0])

  about = (
    f'side by side on {len(used)} of {len(devices)} {devices[0].device_kind}'
  )
  return Program(about, join, play, part)


def hindrance(
  program: Program,
  gans: Sequence[jgan.GAN],
  states: Sequence[jgan.TrainState],
  batches: Sequence[jgan.Batch],
  steps: Sequence[int],
) -> str:
  """Why `side_by_side` cannot play these members; empty where it can.

  Args:
    program: from it. One step is traced, nothing runs.
    gans: by member, each of its own value.
    states: by member; shapes suffice.
    batches: by member.
    steps: those in which the same must move in all.
  """
  for step in steps:
    if len({jgan.moves(gan, step) for gan in gans}) > 1:
      return f'not the same players move in step {step}'
  everyone = [tuple(player.label for player in gans[0].players)] * len(gans)
  try:
    jax.eval_shape(
      lambda *states: program.step(program.join(states), batches, everyone),
      *states,
    )
  except (TypeError, ValueError) as error:
    return str(error).partition('\n')[0].rstrip('.:')
  return ''
