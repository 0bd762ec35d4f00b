"""Extractors: pictures of every form in, features and classes out."""

import hashlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import real

from experiments import data, extractors, weights


def _digits(count=8):
  """Digits of all classes, uint8 28x28, and their labels."""
  arrays = data.digits(28).arrays
  chosen = np.linspace(0, 4999, count).astype(int)
  return arrays['image'][chosen], arrays['label'][chosen]


def test_digits_are_known_and_have_features():
  images, labels = _digits(500)
  extractor = extractors.digits_classifier()
  features, probabilities = extractor.features(images)
  assert extractor.has_classes
  assert features.shape == (500, extractor.dimensions)
  assert np.ptp(features, axis=0).min() > 0  # none is dead
  np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
  assert (probabilities.argmax(-1) == labels).mean() > 0.99


def test_padding_and_floats_change_nothing():
  images, _ = _digits()
  features = extractors.digits_classifier().features
  wanted, _ = features(images)
  padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)])
  floats = padded.astype(np.float32) / 127.5 - 1
  for same in (padded, floats, floats + 0.003, jnp.asarray(floats)):
    np.testing.assert_allclose(features(same)[0], wanted, atol=1e-5)


def test_stacked_digits_are_classified_by_channel():
  images, labels = _digits(90)
  images, labels = images.reshape(3, 30, 28, 28), labels.reshape(3, 30)
  stacked = extractors.stacked_digits_classifier()
  features, probabilities = stacked.features(images.transpose(1, 2, 3, 0))
  assert features.shape == (30, stacked.dimensions)
  assert probabilities.shape == (30, 1000)
  single, _ = extractors.digits_classifier().features(images[1][..., None])
  np.testing.assert_allclose(features[:, 64:128], single, atol=1e-5)
  wanted = 100 * labels[0] + 10 * labels[1] + labels[2]
  assert (probabilities.argmax(-1) == wanted).mean() > 0.9


def test_pictures_of_another_form_are_refused():
  grey, stacked = (
    extractors.digits_classifier().features,
    extractors.stacked_digits_classifier().features,
  )
  for features, shape, message in (
    (grey, (2, 28, 28, 3), r'needs grey pictures, got \(2, 28, 28, 3\)'),
    (grey, (2, 28, 28), r'n, height, width, 1 or 3\], got \(2, 28, 28\)'),
    (grey, (2, 64, 64, 1), 'at most 32x32'),
    (stacked, (2, 28, 28, 1), 'three channels'),
  ):
    with pytest.raises(ValueError, match=message):
      features(np.zeros(shape, np.uint8))
  with pytest.raises(ValueError, match=r'uint8, or as floats .* got int32'):
    grey(np.zeros((2, 28, 28, 1), np.int32))


def test_sixteen_bits_score_as_their_eight(monkeypatch):
  grey = extractors.digits_classifier().features
  image = _digits(2)[0]
  near = (257 * image.astype(int) + [[[[-128]]], [[[128]]]]).clip(0, 65535)
  for got, expected in zip(
    grey(near.astype(np.uint16)), grey(image), strict=True
  ):
    np.testing.assert_array_equal(got, expected)


def test_what_is_not_finite_shows_in_the_features():
  images = _digits(2)[0].astype(np.float32) / 127.5 - 1
  images[0, 14, 14] = np.nan
  features, probabilities = extractors.digits_classifier().features(images)
  assert np.isnan(features[0]).any()
  assert np.isnan(probabilities[0]).all()
  assert np.isfinite(features[1]).all()


def test_own_weights_have_their_own_sum_and_the_packages_are_checked(
  tmp_path, monkeypatch
):
  path = tmp_path / 'digits.npz'
  content = extractors._DIGITS.read_bytes()
  path.write_bytes(content)
  packaged = extractors.digits_classifier()
  assert extractors.digits_classifier(path).sha256 == packaged.sha256
  path.write_bytes(content + b' ')
  assert extractors.digits_classifier(path).sha256 != packaged.sha256
  monkeypatch.setattr(extractors, '_DIGITS', path)
  with pytest.raises(ValueError, match=r'digits\.npz is damaged'):
    extractors.digits_classifier()
  with pytest.raises(FileNotFoundError, match='nothing'):
    extractors.digits_classifier(tmp_path / 'nothing')


def _blank_inception(folder, monkeypatch):
  """A file in the form of the weights, all ones, known by its own sum."""
  images = jnp.zeros((1, 299, 299, 3))
  network = extractors.InceptionV3()
  form = jax.eval_shape(network.init, jax.random.key(0), images)['params']
  path = folder / 'blank.pt'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as f:
    for i in range(94):
      *window, outputs = form[f'conv{i}']['kernel'].shape
      for j, count in enumerate([outputs * np.prod(window), *[outputs] * 3]):
        f.writestr(f'x/data/{4 * i + j}', np.ones(count, '<f4').tobytes())
  sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
  source = weights.INCEPTION._replace(sha256=sha256)
  monkeypatch.setattr(weights, 'INCEPTION', source)
  return path, sha256


@pytest.mark.slow
def test_inception_tells_its_file_and_its_resize(tmp_path, monkeypatch):
  path, sha256 = _blank_inception(tmp_path, monkeypatch)
  reference = extractors.inception(path)
  assert reference[:3] == ('inception-2015-12-05', sha256, 'tf1-bilinear')
  assert (reference.dimensions, reference.has_classes) == (2048, False)
  clean = extractors.inception(str(path), clean=True)
  assert clean[:3] == ('inception-2015-12-05', sha256, 'clean-bicubic')
  grey = np.zeros((2, 20, 30, 1), np.uint8)
  features, probabilities = jax.eval_shape(reference.features, grey)
  assert features.shape == (2, 2048)
  assert probabilities is None


def test_another_file_than_the_weights_is_refused(tmp_path):
  path = tmp_path / 'mine.pt'
  path.write_bytes(b'weights')
  with pytest.raises(ValueError, match=weights.INCEPTION.sha256):
    extractors.inception(path)
  with pytest.raises(ValueError, match=weights.EFFICIENTNET.sha256):
    extractors.efficientnet(path)


def _waves():
  """A picture of its own: three waves of the colours, uint8 [1, 24, 40, 3]."""
  y, x = np.mgrid[:24, :40]
  waves = [np.sin(x / 3), np.cos(y / 4), np.sin((x + y) / 5)]
  return np.rint(127.5 + 127 * np.stack(waves, -1)[None]).astype(np.uint8)


@pytest.mark.parametrize(
  ('clean', 'first', 'total'),
  [
    (False, (1.0841056, 0.0591225), 599.62744),
    (True, (1.1774385, 0.0523756), 606.1634),
  ],
)
def test_real_inception_gives_what_torchscript_gave(clean, first, total):
  real.contents(weights.INCEPTION)
  [features], _ = extractors.inception(clean=clean).features(_waves())
  np.testing.assert_allclose(features[:2], first, rtol=1e-4)
  np.testing.assert_allclose(features.sum(), total, rtol=1e-4)


def test_real_efficientnet_sees_velvet_and_repeats_grey():
  real.contents(weights.EFFICIENTNET)
  extractor = extractors.efficientnet()
  assert extractor[:3] == (
    'efficientnet-lite0',
    weights.EFFICIENTNET.sha256,
    'clean-bicubic',
  )
  features, probabilities = extractor.features(_waves())
  assert (features.shape, probabilities.shape) == ((1, 1280), (1, 1000))
  assert probabilities.argmax() == 885  # velvet; then spotlight and screen
  np.testing.assert_allclose(probabilities.max(), 0.0869722, rtol=1e-3)
  np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
  grey = _waves()[..., :1]
  repeated = extractor.features(np.repeat(grey, 3, -1))
  jax.tree.map(
    np.testing.assert_array_equal, extractor.features(grey), repeated
  )
