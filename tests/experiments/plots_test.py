"""Plots: where lines and points come to lie, and in which colour."""

import numpy as np

from experiments import plots

BLUE, RED = (31, 119, 180), (214, 39, 40)


def coloured(picture, colour):
  """Rows and columns of the pixels of about this colour."""
  return np.nonzero((np.abs(picture.astype(int) - colour) < 30).all(-1))


def test_a_line_rises_to_the_right():
  rising = plots.Panel(np.linspace(0, 1, 5)[None], np.array([0]), 0.0, 1.0)
  rows, columns = coloured(plots.line_panels({'x': [rising]}, ['a']), BLUE)
  assert np.corrcoef(rows, columns)[0, 1] < -0.99
  # Through the whole frame.
  assert np.ptp(columns) > 160
  assert np.ptp(rows) > 80


def test_each_row_and_column_has_its_frame_and_each_line_its_colour():
  def panel(level):
    lines = np.full((2, 4), level)
    lines[1] += 0.2
    return plots.Panel(lines, np.array([0, 1]), 0.0, 1.0)

  names = ['a', 'b']
  low, high = [panel(0.1)] * 2, [panel(0.7)] * 2
  picture = plots.line_panels({'low': low, 'high': high}, names)
  blue, red = (coloured(picture, colour) for colour in (BLUE, RED))
  half = picture.shape[0] // 2
  for rows, columns in (blue, red):
    assert (rows < half).any()
    assert (rows > half).any()
    assert (columns < picture.shape[1] // 2).any()
    assert (columns > picture.shape[1] // 2).any()
  # In each frame the second line lies above the first.
  assert blue[0].min() > red[0].min()
  assert blue[0].max() > red[0].max()


def test_what_is_out_of_range_or_has_none_is_drawn_where_it_can():
  lines = np.array([[0.0, 1e30, -1e30], [0.5, 0.5, 0.5]])
  panel = plots.Panel(lines, np.array([0, 9]), 0.0, 1.0)
  flat = plots.Panel(np.zeros((1, 3)), np.array([0]), 0.0, 0.0)
  picture = plots.line_panels({'x': [panel, flat]}, ['a', 'b' * 100])
  assert picture.dtype == np.uint8
  assert len(coloured(picture, BLUE)[0])
  assert len(coloured(picture, RED)[0])


def test_points_lie_where_they_are():
  corners = np.array([[0.0, 0.0], [1.0, 2.0]])
  middle = np.tile([[0.5, 1.0]], (30, 1))  # one over the other: full colour
  picture = plots.points('PCA', {'data': middle, 'samples': corners})
  assert picture.shape[2] == 3
  plot = picture[30:]  # below the words
  rows, columns = coloured(plot, BLUE)
  assert abs(rows.mean() / plot.shape[0] - 0.5) < 0.05
  assert abs(columns.mean() / plot.shape[1] - 0.5) < 0.05
  # Of one point each the colour is thin.
  reddish = plot[..., 0].astype(int) - plot[..., 2] > 20
  rows, columns = np.nonzero(reddish)
  left = columns < plot.shape[1] // 2
  assert rows[left].min() > plot.shape[0] * 0.8
  assert rows[~left].max() < plot.shape[0] * 0.2


def test_points_of_one_place_are_drawn():
  picture = plots.points('t-SNE', {'data': np.zeros((3, 2))})
  assert len(coloured(picture, BLUE)[0])


def test_texts_stand_under_the_names_of_their_columns():
  few = plots.texts({'a': ['x'], 'b': ['y', 'z']})
  more = plots.texts({'a': ['x'], 'b': ['y', 'z', 'z']})
  assert more.shape[0] - few.shape[0] == 17
  assert more.shape[1] == few.shape[1]
  rows, columns = coloured(few, BLUE)
  assert rows.max() < 6 + 17
  dark, places = np.nonzero(few.sum(-1) < 200)
  assert dark.min() >= rows.min() + 17
  # One text in the first column, two in the second.
  middle = (columns.min() + columns.max()) / 2
  assert (dark[places < middle].max() < dark[places > middle].max()).all()
  wide = plots.texts({'a': ['m' * 500]})
  assert wide.shape[1] < 560
