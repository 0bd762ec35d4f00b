"""DCGAN: packs of pictures, each with its own label."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.dcgan import Discriminator

KEY = jax.random.key(0)


@pytest.mark.parametrize(('num_classes', 'inputs'), [(None, 6), (3, 6 + 6)])
def test_packs_of_labelled_pictures_are_played(num_classes, inputs):
  gan = jgan.models.dcgan(8, 3, num_classes=num_classes, width=2, pack=2)
  batch = {
    'image': jnp.zeros((4, 8, 8, 3)),
    'label': jnp.array([0, 1, 2, 0]),
  }
  state = jax.eval_shape(functools.partial(jgan.init, gan), KEY, batch)
  first = state.variables['discriminator']['params']['Conv_0']['kernel']
  assert first.shape == (4, 4, inputs, 2)
  after, _ = jax.eval_shape(
    functools.partial(jgan.train_step, gan), state, batch, KEY
  )
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_a_pack_is_judged_by_the_label_of_each_picture():
  discriminator = Discriminator(2, num_classes=3, batch_norm=False)
  images = jnp.ones((4, 8, 8, 2))
  labels = jnp.array([[0, 1], [0, 2], [1, 0], [0, 1]])
  variables = discriminator.init(KEY, images, labels, train=True)
  logits = discriminator.apply(variables, images, labels, train=True)
  assert len(np.unique(logits[:3])) == 3
  assert float(logits[3]) == float(logits[0])
