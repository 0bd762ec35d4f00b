"""Pictures whose channels are three digits."""

import numpy as np
import pytest

from experiments import data


def digits(count=50):
  """Pictures of one pixel each, which tell their position, and labels."""
  number = np.arange(count)
  return data.Arrays(
    {
      'image': number.astype(np.uint8)[:, None, None, None],
      'label': (number % 10).astype(np.int32),
    }
  )


def test_channels_are_digits_and_labels_their_numbers():
  source = data.stacked(digits(), size=4000)
  assert len(source) == 4000
  got = source[np.arange(4000)]
  image, label = got['image'], got['label']
  assert (image.shape, image.dtype) == ((4000, 1, 1, 3), np.uint8)
  assert label.dtype == np.int32
  read = image[:, 0, 0].astype(int) % 10 @ [100, 10, 1]
  np.testing.assert_array_equal(label, read)
  # Every digit comes in every channel, and about 982 of 1,000 triples come.
  for channel in range(3):
    assert len(np.unique(image[..., channel])) == 50
  assert len(np.unique(label)) == pytest.approx(1000 * (1 - np.exp(-4)), abs=15)
  assert np.abs(np.corrcoef(image[:, 0, 0].T) - np.eye(3)).max() < 0.06


def test_an_example_depends_on_the_seed_and_its_number_alone():
  source, longer = (data.stacked(digits(), size=n) for n in (20, 90))
  all_at_once = source[np.arange(20)]
  for i in (7, 0, 19):
    for name, value in source[np.array([i])].items():
      np.testing.assert_array_equal(value[0], all_at_once[name][i])
  np.testing.assert_array_equal(
    longer[np.arange(20)]['image'], all_at_once['image']
  )
  other = data.stacked(digits(), size=20, seed=1)[np.arange(20)]
  assert (other['image'] != all_at_once['image']).any()


@pytest.mark.parametrize(
  'arrays',
  [
    {'image': np.zeros((5, 4, 4, 1), np.uint8)},
    {'image': np.zeros((5, 4, 4, 3), np.uint8), 'label': np.zeros(5, int)},
  ],
)
def test_what_are_no_labelled_digits_is_refused(arrays):
  with pytest.raises(ValueError, match=r'needs grey digits.*\[4, 4, [13]\]'):
    data.stacked(data.Arrays(arrays))
