"""The scores against other implementations: pip install '.[oracles]'."""

import contextlib
import importlib.util
import io
import sys
import types

import features
import numpy as np
import pytest

from jgan import metrics

torch = pytest.importorskip('torch', reason="needs the extra 'oracles'")


@pytest.fixture(params=features.SETS)
def name(request):
  return request.param


class Nothing(types.ModuleType):
  """A module with every name, each of them a class."""

  def __getattr__(self, name):
    if name.startswith('__'):
      raise AttributeError(name)
    return type(name, (), {})


@pytest.fixture(scope='module')
def fidelity():
  """torch-fidelity's metrics of features, which need no torchvision.

  The package imports it, for its data sets and networks. Where none is
  installed, empty modules take its place.
  """
  with pytest.MonkeyPatch.context() as patch:
    if importlib.util.find_spec('torchvision') is None:
      functional = Nothing('functional')
      transforms = Nothing('transforms')
      transforms.functional = functional
      torchvision = Nothing('torchvision')
      torchvision.transforms = transforms
      patch.setitem(sys.modules, 'torchvision', torchvision)
      patch.setitem(sys.modules, 'torchvision.datasets', Nothing('datasets'))
      patch.setitem(sys.modules, 'torchvision.transforms', transforms)
      patch.setitem(
        sys.modules, 'torchvision.transforms.functional', functional
      )
    return pytest.importorskip(
      'torch_fidelity', reason="needs the extra 'oracles'"
    )


def tensors(name):
  """In float64: in float32 its means carry the rounding of their sums."""
  return [torch.from_numpy(x).double() for x in features.SETS[name]()]


def test_frechet_distance(fidelity, name):
  statistics = [
    fidelity.metric_fid.fid_features_to_statistics(x) for x in tensors(name)
  ]
  expected = fidelity.metric_fid.fid_statistics_to_metric(*statistics, False)
  got = metrics.frechet_distance(*features.SETS[name]())
  np.testing.assert_allclose(got, *expected.values(), rtol=1e-6)
  np.testing.assert_allclose(features.GOLDEN[name]['frechet'], got, rtol=1e-6)


def test_kernel_distance(fidelity, name):
  expected = fidelity.metric_kid.kid_features_to_metric(
    *tensors(name), kid_subsets=20, kid_subset_size=500, rng_seed=5
  )
  got = metrics.kernel_distance(
    *features.SETS[name](), subsets=20, subset_size=500, seed=5
  )
  np.testing.assert_allclose(got, [*expected.values()], rtol=1e-6)
  np.testing.assert_allclose(features.GOLDEN[name]['kernel'], got, rtol=1e-6)


def test_inception_score(fidelity, name):
  probabilities, logits = features.probabilities(features.SETS[name]()[0])
  expected = fidelity.metric_isc.isc_features_to_metric(
    torch.from_numpy(logits), splits=10, shuffle=True, rng_seed=5
  )
  got = metrics.inception_score(probabilities, splits=10, seed=5)
  np.testing.assert_allclose(got, [*expected.values()], rtol=1e-5)
  np.testing.assert_allclose(features.GOLDEN[name]['inception'], got, rtol=1e-5)


def test_precision_and_recall(fidelity, name):
  real, fake = tensors(name)
  expected = fidelity.metric_prc.prc_features_to_metric(
    fake, real, prc_neighborhood=3, prc_batch_size=500, verbose=False
  )
  got = metrics.precision_recall(*features.SETS[name](), k=3)
  # Its shares are means in float32; as counts of samples they are exact.
  precision = round(expected['precision'] * len(fake)) / len(fake)
  recall = round(expected['recall'] * len(real)) / len(real)
  assert got == (precision, recall) == features.GOLDEN[name]['manifold']


def test_density_and_coverage(name):
  prdc = pytest.importorskip('prdc', reason="needs the extra 'oracles'")
  with contextlib.redirect_stdout(io.StringIO()):
    expected = prdc.compute_prdc(*features.SETS[name](), nearest_k=5)
  got = metrics.density_coverage(*features.SETS[name](), k=5)
  expected = (expected['density'], expected['coverage'])
  # Counts divided by the same numbers, in another order.
  np.testing.assert_allclose(got, expected, rtol=1e-15)
  assert got == features.GOLDEN[name]['density']


@pytest.mark.parametrize('channels', [1, 3])
def test_ms_ssim(channels):
  msssim = pytest.importorskip(
    'pytorch_msssim', reason="needs the extra 'oracles'"
  )
  a, b = features.pictures(channels)
  expected = msssim.ms_ssim(
    *(torch.from_numpy(x).permute(0, 3, 1, 2) for x in (a, b)),
    data_range=1,
    size_average=False,
  )
  got = metrics.ms_ssim(a, b, value_range=(0.0, 1.0))
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  golden = features.GOLDEN['pictures'][channels]
  np.testing.assert_allclose(got, golden, rtol=1e-5)
