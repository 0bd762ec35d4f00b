"""LSGAN: its networks by hand."""

import forwards
import numpy as np

from jgan.models.lsgan import Discriminator, Generator


def test_the_generator_by_hand():
  latent = forwards.normal(4, 5)
  module = Generator(8, 2, width=8, doublings=3)
  variables = forwards.made(module, latent, None, train=True)
  params = variables['params']

  def norm_relu(number, x):
    own = params[f'BatchNorm_{number}']
    return forwards.relu(forwards.batch_norm(own, x))

  x = norm_relu(
    0, forwards.dense(params['Dense_0'], latent).reshape(4, 1, 1, 8)
  )
  for i, stride in enumerate((2, 1, 2, 2)):
    x = forwards.grow(params[f'ConvTranspose_{i}'], x, stride)
    x = norm_relu(i + 1, x)
  assert x.shape == (4, 8, 8, 2)
  x = np.tanh(forwards.grow(params['ConvTranspose_4'], x, 1))
  forwards.assert_computes(module, variables, (latent, None), x, train=True)


def test_the_discriminator_by_hand():
  image = forwards.normal(4, 16, 16, 2)
  module = Discriminator(width=2, halvings=3)
  variables = forwards.made(module, image, None, train=True)
  params = variables['params']
  x = image
  for i in range(3):
    x = forwards.conv(params[f'Conv_{i}'], x, 2)
    if i > 0:
      x = forwards.batch_norm(params[f'BatchNorm_{i - 1}'], x)
    x = forwards.leaky_relu(x)
  x = forwards.dense(params['Dense_0'], x.reshape(4, -1))[:, 0]
  forwards.assert_computes(module, variables, (image, None), x, train=True)
