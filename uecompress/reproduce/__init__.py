"""The long experiments of the book, one file each; what they found is in ``data/results``."""
