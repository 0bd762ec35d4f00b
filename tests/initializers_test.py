"""The numbers are flax's; the compiled draws are of vectors."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan import initializers

SHAPES = [(7, 5), (3, 3, 4, 6), (5, 2, 3)]


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [
    (initializers.normal(0.02), nn.initializers.normal(0.02)),
    (initializers.xavier_uniform(), nn.initializers.xavier_uniform()),
    (
      initializers.xavier_uniform(2.0),
      nn.initializers.variance_scaling(4, 'fan_avg', 'uniform'),
    ),
  ],
)
def test_numbers_are_those_of_flax(ours, theirs, shape):
  for dtype in (jnp.float32, jnp.bfloat16):
    key = jax.random.key(3)
    drawn = ours(key, shape, dtype)
    assert drawn.dtype == dtype
    np.testing.assert_allclose(
      drawn.astype(jnp.float32),
      theirs(jax.random.clone(key), shape, dtype).astype(jnp.float32),
      rtol=1e-6 if dtype == jnp.float32 else 1e-2,
    )


def test_a_models_init_draws_vectors_alone():
  gan = jgan.models.dcgan(16, 3, width=4)
  batch = {'image': jnp.zeros((2, 16, 16, 3))}
  program = jgan.init.lower(gan, jax.random.key(0), batch).compile().as_text()
  assert re.search(r'u32\[\d+', program)  # random bits are drawn
  assert not re.search(r'u32\[\d+,\d+,\d+', program)
