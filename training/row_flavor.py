"""The loader that model folders of pushed tasks name that earlier releases have written (see `training.flavor`)."""

from training.registry.flavor import load_row_model as _load_pyfunc

__all__ = ["_load_pyfunc"]
