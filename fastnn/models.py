"""What Keras has in a module of this name, for scripts that look for it there."""

from fastnn.io import load_model
from fastnn.model import Sequential

__all__ = ["Sequential", "load_model"]
