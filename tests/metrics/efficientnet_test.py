"""EfficientNet-lite0: its structure, made-up weights, and the real ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import real

from experiments import weights
from jgan.metrics.efficientnet import (
  DepthwiseConv,
  EfficientNetLite0,
  efficientnet_variables,
)
from jgan.metrics.resize import resize_clean


def _form():
  images = jnp.zeros((1, 224, 224, 3))
  form = jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), images)
  return form['params']


def _made_up(form):
  """Arrays as the trained network's, whose windows have but centres."""
  draw, arrays = np.random.default_rng(0), []
  for i in range(49):
    size, _, inputs, outputs = form[f'conv{i}']['kernel'].shape
    weight = np.zeros((outputs, inputs, size, size))
    centre = draw.normal(0, (2 / inputs) ** 0.5, (outputs, inputs))
    weight[:, :, size // 2, size // 2] = centre
    scale, variance = draw.uniform(0.5, 2, (2, outputs))
    arrays += [weight, scale, *draw.normal(0, 0.1, (2, outputs)), variance]
  arrays += [draw.normal(0, 0.03, (1000, 1280)), draw.normal(size=1000)]
  return [array.astype(np.float32) for array in arrays]


def _vectors(arrays, x):
  """The network on a picture of one colour: all places hold one vector."""
  number = 0

  def conv(x, depthwise=False):
    nonlocal number
    weight, scale, bias, mean, variance = arrays[5 * number : 5 * number + 5]
    number += 1
    matrix = weight.sum((2, 3)).astype(float)
    x = matrix[:, 0] * x if depthwise else matrix @ x
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + bias

  def relu6(x):
    return np.clip(x, 0, 6)

  x = relu6(conv(x))
  for block in range(16):
    y = relu6(conv(x)) if block else x
    y = conv(relu6(conv(y, depthwise=True)))
    # The first of each stage changes the channels or halves the picture.
    x = y if block in (0, 1, 3, 5, 8, 11, 15) else x + y
  features = relu6(conv(x))
  return features, arrays[-2].astype(float) @ features + arrays[-1]


def test_it_has_the_published_number_of_weights():
  form = _form()
  assert len(form) == 50
  # 4.7 million; of each normalisation's four numbers a channel, one is left.
  channels = sum(form[f'conv{i}']['bias'].size for i in range(49))
  count = sum(leaf.size for leaf in jax.tree.leaves(form)) + 3 * channels
  assert count == 4_694_024


def test_a_picture_of_one_colour_goes_through_as_a_vector():
  arrays, colour = _made_up(_form()), np.array([0.3, -0.7, 0.9])
  images = jnp.broadcast_to(jnp.asarray(colour, jnp.float32), (1, 64, 64, 3))
  variables = efficientnet_variables(arrays)
  features, logits = jax.jit(EfficientNetLite0().apply)(variables, images)
  wanted = _vectors(arrays, colour)
  assert np.ptp(wanted[0]) > 1
  np.testing.assert_allclose(features[0], wanted[0], atol=2e-3)
  np.testing.assert_allclose(logits[0], wanted[1], atol=2e-3)


@pytest.mark.parametrize('size', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('side', [8, 7])
def test_a_depthwise_convolution_is_that_of_flax(size, stride, side):
  draw = np.random.default_rng(0)
  x = jnp.asarray(draw.normal(size=(2, side, side + 2, 6)), jnp.float32)
  layer = nn.Conv(6, (size, size), stride, feature_group_count=6)
  variables = layer.init(jax.random.key(0), x)
  variables['params']['bias'] = jnp.arange(6.0)
  wanted = layer.apply(variables, x)
  got = DepthwiseConv(size, stride).apply(variables, x)
  np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_other_arrays_are_refused():
  arrays = _made_up(_form())
  with pytest.raises(ValueError, match='5 arrays for each'):
    efficientnet_variables(arrays[:-1])
  with pytest.raises(ValueError, match='49 convolutions, got those of 0'):
    efficientnet_variables([])
  with pytest.raises(
    ValueError, match=r'needs .*\(1000, 1280\), got \(1000,\)'
  ):
    efficientnet_variables([*arrays[:-2], *arrays[:-3:-1]])


@pytest.mark.filterwarnings('ignore')
def test_real_pictures_are_classified_as_by_torch():
  torch = pytest.importorskip('torch')
  theirs = pytest.importorskip('efficientnet_lite_pytorch')
  content = real.contents(weights.EFFICIENTNET)
  pixels = real.pictures('cifar10', 'test')['image'][:64]
  pixels = resize_clean(jnp.asarray(pixels, jnp.float32), 224)
  images = np.asarray((pixels - 127) / 128)
  module = theirs.EfficientNet.from_pretrained(
    'efficientnet-lite0', weights_path=str(weights.cache(weights.EFFICIENTNET))
  ).eval()
  with torch.no_grad():
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    wanted = module.extract_features(x).mean((2, 3)).numpy(), module(x).numpy()
  arrays = weights.state_dict_arrays(content).values()
  variables = efficientnet_variables([array for array in arrays if array.ndim])
  got = jax.jit(EfficientNetLite0().apply)(variables, images)
  for ours, torchs in zip(got, wanted, strict=True):
    error = np.linalg.norm(ours - torchs, axis=1)
    error /= np.linalg.norm(torchs, axis=1)
    print('largest relative error of', len(error), 'pictures:', error.max())
    assert error.max() < 1e-4
