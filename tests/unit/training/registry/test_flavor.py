"""The loaders that model folders name, of today and of earlier releases."""

import training.flavor
import training.row_flavor
from training.registry import flavor


def test_folders_of_earlier_releases_find_their_loaders() -> None:
    assert training.flavor._load_pyfunc is flavor._load_pyfunc
    assert training.row_flavor._load_pyfunc is flavor.load_row_model
