"""What every shift and corruption asks of the images that it is given."""

import torch


def check_images(x, size=None):
    """Raise an error that says what is wrong where ``x`` are no images that can be shifted.

    Args:
        x: images (N, C, H, W), floating-point numbers in [0, 1].
        size: (H, W), where only one will do.

    Raises:
        TypeError: not a tensor, or not one of real floating-point numbers.
        ValueError: another shape, NaN or infinity, or values outside [0, 1].
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"the images must be a torch tensor, not {type(x).__name__}")
    if not x.is_floating_point():
        hint = ": divide by 255 first" if x.dtype == torch.uint8 else ""
        raise TypeError(f"the images must be floating-point numbers in [0, 1], not {x.dtype}{hint}")
    if x.ndim != 4 or (size is not None and tuple(x.shape[-2:]) != tuple(size)):
        wanted = "(N, C, H, W)" if size is None else f"(N, C, {size[0]}, {size[1]})"
        raise ValueError(f"the images must be {wanted}, not {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError("the images contain NaN or infinity")
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):
        low, high = (each.item() for each in x.aminmax())
        raise ValueError(f"the images must be in [0, 1], but they are in [{low:g}, {high:g}]")
