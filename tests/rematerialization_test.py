"""Activations that are made twice change no number, and need not be kept."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from games import assert_close
from jax.sharding import PartitionSpec as P

import jgan
from jgan.gradients import microbatches, rematerialized, whole

# What keeps XLA's CPU backend from making one of what is made twice.
KEPT_APART = {'xla_disable_hlo_passes': 'cse_barrier_expander'}


def changed(gan, gradient=whole):
  """The game with that gradient, and with the same, made in less memory."""
  return [
    gan._replace(
      players=tuple(player._replace(gradient=g) for player in gan.players)
    )
    for g in (gradient, rematerialized(gradient))
  ]


def wgan_gp(width=4):
  return jgan.models.wgan_gp(32, 1, generator_width=width, critic_width=width)


def sngan(width=4, **options):
  return jgan.models.sngan(
    32, 1, generator_width=width, discriminator_width=width, **options
  )


def stylegan2():
  return jgan.models.stylegan2(
    8, 1, widths=(8, 8), latent_dim=4, w_dim=4, depth=1, batch_size=4
  )


def cyclegan():
  return jgan.models.cyclegan(
    1, 1, width=4, discriminator_width=4, blocks=1, layers=1, pool_size=2
  )


def pictures(side=32, n=4):
  draw = np.random.default_rng(0).uniform(-1, 1, (2, n, side, side, 1))
  return [jnp.asarray(x, jnp.float32) for x in draw]


def batch_of(make):
  if make is cyclegan:
    return dict(zip('xy', pictures(), strict=True))
  return {'image': pictures(8 if make is stylegan2 else 32)[0]}


def played(gan, batch):
  """State and metrics after a step in which all move, by descent."""
  players = tuple(
    player._replace(optimizer=optax.sgd(0.01)) for player in gan.players
  )
  gan, key = gan._replace(players=players), jax.random.key(0)
  everyone = tuple(player.label for player in players)
  state = jgan.init(gan, key, batch)
  return jgan.train_step(gan, state, batch, key, moves=everyone)


@pytest.mark.parametrize('make', [wgan_gp, sngan, stylegan2, cyclegan])
def test_a_step_is_the_same(make):
  """Its penalties, spectral norms and running statistics, too."""
  kept, again = changed(make())
  batch = batch_of(make)
  assert_close(played(again, batch), played(kept, batch), 2e-5)


def test_parts_of_a_batch_are_the_same():
  kept, again = changed(sngan(), microbatches(2))
  batch = batch_of(sngan)
  assert_close(played(again, batch), played(kept, batch), 1e-5)


@pytest.mark.parametrize('make', [wgan_gp, sngan])
def test_more_is_computed_and_less_kept(make):
  batch = {'image': pictures(n=16)[0]}

  def compiled(gan):
    state = jgan.init(gan, jax.random.key(0), batch)
    moves = ('discriminator', 'generator')
    step = jax.jit(
      jgan.train_step,
      static_argnames=('gan', 'moves'),
      compiler_options=KEPT_APART,
    )
    program = step.lower(gan, state, batch, jax.random.key(0), moves=moves)
    program = program.compile()
    memory = program.memory_analysis().temp_size_in_bytes
    return memory, program.cost_analysis()['flops']

  (memory, flops), (less, more) = map(compiled, changed(make(8)))
  assert less < 0.75 * memory
  assert flops < more < 4 / 3 * flops


def test_over_devices_a_step_is_the_same():
  batch = {'image': pictures(n=4)[0], 'index': jnp.arange(4)}
  gan, key = changed(sngan(axis_name='batch'))[1], jax.random.key(0)
  mesh = jax.make_mesh(
    (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )

  def step(state, batch):
    return jgan.train_step(
      gan, state, batch, key, moves=('generator',), axis_name='batch'
    )

  state = jgan.init(gan, key, batch)
  specs = {'in_specs': (P(), P('batch')), 'out_specs': P()}
  over_devices = jax.jit(jax.shard_map(step, mesh=mesh, **specs))
  plain = changed(sngan())[0]
  _, metrics = jgan.train_step(plain, state, batch, key, moves=('generator',))
  assert_close(over_devices(state, batch)[1], metrics, 1e-4)


class Inner(nn.Module):
  @nn.compact
  def __call__(self, x):
    return nn.tanh(nn.Dense(3)(x))


class Outer(nn.Module):
  """A block that holds blocks, and is told by a flag what to do."""

  @nn.compact
  def __call__(self, x, *, train):
    assert isinstance(train, bool)
    calls = self.variable('batch_stats', 'calls', lambda: jnp.zeros(()))
    if train and not self.is_initializing():
      calls.value += 1
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return Inner(name='second')(Inner(name='first')(x))


class Network(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    return nn.Dense(1)(Outer()(x, train=train))


def test_random_draws_flags_and_collections_of_a_block_are_the_same():
  network, x = Network(), jnp.arange(8.0).reshape(4, 2)
  variables = network.init(jax.random.key(0), x, False)

  def objective(params, batch, key):
    y, mutated = network.apply(
      {**variables, 'params': params},
      batch['x'],
      True,
      rngs={'dropout': key},
      mutable=['batch_stats'],
    )
    return (y**2).sum(), jgan.LossOutput((y**2).sum(), mutated, {})

  arguments = objective, variables['params'], {'x': x}, jax.random.key(1)
  expected = whole(*arguments)
  assert_close(rematerialized()(*arguments), expected, 1e-6)
  assert expected[0][1].mutated['batch_stats']['Outer_0']['calls'] == 1
  traced = jax.make_jaxpr(lambda: rematerialized()(*arguments))()
  assert str(traced).count('remat') == 1  # the outer block's


def test_a_network_of_layers_alone_is_refused():
  gan = changed(jgan.models.dcgan(8, 1, width=4))[1]
  with pytest.raises(ValueError, match='call layers alone'):
    played(gan, {'image': pictures(8)[0]})
