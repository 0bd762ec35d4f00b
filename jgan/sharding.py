"""Where examples lie: numbering, keys and averages over devices.

Under sharded jit arrays are global and nothing here but the two shardings is
needed. Under `jax.pmap` and `jax.shard_map` each device sees its own part of
the batch, and `axis_name` names the axis, or a tuple of axes, over which the
parts are numbered and averaged.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key, PRNGKeyArray, PyTree, Shaped, UInt32

F = TypeVar('F', bound=Callable)
AxisName = str | tuple[str, ...] | None
Keys = Key[Array, '...'] | UInt32[Array, '...']


def data_mesh(devices: Sequence[jax.Device]) -> Mesh:
  """A mesh of one axis, 'batch', over which the examples are divided.

  Its axis is Auto, so that a module's `init` and `apply` can be called over it
  as well: see `auto_axes`.
  """
  return jax.make_mesh(
    (len(devices),),
    ('batch',),
    devices=devices,
    axis_types=(AxisType.Auto,),
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of a `TrainState`: all of it on every device."""
  return NamedSharding(mesh, PartitionSpec())


def over_examples(mesh: Mesh) -> NamedSharding:
  """The sharding of a batch: its leading axis divided over the devices."""
  return NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))


def specs(tree: PyTree) -> PyTree:
  """How each array is divided over Explicit axes, as its type tells."""
  return jax.tree.map(lambda x: jax.typeof(x).sharding.spec, tree)


def auto_axes(function: F, results: PyTree) -> F:
  """The function, played over Auto axes where an argument's are Explicit.

  `jax.make_mesh` gives Explicit axes from jax 0.10 on, over which several Linen
  modules and the slopes of convolutions cannot be traced.

  Args:
    function: of trees of arrays to a tree of arrays.
    results: how its results are divided over Explicit axes: a tree of
      `PartitionSpec` of theirs, or its beginning.
  """

  @functools.wraps(function)
  def played(*args):
    meshes = [jax.typeof(x).sharding.mesh for x in jax.tree.leaves(args)]
    explicit = [
      mesh for mesh in meshes if AxisType.Explicit in (mesh.axis_types or ())
    ]
    if not explicit:
      return function(*args)
    placed = jax.tree.map(lambda s: NamedSharding(explicit[0], s), results)
    return jax.sharding.auto_axes(function, out_sharding=placed)(*args)

  return played


def batch_size(batch: PyTree) -> Any:
  """The number of examples in a batch: the leading axis of every array.

  An int, or the symbol of `jax.export` that stands for one.

  Raises:
    ValueError: if the batch has no array or no example, or its arrays differ
      in leading axis.
  """
  sizes = {  # one path of each, for a list has thousands of scalars
    jnp.shape(leaf)[:1]: jax.tree_util.keystr(path)
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch)
  }
  if len(sizes) != 1 or () in sizes:
    raise ValueError(
      'batch: needs arrays that agree in their leading axis, the examples; '
      f'got { ({v: k[0] if k else "a scalar" for k, v in sizes.items()}) }.'
    )
  (n,) = next(iter(sizes))
  if n == 0:
    raise ValueError('batch: needs one example or more, got none.')
  return n


def check_named(batch: PyTree) -> None:
  """Raises ValueError where a batch is not a mapping of names to arrays."""
  if not isinstance(batch, Mapping):
    raise ValueError(
      "batch: needs arrays by name, such as {'image': images}; got shapes "
      f'{jax.tree.map(jnp.shape, batch)}.'
    )


def with_index(batch: PyTree, axis_name: AxisName = None) -> PyTree:
  """The batch with `batch['index']`: each example's number in the whole batch.

  An index that the data pipeline supplied stays. Supply one where the batch
  is sharded: keys, and with them latents, inherit the sharding of the index.

  Raises:
    ValueError: if the index is not one integer for each example, or the batch
      is none.
  """
  check_named(batch)
  n = batch_size(batch)
  if 'index' in batch:
    index = batch['index']
    if index.ndim != 1 or not jnp.issubdtype(index.dtype, jnp.integer):
      raise ValueError(
        "batch: 'index' needs integers [n], each example's number, such as "
        f'jnp.arange({n}); got {index.dtype}{list(index.shape)}.'
      )
    return batch
  index = jnp.arange(n, dtype=jnp.int32)
  if axis_name is not None:
    index += n * lax.axis_index(axis_name)
  return {**batch, 'index': index}


def example_keys(key: PRNGKeyArray, batch: PyTree) -> Shaped[Array, 'n ...']:
  """One key for each example: `vmap(fold_in, (None, 0))(key, index)`.

  Whatever is drawn from these keys depends on an example's number in the
  global batch and not on the device that holds it, so that 1 and 8 devices
  give the same run and no device draws another's latents.

  Of a key of jax's 'rbg' or 'unsafe_rbg' they are threefry's: of several of
  its own, jax draws all by the first.

  Args:
    key: the key of this use, as the caller folded it.
    batch: a batch; `batch['index']` (int32 `[n]`) numbers its examples, and
      where there is none they are numbered from 0.
  """
  if jax.random.key_impl(key) in ('rbg', 'unsafe_rbg'):
    words = jax.random.key_data(key)[..., :2]
    key = jax.random.wrap_key_data(words, impl='threefry2x32')
  return jax.vmap(jax.random.fold_in, (None, 0))(
    key, with_index(batch)['index']
  )


def batch_key(key: PRNGKeyArray, batch: PyTree) -> PRNGKeyArray:
  """A key for what all examples at hand share, as a module's rng streams do.

  Folded by the first example's number: on each device, and in each part of a
  batch, another.
  """
  return jax.random.fold_in(key, with_index(batch)['index'][0])


def typed(key: Keys) -> Keys:
  """New-style keys, also from those of `jax.random.PRNGKey`.

  Raises:
    ValueError: if they are no keys, or of another `impl` than the default one
      and old-style.
  """
  dtype = getattr(key, 'dtype', None)
  if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
    return key
  # A function of its own: jax would keep the form of an earlier default.
  form = jax.eval_shape(lambda: jax.random.PRNGKey(0))
  if dtype != form.dtype or key.shape[-1:] != form.shape:
    got = type(key).__name__ if dtype is None else f'{dtype}{list(key.shape)}'
    raise ValueError(f'key: needs a key as of jax.random.key(0), got {got}.')
  return jax.random.wrap_key_data(key)


def one_key(key: Keys) -> PRNGKeyArray:
  """`typed`, and ValueError where there are several keys."""
  key = typed(key)
  if key.shape:
    raise ValueError(
      f'key: needs one key as of jax.random.key(0), got {list(key.shape)}; a '
      "run has one, the same in every step, and each example's is folded of it."
    )
  return key


def varying(tree: PyTree, axis_name: AxisName) -> PyTree:
  """Marks replicated arrays as one copy per device, to be differentiated.

  With its replication check on, `jax.shard_map` sums gradients of replicated
  arrays over the devices by itself; gradients of the copies are local, as
  under pmap, and `mean` averages them.
  """
  manual = jax.sharding.get_abstract_mesh().manual_axes
  for name in _names(axis_name):
    if name in manual:
      tree = jax.tree.map(functools.partial(_vary, axis_name=name), tree)
  return tree


def mean(tree: PyTree, axis_name: AxisName) -> PyTree:
  """The average over the devices of `axis_name`; as it is where None."""
  return tree if axis_name is None else lax.pmean(tree, axis_name)


def gathered(x: Array, axis_name: AxisName) -> Array:
  """The rows of all devices of `axis_name`, in order; as it is where None.

  For a loss that compares examples: each device then has that of all, whose
  derivative, averaged by `mean`, is right under pmap and in a shard_map with
  its replication check on or off.
  """
  if axis_name is None:
    return x
  return lax.all_gather(x, axis_name, tiled=True)


def agreed(tree: PyTree, axis_name: AxisName) -> PyTree:
  """Tells `jax.shard_map` that arrays are equal on all devices already.

  They must be: of unequal ones the largest is taken, or one device's.
  """
  for name in _names(axis_name):
    tree = jax.tree.map(functools.partial(_agree, axis_name=name), tree)
  return tree


def _names(axis_name: AxisName) -> tuple[str, ...]:
  if isinstance(axis_name, tuple):
    return axis_name
  return () if axis_name is None else (axis_name,)


def _agree(x: Array, axis_name: str) -> Array:
  return _any(x, axis_name) if _is_varying(x, axis_name) else x


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _any(x: Array, axis_name: str) -> Array:
  return lax.pmax(x, axis_name)


@_any.defjvp
def _any_slope(axis_name, primals, tangents):
  # A maximum over devices has no derivative; that of equals is any one's.
  return _any(*primals, axis_name), lax.pmean(*tangents, axis_name)


def _is_varying(x: Array, axis_name: str) -> bool:
  of = jax.typeof(x)
  if hasattr(of, 'manual_axis_type'):  # where jax 0.7 has `vma`
    return axis_name in of.manual_axis_type.varying
  return axis_name in of.vma


def _vary(x: Array, axis_name: str) -> Array:
  if _is_varying(x, axis_name):
    return x
  if hasattr(lax, 'pcast'):  # from jax 0.10 on, where pvary is gone
    return lax.pcast(x, axis_name, to='varying')
  return lax.pvary(x, axis_name)
