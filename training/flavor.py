"""The loader that model folders of earlier releases name: `mlflow.pyfunc.load_model` imports it by this name."""

from training.registry.flavor import _load_pyfunc as _load_pyfunc
