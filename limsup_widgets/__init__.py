"""limsup: learning with limited supervision in medical imaging."""

__version__ = "0.1.0"
