"""One battery that every model must pass. A new model is one row of `ROWS`."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import games
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import jgan
from experiments import export
from experiments.benchmarks import flops
from experiments.benchmarks.fewest import fewest
from experiments.checkpoints import Checkpoints
from jgan.models.ctgan import Category, Number

STEPS = 3


class Row(NamedTuple):
  """A model, small, and what is particular to it.

  Attributes:
    make: `make(dtype=...) -> GAN`.
    batch: what it trains on.
    low, high: bounds of each layer's output deviation before training.
    zero: ends of the paths of layers whose outputs are zero before it.
    gated: names of layers behind a gate that is shut in the first step: they
      get a gradient from the second on.
    fixed: collections that stay as they are.
    largest: absolute value of a sample's entries.
    like: the names in the batch of what samples have the shape of: one name,
      or a tree of them.
  """

  make: Callable[..., jgan.GAN]
  batch: jgan.Batch
  low: float = 0.001
  high: float = 3.0
  zero: tuple[str, ...] = ()
  gated: tuple[str, ...] = ()
  fixed: tuple[str, ...] = ()
  largest: float = 1.0
  like: Any = 'image'


def images(resolution, channels=1, labels=None, n=8):
  """Random pictures of 4x4 patches in [-1, 1], with labels below `labels`."""
  patches = np.random.default_rng(5).standard_normal((n, 4, 4, channels))
  side = resolution // 4
  image = np.tanh(2 * patches.repeat(side, 1).repeat(side, 2))
  batch = {'image': image.astype(np.float32)}
  if labels is not None:
    batch['label'] = np.arange(n, dtype=np.int32) % labels
  return jax.tree.map(jnp.asarray, batch)


def sounds(length, labels, n=8):
  """Sines of several frequencies, with labels below `labels`."""
  label = np.arange(n, dtype=np.int32) % labels
  angle = np.outer(0.05 * (1 + np.arange(n)), np.arange(length))
  sound = (0.8 * np.sin(angle))[..., None].astype(np.float32)
  return {'sound': jnp.asarray(sound), 'label': jnp.asarray(label)}


def videos(resolution, frames, labels):
  """Random pictures that slide to the right, with labels below `labels`."""
  batch = images(resolution, labels=labels)
  moved = [jnp.roll(batch['image'], shift, 2) for shift in range(frames)]
  return {'video': jnp.stack(moved, 1), 'label': batch['label']}


def series(length, features, labels, n=8):
  """Sines of several frequencies in [0, 1], with labels below `labels`."""
  frequencies = 0.1 * (1 + np.arange(n))[:, None, None]
  steps = np.arange(length)[:, None] + np.arange(features)
  values = 0.5 + 0.4 * np.sin(frequencies * steps)
  label = np.arange(n, dtype=np.int32) % labels
  return {
    'series': jnp.asarray(values, jnp.float32),
    'label': jnp.asarray(label),
  }


def texts(vocabulary, length, n=8):
  """Tokens that count upwards, each text from a number of its own."""
  tokens = (np.arange(n)[:, None] + np.arange(length)) % vocabulary
  return {'tokens': jnp.asarray(tokens, jnp.int32)}


def two_domains(resolution, x_channels, y_channels):
  """Random pictures of both domains of a translation."""
  x = images(resolution, x_channels)['image']
  return {'x': x, 'y': images(resolution, y_channels)['image']}


def rows(n=8):
  """Rows of a number of two modes and two categories, of three values and two.

  Each with a condition that it meets.
  """
  scalar = np.linspace(-0.8, 0.8, n)[:, None]
  mode, first, second = (np.arange(n) % k for k in (2, 3, 2))
  hot = [np.eye(k)[x] for k, x in ((2, mode), (3, first), (2, second))]
  row = np.concatenate([scalar, *hot], 1).astype(np.float32)
  condition = np.where(np.arange(n) < n // 2, first, 3 + second)
  return {
    'row': jnp.asarray(row),
    'condition': jnp.asarray(condition.astype(np.int32)),
  }


partial = functools.partial
mlp = partial(jgan.models.mlp, (4, 4, 1), latent_dim=4, width=16, maxout=8)
dcgan = partial(jgan.models.dcgan, 8, width=4, latent_dim=8, ema_decay=0.9)
lsgan = partial(
  jgan.models.lsgan,
  8,
  1,
  doublings=2,
  latent_dim=8,
  generator_width=32,  # at fewer channels the compiler unrolls, and is slower
  discriminator_width=16,
)
sngan = partial(
  jgan.models.sngan,
  8,
  latent_dim=8,
  generator_width=8,
  discriminator_width=4,
  n_critic=1,
)
wgan_gp = partial(
  jgan.models.wgan_gp,
  8,
  latent_dim=8,
  generator_width=8,
  critic_width=4,
  n_critic=1,
)
sagan = partial(
  jgan.models.sagan,
  8,
  latent_dim=8,
  generator_width=16,
  discriminator_width=16,
)
wgan = partial(
  jgan.models.wgan, 8, 1, width=4, latent_dim=8, n_critic=1, ema_decay=0.9
)
dragan = partial(jgan.models.dragan, 8, 1, width=4, latent_dim=8)
cgan = partial(
  jgan.models.cgan, (4, 4, 1), 3, latent_dim=4, width=24, maxout_units=24
)
acgan = partial(
  jgan.models.acgan,
  8,
  3,
  3,
  latent_dim=8,
  generator_width=32,
  discriminator_width=8,
)
infogan = partial(
  jgan.models.infogan, 8, noise=4, categories=(3,), width=4, hidden=16
)
biggan = partial(
  jgan.models.biggan,
  8,
  num_classes=3,
  width=4,
  latent_dim=8,
  n_critic=1,
  ema_decay=0.9,
)
r3gan = partial(
  jgan.models.r3gan,
  8,
  widths=(8, 8),
  blocks=1,
  group=8,
  latent_dim=8,
  batch_size=8,
  images=64,  # so that the average has become old after three steps
  half_life=1000,
)
stylegan2 = partial(
  jgan.models.stylegan2,
  8,
  1,
  widths=(16, 16),
  latent_dim=8,
  w_dim=16,
  depth=1,
  penalty_every=1,
  path_weight=0.0,
)
wavegan = partial(
  jgan.models.wavegan,
  256,
  num_classes=3,
  latent_dim=8,
  generator_width=8,
  critic_width=8,
  n_critic=1,
  ema_decay=0.9,
)
mocogan = partial(
  jgan.models.mocogan,
  8,
  1,
  frames=3,
  num_classes=3,
  content_dim=4,
  motion_dim=4,
  generator_width=4,
  image_width=4,
  video_width=4,
  ema_decay=0.9,
)
multimodal = partial(
  jgan.models.multimodal,
  8,
  64,
  3,
  latent_dim=4,
  trunk_width=8,
  image_width=4,
  sound_width=8,
  ema_decay=0.9,
)
pix2pix = partial(
  jgan.models.pix2pix, 8, 3, width=8, discriminator_width=8, layers=1
)
cyclegan = partial(
  jgan.models.cyclegan,
  blocks=1,
  width=8,
  discriminator_width=8,
  layers=1,
  ema_decay=0.9,
)
ctgan = partial(
  jgan.models.ctgan,
  (Number(2), Category((5.0, 2.0, 1.0)), Category((3.0, 1.0))),
  latent_dim=4,
  generator_widths=(16, 16),
  critic_widths=(16, 16),
  pack=2,
  learning_rate=1e-3,
  ema_decay=0.9,
)
rcgan = partial(
  jgan.models.rcgan,
  5,
  2,
  latent_dim=3,
  generator_hidden=6,
  discriminator_hidden=6,
  ema_decay=0.9,
)
# In the third phase from the first step on: there all players move.
timegan = partial(
  jgan.models.timegan,
  5,
  2,
  embedding_steps=0,
  supervised_steps=0,
  hidden=4,
  layers=1,
  generator_moves=1,
  ema_decay=0.9,
)
# In the game from the first step on.
seqgan = partial(
  jgan.models.seqgan,
  5,
  4,
  likelihood_steps=0,
  discriminator_steps=0,
  n_critic=1,
  rollouts=2,
  embedding=4,
  hidden=8,
  discriminator_embedding=4,
  filters=((2, 8), (3, 8)),
  generator_learning_rate=0.2,  # so that other params draw other tokens
  ema_decay=0.9,
)
gumbelgan = partial(
  jgan.models.gumbelgan,
  5,
  4,
  likelihood_steps=0,
  n_critic=1,
  embedding=4,
  hidden=8,
  discriminator_embedding=4,
  filters=((2, 8), (3, 8)),
  generator_learning_rate=0.2,
  ema_decay=0.9,
)
ROWS = {
  'mlp': Row(partial(mlp, ema_decay=0.9), images(4)),
  'mlp-minimax': Row(partial(mlp, loss=jgan.losses.minimax), images(4)),
  'dcgan': Row(dcgan, images(8), low=1e-4),
  'dcgan-labels': Row(
    partial(dcgan, channels=3, num_classes=3), images(8, 3, labels=3)
  ),
  'lsgan': Row(lsgan, images(8)),
  'wgan': Row(wgan, images(8), low=1e-9),
  'dragan': Row(dragan, images(8), low=1e-4),
  'cgan': Row(cgan, images(4, labels=3)),
  'acgan': Row(acgan, images(8, 3, labels=3), low=1e-7),
  'infogan': Row(infogan, images(8), low=1e-4),
  'sngan': Row(partial(sngan, ema_decay=0.9), images(8, 3), high=10.0),
  'sngan-labels': Row(
    partial(sngan, channels=1, num_classes=3),
    images(8, labels=3),
    high=10.0,  # of logits, sums over pixels
    zero=('/scale', '/bias'),  # of the conditional normalisations
  ),
  'wgan-gp': Row(wgan_gp, images(8, 3)),
  'sagan': Row(
    sagan,
    images(8, 3),
    high=10.0,
    gated=('query', 'key', 'value', 'output'),
  ),
  'biggan': Row(
    biggan, images(8, 3, labels=3), low=1e-6, zero=('/scale', '/bias')
  ),
  'r3gan': Row(
    r3gan,
    images(8, 3),
    high=10.0,
    zero=('/contract',),
    gated=('expand', 'expand_bias', 'mix', 'mix_bias'),
    largest=np.inf,
  ),
  'pix2pix': Row(pix2pix, two_domains(8, 1, 3), low=1e-4, like='y'),
  'cyclegan': Row(
    partial(cyclegan, 1, 3),
    two_domains(8, 1, 3),
    low=1e-4,
    like={'fake_y': 'y', 'cycle_x': 'x', 'fake_x': 'x', 'cycle_y': 'y'},
  ),
  'stylegan2': Row(stylegan2, images(8), fixed=('noise',), largest=np.inf),
  'mocogan': Row(mocogan, videos(8, 3, labels=3), low=1e-4, like='video'),
  'multimodal': Row(
    multimodal,
    {**sounds(64, labels=3), **images(8, labels=3)},
    like={'image': 'image', 'sound': 'sound'},
  ),
  'rcgan': Row(
    partial(rcgan, num_classes=3), series(5, 2, labels=3), like='series'
  ),
  'timegan': Row(timegan, series(5, 2, labels=1), like='series'),
  'wavegan': Row(wavegan, sounds(256, labels=3), like='sound'),
  'ctgan': Row(ctgan, rows(), like='row'),
  'seqgan': Row(seqgan, texts(5, 4, n=64), like='tokens', largest=4),
  'gumbelgan': Row(gumbelgan, texts(5, 4, n=64), like='tokens', largest=4),
}


class Trained(NamedTuple):
  """What the one compiled step of a row left to look at."""

  row: Row
  gan: jgan.GAN
  step: jax.stages.Compiled  # state -> (state, metrics)
  draw: Callable  # (state, batch, key) -> samples, compiled
  start: jgan.TrainState
  states: list  # on the host, after each step
  metrics: list
  deviations: dict  # of each layer's output, by path, before training
  loss: np.ndarray  # of the last to move, before training
  traces: list  # one entry for each


def on_host(tree):
  """Copies: views would lie in buffers that the next step takes over."""
  return jax.tree.map(np.array, jax.device_get(tree))


def on_device(tree):
  """Copies that a step may take over."""
  return jax.device_put(jax.tree.map(np.array, tree))


# Each is near another row, and left to `make test-slow`.
SLOW = (
  'mlp-minimax',
  'dcgan-labels',
  'sngan-labels',
  'lsgan',
  'dragan',
  'wgan',
  'sagan',
)


def marked(names):
  return [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in names
  ]


@pytest.fixture(scope='module', params=marked(ROWS))
def trained(request):
  row = ROWS[request.param]
  gan, traces = row.make(), []

  @partial(jax.jit, donate_argnums=0)
  def step(state):
    traces.append(None)
    return jgan.train_step(gan, state, row.batch, jax.random.key(1))

  init = jax.jit(partial(jgan.init, gan))
  start = on_host(init(jax.random.key(0), row.batch))
  step = step.lower(on_device(start)).compile()
  looked = jax.jit(partial(look, gan))(start.variables, row.batch)
  state, states, metrics = start, [], []
  for _ in range(STEPS):
    state, told = step(on_device(state))
    states.append(on_host(state))
    metrics.append(jax.device_get(told))
  draw = jax.jit(partial(jgan.sample, gan))
  return Trained(
    row, gan, step, draw, start, states, metrics, *on_host(looked), traces
  )


def look(gan, variables, batch):
  """How far each layer's outputs spread, by its path; the last player's loss.

  In the last move of the first step, as a rule the generator's: within a
  penalty's gradient layers run as well.
  """
  deviations, inside = {}, 0

  def record(call, args, kwargs, context):
    nonlocal inside
    # What a recurrence does within its loop is not to be had outside of it.
    recurrent = isinstance(context.module, nn.RNN) or (
      context.method_name in ('step', 'embed')
    )
    inside += recurrent
    out = call(*args, **kwargs)
    inside -= recurrent
    seen = context.method_name == '__call__' and not inside
    if seen and isinstance(out, jax.Array):
      deviations['/'.join(context.module.path) or 'whole'] = out.std()
    return out

  with nn.intercept_methods(record):
    loss = last_loss(gan, variables, batch)
  return deviations, loss


def last_loss(gan, variables, batch):
  """Of the last move in the first step of a row."""
  key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), 1), 0)
  return gan.players[-1].loss(variables, batch, key, jnp.zeros((), int)).loss


def test_trains_donated_and_compiled_once(trained):
  assert len(trained.traces) == 1
  assert int(trained.states[-1].step) == STEPS
  for name, value in trained.metrics[-1].items():
    assert np.isfinite(value), name


# Forwards of the generator, as long as a sample, that a step saves since one
# serves several moves. A critic of CycleGAN reads two of four translations.
# Loops over time that are differentiated hold more than others and do not
# merge: all of RCGAN, TimeGAN and the texts' generators, and in MoCoGAN what
# comes after its own, so that there only the two critics share.
SAVED = {
  'pix2pix': 1,
  'cyclegan': 0.5,
  'mocogan': 1,
  'multimodal': 3,
  'ctgan': 1,
}
LOOPS = ('rcgan', 'timegan', 'seqgan', 'gumbelgan')


@pytest.mark.slow
def test_one_forward_of_the_generator_serves_all_moves(request, trained):
  name = request.node.callspec.params['trained']
  if name in LOOPS:
    pytest.skip('its generator is a loop')
  gan, batch, key = trained.gan, trained.row.batch, jax.random.key(1)
  if name in SAVED:
    each = [
      flops.traced(partial(jgan.update, player), trained.start, batch, key)
      for player in gan.players
    ]
    forward = flops.traced(gan.sample, trained.start.variables, batch, key)
    least = sum(each) - SAVED[name] * forward
  else:
    least = fewest(gan, batch, jgan.moves(gan, 0))
  assert flops.compiled(trained.step.as_text()) <= 1.005 * least


def test_every_parameter_gets_a_finite_gradient(trained):
  # The second moments of an adaptive optimizer after one step and after two:
  # sums of squared gradients, to factors.
  for step, state in enumerate(trained.states[:2]):
    for name, opt_state in state.opt_state.items():
      squares = optax.tree.get(opt_state, 'nu')
      for path, leaf in jax.tree_util.tree_leaves_with_path(squares):
        where = name, jax.tree_util.keystr(path)
        gated = any(part.key in trained.row.gated for part in path)
        assert np.isfinite(leaf).all(), where
        assert (leaf > 0).any() != (gated and step == 0), where


def test_every_parameter_and_statistic_moves(trained):
  before, after = trained.start.variables, trained.states[-1].variables
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(before),
    jax.tree.leaves(after),
    strict=True,
  ):
    where = jax.tree_util.keystr(path)
    if a.shape == (1, 1) and where.endswith("/u']"):
      continue  # a unit vector of one entry, of a layer with one output
    fixed = path[1].key in trained.row.fixed
    assert np.array_equal(a, b) == fixed, where


def test_running_statistics_keep_nine_tenths(trained):
  def shifted(by):
    def statistic(path, x):
      own = path[1].key == 'batch_stats' and path[-1].key in ('mean', 'var')
      return x + by if own else x

    return jax.tree_util.tree_map_with_path(statistic, trained.start.variables)

  moved = [
    trained.step(on_device(trained.start._replace(variables=shifted(by))))[0]
    for by in (0.0, 10.0)
  ]
  low, high = (on_host(state.variables) for state in moved)
  differences = jax.tree.map(np.subtract, high, low)
  for path, x in jax.tree_util.tree_leaves_with_path(differences):
    if path[1].key == 'batch_stats' and path[-1].key in ('mean', 'var'):
      np.testing.assert_allclose(x, 9, rtol=1e-3, err_msg=str(path))


# Whose papers draw all kernels from N(0, .02).
NORMAL_02 = (
  'dcgan',
  'lsgan',
  'dragan',
  'acgan',
  'infogan',
  'pix2pix',
  'cyclegan',
  'mocogan',
)


@pytest.mark.parametrize('trained', marked(NORMAL_02), indirect=True)
def test_kernels_start_as_the_papers_say(trained):
  for player, own in trained.start.variables.items():
    by_name = {'kernel': [], 'scale': []}
    for path, x in jax.tree_util.tree_leaves_with_path(own['params']):
      # The recurrence of MoCoGAN is flax's.
      if path[-1].key in by_name and path[0].key != 'motion':
        by_name[path[-1].key].append(np.ravel(x))
    kernels = np.concatenate(by_name['kernel'])
    assert kernels.std() == pytest.approx(0.02, rel=0.1), player
    if by_name['scale']:
      scales = np.concatenate(by_name['scale'])
      assert abs(scales - 1).max() < 0.1, player


def sample(trained, state, n=3):
  conditions = {name: x[:n] for name, x in trained.row.batch.items()}
  batch = {**conditions, 'index': jnp.arange(n)}
  return trained.draw(state, batch, jax.random.key(2))


def test_samples_have_the_shape_and_range_of_the_data(trained):
  row, drawn = trained.row, sample(trained, trained.states[-1])
  expected = jax.tree.map(lambda name: row.batch[name].shape[1:], row.like)
  assert jax.tree.map(lambda x: x.shape, drawn) == jax.tree.map(
    lambda shape: (3, *shape),
    expected,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  for one, name in zip(
    jax.tree.leaves(drawn), jax.tree.leaves(row.like), strict=True
  ):
    assert one.dtype == row.batch[name].dtype
    assert float(jnp.abs(one).max()) <= row.largest
    assert float(one.std(0).max()) > 0  # they are not one and the same


def test_samples_come_from_the_averaged_params(trained):
  last = trained.states[-1]
  if not last.ema_params:
    pytest.skip('keeps no average')
  averaged = {name: last.variables[name] for name in last.ema_params}
  zeros = {
    name: {**own, 'params': jax.tree.map(np.zeros_like, own['params'])}
    for name, own in averaged.items()
  }
  without = last._replace(variables={**last.variables, **zeros})
  live = last._replace(
    ema_params={name: own['params'] for name, own in averaged.items()}
  )
  n = jgan.sharding.batch_size(trained.row.batch)
  drawn, others = (sample(trained, state, n) for state in (last, live))
  games.assert_close(drawn, sample(trained, without, n), 0)
  for one, other in zip(
    jax.tree.leaves(drawn), jax.tree.leaves(others), strict=True
  ):
    assert not np.allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_a_step_lowers_for_accelerators(trained, platform):
  lowered = jgan.train_step.trace(
    trained.gan, trained.start, trained.row.batch, jax.random.key(1)
  ).lower(lowering_platforms=(platform,))
  assert 'custom_call' not in lowered.as_text()


@pytest.mark.slow
def test_sampling_exports_for_any_number(trained):
  conditions = {
    name: x
    for name, x in trained.row.batch.items()
    if name in ('label', 'x', 'y')
  }
  asked = {'index': jnp.arange(3), **conditions}
  program = export.exported(trained.gan, trained.states[-1], asked)
  made = jax.tree.unflatten(program.out_tree, program.out_avals)
  drawn = sample(trained, trained.states[-1])
  assert jax.tree.map(lambda x: (str(x.shape[0]), *x.shape[1:]), made) == (
    jax.tree.map(lambda x: ('n', *x.shape[1:]), drawn)
  )


def test_layers_start_at_sane_scales(trained):
  assert trained.deviations
  for path, deviation in trained.deviations.items():
    if path.endswith(trained.row.zero):
      assert deviation == 0, path
    else:
      assert trained.row.low <= deviation <= trained.row.high, path


def test_losses_fall_on_a_fixed_batch(trained):
  # Each player alone against the others held still, same latents each time.
  for name in trained.start.variables:
    state, losses = trained.start, []
    for _ in range(12):
      new, metrics = trained.step(on_device(state))
      state = on_host(state_of(trained.start, new, name))
      losses.append(float(metrics[f'{name}/loss']))
    assert min(losses[-3:]) < losses[0], (name, losses)


def state_of(start, new, name):
  """The start, but for one player, who is as in `new`."""
  return start._replace(
    variables={**start.variables, name: new.variables[name]},
    opt_state={**start.opt_state, name: new.opt_state[name]},
  )


@pytest.mark.slow
def test_bfloat16_computes_with_float32_params(trained):
  gan, key = trained.row.make(dtype=jnp.bfloat16), jax.random.key(1)
  after, _ = jax.eval_shape(
    partial(jgan.train_step, gan), trained.start, trained.row.batch, key
  )
  assert jax.tree.map(jnp.result_type, after) == jax.tree.map(
    jnp.result_type, trained.start
  )

  narrow = jax.jit(partial(last_loss, gan)).lower(
    trained.start.variables, trained.row.batch
  )
  assert 'bf16' in narrow.as_text()
  loss = narrow.compile()(trained.start.variables, trained.row.batch)
  assert loss.dtype == jnp.float32
  assert float(loss) == pytest.approx(float(trained.loss), rel=0.05, abs=0.01)


@pytest.mark.parametrize(
  'dtype', [jnp.float32, pytest.param(jnp.bfloat16, marks=pytest.mark.slow)]
)
def test_a_step_leaves_no_dtype_to_promotion(request, trained, dtype):
  if dtype == jnp.bfloat16 and request.node.callspec.params['trained'] in LOOPS:
    pytest.skip('cells of flax mix dtypes')
  gan = trained.row.make(dtype=dtype)
  # Adam of optax mixes them too.
  sgd = [player._replace(optimizer=optax.sgd(0.1)) for player in gan.players]
  gan, key = gan._replace(players=tuple(sgd)), jax.random.key(1)
  with jax.numpy_dtype_promotion('strict'):
    state = jax.eval_shape(partial(jgan.init, gan), key, trained.row.batch)
    after, _ = jax.eval_shape(
      partial(jgan.train_step, gan), state, trained.row.batch, key
    )
  assert after == state


def test_the_state_is_float32_where_64_bits_are_the_default(trained):
  gan, batch, key = trained.gan, trained.row.batch, jax.random.key(1)
  jax.config.update('jax_enable_x64', True)
  try:
    state = jax.eval_shape(partial(jgan.init, gan), key, batch)
    after, _ = jax.eval_shape(partial(jgan.train_step, gan), state, batch, key)
  finally:
    jax.config.update('jax_enable_x64', False)
  assert after == state
  assert 'float64' not in {str(x.dtype) for x in jax.tree.leaves(state)}


def test_a_step_has_derivatives(trained):
  gan, batch, key = trained.gan, trained.row.batch, jax.random.key(1)

  def ends(variables, state):
    state, _ = jgan.train_step(
      gan, state._replace(variables=variables), batch, key
    )
    leaves = jax.tree.leaves(state.variables)
    return sum(x.sum() for x in leaves if jnp.issubdtype(x.dtype, jnp.floating))

  slopes = jax.eval_shape(
    jax.grad(ends, allow_int=True), trained.start.variables, trained.start
  )
  assert jax.tree.structure(slopes) == jax.tree.structure(
    trained.start.variables
  )


def test_checkpoint_round_trip(trained, tmp_path):
  with Checkpoints(tmp_path / 'checkpoints', keep=1) as checkpoints:
    checkpoints.save(STEPS, trained.states[-1])
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    step, state = checkpoints.restore(trained.start)
  assert step == STEPS
  games.assert_close(state, trained.states[-1], 0)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: jgan.models.dcgan(24), 'power of two of at least 8, got 24'),
    (lambda: jgan.models.dcgan(4), 'power of two of at least 8, got 4'),
    (lambda: jgan.models.lsgan(40), 'multiple of 16, got 40'),
    (lambda: jgan.models.lsgan(6, doublings=2), 'multiple of 4, got 6'),
    (lambda: jgan.models.sngan(48), 'power of two of at least 8, got 48'),
    (lambda: jgan.models.wgan_gp(4), 'power of two of at least 8, got 4'),
    (lambda: jgan.models.sagan(33), 'power of two of at least 8, got 33'),
  ],
)
def test_impossible_resolutions_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize(
  ('make', 'batch'),
  [
    (
      partial(jgan.models.acgan, 32, 3, 3, generator_width=1),
      images(32, 3, labels=3),
    ),
    (partial(lsgan, generator_width=1), images(8)),
    (partial(cgan, width=1, maxout_units=1), images(4, labels=3)),
  ],
)
def test_the_narrowest_networks_have_a_channel_everywhere(make, batch):
  init = partial(jgan.init, make())
  state = jax.eval_shape(init, jax.random.key(0), batch)
  assert all(x.size for x in jax.tree.leaves(state.variables))


@pytest.mark.parametrize(
  'make',
  [
    partial(jgan.models.pix2pix, 8),
    jgan.models.cyclegan,
    partial(jgan.models.mocogan, 8),
    jgan.models.multimodal,
    partial(jgan.models.gumbelgan, 5, 4),
  ],
)
def test_a_loss_that_is_no_pair_is_refused(make, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(TypeError, match=r"AdversarialLoss, .* got 'hinge'"):
    make(loss='hinge')


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


def paces(player):
  """Rate and decays of a player's Adam, read off its first move."""
  state = player.optimizer.init(jnp.zeros(()))
  gradient = jnp.ones(())
  update, state = player.optimizer.update(gradient, state, jnp.zeros(()))
  first, second = (1 - optax.tree.get(state, name) for name in ('mu', 'nu'))
  return -float(update), float(first), float(second)


ADAM = {
  'mlp': (2e-4, 0.5, 0.999),
  'dcgan': (2e-4, 0.5, 0.999),
  'lsgan': (1e-3, 0.5, 0.999),
  'dragan': (2e-4, 0.5, 0.999),
  'cgan': (2e-4, 0.5, 0.999),
  'acgan': (2e-4, 0.5, 0.999),
  'infogan': {
    'generator': (1e-3, 0.5, 0.999),
    'discriminator': (2e-4, 0.5, 0.999),
  },
  'sngan': (2e-4, 0.0, 0.9),
  'wgan_gp': (2e-4, 0.0, 0.9),
  'sagan': {
    'generator': (1e-4, 0.0, 0.9),
    'discriminator': (4e-4, 0.0, 0.9),
  },
  'biggan': (2e-4, 0.0, 0.999),
  'r3gan': (2e-4, 0.0, 0.9),
  'pix2pix': (2e-4, 0.5, 0.999),
  'cyclegan': (2e-4, 0.5, 0.999),
  'mocogan': (2e-4, 0.5, 0.999),
  'timegan': (1e-3, 0.9, 0.999),
  'wavegan': (1e-4, 0.5, 0.9),
}


@pytest.mark.parametrize('name', ADAM)
def test_default_rates_and_decays_are_the_papers(name):
  expected = ADAM[name]
  for player in getattr(jgan.models, name)().players:
    own = expected[player.name] if isinstance(expected, dict) else expected
    assert paces(player) == pytest.approx(own, rel=1e-3, abs=1e-6), player.label


def test_default_rates_of_tables_are_the_papers():
  for player in jgan.models.ctgan([Number(2)]).players:
    assert paces(player) == pytest.approx((2e-4, 0.5, 0.9), rel=1e-3)
