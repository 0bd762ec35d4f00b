"""Ways to differentiate a loss: microbatches are exact, clipping by hand."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from games import assert_close
from jax.sharding import PartitionSpec as P

import jgan
from jgan import gradients

N = 8


def key():
  return jax.random.key(5)


def batch():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(N, 3)), rng.normal(size=N)
  return {'x': jnp.asarray(x), 'y': jnp.asarray(y)}


def regression(variables, batch, key, step):
  """Mean squared error of a linear model plus one drawn latent an example."""
  params = variables['a']['params']
  keys = jgan.example_keys(key, batch)
  latent = jax.vmap(jax.random.normal)(keys)
  errors = batch['x'] @ params['w'] + params['b'] * latent - batch['y']
  mutated = {
    'batch_stats': {'max': batch['x'].max(0), 'calls': jnp.array(1)},
    'pool': batch['x'][-1],
  }
  return jgan.LossOutput(
    (errors**2).mean(), mutated, {'size': jnp.float32(len(errors))}
  )


def steady(variables, batch, key, step):
  """The same loss, with collections that do not depend on the examples."""
  output = regression(variables, batch, key, step)
  old = {k: v for k, v in variables['a'].items() if k != 'params'}
  return output._replace(mutated=jax.tree.map(lambda v: v + 1, old))


def player(gradient, loss=regression):
  return jgan.Player('a', loss, optax.sgd(0.1), gradient=gradient)


def state():
  def init(key, batch):
    variables = {
      'params': {'w': jnp.array([1.0, -2.0, 3.0]), 'b': jnp.array(0.5)},
      'batch_stats': {'max': jnp.zeros(3), 'calls': jnp.array(0)},
      'pool': jnp.zeros(3),
    }
    return {'a': variables}

  gan = jgan.GAN(init, (player(gradients.whole),), lambda *_: None)
  return jgan.init(gan, key(), batch())


def move(gradient, loss=regression, axis_name=None, jit=jax.jit):
  mover = player(gradient, loss)
  step = jit(
    lambda state, batch, key: jgan.update(
      mover, state, batch, key, axis_name=axis_name
    )
  )
  return jax.block_until_ready(step(state(), batch(), key()))


@functools.cache
def alone(gradient, loss=regression):
  return move(gradient, loss)


def params(moved):
  return moved[0].variables['a']['params'], moved[0].opt_state


@pytest.mark.parametrize(
  ('k', 'unroll'), [(1, True), (1, False), (2, None), (4, True), (4, False)]
)
def test_microbatches_are_the_whole_batch(k, unroll):
  got = move(gradients.microbatches(k, unroll))
  expected = alone(gradients.whole)
  assert_close(params(got), params(expected), 1e-5)
  for name in ('loss', 'gradient_norm'):
    assert float(got[1][name]) == pytest.approx(float(expected[1][name]))
  assert float(got[1]['size']) == N / k


@pytest.mark.parametrize('unroll', [True, False])
def test_collections_of_microbatches(unroll):
  after, _ = move(gradients.microbatches(4, unroll))
  own = after.variables['a']
  x = np.asarray(batch()['x'])
  # Part i holds examples i and i + 4.
  highest = np.maximum(x[:4], x[4:]).mean(0)
  np.testing.assert_allclose(own['batch_stats']['max'], highest, rtol=1e-6)
  assert int(own['batch_stats']['calls']) == 1
  np.testing.assert_array_equal(own['pool'], x[-1])


def test_any_metric_of_microbatches_is_the_mean_over_them():
  def objective(params, batch, key):
    above = batch['x'] > 1
    metrics = {
      'count': above.sum(),
      'any': above.any(),
      'three': 3,
      'half': 0.5,
    }
    loss = params * batch['x'].mean()
    return loss, jgan.LossOutput(loss, {}, metrics)

  batch = {'x': jnp.array([2.0, 0.0, 2.0, 0.0, 0.0, 0.0])}
  gradient = gradients.microbatches(2)  # of examples 0, 2, 4 and of 1, 3, 5
  (_, output), _ = gradient(objective, jnp.float32(1), batch, jax.random.key(0))
  assert {k: float(x) for k, x in output.metrics.items()} == {
    'count': 1.0,
    'any': 0.5,
    'three': 3.0,
    'half': 0.5,
  }


def test_parts_are_a_whole_number(monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  for k in (2.0, '2', None):
    with pytest.raises(ValueError, match='whole number from 1 on, got'):
      gradients.microbatches(k)


def test_microbatches_that_do_not_divide_are_refused():
  message = r'microbatches: a batch of 8 examples .* into 3 microbatches'
  with pytest.raises(ValueError, match=message):
    move(gradients.microbatches(3))


def test_microbatches_share_the_work_of_sharded_devices():
  def loss(variables, batch, key, step):
    hidden = jnp.tanh(batch['x'] @ variables['a']['params'])
    return jgan.LossOutput((hidden**2).mean())

  mover = player(gradients.microbatches(4, unroll=True), loss)
  gan = jgan.GAN(
    lambda key, batch: {'a': {'params': jnp.ones((32, 32))}}, (mover,), str
  )

  def flops(devices):
    mesh = jgan.sharding.data_mesh(jax.devices()[:devices])
    x = jax.device_put(jnp.ones((1024, 32)), jgan.sharding.over_examples(mesh))
    start = jgan.init(gan, key(), {'x': x})
    start = jax.device_put(start, jgan.sharding.replicated(mesh))
    step = jgan.train_step.lower(gan, start, {'x': x}, key()).compile()
    return step.cost_analysis()['flops']

  assert flops(4) <= 1.1 / 4 * flops(1)


def linear(variables, batch, key, step):
  """A loss whose gradient for one example is the example."""
  p = variables['a']['params']
  return jgan.LossOutput((batch['x'] @ p['w'] + batch['y'] * p['b']).mean())


@functools.partial(jax.jit, static_argnums=0)
def gradient_of(gradient, examples, key):
  """The gradient for (w, b) together, of examples of four numbers."""
  batch = {'x': examples[:, :3], 'y': examples[:, 3]}
  p = {'w': jnp.zeros(3), 'b': jnp.zeros(())}

  def objective(p, batch, key):
    output = linear({'a': {'params': p}}, batch, key, 0)
    return output.loss, output

  _, grads = gradient(objective, p, batch, key)
  return jnp.append(grads['w'], grads['b'])


@pytest.mark.parametrize(
  ('clip', 'expected'),
  [
    # Norms 5, 1 and 0, over all params together.
    (10.0, [3 + 0.6, 0, 0.8, 4]),
    (2.0, [1.2 + 0.6, 0, 0.8, 1.6]),
    (0.5, [0.3 + 0.3, 0, 0.4, 0.4]),
  ],
)
def test_each_example_is_clipped_by_itself(clip, expected):
  examples = jnp.array([[3, 0, 0, 4], [0.6, 0, 0.8, 0], [0, 0, 0, 0]])
  got = gradient_of(gradients.per_example(clip, 0.0), examples, key())
  np.testing.assert_allclose(got, np.array(expected) / 3, rtol=1e-6)


def test_clipped_gradients_have_derivatives_where_one_is_zero():
  examples = jnp.array([[0.3, 0, 0, 0.4], [0, 0, 0, 0]])
  clipped = functools.partial(gradient_of, gradients.per_example(1.0, 0.0))
  slope = jax.grad(lambda x: clipped(x, key()).sum())(examples)
  np.testing.assert_allclose(slope, jnp.full((2, 4), 0.5))


def test_noise_is_normal_and_of_the_documented_size():
  n, clip, noise = 4, 0.5, 3.0
  gradient = gradients.per_example(clip, noise)
  examples = jnp.tile(jnp.array([3.0, 0, 0, 4]), (n, 1))  # cut to a tenth
  draws = jax.vmap(lambda k: gradient_of(gradient, examples, k))(
    jax.random.split(key(), 3000)
  )
  std = noise * clip / n
  np.testing.assert_allclose(draws.std(0), std, rtol=0.05)
  np.testing.assert_allclose(
    draws.mean(0), [0.3, 0, 0, 0.4], atol=4 * std / np.sqrt(3000)
  )
  # Entries and arrays get draws of their own.
  np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(4), atol=0.08)


def test_equal_arrays_get_different_noise():
  def objective(p, batch, key):
    output = jgan.LossOutput(jnp.zeros(()))
    return output.loss, output

  p = {'a': jnp.zeros(3), 'b': jnp.zeros(3)}
  gradient = functools.partial(gradients.per_example(1.0, 1.0), objective)
  _, grads = jax.jit(gradient)(p, batch(), key())
  assert not np.allclose(grads['a'], grads['b'])


def test_without_clipping_or_noise_it_is_the_whole_batch():
  got = move(gradients.per_example(1e6, 0.0), steady)
  expected = alone(gradients.whole, steady)
  assert_close(got[0], expected[0], 1e-5)
  assert float(got[1]['loss']) == pytest.approx(float(expected[1]['loss']))
  assert float(got[1]['size']) == 1


@pytest.mark.parametrize(
  'gradient',
  [gradients.microbatches(4, unroll=True), gradients.per_example(1e6, 0.0)],
)
def test_latents_are_the_whole_batchs_also_outside_of_a_step(gradient):
  p = state().variables['a']['params']

  def objective(p, batch, key):
    output = regression({'a': {'params': p}}, batch, key, 0)
    return output.loss, output._replace(mutated={})

  def run(gradient, batch, key):
    (loss, _), grads = gradient(objective, p, batch, key)
    return loss, grads

  got, expected = (
    jax.jit(functools.partial(run, each))(batch(), key())
    for each in (gradient, gradients.whole)
  )
  assert_close(got, expected, 1e-5)


def over_shards(check_vma):
  mesh = jgan.sharding.data_mesh(jax.devices()[:4])

  def jit(step):
    return jax.jit(
      jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(P(), P('batch'), P()),
        out_specs=P(),
        check_vma=check_vma,
      )
    )

  return jit


def over_pmap(step):
  mapped = jax.pmap(
    step,
    axis_name='batch',
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:4],
  )
  return lambda state, batch, key: mapped(
    state, jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), batch), key
  )


WAYS = {
  'pmap': over_pmap,
  'shard_map': over_shards(check_vma=True),
  'unchecked': over_shards(check_vma=False),
}
NOISY, QUIET = (gradients.per_example(0.7, noise) for noise in (2.0, 0.0))


@pytest.mark.parametrize('way', WAYS)
def test_noise_is_added_once_over_devices(way):
  parallel = gradients.per_example(0.7, 2.0, axis_name='batch')
  got = move(parallel, steady, 'batch', WAYS[way])
  assert_close(got, alone(NOISY, steady), 1e-5)
  noisy, quiet = (params(x)[0]['w'] for x in (got, alone(QUIET, steady)))
  assert (jnp.abs(noisy - quiet) > 1e-4).all()


@pytest.mark.parametrize(
  ('way', 'unroll'),
  [('pmap', True), ('shard_map', False), ('unchecked', False)],
)
def test_microbatches_over_devices_are_the_whole_batch(way, unroll):
  got = move(gradients.microbatches(2, unroll), steady, 'batch', WAYS[way])
  assert_close(got[0], alone(gradients.whole, steady)[0], 1e-5)


def test_merged_averages_statistics_and_keeps_the_last_of_the_rest():
  one = {'batch_stats': {'mean': jnp.array(1.0), 'n': jnp.array(1)}, 'p': 1}
  two = {'batch_stats': {'mean': jnp.array(4.0), 'n': jnp.array(2)}, 'p': 2}
  merged = gradients.merged([one, two])
  assert float(merged['batch_stats']['mean']) == 2.5
  assert int(merged['batch_stats']['n']) == 2
  assert merged['p'] == 2
  assert gradients.merged([{'p': 1}, {'p': 2}]) == {'p': 2}


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: gradients.microbatches(0), 'whole number from 1 on, got 0'),
    (lambda: gradients.per_example(0.0, 1.0), 'positive clip'),
    (lambda: gradients.per_example(1.0, -1.0), 'noise of 0 or more'),
    (lambda: gradients.per_example(np.inf, 0.0), 'both finite.*clip=inf'),
    (lambda: gradients.per_example(np.nan, 0.0), 'positive clip'),
    (lambda: gradients.per_example(1.0, np.nan), 'noise of 0 or more'),
  ],
)
def test_impossible_numbers_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize(
  ('tracker', 'wrong'),
  [
    (jgan.regularizers.logit_means(), '_mean'),
    (jgan.ada.adaptive(batch_size=4)[1], "'p'"),
    (jgan.ada.scheduled(jgan.ada.bgc, lambda moves: 0.5)[1], None),
  ],
)
def test_what_is_tracked_of_one_example_alone_is_refused(tracker, wrong):
  def objective(params, batch, key):
    logits = batch['x'] @ params
    tracked = tracker.update(tracker.start, logits, -logits)
    loss = logits.mean()
    return loss, jgan.LossOutput(loss, {'tracked': tracked})

  batch, params = {'x': jnp.ones((4, 3))}, jnp.ones(3)
  gradient = functools.partial(gradients.per_example(1.0, 0.0), objective)
  if wrong is None:
    (_, output), _ = jax.eval_shape(gradient, params, batch, key())
    assert output.mutated['tracked']['moves'].shape == ()
  else:
    with pytest.raises(
      ValueError, match=rf'per_example: needs collections.*{wrong}'
    ):
      jax.eval_shape(gradient, params, batch, key())


def test_salted_moves_add_different_noise():
  params, batch = {'w': jnp.zeros(50)}, {'x': jnp.ones((2, 1))}

  def objective(params, batch, key):
    loss = 0.0 * params['w'].sum()
    return loss, jgan.LossOutput(loss)

  one, same, other = (
    gradients.per_example(1.0, 1.0, salt=salt)(
      objective, params, batch, jax.random.key(0)
    )[1]['w']
    for salt in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, same)
  assert not np.allclose(one, other)
