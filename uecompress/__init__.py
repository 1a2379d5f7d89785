"""Neural-network compression for uncertainty estimation."""

__version__ = "0.2.0"
