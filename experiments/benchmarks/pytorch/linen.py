"""Linen's variables as the state dict of PyTorch modules of the same names."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

Tree = Mapping[str, Any]


def state_dict(module: nn.Module, variables: Tree) -> dict[str, torch.Tensor]:
  """A player's params, and the vectors of its spectral norms, by PyTorch.

  A child `style` is Linen's 'style', and `up_block[0]` of a `ModuleList` is
  'UpBlock_0'. Kernels are transposed to PyTorch's layout by the type of their
  module. What PyTorch's modules have beside is left out, such as the running
  statistics of a normalisation.

  Raises:
    KeyError: a module has no params of its name.
  """
  tree = _with_vectors(variables['params'], variables.get('batch_stats', {}))
  return {
    name: torch.from_numpy(np.array(array, np.float32, order='C'))
    for name, array in _arrays(module, tree)
  }


def _arrays(module: nn.Module, tree: Tree) -> Iterator[tuple[str, Any]]:
  children = dict(_children(module, tree))
  own = {name: x for name, x in tree.items() if not isinstance(x, Mapping)}
  yield from _layout(module, own if children else tree).items()
  for path, (child, subtree) in children.items():
    for name, array in _arrays(child, subtree):
      yield f'{path}.{name}', array


def _children(module, tree):
  """Path, child and params of each child, those of lists one by one."""
  for name, child in module.named_children():
    if isinstance(child, nn.ModuleList):
      linen = ''.join(word.capitalize() for word in name.split('_'))
      for i, layer in enumerate(child):
        yield f'{name}.{i}', (layer, tree[f'{linen}_{i}'])
    else:
      yield name, (child, tree[name])


def _layout(module: nn.Module, own: Tree) -> dict[str, np.ndarray]:
  """A module's own arrays under PyTorch's names and in its layout."""
  own = {
    name: own[name] if isinstance(own[name], Mapping) else np.asarray(own[name])
    for name in own
  }
  if isinstance(module, nn.GRU):
    return _gru(own)
  names = {'kernel': 'weight', 'scale': 'weight'}
  if 'kernel' in own:
    own['kernel'] = _kernel(module, own['kernel'])
  return {names.get(name, name): x for name, x in own.items()}


def _kernel(module, kernel):
  if isinstance(module, nn.ConvTranspose2d):  # turned round in PyTorch
    return kernel[::-1, ::-1].transpose(2, 3, 0, 1)
  if isinstance(module, nn.Conv2d):
    return kernel.transpose(3, 2, 0, 1)
  return kernel.T


def _gru(own):
  """Gates in PyTorch's order; of two biases of a sum Linen has the first."""
  read, kept = (
    np.concatenate([own[f'{side}{gate}']['kernel'].T for gate in 'rzn'])
    for side in 'ih'
  )
  biases = [own[f'i{gate}']['bias'] for gate in 'rzn']
  last = own['hn']['bias']
  return {
    'weight_ih_l0': read,
    'weight_hh_l0': kept,
    'bias_ih_l0': np.concatenate(biases),
    'bias_hh_l0': np.concatenate([0 * last, 0 * last, last]),
  }


def _with_vectors(params: Tree, stats: Tree) -> Tree:
  """Params with the vector u of each spectral norm beside its kernel."""
  merged = dict(params)
  for scope, own in stats.items():
    if scope.startswith('SpectralNorm_'):
      for path, value in own.items():
        layer, _, name = path.split('/')
        if name == 'u':
          merged[layer] = {**merged[layer], name: value}
    elif scope in params:
      merged[scope] = _with_vectors(params[scope], own)
  return merged
