"""The steps of several independent GANs as one program, in two ways.

Written out one after the other, each with a GAN of its own; or mapped over
stacked states by `jax.vmap`, and divided over devices. Both give each member
the steps that it would make alone, one or several in a dispatch, up to
rounding. On CPUs convolutions of mapped kernels are slow, so that writing out
is the faster way there.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

import jgan
from experiments import dispatch
from experiments.dispatch import Moves

Read = Callable[[PyTree, PyTree], jgan.Batch]


class Program(NamedTuple):
  """The steps of several members.

  Attributes:
    about: how they are played, in words.
    mesh: the devices; the leading axis of what is gathered is divided over
      them.
    gather: what the members read in a step -> one tree of it all.
    join: the members' states -> what is carried from dispatch to dispatch.
    play: (carried, stored, inputs, read, moves) -> (carried, metrics): as many
      steps as there are moves, which are by member. `stored` and `read` are
      those of a feed, with one `read` for all members; `inputs` are gathered,
      then stacked. Metrics are averaged over the steps, `[members]` by name.
      Donates what is carried.
    part: (carried, i) -> the state of member i.
  """

  about: str
  mesh: Mesh
  gather: Callable[[Sequence[PyTree]], PyTree]
  join: Callable[[Sequence[jgan.TrainState]], Any]
  play: Callable[
    [Any, PyTree, PyTree, Read, Sequence[Moves]], tuple[Any, jgan.Metrics]
  ]
  part: Callable[[Any, int], jgan.TrainState]


def written_out(
  gans: Sequence[jgan.GAN],
  keys: Sequence[jax.Array],
  devices: Sequence[jax.Device],
  options: Mapping[str, str],
) -> Program:
  """The members' steps one after the other, on the first device.

  Args:
    gans: by member. Of the same object a step is traced but once.
    keys: of the members' runs.
    devices: all there are.
    options: of the compiler.
  """

  mesh = jgan.sharding.data_mesh(devices[:1])

  def play(states, stored, inputs, read, moves):
    read = functools.partial(read, stored)
    played = [
      dispatch.play(gan, state, read, own, key, who)
      for gan, state, own, key, who in zip(
        gans, states, inputs, keys, moves, strict=True
      )
    ]
    states, metrics = zip(*played, strict=True)
    return states, jax.tree.map(lambda *xs: jnp.stack(xs), *metrics)

  everywhere = jgan.sharding.replicated(mesh)
  kind = devices[0].device_kind
  return Program(
    about=f'one after the other on 1 of {len(devices)} {kind}',
    mesh=mesh,
    gather=tuple,
    join=lambda states: jax.device_put(tuple(states), everywhere),
    play=jax.jit(
      play,
      static_argnums=(3, 4),
      donate_argnums=0,
      compiler_options=options,
    ),
    part=lambda states, i: states[i],
  )


def side_by_side(
  make_gan: Callable[[jax.Array], jgan.GAN],
  values: Sequence[float],
  keys: Sequence[jax.Array],
  devices: Sequence[jax.Device],
  options: Mapping[str, str],
) -> Program:
  """The steps mapped over the members, an equal share of them on each device.

  Where they do not divide, all are on the first. All must be in the same step,
  and the same players move in it.

  Args:
    make_gan: the GAN of a value that is traced: an array without a shape.
    values: by member, all integers or all floats.
    keys: of the members' runs.
    devices: all there are.
    options: of the compiler.
  """
  used = devices if len(keys) % len(devices) == 0 else devices[:1]
  mesh = jgan.sharding.data_mesh(used)
  divided, everywhere = PartitionSpec(*mesh.axis_names), PartitionSpec()
  second = PartitionSpec(None, *mesh.axis_names)  # the first is steps
  # Without its members' axis the step stays a number, the same for all.
  axes = jgan.TrainState(None, 0, 0, 0)
  parts = jgan.TrainState(everywhere, divided, divided, divided)
  of_members = jgan.sharding.over_examples(mesh)
  # Clones: a program of these members that is only traced has them as well.
  keys = jnp.stack([jax.random.clone(key) for key in keys])
  values, keys = jax.device_put((np.asarray(values), keys), of_members)

  def play(values, keys, state, stored, inputs, read, moves):
    def one(value, key, state, stored, inputs):
      own = functools.partial(read, stored)
      gan = _OfTraced(*make_gan(value))
      return dispatch.play(gan, state, own, inputs, key, moves)

    mapped = jax.vmap(one, in_axes=(0, 0, axes, None, 1), out_axes=(axes, 0))
    # Members share nothing; left alone, the partitioner would move kernels.
    local = jax.shard_map(
      mapped,
      mesh=mesh,
      in_specs=(divided, divided, parts, everywhere, second),
      out_specs=(parts, divided),
      check_vma=False,
    )
    return local(values, keys, state, stored, inputs)

  jitted = jax.jit(
    play,
    static_argnums=(5, 6),
    donate_argnums=2,
    compiler_options=options,
  )

  def join(states):
    state = jax.tree.map(lambda *xs: jnp.stack(xs), *states)
    state = state._replace(step=states[0].step)
    shardings = jgan.TrainState(
      jgan.sharding.replicated(mesh), *[of_members] * 3
    )
    return jax.device_put(state, shardings)

  def part(state, i):
    one = jax.tree.map(lambda x: x[i], state._replace(step=None))
    return jax.device_put(one._replace(step=state.step), devices[0])

  about = (
    f'side by side on {len(used)} of {len(devices)} {devices[0].device_kind}'
  )
  return Program(
    about=about,
    mesh=mesh,
    gather=lambda each: jax.tree.map(lambda *xs: np.stack(xs), *each),
    join=join,
    play=lambda carried, stored, inputs, read, moves: jitted(
      values, keys, carried, stored, inputs, read, moves[0]
    ),
    part=part,
  )


class _OfTraced(jgan.GAN):
  """A GAN that may hold traced values: equal to itself alone.

  So that it can be a static argument, which is compared and hashed.
  """

  __eq__, __hash__ = object.__eq__, object.__hash__


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
  everyone = tuple(player.label for player in gans[0].players)
  moves = ((everyone,),) * len(gans)
  try:
    inputs = jax.tree.map(lambda x: x[None], program.gather(batches))
    jax.eval_shape(
      lambda *states: program.play(
        program.join(states), {}, inputs, lambda _, batch: batch, moves
      ),
      *states,
    )
  except (TypeError, ValueError) as error:
    return str(error).partition('\n')[0].rstrip('.:')
  return ''
