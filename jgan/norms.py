"""Norms that have derivatives also where they are 0."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


def root(x: Array) -> Array:
  """The square root, with a slope of 0 at 0."""
  # sqrt has an infinite slope there, and the chain rule makes it NaN, even
  # behind a where: the inner where keeps 0 out of sqrt itself.
  zero = x == 0
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def of_tree(tree: PyTree) -> Float[Array, '']:
  """The norm of all numbers of a tree together, `sqrt(sum x^2)`."""
  return root(optax.tree.norm(tree, squared=True))
