"""One battery that every model must pass. A new model is one row of `ROWS`."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import games
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from experiments.checkpoints import Checkpoints

STEPS = 3


class Row(NamedTuple):
  """A model, small, and what is particular to it.

  Attributes:
    make: `make(dtype=...) -> GAN`.
    batch: what it trains on.
    low, high: bounds of each layer's output deviation before training.
  """

  make: Callable[..., jgan.GAN]
  batch: jgan.Batch
  low: float = 0.001
  high: float = 3.0


def images(resolution, channels=1, labels=None, n=8):
  """Smooth random pictures in [-1, 1], with labels below `labels`."""
  key = jax.random.key(5)
  coarse = jax.random.normal(key, (n, 4, 4, channels))
  shape = (n, resolution, resolution, channels)
  batch = {'image': jnp.tanh(2 * jax.image.resize(coarse, shape, 'linear'))}
  if labels is not None:
    batch['label'] = jnp.arange(n, dtype=jnp.int32) % labels
  return batch


partial = functools.partial
mlp = partial(jgan.models.mlp, (4, 4, 1), latent_dim=4, width=16, maxout=8)
dcgan = partial(jgan.models.dcgan, 8, width=4, latent_dim=8, ema_decay=0.9)
lsgan = partial(
  jgan.models.lsgan,
  16,
  1,
  latent_dim=8,
  generator_width=16,
  discriminator_width=4,
)
ROWS = {
  'mlp': Row(partial(mlp, ema_decay=0.9), images(4)),
  'mlp-minimax': Row(partial(mlp, loss=jgan.losses.minimax), images(4)),
  'dcgan': Row(dcgan, images(8), low=1e-4),
  'dcgan-labels': Row(
    partial(dcgan, channels=3, num_classes=3), images(8, 3, labels=3)
  ),
  'lsgan': Row(lsgan, images(16)),
}


class Trained(NamedTuple):
  """What the one compiled step of a row left to look at."""

  row: Row
  gan: jgan.GAN
  step: Callable  # (state, still) -> (state, metrics), compiled
  start: jgan.TrainState
  states: list  # on the host, after each step
  metrics: list
  traces: list


def on_host(tree):
  """Copies: views would lie in buffers that the next step takes over."""
  return jax.tree.map(np.array, jax.device_get(tree))


def on_device(tree):
  """Copies that a step may take over."""
  return jax.tree.map(jnp.array, tree)


@pytest.fixture(scope='module', params=ROWS)
def trained(request):
  row = ROWS[request.param]
  gan, traces = row.make(), []

  @partial(jax.jit, donate_argnums=0)
  def step(state, still):
    """One step, after which the player named `still` is as it was."""
    traces.append(still)
    state = jax.tree.map(jnp.copy, state)
    new, metrics = jgan.train_step(gan, state, row.batch, jax.random.key(1))
    kept = {
      field: {
        name: jax.tree.map(partial(jnp.where, still[name]), was[name], now)
        for name, now in getattr(new, field).items()
      }
      for field in ('variables', 'opt_state')
      for was in [getattr(state, field)]
    }
    return new._replace(**kept), metrics

  start = on_host(jgan.init(gan, jax.random.key(0), row.batch))
  state, states, metrics = start, [], []
  nobody = dict.fromkeys(start.variables, False)
  for _ in range(STEPS):
    state, told = step(on_device(state), nobody)
    states.append(on_host(state))
    metrics.append(jax.device_get(told))
  return Trained(row, gan, step, start, states, metrics, traces)


def test_trains_donated_and_compiled_once(trained):
  assert len(trained.traces) == 1
  assert int(trained.states[-1].step) == STEPS
  for name, value in trained.metrics[-1].items():
    assert np.isfinite(value), name


def test_every_parameter_gets_a_finite_gradient(trained):
  # The second moments of an adaptive optimizer after one step: squared
  # gradients, to a factor.
  for name, opt_state in trained.states[0].opt_state.items():
    squares = optax.tree.get(opt_state, 'nu')
    for path, leaf in jax.tree_util.tree_leaves_with_path(squares):
      where = name, jax.tree_util.keystr(path)
      assert np.isfinite(leaf).all(), where
      assert (leaf > 0).any(), where


def test_every_parameter_and_statistic_moves(trained):
  before, after = trained.start.variables, trained.states[-1].variables
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(before),
    jax.tree.leaves(after),
    strict=True,
  ):
    assert not np.array_equal(a, b), jax.tree_util.keystr(path)


def sample(trained, state, n=3):
  batch = {'index': jnp.arange(n)}
  if 'label' in trained.row.batch:
    batch['label'] = trained.row.batch['label'][:n]
  return jgan.sample(trained.gan, state, batch, jax.random.key(2))


def test_samples_have_the_shape_and_range_of_the_data(trained):
  drawn = sample(trained, trained.states[-1])
  assert drawn.shape == (3, *trained.row.batch['image'].shape[1:])
  assert drawn.dtype == jnp.float32
  assert float(jnp.abs(drawn).max()) <= 1
  assert float(drawn.std(0).max()) > 0  # they are not one picture


def test_samples_come_from_the_averaged_params(trained):
  last = trained.states[-1]
  name, average = next(iter(last.ema_params.items()), (None, None))
  if name is None:
    pytest.skip('keeps no average')
  own = {**last.variables[name], 'params': average}
  by_hand = last._replace(
    variables={**last.variables, name: own}, ema_params={}
  )
  live = last._replace(ema_params={})
  drawn = sample(trained, last)
  games.assert_close(drawn, sample(trained, by_hand), 0)
  assert not np.allclose(drawn, sample(trained, live), atol=1e-6)


def test_layers_start_at_sane_scales(trained):
  deviations = {}

  def record(call, args, kwargs, context):
    out = call(*args, **kwargs)
    if context.method_name == '__call__' and isinstance(out, jax.Array):
      deviations['/'.join(context.module.path) or 'whole'] = out.std()
    return out

  def run(variables):
    with nn.intercept_methods(record):
      trained.gan.players[0].loss(
        variables, trained.row.batch, jax.random.key(3), jnp.zeros((), int)
      )
    return deviations

  for path, deviation in jax.jit(run)(trained.start.variables).items():
    assert trained.row.low <= deviation <= trained.row.high, path


def test_losses_fall_on_a_fixed_batch(trained):
  # Each player alone against the others held still, same latents each time.
  for name in trained.start.variables:
    still = {other: other != name for other in trained.start.variables}
    state, losses = trained.start, []
    for _ in range(12):
      state, metrics = trained.step(on_device(state), still)
      state = on_host(state)._replace(step=trained.start.step)
      losses.append(float(metrics[f'{name}/loss']))
    assert min(losses[-3:]) < losses[0], (name, losses)


def test_bfloat16_computes_with_float32_params(trained):
  gan, key = trained.row.make(dtype=jnp.bfloat16), jax.random.key(1)
  after, _ = jax.eval_shape(
    partial(jgan.train_step, gan), trained.start, trained.row.batch, key
  )
  assert jax.tree.map(jnp.result_type, after) == jax.tree.map(
    jnp.result_type, trained.start
  )

  start = jax.device_put(trained.start)

  def first_loss(gan):
    return gan.players[0].loss(
      start.variables,
      trained.row.batch,
      jax.random.fold_in(key, 0),
      start.step,
    )

  assert 'bf16' in str(jax.make_jaxpr(lambda: first_loss(gan))())
  wide, narrow = (
    jax.jit(lambda g=g: first_loss(g).loss)() for g in (trained.gan, gan)
  )
  assert narrow.dtype == jnp.float32
  assert float(narrow) == pytest.approx(float(wide), rel=0.05)


def test_checkpoint_round_trip(trained, tmp_path):
  with Checkpoints(tmp_path / 'checkpoints', keep=1) as checkpoints:
    checkpoints.save(STEPS, trained.states[-1])
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    step, state = checkpoints.restore(trained.start)
  assert step == STEPS
  games.assert_close(state, trained.states[-1], 0)


def test_eager_is_jit():
  row = ROWS['mlp']
  gan = row.make()
  state = jgan.init(gan, jax.random.key(0), row.batch)
  compiled = jgan.train_step(gan, state, row.batch, jax.random.key(1))
  with jax.disable_jit():  # one model: eagerly every operation compiles alone
    eager = jgan.train_step(gan, state, row.batch, jax.random.key(1))
  # Adam's first step is of one size whatever the gradient: compare that.
  moments = optax.tree.get_all_with_path(eager[0].opt_state, 'mu')
  same = optax.tree.get_all_with_path(compiled[0].opt_state, 'mu')
  games.assert_close([m for _, m in moments], [m for _, m in same], 1e-6)
  games.assert_close(eager[1], compiled[1], 1e-5)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: jgan.models.dcgan(24), 'power of two of at least 8, got 24'),
    (lambda: jgan.models.dcgan(4), 'power of two of at least 8, got 4'),
    (lambda: jgan.models.lsgan(40), 'multiple of 16, got 40'),
  ],
)
def test_impossible_resolutions_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_missing_labels_are_named():
  gan = jgan.models.dcgan(8, width=4, num_classes=3)
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    jgan.init(gan, jax.random.key(0), images(8))


def test_pictures_of_another_shape_are_named():
  gan = jgan.models.dcgan(8, width=4)
  with pytest.raises(ValueError, match=r'\[8, 8, 1\].*\[16, 16, 1\]'):
    jgan.init(gan, jax.random.key(0), images(16))


def test_parameter_counts_of_dcgan():
  # Kernels of 4x4, no biases before a normalisation, scale and bias in each.
  gan = jgan.models.dcgan(64, 3)
  batch = {'image': jnp.zeros((2, 64, 64, 3))}
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  kernels = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
  norms = 2 * (256 + 128 + 64)
  generator = 100 * 16 * 512 + 2 * 512 + kernels + norms + 3
  discriminator = kernels + 2 * (128 + 256 + 512) + 64 + 16 * 512 + 1
  assert counted == {'generator': generator, 'discriminator': discriminator}
