"""What small files of a workdir tell when somebody has broken them."""

import jax
import numpy as np
import pytest

from experiments import errors, files


def test_the_form_of_a_batch_is_kept(tmp_path):
  form = {'image': jax.ShapeDtypeStruct((2, 8, 8, 1), np.uint16)}
  files.write_batch(tmp_path, form)
  assert files.read_batch(tmp_path) == form


@pytest.mark.parametrize(
  'text',
  [
    None,
    '',
    '{"image": {"sha',
    '[1]',
    '{"image": {"shape": [8]}}',
    '{"image": {"shape": 8, "dtype": "uint8"}}',
    '{"image": {"shape": [8], "dtype": "foo"}}',
  ],
)
def test_a_form_that_is_missing_or_damaged_is_named(text, tmp_path):
  if text is not None:
    (tmp_path / 'batch.json').write_text(text)
  with pytest.raises(errors.UserError, match=r'batch\.json cannot .* anew$'):
    files.read_batch(tmp_path)
