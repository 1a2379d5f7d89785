"""Neural-network compression for uncertainty estimation."""
