"""Scores of a synthetic table: of copies, of noise, of what predicts."""

import sys

import numpy as np
import pytest
from sklearn.metrics import f1_score

from experiments import table_scores
from experiments.data import tables
from experiments.data.csv_files import Table, texts
from experiments.table_scores import Tables, scores

N = 600


def people(n, seed, shuffled=False):
  """A table in which age and town tell what is earned, and who is rich."""
  rng = np.random.default_rng(seed)
  age = rng.integers(20, 70, n)
  town = rng.choice(['Bonn', 'Kiel', 'Ulm'], n, p=[0.5, 0.3, 0.2])
  pay = 20 * age + 500 * (town == 'Kiel') + rng.normal(0, 40, n)
  columns = {
    'age': age,
    'town': town,
    'pay': [f'{x:.1f}' for x in pay],
    'rich': np.where(pay > 1300, 'yes', 'no'),
    'always': ['x'] * n,
  }
  if shuffled:
    columns = {name: rng.permutation(x) for name, x in columns.items()}
  return Table(
    {name: texts([str(x) for x in x]) for name, x in columns.items()}
  )


@pytest.fixture(scope='module')
def encoding():
  return tables.fit(people(N, 0), np.arange(200))


def compared(encoding, fake):
  return Tables(encoding, people(N, 0), people(300, 1), fake)


def values(found):
  return {name: x.value for name, x in found.items()}


def test_other_people_score_as_held_out_ones_do(encoding):
  found = values(scores(compared(encoding, people(N, 2)), 'rich', 0))
  for name in (
    'total_variation',
    'kolmogorov_smirnov',
    'marginal_distance',
    'association_difference',
  ):
    assert found[name] < 0.12, name
    assert found[name] < 3 * found[f'held_out_{name}'] + 0.02, name
  assert found['f1'] > 0.9
  assert found['f1'] == pytest.approx(found['real_f1'], abs=0.05)
  assert found['accuracy'] == pytest.approx(found['real_accuracy'], abs=0.05)
  assert found['closest_record_ratio'] == pytest.approx(1, abs=0.3)
  assert found['copies'] < 0.05


def test_the_marginal_distance_is_over_all_columns(encoding):
  found = values(scores(compared(encoding, people(N, 2)), '', 0))
  mean = (2 * found['total_variation'] + 2 * found['kolmogorov_smirnov']) / 4
  assert found['marginal_distance'] == pytest.approx(mean)
  assert 'f1' not in found


def test_shuffled_columns_have_their_marginals_and_nothing_else(encoding):
  fake = people(N, 0, shuffled=True)
  found = values(scores(compared(encoding, fake), 'rich', 0))
  assert found['marginal_distance'] == pytest.approx(0, abs=1e-9)
  assert found['association_difference'] > 0.3
  assert found['f1'] < 0.6 < found['real_f1']
  assert found['closest_record_ratio'] > 1


def test_copies_are_found(encoding):
  found = values(scores(compared(encoding, people(N, 0)), '', 0))
  assert found['copies'] == 1
  assert found['closest_record'] == pytest.approx(0, abs=1e-3)
  assert found['closest_record_ratio'] < 0.01
  assert found['held_out_copies'] < 0.05


def test_numbers_are_predicted_too(encoding):
  found = values(scores(compared(encoding, people(N, 2)), 'pay', 0))
  assert found['r2'] > 0.9
  assert found['r2'] == pytest.approx(found['real_r2'], abs=0.05)
  noise = people(N, 0, shuffled=True)
  assert values(scores(compared(encoding, noise), 'pay', 0))['r2'] < 0.1


@pytest.mark.parametrize('emptied', ['train', 'held_out', 'fake'])
def test_without_a_number_to_predict_there_is_no_score(emptied):
  def payments(cells):
    names = [*('ab' * (len(cells) // 2))]
    return Table({'name': texts(names), 'pay': texts(cells)})

  some = payments([*map(str, range(20)), *[''] * 10])
  both = Tables(tables.fit(some, np.arange(30)), some, some, some)
  both = both._replace(**{emptied: payments([''] * 30)})
  found = table_scores.efficacy(both, 'pay', seed=0)
  assert np.isnan(found['r2']) == (emptied != 'train')
  assert np.isnan(found['real_r2']) == (emptied != 'fake')


def test_dates_are_numbers_to_the_associations():
  def orders(months):
    dates = [f'2024-{month:02}-15' for month in months]
    numbers = texts([*map(str, range(12))])
    return Table({'number': numbers, 'when': texts(dates)})

  later, earlier = orders(range(1, 13)), orders(range(12, 0, -1))
  encoding = tables.fit(later, np.arange(12))
  found = values(scores(Tables(encoding, later, later, earlier), '', 0))
  # One correlation is 1, the other -1.
  assert found['association_difference'] == pytest.approx(2, abs=0.01)


def test_a_table_of_one_answer_teaches_that_answer(encoding):
  fake = people(N, 2)
  columns = {**fake.columns, 'rich': texts(['no'] * N)}
  found = table_scores.efficacy(
    compared(encoding, Table(columns)), 'rich', seed=0
  )
  truth = people(300, 1).columns['rich'].array()
  assert found['accuracy'] == pytest.approx((truth == 'no').mean())


def test_texts_that_are_new_are_no_obstacle(encoding):
  held_out = people(300, 1)
  town = held_out.columns['town'].array()
  town[:5] = 'Jena'
  columns = {**held_out.columns, 'town': texts([*town])}
  both = compared(encoding, people(N, 2))._replace(held_out=Table(columns))
  found = values(scores(both, 'rich', 0))
  assert found['held_out_total_variation'] > 0
  assert found['real_f1'] > 0.8


def test_rare_labels_count_each_in_its_column_and_together_in_pairs():
  rng = np.random.default_rng(0)

  def table(letters):
    shop = rng.choice([f'{x}{i}' for x in letters for i in range(20)], N)
    return Table({'shop': texts([*shop]), 'size': texts([*('ab' * (N // 2))])})

  real = table('xy')
  encoding = tables.fit(real, np.arange(N), max_values=5)
  assert len(encoding.columns[0].kind.rare) == 36
  both = Tables(encoding, real, real, table('y'))
  found = values(scores(both, 'shop', 0))
  assert found['total_variation'] == pytest.approx(0.25, abs=0.05)
  assert found['held_out_total_variation'] == 0
  # To the models there are five shops.
  assert found['real_accuracy'] > 0.7


def test_the_worst_columns_are_named(encoding):
  fake = people(N, 2)
  columns = {
    **fake.columns,
    'town': texts(['Bonn'] * N),
    'age': texts(['20'] * N),
  }
  worst = table_scores.worst(compared(encoding, Table(columns)))
  assert worst['worst_column_of_labels'].startswith('town (0.')
  assert worst['worst_column_of_numbers'].startswith('age (0.9')


def test_f1_is_scikit_learns():
  rng = np.random.default_rng(0)
  truth, guessed = rng.choice(['a', 'b'], (2, 200), p=[0.8, 0.2])
  assert table_scores.f1(truth, guessed) == pytest.approx(
    f1_score(truth, guessed, pos_label='b')
  )
  truth, guessed = rng.choice(['a', 'b', 'c'], (2, 200))
  assert table_scores.f1(truth, guessed) == pytest.approx(
    f1_score(truth, guessed, average='macro')
  )
  assert table_scores.f1(np.array(['a', 'a', 'b']), np.array(['a'] * 3)) == 0


@pytest.mark.parametrize(
  ('truth', 'guessed', 'expected'),
  [('aabbcc', 'adbbca', 13 / 24), ('aab', 'abc', (2 / 3 + 0 + 0) / 3)],
)
def test_labels_that_are_only_guessed_count_in_f1(truth, guessed, expected):
  truth, guessed = np.array([*truth]), np.array([*guessed])
  macro = f1_score(truth, guessed, average='macro')
  assert table_scores.f1(truth, guessed) == pytest.approx(macro)
  assert macro == pytest.approx(expected)


def test_which_scores_there_are(encoding):
  marginals = {'marginal_distance', 'total_variation', 'kolmogorov_smirnov'}
  assert table_scores.names(encoding, '') == {
    *marginals,
    'association_difference',
  }
  assert {'f1', 'accuracy'} < table_scores.names(encoding, 'rich')
  assert 'r2' in table_scores.names(encoding, ' pay')
  alone = tables.Encoding(encoding.columns[1:2])
  assert table_scores.names(alone, '') == {
    'marginal_distance',
    'total_variation',
  }
  assert table_scores.models(encoding, 'rich').startswith('logistic')
  assert table_scores.models(encoding, 'pay').startswith('ridge')


@pytest.mark.parametrize(
  ('target', 'message'),
  [
    ('money', 'is no column; columns: age, town'),
    ('always', 'and is constant'),
  ],
)
def test_targets_that_cannot_be_told_are_refused(encoding, target, message):
  with pytest.raises(ValueError, match=message):
    table_scores.target_kind(encoding, target)
  alone = tables.Encoding(encoding.columns[1:2])
  with pytest.raises(ValueError, match='no other column to tell it'):
    table_scores.target_kind(alone, 'town')


def test_without_scikit_learn_it_is_asked_for(encoding, monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn.tree', None)
  with pytest.raises(ValueError, match=r'pip install "jgan\[tables\]"'):
    table_scores.efficacy(compared(encoding, people(N, 2)), 'rich', 0)
