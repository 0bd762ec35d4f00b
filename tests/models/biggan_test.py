"""BigGAN's sizes and parts, and ReACGAN's loss."""

import functools

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.biggan import (
  Discriminator,
  Generator,
  d2d_ce_term,
  data_to_data_cross_entropy,
  orthogonal_regularization,
)

LABEL = jnp.array([0, 1, 0, 2], jnp.int32)


def counted(gan, size=32):
  like = {
    'image': jnp.zeros((2, size, size, 3)),
    'label': jnp.zeros(2, jnp.int32),
  }
  state = jax.eval_shape(
    functools.partial(jgan.init, gan), jax.random.key(0), like
  )
  return {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }


def test_parameter_counts_for_cifar10():
  square = 9 * 256 * 256
  norms = 2 * 2 * 10 * 256
  up = 2 * square + 256 * 256 + norms
  generator = 128 * 4096 + 4096 + 3 * up + 2 * 256 + 9 * 256 * 3 + 3
  first = (9 * 3 * 256 + 256) + (square + 256) + (3 * 256 + 256)
  down = 2 * (square + 256) + 256 * 256 + 256
  plain = 2 * (square + 256)
  discriminator = first + down + 2 * plain + 257 + 10 * 256
  assert counted(jgan.models.biggan()) == {
    'generator': generator,
    'discriminator': discriminator,
  }
  assert round(generator / 1e6, 1) == 4.3
  assert round(discriminator / 1e6, 1) == 4.2


def test_parameter_counts_for_imagenet():
  gan = jgan.models.biggan(
    128,
    num_classes=1000,
    width=96,
    latent_dim=120,
    shared_dim=128,
    skip=True,
    attention=64,
  )
  blocks_biases = 3 * 96 * (16 + 8 + 4 + 2 + 1)  # which the authors' have
  assert counted(gan, 128) == {
    'generator': 70_433_988 - blocks_biases,
    'discriminator': 87_982_370,
  }


def test_shared_embeddings_and_parts_of_the_latent_reach_every_block():
  network = Generator(8, 1, 3, width=4, shared_dim=5, skip=True)
  latent = jax.random.normal(jax.random.key(0), (2, 4))
  label = jnp.array([0, 1], jnp.int32)
  init = jax.jit(functools.partial(network.init, train=True))
  variables = init(jax.random.key(1), latent, label)
  params = variables['params']
  assert params['embed']['kernel'].shape == (3, 5)
  kernels = [
    leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if path[-2].key in ('scale', 'bias') and path[-1].key == 'kernel'
  ]
  assert kernels == [(5 + 2, 4)] * 4  # two norms, scale and bias each

  @jax.jit
  def picture(latent):
    return network.apply(variables, latent, label, train=False)

  # The block's own part alone changes the picture too.
  moved = latent.at[:, 2:].add(3.0)
  assert not np.allclose(picture(latent), picture(moved), atol=1e-6)


def test_orthogonal_regularization_is_the_gradient_of_its_penalty():
  params = {
    'layer': {
      'kernel': jax.random.normal(jax.random.key(0), (3, 3, 2, 4)),
      'bias': jnp.ones(4),
    }
  }
  zeros = jax.tree.map(jnp.zeros_like, params)

  def penalty(params):
    w = params['layer']['kernel'].reshape(-1, 4)
    return 0.3 * ((w.T @ w * (1 - jnp.eye(4))) ** 2).sum() / 2

  transform = orthogonal_regularization(0.3)
  got, _ = transform.update(zeros, transform.init(params), params)
  expected = jax.grad(penalty)(params)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_shared_embedding_is_not_made_orthogonal():
  params = {name: {'kernel': jnp.ones((3, 4))} for name in ('embed', 'Dense_0')}
  zeros = jax.tree.map(jnp.zeros_like, params)
  slopes, _ = orthogonal_regularization(1.0).update(zeros, None, params)
  assert not slopes['embed']['kernel'].any()
  assert slopes['Dense_0']['kernel'].any()


def test_orthogonal_filters_stay_as_they_are():
  params = {'kernel': 2 * jnp.eye(4)}
  zeros = {'kernel': jnp.zeros((4, 4))}
  got, _ = orthogonal_regularization(1.0).update(zeros, None, params)
  np.testing.assert_array_equal(got['kernel'], zeros['kernel'])


def test_data_to_data_cross_entropy_by_hand():
  embedding = np.random.default_rng(0).normal(size=(4, 3))
  embedding /= np.linalg.norm(embedding, axis=-1, keepdims=True)
  proxy = np.random.default_rng(1).normal(size=(4, 3))
  proxy /= np.linalg.norm(proxy, axis=-1, keepdims=True)
  label = np.asarray(LABEL)
  expected = []
  for i in range(4):
    own = min(embedding[i] @ proxy[i] - 0.9, 0) / 0.5
    others = [
      np.exp(max(embedding[i] @ embedding[j] - 0.1, 0) / 0.5)
      for j in range(4)
      if label[j] != label[i]
    ]
    expected.append(-np.log(np.exp(own) / (np.exp(own) + sum(others))))
  got = data_to_data_cross_entropy(
    jnp.asarray(embedding, jnp.float32),
    jnp.asarray(proxy, jnp.float32),
    LABEL,
    margin=0.9,
  )
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_its_gradient_is_finite_where_all_have_one_class():
  same = jnp.zeros(3, jnp.int32)
  x = jnp.eye(3)
  slope = jax.grad(
    lambda x: data_to_data_cross_entropy(x, jnp.roll(x, 1, 0), same).sum()
  )(x)
  assert np.isfinite(slope).all()


@pytest.mark.slow
def test_reacgan_plays_without_projection():
  gan = jgan.models.biggan(
    8,
    num_classes=3,
    width=1,
    latent_dim=4,
    embedding_dim=6,
    auxiliary=d2d_ce_term(),
    n_critic=1,
  )
  batch = {
    'image': jax.random.normal(jax.random.key(2), (4, 8, 8, 3)),
    'label': LABEL,
  }
  state = jgan.init(gan, jax.random.key(0), batch)
  state, metrics = jgan.train_step(gan, state, batch, jax.random.key(1))
  for player in ('discriminator', 'generator'):
    assert float(metrics[f'{player}/auxiliary']) > 0
    assert np.isfinite(float(metrics[f'{player}/gradient_norm']))
  moments = optax.tree.get(state.opt_state['discriminator'], 'nu')
  assert float(moments['proxy']['kernel'].max()) > 0


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'resolution': 48}, 'power of two of at least 8, got 48'),
    ({'num_classes': 1}, 'two classes or more, got 1'),
    ({'attention': 64}, 'can see pictures of 16 or 8, got 64'),
    ({'skip': True, 'latent_dim': 130}, 'divides by 4, got latent_dim=130'),
  ],
)
def test_what_cannot_be_built_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    jgan.models.biggan(**options)


@pytest.fixture
def unwrapped(monkeypatch):
  """Without spectral norms."""
  forwards.unwrap(monkeypatch, Generator)


@pytest.mark.parametrize('shared_dim', [None, 3])
def test_the_generator_by_hand_but_for_its_spectral_norms(
  unwrapped, shared_dim
):
  latent, skip = forwards.normal(4, 6), shared_dim is not None
  module = Generator(8, 2, 3, 4, shared_dim=shared_dim, skip=skip)
  variables = forwards.made(module, latent, LABEL, train=True)
  params = variables['params']
  condition, first = np.eye(3)[LABEL], latent
  if skip:
    condition = forwards.dense(params['embed'], condition)
    condition = np.concatenate([condition, latent[:, 3:]], -1)
    first = latent[:, :3]

  def conditional(number, x):
    own = params['UpBlock_0'][f'ConditionalBatchNorm_{number}']
    scale, bias = (
      forwards.dense(own[entry], condition)[:, None, None]
      for entry in ('scale', 'bias')
    )
    return forwards.batch_norm({}, x) * (1 + scale) + bias

  x = forwards.dense(params['Dense_0'], first).reshape(4, 4, 4, 4)
  x = forwards.up_block(params['UpBlock_0'], x, conditional)
  x = forwards.relu(forwards.batch_norm(params['BatchNorm_0'], x))
  x = np.tanh(forwards.conv(params['Conv_0'], x))
  forwards.assert_computes(module, variables, (latent, LABEL), x, train=True)


@pytest.mark.parametrize('embedding_dim', [None, 5])
def test_the_discriminator_by_hand_but_for_its_spectral_norms(
  unwrapped, embedding_dim
):
  image = forwards.normal(4, 8, 8, 2)
  module = Discriminator(3, 4, embedding_dim=embedding_dim)
  variables = forwards.made(module, image, LABEL, train=True)
  params = variables['params']
  x = forwards.first_block(params['DownBlock_0'], image)
  x = forwards.relu(forwards.plain_block(params['PlainBlock_0'], x))
  x = x.sum((1, 2))
  expected = {'logits': forwards.dense(params['Dense_0'], x)[:, 0]}
  if embedding_dim is None:
    own = params['Dense_1']['kernel'][LABEL]
    expected['logits'] += (x * own).sum(-1)
  else:
    expected['embedding'] = forwards.dense(params['embedding'], x)
    expected['proxy'] = params['proxy']['kernel'][LABEL]
    for name in ('embedding', 'proxy'):
      length = np.linalg.norm(expected[name], axis=-1, keepdims=True)
      expected[name] = expected[name] / length
  got = forwards.outputs(module, variables, image, LABEL, train=True)
  assert set(got) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(got[name], value, rtol=2e-3, atol=2e-4)


def test_the_generator_pays_for_fakes_and_the_discriminator_for_reals():
  def said(seed):
    vectors = forwards.normal(2, 4, 3, seed=seed)
    vectors /= jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return dict(zip(('embedding', 'proxy'), vectors, strict=True))

  real, fake = said(1), said(2)
  terms = d2d_ce_term(0.25)(real, fake, None, {'label': LABEL})
  for term, outputs in zip(terms, (fake, real), strict=True):
    own = data_to_data_cross_entropy(**outputs, label=LABEL)
    np.testing.assert_allclose(term, 0.25 * own, rtol=1e-5)


def test_orthogonal_regularization_is_in_the_gradient_of_adam():
  gan = jgan.models.biggan(8, orthogonal=1e-4, learning_rate=1e-3)
  optimizer = {p.name: p.optimizer for p in gan.players}['generator']
  params = {'dense': {'kernel': jnp.ones((3, 2))}}
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = optimizer.update(zeros, optimizer.init(params), params)
  # However small its slope, Adam's first step is of the rate.
  np.testing.assert_allclose(updates['dense']['kernel'], -1e-3, rtol=1e-3)
