"""The GANs of experiments whose data tests have not at hand, by shapes."""

import functools

import jax
import jax.numpy as jnp
import pytest

import jgan
from experiments import train
from experiments.benchmarks.fewest import SHAPES

NAMES = (
  'mnist-wgan',
  'mnist-cgan',
  'mnist-infogan',
  'stacked-mnist',
  'stacked-mnist-wgan-gp',
  'cifar10-dragan',
  'cifar10-few',
  'cifar10-acgan',
  'cifar10-wgan-gp',
  'cifar10-sngan',
  'cifar10-sagan',
  'cifar10-biggan',
  'cifar10-stylegan2',
  'cifar10-r3gan',
)


@pytest.mark.parametrize('name', NAMES)
def test_a_run_with_the_default_numbers_fits_its_data(name):
  config = train.EXPERIMENTS[name].Config()
  gan = train.EXPERIMENTS[name].make_gan(config)
  batch = {
    'image': jnp.zeros((2, *SHAPES[name])),
    'label': jnp.zeros(2, jnp.int32),
  }
  state = jax.eval_shape(
    functools.partial(jgan.init, gan), jax.random.key(0), batch
  )
  conditions = {'index': jnp.arange(3)}
  if num_classes := getattr(config, 'num_classes', 0):
    conditions['label'] = jnp.arange(3) % num_classes
  images = jax.eval_shape(
    functools.partial(jgan.sample, gan), state, conditions, jax.random.key(1)
  )
  assert images.shape == (3, *SHAPES[name])
  assert list(state.ema_params) == ['generator']


def test_few_pictures_are_played_with_every_regularizer_at_once():
  few = train.EXPERIMENTS['cifar10-few']
  gan = few.make_gan(few.Config(lecam=0.3, consistency=10.0))
  batch = {'image': jnp.zeros((2, 32, 32, 3))}
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  after, metrics = jax.eval_shape(
    functools.partial(jgan.train_step, gan), state, batch, key
  )
  assert set(after.variables['discriminator']['tracked']) == {
    'real_mean',
    'fake_mean',
    'moves',
  }
  assert {'discriminator/penalty', 'discriminator/auxiliary'} <= set(metrics)
  plain = few.make_gan(few.Config(augment=False))
  state = jax.eval_shape(functools.partial(jgan.init, plain), key, batch)
  assert 'tracked' not in state.variables['discriminator']
