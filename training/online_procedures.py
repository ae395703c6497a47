"""The procedures of models that learn from pushed rows, by name."""
