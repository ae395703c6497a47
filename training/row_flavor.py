"""The loader that folders of pushed tasks' models name, as `training.flavor` is that of the others."""

from training.registry.row_flavor import _load_pyfunc as _load_pyfunc
