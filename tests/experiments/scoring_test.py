"""Features of pictures that are read in chunks, and kept by their content."""

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import games
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from experiments import data, scoring
from experiments.extractors import Extractor
from experiments.sampler import Sampler, Samples

COUNT = 250  # two chunks and a half


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  """Features are kept apart from the user's."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def arrays():
  """Noise, each picture of its own label."""
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (COUNT, 4, 6, 3), np.uint8)
  return {'image': image, 'label': np.arange(COUNT, dtype=np.int32)}


def means(images):
  """Stands for a network: the mean of each channel, and one class."""
  features = jnp.asarray(images, jnp.float32).mean((1, 2))
  return features, jnp.ones((len(features), 1))


EXTRACTOR = Extractor('means', 'of no weights', 'none', means, 3, True)


class Asked:
  """A source that keeps the numbers of rows that it was asked for."""

  def __init__(self, source):
    self.source, self.sizes = source, []

  def __len__(self):
    return len(self.source)

  def __getitem__(self, indices):
    self.sizes.append(len(indices))
    return self.source[indices]


def test_features_are_of_every_picture_in_order(arrays):
  made = scoring.extract(
    EXTRACTOR, scoring.Pictures('noise', data.Arrays(arrays))
  )
  wanted = arrays['image'].mean((1, 2))
  np.testing.assert_allclose(made.features, wanted, rtol=1e-6)
  assert made.probabilities.shape == (COUNT, 1)
  np.testing.assert_array_equal(made.label, arrays['label'])
  assert made.protocol == ('means', 'of no weights', 'none')


def test_pictures_are_asked_for_a_chunk_at_a_time(arrays):
  source = Asked(data.Arrays(arrays))
  pictures = scoring.Pictures('noise', source)
  scoring.extract_cached(EXTRACTOR, pictures)
  assert source.sizes == [100, 100, 50] * 2  # once to know them, once to score
  scoring.extract_cached(EXTRACTOR, pictures)
  assert source.sizes == [100, 100, 50] * 3


def test_a_chunk_is_read_while_the_one_before_is_made(arrays):
  told = []

  class Chunks:
    def __iter__(self):
      for number in range(3):
        told.append(f'read {number}')
        yield {'image': arrays['image'][:2] + np.uint8(number)}

  for number, part in enumerate(scoring._one_behind(EXTRACTOR, Chunks())):
    told.append(f'got {number}')
    assert part['features'].shape == (2, 3)
  assert told == ['read 0', 'read 1', 'got 0', 'read 2', 'got 1', 'got 2']


def test_what_is_picked_stays_where_it_is(arrays):
  source = Asked(data.Arrays(arrays))
  pictures = scoring.Pictures('noise', source)
  assert scoring.picked(pictures, COUNT, seed=0) is pictures
  some = scoring.picked(pictures, 40, seed=1)
  assert source.sizes == []
  rows = some.source[np.arange(40)]['label']
  assert len(set(rows)) == 40
  np.testing.assert_array_equal(rows, np.sort(rows))
  other = scoring.picked(pictures, 40, seed=2).source[np.arange(40)]['label']
  assert set(other) != set(rows)


def test_features_are_kept_by_content_whatever_the_labels(arrays):
  pictures = scoring.Pictures('noise', data.Arrays(arrays))
  first = scoring.extract_cached(EXTRACTOR, pictures)

  def refuse(images):
    raise AssertionError('computed again')

  stuck = EXTRACTOR._replace(features=refuse)
  label = arrays['label'][::-1]
  relabelled = data.Arrays({'image': arrays['image'], 'label': label})
  again = scoring.extract_cached(stuck, scoring.Pictures('else', relabelled))
  np.testing.assert_array_equal(first.features, again.features)
  np.testing.assert_array_equal(first.probabilities, again.probabilities)
  np.testing.assert_array_equal(again.label, label)
  other = data.Arrays({'image': arrays['image'][::-1]})
  with pytest.raises(AssertionError, match='computed again'):
    scoring.extract_cached(stuck, scoring.Pictures('noise', other))
  with pytest.raises(AssertionError, match='computed again'):
    scoring.extract_cached(stuck._replace(sha256='of others'), pictures)


def test_the_cache_knows_pictures_by_their_bytes_shape_and_protocol(
  arrays, tmp_path
):
  scoring.extract_cached(
    EXTRACTOR, scoring.Pictures('noise', data.Arrays(arrays))
  )
  digest = hashlib.sha256(arrays['image'].tobytes())
  digest.update(
    b"((250, 4, 6, 3), ('means', 'of no weights', 'none'))"  # as ever
  )
  [path] = (tmp_path / 'cache').rglob('*.npz')
  assert path.stem == digest.hexdigest()


@pytest.mark.parametrize('left', [0, 100])
def test_damaged_features_are_made_anew(left, arrays, tmp_path, capsys):
  pictures = scoring.Pictures('noise', data.Arrays(arrays))
  first = scoring.extract_cached(EXTRACTOR, pictures)
  [path] = (tmp_path / 'cache').rglob('*.npz')
  path.write_bytes(path.read_bytes()[:left])
  again = scoring.extract_cached(EXTRACTOR, pictures)
  assert f'{path} is damaged' in capsys.readouterr().err
  np.testing.assert_array_equal(first.features, again.features)


def test_of_features_that_cannot_be_written_nothing_is_left(
  arrays, tmp_path, monkeypatch, capsys
):
  def full(file, **arrays):
    file.write(b'some of it')
    raise OSError('no space left')

  monkeypatch.setattr(np, 'savez', full)
  pictures = scoring.Pictures('noise', data.Arrays(arrays))
  made = scoring.extract_cached(EXTRACTOR, pictures)
  assert len(made.features) == len(pictures.source)
  assert 'no space left' in capsys.readouterr().err
  assert not [x for x in (tmp_path / 'cache').rglob('*') if x.is_file()]


def test_without_a_folder_for_the_cache_features_are_made(
  arrays, tmp_path, monkeypatch, capsys
):
  (tmp_path / 'file').touch()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  pictures = scoring.Pictures('noise', data.Arrays(arrays))
  made = scoring.extract_cached(EXTRACTOR, pictures)
  assert len(made.features) == len(pictures.source)
  assert 'features are not kept' in capsys.readouterr().err


@pytest.mark.parametrize('field', ['name', 'sha256', 'resize'])
def test_features_of_different_extractors_are_refused(arrays, field):
  pictures = scoring.Pictures('noise', data.Arrays(arrays))
  other = EXTRACTOR._replace(**{field: 'another'})
  real, fake = (scoring.extract(x, pictures) for x in (EXTRACTOR, other))
  with pytest.raises(ValueError, match=r'one extractor.* got means.*another'):
    scoring.scores(real, fake, resamples=0)
  with pytest.raises(ValueError, match='one extractor'):
    scoring.scores(real, real, fake, resamples=0)


def test_the_fewest_reals_have_every_score():
  draw = np.random.default_rng(0)
  few, fewer, fake = (
    scoring.Features(draw.normal(size=(n, 4)), None, None, ('', '', ''))
    for n in (scoring.FEWEST, scoring.FEWEST - 1, 40)
  )
  found = scoring.scores(few, fake, resamples=0)
  assert {'kernel_distance', 'precision', 'coverage'} <= set(found)
  with pytest.raises(ValueError, match=f'at least {scoring.FEWEST} samples'):
    scoring.scores(fewer, fake, resamples=0)


def test_samples_are_the_same_however_they_are_asked_for():
  gan = games.game()
  state = jgan.init(gan, jax.random.key(0), games.batch(8))
  generate = Sampler(gan, state, games.CLASSES)
  whole = data.to_uint8(generate(COUNT, seed=3))
  source = Samples(generate, COUNT, seed=3)
  assert len(source) == COUNT
  asked = np.array([249, 0, 130, 99, 100, 0])
  got = source[asked]
  np.testing.assert_array_equal(got['image'], whole[asked])
  np.testing.assert_array_equal(got['label'], asked % games.CLASSES)
  in_chunks = [source[np.arange(i, i + 50)]['image'] for i in range(0, 250, 50)]
  np.testing.assert_array_equal(np.concatenate(in_chunks), whole)


PEAKS = """
  import re
  import sys
  from pathlib import Path

  import numpy as np

  from experiments import scoring
  from experiments.extractors import Extractor

  def means(images):
    return images.mean((1, 2, 3), np.float32)[:, None], None

  class Generated:
    def __init__(self, count):
      self.count = count

    def __len__(self):
      return self.count

    def __getitem__(self, rows):
      image = np.empty((len(rows), 64, 64, 3), np.uint8)
      image[:] = (rows % 256)[:, None, None, None]
      return {'image': image}

  extractor = Extractor('means', '', '', means, 1, False)
  for count in (2_000, 20_000):
    pictures = scoring.Pictures('generated', Generated(count))
    pictures = scoring.picked(pictures, count - 1, seed=0)
    made = scoring.extract_cached(extractor, pictures)
    assert made.features.shape == (count - 1, 1)
    status = Path('/proc/self/status').read_text()
    print(re.search('VmHWM: *\\t* *([0-9]+) kB', status)[1])
"""


@pytest.mark.skipif(
  not Path('/proc/self/status').exists(), reason='needs the /proc of Linux'
)
@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures():
  # The ru_maxrss of a child starts from that of its parent; VmHWM does not.
  done = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(PEAKS)],
    cwd=Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  few, many = map(int, done.stdout.split())
  # All 20,000 at 12 KiB each would take 211 MiB more than 2,000.
  assert many - few < 60 * 1024
