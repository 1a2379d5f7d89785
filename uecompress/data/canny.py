"""Canny's edge detector for many images at once, with the defaults of scikit-image.

Source: Canny, A Computational Approach to Edge Detection (1986).
"""

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter, label

SIGMA = 1  # of the Gaussian that smooths the image first, in pixels
LOW, HIGH = 0.1, 0.2  # of a gradient of which a sharp step from 0 to 1 has 4


def edges(x):
    """Lines about one pixel wide along the edges of images (N, C, H, W): 1 there, 0 elsewhere.

    The outermost pixels of an image are never edges.
    """
    inside = gaussian_filter(np.ones(x.shape[2:]), SIGMA, mode="constant")  # weight not cut off
    smooth = gaussian_filter(x, (0, 0, SIGMA, SIGMA), mode="constant") / inside
    down, right = (  # Sobel's kernels: a difference along one axis, a mean over the other
        correlate1d(correlate1d(smooth, [-1, 0, 1], along), [1, 2, 1], across)
        for along, across in ((2, 3), (3, 2))
    )
    strength = np.hypot(down, right)
    weak = ridge(strength, down, right) & (strength >= LOW)
    weak[:, :, [0, -1]] = weak[..., [0, -1]] = False

    together = np.zeros((3, 3, 3, 3))
    together[1, 1] = 1  # the eight neighbours in the same image
    line, count = label(weak, together)
    kept = np.zeros(count + 1, bool)
    kept[line[weak & (strength >= HIGH)]] = True  # a line needs one strong pixel
    return kept[line].astype(float)


def ridge(strength, down, right):
    """Where the gradient is no weaker than one step up and one step down the slope.

    A step ends on the square of the eight neighbours, between a straight and a diagonal one, and
    the strength there is interpolated. Ties count as equal whatever the rounding, so that the
    result is the same on every machine; the two sides of an ideal step are both kept.
    """
    n, c, row, column = np.ogrid[tuple(map(slice, strength.shape))]
    padded = np.pad(strength, ((0, 0), (0, 0), (1, 1), (1, 1)))
    steep, gentle = np.maximum(abs(down), abs(right)), np.minimum(abs(down), abs(right))
    share = gentle / np.maximum(steep, np.finfo(float).tiny)  # of the diagonal neighbour
    highest = np.ones(strength.shape, bool)
    for sign in (1, -1):
        next_row = row + sign * np.sign(down).astype(int)
        next_column = column + sign * np.sign(right).astype(int)
        vertical = abs(down) > abs(right)
        straight = padded[
            n, c, np.where(vertical, next_row, row) + 1, np.where(vertical, column, next_column) + 1
        ]
        diagonal = padded[n, c, next_row + 1, next_column + 1]
        highest &= diagonal * share + straight * (1 - share) <= strength * (1 + 1e-9)
    return highest
