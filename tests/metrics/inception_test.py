"""The Inception network: its structure, made-up weights, and the real ones."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import real

from experiments import weights
from jgan.metrics import inception
from jgan.metrics.inception import InceptionV3, inception_variables
from jgan.metrics.resize import resize_tf1_bilinear


def _form():
  images = jnp.zeros((1, 299, 299, 3))
  return jax.eval_shape(InceptionV3().init, jax.random.key(0), images)['params']


def _made_up(form, only_centres=False):
  """Arrays as the trained network's: weight, bias, mean and variance."""
  draw = np.random.default_rng(0)
  arrays = []
  for i in range(len(form)):
    height, width, inputs, outputs = form[f'conv{i}']['kernel'].shape
    weight = draw.normal(0, (2 / inputs) ** 0.5, (outputs, inputs, 1, 1))
    window = np.zeros((height, width))
    window[height // 2, width // 2] = 1
    weight = weight * (window if only_centres else np.ones((height, width)))
    bias, mean = draw.normal(0, 0.1, (2, outputs))
    arrays += [weight, bias, mean, draw.uniform(0.5, 2, outputs)]
  return [array.astype(np.float32) for array in arrays]


def test_it_has_the_convolutions_of_the_graph():
  form = _form()
  sizes = [form[f'conv{i}']['kernel'].shape for i in range(94)]
  assert len(form) == 94
  assert (sizes[0], sizes[93]) == ((3, 3, 3, 32), (1, 1, 2048, 192))
  # A weight, a bias, a mean and a variance each: what the file of 2015 holds.
  count = sum(np.prod(size) + 3 * size[-1] for size in sizes)
  assert count == 21_802_784
  sevens = [i for i, size in enumerate(sizes) if 7 in size[:2]]
  assert len(sevens) == 4 * 6 + 2
  assert sizes[sevens[0]] == (1, 7, 128, 128)


def test_each_picture_of_a_batch_has_2048_features():
  pictures = jax.ShapeDtypeStruct((5, 299, 299, 3), jnp.float32)
  variables = jax.eval_shape(
    InceptionV3().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3))
  )
  features = jax.eval_shape(InceptionV3().apply, variables, pictures)
  assert (features.shape, features.dtype) == ((5, 2048), jnp.float32)


def test_a_convolution_is_folded_as_computed_by_hand():
  arrays = _made_up(_form())
  kernel, bias = (
    inception_variables(arrays)['params']['conv2'][name]
    for name in ('kernel', 'bias')
  )
  weight, beta, mean, variance = arrays[8:12]
  x = np.random.default_rng(1).normal(size=(4, 3, 3, 32)).astype(np.float32)
  plain = np.einsum('nhwi,oihw->no', x, weight)
  wanted = (plain - mean) / np.sqrt(variance + 1e-3) + beta
  got = np.einsum('nhwi,hwio->no', x, kernel) + bias
  np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


class _Vectors:
  """The network on a picture of one colour, where windows have but centres.

  Then every layer holds one vector at all places: a convolution is a matrix
  product and a pool changes nothing, if it counts no padding.
  """

  def __init__(self, arrays):
    self.arrays, self.number = arrays, 0

  def conv(self, x):
    start, self.number = 4 * self.number, self.number + 1
    weight, bias, mean, variance = self.arrays[start : start + 4]
    x = weight.sum((2, 3)).astype(float) @ x
    return np.maximum((x - mean) / np.sqrt(variance + 1e-3) + bias, 0)

  def chain(self, x, length):
    for _ in range(length):
      x = self.conv(x)
    return x

  def branches(self, x, *lengths, pooled=False):
    parts = [self.chain(x, length) for length in lengths]
    return np.concatenate([*parts, x] if pooled else parts)

  def forked(self, x):
    parts = [self.conv(x)]
    for length in (1, 2):
      y = self.chain(x, length)
      parts += [self.conv(y), self.conv(y)]
    return np.concatenate([*parts, self.conv(x)])

  def features(self, x):
    x = self.chain(x, 5)
    for _ in range(3):
      x = self.branches(x, 1, 2, 3, 1)
    x = self.branches(x, 1, 3, pooled=True)
    for _ in range(4):
      x = self.branches(x, 1, 3, 5, 1)
    x = self.branches(x, 2, 4, pooled=True)
    return self.forked(self.forked(x))


def test_a_picture_of_one_colour_goes_through_as_a_vector():
  arrays = _made_up(_form(), only_centres=True)
  colour = np.array([0.3, -0.7, 0.9])
  images = jnp.broadcast_to(jnp.asarray(colour, jnp.float32), (1, 75, 75, 3))
  features = jax.jit(InceptionV3().apply)(inception_variables(arrays), images)
  wanted = _Vectors(arrays).features(colour)
  assert 0.2 < (wanted > 0).mean() < 0.8
  np.testing.assert_allclose(
    features[0], wanted, rtol=1e-4, atol=1e-4 * wanted.max()
  )


def test_other_arrays_are_refused():
  arrays = _made_up(_form())
  with pytest.raises(ValueError, match=r'4 arrays for each .* 375 in all'):
    inception_variables(arrays[:-1])
  with pytest.raises(ValueError, match='94 convolutions, got those of 93'):
    inception_variables(arrays[:-4])
  arrays[4] = arrays[4][:, :-1]
  with pytest.raises(ValueError, match=r'conv1: needs .*\(32, 32, 3, 3\)'):
    inception_variables(arrays)


def test_arrays_may_be_flat():
  arrays = _made_up(_form())
  flat = inception_variables([array.ravel() for array in arrays])
  jax.tree.map(np.testing.assert_array_equal, flat, inception_variables(arrays))


def _real_features(images):
  content = real.contents(weights.INCEPTION)
  variables = inception_variables(weights.torchscript_arrays(content))
  return np.asarray(jax.jit(InceptionV3().apply)(variables, images))


@pytest.mark.filterwarnings('ignore')
def test_features_of_real_pictures_are_those_of_torchscript():
  torch = pytest.importorskip('torch')
  content = real.contents(weights.INCEPTION)
  pixels = real.pictures('cifar10', 'test')['image'][:64]
  pixels = resize_tf1_bilinear(jnp.asarray(pixels, jnp.float32), 299)
  images = np.asarray((pixels - 128) / 128)
  module = torch.jit.load(io.BytesIO(content)).eval()
  with torch.no_grad():
    wanted = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
  wanted, got = wanted.numpy(), _real_features(images)
  error = np.linalg.norm(got - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
  print('largest relative error of', len(error), 'pictures:', error.max())
  assert error.max() < 1e-4
  np.testing.assert_allclose(got, wanted, atol=1e-4 * wanted.max())


def test_pools_and_long_kernels_are_in_the_order_of_the_graph(monkeypatch):
  pools = []
  for name in ('_averaged', '_maximum'):
    pool = getattr(inception, name)

    def record(x, pool=pool, name=name):
      pools.append((x.shape[1], name))
      return pool(x)

    monkeypatch.setattr(inception, name, record)
  images = jnp.zeros((1, 299, 299, 3))
  form = jax.eval_shape(inception.InceptionV3().init, jax.random.key(0), images)
  averaged = [(35, '_averaged')] * 3 + [(17, '_averaged')] * 4
  assert pools == [*averaged, (8, '_averaged'), (8, '_maximum')]
  # The third branch of the first block at 17x17.
  sizes = [
    form['params'][f'conv{i}']['kernel'].shape[:2] for i in range(34, 39)
  ]
  assert sizes == [(1, 1), (7, 1), (1, 7), (7, 1), (1, 7)]
